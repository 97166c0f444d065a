//! What was made, installed and used in a root of its own, where this machine can do that.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;

use super::tree::Tree;
use super::{NAME, STANDS_IN_FOR, version};
use crate::shell;

/// Tries every package of this machine's target, and the others' programs by an emulator.
pub(super) fn all(trees: &[Tree], out: &Path) -> Result<()> {
    for tree in trees {
        tarball(tree, out)?;
        if tree.target.is_here() {
            debian(tree, out)?;
            fedora(tree, out)?;
        }
    }
    image(out)
}

fn skipped(what: &str, why: &str) {
    eprintln!("SKIPPED: {what}: {why}");
}

/// How a program of this tree is started here; nothing if it cannot be.
fn runner(tree: &Tree) -> Option<Vec<String>> {
    if tree.target.is_here() {
        return Some(Vec::new());
    }
    let emulator = format!("qemu-{}-static", tree.target.machine());
    let found = shell::find(&emulator);
    if found.is_none() {
        skipped(tree.target.triple(), &format!("{emulator} is not installed"));
    }
    found.map(|path| vec![path.display().to_string()])
}

/// Unpacks the tarball and lets its program copy an image from folder to archive and back.
fn tarball(tree: &Tree, out: &Path) -> Result<()> {
    let Some(runner) = runner(tree) else { return Ok(()) };
    let place = scratch()?;
    let folder = format!("{NAME}-{}-{}-linux", version(), tree.target.machine());
    let archive = out.join(format!("{folder}.tar.gz"));
    shell::run(Command::new("tar").arg("-C").arg(place.path()).arg("-xf").arg(archive))?;
    let program = place.path().join(folder).join("bin/skopeo");
    let mut words = runner;
    words.push(program.display().to_string());
    use_it(&words, place.path())
}

/// Asks for the version, and copies an image to and fro. `words` start the program.
fn use_it(words: &[String], place: &Path) -> Result<()> {
    let start = |arguments: &[&str]| {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments).current_dir(place).env("HOME", place);
        command
    };
    let told = shell::output(&mut start(&["--version"]))?;
    ensure!(told.starts_with(&format!("skopeo version {STANDS_IN_FOR} ")), "it says {told:?}");
    let file = place.join("hello");
    fs::write(&file, "hello\n")?;
    shell::run(Command::new("tar").current_dir(place).args(["-cf", "hello.tar", "hello"]))?;
    for (from, to) in [
        ("tarball:hello.tar", "oci:layout:1"),
        ("oci:layout:1", "docker-archive:saved.tar:hello:1"),
        ("docker-archive:saved.tar", "oci-archive:archive.tar:1"),
        ("oci-archive:archive.tar:1", "dir:folder"),
    ] {
        shell::run(&mut start(&["--insecure-policy", "copy", "--quiet", from, to]))?;
    }
    let told =
        shell::output(&mut start(&["inspect", "--format", "{{len .Layers}}", "dir:folder"]))?;
    ensure!(told == "1\n", "the image has {told:?} layers");
    Ok(())
}

/// Installs Debian's package over a `skopeo` of Debian's name, uses it, and removes it.
fn debian(tree: &Tree, out: &Path) -> Result<()> {
    if shell::find("dpkg").is_none() || !nix::unistd::geteuid().is_root() {
        skipped("Debian's package", "it takes dpkg and root");
        return Ok(());
    }
    let place = scratch()?;
    let root = place.path().join("root");
    fs::create_dir_all(root.join("var/lib/dpkg/info"))?;
    fs::create_dir_all(root.join("var/lib/dpkg/updates"))?;
    let other = format!(
        "Package: skopeo\nStatus: install ok installed\nVersion: 1.9.3\nArchitecture: {}\n\
         Maintainer: x <x@example.com>\nDescription: x\n",
        tree.target.architecture()
    );
    fs::write(root.join("var/lib/dpkg/status"), other)?;
    fs::write(root.join("var/lib/dpkg/info/skopeo.list"), "/.\n")?;
    let kept = root.join("etc/containers/policy.json");
    fs::create_dir_all(root.join("etc/containers"))?;
    fs::write(&kept, "mine")?;
    let package = out.join(format!("{NAME}_{}_{}.deb", version(), tree.target.architecture()));
    let dpkg = || {
        let mut command = Command::new("dpkg");
        command.arg(format!("--root={}", root.display())).arg("--force-script-chrootless");
        command.stdout(std::process::Stdio::null());
        command
    };
    shell::run(dpkg().arg("--install").arg(&package))?;
    let status = fs::read_to_string(root.join("var/lib/dpkg/status"))?;
    ensure!(!status.contains("Package: skopeo\nStatus: install"), "Debian's is there still");
    ensure!(fs::read_to_string(&kept)? == "mine", "policy.json of somebody was replaced");
    let written = root.join("etc/containers/registries.conf");
    ensure!(written.is_file(), "registries.conf was not written");
    shell::run(dpkg().arg("--verify").arg(NAME))?;
    use_it(&[root.join("usr/bin/skopeo").display().to_string()], place.path())?;
    shell::run(dpkg().arg("--remove").arg(NAME))?;
    ensure!(!root.join("usr/bin/skopeo").exists(), "the program is there still");
    ensure!(!written.exists(), "registries.conf is there still");
    ensure!(kept.exists(), "policy.json of somebody was removed");
    Ok(())
}

