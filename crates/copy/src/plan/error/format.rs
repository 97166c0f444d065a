//! Types of manifests that have no words for a compression or an encryption.

use skopeo_image::{Classify, Compression, ErrorClass, MediaType};

/// Why no type of manifest has words for the layers that are asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The user wants a compression and a format that cannot name it.
    #[error(
        "compression using {compression} required together with format {format}, which does not support it"
    )]
    CompressionNotInFormat {
        /// The compression.
        compression: Compression,
        /// The format.
        format: MediaType,
    },
    /// No format can name the compression.
    #[error(
        "compression using {compression} required, but none of the known manifest formats support it"
    )]
    CompressionNowhere {
        /// The compression.
        compression: Compression,
    },
    /// The destination takes no format that can name the compression.
    #[error(
        "compression using {compression} required but the destination only supports MIME types [{}], none of which support it",
        join(accepted)
    )]
    CompressionNotAccepted {
        /// The compression.
        compression: Compression,
        /// What the destination takes.
        accepted: Vec<MediaType>,
    },
    /// Layers are or will be encrypted, and the user wants a format that cannot say so.
    #[error(
        "{}encryption{} required together with format {format}, which does not support {}",
        and(*compression),
        if compression.is_some() { "," } else { "" },
        if compression.is_some() { "both" } else { "encryption" }
    )]
    EncryptionNotInFormat {
        /// A compression that not every format can name.
        compression: Option<Compression>,
        /// The format.
        format: MediaType,
    },
    /// Layers are or will be encrypted, and the destination takes no format that can say so.
    #[error(
        "{}encryption{} required but the destination only supports MIME types [{}], none of which \
         support {}",
        and(*compression),
        if compression.is_some() { "," } else { "" },
        join(accepted),
        if compression.is_some() { "both" } else { "encryption" }
    )]
    EncryptionNotAccepted {
        /// A compression that not every format can name.
        compression: Option<Compression>,
        /// What the destination takes.
        accepted: Vec<MediaType>,
    },
    /// Layers should be zstd:chunked and encrypted.
    #[error(
        "explicitly requested to combine zstd:chunked with encryption, which is not beneficial; \
         use plain zstd instead"
    )]
    EncryptedChunks,
    /// The image has no layer of that number.
    #[error(
        "when choosing layers to encrypt, layer index {index} out of range ({layers} layers exist)"
    )]
    NoSuchLayer {
        /// Which layer was asked for.
        index: i64,
        /// How many there are.
        layers: usize,
    },
    /// A layer of an artifact has no media type for when it is encrypted.
    #[error("encryption specified but no counterpart for mediatype: \"{0}\"")]
    NotEncryptable(MediaType),
}

impl Classify for FormatError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::NoSuchLayer { .. } => ErrorClass::InvalidInput,
            Self::CompressionNotInFormat { .. }
            | Self::CompressionNowhere { .. }
            | Self::CompressionNotAccepted { .. }
            | Self::EncryptionNotInFormat { .. }
            | Self::EncryptionNotAccepted { .. }
            | Self::EncryptedChunks
            | Self::NotEncryptable(_) => ErrorClass::Unsupported,
        })
    }
}

fn and(compression: Option<Compression>) -> String {
    compression.map_or_else(String::new, |it| format!("compression using {it}, and "))
}

fn join(types: &[MediaType]) -> String {
    types.iter().map(MediaType::as_str).collect::<Vec<_>>().join(", ")
}
