//! What can go wrong where images live.

mod commit;
mod content;
mod format;

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use skopeo_archive::{TarError, TarWriteError};
use skopeo_blob::{FileError, StreamError, WriteError};
use skopeo_image::{Classify, ErrorClass, ManifestError};
use skopeo_registry::Error as RegistryError;

use crate::atomic::AtomicError;
use crate::collection::CollectionError;
use crate::dir::DirError;
use crate::docker_tar::{
    DockerTarError, SavedError, SavedImageError, SavedManifestError, SavingError,
};
use crate::invalid_file::InvalidFile;
use crate::layout::{BucketError, LayoutError, LayoutNameError};
use crate::name::NameError;
use crate::paths::PathError;
use crate::registry::{DeletionError, DockerError, DockerNameError};
use crate::signature_error::SignaturesError;
use crate::storage::{StorageError, StorageNameError};
use crate::synthetic::SyntheticError;
use crate::tar::ArchiveError;

pub use commit::CommitError;
pub use content::ContentError;
pub use format::FormatError;

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
    /// A manifest that is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// What went wrong for several at once.
    #[error(transparent)]
    Shared(Arc<Self>),
    /// A file that was to be read cannot be what it should be.
    #[error(transparent)]
    File(#[from] InvalidFile),
    /// The signatures of an image could not be read or written.
    #[error(transparent)]
    Signatures(#[from] SignaturesError),
    /// What was found is not what it should be.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// An image gets no name, or a name does not go.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// An error of one format.
    #[error(transparent)]
    Format(FormatError),
}

impl Error {
    /// Returns whether the error is told without what was being done, since the original says no
    /// more.
    #[must_use]
    pub fn stands_alone(&self) -> bool {
        matches!(self, Self::Format(FormatError::Dir(DirError::FolderExists(_))))
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
            Self::Format(error) => error.is_not_found(),
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
            Self::Commit(error) => error.is_transient(),
            Self::Format(error) => error.is_transient(),
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
            Self::Format(error) => error.tried(),
            Self::Signatures(error) => error.registry().map_or(1, RegistryError::tried),
            Self::Shared(error) => error.tried(),
            _ => 1,
        }
    }

    /// Returns what a registry has to do with it, if anything.
    #[must_use]
    pub fn registry(&self) -> Option<&RegistryError> {
        match self {
            Self::Format(error) => error.registry(),
            Self::Signatures(error) => error.registry(),
            Self::Shared(error) => error.registry(),
            _ => None,
        }
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Io(error) => error.class(),
            Self::Name(error) => error.class(),
            Self::Tar(error) => error.class(),
            Self::Stream(error) => error.class(),
            Self::Config(error) => error.class(),
            Self::Manifest(error) => error.class(),
            Self::File(error) => error.class(),
            Self::Signatures(error) => error.class(),
            Self::Content(error) => error.class(),
            Self::Commit(error) => error.class(),
            Self::Format(error) => error.class(),
            Self::Shared(error) => error.class(),
            Self::Unsupported { .. } | Self::ReadOnly(_) => Some(ErrorClass::Unsupported),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::File(error) => error.hint(),
            Self::Commit(error) => error.hint(),
            Self::Format(error) => error.hint(),
            Self::Shared(error) => error.hint(),
            Self::Signatures(error) => error.hint(),
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
        Self::Format(FormatError::Docker(error.into()))
    }
}

impl From<TarWriteError> for Error {
    fn from(error: TarWriteError) -> Self {
        match error {
            TarWriteError::Io(error) => Self::Io(error),
            TarWriteError::Stream(error) => Self::Stream(error),
            // Which part of an image that is, who writes the image says.
            TarWriteError::Unfinished => CommitError::NothingToCommit.into(),
            error => ArchiveError::from(error).into(),
        }
    }
}

#[cfg(feature = "object-stores")]
impl From<skopeo_objects::Error> for Error {
    fn from(error: skopeo_objects::Error) -> Self {
        BucketError::from(error).into()
    }
}

/// An error of a format is an error of a transport.
macro_rules! from_format_errors {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Error {
            fn from(error: $kind) -> Self {
                Self::Format(error.into())
            }
        }
    )*};
}

from_format_errors!(
    ArchiveError,
    AtomicError,
    BucketError,
    CollectionError,
    DeletionError,
    DirError,
    DockerError,
    DockerTarError,
    LayoutError,
    StorageError,
    SyntheticError
);

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

/// An error of a docker archive is an error of its format.
macro_rules! from_saved_errors {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Error {
            fn from(error: $kind) -> Self {
                DockerTarError::from(SavedError::from(error)).into()
            }
        }
    )*};
}

from_saved_errors!(SavedImageError, SavedManifestError, SavingError);

impl From<SavedError> for Error {
    fn from(error: SavedError) -> Self {
        DockerTarError::from(error).into()
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Signatures(error.into())
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
