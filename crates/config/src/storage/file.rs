//! One storage.conf: parsed, and laid over what earlier files said.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use std::path::Path;

use crate::Error;
use crate::tables::{lower, report, toml_error};

/// What one file says of the store. Absent is not the same as empty: an empty text replaces an
/// earlier one, and then stands for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct File {
    pub(super) driver: Option<String>,
    pub(super) driver_priority: Option<List>,
    pub(super) runroot: Option<String>,
    pub(super) graphroot: Option<String>,
    pub(super) imagestore: Option<String>,
    pub(super) rootless_storage_path: Option<String>,
    pub(super) transient_store: Option<bool>,
    pub(super) options: Options,
}

/// What holds for all drivers, and for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Options {
    pub(super) additionalimagestores: Option<List>,
    pub(super) additionallayerstores: Option<List>,
    pub(super) size: Option<String>,
    pub(super) mount_program: Option<String>,
    pub(super) skip_mount_home: Option<String>,
    pub(super) ignore_chown_errors: Option<String>,
    pub(super) force_mask: Option<u32>,
    pub(super) mountopt: Option<String>,
    pub(super) overlay: Overlay,
    pub(super) vfs: Vfs,
}

/// What holds for overlay only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Overlay {
    pub(super) ignore_chown_errors: Option<String>,
    pub(super) mount_program: Option<String>,
    pub(super) mountopt: Option<String>,
    pub(super) size: Option<String>,
    pub(super) inodes: Option<String>,
    pub(super) skip_mount_home: Option<String>,
    pub(super) force_mask: Option<String>,
    pub(super) use_composefs: Option<String>,
    pub(super) sync: Option<String>,
}

/// What holds for vfs only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Vfs {
    pub(super) ignore_chown_errors: Option<String>,
    pub(super) sync: Option<String>,
}

/// A list of texts that replaces an earlier one, or with `{append = true}` in it adds to that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    pub(super) values: Vec<String>,
    /// What was said last counts for the files that follow too.
    append: Option<bool>,
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut list = Self::default();
        for item in Vec::<toml::Value>::deserialize(deserializer)? {
            match item {
                toml::Value::String(text) => list.values.push(text),
                toml::Value::Table(table) => {
                    for (key, value) in table {
                        match (key.as_str(), value) {
                            ("append", toml::Value::Boolean(append)) => list.append = Some(append),
                            ("append", _) => {
                                return Err(D::Error::custom("unable to cast append to bool"));
                            }
                            _ => {
                                let text = format!("unsupported key {key:?} in map");
                                return Err(D::Error::custom(text));
                            }
                        }
                    }
                }
                other => {
                    let text = format!(
                        "unsupported item in attributed string slice: {}",
                        other.type_str()
                    );
                    return Err(D::Error::custom(text));
                }
            }
        }
        Ok(list)
    }
}

impl File {
    /// Parses the text of a storage.conf. `path` is for the debug log.
    ///
    /// # Errors
    ///
    /// The text is no TOML, or a value has a wrong type.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let table: toml::Table = toml::from_str(text).map_err(|error| toml_error(&error, text))?;
        let mut top = uniform(table);
        report(&top, &["storage"], "", path);
        match top.remove("storage") {
            None => Ok(Self::default()),
            Some(storage) => storage
                .try_into()
                .map_err(|error: toml::de::Error| Error::Toml(error.message().to_owned())),
        }
    }

    /// Lays another file over this one: what that says counts.
    pub(super) fn lay(&mut self, later: Self) {
        take(&mut self.driver, later.driver);
        take_list(&mut self.driver_priority, later.driver_priority);
        take(&mut self.runroot, later.runroot);
        take(&mut self.graphroot, later.graphroot);
        take(&mut self.imagestore, later.imagestore);
        take(&mut self.rootless_storage_path, later.rootless_storage_path);
        take(&mut self.transient_store, later.transient_store);
        let (options, later) = (&mut self.options, later.options);
        take_list(&mut options.additionalimagestores, later.additionalimagestores);
        take_list(&mut options.additionallayerstores, later.additionallayerstores);
        take(&mut options.size, later.size);
        take(&mut options.mount_program, later.mount_program);
        take(&mut options.skip_mount_home, later.skip_mount_home);
        take(&mut options.ignore_chown_errors, later.ignore_chown_errors);
        take(&mut options.force_mask, later.force_mask);
        take(&mut options.mountopt, later.mountopt);
        let (overlay, over) = (&mut options.overlay, later.overlay);
        take(&mut overlay.ignore_chown_errors, over.ignore_chown_errors);
        take(&mut overlay.mount_program, over.mount_program);
        take(&mut overlay.mountopt, over.mountopt);
        take(&mut overlay.size, over.size);
        take(&mut overlay.inodes, over.inodes);
        take(&mut overlay.skip_mount_home, over.skip_mount_home);
        take(&mut overlay.force_mask, over.force_mask);
        take(&mut overlay.use_composefs, over.use_composefs);
        take(&mut overlay.sync, over.sync);
        take(&mut options.vfs.ignore_chown_errors, later.vfs.ignore_chown_errors);
        take(&mut options.vfs.sync, later.vfs.sync);
    }

    /// The options as the drivers read them: those of all first, then each driver's own.
    pub(super) fn driver_options(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut add = |key: &str, value: &Option<String>| {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                all.push(format!("{key}={value}"));
            }
        };
        let Self { options, .. } = self;
        for (key, list) in [
            ("imagestore", &options.additionalimagestores),
            ("additionallayerstore", &options.additionallayerstores),
        ] {
            for value in list.iter().flat_map(|list| &list.values) {
                add(key, &Some(value.clone()));
            }
        }
        add("size", &options.size);
        add("mount_program", &options.mount_program);
        add("skip_mount_home", &options.skip_mount_home);
        add("ignore_chown_errors", &options.ignore_chown_errors);
        let mask = options.force_mask.filter(|mask| *mask != 0).map(|mask| format!("{mask:o}"));
        add("force_mask", &mask);
        add("mountopt", &options.mountopt);
        let Overlay {
            ignore_chown_errors,
            mount_program,
            mountopt,
            size,
            inodes,
            skip_mount_home,
            force_mask,
            use_composefs,
            sync,
        } = &options.overlay;
        add("overlay.ignore_chown_errors", ignore_chown_errors);
        add("overlay.mount_program", mount_program);
        add("overlay.mountopt", mountopt);
        add("overlay.size", size);
        add("overlay.inodes", inodes);
        add("overlay.skip_mount_home", skip_mount_home);
        add("overlay.force_mask", force_mask);
        add("overlay.use_composefs", use_composefs);
        add("overlay.sync", sync);
        add("vfs.ignore_chown_errors", &options.vfs.ignore_chown_errors);
        add("vfs.sync", &options.vfs.sync);
        all
    }
}

/// Keys in lower case at every depth that we read.
fn uniform(table: toml::Table) -> toml::Table {
    let mut table = lower(table);
    for value in table.iter_mut().map(|(_, value)| value) {
        if let toml::Value::Table(inner) = value {
            *inner = uniform(std::mem::take(inner));
        }
    }
    table
}

fn take<T>(slot: &mut Option<T>, later: Option<T>) {
    if later.is_some() {
        *slot = later;
    }
}

fn take_list(slot: &mut Option<List>, later: Option<List>) {
    let Some(later) = later else { return };
    let before = slot.get_or_insert_default();
    before.append = later.append.or(before.append);
    if before.append == Some(true) {
        before.values.extend(later.values);
    } else {
        before.values = later.values;
    }
}
