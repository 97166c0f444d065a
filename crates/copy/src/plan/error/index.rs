//! What cannot be had of an index.

use skopeo_image::{Classify, Compression, Digest, ErrorClass, MediaType};

use crate::plan::{Frozen, few};

/// Why an index cannot be copied as was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The destination takes single images only.
    #[error(
        "copying multiple images: destination transport {0:?} does not support copying multiple images as a group"
    )]
    NoGroups(&'static str),
    /// The destination takes no type of index that this program writes.
    #[error(
        "destination does not support any supported manifest list types ([{} {}])",
        MediaType::DOCKER_LIST,
        MediaType::OCI_INDEX
    )]
    NoType,
    /// The destination does not take the type of the index, which must not change.
    #[error("Manifest list must be converted to type {:?} to be written to destination, but we cannot modify it: {frozen}", to.as_str())]
    MustChange {
        /// The type it takes.
        to: MediaType,
        /// Why the index cannot get it.
        frozen: Frozen,
    },
    /// Indexes are nested in more steps than the limit.
    #[error("reading manifest list {0}: nested too deeply")]
    TooDeep(Digest),
    /// An index holds more indexes than the limit.
    #[error("reading manifest list {0}: it is one of too many lists in the list")]
    TooMany(Digest),
    /// The index has no image for a platform that is asked for.
    #[error(
        "preparing instances for copy: no instances found for platform {wanted}: there are [{}]",
        few(there)
    )]
    NoPlatform {
        /// The platform.
        wanted: String,
        /// Those of the index.
        there: Vec<String>,
    },
    /// A single image is for no platform that is asked for.
    #[error(
        "preparing instances for copy: no instances found for platform {wanted}: the image is for {platform}"
    )]
    OtherPlatform {
        /// The platforms that are asked for.
        wanted: String,
        /// The image's.
        platform: String,
    },
    /// The index should name only the images that are copied.
    #[error(
        "preparing instances for copy: we should delete instance {digest} from manifest list, but we cannot: {frozen}"
    )]
    Remove {
        /// The first that is not copied.
        digest: Digest,
        /// Why it cannot be removed.
        frozen: Frozen,
    },
    /// An instance should be added to the index.
    #[error(
        "preparing instances for copy: we should add instance {digest} compressed using {compression} to manifest list, but we cannot: {frozen}"
    )]
    Add {
        /// The instance that it is like.
        digest: Digest,
        /// The compression that it should have.
        compression: Compression,
        /// Why it cannot be added.
        frozen: Frozen,
    },
    /// An instance should be added where there is a single image.
    #[error(
        "adding a variant of an image compressed using {0}: it is not in an index, and alone can have one compression only"
    )]
    NothingToAddTo(Compression),
    /// The signatures of an index should be left out where there is a single image.
    #[error("RemoveIndexSignatures is not applicable when copying a single instance")]
    NoIndexSignatures,
}

impl Classify for IndexError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::TooDeep(_) | Self::TooMany(_) => ErrorClass::InvalidImage,
            Self::NoPlatform { .. } | Self::OtherPlatform { .. } => ErrorClass::NotFound,
            Self::NoGroups(_)
            | Self::NoType
            | Self::MustChange { .. }
            | Self::Remove { .. }
            | Self::Add { .. }
            | Self::NothingToAddTo(_)
            | Self::NoIndexSignatures => ErrorClass::Unsupported,
        })
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Remove { frozen: Frozen::IndexSigned, .. } => {
                "--remove-list-signatures copies without the signatures of the index; \
                 --multi-arch-sparse leaves the index as it is"
            }
            Self::Remove { .. } => "--multi-arch-sparse leaves the index as it is",
            Self::Add { frozen: Frozen::IndexSigned, .. } => {
                "--remove-list-signatures copies without the signatures of the index"
            }
            Self::NoGroups(_) => {
                "without --all and --multi-arch, the image for this machine is copied; \
                 --override-os and --override-arch choose another"
            }
            Self::NoType
            | Self::MustChange { .. }
            | Self::TooDeep(_)
            | Self::TooMany(_)
            | Self::NoPlatform { .. }
            | Self::OtherPlatform { .. }
            | Self::Add { .. }
            | Self::NothingToAddTo(_)
            | Self::NoIndexSignatures => return None,
        };
        Some(hint.to_owned())
    }
}
