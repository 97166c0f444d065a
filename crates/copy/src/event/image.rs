//! Events of images.

use skopeo_image::{Digest, MediaType};

/// Something that happened with an image as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageEvent {
    /// The signatures of an image are being read.
    GettingSignatures,
    /// The image has signatures: can the destination store them?
    CheckingSignatures,
    /// The manifest of an image is being written.
    WritingManifest,
    /// An image or index that was written is being signed.
    CreatingSignature {
        /// The number of the signer, counted from 1, if there are several.
        number: Option<usize>,
        /// What the signer says that it does.
        doing: &'static str,
    },
    /// The signatures of an image are being written.
    StoringSignatures,
    /// The manifest of an image, or an index, is written. The name does not lead to it yet.
    Done {
        /// The manifest's digest at the source.
        source: Digest,
        /// Its digest at the destination.
        digest: Digest,
        /// Its type there.
        media_type: MediaType,
    },
    /// The destination has the image: nothing is done.
    AlreadyPresent {
        /// The image.
        digest: Digest,
    },
}

impl ImageEvent {
    pub(super) fn line(&self) -> Option<String> {
        Some(match self {
            Self::GettingSignatures => "Getting image source signatures".to_owned(),
            Self::CheckingSignatures => {
                "Checking if image destination supports signatures".to_owned()
            }
            Self::WritingManifest => "Writing manifest to image destination".to_owned(),
            Self::CreatingSignature { number: None, doing } => {
                format!("Creating signature: {doing}")
            }
            Self::CreatingSignature { number: Some(number), doing } => {
                format!("Creating signature {number}: {doing}")
            }
            Self::StoringSignatures => "Storing signatures".to_owned(),
            Self::AlreadyPresent { .. } => {
                "Skipping: image already present at destination".to_owned()
            }
            Self::Done { .. } => return None,
        })
    }
}
