//! Links on the way to what is written.
//!
//! In a folder where everybody may make files, as `/tmp`, anybody may make a link and wait for who
//! has more rights to write through it. The kernel does not follow such a link when a file is
//! opened (`fs.protected_symlinks`), but it tells everybody where it leads; and who replaces a
//! file, as we do, asks just that. So the kernel's rule is kept here, for folders on the way too,
//! and whatever the kernel is set to: in a sticky folder that everybody may write to, a link is
//! followed only if we have made it, or the owner of the folder.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use skopeo_system::owner;

use crate::Error;

/// How many links are followed on one path; the kernel's limit.
const MOST_LINKS: usize = 40;

/// How Linux says that there are too many (`ELOOP`).
const TOO_MANY_LINKS: i32 = 40;

/// Returns the path without links that leads to the same, as far as it exists. It is what has to be
/// written to, or replaced. What is below `/proc` is left as it is: there, links are what is open
/// already.
///
/// # Errors
///
/// There is a link on the way that another user has made where everybody may do so
/// ([`Error::ForeignLink`]), or the links lead in a circle.
pub fn target(path: &Path) -> Result<PathBuf, Error> {
    let mut reached = PathBuf::new();
    let mut waiting = parts(path);
    let mut links = 0_usize;
    while let Some(part) = waiting.pop() {
        let next = match Path::new(&part).components().next() {
            Some(Component::ParentDir) => {
                leave(&mut reached);
                continue;
            }
            Some(Component::RootDir) => {
                reached = part.into();
                continue;
            }
            _ => reached.join(&part),
        };
        let link = fs_err::symlink_metadata(&next).ok().filter(std::fs::Metadata::is_symlink);
        let Some(link) = link.filter(|_| !next.starts_with("/proc")) else {
            reached = next;
            continue;
        };
        links = links.saturating_add(1);
        if links > MOST_LINKS {
            return Err(Error::file("open", path, io::Error::from_raw_os_error(TOO_MANY_LINKS)));
        }
        may_follow(&next, owner(&link), &reached)?;
        let leads =
            fs_err::read_link(&next).map_err(|error| Error::file("readlink", &next, error))?;
        waiting.extend(parts(&leads));
    }
    Ok(if reached.as_os_str().is_empty() { PathBuf::from(".") } else { reached })
}

/// Returns an error if [`target`] refuses the path.
///
/// # Errors
///
/// As [`target`].
pub fn check(path: &Path) -> Result<(), Error> {
    target(path).map(drop)
}

/// The parts of a path, the last first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    let mut parts: Vec<_> = parts.map(|part| part.as_os_str().to_owned()).collect();
    parts.reverse();
    parts
}

/// Goes up from a folder that no link led to.
fn leave(reached: &mut PathBuf) {
    match reached.components().next_back() {
        Some(Component::Normal(_)) => drop(reached.pop()),
        Some(Component::RootDir) => {}
        _ => reached.push(".."),
    }
}

fn may_follow(link: &Path, made_by: u32, folder: &Path) -> Result<(), Error> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let found = fs_err::metadata(folder).map_err(|error| Error::file("stat", folder, error))?;
    let is_ours = made_by == skopeo_system::user() || made_by == owner(&found);
    if is_ours || !skopeo_system::is_for_everybody(&found) {
        return Ok(());
    }
    Err(Error::ForeignLink { link: link.to_owned(), owner: made_by, folder: folder.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        /// A folder with a folder `all`, which everybody may write to, and some links.
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            for folder in ["all", "real"] {
                fs_err::create_dir(place.path(folder)).unwrap();
            }
            place.mode("all", 0o1777);
            for (link, leads) in [
                ("link", "real/file"),
                ("all/ours", "../real/file"),
                ("all/folder", "../real"),
                ("all/far", "folder/../all/ours"),
                ("circle", "circle"),
            ] {
                symlink(leads, place.path(link)).unwrap();
            }
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            fs_err::canonicalize(self.0.path()).unwrap().join(name)
        }

        fn mode(&self, name: &str, mode: u32) {
            fs_err::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode))
                .unwrap();
        }

        /// Gives something to another user; `false` where we may not.
        fn give(&self, name: &str, user: u32) -> bool {
            lchown(self.path(name), Some(user), None).is_ok()
        }

        fn target(&self, name: &str) -> Result<PathBuf, Error> {
            target(&self.path(name))
        }
    }

    #[test]
    fn our_own_links_are_followed_wherever_they_are() {
        let place = Place::new();
        for (name, leads) in [
            ("real/file", "real/file"),
            ("link", "real/file"),
            ("all/ours", "real/file"),
            ("all/./folder/none/deeper", "real/none/deeper"),
            ("all/far", "real/file"),
            ("all/folder/../link", "real/file"),
        ] {
            assert_eq!(place.target(name).unwrap(), place.path(leads), "{name}");
        }
        assert!(place.target("circle").is_err());
        assert_eq!(target(Path::new("./a")).unwrap(), Path::new("a"));
        assert_eq!(target(Path::new("../a/../b")).unwrap(), Path::new("../b"));
        assert_eq!(target(Path::new("")).unwrap(), Path::new("."));
        assert!(target(Path::new("/dev/stdout")).unwrap().starts_with("/proc"));
    }

    #[test]
    fn links_of_others_are_not_followed_where_everybody_may_make_them() {
        let place = Place::new();
        if !["all/ours", "all/folder"].iter().all(|link| place.give(link, 65_534)) {
            return; // who is not root cannot make the links of others
        }
        for name in ["all/ours", "all/folder/x", "all/far"] {
            let error = place.target(name).unwrap_err();
            assert!(matches!(error, Error::ForeignLink { owner: 65_534, .. }), "{name}: {error}");
        }
        // Also through a link elsewhere.
        symlink("all/ours", place.path("to-theirs")).unwrap();
        assert!(place.target("to-theirs").is_err());
        // Not where it is the folder's owner who made them, nor where the folder is not such a one.
        assert!(place.give("all", 65_534));
        assert!(place.target("all/ours").is_ok());
        assert!(place.give("all", 0));
        for mode in [0o777, 0o1775] {
            place.mode("all", mode);
            assert_eq!(place.target("all/far").unwrap(), place.path("real/file"), "{mode:o}");
        }
    }
}
