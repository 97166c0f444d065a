//! How far a run is.

use indicatif::HumanBytes;
use skopeo_copy::{BlobEvent, Event};

use crate::progress::BEAT;

/// How far a run is.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) images: usize,
    pub(super) done: usize,
    pub(super) copied: usize,
    pub(super) unchanged: usize,
    pub(super) failed: usize,
    pub(super) moved: u64,
}

impl Counts {
    pub(super) fn observe(&mut self, event: &Event) {
        if let Event::Blob(BlobEvent::Read { bytes, .. }) = event {
            self.moved = self.moved.saturating_add(*bytes);
        }
    }

    /// An image has ended so. How many have by now, and of how many.
    pub(super) fn count(&mut self, outcome: &str) -> (usize, usize) {
        self.done += 1;
        match outcome {
            "copied" => self.copied += 1,
            "unchanged" => self.unchanged += 1,
            "failed" => self.failed += 1,
            _ => {}
        }
        (self.done, self.images)
    }

    /// How far it is. `last` is what had moved the last time.
    pub(super) fn sentence(&self, last: &mut u64) -> String {
        let rate = self.moved.saturating_sub(*last) / BEAT.as_secs();
        *last = self.moved;
        format!(
            "Still syncing: {} of {} images are done, {}, now {}/s",
            self.done,
            self.images,
            self.parts(),
            HumanBytes(rate)
        )
    }

    /// What came of those that are done, and what has moved.
    pub(super) fn parts(&self) -> String {
        let failed = match self.failed {
            0 => String::new(),
            failed => format!("{failed} failed, "),
        };
        format!("{} copied, {failed}{} transferred", self.copied, HumanBytes(self.moved))
    }
}

#[cfg(test)]
mod tests {
    use skopeo_image::Digest;

    use super::*;

    #[test]
    fn a_sign_of_life_says_how_far_the_run_is() {
        let mut counts = Counts { images: 200, ..Counts::default() };
        let mut last = 0;
        for outcome in ["copied", "unchanged", "copied"] {
            counts.count(outcome);
        }
        counts.observe(&Event::Blob(BlobEvent::Read {
            digest: Digest::sha256(b""),
            bytes: 60 << 20,
        }));
        let first = "Still syncing: 3 of 200 images are done, 2 copied, 60.00 MiB transferred, now 2.00 MiB/s";
        assert_eq!(counts.sentence(&mut last), first);
        assert_eq!(counts.count("failed"), (4, 200));
        let second = "Still syncing: 4 of 200 images are done, 2 copied, 1 failed, 60.00 MiB transferred, now 0 B/s";
        assert_eq!(counts.sentence(&mut last), second);
    }
}
