//! Whether two files are one, and whether one has changed.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// What tells a file from what it was before it was written to or replaced.
///
/// On Windows it has no number of the file: two files of one size that were made and written at the same
/// moments have the same stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    place: (u64, u64),
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Returns that of the file at `path`; `None` if there is none that can be seen.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        fs_err::metadata(path).ok().map(|found| Self::of(&found))
    }

    /// Returns that of the regular file at `path`; `None` if there is none, or a link.
    #[must_use]
    pub fn of_file(path: &Path) -> Option<Self> {
        let found = fs_err::symlink_metadata(path).ok();
        found.filter(Metadata::is_file).map(|found| Self::of(&found))
    }

    /// Returns that of a file of which the system knows this.
    #[cfg(unix)]
    #[must_use]
    pub fn of(found: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;

        Self {
            place: (found.dev(), found.ino()),
            size: found.len(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// Returns that of a file of which the system knows this.
    #[cfg(windows)]
    #[must_use]
    pub fn of(found: &Metadata) -> Self {
        use std::os::windows::fs::MetadataExt as _;

        let written = i64::try_from(found.last_write_time()).unwrap_or_default();
        Self {
            place: (found.creation_time(), 0),
            size: found.len(),
            written: (written, 0),
            changed: (0, 0),
        }
    }

    /// Returns whether it is the same file with the same content, but for its names: the time of the last
    /// change, which nobody can set, moves when a file gets another name.
    #[must_use]
    pub fn is_renamed(&self, before: &Self) -> bool {
        Self { changed: before.changed, ..*self } == *before
    }
}

/// Returns whether a path still leads to this very file.
///
/// # Errors
/// If the system does not say. That there is nothing at the path is no error.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match same(file, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        same => same,
    }
}

#[cfg(unix)]
fn same(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;

    let inode = |metadata: Metadata| (metadata.dev(), metadata.ino());
    Ok(inode(path.metadata()?) == inode(file.metadata()?))
}

#[cfg(windows)]
fn same(file: &File, path: &Path) -> io::Result<bool> {
    let there = same_file::Handle::from_path(path)?;
    Ok(there == same_file::Handle::from_file(file.try_clone()?)?)
}

/// Returns how many names a file has. Windows is not asked: one.
#[cfg(unix)]
#[must_use]
pub fn names(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(found)
}

/// Returns how many names a file has. Windows is not asked: one.
#[cfg(windows)]
#[must_use]
pub fn names(_: &Metadata) -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("file"), folder.path().join("other"));
        fs_err::write(&path, "one").unwrap();
        fs_err::write(&other, "one").unwrap();
        let file = File::options().read(true).open(&path).unwrap();
        assert!(is_at(&file, &path).unwrap());
        assert!(!is_at(&file, &other).unwrap());
        let stamp = Stamp::of(&file.metadata().unwrap());
        fs_err::rename(&other, &path).unwrap();
        assert!(!is_at(&file, &path).unwrap());
        assert_ne!(stamp, Stamp::of(&fs_err::metadata(&path).unwrap()));
        fs_err::remove_file(&path).unwrap();
        assert!(!is_at(&file, &path).unwrap());
    }
}
