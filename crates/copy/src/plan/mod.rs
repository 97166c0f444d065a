//! What is to be done, decided before a byte moves: pure, and printable.

mod format;
mod frozen;
mod image;
mod layer;
mod list;

#[cfg(test)]
mod tests;

use skopeo_image::{Compression, Digest, ErrorClass, ManifestError, MediaType};

pub use frozen::Frozen;
pub use image::{DiffIds, ImagePlan};
pub use layer::{LayerPlan, Wanted};
pub use list::{InstancePlan, ListPlan};

pub(crate) use image::{Surroundings, plan_image};
pub(crate) use layer::recode;
pub(crate) use list::{choose, plan_list};

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
    /// A compression that this program can read but not write yet.
    #[error("compressing layers to {0} is not supported in this build")]
    CompressionNotBuilt(Compression),
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
    /// Lists in lists in lists.
    #[error("reading manifest list {0}: nested too deeply")]
    TooDeep(Digest),
}

impl PlanError {
    /// What kind of error it is.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Manifest(error) => error.class(),
            Self::TooDeep(_) => ErrorClass::InvalidImage,
            Self::DestinationDigest => ErrorClass::DigestMismatch,
            _ => ErrorClass::Unsupported,
        }
    }
}

fn join(types: &[MediaType], between: &str) -> String {
    types.iter().map(MediaType::as_str).collect::<Vec<_>>().join(between)
}
