//! Sums over the images of a run.

use serde::{Deserialize, Serialize};

use super::entry::{Bytes, Entry, Outcome};

/// Sums over the images of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// How many images there are.
    pub images: usize,
    /// How many were written.
    pub copied: usize,
    /// How many were there.
    pub unchanged: usize,
    /// How many were deleted.
    pub deleted: usize,
    /// How many were left out, as there was no need to ask.
    pub skipped: usize,
    /// How many a dry run got to.
    pub would_copy: usize,
    /// How many would be deleted.
    pub would_delete: usize,
    /// How many failed.
    pub failed: usize,
    /// How many were on their way when the run ended.
    pub unfinished: usize,
    /// How many had not had their turn when the run ended.
    pub not_begun: usize,
    /// What has moved for all of them.
    pub bytes: Bytes,
}

impl Totals {
    /// Returns the sums over these images.
    #[must_use]
    pub fn of(images: &[Entry]) -> Self {
        let mut totals = Self { images: images.len(), ..Self::default() };
        for image in images {
            let counted = match image.outcome {
                Outcome::Copied => &mut totals.copied,
                Outcome::Unchanged => &mut totals.unchanged,
                Outcome::Deleted => &mut totals.deleted,
                Outcome::Skipped => &mut totals.skipped,
                Outcome::WouldCopy => &mut totals.would_copy,
                Outcome::WouldDelete => &mut totals.would_delete,
                Outcome::Failed => &mut totals.failed,
                Outcome::Unfinished => &mut totals.unfinished,
                Outcome::NotBegun => &mut totals.not_begun,
            };
            *counted = counted.saturating_add(1);
            totals.bytes.add(&image.bytes);
        }
        totals
    }

    /// Returns how many images are not where they should be.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.failed.saturating_add(self.unfinished).saturating_add(self.not_begun)
    }
}
