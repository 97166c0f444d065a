//! What is to be done, decided before a byte moves: pure, and printable.

mod crypt;
mod format;
mod frozen;
mod image;
mod layer;
mod list;
mod surroundings;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use skopeo_image::{Classify, Compression, Digest, ErrorClass, ManifestError, MediaType};

pub use crypt::Crypt;
pub use frozen::Frozen;
pub use image::{DiffIds, ImagePlan};
pub use layer::{LayerPlan, Wanted};
pub use list::{EntryKind, InstancePlan, ListPlan, Scope};

pub(crate) use image::plan_image;
pub(crate) use layer::recode;
pub(crate) use list::{Within, choose, parse as parse_list, plan_list, platforms};
pub(crate) use surroundings::Surroundings;

/// Why what is asked cannot be done. Mostly in the original's words.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The user wants a compression and a format that cannot name it.
    #[error(
        "compression using {compression} required together with format {format}, which does not support it"
    )]
    CompressionNotInFormat {
        /// The compression.
        compression: Compression,
        /// The format.
        format: MediaType,
    },
    /// No format can name the compression.
    #[error(
        "compression using {compression} required, but none of the known manifest formats support it"
    )]
    CompressionNowhere {
        /// The compression.
        compression: Compression,
    },
    /// The destination takes no format that can name the compression.
    #[error(
        "compression using {compression} required but the destination only supports MIME types [{}], none of which support it",
        join(accepted, ", ")
    )]
    CompressionNotAccepted {
        /// The compression.
        compression: Compression,
        /// What the destination takes.
        accepted: Vec<MediaType>,
    },
    /// Layers are or will be encrypted, and the user wants a format that cannot say so.
    #[error(
        "{}encryption{} required together with format {format}, which does not support {}",
        and(*compression),
        if compression.is_some() { "," } else { "" },
        if compression.is_some() { "both" } else { "encryption" }
    )]
    EncryptionNotInFormat {
        /// A compression that not every format can name.
        compression: Option<Compression>,
        /// The format.
        format: MediaType,
    },
    /// Layers are or will be encrypted, and the destination takes no format that can say so.
    #[error(
        "{}encryption{} required but the destination only supports MIME types [{}], none of which \
         support {}",
        and(*compression),
        if compression.is_some() { "," } else { "" },
        join(accepted, ", "),
        if compression.is_some() { "both" } else { "encryption" }
    )]
    EncryptionNotAccepted {
        /// A compression that not every format can name.
        compression: Option<Compression>,
        /// What the destination takes.
        accepted: Vec<MediaType>,
    },
    /// zstd:chunked for encrypted layers.
    #[error(
        "explicitly requested to combine zstd:chunked with encryption, which is not beneficial; \
         use plain zstd instead"
    )]
    EncryptedChunks,
    /// There is no such layer.
    #[error(
        "when choosing layers to encrypt, layer index {index} out of range ({layers} layers exist)"
    )]
    NoSuchLayer {
        /// Which layer was asked for.
        index: i64,
        /// How many there are.
        layers: usize,
    },
    /// A layer had to change, and must not.
    #[error("layer {digest} should be {verb}, but we can’t modify the manifest: {frozen}")]
    LayerMustChange {
        /// The layer.
        digest: Digest,
        /// What should happen to it.
        verb: &'static str,
        /// Why it cannot.
        frozen: Frozen,
    },
    /// The source has the layers in another form than the manifest names, and nothing may change.
    #[error(
        "Copying this image would require changing layer representation, which we cannot do: {:?}",
        .0.to_string()
    )]
    LayerRepresentation(Frozen),
    /// What is called a layer is none, and has no type for when it is encrypted.
    #[error("encryption specified but no counterpart for mediatype: \"{0}\"")]
    NotEncryptable(MediaType),
    /// The destination takes images only, and several are asked for.
    #[error(
        "copying multiple images: destination transport {0:?} does not support copying multiple images as a group"
    )]
    NoGroups(&'static str),
    /// The destination takes lists, but of no kind that we write.
    #[error(
        "destination does not support any supported manifest list types ([{} {}])",
        MediaType::DOCKER_LIST,
        MediaType::OCI_INDEX
    )]
    NoListType,
    /// The list is of a kind that the destination does not take.
    #[error("Manifest list must be converted to type {:?} to be written to destination, but we cannot modify it: {frozen}", to.as_str())]
    ListMustChange {
        /// The kind it takes.
        to: MediaType,
        /// Why it cannot be.
        frozen: Frozen,
    },
    /// The destination's name has another digest than the image.
    #[error("Digest of source image's manifest would not match destination reference")]
    DestinationDigest,
    /// A schema 1 manifest has another name written in it.
    #[error("Copying a schema1 image with an embedded Docker reference to {destination} (Docker reference {reference}) would change the manifest, which we cannot do: {:?}", frozen.to_string())]
    EmbeddedName {
        /// The destination as the user named it.
        destination: String,
        /// The name that would have to be written.
        reference: String,
        /// Why it cannot be.
        frozen: Frozen,
    },
    /// The signatures have no place at the destination.
    #[error("Can not copy signatures to {destination}: {reason}")]
    Signatures {
        /// The destination as the user named it.
        destination: String,
        /// What it says.
        reason: &'static str,
    },
    /// The manifest is not understood.
    #[error("parsing manifest")]
    Manifest(#[from] ManifestError),
    /// What is no image would have to become another kind of manifest.
    #[error("creating an updated image manifest")]
    Artifact(#[source] ManifestError),
    /// What hangs on an image would hang on nothing.
    #[error(
        "{change} would change its digest {digest}, to which the referrers that are copied with it refer"
    )]
    Referrers {
        /// The manifest's digest.
        digest: String,
        /// What was asked for, in the gerund.
        change: String,
    },
    /// Lists in lists in lists.
    #[error("reading manifest list {0}: nested too deeply")]
    TooDeep(Digest),
    /// More lists in lists than anybody makes.
    #[error("reading manifest list {0}: it is one of too many lists in the list")]
    TooMany(Digest),
    /// A platform that is asked for is not there.
    #[error(
        "preparing instances for copy: no instances found for platform {wanted}: there are [{}]",
        few(there)
    )]
    NoPlatform {
        /// The platform.
        wanted: String,
        /// Those of the list.
        there: Vec<String>,
    },
    /// The list should name only what is copied.
    #[error(
        "preparing instances for copy: we should delete instance {digest} from manifest list, but we cannot: {frozen}"
    )]
    Remove {
        /// The first that is not copied.
        digest: Digest,
        /// Why it cannot go.
        frozen: Frozen,
    },
    /// An instance should come into the list.
    #[error(
        "preparing instances for copy: we should add instance {digest} compressed using {compression} to manifest list, but we cannot: {frozen}"
    )]
    Add {
        /// The instance that it is like.
        digest: Digest,
        /// How it is to be packed.
        compression: Compression,
        /// Why it cannot come.
        frozen: Frozen,
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
    /// A list is asked for where there is a single image.
    #[error(
        "adding a variant of an image compressed using {0}: it is not in an index, and alone can have one compression only"
    )]
    NothingToAddTo(Compression),
    /// The signatures of a list are not wanted where there is none.
    #[error("RemoveListSignatures is not applicable when copying a single instance")]
    NoListSignatures,
}

