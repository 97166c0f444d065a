//! What a copy's events come to.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use skopeo_copy::{BlobEvent, Copied, Event, ImageEvent, Outcome, ReferrersEvent};
use skopeo_image::Digest;
use skopeo_transport::{How, ImageName};

use super::done::{Blob, Bytes, Copy, Done, Image, Referrer};
use super::seconds;
use crate::progress::{how_of, kind_of, outcome_of};

/// A copy under way, to one place or to several at once.
#[derive(Debug)]
pub(crate) struct Copying {
    source: String,
    begun: Instant,
    observed: Mutex<Observed>,
}

#[derive(Debug, Default)]
struct Observed {
    read: u64,
    images: Vec<Image>,
    blobs: Vec<Blob>,
    referrers: Vec<Referrer>,
    left_behind: Vec<Referrer>,
    /// Where each of them is in that list.
    places: HashMap<Digest, usize>,
}

impl Copying {
    pub(crate) fn new(from: &ImageName) -> Self {
        Self { source: from.to_string(), begun: Instant::now(), observed: Mutex::default() }
    }

    /// Notes an event.
    pub(crate) fn observe(&self, event: &Event) {
        self.observed().observe(event);
    }

    /// What it has come to at each destination; `None` if it failed there. What was read is with
    /// the first of them: it was read once.
    pub(crate) fn done<'a>(
        &self,
        ends: impl IntoIterator<Item = (&'a ImageName, Option<&'a Copied>)>,
    ) -> Vec<Done> {
        let mut observed = std::mem::take(&mut *self.observed());
        let ends = ends.into_iter().map(|(destination, copied)| {
            let media_type = copied.and_then(|copied| copied.manifest.as_ref());
            let bytes = observed.bytes();
            observed.read = 0;
            Done::Copy(Box::new(Copy {
                outcome: copied.map_or("failed", |copied| outcome_of(copied.outcome)),
                source: self.source.clone(),
                destination: destination.to_string(),
                source_digest: copied.map(|copied| copied.source.clone()),
                digest: copied.map(|copied| copied.digest.clone()),
                media_type: media_type.map(|manifest| manifest.media_type.to_string()),
                seconds: seconds(self.begun),
                bytes,
                images: observed.images.clone(),
                blobs: observed.blobs.clone(),
                referrers: observed.referrers.clone(),
                left_behind: observed.left_behind.clone(),
            }))
        });
        ends.collect()
    }

    /// What it has come to at one destination where nobody had to be asked.
    pub(crate) fn unchanged(&self, destination: &ImageName) -> Vec<Done> {
        let mut done = self.done([(destination, None)]);
        for done in &mut done {
            if let Done::Copy(copy) = done {
                copy.outcome = outcome_of(Outcome::Present);
            }
        }
        done
    }

    fn observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observed {
    fn observe(&mut self, event: &Event) {
        match event {
            Event::Blob(BlobEvent::Started { digest, size, kind })
                if self.blob(digest).is_none() =>
            {
                self.places.insert(digest.clone(), self.blobs.len());
                self.blobs.push(Blob {
                    digest: digest.clone(),
                    kind: kind_of(*kind),
                    size: *size,
                    outcome: UNFINISHED,
                    stored_digest: None,
                    stored_size: None,
                    attempts: 1,
                });
            }
            Event::Blob(BlobEvent::Read { bytes, .. }) => {
                self.read = self.read.saturating_add(*bytes);
            }
            Event::Blob(BlobEvent::Retried { digest, tried, .. }) => {
                if let Some(blob) = self.blob(digest) {
                    blob.attempts = tried.saturating_add(1);
                }
            }
            Event::Blob(BlobEvent::Reused { digest, how }) => {
                if let Some(blob) = self.blob(digest).filter(|blob| blob.outcome == UNFINISHED) {
                    blob.outcome = how_of(*how);
                }
            }
            Event::Blob(BlobEvent::Done { digest, stored, size }) => {
                if let Some(blob) = self.blob(digest).filter(|blob| blob.stored_digest.is_none()) {
                    if blob.outcome == UNFINISHED {
                        blob.outcome = how_of(How::Moved);
                    }
                    blob.stored_digest = Some(stored.clone());
                    blob.stored_size = Some(*size);
                }
            }
            Event::Image(ImageEvent::Done { source, digest, media_type }) => {
                self.images.push(Image {
                    source_digest: source.clone(),
                    digest: digest.clone(),
                    media_type: media_type.to_string(),
                });
            }
            Event::Referrers(ReferrersEvent::Done { digest, subject, artifact_type }) => {
                self.referrers.push(referrer(digest, subject, artifact_type));
            }
            Event::Referrers(ReferrersEvent::NotCopied { digest: subject, found, .. }) => {
                let left = found.iter();
                let left = left.map(|it| referrer(&it.blob.digest, subject, &it.artifact_type));
                self.left_behind.extend(left);
            }
            _ => {}
        }
    }

    fn blob(&mut self, digest: &Digest) -> Option<&mut Blob> {
        self.blobs.get_mut(*self.places.get(digest)?)
    }

    fn bytes(&self) -> Bytes {
        let sum = |how: How| {
            let blobs = self.blobs.iter().filter(|blob| blob.outcome == how_of(how));
            blobs.filter_map(|blob| blob.stored_size).fold(0, u64::saturating_add)
        };
        Bytes {
            read: self.read,
            written: sum(How::Moved),
            reused: sum(How::Present),
            mounted: sum(How::Mounted),
            linked: sum(How::Linked),
        }
    }
}

fn referrer(digest: &Digest, subject: &Digest, artifact_type: &str) -> Referrer {
    Referrer {
        digest: digest.clone(),
        subject: subject.clone(),
        artifact_type: Some(artifact_type.to_owned()).filter(|text| !text.is_empty()),
    }
}

/// A blob that is not there yet.
const UNFINISHED: &str = "unfinished";
