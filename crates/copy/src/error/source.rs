//! What can go wrong with the source: its manifests, its signatures, and whether it may be copied.

use skopeo_image::{Classify, Digest, ErrorClass, ManifestError};
use skopeo_transport::Error as TransportError;
use skopeo_trust::Rejected;

/// Why an image of the source cannot be read, or may not be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The manifest that the source's name leads to could not be read.
    #[error("initializing source {name}")]
    Open {
        /// The source as the user named it.
        name: String,
        /// Why.
        #[source]
        source: Box<TransportError>,
    },
    /// The source exists, but the file of its manifest cannot be read.
    #[error("determining manifest MIME type for {name}")]
    ManifestFile {
        /// The source as the user named it.
        name: String,
        /// Why.
        #[source]
        source: Box<TransportError>,
    },
    /// The manifest of an instance could not be read.
    #[error("reading manifest {digest} from {name}")]
    Instance {
        /// The instance.
        digest: Digest,
        /// The source as the user named it.
        name: String,
        /// Why.
        #[source]
        source: Box<TransportError>,
    },
    /// A manifest does not have the digest that was asked for.
    #[error("Manifest does not match provided manifest digest {0}")]
    DigestMismatch(Digest),
    /// A manifest is not valid.
    #[error("parsing manifest of {name}")]
    Manifest {
        /// The source as the user named it.
        name: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The source's name leads to another manifest than when it was asked first.
    #[error("{name} has moved: it was {expected}, and is {found} now")]
    Moved {
        /// The source as the user named it.
        name: String,
        /// The digest that it had.
        expected: Digest,
        /// The digest that it has.
        found: Digest,
    },
    /// No instance of an index fits the platform.
    #[error("choosing an image from manifest list {name}")]
    Choose {
        /// The source as the user named it.
        name: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The policy does not accept the image.
    #[error("Source image rejected")]
    Rejected(#[source] Rejected),
    /// The signatures could not be read.
    #[error("reading signatures")]
    Signatures(#[source] Box<TransportError>),
}

impl SourceError {
    /// Returns whether the source has no such image.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Instance { source, .. } => source.is_not_found(),
            Self::ManifestFile { .. }
            | Self::DigestMismatch(_)
            | Self::Manifest { .. }
            | Self::Moved { .. }
            | Self::Choose { .. }
            | Self::Rejected(_)
            | Self::Signatures(_) => false,
        }
    }

    /// Returns the error of the transport below, if that failed.
    pub(crate) fn transport(&self) -> Option<&TransportError> {
        match self {
            Self::Open { source, .. }
            | Self::ManifestFile { source, .. }
            | Self::Instance { source, .. }
            | Self::Signatures(source) => Some(source),
            Self::DigestMismatch(_)
            | Self::Manifest { .. }
            | Self::Moved { .. }
            | Self::Choose { .. }
            | Self::Rejected(_) => None,
        }
    }
}

impl Classify for SourceError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Open { source, .. }
            | Self::ManifestFile { source, .. }
            | Self::Instance { source, .. }
            | Self::Signatures(source) => source.class(),
            Self::DigestMismatch(_) => Some(ErrorClass::DigestMismatch),
            Self::Manifest { source, .. } | Self::Choose { source, .. } => source.class(),
            Self::Moved { .. } => Some(ErrorClass::Conflict),
            Self::Rejected(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Open { source, .. }
            | Self::ManifestFile { source, .. }
            | Self::Instance { source, .. }
            | Self::Signatures(source) => return source.hint(),
            Self::Choose { source, .. } => return source.hint(),
            Self::Rejected(_) => {
                "policy.json decides this: `skopeo policy check IMAGE` shows which part of it, and why"
            }
            Self::Moved { .. } => "--allow-moved copies the image that the name has now",
            Self::DigestMismatch(_) | Self::Manifest { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
