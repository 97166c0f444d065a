//! What can go wrong where images live.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use skopeo_archive::{TarError, TarWriteError};
use skopeo_blob::{FileError, StreamError, WriteError};
use skopeo_image::{Classify, Digest, ErrorClass, ManifestError};
use skopeo_registry::Error as RegistryError;

use crate::atomic::AtomicError;
use crate::collection::CollectionError;
use crate::dir::DirError;
use crate::docker_tar::{DockerTarError, SavedError};
use crate::invalid_file::InvalidFile;
use crate::layout::{BucketError, LayoutError, LayoutNameError};
use crate::name::NameError;
use crate::paths::PathError;
use crate::registry::{DeletionError, DockerError, DockerNameError};
use crate::signature_error::SignaturesError;
use crate::storage::{StorageError, StorageNameError};
use crate::synthetic::SyntheticError;
use crate::tar::ArchiveError;

/// An error of a transport: what several of them have in common, or an error of one of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read, written or moved; the text names it.
    #[error(transparent)]
    Io(FileError),
    /// What was found has no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A tar could not be read.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The bytes to be written did not come, or were not what they should be.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A transport that cannot do what was asked.
    #[error("{operation} not implemented for {transport}: images")]
    Unsupported {
        /// Its name.
        transport: &'static str,
        /// What was asked.
        operation: &'static str,
    },
    /// A transport that images are only read from.
    #[error("\"{0}:\" locations can only be read from, not written to")]
    ReadOnly(&'static str),
    /// What this machine is configured to do is not possible.
    #[error(transparent)]
    Config(#[from] skopeo_config::Error),
    /// A manifest is another than the one asked for.
    #[error("Manifest does not match provided manifest digest {0}")]
    ManifestMismatch(Digest),
    /// A manifest that is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A small blob that is not.
    #[error("reading blob {digest}: {size} bytes, more than the limit of {limit}")]
    BlobTooLarge {
        /// Its digest.
        digest: Digest,
        /// Its length in bytes, or as much of it as was read.
        size: u64,
        /// The longest that is read.
        limit: u64,
    },
    /// A part of a copy was called for without what comes before it.
    #[error("committing an image without a manifest")]
    NothingToCommit,
    /// An image is another one than when it was looked at.
    #[error("deleting {0}: it was rewritten in the meantime, and stays")]
    Rewritten(String),
    /// The tag leads to something that has what the new one has not, and the reverse.
    #[error("writing tag {0}: the existing contents would be lost")]
    WouldLose(String),
    /// A blob was deleted between its reuse and the commit.
    #[error("committing the image: blob {0} was deleted in the meantime")]
    Vanished(Digest),
    /// Of several places that were written to at once, none is left; each has its own reason.
    #[error("writing to several destinations: all of them failed")]
    NoDestinationLeft,
    /// What went wrong for several at once.
    #[error(transparent)]
    Shared(Arc<Self>),
    /// An entry whose blobs cannot be known, so that deleting is not safe.
    #[error("unsupported mediaType in index: {0:?}")]
    UnknownEntry(String),
    /// A file that was to be read cannot be what it should be.
    #[error(transparent)]
    File(#[from] InvalidFile),
    /// The signatures of an image could not be read or written.
    #[error(transparent)]
    Signatures(#[from] SignaturesError),
    /// A tar could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An image in a folder of its own.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// An image in an OCI layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// An image in an OCI layout in a bucket of an object store.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// An image in a registry.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// An image or a tag in a registry that was to be deleted.
    #[error(transparent)]
    Deletion(#[from] DeletionError),
    /// An image that `docker save` made, or of a Docker daemon.
    #[error(transparent)]
    DockerTar(#[from] DockerTarError),
    /// An image that is made of what is none.
    #[error(transparent)]
    Synthetic(#[from] SyntheticError),
    /// A place of many images.
    #[error(transparent)]
    Collection(#[from] CollectionError),
    /// The API of `OpenShift` refused, or was not reached.
    #[error(transparent)]
    Atomic(Box<AtomicError>),
    /// A store of podman refused, or has no such image.
    #[error(transparent)]
    Storage(Box<StorageError>),
}

impl Error {
    /// Returns whether the error is told without what was being done, since the original says no
    /// more.
    #[must_use]
    pub fn stands_alone(&self) -> bool {
        matches!(self, Self::Dir(DirError::FolderExists(_)))
    }

    /// Returns whether a file is missing that was to be opened.
    #[must_use]
    pub fn is_missing_file(&self) -> bool {
        match self {
            Self::Io(error) => error.kind() == io::ErrorKind::NotFound,
            Self::Shared(error) => error.is_missing_file(),
            _ => false,
        }
    }

    /// Returns whether the place is fine but there is no such image in it.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Layout(error) => matches!(error, LayoutError::NoSuchReference(_)),
            Self::Bucket(error) => error.is_not_found(),
            Self::Atomic(error) => error.class() == Some(ErrorClass::NotFound),
            Self::Storage(error) => error.is_not_found(),
            Self::Docker(error) => error.is_not_found(),
            Self::Shared(error) => error.is_not_found(),
            _ => false,
        }
    }

    /// Returns whether a registry says that there is no such repository, asked for its tags.
    #[must_use]
    pub fn is_unknown_repository(&self) -> bool {
        self.registry().is_some_and(|error| error.status() == Some(404))
    }

    /// Returns whether the same call may do better in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Stream(error) => error.is_transient(),
            Self::Vanished(_) => true,
            Self::Archive(ArchiveError::Write(TarWriteError::Changed(_))) => true,
            Self::Docker(error) => error.is_transient(),
            Self::Bucket(error) => error.is_transient(),
            Self::Atomic(error) => error.is_transient(),
            Self::Deletion(error) => error.registry().is_some_and(RegistryError::is_transient),
            Self::Signatures(error) => error.registry().is_some_and(RegistryError::is_transient),
            Self::Shared(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Returns how often a request was sent that came to nothing. What was tried more than once
    /// need not be tried again soon.
    #[must_use]
    pub fn tried(&self) -> u32 {
        match self {
            Self::Stream(error) => error.tried(),
            Self::Docker(error) => error.tried(),
            Self::Deletion(error) => error.registry().map_or(1, RegistryError::tried),
            Self::Signatures(error) => error.registry().map_or(1, RegistryError::tried),
            Self::Shared(error) => error.tried(),
            _ => 1,
        }
    }

    /// Returns what a registry has to do with it, if anything.
    #[must_use]
    pub fn registry(&self) -> Option<&RegistryError> {
        match self {
            Self::Docker(error) => error.registry(),
            Self::Deletion(error) => error.registry(),
            Self::Signatures(error) => error.registry(),
            Self::Shared(error) => error.registry(),
            _ => None,
        }
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Io(error) => return error.class(),
            Self::Name(error) => return error.class(),
            Self::Tar(error) => return error.class(),
            Self::Stream(error) => return error.class(),
            Self::Config(error) => return error.class(),
            Self::Manifest(error) => return error.class(),
            Self::File(error) => return error.class(),
            Self::Signatures(error) => return error.class(),
            Self::Archive(error) => return error.class(),
            Self::Dir(error) => return error.class(),
            Self::Layout(error) => return error.class(),
            Self::Bucket(error) => return error.class(),
            Self::Docker(error) => return error.class(),
            Self::Deletion(error) => return error.class(),
            Self::DockerTar(error) => return error.class(),
            Self::Synthetic(error) => return error.class(),
            Self::Collection(error) => return error.class(),
            Self::Atomic(error) => return error.class(),
            Self::Storage(error) => return error.class(),
            Self::Shared(error) => return error.class(),
            Self::Unsupported { .. } | Self::ReadOnly(_) => ErrorClass::Unsupported,
            Self::ManifestMismatch(_) => ErrorClass::DigestMismatch,
            Self::Rewritten(_) | Self::WouldLose(_) | Self::Vanished(_) => ErrorClass::Conflict,
            Self::UnknownEntry(_) => ErrorClass::InvalidImage,
            Self::BlobTooLarge { .. } | Self::NothingToCommit | Self::NoDestinationLeft => {
                return None;
            }
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::File(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Layout(error) => error.hint(),
            Self::Bucket(error) => error.hint(),
            Self::Docker(error) => error.hint(),
            Self::Deletion(error) => error.hint(),
            Self::DockerTar(error) => error.hint(),
            Self::Atomic(error) => error.hint(),
            Self::Storage(error) => error.hint(),
            Self::Shared(error) => error.hint(),
            Self::WouldLose(_) => Some(
                "the destination has signatures or attestations of its own; delete the tag there, \
                 or copy other types only"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error.into())
    }
}

impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        Self::Docker(error.into())
    }
}

impl From<TarWriteError> for Error {
    fn from(error: TarWriteError) -> Self {
        match error {
            TarWriteError::Io(error) => Self::Io(error),
            TarWriteError::Stream(error) => Self::Stream(error),
            // Which part of an image that is, who writes the image says.
            TarWriteError::Unfinished => Self::NothingToCommit,
            error => Self::Archive(error.into()),
        }
    }
}

#[cfg(feature = "object-stores")]
impl From<skopeo_objects::Error> for Error {
    fn from(error: skopeo_objects::Error) -> Self {
        BucketError::from(error).into()
    }
}

/// An error of a kind of names is one of names.
macro_rules! from_name_errors {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Error {
            fn from(error: $kind) -> Self {
                Self::Name(error.into())
            }
        }
    )*};
}

from_name_errors!(PathError, DockerNameError, LayoutNameError, StorageNameError);

impl From<SavedError> for Error {
    fn from(error: SavedError) -> Self {
        Self::DockerTar(error.into())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Signatures(error.into())
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<AtomicError> for Error {
    fn from(error: AtomicError) -> Self {
        Self::Atomic(error.into())
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stream(error) => Self::Stream(error),
            WriteError::Io(error) => Self::Io(error),
        }
    }
}

/// Returns an error as one that says its class, if this crate or one below it has made it.
#[must_use]
pub fn classified<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a dyn Classify> {
    skopeo_image::classified!(
        error;
        Error, NameError, StreamError, FileError, skopeo_config::Error, ManifestError;
        skopeo_registry::classified
    )
}

/// Returns whether one error in a chain of causes says that the same step may go well in a moment.
#[must_use]
pub fn is_transient(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<Error>().is_some_and(Error::is_transient)
        || error.downcast_ref::<RegistryError>().is_some_and(RegistryError::is_transient)
        || error.downcast_ref::<StreamError>().is_some_and(StreamError::is_transient)
}
