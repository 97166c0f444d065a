//! What can go wrong with the signatures of an image.

use std::path::PathBuf;

use skopeo_blob::BoxError;
use skopeo_image::{Classify, Digest, ErrorClass, MediaType};
use skopeo_registry::Error as RegistryError;

/// What can go wrong with the signatures of an image, wherever they are kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignaturesError {
    /// Signatures for a place that has none.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A signature file in a form nobody knows.
    #[error("parsing signature {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: MalformedSignature,
    },
    /// A server of signatures that does not end.
    #[error("server provided {0} signatures, assuming that's unreasonable and a server error")]
    TooMany(usize),
    /// More signatures of one manifest than are held in memory.
    #[error(
        "the first {0} signatures take more than 32 MiB (each counts 16 KiB at least): this is too much"
    )]
    TooLarge(usize),
    /// A signature could not be fetched.
    #[error("reading signature from {url}")]
    LookasideRead {
        /// Where it should be.
        url: String,
        /// What came instead.
        #[source]
        source: Box<RegistryError>,
    },
    /// Signatures on a web server can only be read there.
    #[error(
        "Writing directly to a {scheme} lookaside {url} is not supported. Configure a \
         lookaside-staging: location"
    )]
    LookasideReadOnly {
        /// `http` or `https`.
        scheme: String,
        /// Where they are.
        url: String,
    },
    /// A store of signatures that is neither a folder nor a web server.
    #[error("{doing} {url}: unsupported scheme")]
    LookasideScheme {
        /// What was asked of it.
        doing: &'static str,
        /// Its address.
        url: String,
    },
    /// registries.d does not allow sigstore signatures beside images.
    #[error("writing sigstore attachments is disabled by configuration")]
    AttachmentsDisabled,
    /// The tag of a manifest's signatures leads to something else.
    #[error("unexpected MIME type for sigstore attachment manifest {name}: {:?}", media_type.as_str())]
    AttachmentType {
        /// The name with the tag.
        name: String,
        /// What it is.
        media_type: MediaType,
    },
    /// The config that comes with signatures cannot be read.
    #[error("parsing sigstore attachment config {digest} in {repository}")]
    AttachmentConfig {
        /// Its digest.
        digest: Digest,
        /// Where it is.
        repository: String,
        /// What the parser said.
        #[source]
        source: BoxError,
    },
    /// Something could not be written as JSON.
    #[error("encoding a sigstore attachment")]
    Encode(#[from] serde_json::Error),
}

impl SignaturesError {
    /// Returns what the server of signatures said, if one did.
    pub(crate) fn registry(&self) -> Option<&RegistryError> {
        if let Self::LookasideRead { source, .. } = self { Some(source) } else { None }
    }
}

impl Classify for SignaturesError {
    fn hint(&self) -> Option<String> {
        let hint = "`use-sigstore-attachments: true` for the destination in a file of registries.d \
                    allows it; --remove-signatures copies without signatures";
        matches!(self, Self::AttachmentsDisabled).then(|| hint.to_owned())
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Unsupported(_) | Self::AttachmentsDisabled => ErrorClass::Unsupported,
            Self::Malformed { .. } => ErrorClass::InvalidImage,
            Self::LookasideRead { source, .. } => return source.class(),
            Self::TooMany(_)
            | Self::TooLarge(_)
            | Self::LookasideReadOnly { .. }
            | Self::LookasideScheme { .. }
            | Self::AttachmentType { .. }
            | Self::AttachmentConfig { .. }
            | Self::Encode(_) => return None,
        })
    }
}

/// Why some bytes are no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedSignature {
    /// No bytes at all.
    #[error("empty signature blob")]
    Empty,
    /// The marker of the newer form without the line that names the kind.
    #[error("invalid signature format, missing newline")]
    NoNewline,
    /// Something other than printable ASCII in the line that names the kind.
    #[error("invalid signature format, non-ASCII byte {0:#x}")]
    NonAscii(u8),
    /// A kind that is none of ours.
    #[error("unrecognized signature format {0:?}")]
    UnknownFormat(String),
    /// Neither an OpenPGP packet nor the newer form.
    #[error("unrecognized signature format, starting with binary {0:#x}")]
    UnknownStart(u8),
    /// The sigstore JSON cannot be read.
    #[error("parsing sigstore signature")]
    Json(#[from] serde_json::Error),
    /// The payload in the sigstore JSON is no base64.
    #[error("decoding payload of sigstore signature")]
    Payload(#[from] base64::DecodeError),
}
