//! What happened, for whoever watches.

use skopeo_image::{Digest, MediaType};
use skopeo_transport::{Found, How, Referrer};

use crate::plan::few;

/// Something that happened in a copy. Instances of a list are copied at the same time, so their
/// events mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The signatures of an image are being read.
    GettingSignatures,
    /// The image has signatures: can the destination hold them?
    CheckingSignatures,
    /// The signatures of a list are being read.
    GettingListSignatures,
    /// The list has signatures: can the destination hold them?
    CheckingListSignatures,
    /// A list is about to be copied.
    CopyingImages {
        /// How many of its instances.
        copied: usize,
        /// How many it has.
        listed: usize,
    },
    /// An instance of a list is about to be copied.
    CopyingImage {
        /// Its digest at the source.
        digest: Digest,
        /// Counted from 1.
        at: usize,
        /// How many are copied.
        of: usize,
    },
    /// An instance of a list is about to be copied once more, packed otherwise.
    ReplicatingImage {
        /// Its digest at the source.
        digest: Digest,
        /// Counted from 1, with those that are copied.
        at: usize,
        /// How many are copied and replicated.
        of: usize,
    },
    /// A list has been written, but not all that it named at the source was copied.
    ListNarrowed {
        /// Its digest at the source.
        from: Digest,
        /// Its digest at the destination.
        to: Digest,
        /// What the instances that were not copied are for: platforms, or what else there is to
        /// say.
        left_out: Vec<String>,
        /// Whether the list names them no more.
        removed: bool,
    },
    /// One image of a list for several platforms is copied, and the list is not.
    OneOfPlatforms {
        /// For how many platforms the list has images.
        listed: usize,
        /// Whether the destination could hold the list.
        takes_lists: bool,
    },
    /// A blob is to come to the destination. Given for every layer, in order, even if the same
    /// blob comes twice or none of its bytes has to move.
    BlobStarted {
        /// Its digest at the source.
        digest: Digest,
        /// Its length in bytes, where the manifest gives one.
        size: Option<u64>,
        /// What it is in the image.
        kind: BlobKind,
    },
    /// Bytes of a blob have come from the source.
    BlobMoved {
        /// The blob.
        digest: Digest,
        /// How many, in this piece.
        bytes: u64,
    },
    /// The first bytes of a blob are at the destination since an earlier copy, and need not come.
    BlobResumed {
        /// The blob.
        digest: Digest,
        /// How many.
        bytes: u64,
    },
    /// A blob broke on its way, and is fetched again from its beginning.
    BlobRetried {
        /// The blob.
        digest: Digest,
        /// How often it has been tried.
        tried: u32,
        /// What went wrong, with all its causes.
        error: String,
    },
    /// A blob was at the destination already, or came there without its bytes being sent.
    BlobReused {
        /// The blob.
        digest: Digest,
        /// Whether it was there, or was mounted.
        how: How,
    },
    /// A blob is whole at the destination.
    BlobDone {
        /// Its digest at the source.
        digest: Digest,
        /// Its digest at the destination.
        stored: Digest,
        /// Its length there, in bytes.
        size: u64,
    },
    /// The manifest of an image, or of a list, is written. The name is not given yet.
    ImageDone {
        /// The manifest's digest at the source.
        source: Digest,
        /// Its digest at the destination.
        digest: Digest,
        /// Its type there.
        media_type: MediaType,
    },
    /// The manifest of an image is being written.
    WritingManifest,
    /// An image or list that was written is being signed.
    CreatingSignature {
        /// By the how manieth signer, counted from 1, if there are several.
        number: Option<usize>,
        /// What the signer says that it does.
        doing: &'static str,
    },
    /// The signatures of an image are being written.
    StoringSignatures,
    /// The manifest of a list is being written.
    WritingList,
    /// The signatures of a list are being written, if there are any.
    StoringListSignatures,
    /// Something that hangs on an image is being copied.
    CopyingReferrer {
        /// Its manifest.
        digest: Digest,
        /// The manifest that it hangs on.
        subject: Digest,
        /// What kind of artifact it is; may be empty.
        artifact_type: String,
    },
    /// Something that hangs on an image has been written, whole.
    ReferrerDone {
        /// Its manifest.
        digest: Digest,
        /// The manifest that it hangs on.
        subject: Digest,
        /// What kind of artifact it is; may be empty.
        artifact_type: String,
    },
    /// Something hangs on a manifest of the source and was left behind.
    ReferrersLeft {
        /// The manifest.
        digest: Digest,
        /// Its referrers, as far as a single question showed.
        found: Vec<Referrer>,
        /// Why it was left behind.
        why: Left,
    },
    /// The destination has the very image: nothing is done.
    AlreadyPresent {
        /// The image.
        digest: Digest,
    },
}

