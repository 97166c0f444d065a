//! What can go wrong with images in a store of podman and buildah.

use skopeo_image::{Classify, ConvertError, Digest, ErrorClass, ManifestError, MediaType};

use crate::signature_error::MalformedSignature;

/// What can go wrong with images in a store of podman and buildah. Where scripts match a sentence
/// of the original, it is that.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] skopeo_storage::Error),
    /// There is no image of that name.
    #[error("reference {0:?} does not resolve to an image ID")]
    NotResolved(String),
    /// There is one of that id, and it has no name in that repository.
    #[error("identifier is not an image")]
    OtherName,
    /// There is none of that id, or it cannot be read.
    #[error("reading image {id:?}")]
    Image {
        /// The id.
        id: String,
        /// Why.
        #[source]
        source: Box<skopeo_storage::Error>,
    },
    /// The image does not have the manifest that was asked for.
    #[error("reading manifest for image instance {:?}", digest.as_str())]
    Instance {
        /// Its digest.
        digest: Digest,
        /// Why.
        #[source]
        source: Box<skopeo_storage::Error>,
    },
    /// What the writer of an image noted is no JSON of its kind.
    #[error("decoding metadata for source image")]
    Metadata(#[source] serde_json::Error),
    /// Signatures cannot be read.
    #[error("looking up signatures data for image {id:?} ({which})")]
    Signatures {
        /// The image.
        id: String,
        /// Which of its manifests they are of.
        which: String,
        /// Why.
        #[source]
        source: Box<skopeo_storage::Error>,
    },
    /// Signatures are shorter than was noted.
    #[error(
        "looking up signatures data for image {id:?} ({which}): expected at least {expected} bytes, \
         only found {found}"
    )]
    ShortSignatures {
        /// The image.
        id: String,
        /// Which of its manifests they are of.
        which: String,
        /// How many bytes there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// Signatures are longer than was noted.
    #[error("signatures data ({which}) contained {extra} extra bytes")]
    LongSignatures {
        /// Which manifest they are of.
        which: String,
        /// How many bytes are too many.
        extra: usize,
    },
    /// A signature is none.
    #[error("parsing signature at ({at}, {length})")]
    Signature {
        /// Its first byte among those of all signatures.
        at: usize,
        /// Its length in bytes.
        length: usize,
        /// What is wrong.
        #[source]
        source: MalformedSignature,
    },
    /// A signature cannot be written.
    #[error("encoding a signature")]
    EncodeSignature(#[source] MalformedSignature),
    /// The layers of an image cannot be told.
    #[error("creating LayerInfosForCopy of image {id:?}: {reason}")]
    Layers {
        /// The image.
        id: String,
        /// Why not.
        reason: String,
    },
    /// A layer of an image is not there.
    #[error("reading layer {layer:?} in image {id:?}")]
    NoLayer {
        /// The layer.
        layer: String,
        /// The image.
        id: String,
        /// Why.
        #[source]
        source: Box<skopeo_storage::Error>,
    },
    /// It is not known what is in a layer.
    #[error("uncompressed digest and TOC digest for layer {0:?} is unknown")]
    UnknownLayer(String),
    /// The manifest is not what the name says.
    #[error("Manifest to be saved does not match expected digest {0}")]
    OtherDigest(Digest),
    /// The config says that another layer should be there.
    #[error("layer {at} (blob {:?}/\"\"/{:?}) does not match config's DiffID {expected:?}", blob.as_str(), found.as_str())]
    DiffId {
        /// Which layer, counted from 0.
        at: usize,
        /// The layer as the manifest names it.
        blob: Digest,
        /// What is in it.
        found: Digest,
        /// What the config says.
        expected: String,
    },
    /// The config says nothing of a layer.
    #[error("image config has only {known} DiffID values, but a layer with index {at} exists")]
    NoDiffId {
        /// How many it knows.
        known: usize,
        /// Which layer, counted from 0.
        at: usize,
    },
    /// A layer of the manifest has not been brought.
    #[error("committing the image: layer {0} has not been written")]
    Missing(Digest),
    /// The id of an image of schema 1 cannot be computed.
    #[error("computing the ID of the image")]
    ImageId(#[source] ConvertError),
    /// An image cannot be put into the store.
    #[error("creating image {id:?}")]
    Create {
        /// The image.
        id: String,
        /// Why.
        #[source]
        source: Box<skopeo_storage::Error>,
    },
    /// A layer cannot be put into the store.
    #[error("adding layer with blob {:?}", blob.as_str())]
    AddLayer {
        /// The layer as the manifest names it.
        blob: Digest,
        /// Why.
        #[source]
        source: Box<skopeo_storage::Error>,
    },
    /// A layer is encrypted, and cannot be unpacked.
    #[error("a container store keeps the files of layers, and layer {0} would come encrypted")]
    EncryptedLayer(Digest),
    /// A layer is no tar by its type, and cannot be unpacked.
    #[error(
        "a container store keeps the files of layers, and layer {digest} is no tar: its type is {media_type}"
    )]
    NotTar {
        /// The layer.
        digest: Digest,
        /// Its type, as the manifest has it.
        media_type: MediaType,
    },
    /// An image is needed, and this is something else.
    #[error("parsing image configuration")]
    Artifact(#[source] ManifestError),
    /// The config is longer than any should be.
    #[error("config {digest} has {size} bytes, more than the limit of {limit}")]
    LargeConfig {
        /// The config.
        digest: Digest,
        /// How many bytes it has, or how many have come.
        size: usize,
        /// How many are accepted.
        limit: usize,
    },
}

impl StorageError {
    /// Returns whether the store is fine but there is no such image in it.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotResolved(_) | Self::OtherName)
    }
}

