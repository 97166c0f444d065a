//! What is wrong with a file that was to be read.

use std::path::PathBuf;

use skopeo_image::{Classify, ErrorClass};

/// What is wrong with a file that was to be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFile {
    /// A file is longer than anything of its kind should be.
    #[error("reading {}: {size} bytes, more than the limit of {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        size: u64,
        /// The longest that is read.
        limit: u64,
    },
    /// Something that should be a file is a pipe, a device, a folder or a link that leads away.
    #[error("reading {}: {reason}", path.display())]
    NotAFile {
        /// What was to be read.
        path: PathBuf,
        /// What it is.
        reason: &'static str,
    },
    /// A folder of a layout is a link: what is written to it, or deleted, would be elsewhere.
    #[error("writing to a layout: {} is a link", .0.display())]
    Link(PathBuf),
    /// A file holds no valid JSON of its kind.
    #[error("parsing {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
}

impl Classify for InvalidFile {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::TooLarge { .. } | Self::NotAFile { .. } | Self::Link(_) | Self::Json { .. } => {
                Some(ErrorClass::InvalidImage)
            }
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::Link(_))
            .then(|| "use --dest-shared-blob-dir for blobs in another folder".to_owned())
    }
}
