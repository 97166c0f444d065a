//! registries.conf and its drop-ins: which registries are mirrored, remapped, insecure or blocked.

mod file;
mod lookup;
mod short;

use std::path::{Path, PathBuf};

pub use lookup::Endpoint;
pub use short::{Alias, ShortNameMode};

use crate::{Environment, Error, env, paths};

/// The name among `credential-helpers` that means the credential files themselves.
pub const CREDENTIAL_FILES: &str = "containers-auth.json";

/// All registries.conf files of this machine, merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries {
    entries: Vec<Registry>,
    unqualified: Vec<String>,
    credential_helpers: Vec<String>,
    short_name_mode: ShortNameMode,
    layer_store_helper: Option<String>,
    aliases: short::Aliases,
    sources: Vec<PathBuf>,
}

/// One `[[registry]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// What a reference must start with: a host, a namespace, or `*.domain`.
    pub prefix: String,
    /// What replaces the prefix. None only for `*.domain`, where nothing is replaced.
    pub location: Option<String>,
    /// Whether bad certificates and plain http are accepted.
    pub insecure: bool,
    /// Whether nothing may be read or written.
    pub blocked: bool,
    /// The mirrors, in the order in which they are tried.
    pub mirrors: Vec<Mirror>,
}

/// One `[[registry.mirror]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// What replaces the registry's prefix.
    pub location: String,
    /// Whether bad certificates and plain http are accepted.
    pub insecure: bool,
    /// Which references it is asked for.
    pub pull_from: PullFrom,
}

/// Which references a mirror is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullFrom {
    /// All.
    All,
    /// Those with a digest.
    DigestOnly,
    /// Those without a digest.
    TagOnly,
}

impl Registries {
    /// Reads all files that apply.
    ///
    /// An explicit file (`--registries-conf`) replaces the main file; `CONTAINERS_REGISTRIES_CONF`
    /// replaces the main file and the drop-ins; `CONTAINERS_REGISTRIES_CONF_OVERRIDE` comes last.
    ///
    /// # Errors
    ///
    /// A file that was named does not exist; a file that exists cannot be read or is not valid.
    pub fn load(environment: &Environment, explicit: Option<&Path>) -> Result<Self, Error> {
        let mut result = Self::default();
        let search = paths::Search {
            stem: "registries",
            explicit,
            instead: env::CONTAINERS_REGISTRIES_CONF,
            last: env::CONTAINERS_REGISTRIES_CONF_OVERRIDE,
        };
        paths::each(environment, search, |path, kind| result.merge(path, kind))?;
        if result.credential_helpers.is_empty() {
            result.credential_helpers.push(CREDENTIAL_FILES.to_owned());
        }
        Ok(result)
    }

    /// Parses the text of one file, as if it were the only one.
    ///
    /// # Errors
    ///
    /// The text is not valid.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let mut result = Self::default();
        result.take(file::parse(text, path)?, path);
        Ok(result)
    }

    /// Reads and merges one file over what is there.
    fn merge(&mut self, path: &Path, kind: &str) -> Result<(), Error> {
        let doing = || format!("loading {kind} configuration {path:?}");
        let text = paths::read_text(path);
        let parsed = text.and_then(|text| file::parse(&text, path));
        self.take(parsed.map_err(|error| error.during(doing()))?, path);
        Ok(())
    }

    /// Entries and aliases are merged one by one; lists and values replace what was there.
    fn take(&mut self, file: file::File, path: &Path) {
        for registry in file.registries {
            match self.entries.binary_search_by(|entry| entry.prefix.cmp(&registry.prefix)) {
                Ok(at) => {
                    if let Some(entry) = self.entries.get_mut(at) {
                        *entry = registry;
                    }
                }
                Err(at) => self.entries.insert(at, registry),
            }
        }
        if let Some(unqualified) = file.unqualified {
            self.unqualified = unqualified;
        }
        if let Some(helpers) = file.credential_helpers {
            self.credential_helpers = helpers;
        }
        if let Some(mode) = file.short_name_mode {
            self.short_name_mode = mode;
        }
        if file.layer_store_helper.is_some() {
            self.layer_store_helper = file.layer_store_helper;
        }
        self.aliases.extend(file.aliases);
        self.sources.push(path.to_owned());
    }

    /// Returns all entries, sorted by prefix.
    #[must_use]
    pub fn entries(&self) -> &[Registry] {
        &self.entries
    }

    /// Returns the registries that names without one are searched in.
    #[must_use]
    pub fn unqualified(&self) -> &[String] {
        &self.unqualified
    }

    /// Returns the credential helpers to ask, in this order; [`CREDENTIAL_FILES`] stands for the
    /// files.
    #[must_use]
    pub fn credential_helpers(&self) -> &[String] {
        &self.credential_helpers
    }

    /// Returns what happens to a name without a registry.
    #[must_use]
    pub fn short_name_mode(&self) -> ShortNameMode {
        self.short_name_mode
    }

    /// Returns the program that gets the credentials of each pull, for additional layer stores.
    #[must_use]
    pub fn layer_store_helper(&self) -> Option<&str> {
        self.layer_store_helper.as_deref()
    }

    /// Returns what a short name stands for, if anything.
    #[must_use]
    pub fn alias(&self, short: &str) -> Option<&Alias> {
        self.aliases.get(short)
    }

    /// Returns the files this was read from, in the order in which they were merged.
    #[must_use]
    pub fn sources(&self) -> &[PathBuf] {
        &self.sources
    }
}

#[cfg(test)]
mod tests;
