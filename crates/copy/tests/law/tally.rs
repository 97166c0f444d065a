//! What a copy did, by its events.

use std::collections::HashSet;

use skopeo_copy::{BlobEvent, Event, ImageEstimate, ImageEvent, ReferrersEvent};
use skopeo_transport::How;

/// Blobs and their bytes, by how they came, and manifests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Bytes that came from the source.
    pub(crate) read: u64,
    pub(crate) sent: (u64, u64),
    pub(crate) mounted: (u64, u64),
    pub(crate) present: (u64, u64),
    /// Those of images, indexes and referrers.
    pub(crate) manifests: u64,
}

impl Tally {
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut tally = Self::default();
        let mut reused = Vec::new();
        let mut done = HashSet::new();
        for event in events {
            match event {
                Event::Blob(BlobEvent::Read { bytes, .. }) => tally.read += bytes,
                Event::Blob(BlobEvent::Reused { digest, how }) => reused.push((digest, *how)),
                Event::Blob(BlobEvent::Done { digest, stored, size }) => {
                    if !done.insert((digest, stored)) {
                        continue;
                    }
                    let how = reused.iter().position(|(it, _)| *it == digest);
                    let how = how.map_or(How::Moved, |at| reused.swap_remove(at).1);
                    let counted = match how {
                        How::Moved => &mut tally.sent,
                        How::Present => &mut tally.present,
                        How::Mounted | How::Linked => &mut tally.mounted,
                    };
                    *counted = (counted.0 + 1, counted.1 + size);
                }
                Event::Image(ImageEvent::Done { .. })
                | Event::Referrers(ReferrersEvent::Done { .. }) => tally.manifests += 1,
                _ => {}
            }
        }
        tally
    }

    /// Panics unless this is what was said before.
    pub(crate) fn require(&self, told: &ImageEstimate, case: &str) {
        assert_eq!(told.fetch.bytes, self.read, "bytes fetched: {case}");
        assert_eq!(told.send.blobs, self.sent.0, "blobs sent: {case}");
        assert_eq!(told.mount.blobs, self.mounted.0, "blobs mounted: {case}");
        assert_eq!(told.present.blobs, self.present.0, "blobs present: {case}");
        assert_eq!(told.manifests, self.manifests, "manifests: {case}");
        if told.exact {
            assert_eq!(told.send.bytes, self.sent.1, "bytes sent: {case}");
            assert_eq!(told.mount.bytes, self.mounted.1, "bytes mounted: {case}");
            assert_eq!(told.present.bytes, self.present.1, "bytes present: {case}");
        }
    }
}
