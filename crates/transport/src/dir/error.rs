//! What can go wrong with an image in a folder of its own.

use std::path::PathBuf;

use skopeo_blob::FileError;
use skopeo_image::{Classify, ErrorClass};

/// What can go wrong with an image in a folder of its own: `dir:`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirError {
    /// The folder for an image could not be made.
    #[error("unable to create directory {path:?}")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        #[source]
        source: FileError,
    },
    /// The `version` file of a `dir:` image could not be read.
    #[error("reading version file {path:?}")]
    VersionFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: FileError,
    },
    /// A folder that holds an image, and must not get another.
    #[error("Refusing to overwrite destination directory {0:?}")]
    FolderExists(String),
    /// A folder that is not empty and not ours.
    #[error("not a containers image directory, don't want to overwrite important data")]
    NotImageFolder,
    /// A `version` file that holds something else.
    #[error("invalid version file content: {0:?}")]
    InvalidVersionFile(String),
    /// A `dir:` folder of a later format.
    #[error("unsupported directory transport version {version:?} at {path}")]
    UnsupportedVersion {
        /// The content of its `version` file.
        version: String,
        /// The folder.
        path: String,
    },
    /// Another copy writes there.
    #[error("writing to {0}: another copy is being written there")]
    FolderBusy(String),
    /// Two wishes that contradict each other.
    #[error("Cannot compress and decompress at the same time")]
    CompressAndDecompress,
}

impl Classify for DirError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Folder { source, .. } | Self::VersionFile { source, .. } => {
                return source.class();
            }
            Self::FolderExists(_) | Self::NotImageFolder | Self::FolderBusy(_) => {
                ErrorClass::Conflict
            }
            Self::InvalidVersionFile(_) | Self::UnsupportedVersion { .. } => {
                ErrorClass::InvalidImage
            }
            Self::CompressAndDecompress => ErrorClass::InvalidInput,
        })
    }
}
