//! What this machine says: the only library crate that reads configuration and the environment.
//!
//! Knows registries.conf, registries.d, certs.d, policy.json's place, credential files and helpers,
//! proxies and TLS details. Must not know what these are used for: it opens no connection and
//! judges no signature.
//!
//! | module | file |
//! |---|---|
//! | [`env`] | every environment variable |
//! | [`paths`] | where files may lie, and in which order they count |
//! | [`registries`] | registries.conf: mirrors, locations, blocked, insecure |
//! | [`auth`] | auth.json, Docker's config.json, credential helpers; `login` and `logout` |
//! | [`certs`] | certs.d |
//! | [`signatures`] | registries.d |
//! | [`storage`] | storage.conf: where the store of podman and buildah is |
//! | `clouds` | what AWS's, Google's and Azure's tools read: object stores, and who asks them |
//! | [`links`] | which links on the way to a written file are followed |
//!
//! # Example
//!
//! ```
//! use std::path::Path;
//!
//! use skopeo_config::{Config, Environment, Overrides};
//!
//! // The environment of a program that has nothing; `Config::new` reads that of the process.
//! let home = Path::new("/nonexistent");
//! let environment = Environment::fixed([("HOME", "/nonexistent")], home.to_owned(), 1000, home);
//! let config = Config::with_environment(Overrides::default(), environment);
//! assert_eq!(config.tmpdir(), Path::new("/var/tmp"));
//! ```

// What others wrote must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

pub mod auth;
pub mod certs;
mod clouds;
mod docker;
pub mod env;
mod error;
mod key_providers;
mod kube;
pub mod links;
pub mod paths;
mod policy;
mod programs;
mod proxies;
pub mod registries;
pub mod signatures;
pub mod storage;
mod tables;
#[cfg(test)]
mod testing;
mod tls_details;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use clouds::{CloudSettings, CredentialProcess, Keys};
pub use docker::DockerHost;
pub use env::Environment;
pub use error::{Error, JsonReason, Reason};
pub use key_providers::{KeyProvider, KeyProviderCommand};
pub use kube::KubeApi;
pub use policy::PolicyFile;
pub use proxies::Proxies;
pub use registries::{Endpoint, Registries};
pub use signatures::SignatureStores;
pub use storage::{Storage, Store, StoreDriver, StoreSpec};
pub use tls_details::{TlsDetails, TlsVersion};

/// Where big temporary files go unless `--tmpdir` says otherwise. `TMPDIR` does not move them.
pub const DEFAULT_TMPDIR: &str = "/var/tmp";

/// Files that were named by global flags, instead of those that would be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--registries-conf`
    pub registries_conf: Option<PathBuf>,
    /// `--registries.d`
    pub registries_d: Option<PathBuf>,
    /// `--policy`
    pub policy: Option<PathBuf>,
    /// `--tmpdir`
    pub tmpdir: Option<PathBuf>,
    /// `--tls-details`
    pub tls_details: Option<PathBuf>,
}

/// The configuration of this machine, read when it is first asked for, and once.
#[derive(Debug)]
pub struct Config {
    overrides: Overrides,
    environment: Environment,
    registries: OnceLock<Registries>,
    signatures: OnceLock<SignatureStores>,
    storage: OnceLock<Storage>,
}

impl Config {
    /// Returns the configuration under the environment of this process.
    #[must_use]
    pub fn new(overrides: Overrides) -> Self {
        Self::with_environment(overrides, Environment::of_process())
    }

    /// Returns the configuration under a given environment.
    #[must_use]
    pub fn with_environment(overrides: Overrides, environment: Environment) -> Self {
        Self {
            overrides,
            environment,
            registries: OnceLock::new(),
            signatures: OnceLock::new(),
            storage: OnceLock::new(),
        }
    }

    /// Returns the environment this is read under.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Returns registries.conf and its drop-ins.
    ///
    /// # Errors
    ///
    /// As [`Registries::load`].
    pub fn registries(&self) -> Result<&Registries, Error> {
        once(&self.registries, || {
            Registries::load(&self.environment, self.overrides.registries_conf.as_deref())
        })
    }

    /// Returns registries.d.
    ///
    /// # Errors
    ///
    /// As [`SignatureStores::load`].
    pub fn signatures(&self) -> Result<&SignatureStores, Error> {
        once(&self.signatures, || {
            SignatureStores::load(&self.environment, self.overrides.registries_d.as_deref())
        })
    }

