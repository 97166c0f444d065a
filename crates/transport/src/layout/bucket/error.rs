//! What can go wrong in buckets.

use skopeo_image::{Classify, ErrorClass};

/// An error of a layout in a bucket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// The store refused, or was not reached.
    #[error(transparent)]
    Store(#[from] skopeo_objects::Error),
    /// There is no layout at the place.
    #[error("reading {0}: there is no OCI layout (no index.json)")]
    NoLayout(String),
    /// A manifest or a blob that should be there is not.
    #[error("reading {0}: no such object")]
    Missing(String),
    /// Blobs of a bucket lie in the bucket.
    #[error("the layout {0} has its blobs in its bucket: they cannot be shared with a folder")]
    SharedBlobs(String),
}

impl BucketError {
    /// Returns whether what was asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.class() == Some(ErrorClass::NotFound)
    }

    /// Returns whether the same call may do better in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

impl Classify for BucketError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Store(error) => error.class(),
            Self::NoLayout(_) | Self::Missing(_) => Some(ErrorClass::NotFound),
            Self::SharedBlobs(_) => Some(ErrorClass::InvalidInput),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::SharedBlobs(_) => {
                Some("leave --shared-blob-dir out: all images of a bucket share its blobs".into())
            }
            Self::NoLayout(_) | Self::Missing(_) => None,
        }
    }
}
