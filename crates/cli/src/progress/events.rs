//! An object of JSON a line on stderr, for programs. docs/json.md explains the fields.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skopeo_copy::{
    BlobEvent, BlobKind, Copied, Event, ImageEvent, IndexEvent, Outcome, ReferrersEvent,
};
use skopeo_image::Digest;
use skopeo_transport::{How, ImageName};

use super::Stream;
use super::counts::Counts;

/// How often at most it is said how far one blob is.
const BETWEEN: Duration = Duration::from_millis(500);

/// The blobs under way.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The image they belong to, where there are several.
    source: Option<String>,
    blobs: HashMap<Digest, Blob>,
    /// Those that are there.
    done: HashSet<Digest>,
}

#[derive(Debug)]
struct Blob {
    size: Option<u64>,
    offset: u64,
    attempt: u32,
    how: &'static str,
    /// When it was last said how far it is.
    told: Instant,
}

impl Events {
    /// Of one image among several.
    pub(super) fn of(source: &str) -> Self {
        Self { source: Some(source.to_owned()), ..Self::default() }
    }

    pub(super) fn observe(&mut self, event: &Event) {
        if let Some(mut object) = self.object(event, Instant::now()) {
            if let Some(source) = &self.source {
                object["source"] = source.as_str().into();
            }
            write(object);
        }
    }

    /// Says that a copy begins.
    pub(super) fn begin(&self, from: &ImageName, to: &ImageName) {
        let (from, to) = (from.to_string(), to.to_string());
        write(json!({"event": "image-started", "source": from, "destination": to}));
    }

    /// Says that a copy has ended well.
    pub(super) fn finish(&self, copied: &Copied) {
        let outcome = outcome_of(copied.outcome);
        write(json!({"event": "image-done", "digest": copied.digest, "outcome": outcome}));
    }

    /// Says that the copy is not dead.
    pub(super) fn beat(&self, counts: &Counts) {
        if counts.is_busy() {
            let (blobs, done, offset) = (counts.blobs, counts.done, counts.moved);
            write(json!({"event": "alive", "blobs": blobs, "done": done, "offset": offset}));
        }
    }

    fn object(&mut self, event: &Event, now: Instant) -> Option<Value> {
        Some(match event {
            Event::Blob(BlobEvent::Started { digest, size, kind }) => {
                let how =
                    how_of(if self.done.contains(digest) { How::Present } else { How::Moved });
                let blob = Blob { size: *size, offset: 0, attempt: 1, how, told: now };
                self.blobs.insert(digest.clone(), blob);
                let kind = kind_of(*kind);
                json!({"event": "blob-started", "digest": digest, "size": size, "kind": kind})
            }
            Event::Blob(BlobEvent::Read { digest, bytes }) => {
                let blob = self.blobs.get_mut(digest)?;
                blob.offset = blob.offset.saturating_add(*bytes);
                if now.saturating_duration_since(blob.told) < BETWEEN {
                    return None;
                }
                blob.told = now;
                let (offset, size) = (blob.offset, blob.size);
                json!({"event": "blob-progress", "digest": digest, "offset": offset, "size": size})
            }
            Event::Blob(BlobEvent::Resumed { digest, bytes }) => {
                let blob = self.blobs.get_mut(digest)?;
                blob.offset = *bytes;
                json!({"event": "blob-resumed", "digest": digest, "offset": bytes})
            }
            Event::Blob(BlobEvent::Retried { digest, tried, error }) => {
                let attempt = tried.saturating_add(1);
                if let Some(blob) = self.blobs.get_mut(digest) {
                    (blob.offset, blob.attempt) = (0, attempt);
                }
                json!({"event": "blob-retry", "digest": digest, "attempt": attempt, "error": error})
            }
            Event::Blob(BlobEvent::Reused { digest, how }) => {
                if let Some(blob) = self.blobs.get_mut(digest) {
                    blob.how = how_of(*how);
                }
                return None;
            }
            Event::Blob(BlobEvent::Done { digest, stored, size }) => {
                // What comes twice is done once.
                let blob = self.blobs.remove(digest)?;
                self.done.insert(digest.clone());
                json!({
                    "event": "blob-done", "digest": digest, "stored_digest": stored, "size": size,
                    "how": blob.how, "attempt": blob.attempt,
                })
            }
            Event::Index(IndexEvent::CopyingImages { copied, listed }) => {
                json!({"event": "list-started", "of": copied, "listed": listed})
            }
            Event::Index(IndexEvent::CopyingImage { digest, at, of }) => {
                json!({"event": "instance-started", "digest": digest, "at": at, "of": of})
            }
            Event::Index(IndexEvent::ReplicatingImage { digest, at, of }) => {
                json!({"event": "variant-started", "digest": digest, "at": at, "of": of})
            }
            Event::Index(IndexEvent::Narrowed { from, to, left_out, removed }) => json!({
                "event": "list-narrowed", "source_digest": from, "digest": to,
                "left_out": left_out, "removed": removed,
            }),
            Event::Index(IndexEvent::OneOfPlatforms { listed, .. }) => {
                json!({"event": "platform-chosen", "listed": listed})
            }
            Event::Image(ImageEvent::WritingManifest) | Event::Index(IndexEvent::Writing) => {
                json!({"event": "manifest-writing"})
            }
            Event::Image(ImageEvent::Done { source, digest, media_type }) => json!({
                "event": "manifest-done", "source_digest": source, "digest": digest,
                "media_type": media_type.as_str(),
            }),
            Event::Referrers(ReferrersEvent::Done { digest, subject, artifact_type }) => json!({
                "event": "referrer-done", "digest": digest, "subject": subject,
                "artifact_type": artifact_type,
            }),
            Event::Referrers(ReferrersEvent::NotCopied { digest, found, .. }) => json!({
                "event": "referrers-left", "subject": digest, "count": found.len(),
            }),
            Event::Image(ImageEvent::AlreadyPresent { digest }) => {
                json!({"event": "image-present", "digest": digest})
            }
            _ => return None,
        })
    }
}