impl Classify for StorageError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::NotResolved(_) | Self::OtherName => ErrorClass::NotFound,
            Self::Store(source) => return source.class(),
            Self::Image { source, .. }
            | Self::Instance { source, .. }
            | Self::Signatures { source, .. }
            | Self::NoLayer { source, .. }
            | Self::Create { source, .. }
            | Self::AddLayer { source, .. } => return source.class(),
            Self::OtherDigest(_) | Self::DiffId { .. } => ErrorClass::DigestMismatch,
            Self::Metadata(_)
            | Self::ShortSignatures { .. }
            | Self::LongSignatures { .. }
            | Self::Signature { .. }
            | Self::EncodeSignature(_)
            | Self::Layers { .. }
            | Self::UnknownLayer(_)
            | Self::NoDiffId { .. }
            | Self::Missing(_)
            | Self::ImageId(_)
            | Self::LargeConfig { .. } => ErrorClass::InvalidImage,
            Self::EncryptedLayer(_) | Self::NotTar { .. } | Self::Artifact(_) => {
                ErrorClass::Unsupported
            }
        })
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotResolved(_) => Some(
                "`podman images --digests` shows the names in a store; root and each user have their own stores",
            ),
            Self::Store(skopeo_storage::Error::ImageInUse { .. }) => {
                Some("`podman ps --all --external` shows the containers; `podman rm` removes one")
            }
            Self::Store(source) => return source.hint(),
            Self::UnknownLayer(_) => Some(
                "it was pulled in parts (zstd:chunked): podman pulls it whole if storage.conf has \
                 pull_options = {enable_partial_images = \"false\"} below [storage.options]",
            ),
            Self::EncryptedLayer(_) => Some(
                "--decryption-key decrypts layers on the way; with --encryption-key an image goes \
                 to docker://, dir:, oci: or oci-archive:",
            ),
            Self::NotTar { .. } | Self::Artifact(_) => Some(
                "what is not an image of files can be copied to docker://, dir:, oci: and \
                 oci-archive:, as it is",
            ),
            _ => None,
        };
        hint.map(str::to_owned)
    }
}
