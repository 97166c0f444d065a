//! A machine of one's own for tests: a root and a home in a temporary folder.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Config, Environment, Error, Overrides};

pub(crate) struct Machine {
    folder: TempDir,
    vars: Vec<(String, PathBuf)>,
    uid: u32,
    pub(crate) overrides: Overrides,
}

impl Machine {
    /// A machine without any file, for an ordinary user.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("home")).unwrap();
        let vars = vec![("PATH".to_owned(), folder.path().join("bin"))];
        Self { folder, vars, uid: 1000, overrides: Overrides::default() }
    }

    pub(crate) fn rootful(mut self) -> Self {
        self.uid = 0;
        self
    }

    /// Sets a variable to the path of something on this machine.
    pub(crate) fn var_path(mut self, name: &str, path: &str) -> Self {
        self.vars.push((name.to_owned(), self.path(path)));
        self
    }

    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.push((name.to_owned(), value.into()));
        self
    }

    /// Writes a file; the folders above it are made. `home/…` is in the home folder.
    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    /// Writes a shell script that can be found by its name.
    pub(crate) fn program(self, name: &str, script: &str) -> Self {
        let path = format!("bin/{name}");
        self.write(&path, &format!("#!/bin/sh\n{script}\n"));
        let path = self.path(&path);
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.path(path)).unwrap()
    }

    pub(crate) fn environment(&self) -> Environment {
        let vars = self.vars.iter().cloned();
        Environment::fixed(vars, self.path("home"), self.uid, self.root())
    }

    pub(crate) fn config(&self) -> Config {
        Config::with_environment(self.overrides.clone(), self.environment())
    }

    /// The error in one line, with the machine's own folder taken out.
    pub(crate) fn plain(&self, error: &Error) -> String {
        error.chain().replace(self.root().to_str().unwrap(), "")
    }
}
