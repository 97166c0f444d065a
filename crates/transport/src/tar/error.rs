//! What can go wrong with an archive that is opened, written, or added to.

use std::path::PathBuf;

use skopeo_archive::TarWriteError;
use skopeo_image::{Classify, Digest, ErrorClass};

/// What can go wrong with an archive that is opened, written, or added to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The tar could not be written.
    #[error(transparent)]
    Write(#[from] TarWriteError),
    /// There is no archive to read.
    #[error("archive file not found: {0:?}")]
    NoArchive(String),
    /// Somebody else writes it.
    #[error(
        "writing to {path}: another program{} is writing it",
        process.map_or_else(String::new, |id| format!(" (process {id})"))
    )]
    ArchiveBusy {
        /// The archive.
        path: String,
        /// The number of its process, if it is known.
        process: Option<u32>,
    },
    /// A file that an image cannot be added to.
    #[error("oci-archive doesn't support modifying {path}: it {reason}")]
    NotExtensible {
        /// The file.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// An archive that is written anew has not what it should have.
    #[error("reusing blob {digest} of {}: it is damaged there", path.display())]
    BrokenArchive {
        /// The archive.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
}

/// What to do about a file that an image cannot be added to.
pub(crate) const NOT_EXTENSIBLE: &str =
    "images are only added, so that nothing is lost; use another file, or move this one away first";

impl Classify for ArchiveError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Write(error) => return error.class(),
            Self::NoArchive(_) => ErrorClass::NotFound,
            Self::ArchiveBusy { .. } | Self::NotExtensible { .. } => ErrorClass::Conflict,
            Self::BrokenArchive { .. } => ErrorClass::InvalidImage,
        })
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotExtensible { .. } => NOT_EXTENSIBLE,
            Self::ArchiveBusy { .. } | Self::Write(TarWriteError::Changed(_)) => {
                "copy again when the other program has ended; the existing data is unchanged"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
