//! What was made, installed and used in a root of its own, where this machine can do that.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;

use super::tree::Tree;
use super::used::{Program, says_its_version, use_it};
use super::{NAME, container, version};
use crate::shell;

/// Tries every package of this machine's target, and the others' programs by an emulator.
/// `runs` is a program that runs here.
pub(super) fn all(trees: &[Tree], runs: &Path, out: &Path) -> Result<()> {
    for tree in trees {
        tarball(tree, out)?;
        if tree.target.is_here() {
            debian(tree, out)?;
            fedora(tree, out)?;
        }
    }
    image(trees, runs, out)
}

pub(super) fn skipped(what: &str, why: &str) {
    eprintln!("SKIPPED: {what}: {why}");
}

/// How a program of this tree is started here; nothing if it cannot be.
fn runner(tree: &Tree, program: &Path) -> Option<Program> {
    let mut native = Program::native(program);
    if tree.target.is_here() {
        return Some(native);
    }
    let emulator = format!("qemu-{}-static", tree.target.machine());
    let found = shell::find(&emulator);
    if found.is_none() {
        skipped(tree.target.triple(), &format!("{emulator} is not installed"));
    }
    native.words.insert(0, found?.display().to_string());
    Some(native)
}

/// Unpacks the tarball and uses its program.
fn tarball(tree: &Tree, out: &Path) -> Result<()> {
    let place = scratch()?;
    let folder = format!("{NAME}-{}-{}-linux", version(), tree.target.machine());
    let program = place.path().join(&folder).join("bin/skopeo");
    let Some(program) = runner(tree, &program) else { return Ok(()) };
    let archive = out.join(format!("{folder}.tar.gz"));
    shell::run(Command::new("tar").arg("-C").arg(place.path()).arg("-xf").arg(archive))?;
    use_it(&program, &program, place.path()).with_context(|| folder)
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
    let program = Program::native(&root.join("usr/bin/skopeo"));
    use_it(&program, &program, place.path())?;
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
    let program = Program::native(&root.join("usr/bin/skopeo"));
    use_it(&program, &program, place.path())?;
    shell::run(rpm().args(["--erase", NAME]))?;
    for name in ["usr/bin/skopeo", "etc/containers"] {
        ensure!(!root.join(name).exists(), "{name} is there still");
    }
    Ok(())
}

/// Looks at the image by our own eyes, then runs it by podman, if that can run anything here.
fn image(trees: &[Tree], runs: &Path, out: &Path) -> Result<()> {
    let file = out.join(format!("{NAME}-{}-image.tar", version()));
    // Podman wants a name where an archive lists more than one manifest.
    let archive = format!("oci-archive:{}:{}", file.display(), version());
    let told = shell::output(Command::new(runs).args(["inspect", "--referrers", &archive]))?;
    for kind in [container::CYCLONEDX, container::IN_TOTO] {
        let found = told.matches(&format!("\"{kind}\"")).count();
        ensure!(found == trees.len(), "{found} referrers of the image are {kind}: {told}");
    }
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
    // The limits that podman asks for otherwise are more than a container of CI may give.
    let run = ["run", "--rm", "--network=none", "--ulimit=nofile=1024:1024"];
    let limit = "--ulimit=nproc=1024:1024";
    let mut why = String::new();
    // One of podman's runtimes takes no machine with old and new control groups, the other one does.
    for runtime in [&[][..], &["--runtime=runc"][..], &["--runtime=crun"][..]] {
        let words = [runtime, &run[..], &[limit, image, "--version"][..]].concat();
        let told = podman(&words).output().context("starting podman")?;
        if told.status.success() {
            return says_its_version(&String::from_utf8_lossy(&told.stdout))
                .context("in the image");
        }
        let last = String::from_utf8_lossy(&told.stderr);
        why = last.lines().last().unwrap_or("podman runs nothing here").to_owned();
    }
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
    says_its_version(&shell::output(&mut buildah(&run))?).context("in the image")
}

pub(super) fn scratch() -> Result<tempfile::TempDir> {
    Ok(tempfile::Builder::new().prefix("skopeo-dist-").tempdir()?)
}
