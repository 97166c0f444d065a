//! The real programs that tests copy to and from.

use std::env;
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// A program on the path, and the Debian package it comes in.
const PEERS: &[(&str, &str)] = &[
    ("skopeo", "skopeo"),
    ("docker-registry", "docker-registry"),
    ("podman", "podman"),
    ("buildah", "buildah"),
    ("umoci", "umoci"),
    ("dockerd", "docker.io"),
    ("mksquashfs", "squashfs-tools"),
    ("gpg", "gnupg"),
    ("htpasswd", "apache2-utils"),
    ("openssl", "openssl"),
    ("curl", "curl"),
    ("jq", "jq"),
    ("munged", "munge"),
    ("slurmctld", "slurmctld"),
    ("slurmd", "slurmd"),
    ("sbatch", "slurm-client"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
    ("zsh", "zsh"),
    ("fish", "fish"),
];

/// Installs what is missing where we may (root, apt-get); otherwise says what will be skipped.
/// With `CI` set a missing program is an error: nothing may be skipped there.
pub(crate) fn install() -> Result<()> {
    let absent = missing();
    if absent.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = absent.iter().map(|(_, package)| *package).collect();
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

fn missing() -> Vec<(&'static str, &'static str)> {
    PEERS.iter().copied().filter(|(program, _)| shell::find(program).is_none()).collect()
}
