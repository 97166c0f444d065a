//! What can be wrong with what `docker save` made, in the original's words where it has any.

use skopeo_image::{Classify, Digest, DigestError, ErrorClass, ReferenceError};

use crate::tar::NOT_EXTENSIBLE;

/// Why a docker archive, or an image in it, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavedError {
    /// Something that must be in the archive is not.
    #[error("loading tar component {0:?}: file does not exist")]
    Missing(String),
    /// `manifest.json` does not lead to an image.
    #[error(transparent)]
    Manifest(#[from] SavedManifestError),
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] SavedImageError),
    /// An image cannot be written.
    #[error(transparent)]
    Saving(#[from] SavingError),
}

impl Classify for SavedError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Missing(_) => Some(ErrorClass::InvalidImage),
            Self::Manifest(error) => error.class(),
            Self::Image(error) => error.class(),
            Self::Saving(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Manifest(error) => error.hint(),
            Self::Saving(error) => error.hint(),
            Self::Missing(_) | Self::Image(_) => None,
        }
    }
}

/// Why `manifest.json` of a docker archive does not lead to an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavedManifestError {
    /// `manifest.json` is no JSON of its kind.
    #[error("decoding tar manifest.json")]
    Manifest(#[source] serde_json::Error),
    /// Nothing says which of several images is meant, or there is none.
    #[error("Unexpected tar manifest.json: expected 1 item, got {0}")]
    NotOne(usize),
    /// `@N` beyond the end.
    #[error("Invalid source index @{index}, only {available} manifest items available")]
    NoSuchIndex {
        /// The N, counted from 0.
        index: usize,
        /// How many there are.
        available: usize,
    },
    /// No image has that tag.
    #[error("Tag {0:?} not found")]
    NoSuchTag(String),
    /// A tag in `manifest.json` is none.
    #[error("Invalid tag {tag:?} in manifest.json item @{at}")]
    Tag {
        /// What stands there.
        tag: String,
        /// In which image, counted from 0.
        at: usize,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// The same, when all are listed.
    #[error("Invalid tag {tag:?} in manifest item @{at}")]
    ListedTag {
        /// What stands there.
        tag: String,
        /// In which image, counted from 0.
        at: usize,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// What should be a tag is a repository.
    #[error("Invalid tag {tag:?} ({parsed}): does not contain a tag")]
    Tagless {
        /// What stands there.
        tag: String,
        /// The same in full.
        parsed: String,
    },
}

impl Classify for SavedManifestError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::NoSuchIndex { .. } | Self::NoSuchTag(_) => ErrorClass::NotFound,
            Self::NotOne(_) => ErrorClass::InvalidInput,
            Self::Manifest(_)
            | Self::Tag { .. }
            | Self::ListedTag { .. }
            | Self::Tagless { .. } => ErrorClass::InvalidImage,
        })
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotOne(0) => return None,
            Self::NotOne(_) | Self::NoSuchTag(_) => {
                "`list-tags docker-archive:PATH` lists the images; choose one with docker-archive:PATH:REFERENCE, or by number with docker-archive:PATH:@0"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// Why the image that `manifest.json` names cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavedImageError {
    /// A config is no JSON of its kind.
    #[error("decoding tar config {path:?}")]
    Config {
        /// Where it is in the archive.
        path: String,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// A config names a layer by what is no digest.
    #[error("decoding tar config {path:?}")]
    DiffId {
        /// Where it is in the archive.
        path: String,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
    /// A config does not say what is in the layers.
    #[error("Invalid image config (rootFS is not set): {0:?}")]
    NoRootFs(String),
    /// Config and `manifest.json` differ.
    #[error("Inconsistent layer count: {manifest} in manifest, {config} in config")]
    LayerCount {
        /// How many `manifest.json` has.
        manifest: usize,
        /// How many the config has.
        config: usize,
    },
    /// A layer is another than the one that the config of its image names.
    #[error("Layer {at} of the image is {actual}, but its config has {expected}")]
    OtherLayer {
        /// Which, counted from 0 at the root.
        at: usize,
        /// What it is when it is not packed.
        actual: Digest,
        /// What the config says.
        expected: Digest,
    },
    /// One file cannot have two digests.
    #[error("Layer tarfile {0:?} used for two different DiffID values")]
    LayerTwice(String),
    /// A layer's file is not there.
    #[error("Some layer tarfiles are missing in the tarball: {0}")]
    LayerMissing(String),
    /// The packing of a layer is broken.
    #[error("reading {path:?} to find its size")]
    LayerSize {
        /// Where it is in the archive.
        path: String,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// A blob that is not of this image.
    #[error("Unknown blob {0}")]
    UnknownBlob(Digest),
}

impl Classify for SavedImageError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::UnknownBlob(_) => ErrorClass::NotFound,
            Self::Config { .. }
            | Self::DiffId { .. }
            | Self::NoRootFs(_)
            | Self::LayerCount { .. }
            | Self::OtherLayer { .. }
            | Self::LayerTwice(_)
            | Self::LayerMissing(_)
            | Self::LayerSize { .. } => ErrorClass::InvalidImage,
        })
    }
}

/// Why an image cannot be written to a docker archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavingError {
    /// There are no lists in archives.
    #[error("Manifest lists are not supported for docker tar files")]
    NoLists,
    /// Only one kind of manifest says what must be known.
    #[error("Unsupported manifest type, need a Docker schema 2 manifest")]
    ManifestType,
    /// `@N` names what is there, not what is to come.
    #[error("Destination reference must not contain a manifest index @{0}")]
    IndexInDestination(usize),
    /// The config of the image to be written is no JSON object.
    #[error("unmarshaling config")]
    OwnConfig(#[source] serde_json::Error),
    /// A file that an image cannot be added to.
    #[error("docker-archive doesn't support modifying existing images: {path} {reason}")]
    NotExtensible {
        /// The file.
        path: String,
        /// Why not.
        reason: &'static str,
    },
}

impl Classify for SavingError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::IndexInDestination(_) => ErrorClass::InvalidInput,
            Self::NoLists | Self::ManifestType => ErrorClass::Unsupported,
            Self::NotExtensible { .. } => ErrorClass::Conflict,
            Self::OwnConfig(_) => ErrorClass::InvalidImage,
        })
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::NotExtensible { .. }).then(|| NOT_EXTENSIBLE.to_owned())
    }
}
