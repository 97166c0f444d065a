//! Events of blobs.

use skopeo_image::Digest;
use skopeo_transport::How;

/// Something that happened with a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobEvent {
    /// A blob is to come to the destination. Given for every layer, in order, even if the same
    /// blob comes twice or none of its bytes has to be read.
    Started {
        /// Its digest at the source.
        digest: Digest,
        /// Its length in bytes, where the manifest gives one.
        size: Option<u64>,
        /// What it is in the image.
        kind: BlobKind,
    },
    /// Bytes of a blob have been read from the source.
    Read {
        /// The blob.
        digest: Digest,
        /// How many, in this piece.
        bytes: u64,
    },
    /// The first bytes of a blob are at the destination since an earlier copy, and are not read again.
    Resumed {
        /// The blob.
        digest: Digest,
        /// How many.
        bytes: u64,
    },
    /// A blob could not be copied, and is read again from its beginning.
    Retried {
        /// The blob.
        digest: Digest,
        /// How often it has been tried.
        tried: u32,
        /// The error, with all its causes.
        error: String,
    },
    /// The destination had a blob already, or got it without its bytes being sent.
    Reused {
        /// The blob.
        digest: Digest,
        /// Whether it was there, or was mounted or linked.
        how: How,
    },
    /// A blob is whole at the destination.
    Done {
        /// Its digest at the source.
        digest: Digest,
        /// Its digest at the destination.
        stored: Digest,
        /// Its length there, in bytes.
        size: u64,
    },
}

/// What a blob is in its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobKind {
    /// The config.
    Config,
    /// A layer.
    Layer,
}

impl BlobEvent {
    pub(super) fn line(&self) -> Option<String> {
        Some(match self {
            Self::Started { digest, kind: BlobKind::Layer, .. } => {
                format!("Copying blob {digest}")
            }
            Self::Started { digest, kind: BlobKind::Config, .. } => {
                format!("Copying config {digest}")
            }
            Self::Read { .. }
            | Self::Resumed { .. }
            | Self::Retried { .. }
            | Self::Reused { .. }
            | Self::Done { .. } => return None,
        })
    }

    pub(super) fn warning(&self) -> Option<String> {
        let Self::Retried { digest, tried, error } = self else { return None };
        Some(format!("Copying blob {digest} failed ({tried}), trying again: {error}"))
    }
}
