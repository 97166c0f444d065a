//! Sigstore's other parties, by which tests have our bundles judged: a package of PyPI and a crate.

use std::env;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::shell;

/// The package of PyPI.
const PYPI: &str = "sigstore>=4.5,<5";

/// The manifest of a program around the crate. It is no dependency of a test: everybody who runs any
/// would build 74 crates.
const MANIFEST: &str = r#"[package]
name = "judge"
version = "0.0.0"
edition = "2024"
publish = false

[dependencies]
serde_json = "1"
sigstore-trust-root = { version = "0.15", default-features = false }
sigstore-types = "0.15"
sigstore-verify = { version = "0.15", default-features = false, features = ["aws-lc-rs"] }

[profile.dev]
debug = false

[workspace]
"#;

const PROGRAM: &str = include_str!("../peers/judge.rs");

/// Installs both below the folder of what is built, where they can be had, and not in CI.
pub(crate) fn install(target: &Path) {
    if env::var_os("CI").is_some() {
        return;
    }
    if !has_package(&target.join("peers/pypi")) {
        eprintln!("SKIPPED: tests with sigstore of PyPI, which is not installed");
    }
    if !has_program(&target.join("peers/crates")) {
        eprintln!("SKIPPED: tests with the crate sigstore-verify, which could not be built");
    }
}

/// There is no virtual environment: Debian's python3 makes none without another package.
fn has_package(folder: &Path) -> bool {
    if folder.join("sigstore").exists() {
        return true;
    }
    let Some(python) = shell::find("python3") else { return false };
    println!("installing {PYPI}");
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
    succeeds(pip.arg(folder).arg(PYPI))
}

fn has_program(folder: &Path) -> bool {
    if folder.join("target/debug/judge").exists() {
        return true;
    }
    println!("building a judge with the crate sigstore-verify");
    let write = || -> io::Result<()> {
        fs_err::create_dir_all(folder.join("src"))?;
        fs_err::write(folder.join("Cargo.toml"), MANIFEST)?;
        fs_err::write(folder.join("src/main.rs"), PROGRAM)
    };
    let mut cargo = shell::cargo();
    cargo.args(["build", "--quiet", "--target-dir"]).arg(folder.join("target"));
    write().is_ok() && succeeds(cargo.current_dir(folder))
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
