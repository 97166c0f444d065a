//! Why there is no user namespace.

use std::io;
use std::path::Path;

use skopeo_image::{Classify, ErrorClass};

/// Why there is no user namespace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system does not make one.
    #[error("cannot create a user namespace: {obstacle}")]
    Unshare {
        /// What stands in the way, as far as the system tells.
        obstacle: Obstacle,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The system does not take the only map that needs no helper.
    #[error("writing {file}: {obstacle}")]
    Map {
        /// The file of the map.
        file: String,
        /// What stands in the way, as far as the system tells.
        obstacle: Obstacle,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The program cannot be started again inside.
    #[error("restarting in a user namespace")]
    Start(#[source] io::Error),
}

/// What stands in the way of a user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A switch of Debian's kernels.
    Switch,
    /// There may be none.
    Limit,
    /// Ubuntu's AppArmor takes all rights from who is in one.
    AppArmor,
    /// The system does not tell; in a container its filter of system calls is likely.
    Unknown,
}

impl Obstacle {
    /// What this system has that could be in the way. `root` is `/`, but for tests.
    pub(super) fn find(root: &Path) -> Self {
        let read = |path: &str| {
            let text = fs_err::read_to_string(root.join("proc/sys").join(path)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        if read("kernel/unprivileged_userns_clone") == Some(0) {
            Self::Switch
        } else if read("user/max_user_namespaces") == Some(0) {
            Self::Limit
        } else if read("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
            Self::AppArmor
        } else {
            Self::Unknown
        }
    }
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Switch => "kernel.unprivileged_userns_clone is 0",
            Self::Limit => "user.max_user_namespaces is 0",
            Self::AppArmor => {
                "AppArmor restricts it (kernel.apparmor_restrict_unprivileged_userns is 1)"
            }
            Self::Unknown => "the system refuses",
        })
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Unshare { .. } | Self::Map { .. } => ErrorClass::Denied,
            Self::Start(_) => ErrorClass::Other,
        })
    }

    fn hint(&self) -> Option<String> {
        let (Self::Unshare { obstacle, .. } | Self::Map { obstacle, .. }) = self else {
            return None;
        };
        let hint = match obstacle {
            Obstacle::Switch => {
                "the administrator can allow it with `sysctl kernel.unprivileged_userns_clone=1`"
            }
            Obstacle::Limit => {
                "the administrator can allow it with a larger number: `sysctl user.max_user_namespaces=15000`"
            }
            Obstacle::AppArmor => {
                "the administrator can write a profile with `userns,` for this program to /etc/apparmor.d, or allow it for all programs with \
                 `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
            }
            Obstacle::Unknown => {
                "in a container, the runtime must allow unshare(2); or copy to oci: or dir:, which need no namespace"
            }
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_obstacle_is_named() {
        for (file, text, expected) in [
            ("kernel/unprivileged_userns_clone", "0\n", Obstacle::Switch),
            ("kernel/unprivileged_userns_clone", "1\n", Obstacle::Unknown),
            ("user/max_user_namespaces", "0\n", Obstacle::Limit),
            ("user/max_user_namespaces", "15000\n", Obstacle::Unknown),
            ("kernel/apparmor_restrict_unprivileged_userns", "1\n", Obstacle::AppArmor),
            ("kernel/apparmor_restrict_unprivileged_userns", "0\n", Obstacle::Unknown),
        ] {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join("proc/sys").join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
            assert_eq!(Obstacle::find(root.path()), expected, "{file}");
            let error = Error::Unshare { obstacle: expected, source: io::Error::other("x") };
            assert!(error.hint().is_some());
        }
    }
}
