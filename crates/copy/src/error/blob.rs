//! What can go wrong with a blob on its way.

use skopeo_blob::crypt::CryptError;
use skopeo_blob::{BoxError, StreamError};
use skopeo_image::{Classify, Digest, ErrorClass};
use skopeo_transport::Error as TransportError;

/// Why a blob was not copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The destination did not say whether it has the blob.
    #[error("trying to reuse blob {digest} at destination")]
    Reuse {
        /// The blob.
        digest: Digest,
        /// Why.
        #[source]
        source: Box<TransportError>,
    },
    /// The blob could not be read, or does not match its digest.
    #[error("reading blob {digest}{}", tries(*.tried))]
    Read {
        /// The blob.
        digest: Digest,
        /// How often it was tried.
        tried: u32,
        /// Whether trying again may help.
        transient: bool,
        /// Whether the source has tried it as often as it may.
        spent: bool,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The blob could not be written.
    #[error("writing blob{}", tries(*.tried))]
    Write {
        /// How often it was tried.
        tried: u32,
        /// Why.
        #[source]
        source: Box<TransportError>,
    },
    /// The destination stored the blob under another digest than its own.
    #[error(
        "Internal error writing blob {expected}, blob with digest {expected} saved with digest \
         {stored}"
    )]
    StoredAs {
        /// The blob.
        expected: Digest,
        /// The digest that it got.
        stored: Digest,
    },
    /// The key of an encrypted layer could not be opened.
    #[error("decrypting layer {digest}")]
    Decrypt {
        /// The layer.
        digest: Digest,
        /// Why.
        #[source]
        source: CryptError,
    },
    /// A layer could not be encrypted.
    #[error("encrypting blob {digest}")]
    Encrypt {
        /// The layer, as it is at the source.
        digest: Digest,
        /// Why.
        #[source]
        source: CryptError,
    },
    /// A config is larger than the limit.
    #[error("reading config blob {digest}: {size} bytes, more than the {limit} that are accepted")]
    LargeConfig {
        /// The config.
        digest: Digest,
        /// Its length in bytes, or how many have been read.
        size: u64,
        /// The largest that is read, in bytes.
        limit: u64,
    },
}

/// On which side of a copy an error happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Reading,
    Writing,
}

impl BlobError {
    /// Returns what a source said of a blob, or a destination that could not read it.
    pub(crate) fn new(digest: &Digest, source: TransportError, side: Side) -> Self {
        let (transient, spent) = (source.is_transient(), source.tried() > 1);
        let source: BoxError = match (source, side) {
            // Only the reading side makes these; their own text says no more than ours.
            (TransportError::Stream(StreamError::Read { source, .. }), _) => source,
            (TransportError::Stream(source), _) => source.into(),
            (source, Side::Reading) => source.into(),
            (source, Side::Writing) => {
                return Self::Write { tried: 1, source: Box::new(source) };
            }
        };
        Self::Read { digest: digest.clone(), tried: 1, transient, spent, source }
    }

    /// Returns whether the blob has been tried by its source or destination as often as it may be, so
    /// that nothing is gained by trying it as a whole.
    pub(crate) fn is_spent(&self) -> bool {
        match self {
            Self::Read { spent, .. } => *spent,
            Self::Write { source, .. } => source.tried() > 1,
            Self::Reuse { .. }
            | Self::StoredAs { .. }
            | Self::Decrypt { .. }
            | Self::Encrypt { .. }
            | Self::LargeConfig { .. } => false,
        }
    }

    /// Returns the same, with how often it was tried.
    pub(crate) fn after(self, times: u32) -> Self {
        match self {
            Self::Read { digest, transient, spent, source, .. } => {
                Self::Read { digest, tried: times, transient, spent, source }
            }
            Self::Write { source, .. } => Self::Write { tried: times, source },
            other => other,
        }
    }

    /// Returns whether trying again may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Reuse { source, .. } | Self::Write { source, .. } => source.is_transient(),
            Self::Read { transient, .. } => *transient,
            Self::StoredAs { .. }
            | Self::Decrypt { .. }
            | Self::Encrypt { .. }
            | Self::LargeConfig { .. } => false,
        }
    }
}

impl Classify for BlobError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Reuse { source, .. } | Self::Write { source, .. } => source.class(),
            Self::Read { .. } => None,
            Self::StoredAs { .. } => Some(ErrorClass::DigestMismatch),
            Self::Decrypt { source, .. } | Self::Encrypt { source, .. } => source.class(),
            Self::LargeConfig { .. } => Some(ErrorClass::InvalidImage),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Reuse { source, .. } | Self::Write { source, .. } => source.hint(),
            Self::Read { .. }
            | Self::StoredAs { .. }
            | Self::Decrypt { .. }
            | Self::Encrypt { .. }
            | Self::LargeConfig { .. } => None,
        }
    }
}

fn tries(tried: u32) -> String {
    if tried > 1 { format!(" (tried {tried} times)") } else { String::new() }
}
