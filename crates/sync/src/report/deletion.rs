//! What an exact mirror has deleted.

use skopeo_image::Digest;
use skopeo_transport::ImageName;

/// An image that nobody wants any more.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Deletion {
    /// Its name.
    pub name: ImageName,
    /// What the name led to.
    pub digest: Digest,
    /// The collection of images that it is, or was, in.
    pub place: String,
    /// What has become of it.
    pub outcome: DeletionOutcome,
}

/// What has become of an image that nobody wants any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeletionOutcome {
    /// It is gone.
    Deleted,
    /// It would be.
    WouldDelete,
    /// It could not be deleted; the sentence says why.
    Failed(String),
}
