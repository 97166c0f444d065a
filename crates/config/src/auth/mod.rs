//! Which credentials belong to which name, and where `login` and `logout` keep them.

mod edit;
mod fields;
mod file;
mod helper;

use std::path::{Path, PathBuf};

use skopeo_image::{Reference, Secret};
use tracing::{debug, warn};

pub use edit::{Logout, login, logout, logout_all};

use crate::registries::CREDENTIAL_FILES;
use crate::{Config, Environment, Error, env};
use file::{CredentialFile, Dress};
use helper::Helper;

/// The key under which Docker itself keeps the credentials of docker.io.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// What is kept for a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stored {
    /// Nothing.
    #[default]
    None,
    /// A user name and a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that is exchanged for others at the registry's token server.
    IdentityToken {
        /// The user it was given to, where that is known.
        username: String,
        /// The token.
        token: Secret,
    },
}

impl Stored {
    /// Returns whether there is nothing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Returns the user, where one is known.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Basic { username, .. } | Self::IdentityToken { username, .. } => {
                Some(username.as_str()).filter(|username| !username.is_empty())
            }
        }
    }
}

/// Credential files that were named by flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthOptions {
    /// `--authfile`. An empty path stands for the usual search, whatever the environment says.
    pub authfile: Option<PathBuf>,
    /// `--compat-auth-file`: a file that Docker uses too.
    pub compat_authfile: Option<PathBuf>,
}

impl AuthOptions {
    /// Returns the files that `login` and `logout` work on: those named by flags, else
    /// `REGISTRY_AUTH_FILE`, else `$DOCKER_CONFIG/config.json` in Docker's format, else (none of
    /// both) the usual search.
    ///
    /// # Errors
    ///
    /// Both files are named.
    pub fn for_login(self, environment: &Environment) -> Result<Self, Error> {
        match (&self.authfile, &self.compat_authfile) {
            (Some(_), Some(_)) => Err(Error::Invalid(
                "options for paths to the credential file and to the Docker-compatible credential \
                 file can not be set simultaneously"
                    .to_owned(),
            )),
            (None, None) => {
                let authfile = environment.path(env::REGISTRY_AUTH_FILE);
                let docker = environment.path(env::DOCKER_CONFIG).filter(|_| authfile.is_none());
                let compat_authfile = docker.map(|folder| folder.join("config.json"));
                Ok(Self { authfile, compat_authfile })
            }
            _ => Ok(self),
        }
    }

    /// Warns of writing to Docker's file in another format than Docker's.
    fn warn_of_docker(&self, environment: &Environment) {
        if self.authfile != Some(environment.home().join(".docker/config.json")) {
            return;
        }
        if self.authfile == environment.path(env::REGISTRY_AUTH_FILE) {
            warn!(
                "$REGISTRY_AUTH_FILE points to ~/.docker/config.json, but the file format is not \
                 fully compatible; use the Docker-compatible file path option instead"
            );
        } else {
            warn!(
                "saving credentials to ~/.docker/config.json, but not using Docker-compatible \
                 file format"
            );
        }
    }
}

/// What credentials are kept under: a host, or a host and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The whole key.
    pub key: String,
    /// The host, with its port.
    pub registry: String,
}

impl Key {
    /// Parses what a user gives to `login` or `logout`. Of a URL only the host and port count.
    ///
    /// # Errors
    ///
    /// It is no repository, or has a tag or digest.
    pub fn parse(argument: &str) -> Result<Self, Error> {
        let key = if argument.starts_with("https://") || argument.starts_with("http://") {
            let url = url::Url::parse(argument)
                .map_err(|error| Error::Invalid(format!("trimming http{{s}} prefix: {error}")))?;
            let host = url.host_str().unwrap_or_default();
            // `Url` drops a port that is the scheme's own; the user's text decides.
            let typed = argument.split('/').nth(2).unwrap_or_default();
            let typed = typed.rsplit('@').next().unwrap_or_default();
            if typed.is_empty() { host.to_owned() } else { typed.to_owned() }
        } else {
            argument.to_owned()
        };
        let registry = host_of(&key).to_owned();
        if registry == key {
            return Ok(Self { key, registry });
        }
        // Only checked, not used: normalising would turn docker.io/vendor into
        // docker.io/library/vendor.
        let reference = Reference::parse_normalized(&key)
            .map_err(|error| Error::Invalid(format!("parse reference from {key:?}: {error}")))?;
        if reference.tag.is_some() || reference.digest.is_some() {
            let full = reference.to_string();
            return Err(Error::Invalid(format!("reference {full:?} contains tag or digest")));
        }
        if reference.name.domain() != registry {
            return Err(Error::Invalid(format!("{key:?} does not begin with a registry")));
        }
        Ok(Self { key, registry })
    }
}

