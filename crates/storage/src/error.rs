//! What can go wrong in a store.

use std::fmt;
use std::io;
use std::path::PathBuf;

use skopeo_image::{Classify, Digest, ErrorClass};

use crate::contents;

/// The result of working with a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the store cannot be read or written. The path is in the error.
    #[error(transparent)]
    Io(#[from] io::Error),

    /// A lock of the store cannot be taken.
    #[error("locking {}", path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// A list of records is no list of records.
    #[error("loading {path:?}")]
    Records {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },

    /// A list of records, or a link between layers, says what it must not.
    #[error("loading {path:?}: {what}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },

    /// A list of records cannot be written as JSON.
    #[error("writing {path:?}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },

    /// There is no such image.
    #[error("locating image with ID {id:?}: image not known")]
    ImageUnknown {
        /// What was asked for.
        id: String,
    },

    /// An image has no such data.
    #[error(
        "locating item named {key:?} for image with ID {id:?} (consider removing the image to \
         resolve the issue): file does not exist"
    )]
    DataUnknown {
        /// The image.
        id: String,
        /// The name of the data.
        key: String,
    },

    /// There is no such layer.
    #[error("locating layer with ID {id:?}: layer not known")]
    LayerUnknown {
        /// What was asked for.
        id: String,
    },

    /// What a new layer would lie on is a container's.
    #[error("creating a layer on {id:?}: would-be parent layer is a container")]
    ParentIsContainer {
        /// The container's layer.
        id: String,
    },

    /// A new layer was made for another parent.
    #[error("the layer was unpacked onto {made_for:?}, not onto {id:?}")]
    OtherParent {
        /// The parent's id, empty if there is none.
        id: String,
        /// The parent that it was unpacked onto.
        made_for: String,
    },

    /// A new layer is not what it should be.
    #[error("layer content incorrect digest: expected {expected}, got {actual}")]
    DiffMismatch {
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },

    /// There is an image of that id, and it is another one.
    #[error(
        "image with ID {id:?} already exists, but uses a different top layer: that ID is already \
         in use"
    )]
    IdInUse {
        /// The image's id.
        id: String,
    },

    /// An image cannot be deleted.
    #[error("image used by {container}: image is in use by a container")]
    ImageInUse {
        /// The container that has it.
        container: String,
    },

    /// Something is in a store that is read only.
    #[error("{id:?} is in a read-only store")]
    ReadOnly {
        /// The image or the layer.
        id: String,
    },

    /// A name that becomes a part of a path is none.
    #[error("{name:?} is not a valid file name")]
    BadName {
        /// The name.
        name: String,
    },

    /// Layers lie on each other so that none is the lowest.
    #[error("layer {id:?} is its own parent")]
    Circle {
        /// One of them.
        id: String,
    },

    /// A tar cannot become a layer.
    #[error("unpacking a layer")]
    Unpack(#[source] contents::Error),

    /// The files of a layer cannot be copied for one that lies on it.
    #[error("copying layer {id}")]
    Copy {
        /// The layer.
        id: String,
        /// Why.
        source: contents::Error,
    },

    /// A layer cannot become a tar.
    #[error("reading layer {id}")]
    Export {
        /// The layer.
        id: String,
        /// Why.
        source: contents::Error,
    },

    /// A way of keeping layers that is not known here.
    #[error("layer {id:?} is {what}, which cannot be read here")]
    UnsupportedLayer {
        /// The layer.
        id: String,
        /// What it is.
        what: Unreadable,
    },
}

/// Ways of keeping layers that are not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Its files lie by their digests, behind an image of their names.
    Composefs,
    /// Its files lie in an additional layer store, which a program serves.
    AdditionalStore,
    /// Nobody kept how its tar was made (`tar-split`).
    NoRecipe,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Composefs => "a composefs layer",
            Self::AdditionalStore => "a layer of an additional layer store",
            Self::NoRecipe => "without a recipe",
        })
    }
}

impl Unreadable {
    fn hint(self) -> &'static str {
        match self {
            Self::Composefs => "`podman push` and `podman save` read such a layer",
            Self::AdditionalStore => {
                "its files belong to another program: copy the image from where it was pulled"
            }
            Self::NoRecipe => {
                "its file tar-split.gz is missing, without which no program makes a tar of the same \
                 digest: pull the image again"
            }
        }
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Io(source) | Self::Lock { source, .. } => class_of(source),
            Self::Records { .. } | Self::Invalid { .. } | Self::Encode { .. } => {
                ErrorClass::InvalidImage
            }
            Self::ImageUnknown { .. } | Self::DataUnknown { .. } | Self::LayerUnknown { .. } => {
                ErrorClass::NotFound
            }
            Self::DiffMismatch { .. } => ErrorClass::DigestMismatch,
            Self::ParentIsContainer { .. }
            | Self::OtherParent { .. }
            | Self::IdInUse { .. }
            | Self::ImageInUse { .. } => ErrorClass::Conflict,
            Self::Circle { .. } => ErrorClass::InvalidImage,
            Self::Unpack(source) | Self::Copy { source, .. } | Self::Export { source, .. } => {
                match cause(source) {
                    Some(cause) if source.class() == Some(ErrorClass::Other) => class_of(cause),
                    _ => return source.class(),
                }
            }
            Self::ReadOnly { .. } => ErrorClass::Denied,
            Self::BadName { .. } => ErrorClass::InvalidInput,
            Self::UnsupportedLayer { .. } => ErrorClass::Unsupported,
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnsupportedLayer { what, .. } => Some(what.hint().to_owned()),
            _ => None,
        }
    }
}

/// The error of the system that is behind another.
fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(cause) = skopeo_image::as_a::<io::Error>(error) {
            return Some(cause);
        }
        next = error.source();
    }
    None
}

/// The class of an error of the system.
pub(crate) fn class_of(error: &io::Error) -> ErrorClass {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorClass::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorClass::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorClass::DiskFull,
        _ => ErrorClass::Other,
    }
}
