//! Why something is not taken, or not read, although nothing is wrong with it: there is no room.

use std::io;

/// Why something is not taken. It travels inside an [`io::Error`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The blob is larger than a blob may be.
    #[error("the blob is larger than this registry accepts: {0} bytes at most")]
    Blob(u64),
    /// All blobs together are.
    #[error("this registry is full: it stores {0} bytes at most")]
    Storage(u64),
    /// An index would list more manifests than are read of one.
    #[error("this repository is full: its index lists {0} manifests at most")]
    Manifests(u64),
    /// An index would have more bytes than are read of one.
    #[error("this repository is full: its index has {0} bytes at most")]
    Index(u64),
    /// An index has more bytes than are read of one.
    #[error("the index.json of this repository has more than {0} bytes: this is too much to serve")]
    LongIndex(u64),
    /// An index lists more manifests than are read of one.
    #[error(
        "the index.json of this repository lists more than {0} manifests: this is too much to serve"
    )]
    ManyManifests(u64),
    /// What a request needs is more than there ever is.
    #[error(
        "this needs more than the {0} bytes of memory that this registry has for indexes (three \
         sixteenths of --max-memory)"
    )]
    Memory(u64),
    /// Others write to a bucket all the time.
    #[error("others are writing to this registry all the time")]
    Crowded,
    /// Uploads of others have all the memory that there is for them.
    #[error("uploads use too much memory at the moment")]
    Uploads,
    /// What a request needs is more than there is at the moment.
    #[error("indexes use too much memory at the moment")]
    Busy,
}

impl Refusal {
    /// The refusal that an error is.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(io::ErrorKind::QuotaExceeded, refusal)
    }
}
