//! What is wrong with what was found under a name.

use skopeo_image::{Classify, Digest, ErrorClass};

/// What is wrong with what was found under a name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// A manifest is another than the one asked for.
    #[error("Manifest does not match provided manifest digest {0}")]
    ManifestMismatch(Digest),
    /// A blob that should be small is not.
    #[error("reading blob {digest}: {size} bytes, more than the limit of {limit}")]
    BlobTooLarge {
        /// Its digest.
        digest: Digest,
        /// Its length in bytes, or as much of it as was read.
        size: u64,
        /// The longest that is read, in bytes.
        limit: u64,
    },
    /// An entry whose blobs cannot be known, so that deleting is not safe.
    #[error("unsupported mediaType in index: {0:?}")]
    UnknownEntry(String),
}

impl Classify for ContentError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::ManifestMismatch(_) => Some(ErrorClass::DigestMismatch),
            Self::UnknownEntry(_) => Some(ErrorClass::InvalidImage),
            Self::BlobTooLarge { .. } => None,
        }
    }
}