/// Finds the credentials for a repository, a namespace or a host.
///
/// All helpers of registries.conf are asked in turn, the credential files being one of them; within
/// a file the longest key that is a parent of `key` counts. An explicit file is the only one read.
///
/// # Errors
///
/// `key` is no such name; a file or helper failed and no other had something.
pub fn find(config: &Config, options: &AuthOptions, key: &str) -> Result<Stored, Error> {
    check_key(key)?;
    let host = host_of(key);
    let mut failures = Vec::new();
    for helper in config.registries()?.credential_helpers() {
        let found = if helper == CREDENTIAL_FILES {
            find_in_files(config.environment(), options, key, host)
        } else {
            // Helpers know hosts only.
            Helper::new(helper, config.environment()).get(host)
        };
        match found {
            Ok(Stored::None) => {}
            Ok(found) => {
                debug!("found credentials for {key} in credential helper {helper}");
                return Ok(found);
            }
            Err(error) => {
                debug!("asking credential helper {helper} about {key}: {}", error.chain());
                failures.push(error);
            }
        }
    }
    if failures.is_empty() {
        debug!("no credentials for {key} found");
        return Ok(Stored::None);
    }
    Err(several("errors looking up credentials:\n\t* ", failures))
}

/// Returns the credentials that `login` would replace, in the file it would write.
///
/// # Errors
///
/// As [`find`].
pub fn current(config: &Config, options: &AuthOptions, key: &Key) -> Result<Stored, Error> {
    let options = options.clone().for_login(config.environment())?;
    find(config, &options, &key.key).map_err(|error| error.during("get credentials"))
}

/// Returns the user that is logged in, for `login --get-login`.
///
/// # Errors
///
/// Nobody is ([`Error::NotLoggedIn`]); or as [`find`].
pub fn get_login(config: &Config, options: &AuthOptions, key: &Key) -> Result<String, Error> {
    let stored = current(config, options, key)?;
    let username = stored.username().map(str::to_owned);
    username.ok_or_else(|| Error::NotLoggedIn(key.key.clone()))
}

/// Returns an error if a credential file was named but is not there.
///
/// # Errors
///
/// The file cannot be reached.
pub fn check_file(path: Option<&Path>) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    fs_err::metadata(path).map(|_| ()).map_err(|error| {
        Error::file("stat", path, error).during("credential file is not accessible")
    })
}

/// The files to read, in order.
fn files(environment: &Environment, options: &AuthOptions) -> Vec<CredentialFile> {
    let plain = |path| CredentialFile { path, dress: Dress::Auth };
    let explicit = (options.authfile.clone())
        .or_else(|| options.compat_authfile.clone())
        .or_else(|| environment.path(env::REGISTRY_AUTH_FILE))
        .filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = explicit {
        return vec![plain(path)];
    }
    let mut files = Vec::with_capacity(4);
    match default_file(environment) {
        Ok(path) => files.push(plain(path)),
        Err(error) => {
            warn!(
                "{}: Trying to pull image in the event that it is a public image.",
                error.chain()
            );
        }
    }
    let home = environment.home();
    files.push(plain(crate::paths::user_config(environment).join("auth.json")));
    let docker = environment.path(env::DOCKER_CONFIG).unwrap_or_else(|| home.join(".docker"));
    files.push(plain(docker.join("config.json")));
    files.push(CredentialFile { path: home.join(".dockercfg"), dress: Dress::Legacy });
    files
}

/// `$XDG_RUNTIME_DIR/containers/auth.json`, or the one below /run.
fn default_file(environment: &Environment) -> Result<PathBuf, Error> {
    let Some(runtime) = environment.path(env::XDG_RUNTIME_DIR) else {
        let uid = environment.uid();
        return Ok(environment.system(&format!("/run/containers/{uid}/auth.json")));
    };
    match fs_err::metadata(&runtime) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::file("stat", &runtime, error).during(format!(
                "{runtime:?} directory set by $XDG_RUNTIME_DIR does not exist. Either create the \
                 directory or unset $XDG_RUNTIME_DIR."
            )))
        }
        _ => Ok(runtime.join("containers/auth.json")),
    }
}

