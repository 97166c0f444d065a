//! What tells a file from what it was.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells a file from what it was before it was written to or replaced.
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
        found.filter(std::fs::Metadata::is_file).map(|found| Self::of(&found))
    }

    /// Returns that of a file of which the system knows this.
    #[must_use]
    pub fn of(found: &std::fs::Metadata) -> Self {
        Self {
            place: (found.dev(), found.ino()),
            size: found.len(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// Returns whether it is the same file with the same content, but for its names: the time of the last
    /// change, which nobody can set, moves when a file gets another name.
    #[must_use]
    pub fn is_renamed(&self, before: &Self) -> bool {
        Self { changed: before.changed, ..*self } == *before
    }
}
