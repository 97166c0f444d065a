//! Events of indexes.

use skopeo_image::Digest;

use crate::plan::few;

/// Something that happened with an index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexEvent {
    /// The signatures of an index are being read.
    GettingSignatures,
    /// The index has signatures: can the destination store them?
    CheckingSignatures,
    /// The instances of an index are about to be copied.
    CopyingImages {
        /// How many of them.
        copied: usize,
        /// How many it has.
        listed: usize,
    },
    /// An instance of an index is about to be copied.
    CopyingImage {
        /// Its digest at the source.
        digest: Digest,
        /// Counted from 1.
        at: usize,
        /// How many are copied.
        of: usize,
    },
    /// An instance of an index is about to be copied once more with another compression.
    ReplicatingImage {
        /// Its digest at the source.
        digest: Digest,
        /// Counted from 1, with those that are copied.
        at: usize,
        /// How many are copied and replicated.
        of: usize,
    },
    /// The index is being written.
    Writing,
    /// The signatures of an index are being written, if there are any.
    StoringSignatures,
    /// An index has been written, but not all that it named at the source was copied.
    Narrowed {
        /// Its digest at the source.
        from: Digest,
        /// Its digest at the destination.
        to: Digest,
        /// What the instances that were not copied are for: platforms, or what else is known of them.
        left_out: Vec<String>,
        /// Whether the index at the destination does not name them.
        removed: bool,
    },
    /// One image of an index for several platforms is copied, and the index is not.
    OneOfPlatforms {
        /// For how many platforms the index has images.
        listed: usize,
        /// Whether the destination could store the index.
        takes_lists: bool,
    },
}

impl IndexEvent {
    pub(super) fn line(&self) -> Option<String> {
        Some(match self {
            Self::GettingSignatures => "Getting image list signatures".to_owned(),
            Self::CheckingSignatures => {
                "Checking if image list destination supports signatures".to_owned()
            }
            Self::CopyingImages { copied, listed } => {
                format!("Copying {copied} images generated from {listed} images in list")
            }
            Self::CopyingImage { digest, at, of } => {
                format!("Copying image {digest} ({at}/{of})")
            }
            Self::ReplicatingImage { digest, at, of } => {
                format!("Replicating image {digest} ({at}/{of})")
            }
            Self::Writing => "Writing manifest list to image destination".to_owned(),
            Self::StoringSignatures => "Storing list signatures".to_owned(),
            Self::Narrowed { .. } | Self::OneOfPlatforms { .. } => return None,
        })
    }

    pub(super) fn warning(&self) -> Option<String> {
        match self {
            Self::Narrowed { from, to, left_out, removed: true } => Some(format!(
                "The index at the destination lists only what was copied, not {}: its digest is \
                 {to}, at the source {from}, and no signature of that is good for it",
                few(left_out)
            )),
            Self::Narrowed { left_out, removed: false, .. } => Some(format!(
                "The index at the destination lists images that were not copied: {}",
                few(left_out)
            )),
            _ => None,
        }
    }

    pub(super) fn notice(&self) -> Option<String> {
        let Self::OneOfPlatforms { listed, takes_lists } = self else { return None };
        let how = if *takes_lists { "; --all copies all" } else { "" };
        Some(format!("1 of {listed} platforms copied{how}"))
    }
}