    /// Returns storage.conf and its drop-ins.
    ///
    /// # Errors
    ///
    /// As [`Storage::load`].
    pub fn storage(&self) -> Result<&Storage, Error> {
        once(&self.storage, || Storage::load(&self.environment))
    }

    /// Returns the store that part of a name speaks of; the usual one if it does not speak of any.
    ///
    /// # Errors
    ///
    /// As [`storage`](Self::storage) and [`Storage::store`].
    pub fn store(&self, spec: Option<&StoreSpec>) -> Result<Store, Error> {
        self.storage()?.store(spec, &self.environment)
    }

    /// Returns policy.json, not yet parsed.
    ///
    /// # Errors
    ///
    /// There is none ([`Error::NoPolicy`]), or it cannot be read.
    pub fn policy(&self) -> Result<PolicyFile, Error> {
        policy::load(&self.environment, self.overrides.policy.as_deref())
    }

    /// Returns the Docker daemon that the environment names, if it names one.
    #[must_use]
    pub fn docker_host(&self) -> Option<DockerHost> {
        DockerHost::read(&self.environment)
    }

    /// Returns the proxies of the environment.
    #[must_use]
    pub fn proxies(&self) -> Proxies {
        Proxies::read(&self.environment)
    }

    /// Returns the file given by `--tls-details`; nothing special without.
    ///
    /// # Errors
    ///
    /// As [`TlsDetails::load`].
    pub fn tls_details(&self) -> Result<TlsDetails, Error> {
        self.overrides
            .tls_details
            .as_deref()
            .map_or_else(|| Ok(TlsDetails::default()), TlsDetails::load)
    }

    /// Returns the key providers of encrypted images, by name.
    ///
    /// # Errors
    ///
    /// The file that `$OCICRYPT_KEYPROVIDER_CONFIG` names cannot be read.
    pub fn key_providers(&self) -> Result<BTreeMap<String, KeyProvider>, Error> {
        key_providers::load(&self.environment)
    }

    /// Returns how the API of the user's `OpenShift` cluster is reached.
    ///
    /// # Errors
    ///
    /// A kubeconfig is none, says two things at once, or names a file that cannot be read.
    pub fn kube_api(&self) -> Result<KubeApi, Error> {
        KubeApi::load(&self.environment)
    }

    /// Returns what is said about S3 and its kin, and who asks them.
    ///
    /// # Errors
    ///
    /// A file that is named cannot be read, or says what this program cannot do.
    pub fn aws(&self) -> Result<CloudSettings, Error> {
        CloudSettings::aws(&self.environment)
    }

    /// Returns what is said about Google Cloud Storage, and who asks it.
    ///
    /// # Errors
    ///
    /// As [`aws`](Self::aws).
    pub fn google(&self) -> Result<CloudSettings, Error> {
        CloudSettings::google(&self.environment)
    }

    /// Returns what is said about a storage account of Azure, and who asks it.
    ///
    /// # Errors
    ///
    /// As [`aws`](Self::aws).
    pub fn azure(&self, account: &str) -> Result<CloudSettings, Error> {
        CloudSettings::azure(&self.environment, account)
    }

    /// Returns where big temporary files go.
    #[must_use]
    pub fn tmpdir(&self) -> &Path {
        self.overrides.tmpdir.as_deref().unwrap_or_else(|| Path::new(DEFAULT_TMPDIR))
    }
}

fn once<T>(cell: &OnceLock<T>, load: impl FnOnce() -> Result<T, Error>) -> Result<&T, Error> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = load()?;
    Ok(cell.get_or_init(|| value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    #[test]
    fn files_are_read_once() {
        let machine = Machine::new().file("etc/containers/registries.conf", "[[registry]]");
        let config = machine.config();
        assert!(config.registries().is_err()); // and not remembered
        machine.write("etc/containers/registries.conf", "[[registry]]\nlocation='h'");
        assert_eq!(config.registries().unwrap().entries().len(), 1);
        machine.write("etc/containers/registries.conf", "");
        assert_eq!(config.registries().unwrap().entries().len(), 1);
    }

    #[test]
    fn temporary_files_go_where_the_flag_says() {
        let machine = Machine::new().var("TMPDIR", "/elsewhere");
        assert_eq!(machine.config().tmpdir(), Path::new("/var/tmp"));
        let overrides = Overrides { tmpdir: Some("/big".into()), ..Overrides::default() };
        let config = Config::with_environment(overrides, machine.environment());
        assert_eq!(config.tmpdir(), Path::new("/big"));
        assert_eq!(config.tls_details().unwrap(), TlsDetails::default());
    }
}
