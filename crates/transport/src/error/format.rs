//! An error of one format: where images are, and how they are kept there.

use skopeo_archive::TarWriteError;
use skopeo_image::{Classify, ErrorClass};
use skopeo_registry::Error as RegistryError;

use crate::atomic::AtomicError;
use crate::collection::CollectionError;
use crate::dir::DirError;
use crate::docker_tar::DockerTarError;
use crate::layout::{BucketError, LayoutError};
use crate::registry::{DeletionError, DockerError};
use crate::storage::StorageError;
use crate::synthetic::SyntheticError;
use crate::tar::ArchiveError;

/// An error of one format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
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
    /// An image that is made of a file of another kind.
    #[error(transparent)]
    Synthetic(#[from] SyntheticError),
    /// A collection of images.
    #[error(transparent)]
    Collection(#[from] CollectionError),
    /// The API of `OpenShift` refused, or was not reached.
    #[error(transparent)]
    Atomic(Box<AtomicError>),
    /// A store of podman refused, or has no such image.
    #[error(transparent)]
    Storage(Box<StorageError>),
}

impl FormatError {
    /// Returns whether the format is fine but there is no such image in it.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Layout(error) => matches!(error, LayoutError::NoSuchReference(_)),
            Self::Bucket(error) => error.is_not_found(),
            Self::Atomic(error) => error.class() == Some(ErrorClass::NotFound),
            Self::Storage(error) => error.is_not_found(),
            Self::Docker(error) => error.is_not_found(),
            _ => false,
        }
    }

    /// Returns whether the same call may do better in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Archive(ArchiveError::Write(TarWriteError::Changed(_))) => true,
            Self::Docker(error) => error.is_transient(),
            Self::Bucket(error) => error.is_transient(),
            Self::Atomic(error) => error.is_transient(),
            Self::Deletion(error) => error.registry().is_some_and(RegistryError::is_transient),
            _ => false,
        }
    }

    /// Returns how often a request was sent that came to nothing.
    #[must_use]
    pub fn tried(&self) -> u32 {
        match self {
            Self::Docker(error) => error.tried(),
            Self::Deletion(error) => error.registry().map_or(1, RegistryError::tried),
            _ => 1,
        }
    }

    /// Returns what a registry has to do with it, if anything.
    #[must_use]
    pub fn registry(&self) -> Option<&RegistryError> {
        match self {
            Self::Docker(error) => error.registry(),
            Self::Deletion(error) => error.registry(),
            _ => None,
        }
    }
}

impl Classify for FormatError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Archive(error) => error.class(),
            Self::Dir(error) => error.class(),
            Self::Layout(error) => error.class(),
            Self::Bucket(error) => error.class(),
            Self::Docker(error) => error.class(),
            Self::Deletion(error) => error.class(),
            Self::DockerTar(error) => error.class(),
            Self::Synthetic(error) => error.class(),
            Self::Collection(error) => error.class(),
            Self::Atomic(error) => error.class(),
            Self::Storage(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Archive(error) => error.hint(),
            Self::Layout(error) => error.hint(),
            Self::Bucket(error) => error.hint(),
            Self::Docker(error) => error.hint(),
            Self::Deletion(error) => error.hint(),
            Self::DockerTar(error) => error.hint(),
            Self::Atomic(error) => error.hint(),
            Self::Storage(error) => error.hint(),
            Self::Dir(_) | Self::Synthetic(_) | Self::Collection(_) => None,
        }
    }
}

impl From<StorageError> for FormatError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<AtomicError> for FormatError {
    fn from(error: AtomicError) -> Self {
        Self::Atomic(error.into())
    }
}
