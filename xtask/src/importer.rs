//! The importer of bootc and rpm-ostree, built where it may be.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::shell;

/// What the importer is built and run with: Debian's packages.
const PACKAGES: [&str; 5] = ["libostree-dev", "libssl-dev", "libzstd-dev", "ostree", "pkg-config"];

/// Builds it into `peers/importer` below `target`, unless it is there or this is CI. It takes two
/// minutes, once; where it cannot be built, its tests are skipped.
pub(crate) fn install(target: &Path) {
    let folder = target.join("peers/importer");
    if folder.join("debug/ostree-importer").exists() || env::var_os("CI").is_some() {
        return;
    }
    if !(has_libraries() || (install_libraries() && has_libraries())) || !build(&folder) {
        eprintln!("SKIPPED: tests with the importer of bootc (Debian: {})", PACKAGES.join(" "));
    }
}

fn has_libraries() -> bool {
    let mut asked = Command::new("pkg-config");
    asked.args(["--exists", "ostree-1", "openssl", "libzstd"]);
    shell::find("ostree").is_some() && asked.status().is_ok_and(|status| status.success())
}

fn install_libraries() -> bool {
    if !nix::unistd::geteuid().is_root() || shell::find("apt-get").is_none() {
        return false;
    }
    println!("installing {}", PACKAGES.join(" "));
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt.args(["-qq", "install", "-y", "--no-install-recommends"]).args(PACKAGES);
    apt.status().is_ok_and(|status| status.success())
}

fn build(folder: &Path) -> bool {
    println!("building the importer of bootc");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/importer/Cargo.toml");
    let mut cargo = shell::cargo();
    cargo.args(["build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir"]);
    cargo.arg(folder).status().is_ok_and(|status| status.success())
}
