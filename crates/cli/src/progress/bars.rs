//! A bar for each blob on its way, on a terminal.

use std::collections::HashMap;
use std::sync::Mutex;

use indicatif::MultiProgress;
use skopeo_copy::{BlobEvent, BlobKind, Event};
use skopeo_image::Digest;
use skopeo_transport::How;

use super::bar::Bar;
use super::line::Name;
use super::{Stream, foot, lock};
use crate::logging;

/// How many digits of a digest bars show.
const SHORT: usize = 12;

/// A bar for each blob on its way.
#[derive(Debug)]
pub(crate) struct Bars {
    stream: Stream,
    all: MultiProgress,
    blobs: Mutex<HashMap<Digest, Blob>>,
}

#[derive(Debug)]
struct Blob {
    bar: Bar,
    /// The line that is written when it is there begins so.
    title: String,
    /// The bytes that the bar shows.
    position: u64,
}

impl Bars {
    /// None yet. The log is written above them.
    pub(super) fn new(stream: Stream) -> Self {
        let all = MultiProgress::with_draw_target(foot::target(stream));
        logging::above(Some(all.clone()));
        Self { stream, all, blobs: Mutex::default() }
    }

    /// Leaves the terminal to others.
    pub(super) fn end(&self) {
        let _ = self.all.clear();
        self.all.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        lock(&self.blobs).clear();
        logging::above(None);
    }

    /// Draws them once more.
    pub(super) fn tick(&self) {
        lock(&self.blobs).values().for_each(|blob| blob.bar.tick());
    }

    pub(super) fn observe(&self, event: &Event) {
        match event {
            Event::Blob(BlobEvent::Started { digest, size, kind }) => {
                self.start(digest, *size, *kind);
            }
            Event::Blob(BlobEvent::Read { digest, bytes }) => self.change(digest, |blob| {
                blob.position = blob.position.saturating_add(*bytes);
                blob.bar.moved(*bytes);
            }),
            Event::Blob(BlobEvent::Resumed { digest, bytes }) => self.change(digest, |blob| {
                blob.position = blob.position.saturating_add(*bytes);
                blob.bar.found(*bytes);
            }),
            Event::Blob(BlobEvent::Retried { digest, .. }) => self.change(digest, |blob| {
                blob.bar.lost(std::mem::take(&mut blob.position));
            }),
            Event::Blob(BlobEvent::Reused { digest, how }) => self.finish(
                digest,
                match how {
                    How::Mounted => "skipped: mounted from another repository",
                    How::Linked => "skipped: linked from another image",
                    How::Moved | How::Present => "skipped: already exists",
                },
            ),
            Event::Blob(BlobEvent::Done { digest, .. }) => self.finish(digest, "done"),
            other => {
                if let Some(line) = other.line() {
                    self.line(&line);
                }
            }
        }
    }

    fn start(&self, digest: &Digest, size: Option<u64>, kind: BlobKind) {
        let title = title(digest, kind);
        let short = title.strip_prefix("Copying ").unwrap_or(&title).to_owned();
        let name = Name::Beginning(title.clone(), short);
        let bar =
            Bar::of_bytes(self.stream, name, size.unwrap_or_default(), |bar| self.all.add(bar));
        bar.tick();
        // The same blob twice has one bar.
        if let Some(twin) =
            lock(&self.blobs).insert(digest.clone(), Blob { bar, title, position: 0 })
        {
            self.remove(&twin);
        }
    }

    fn change(&self, digest: &Digest, change: impl FnOnce(&mut Blob)) {
        if let Some(blob) = lock(&self.blobs).get_mut(digest) {
            change(blob);
        }
    }

    /// Turns the bar into a line above those that still move.
    fn finish(&self, digest: &Digest, how: &'static str) {
        let blob = lock(&self.blobs).remove(digest);
        if let Some(blob) = blob {
            self.remove(&blob);
            self.line(&format!("{} {how}", blob.title));
        }
    }

    fn remove(&self, blob: &Blob) {
        blob.bar.drawn().finish_and_clear();
        self.all.remove(blob.bar.drawn());
    }

    /// Writes a line above the bars. (indicatif's own way ends it without a newline.)
    fn line(&self, line: &str) {
        self.all.suspend(|| self.stream.line(line));
    }
}

fn title(digest: &Digest, kind: BlobKind) -> String {
    let kind = match kind {
        BlobKind::Layer => "Copying blob",
        BlobKind::Config => "Copying config",
    };
    let width = "Copying blob ".len() + SHORT;
    format!("{kind} {}", digest.hex()).chars().take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_name_blobs_in_one_column() {
        let digest = Digest::sha256(b"");
        assert_eq!(title(&digest, BlobKind::Layer), "Copying blob e3b0c44298fc");
        assert_eq!(title(&digest, BlobKind::Config), "Copying config e3b0c44298");
    }
}
