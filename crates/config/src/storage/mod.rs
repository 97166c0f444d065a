//! storage.conf: where the store of podman, buildah and CRI-O is, and how it is kept.

mod beginning;
mod driver;
mod file;
mod roots;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use tracing::warn;

pub use driver::StoreDriver;

use crate::{Environment, Error, env, paths};
use beginning::Beginning;
use driver::Chosen;
use file::File;

/// All storage.conf files of this machine, merged, with what the environment says instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    driver: Option<String>,
    priority: Vec<String>,
    graph_root: PathBuf,
    run_root: PathBuf,
    image_store: Option<PathBuf>,
    transient: bool,
    options: Vec<String>,
}

/// The store that a name speaks of itself, `[DRIVER@GRAPHROOT+RUNROOT:OPTIONS]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StoreSpec {
    /// The driver's name.
    pub driver: Option<String>,
    /// The folder of images and layers, absolute.
    pub graph_root: Option<PathBuf>,
    /// The folder of what is gone after a restart, absolute.
    pub run_root: Option<PathBuf>,
    /// What the driver is told.
    pub options: Vec<String>,
}

/// One store, with all that is to be known before it is opened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    /// How its layers lie.
    pub driver: StoreDriver,
    /// The folder of images and layers, absolute.
    pub graph_root: PathBuf,
    /// The folder of what is gone after a restart, absolute.
    pub run_root: PathBuf,
    /// Where image layers lie if not in `graph_root`.
    pub image_store: Option<PathBuf>,
    /// Stores that are read too, and never written.
    pub additional_stores: Vec<PathBuf>,
    /// Whether containers' records lie in `run_root`.
    pub transient: bool,
    /// Whether files may keep the user's id where theirs cannot be given.
    pub ignore_chown_errors: bool,
    /// The mode that files get, where one is forced.
    pub force_mask: Option<u32>,
    /// Whether layers are mounted by a program: whiteouts are files then.
    pub mount_program: bool,
    /// Whether we are no root, or one in a user namespace only.
    pub rootless: bool,
    /// What the driver was told, as names of images show it.
    pub options: Vec<String>,
}

impl Storage {
    /// Reads all files that apply, and the variables that count more.
    ///
    /// # Errors
    ///
    /// A file that was named does not exist; a file that exists cannot be read or is not valid; or
    /// what they say together makes no sense.
    pub fn load(environment: &Environment) -> Result<Self, Error> {
        let mut merged = File::default();
        let search = paths::Search {
            stem: "storage",
            explicit: None,
            instead: env::CONTAINERS_STORAGE_CONF,
            last: env::CONTAINERS_STORAGE_CONF_OVERRIDE,
        };
        paths::each(environment, search, |path, kind| {
            let parsed = paths::read_text(path).and_then(|text| File::parse(&text, path));
            let doing = || format!("loading {kind} configuration {path:?}");
            merged.lay(parsed.map_err(|error| error.during(doing()))?);
            Ok(())
        })?;
        Self::of(merged, environment)
    }

    /// Parses the text of one file, as if it were the only one.
    ///
    /// # Errors
    ///
    /// The text is not valid, or makes no sense.
    pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, Error> {
        Self::of(File::parse(text, path)?, environment)
    }

    fn of(file: File, environment: &Environment) -> Result<Self, Error> {
        let mut options = file.driver_options();
        if environment.has(env::STORAGE_OPTS) {
            let text = environment.text(env::STORAGE_OPTS).unwrap_or_default();
            options = text.split(',').map(str::to_owned).collect();
        }
        if options == [""] {
            options.clear();
        }
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let mut driver = environment.text(env::STORAGE_DRIVER).or_else(|| set(&file.driver));
        if driver.as_deref() == Some("overlay2") {
            warn!("Switching default driver from overlay2 to the equivalent overlay driver");
            driver = Some("overlay".to_owned());
        }
        let (run_root, graph_root) = (set(&file.runroot), set(&file.graphroot));
        let rootless = set(&file.rootless_storage_path);
        if graph_root.is_some() && rootless.is_some() {
            warn!(
                "Both rootless_storage_path and graphroot are set, using graphroot setting only, \
                 rootless_storage_path is deprecated and should be removed from the config"
            );
        }
        let rootless = rootless.filter(|_| roots::are_per_user(environment));
        let expanded = |text: Option<String>| text.map(|text| roots::expand(&text, environment));
        let graph_root = expanded(graph_root.or(rootless));
        let graph_root = graph_root.unwrap_or_else(|| roots::graph_root(environment));
        let run_root = match expanded(run_root) {
            Some(path) => path,
            None => roots::run_root(environment)?,
        };
        let image_store = set(&file.imagestore).map(PathBuf::from);
        if image_store.as_ref() == Some(&graph_root) {
            return Err(Error::Invalid(format!(
                "imagestore {} must either be not set or be different than graphroot",
                graph_root.display()
            )));
        }
        Ok(Self {
            driver,
            priority: file.driver_priority.unwrap_or_default().values,
            graph_root,
            run_root,
            image_store,
            transient: file.transient_store.unwrap_or(false),
            options,
        })
    }

    /// Returns the store that a name speaks of, or the usual one. What a name says of a store
    /// replaces all that these files say, but for a folder that it does not name.
    ///
    /// # Errors
    ///
    /// The driver is none that this program has, or is told what it does not understand; or which
    /// driver the store has cannot be found out.
    pub fn store(
        &self,
        spec: Option<&StoreSpec>,
        environment: &Environment,
    ) -> Result<Store, Error> {
        let of_spec;
        let this = match spec {
            None => self,
            Some(spec) => {
                of_spec = self.with(spec);
                &of_spec
            }
        };
        let rootless = roots::is_rootless(environment);
        let per_user = roots::are_per_user(environment);
        let beginning = Beginning { environment, rootless, per_user };
        let Chosen { driver, told } = driver::choose(
            this.driver.as_deref(),
            &this.priority,
            &this.graph_root,
            &beginning,
            |driver| driver::Told::read(driver, &this.options),
        )?;
        Ok(Store {
            driver,
            graph_root: this.graph_root.clone(),
            run_root: this.run_root.clone(),
            image_store: this.image_store.clone(),
            additional_stores: told.image_stores,
            transient: this.transient,
            ignore_chown_errors: told.ignore_chown_errors,
            force_mask: told.force_mask,
            mount_program: told.mount_program,
            rootless,
            options: this.options.clone(),
        })
    }

    fn with(&self, spec: &StoreSpec) -> Self {
        let empty = *spec == StoreSpec::default();
        if empty {
            return self.clone();
        }
        Self {
            driver: spec.driver.clone(),
            priority: Vec::new(),
            graph_root: spec.graph_root.clone().unwrap_or_else(|| self.graph_root.clone()),
            run_root: spec.run_root.clone().unwrap_or_else(|| self.run_root.clone()),
            image_store: None,
            transient: false,
            options: spec.options.clone(),
        }
    }
}