fn find_in_files(
    environment: &Environment,
    options: &AuthOptions,
    key: &str,
    host: &str,
) -> Result<Stored, Error> {
    let files = files(environment, options);
    // A file that was named must be read. Of those that may be there, one that belongs to somebody
    // else, as after `sudo`, keeps nobody from what is public.
    let named = files.len() == 1;
    for file in files {
        let found = match find_in_file(environment, &file, key, host) {
            Err(error) if !named && error.is_permission_denied() => {
                warn!(
                    "{}; going on without its credentials. --authfile or $REGISTRY_AUTH_FILE names \
                     another file",
                    error.chain()
                );
                continue;
            }
            found => found?,
        };
        if !found.is_none() {
            debug!("the credentials for {key} are from {}", file.path.display());
            return Ok(found);
        }
    }
    Ok(Stored::None)
}

fn find_in_file(
    environment: &Environment,
    file: &CredentialFile,
    key: &str,
    host: &str,
) -> Result<Stored, Error> {
    let contents = file.read()?;
    if let Some(helper) = contents.helpers.get(host) {
        debug!("credential helper {helper} is configured for {host} in {}", file.path.display());
        return Helper::new(helper, environment).get(host);
    }

    let legacy = file.dress == Dress::Legacy;
    let exact = parents(if legacy { host } else { key }).find(|key| !contents.lacks(key));
    // Docker used to keep whole URLs as keys, and still does for docker.io.
    let wanted = normal_host(host);
    let found = exact
        .map(str::to_owned)
        .or_else(|| contents.auths.keys().find(|key| normal_key(key, legacy) == wanted).cloned());
    let stored = match &found {
        Some(key) => contents.stored(key, &file.path)?,
        None => Stored::None,
    };
    match contents.store() {
        Some(store) if stored.is_none() => {
            Ok(find_in_store(environment, store, host, found.is_some()))
        }
        _ => Ok(stored),
    }
}

/// Asks the helper that Docker's config.json names for all hosts. `marked`: the file has an empty
/// entry for the host, which is how Docker notes that the helper has something.
///
/// Beyond the original, which does not know `credsStore`: so it must not break what works there,
/// and a failing helper is no error.
fn find_in_store(environment: &Environment, store: &str, host: &str, marked: bool) -> Stored {
    let key = if normal_host(host) == normal_host("docker.io") { DOCKER_HUB_KEY } else { host };
    match Helper::new(store, environment).get(key) {
        Ok(stored) => stored,
        Err(error) if marked => {
            warn!("asking the credsStore {store} about {host}: {}", error.chain());
            Stored::None
        }
        Err(error) => {
            debug!("asking the credsStore {store} about {host}: {}", error.chain());
            Stored::None
        }
    }
}

/// `a/b/c`, `a/b`, `a`.
fn parents(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| key.rsplit_once('/').map(|(parent, _)| parent))
}

/// The host that a key of a file stands for, if it stands for a host.
fn normal_key(key: &str, legacy: bool) -> &str {
    let stripped = key.strip_prefix("http://").unwrap_or(key);
    let stripped = stripped.strip_prefix("https://").unwrap_or(stripped);
    normal_host(if legacy || stripped != key { host_of(stripped) } else { stripped })
}

/// All names of Docker's own registry become one.
fn normal_host(host: &str) -> &str {
    match host {
        "registry-1.docker.io" | "docker.io" => "index.docker.io",
        host => host,
    }
}

fn host_of(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

/// Whether a key names more than a host.
fn check_key(key: &str) -> Result<bool, Error> {
    if key.starts_with("http://") || key.starts_with("https://") {
        return Err(Error::Invalid(format!("key {key} contains http[s]:// prefix")));
    }
    if key.contains('@') {
        return Err(Error::Invalid(format!("key {key} contains a '@' character")));
    }
    let path = key.split_once('/').map(|(_, path)| path);
    if path.is_some_and(|path| path.contains(':')) {
        let text = format!("key {key} contains a ':' character after host[:port]");
        return Err(Error::Invalid(text));
    }
    Ok(path.is_some())
}

/// One error as it is, several as a list.
fn several(first: &str, mut errors: Vec<Error>) -> Error {
    if errors.len() == 1 {
        return errors.swap_remove(0);
    }
    let texts: Vec<_> = errors.iter().map(Error::chain).collect();
    Error::Several(format!("{first}{}\n", texts.join("\n\t* ")))
}

#[cfg(test)]
mod tests;
