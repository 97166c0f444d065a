//! What can go wrong with a collection of images.

use skopeo_image::{Classify, ErrorClass};

/// What can go wrong with a collection of images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectionError {
    /// A collection of images from which none can be taken away.
    #[error("images cannot be removed from an archive: write a new one")]
    NotDeletable,
    /// A name that another collection gave.
    #[error("writing {0}: it is not a valid name at this destination")]
    OtherCollection(String),
}

impl Classify for CollectionError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::NotDeletable => Some(ErrorClass::Unsupported),
            Self::OtherCollection(_) => None,
        }
    }
}
