//! A keyring of GnuPG for a test, whose agent ends with it.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::home::Home;
use crate::run::{Run, installed, run};

/// The keyring in a home, `~/.gnupg`.
pub struct Gpg<'a> {
    home: &'a Home,
    program: PathBuf,
}

impl<'a> Gpg<'a> {
    /// Returns an empty keyring; `None` where gpg is not installed.
    ///
    /// # Panics
    /// If there is no room for it.
    #[must_use]
    pub fn new(home: &'a Home) -> Option<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let program = installed("gpg")?;
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).recursive(true).create(home.path("home/.gnupg")).expect("a folder");
        Some(Self { home, program })
    }

    /// Makes a key that signs, and gives its fingerprint.
    ///
    /// # Panics
    /// If gpg does not.
    #[must_use]
    pub fn key(&self, name: &str, passphrase: &str) -> String {
        self.run(&[
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            passphrase,
            "--quick-generate-key",
            name,
            "rsa2048",
            "sign",
            "never",
        ])
        .success();
        let list =
            self.run(&["--with-colons", "--list-secret-keys", &format!("={name}")]).success();
        let line = list.stdout.lines().find(|line| line.starts_with("fpr:")).expect("a key");
        line.split(':').nth(9).expect("a fingerprint").to_owned()
    }

    /// Writes the public key to a file in the home's `work`, and gives its path.
    ///
    /// # Panics
    /// If there is no such key.
    #[must_use]
    pub fn export(&self, key: &str) -> String {
        let path = self.home.work(&format!("{key}.gpg"));
        self.run(&["--yes", "--output", &path, "--export", key]).success();
        path
    }

    /// Makes the agent forget all pass phrases.
    pub fn forget(&self) {
        let _ = self.command("gpgconf").args(["--kill", "all"]).status();
    }

    /// Runs gpg.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Run {
        run(self.home, &self.program, &[&["--batch"], arguments].concat())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.home.command(program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Gpg<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

impl fmt::Debug for Gpg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gpg").field(&self.home.path("home/.gnupg")).finish()
    }
}
