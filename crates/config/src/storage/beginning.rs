//! Which driver podman would begin a store with on this machine, where no file names one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Environment, programs};

/// The program that mounts overlay where the kernel does not.
const MOUNT_PROGRAM: &str = "fuse-overlayfs";

/// The first version of podman that begins the store of a user with overlay if that works. Earlier
/// ones take vfs if no file names a driver.
const OVERLAY_FOR_USERS: (u32, u32) = (4, 6);

/// What decides about the driver of a store that is not there yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning<'a> {
    pub(super) environment: &'a Environment,
    /// Whether we may do less than root.
    pub(super) rootless: bool,
    /// Whether the store is a user's own.
    pub(super) per_user: bool,
}

impl Beginning<'_> {
    /// Returns whether the podman of this machine would take vfs, whatever works here.
    pub(super) fn is_vfs(&self) -> bool {
        self.per_user && self.podman().is_some_and(|version| version < OVERLAY_FOR_USERS)
    }

    /// Returns whether the kernel mounts overlay with its files where a store will be.
    pub(super) fn kernel_mounts_overlay(&self, graph_root: &Path) -> bool {
        // Root may mount overlay on whatever can carry it, and what cannot is known by its kind.
        if !self.rootless || !self.environment.system("/proc/self/ns/mnt").exists() {
            return true;
        }
        let above = graph_root.ancestors().find(|folder| folder.is_dir());
        above.is_none_or(mounts_overlay)
    }

    /// Returns whether there is a program that mounts overlay instead of the kernel.
    pub(super) fn has_mount_program(&self) -> bool {
        programs::find(MOUNT_PROGRAM, self.environment).is_some()
    }

    /// The version of podman, if it is installed.
    fn podman(&self) -> Option<(u32, u32)> {
        let podman: PathBuf = programs::find("podman", self.environment)?;
        let mut asked = Command::new(podman);
        asked.arg("--version").stdin(Stdio::null()).stderr(Stdio::null());
        version(&String::from_utf8_lossy(&asked.output().ok()?.stdout))
    }
}

/// Major and minor number in what `podman --version` prints.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("podman version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Tries to mount overlay with its files in `folder`, as the original does. Nothing stays there.
/// Where nothing can be written the error of whoever writes says more.
#[cfg(target_os = "linux")]
fn mounts_overlay(folder: &Path) -> bool {
    use std::os::fd::AsRawFd as _;

    use nix::mount::{MntFlags, MsFlags, mount, umount2};

    let Ok(place) = tempfile::Builder::new().prefix(".overlay-").tempdir_in(folder) else {
        return true;
    };
    let merged = place.path().join("merged");
    for name in ["lower", "upper", "work", "merged"] {
        if fs_err::create_dir(place.path().join(name)).is_err() {
            return true;
        }
    }
    // A path may have the colons and commas by which options are told apart.
    let Ok(opened) = fs_err::File::open(place.path()) else { return true };
    let at = format!("/proc/self/fd/{}", opened.as_raw_fd());
    let options = format!("lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work,userxattr");
    let kind = Some("overlay");
    match mount(kind, &merged, kind, MsFlags::empty(), Some(options.as_str())) {
        Ok(()) => umount2(&merged, MntFlags::MNT_DETACH).is_ok(),
        Err(error) => {
            tracing::debug!("trying whether overlay can be mounted: {error}");
            false
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn mounts_overlay(_: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, expected) in [
            ("podman version 4.3.1\n", Some((4, 3))),
            ("podman version 5.6.0-dev", Some((5, 6))),
            ("podman version 4.6-rc1", None),
            ("podman version 6", None),
            ("docker version 4.3.1", None),
            ("", None),
        ] {
            assert_eq!(version(text), expected, "{text:?}");
        }
    }

    /// Whether it works or not, nothing is left.
    #[cfg(target_os = "linux")]
    #[test]
    fn trying_to_mount_leaves_nothing() {
        let folder = tempfile::Builder::new().prefix("a:b,c").tempdir().unwrap();
        mounts_overlay(folder.path());
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
    }
}
