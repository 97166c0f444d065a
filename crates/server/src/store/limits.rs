//! How much may be stored, and how long is waited for.

use std::time::Duration;

/// What keeps a folder from being filled or held for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageLimits {
    /// The largest blob that is taken, in bytes.
    pub max_blob: Option<u64>,
    /// How many bytes blobs and uploads may have together. A blob that several repositories share
    /// by hard links counts once.
    pub max_storage: Option<u64>,
    /// How long a request waits for the lock of a layout or of an upload that another one has,
    /// before it is told to come back.
    pub lock: Duration,
    /// An upload that nobody has written to for so long is removed.
    pub abandoned: Duration,
}

impl Default for StorageLimits {
    fn default() -> Self {
        Self {
            max_blob: None,
            max_storage: None,
            lock: Duration::from_secs(30),
            abandoned: Duration::from_secs(24 * 60 * 60),
        }
    }
}
