//! registries.d: where the signatures of an image lie beside its registry.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use skopeo_image::Reference;
use tracing::debug;
use url::Url;

use crate::{Environment, Error, paths};

/// All files of registries.d, merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureStores {
    default: Option<Namespace>,
    namespaces: BTreeMap<String, Namespace>,
    built_in: PathBuf,
}

/// What a lookaside store is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading signatures.
    Read,
    /// Writing or deleting them: `lookaside-staging` counts first.
    Write,
}

/// One section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Namespace {
    lookaside: Option<String>,
    lookaside_staging: Option<String>,
    sigstore: Option<String>,
    sigstore_staging: Option<String>,
    use_sigstore_attachments: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    default_docker: Option<Namespace>,
    docker: Option<BTreeMap<String, Option<Namespace>>>,
}

impl SignatureStores {
    /// Reads the folder given by `--registries.d`, else `~/.config/containers/registries.d` if it
    /// exists, else `/etc/containers/registries.d`.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is not valid; two files speak about the same namespace.
    pub fn load(environment: &Environment, explicit: Option<&Path>) -> Result<Self, Error> {
        let user = environment.home().join(".config/containers/registries.d");
        let folder = match explicit {
            Some(folder) => folder.to_owned(),
            None if user.exists() => user,
            None => environment.system("/etc/containers/registries.d"),
        };
        let built_in = if environment.uid() == 0 {
            PathBuf::from("/var/lib/containers/sigstore")
        } else {
            environment.home().join(".local/share/containers/sigstore")
        };
        let mut merged = Self { default: None, namespaces: BTreeMap::new(), built_in };
        debug!("using registries.d folder {}", folder.display());
        let mut origins = BTreeMap::new();
        for path in yaml_files(&folder)? {
            let Some(bytes) = paths::read_if_there(&path)? else { continue };
            merged.take(parse(&bytes, &path)?, &path, &mut origins)?;
        }
        Ok(merged)
    }

    /// `origins`: the file each namespace is from; the default's under the empty name.
    fn take(
        &mut self,
        file: File,
        path: &Path,
        origins: &mut BTreeMap<String, PathBuf>,
    ) -> Result<(), Error> {
        let twice = |what: &str, first: &Path| {
            Error::Invalid(format!(
                "Error parsing signature storage configuration: {what} defined both in {first:?} \
                 and {path:?}"
            ))
        };
        if let Some(default) = file.default_docker {
            if let Some(first) = origins.insert(String::new(), path.to_owned()) {
                return Err(twice("\"default-docker\"", &first));
            }
            self.default = Some(default);
        }
        for (name, namespace) in file.docker.unwrap_or_default() {
            if self.namespaces.insert(name.clone(), namespace.unwrap_or_default()).is_some() {
                let first = origins.get(&name).map_or_else(|| Path::new(""), PathBuf::as_path);
                return Err(twice(&format!("\"docker\" namespace {name:?}"), first));
            }
            origins.insert(name, path.to_owned());
        }
        Ok(())
    }

    /// The folder (`file:`) or web address under which the signatures of an image's repository lie;
    /// those of one manifest are at `@ALGORITHM=HEX/signature-N` appended to its path.
    ///
    /// # Errors
    ///
    /// What is configured is no URL.
    pub fn lookaside(&self, reference: &Reference, access: Access) -> Result<Url, Error> {
        let configured = self.first(reference, |namespace| namespace.store(access));
        let mut url = match configured {
            Some(text) => Url::parse(text).map_err(|error| {
                Error::Invalid(format!("Invalid signature storage URL {text}: {error}"))
            })?,
            None => Url::from_directory_path(&self.built_in).map_err(|()| {
                let path = self.built_in.display();
                Error::Invalid(format!("Invalid signature storage URL {path}: not absolute"))
            })?,
        };
        if url.cannot_be_a_base() {
            return Err(Error::Invalid(format!("Invalid signature storage URL {url}: no path")));
        }
        // The trailing slash of the base is not doubled; servers and folders take both for one.
        let path = format!("{}/{}", url.path().trim_end_matches('/'), reference.name.path());
        url.set_path(&path);
        Ok(url)
    }

    /// Whether sigstore signatures are kept as images beside the image.
    #[must_use]
    pub fn use_sigstore_attachments(&self, reference: &Reference) -> bool {
        self.first(reference, |namespace| namespace.use_sigstore_attachments).unwrap_or(false)
    }

    /// The first answer of the sections for a reference, from the image itself through its
    /// namespaces to the default. Each key is looked up on its own.
    fn first<'a, T>(
        &'a self,
        reference: &Reference,
        ask: impl Fn(&'a Namespace) -> Option<T>,
    ) -> Option<T> {
        scopes(reference)
            .iter()
            .filter_map(|scope| self.namespaces.get(scope))
            .chain(&self.default)
            .find_map(ask)
    }
}

impl Namespace {
    fn store(&self, access: Access) -> Option<&str> {
        let staging = match access {
            Access::Write => [&self.lookaside_staging, &self.sigstore_staging],
            Access::Read => [&None, &None],
        };
        staging
            .into_iter()
            .chain([&self.lookaside, &self.sigstore])
            .find_map(|store| store.as_deref().filter(|store| !store.is_empty()))
    }
}

/// The image, its repository, the namespaces around it, its host, and `*.` of the host's domains.
fn scopes(reference: &Reference) -> Vec<String> {
    let name = reference.name.to_string();
    let mut scopes = vec![reference.to_string()];
    let mut scope = name.as_str();
    loop {
        scopes.push(scope.to_owned());
        match scope.rsplit_once('/') {
            Some((parent, _)) => scope = parent,
            None => break,
        }
    }
    let mut host = scope.split(':').next().unwrap_or_default();
    while let Some((_, parent)) = host.split_once('.') {
        scopes.push(format!("*.{parent}"));
        host = parent;
    }
    scopes
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("open", folder, error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Error::file("read", folder, error))?.path();
        if path.extension().is_some_and(|found| found == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn parse(bytes: &[u8], path: &Path) -> Result<File, Error> {
    let invalid = |reason: String| Error::Yaml { path: path.to_owned(), reason };
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
    let file: Option<File> =
        serde_saphyr::from_str(text).map_err(|error| invalid(error.to_string()))?;
    Ok(file.unwrap_or_default())
}
