//! Manifests: the bytes, which are the truth, and views of them.

use bytes::Bytes;

use crate::{Digest, MediaType};

/// The largest manifest that is read, in bytes (the original's limit).
pub const MAX_MANIFEST_SIZE: usize = 4 * 1024 * 1024;

/// A manifest as it was received: never re-encoded unless it is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    /// What the bytes are said, or were guessed, to be.
    pub media_type: MediaType,
    /// The bytes that the digest is of.
    pub bytes: Bytes,
}

/// Which manifest of a source is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// The one the name itself leads to.
    Top,
    /// An instance of a list.
    Instance(Digest),
}