impl Classify for PlanError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Manifest(error) => return error.class(),
            Self::TooDeep(_) | Self::TooMany(_) => ErrorClass::InvalidImage,
            Self::NoSuchLayer { .. } => ErrorClass::InvalidInput,
            Self::DestinationDigest => ErrorClass::DigestMismatch,
            Self::NoPlatform { .. } | Self::OtherPlatform { .. } => ErrorClass::NotFound,
            Self::CompressionNotInFormat { .. }
            | Self::CompressionNowhere { .. }
            | Self::CompressionNotAccepted { .. }
            | Self::EncryptionNotInFormat { .. }
            | Self::EncryptionNotAccepted { .. }
            | Self::EncryptedChunks
            | Self::LayerMustChange { .. }
            | Self::LayerRepresentation(_)
            | Self::NotEncryptable(_)
            | Self::NoGroups(_)
            | Self::NoListType
            | Self::ListMustChange { .. }
            | Self::EmbeddedName { .. }
            | Self::Signatures { .. }
            | Self::Artifact(_)
            | Self::Referrers { .. }
            | Self::Remove { .. }
            | Self::Add { .. }
            | Self::NothingToAddTo(_)
            | Self::NoListSignatures => ErrorClass::Unsupported,
        })
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Remove { frozen: Frozen::ListSigned, .. } => Some(
                "--remove-list-signatures copies without the signatures of the index; \
                 --multi-arch-sparse leaves the index as it is",
            ),
            Self::Remove { .. } => Some("--multi-arch-sparse leaves the index as it is"),
            Self::Add { frozen: Frozen::ListSigned, .. } => {
                Some("--remove-list-signatures copies without the signatures of the index")
            }
            Self::LayerRepresentation(Frozen::Signed) => Some(
                "--remove-signatures copies without them: the store keeps what was in the layers, \
                 not the blobs that were signed",
            ),
            Self::Artifact(_) => Some(
                "what is no image can live, as it is, in docker://, dir:, oci: and oci-archive:",
            ),
            _ => None,
        };
        hint.map(str::to_owned)
    }
}

/// The first of some texts, each once: what a list names may be endless.
pub(crate) fn few<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 12;
    let all: BTreeSet<&String> = texts.into_iter().collect();
    let shown: Vec<&str> = all.iter().take(SHOWN).map(|text| text.as_str()).collect();
    let more = all.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

fn and(compression: Option<Compression>) -> String {
    compression.map_or_else(String::new, |it| format!("compression using {it}, and "))
}

fn join(types: &[MediaType], between: &str) -> String {
    types.iter().map(MediaType::as_str).collect::<Vec<_>>().join(between)
}
