//! What can go wrong with bytes in motion.

use std::io;

use crate::FileError;
use skopeo_image::{Classify, Compression, Digest, ErrorClass};

/// Any error, as a source has it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why a stream of bytes ended before its end. Always about the reading side: what the writing
/// side suffers is the writer's own error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The source could not be read.
    #[error("reading blob")]
    Read {
        /// What the source said.
        #[source]
        source: BoxError,
        /// Whether reading again may help.
        transient: bool,
        /// How often the source has tried on its own.
        tried: u32,
    },
    /// The bytes are others than those asked for.
    #[error("Digest did not match, expected {expected}, got {actual}")]
    Digest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// More or fewer bytes than announced.
    #[error("expected {expected} bytes, got {actual}")]
    Size {
        /// The announced length.
        expected: u64,
        /// The length that came, or that had come when it was already too long.
        actual: u64,
    },
    /// The compressed bytes are no valid stream of their format.
    #[error("decompressing {compression} data")]
    Corrupt {
        /// The format as it was sniffed.
        compression: Compression,
        /// What the decoder said.
        #[source]
        source: io::Error,
    },
    /// The encrypted bytes are not those that were encrypted with the layer's key.
    #[error("could not properly decrypt byte stream: its HMAC is not the one in the image")]
    Hmac,
    /// The encoder gave up.
    #[error("compressing to {compression}")]
    Encode {
        /// The wanted format.
        compression: Compression,
        /// What the encoder said.
        #[source]
        source: io::Error,
    },
}

impl StreamError {
    /// Returns whether the same blob, asked for again, may come whole.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Read { transient: true, .. })
    }

    /// Returns how often the source has tried on its own.
    #[must_use]
    pub fn tried(&self) -> u32 {
        if let Self::Read { tried, .. } = self { *tried } else { 1 }
    }

    /// A thread of ours died.
    pub(crate) fn broken_thread(source: impl Into<BoxError>) -> Self {
        Self::Read { source: source.into(), transient: false, tried: 1 }
    }
}

impl Classify for StreamError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Digest { .. } | Self::Size { .. } | Self::Hmac => {
                Some(ErrorClass::DigestMismatch)
            }
            Self::Corrupt { .. } => Some(ErrorClass::InvalidImage),
            Self::Read { .. } | Self::Encode { .. } => None,
        }
    }
}

/// Why a blob is not in its file: the two sides of a copy are told apart here, once.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The bytes did not come, or were not what they should be.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The file could not be written.
    #[error(transparent)]
    Io(FileError),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.into())
    }
}