/// How a blob came to be there, in one word.
pub(crate) fn how_of(how: How) -> &'static str {
    match how {
        How::Moved => "copied",
        How::Present => "reused",
        How::Mounted => "mounted",
        How::Linked => "linked",
    }
}

/// What a copy came to, in one word.
pub(crate) fn outcome_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Written => "copied",
        Outcome::Present => "present",
    }
}

/// What a blob is, in one word.
pub(crate) fn kind_of(kind: BlobKind) -> &'static str {
    match kind {
        BlobKind::Config => "config",
        BlobKind::Layer => "layer",
    }
}

/// Writes an object, with the time, on a line of its own.
pub(super) fn write(mut object: Value) {
    object["time"] = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string().into();
    Stream::Stderr.line(&object.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_now_and_then() {
        let digest = Digest::sha256(b"");
        let start = Instant::now();
        let mut events = Events::default();
        let mut object = |event: Event, after: u64| {
            let object = events.object(&event, start + Duration::from_millis(after));
            object.map(|object| object.to_string()).unwrap_or_default()
        };
        let moved = || Event::Blob(BlobEvent::Read { digest: digest.clone(), bytes: 10 });
        object(
            Event::Blob(BlobEvent::Started {
                digest: digest.clone(),
                size: Some(50),
                kind: BlobKind::Layer,
            }),
            0,
        );
        for (after, told) in [(1, false), (499, false), (500, true), (501, false), (1000, true)] {
            assert_eq!(!object(moved(), after).is_empty(), told, "{after}");
        }
        let again = Event::Blob(BlobEvent::Retried {
            digest: digest.clone(),
            tried: 1,
            error: "cut".to_owned(),
        });
        assert!(object(again, 1001).contains("\"attempt\":2"));
        assert!(object(moved(), 1600).contains("\"offset\":10,\"size\":50"));
        let done = || {
            Event::Blob(BlobEvent::Done {
                digest: digest.clone(),
                stored: digest.clone(),
                size: 50,
            })
        };
        assert!(object(done(), 1601).contains("\"how\":\"copied\",\"attempt\":2"));
        assert_eq!(object(done(), 1602), "");
    }
}
