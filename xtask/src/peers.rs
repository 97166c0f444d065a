//! The real programs that tests copy to and from.

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{importer, judges, shell};

/// Each line: a program on the path, and the Debian package it comes in. The tests look programs up
/// in the same list, so that none of them is forgotten here.
const PEERS: &str = include_str!("../peers.txt");

/// Installs what is missing where we may (root, apt-get); otherwise says what will be skipped.
/// With `CI` set a missing program is an error: nothing may be skipped there.
pub(crate) fn install() -> Result<()> {
    install_debian()?;
    install_npm();
    install_python();
    if let Some(target) = target() {
        importer::install(&target);
        judges::install(&target);
    }
    Ok(())
}

/// Installs the programs that come in packages of Debian, as [`install`] does.
pub(crate) fn install_debian() -> Result<()> {
    let absent = missing();
    if absent.is_empty() {
        return Ok(());
    }
    let packages: BTreeSet<&str> = absent.iter().map(|(_, package)| *package).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    if nix::unistd::geteuid().is_root() && shell::find("apt-get").is_some() {
        println!("installing {}", packages.join(" "));
        let apt = || {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
            command
        };
        let _ = shell::run(apt().arg("update"));
        let install =
            apt().args(["install", "-y", "--no-install-recommends"]).args(&packages).status();
        if !install.is_ok_and(|status| status.success()) {
            eprintln!("apt-get could not install all of them");
        }
    }
    for (program, package) in missing() {
        eprintln!("SKIPPED: tests with {program}, which is not installed (Debian: {package})");
    }
    if env::var_os("CI").is_some() && !missing().is_empty() {
        bail!("in CI no test may be skipped for want of a program");
    }
    Ok(())
}

/// A package of Python's index that speaks as S3 does.
const PYTHON: &str = "moto[s3,server]==5.2.1";

/// Installs it below the folder of what is built. There is no virtual environment: Debian's python3
/// makes none without another package.
fn install_python() {
    let Some(target) = target() else { return };
    let folder = target.join("peers/python");
    if folder.join("moto").exists() {
        return;
    }
    println!("installing {PYTHON}");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
    let installed = pip.arg(&folder).arg(PYTHON).status().is_ok_and(|status| status.success());
    if !installed {
        eprintln!("SKIPPED: tests with moto, which is not installed (pip: {PYTHON})");
    }
}

/// Packages of npm that judge what is made in the form of sigstore, and one that speaks as Azure's
/// stores do.
const NPM: [&str; 6] = [
    "@sigstore/bundle@4",
    "@sigstore/mock@0.12",
    "@sigstore/protobuf-specs@0.5",
    "@sigstore/sign@4",
    "@sigstore/verify@3",
    "azurite@3",
];

/// Installs them below the folder of what is built, where there is npm and not in CI.
fn install_npm() {
    let Some(target) = target() else { return };
    let folder = target.join("peers/npm");
    let there = |name: &str| folder.join("node_modules").join(name).exists();
    if (there("@sigstore/verify") && there("azurite")) || env::var_os("CI").is_some() {
        return;
    }
    let installed = shell::find("npm").is_some() && {
        println!("installing {}", NPM.join(" "));
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--prefix"]);
        npm.arg(&folder).args(NPM).status().is_ok_and(|status| status.success())
    };
    if !installed {
        eprintln!(
            "SKIPPED: tests with packages of npm (sigstore, azurite), which are not installed"
        );
    }
}

/// The folder of what is built.
fn target() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.parent()?.parent()?.to_owned())
}

fn missing() -> Vec<(&'static str, &'static str)> {
    let all = PEERS.lines().filter_map(|line| line.split_once(' '));
    all.filter(|(program, _)| shell::find(program).is_none()).collect()
}
