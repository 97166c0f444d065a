//! How far a copy is: for the sign of life that a log gets now and then.

use indicatif::HumanBytes;
use skopeo_copy::{BlobEvent, Event};

use super::BEAT;

/// How far a copy is.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) blobs: usize,
    pub(super) done: usize,
    bytes: u64,
    pub(super) moved: u64,
}

impl Counts {
    pub(super) fn observe(&mut self, event: &Event) {
        match event {
            Event::Blob(BlobEvent::Started { size, .. }) => {
                self.blobs += 1;
                // As the manifest has it, which may say anything.
                self.bytes = self.bytes.saturating_add(size.unwrap_or_default());
            }
            Event::Blob(BlobEvent::Read { bytes, .. }) => self.moved += bytes,
            Event::Blob(BlobEvent::Done { .. }) => self.done += 1,
            _ => {}
        }
    }

    /// Whether a blob is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.done < self.blobs
    }

    /// How far it is; nothing if no blob is under way. `last` is what had moved the last time.
    pub(super) fn sentence(&self, last: &mut u64) -> Option<String> {
        if !self.is_busy() {
            return None;
        }
        let rate = self.moved.saturating_sub(*last) / BEAT.as_secs();
        *last = self.moved;
        Some(format!(
            "Still copying: {} of {} blobs are done, {} transferred, now {}/s",
            self.done,
            self.blobs,
            HumanBytes(self.moved),
            HumanBytes(rate)
        ))
    }
}

#[cfg(test)]
mod tests {
    use skopeo_copy::BlobKind;
    use skopeo_image::Digest;
    use skopeo_transport::How;

    use super::*;

    #[test]
    fn a_sign_of_life_says_how_far_it_is() {
        let digest = Digest::sha256(b"");
        let done = || {
            Event::Blob(BlobEvent::Done { digest: digest.clone(), stored: digest.clone(), size: 1 })
        };
        let mut counts = Counts::default();
        let mut last = 0;
        assert_eq!(counts.sentence(&mut last), None);
        for size in [Some(100), None] {
            counts.observe(&Event::Blob(BlobEvent::Started {
                digest: digest.clone(),
                size,
                kind: BlobKind::Layer,
            }));
        }
        counts
            .observe(&Event::Blob(BlobEvent::Reused { digest: digest.clone(), how: How::Present }));
        counts.observe(&done());
        counts.observe(&Event::Blob(BlobEvent::Read { digest: digest.clone(), bytes: 60 << 20 }));
        assert_eq!(
            counts.sentence(&mut last).as_deref(),
            Some("Still copying: 1 of 2 blobs are done, 60.00 MiB transferred, now 2.00 MiB/s")
        );
        counts.observe(&done());
        assert_eq!(counts.sentence(&mut last), None);
    }
}
