//! How a file is known to be unchanged, and a lock that a panic does not break.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use skopeo_objects::Version;

/// A file changed so shortly ago may change again without its time showing it.
const TIME_RESOLUTION: Duration = Duration::from_millis(100);

/// By what an index is known to be unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is in a file.
    File(Stamp),
    /// It is in a bucket.
    Object(Version),
}

/// By what a file is known to be unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Returns whether the file changed so long ago that another change would show.
    pub(super) fn is_settled(&self) -> bool {
        let (seconds, nanos) = self.changed;
        let changed = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
        let changed = changed.and_then(|(s, n)| {
            SystemTime::UNIX_EPOCH
                .checked_add(Duration::from_secs(s))?
                .checked_add(Duration::from_nanos(n.into()))
        });
        changed
            .and_then(|changed| SystemTime::now().duration_since(changed).ok())
            .is_some_and(|age| age > TIME_RESOLUTION)
    }
}

pub(super) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