/// The same with the package of Fedora, RHEL and SUSE.
fn fedora(tree: &Tree, out: &Path) -> Result<()> {
    if shell::find("rpm").is_none() || !nix::unistd::geteuid().is_root() {
        skipped("the package of rpm", "it takes rpm and root");
        return Ok(());
    }
    let place = scratch()?;
    let root = place.path().join("root");
    fs::create_dir_all(&root)?;
    let package = out.join(format!("{NAME}-{}-1.{}.rpm", version(), tree.target.machine()));
    let rpm = || {
        let mut command = Command::new("rpm");
        command.arg("--root").arg(&root).args(["--dbpath", "/var/lib/rpm"]);
        command
    };
    shell::run(rpm().args(["--install", "--nosignature"]).arg(&package))?;
    for name in ["usr/bin/skopeo", "etc/containers/policy.json", "etc/containers/registries.conf"] {
        ensure!(root.join(name).is_file(), "{name} is not there");
    }
    shell::run(rpm().args(["--verify", NAME]))?;
    use_it(&[root.join("usr/bin/skopeo").display().to_string()], place.path())?;
    shell::run(rpm().args(["--erase", NAME]))?;
    for name in ["usr/bin/skopeo", "etc/containers"] {
        ensure!(!root.join(name).exists(), "{name} is there still");
    }
    Ok(())
}

/// Looks at the image by our own eyes, then runs it by podman, if that can run anything here.
fn image(out: &Path) -> Result<()> {
    let file = out.join(format!("{NAME}-{}-image.tar", version()));
    // Podman wants a name where an archive lists more than one manifest.
    let archive = format!("oci-archive:{}:{}", file.display(), version());
    if shell::find("podman").is_none() {
        skipped("the image", "podman is not installed");
        return Ok(());
    }
    let place = scratch()?;
    let podman = |words: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(place.path().join("root"));
        command.arg("--runroot").arg(place.path().join("run"));
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]).args(words);
        command
    };
    let pulled = shell::output(&mut podman(&["pull", "--quiet", &archive]))?;
    let image = pulled.trim();
    let run = ["run", "--rm", "--network=none", "--cgroups=disabled", "--ulimit", "host", image];
    let told = podman(&run).arg("--version").output().context("starting podman")?;
    if told.status.success() {
        return says_its_version(&told.stdout);
    }
    let why = String::from_utf8_lossy(&told.stderr).into_owned();
    let why = why.lines().last().unwrap_or("podman runs nothing here").to_owned();
    // Where podman may run nothing, buildah can do with a chroot.
    if shell::find("buildah").is_none() {
        skipped("running the image", &why);
        return Ok(());
    }
    let buildah = |words: &[&str]| {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(place.path().join("root"));
        command.arg("--runroot").arg(place.path().join("run"));
        command.args(["--storage-driver", "vfs"]).args(words);
        command
    };
    let container = shell::output(&mut buildah(&["from", "--isolation=chroot", image]))?;
    let run = ["run", "--isolation=chroot", container.trim(), "/usr/bin/skopeo", "--version"];
    says_its_version(shell::output(&mut buildah(&run))?.as_bytes())
}

fn says_its_version(told: &[u8]) -> Result<()> {
    let told = String::from_utf8_lossy(told);
    ensure!(
        told.starts_with(&format!("skopeo version {STANDS_IN_FOR} ")),
        "the image says {told:?}"
    );
    Ok(())
}

fn scratch() -> Result<tempfile::TempDir> {
    Ok(tempfile::Builder::new().prefix("skopeo-dist-").tempdir()?)
}