/// Why something that hangs on a manifest was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nobody asked for it.
    NotAsked,
    /// It hangs on a list that is not copied, or not as it is.
    OfList,
}

/// What a blob is in its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobKind {
    /// The config.
    Config,
    /// A layer.
    Layer,
}

impl Event {
    /// The line that users and scripts know for it, if there is one.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        Some(match self {
            Self::GettingSignatures => "Getting image source signatures".to_owned(),
            Self::CheckingSignatures => {
                "Checking if image destination supports signatures".to_owned()
            }
            Self::GettingListSignatures => "Getting image list signatures".to_owned(),
            Self::CheckingListSignatures => {
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
            Self::BlobStarted { digest, kind: BlobKind::Layer, .. } => {
                format!("Copying blob {digest}")
            }
            Self::BlobStarted { digest, kind: BlobKind::Config, .. } => {
                format!("Copying config {digest}")
            }
            Self::WritingManifest => "Writing manifest to image destination".to_owned(),
            Self::CreatingSignature { number: None, doing } => {
                format!("Creating signature: {doing}")
            }
            Self::CreatingSignature { number: Some(number), doing } => {
                format!("Creating signature {number}: {doing}")
            }
            Self::StoringSignatures => "Storing signatures".to_owned(),
            Self::WritingList => "Writing manifest list to image destination".to_owned(),
            Self::StoringListSignatures => "Storing list signatures".to_owned(),
            Self::AlreadyPresent { .. } => {
                "Skipping: image already present at destination".to_owned()
            }
            Self::CopyingReferrer { digest, artifact_type, .. } if artifact_type.is_empty() => {
                format!("Copying referrer {digest}")
            }
            Self::CopyingReferrer { digest, artifact_type, .. } => {
                format!("Copying referrer {digest} ({artifact_type})")
            }
            Self::ReferrersLeft { .. }
            | Self::ReferrerDone { .. }
            | Self::BlobMoved { .. }
            | Self::BlobRetried { .. }
            | Self::BlobResumed { .. }
            | Self::BlobReused { .. }
            | Self::BlobDone { .. }
            | Self::OneOfPlatforms { .. }
            | Self::ImageDone { .. }
            | Self::ListNarrowed { .. } => return None,
        })
    }

    /// What the user should know although all goes well, if it is such.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::BlobRetried { digest, tried, error } => {
                Some(format!("Copying blob {digest} failed ({tried}), trying again: {error}"))
            }
            Self::ListNarrowed { from, to, left_out, removed: true } => Some(format!(
                "The index at the destination lists only what was copied, not {}: its digest is \
                 {to}, at the source {from}, and no signature of that is good for it",
                few(left_out)
            )),
            Self::ListNarrowed { left_out, removed: false, .. } => Some(format!(
                "The index at the destination lists images that were not copied: {}",
                few(left_out)
            )),
            _ => None,
        }
    }

    /// What users should know beside the lines that scripts know, if there is anything.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        if let Self::OneOfPlatforms { listed, takes_lists } = self {
            let how = if *takes_lists { "; --all copies all" } else { "" };
            return Some(format!("1 of {listed} platforms copied{how}"));
        }
        let Self::ReferrersLeft { digest, found, why } = self else { return None };
        let lists = found.iter().any(|it| it.found == Found::FallbackTag && is_index(it));
        let listed = found.iter().filter(|it| it.found.tag(digest).is_none()).count();
        let tags = found.iter().filter_map(|it| match it.found {
            Found::CosignTag(tag) => Some(tag.suffix()),
            _ => None,
        });
        let tags = tags.collect::<Vec<_>>().join(", ");
        let listed = match listed {
            0 => None,
            _ if lists => Some("referrers".to_owned()),
            1 => Some("1 referrer".to_owned()),
            count => Some(format!("{count} referrers")),
        };
        let tags = (!tags.is_empty()).then(|| format!("cosign's {tags}"));
        let what = listed.into_iter().chain(tags).collect::<Vec<_>>().join(" and ");
        Some(match why {
            Left::NotAsked => {
                format!("Not copied: {what} of {digest}; --referrers copies them too")
            }
            Left::OfList => format!(
                "Not copied: {what} of the list {digest}, which is not copied as it is; --all \
                 copies it"
            ),
        })
    }
}

fn is_index(referrer: &Referrer) -> bool {
    referrer.artifact_type.is_empty() && referrer.blob.media_type.is_list()
}
