//! Why what is asked cannot be done: one enum for each part of a plan, mostly in the original's words.

mod format;
mod frozen;
mod index;

use skopeo_image::{Classify, ErrorClass, ManifestError};

pub use format::FormatError;
pub use frozen::FrozenError;
pub use index::IndexError;

/// Why what is asked cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No type of manifest has words for the layers.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Something had to change, and must not.
    #[error(transparent)]
    Frozen(#[from] FrozenError),
    /// An index cannot be copied as was asked.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The destination cannot store the signatures.
    #[error("Can not copy signatures to {destination}: {reason}")]
    Signatures {
        /// The destination as the user named it.
        destination: String,
        /// What it says.
        reason: &'static str,
    },
    /// The manifest is not valid.
    #[error("parsing manifest")]
    Manifest(#[from] ManifestError),
    /// An artifact would have to become another type of manifest.
    #[error("creating an updated image manifest")]
    Artifact(#[source] ManifestError),
}

impl Classify for PlanError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Format(error) => error.class(),
            Self::Frozen(error) => error.class(),
            Self::Index(error) => error.class(),
            Self::Manifest(error) => error.class(),
            Self::Signatures { .. } | Self::Artifact(_) => Some(ErrorClass::Unsupported),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Format(error) => error.hint(),
            Self::Frozen(error) => error.hint(),
            Self::Index(error) => error.hint(),
            Self::Artifact(_) => Some(
                "an artifact can be copied to docker://, dir:, oci: and oci-archive:, as it is"
                    .to_owned(),
            ),
            Self::Signatures { .. } | Self::Manifest(_) => None,
        }
    }
}
