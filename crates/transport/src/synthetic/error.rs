//! What can go wrong with an image that is made of what is none.

use skopeo_image::{Classify, Digest, ErrorClass};

use super::sif::SifError;
use crate::Error;

/// What can go wrong with an image that is made of what is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyntheticError {
    /// A file that an image is to be made of cannot be read.
    #[error("error reading {path:?}")]
    Reading {
        /// The file as it was named.
        path: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// A file that is no SIF image.
    #[error("loading SIF file")]
    LoadingSif {
        /// Why.
        #[source]
        source: SifError,
    },
    /// A SIF image that no layer can be made of.
    #[error("converting rootfs from SquashFS to Tarball")]
    ConvertingSif {
        /// Why.
        #[source]
        source: SifError,
    },
    /// Nobody has ever spoken of that blob here.
    #[error("no blob with digest {:?} found", .0.as_str())]
    NoSuchBlob(Digest),
}

impl Classify for SyntheticError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Reading { source, .. } => source.class(),
            Self::LoadingSif { .. } | Self::ConvertingSif { .. } | Self::NoSuchBlob(_) => {
                Some(ErrorClass::InvalidImage)
            }
        }
    }
}
