//! A home of one's own: no file of the machine's configuration counts.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fs_err as fs;
use serde_json::{Value, json};

/// A home directory for one test, with a policy that admits everything.
#[derive(Debug)]
pub struct Home {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// Empty but for the policy.
    ///
    /// # Panics
    /// If there is no room for it.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("skopeo-home-").tempdir().expect("a folder");
        let home = Self { folder, variables: Vec::new() };
        for below in ["home/.config/containers", "home/.docker", "run/containers", "tmp", "work"] {
            fs::create_dir_all(home.path(below)).expect("a folder");
        }
        home.registries_conf("unqualified-search-registries = []\n");
        home.policy(&json!({"default": [{"type": "insecureAcceptAnything"}]}));
        home
    }

    /// Returns a path in it. `work` is where programs are started, `tmp` where they put what is
    /// large.
    #[must_use]
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Returns a path in `work`, as text.
    #[must_use]
    pub fn work(&self, name: &str) -> String {
        self.path("work").join(name).display().to_string()
    }

    /// Returns where `login` writes: `$XDG_RUNTIME_DIR/containers/auth.json`.
    #[must_use]
    pub fn auth_file(&self) -> PathBuf {
        self.path("run/containers/auth.json")
    }

    /// `~/.config/containers/policy.json` is this.
    pub fn policy(&self, document: &Value) {
        self.write("home/.config/containers/policy.json", &document.to_string());
    }

    /// There is no policy.
    pub fn no_policy(&self) {
        let _ = fs::remove_file(self.path("home/.config/containers/policy.json"));
    }

    /// `~/.config/containers/registries.conf` is this.
    pub fn registries_conf(&self, text: &str) {
        self.write("home/.config/containers/registries.conf", text);
    }

    /// Registries, `host:port`, that are reached by plain HTTP or with any certificate.
    pub fn insecure(&self, hosts: &[&str]) {
        let table = |host: &&str| format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
        self.registries_conf(&hosts.iter().map(table).collect::<String>());
    }

    /// A file `~/.config/containers/registries.d/NAME.yaml`.
    pub fn registries_d(&self, name: &str, text: &str) {
        self.write(&format!("home/.config/containers/registries.d/{name}.yaml"), text);
    }

    /// Certificates of a registry, `~/.config/containers/certs.d/HOST/NAME`.
    pub fn certificate(&self, host: &str, name: &str, pem: &str) {
        self.write(&format!("home/.config/containers/certs.d/{host}/{name}"), pem);
    }

    /// Credentials in `auth.json`, in place of those so far.
    pub fn auth(&self, key: &str, user: &str, password: &str) {
        self.write("run/containers/auth.json", &auths(key, user, password));
    }

    /// Credentials in Docker's `~/.docker/config.json`.
    pub fn docker_auth(&self, key: &str, user: &str, password: &str) {
        self.write("home/.docker/config.json", &auths(key, user, password));
    }

    /// Any file below it.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Sets a variable for all programs that are run in it.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the environment, whole: nothing else is in it.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: PathBuf| path.display().to_string();
        let mut variables: Vec<(String, String)> = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("HOME", text(self.path("home"))),
            ("XDG_CONFIG_HOME", text(self.path("home/.config"))),
            ("XDG_RUNTIME_DIR", text(self.path("run"))),
            ("XDG_DATA_HOME", text(self.path("home/.local/share"))),
            ("XDG_CACHE_HOME", text(self.path("home/.cache"))),
            ("TMPDIR", text(self.path("tmp"))),
            // A root's programs read /etc and not its home: these say it outright.
            (
                "CONTAINERS_REGISTRIES_CONF",
                text(self.path("home/.config/containers/registries.conf")),
            ),
            ("CONTAINERS_STORAGE_CONF", text(self.path("home/.config/containers/storage.conf"))),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("TZ", "UTC".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        variables.extend(self.variables.iter().cloned());
        variables
    }

    /// Returns a program, to be started in `work` with this environment.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().envs(self.environment()).current_dir(self.path("work"));
        command
    }
}

fn auths(key: &str, user: &str, password: &str) -> String {
    let auth = STANDARD.encode(format!("{user}:{password}"));
    json!({"auths": {key: {"auth": auth}}}).to_string()
}
