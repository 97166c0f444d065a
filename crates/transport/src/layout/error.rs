//! What can go wrong with an OCI layout.

use skopeo_image::{Classify, DigestError, ErrorClass};

/// What can go wrong with an OCI layout, in a folder or in an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Nothing in the layout has that reference.
    #[error("no descriptor found for reference {0:?}")]
    NoSuchReference(String),
    /// Nothing says which of several images is meant.
    #[error("more than one image in oci, choose an image")]
    MoreThanOneImage,
    /// `@N` beyond the end.
    #[error("index {index} is too large, only {entries} entries available")]
    NoSuchEntry {
        /// The N, counted from 0.
        index: usize,
        /// How many there are.
        entries: usize,
    },
    /// The reference leads to something that is no manifest.
    #[error("reference {reference:?} matches unsupported manifest MIME types {types:?}")]
    UnsupportedEntry {
        /// The reference.
        reference: String,
        /// What it leads to.
        types: Vec<String>,
    },
    /// The layout has more manifests than are read to find the referrers of one of them.
    #[error("reading the layout: it has more than {0} manifests")]
    TooManyManifests(usize),
    /// A descriptor that cannot be read.
    #[error("parsing a descriptor in the index")]
    BadDescriptor(#[source] serde_json::Error),
    /// A descriptor whose digest is none.
    #[error("unexpected digest reference {text}")]
    BadDigest {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
    /// The name of an image would lead to another one when that has gone.
    #[error("deleting {0}: the index also has this name for another image; both stay")]
    NamedTwice(String),
    /// `@N` names what is there, not what is to come.
    #[error("Destination reference must not contain a manifest index @{0}")]
    IndexInDestination(usize),
}

impl Classify for LayoutError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::NoSuchReference(_) | Self::NoSuchEntry { .. } => ErrorClass::NotFound,
            Self::MoreThanOneImage | Self::IndexInDestination(_) => ErrorClass::InvalidInput,
            Self::NamedTwice(_) => ErrorClass::Conflict,
            Self::UnsupportedEntry { .. }
            | Self::TooManyManifests(_)
            | Self::BadDescriptor(_)
            | Self::BadDigest { .. } => ErrorClass::InvalidImage,
        })
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::MoreThanOneImage => {
                "choose one with oci:PATH:REFERENCE, or by number with oci:PATH:@0"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
