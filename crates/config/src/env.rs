//! Every environment variable this crate reads, and the environment as a value.
//!
//! Those of object stores are in tables in `clouds`. Nothing else in the libraries looks at the
//! process environment. Tests build an [`Environment`]
//! of their own, so that they neither depend on the machine nor disturb each other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The credential file to use when none is named; `login` and `logout` write there.
pub const REGISTRY_AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
/// Docker's configuration folder; its `config.json` is read, and written when this is set.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// Where Docker's daemon is.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// The folder of certificates for that daemon.
pub const DOCKER_CERT_PATH: &str = "DOCKER_CERT_PATH";
/// Whether the daemon's certificate is verified: anything but empty means so.
pub const DOCKER_TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";
/// Where `containers/auth.json` lies first.
pub const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
/// Replaces `~/.config`.
pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// Replaces every registries.conf; drop-ins are then not read.
pub const CONTAINERS_REGISTRIES_CONF: &str = "CONTAINERS_REGISTRIES_CONF";
/// One more registries.conf, merged after all others.
pub const CONTAINERS_REGISTRIES_CONF_OVERRIDE: &str = "CONTAINERS_REGISTRIES_CONF_OVERRIDE";
/// Replaces the search for policy.json.
pub const CONTAINERS_POLICY_JSON: &str = "CONTAINERS_POLICY_JSON";
/// Replaces every storage.conf; drop-ins are then not read.
pub const CONTAINERS_STORAGE_CONF: &str = "CONTAINERS_STORAGE_CONF";
/// One more storage.conf, merged after all others.
pub const CONTAINERS_STORAGE_CONF_OVERRIDE: &str = "CONTAINERS_STORAGE_CONF_OVERRIDE";
/// The driver of the store, whatever storage.conf says.
pub const STORAGE_DRIVER: &str = "STORAGE_DRIVER";
/// All options of the driver, separated by commas, instead of those of storage.conf; none if empty.
pub const STORAGE_OPTS: &str = "STORAGE_OPTS";
/// Replaces `~/.local/share`.
pub const XDG_DATA_HOME: &str = "XDG_DATA_HOME";
/// Where temporary files go.
pub const TMPDIR: &str = "TMPDIR";
/// The proxy for `http://` URLs. Also read in lower case.
pub const HTTP_PROXY: &str = "HTTP_PROXY";
/// The proxy for `https://` URLs. Also read in lower case.
pub const HTTPS_PROXY: &str = "HTTPS_PROXY";
/// Hosts that are reached without a proxy. Also read in lower case.
pub const NO_PROXY: &str = "NO_PROXY";
/// Set for CGI programs, where `HTTP_PROXY` may come from a request's `Proxy` header.
pub const REQUEST_METHOD: &str = "REQUEST_METHOD";
/// A file of root certificates that replaces the system's.
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// Folders of root certificates, separated by colons, that replace the system's.
pub const SSL_CERT_DIR: &str = "SSL_CERT_DIR";
/// The file that names the key providers of encrypted images.
pub const OCICRYPT_KEYPROVIDER_CONFIG: &str = "OCICRYPT_KEYPROVIDER_CONFIG";
/// The user outside of a user namespace of podman or buildah (`podman unshare`), where this program
/// seems to be root.
pub const CONTAINERS_ROOTLESS_UID: &str = "_CONTAINERS_ROOTLESS_UID";
/// Whether such a user namespace has been made, or must not be.
pub const CONTAINERS_USERNS_CONFIGURED: &str = "_CONTAINERS_USERNS_CONFIGURED";
/// Files that say how `OpenShift` is reached, separated by colons, in place of `~/.kube/config`.
pub const KUBECONFIG: &str = "KUBECONFIG";
/// The address of `OpenShift`'s API, where no such file says it.
pub const KUBERNETES_MASTER: &str = "KUBERNETES_MASTER";
/// Where programs (credential helpers) are searched.
pub const PATH: &str = "PATH";

/// The variables, home folder, user and file system root that configuration is read under.
#[derive(Clone, Debug)]
pub struct Environment {
    vars: Variables,
    home: PathBuf,
    uid: u32,
    root: PathBuf,
}

#[derive(Clone, Debug)]
enum Variables {
    Process,
    Fixed(BTreeMap<OsString, OsString>),
}

impl Environment {
    /// Returns the environment of this process. Variables are read when they are asked for.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            vars: Variables::Process,
            // Without a home nothing must be read from wherever the program was started.
            home: std::env::home_dir()
                .filter(|home| !home.as_os_str().is_empty())
                .unwrap_or_else(|| PathBuf::from("/")),
            uid: skopeo_system::user(),
            root: PathBuf::from("/"),
        }
    }

    /// Returns an environment with these variables and nothing else: `/etc`, `/run` and
    /// `/usr/share` are looked up below `root`.
    #[must_use]
    pub fn fixed<K, V>(
        vars: impl IntoIterator<Item = (K, V)>,
        home: impl Into<PathBuf>,
        uid: u32,
        root: impl Into<PathBuf>,
    ) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let vars = vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { vars: Variables::Fixed(vars), home: home.into(), uid, root: root.into() }
    }

    /// Returns the value of a variable. An empty one counts as unset.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<OsString> {
        let value = match &self.vars {
            Variables::Process => std::env::var_os(name),
            Variables::Fixed(vars) => vars.get(std::ffi::OsStr::new(name)).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// Returns whether a variable is set, if only to nothing.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match &self.vars {
            Variables::Process => std::env::var_os(name).is_some(),
            Variables::Fixed(vars) => vars.contains_key(std::ffi::OsStr::new(name)),
        }
    }

    /// Returns the value of a variable as text. One that is no UTF-8 counts as unset.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.var(name).and_then(|value| value.into_string().ok())
    }

    /// Returns the value of a variable as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// Returns the user's home folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the effective user id, outside of a user namespace that podman or buildah made.
    #[must_use]
    pub fn uid(&self) -> u32 {
        let outside = self.text(CONTAINERS_ROOTLESS_UID);
        outside.and_then(|uid| uid.parse().ok()).unwrap_or(self.uid)
    }

    /// Returns a path of the system, below the root. `path` is absolute.
    #[must_use]
    pub fn system(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_variables_count_as_unset() {
        let environment = Environment::fixed([("A", "x"), ("B", "")], "/home/me", 7, "/root");
        assert_eq!(environment.text("A").as_deref(), Some("x"));
        assert_eq!(environment.var("B"), None);
        assert_eq!(environment.path("HOME"), None);
        assert_eq!(environment.home(), Path::new("/home/me"));
        assert_eq!(environment.uid(), 7);
        assert_eq!(environment.system("/etc/x"), Path::new("/root/etc/x"));
    }

    #[test]
    fn the_process_has_a_home() {
        let environment = Environment::of_process();
        assert_ne!(environment.home(), Path::new(""));
        assert_eq!(environment.system("/etc"), Path::new("/etc"));
    }
}
