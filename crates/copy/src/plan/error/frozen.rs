//! What had to change, and must not.

use skopeo_image::{Classify, Digest, ErrorClass};

use crate::plan::Frozen;

/// Why something that must not change would have to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrozenError {
    /// A layer had to change.
    #[error("layer {digest} should be {verb}, but we can’t modify the manifest: {frozen}")]
    Layer {
        /// The layer.
        digest: Digest,
        /// What should happen to it.
        verb: &'static str,
        /// Why it cannot.
        frozen: Frozen,
    },
    /// The source has the layers in another form than the manifest names.
    #[error(
        "Copying this image would require changing layer representation, which we cannot do: {:?}",
        .0.to_string()
    )]
    LayerRepresentation(Frozen),
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
    /// The referrers of an image would lose it.
    #[error(
        "{change} would change its digest {digest}, to which the referrers that are copied with it refer"
    )]
    Referrers {
        /// The manifest's digest.
        digest: String,
        /// What was asked for, in the gerund.
        change: String,
    },
}

impl Classify for FrozenError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::DestinationDigest => ErrorClass::DigestMismatch,
            Self::Layer { .. }
            | Self::LayerRepresentation(_)
            | Self::EmbeddedName { .. }
            | Self::Referrers { .. } => ErrorClass::Unsupported,
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::LayerRepresentation(Frozen::Signed) => Some(
                "--remove-signatures copies without them: a container store keeps the files of the \
                 layers, not the blobs that were signed"
                    .to_owned(),
            ),
            Self::Layer { .. }
            | Self::LayerRepresentation(_)
            | Self::DestinationDigest
            | Self::EmbeddedName { .. }
            | Self::Referrers { .. } => None,
        }
    }
}
