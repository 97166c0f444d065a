//! What has come of each image: values, as they are in a report.

use serde::{Deserialize, Serialize};
use skopeo_image::Digest;

/// What has come of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// The run ended before its turn.
    #[default]
    NotBegun,
    /// The run ended in the middle of it.
    Unfinished,
    /// It was written.
    Copied,
    /// The destination had the very image.
    Unchanged,
    /// It was removed from the destination.
    Deleted,
    /// It was left out, as there was no need to ask.
    Skipped,
    /// A dry run got to it.
    WouldCopy,
    /// A dry run found it to be too much.
    WouldDelete,
    /// It failed.
    Failed,
}

impl Outcome {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotBegun => "not-begun",
            Self::Unfinished => "unfinished",
            Self::Copied => "copied",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Skipped => "skipped",
            Self::WouldCopy => "would-copy",
            Self::WouldDelete => "would-delete",
            Self::Failed => "failed",
        }
    }

    /// Returns whether the image is not where it should be.
    #[must_use]
    pub fn is_missing(self) -> bool {
        matches!(self, Self::NotBegun | Self::Unfinished | Self::Failed)
    }
}

/// One image at one of its destinations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    /// The source's name; `None` for what was only deleted.
    pub source: Option<String>,
    /// The destination's name.
    pub destination: String,
    /// The collection of images that the destination is in.
    pub place: String,
    /// What is copied of a list: `all`, `system`, or platforms.
    pub platforms: Vec<String>,
    /// What has come of it.
    pub outcome: Outcome,
    /// The digest of what the source's name leads to.
    pub source_digest: Option<Digest>,
    /// The digest of what the destination's name leads to now.
    pub digest: Option<Digest>,
    /// How often it was tried.
    pub attempts: u32,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What has moved for it.
    pub bytes: Bytes,
    /// Why it failed.
    pub error: Option<Problem>,
}

/// Bytes that have moved, and bytes that did not have to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bytes {
    /// From the source, all attempts together.
    pub read: u64,
    /// To the destination.
    pub written: u64,
    /// Were there.
    pub reused: u64,
    /// Came from another repository of the registry.
    pub mounted: u64,
    /// Lay in another image of the same folder, and were linked.
    pub linked: u64,
}

impl Bytes {
    /// Adds these bytes.
    pub fn add(&mut self, more: &Self) {
        let sums = [
            (&mut self.read, more.read),
            (&mut self.written, more.written),
            (&mut self.reused, more.reused),
            (&mut self.mounted, more.mounted),
            (&mut self.linked, more.linked),
        ];
        for (sum, more) in sums {
            *sum = sum.saturating_add(more);
        }
    }

    /// Returns what did not have to be sent.
    #[must_use]
    pub fn saved(&self) -> u64 {
        self.reused.saturating_add(self.mounted).saturating_add(self.linked)
    }
}

/// Why something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// One of the names of [`skopeo_image::ErrorClass`].
    pub class: String,
    /// The whole sentence.
    pub message: String,
}

/// A source of which it could not be found out what there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlisted {
    /// The source.
    pub source: String,
    /// Why.
    pub error: Problem,
}
