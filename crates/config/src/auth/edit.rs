//! `login` and `logout`: changing what is kept.

use skopeo_image::Secret;
use tracing::debug;

use super::file::{Contents, CredentialFile, Dress, Entry};
use super::helper::Helper;
use super::{AuthOptions, DOCKER_HUB_KEY, Key, Stored, check_key, default_file, find, several};
use crate::registries::CREDENTIAL_FILES;
use crate::{Config, Error};

/// What `logout` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logout {
    /// There were credentials; now there are none.
    Removed,
    /// There were none that can be removed. Others may still be found, such as those of
    /// `docker login`: if these work at the registry, the user should be told where they are from;
    /// else it is an [`Error::NotLoggedIn`].
    NotHere(Stored),
}

/// Keeps a user name and password under a key. Returns where they are kept, in words.
///
/// Whether they are any good is for the caller to find out before.
///
/// # Errors
///
/// Nothing that is configured could keep them.
pub fn login(
    config: &Config,
    options: &AuthOptions,
    key: &Key,
    username: &str,
    password: &Secret,
) -> Result<String, Error> {
    let edit = Edit::new(config, options, Some(&key.key))?;
    let mut failures = Vec::new();
    for name in &edit.helpers {
        let helper = Helper::new(name, config.environment());
        let done = if name == CREDENTIAL_FILES {
            edit.login(username, password)
        } else if edit.namespaced {
            Err(unsupported(name))
        } else {
            helper.store(&edit.key, username, password)
        };
        match done {
            Ok(place) => return Ok(place),
            Err(error) => {
                debug!("storing credentials in credential helper {name}: {}", error.chain());
                failures.push(error);
            }
        }
    }
    Err(several("Errors storing credentials\n\t* ", failures))
}

/// Removes what is kept under a key, wherever it can be removed.
///
/// # Errors
///
/// A file or helper failed.
pub fn logout(config: &Config, options: &AuthOptions, key: &Key) -> Result<Logout, Error> {
    let edit = Edit::new(config, options, Some(&key.key))?;
    let mut removed = false;
    let mut failures = Vec::new();
    for name in &edit.helpers {
        let done = if name == CREDENTIAL_FILES {
            edit.logout(&mut removed)
        } else {
            edit.erase(name).map(|found| removed |= found)
        };
        failures.extend(done.err());
    }
    if !failures.is_empty() {
        let error = several("errors removing credentials\n\t* ", failures);
        return Err(error.during(format!("logging out of {:?}", key.key)));
    }
    if removed {
        return Ok(Logout::Removed);
    }
    let options = options.clone().for_login(config.environment())?;
    let elsewhere =
        find(config, &options, &key.key).map_err(|error| error.during("get credentials"))?;
    Ok(Logout::NotHere(elsewhere))
}

/// Removes everything that is kept.
///
/// # Errors
///
/// A file or helper failed.
pub fn logout_all(config: &Config, options: &AuthOptions) -> Result<(), Error> {
    let edit = Edit::new(config, options, None)?;
    let mut failures = Vec::new();
    for name in &edit.helpers {
        let helper = Helper::new(name, config.environment());
        let done = if name == CREDENTIAL_FILES {
            edit.logout_all()
        } else if helper.exists() {
            helper
                .list()
                .and_then(|hosts| hosts.keys().try_for_each(|host| helper.erase(host).map(|_| ())))
        } else {
            Ok(())
        };
        failures.extend(done.err());
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(several("errors removing all credentials:\n\t* ", failures))
}

/// What is to be changed, and where.
struct Edit<'a> {
    config: &'a Config,
    helpers: Vec<String>,
    /// None where the default folder does not exist: an error only if the file is used.
    file: Result<CredentialFile, Error>,
    key: String,
    namespaced: bool,
}

impl<'a> Edit<'a> {
    fn new(config: &'a Config, options: &AuthOptions, key: Option<&str>) -> Result<Self, Error> {
        let environment = config.environment();
        let options = options.clone().for_login(environment)?;
        options.warn_of_docker(environment);
        let namespaced = key.map(check_key).transpose()?.unwrap_or(false);
        let key = key.unwrap_or_default();
        if let Some(path) = options.compat_authfile {
            if namespaced {
                return Err(Error::Invalid(format!(
                    "Credentials cannot be recorded in Docker-compatible format with namespaced \
                     key {key:?}"
                )));
            }
            // Docker does not know the helpers of registries.conf.
            return Ok(Self {
                config,
                helpers: vec![CREDENTIAL_FILES.to_owned()],
                file: Ok(CredentialFile { path, dress: Dress::Docker }),
                key: if key == "docker.io" { DOCKER_HUB_KEY } else { key }.to_owned(),
                namespaced: false,
            });
        }
        let path = options.authfile.map_or_else(|| default_file(environment), Ok);
        Ok(Self {
            config,
            helpers: config.registries()?.credential_helpers().to_vec(),
            file: path.map(|path| CredentialFile { path, dress: Dress::Auth }),
            key: key.to_owned(),
            namespaced,
        })
    }

    fn login(&self, username: &str, password: &Secret) -> Result<String, Error> {
        let (file, contents) = self.open()?;
        if let Some(helper) = contents.helpers.get(&self.key) {
            let stored = if self.namespaced {
                Err(unsupported(helper))
            } else {
                Helper::new(helper, self.config.environment()).store(&self.key, username, password)
            };
            return stored.map_err(|error| updating(file, error));
        }
        file.edit(|contents| {
            contents.auths.insert(self.key.clone(), Entry::new(username, password));
        })?;
        Ok(file.path.display().to_string())
    }

    fn logout(&self, removed: &mut bool) -> Result<(), Error> {
        let (file, contents) = self.open()?;
        if let Some(helper) = contents.helpers.get(&self.key) {
            *removed |= self.erase(helper).map_err(|error| updating(file, error))?;
        }
        *removed |= file.edit(|contents| contents.auths.remove(&self.key).is_some())?;
        Ok(())
    }

    fn logout_all(&self) -> Result<(), Error> {
        let (file, contents) = self.open()?;
        for (host, helper) in &contents.helpers {
            Helper::new(helper, self.config.environment())
                .erase(host)
                .map_err(|error| updating(file, error))?;
        }
        file.edit(|contents| {
            contents.helpers.clear();
            contents.auths.clear();
        })
    }

    /// Has a helper forget the key. Returns whether there was something to forget.
    fn erase(&self, helper: &str) -> Result<bool, Error> {
        if self.namespaced {
            debug!("the credential helper {helper} stores no credentials for namespaces");
            return Ok(false);
        }
        Helper::new(helper, self.config.environment()).erase(&self.key).map_err(|error| {
            error.during(format!(
                "removing credentials for {} from credential helper {helper}",
                self.key
            ))
        })
    }

    /// What the file holds now. Helpers are asked before it is locked: they may take their time.
    fn open(&self) -> Result<(&CredentialFile, Contents), Error> {
        let file = match &self.file {
            Ok(file) => file,
            Err(error) => return Err(Error::Several(error.chain())),
        };
        file.make_folder()?;
        let contents = file.read()?;
        Ok((file, contents))
    }
}

fn updating(file: &CredentialFile, error: Error) -> Error {
    error.during(format!("updating {:?}", file.path))
}

fn unsupported(helper: &str) -> Error {
    Error::Invalid(format!("namespaced key is not supported for credential helper {helper}"))
}
