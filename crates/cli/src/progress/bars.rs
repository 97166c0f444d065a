//! A bar for each blob on its way, on a terminal.

use std::collections::HashMap;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use skopeo_copy::{BlobKind, Event};
use skopeo_image::Digest;
use skopeo_transport::How;

use super::{Stream, lock};

/// How many digits of a digest bars show.
const SHORT: usize = 12;

/// A bar for each blob on its way.
#[derive(Debug)]
pub(crate) struct Bars {
    stream: Stream,
    all: MultiProgress,
    blobs: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    /// None yet.
    pub(super) fn new(stream: Stream) -> Self {
        let target = match stream {
            Stream::Stdout => ProgressDrawTarget::stdout(),
            Stream::Stderr => ProgressDrawTarget::stderr(),
        };
        let all = MultiProgress::with_draw_target(target);
        Self { stream, all, blobs: Mutex::default() }
    }

    /// Writes something else to the terminal.
    pub(super) fn beside(&self, write: impl FnOnce()) {
        self.all.suspend(write);
    }

    /// Leaves the terminal in order.
    pub(super) fn end(&self) {
        lock(&self.blobs).drain().for_each(|(_, bar)| bar.abandon());
    }

    pub(super) fn tell(&self, event: &Event) {
        match event {
            Event::BlobStarted { digest, size, kind } => {
                let bar = self.all.add(bar(*size));
                bar.set_prefix(prefix(digest, *kind));
                // The same blob twice has one bar.
                if let Some(twin) = lock(&self.blobs).insert(digest.clone(), bar) {
                    twin.finish_and_clear();
                    self.all.remove(&twin);
                }
            }
            Event::BlobMoved { digest, bytes } | Event::BlobResumed { digest, bytes } => {
                if let Some(bar) = lock(&self.blobs).get(digest) {
                    bar.inc(*bytes);
                }
            }
            Event::BlobAgain { digest, .. } => {
                if let Some(bar) = lock(&self.blobs).get(digest) {
                    bar.set_position(0);
                }
            }
            Event::BlobReused { digest, how } => self.finish(
                digest,
                match how {
                    How::Mounted => "skipped: mounted from another repository",
                    How::Linked => "skipped: linked from another image",
                    How::Moved | How::Present => "skipped: already exists",
                },
            ),
            Event::BlobDone { digest, .. } => self.finish(digest, "done"),
            other => {
                if let Some(line) = other.line() {
                    self.line(&line);
                }
            }
        }
    }

    /// Turns the bar into a line above those that still move.
    fn finish(&self, digest: &Digest, how: &'static str) {
        if let Some(bar) = lock(&self.blobs).remove(digest) {
            let line = format!("{} {how}", bar.prefix());
            bar.finish_and_clear();
            self.all.remove(&bar);
            self.line(&line);
        }
    }

    /// Writes a line above the bars. (indicatif's own way ends it without a newline.)
    fn line(&self, line: &str) {
        self.all.suspend(|| self.stream.line(line));
    }
}

fn bar(size: Option<u64>) -> ProgressBar {
    match size {
        Some(size) => ProgressBar::new(size).with_style(style(
            "{prefix} [{bar:38}] {binary_bytes} / {binary_total_bytes} | {binary_bytes_per_sec}",
        )),
        None => ProgressBar::new_spinner()
            .with_style(style("{prefix} {spinner} {binary_bytes} | {binary_bytes_per_sec}")),
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=>-")
}

fn prefix(digest: &Digest, kind: BlobKind) -> String {
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
        assert_eq!(prefix(&digest, BlobKind::Layer), "Copying blob e3b0c44298fc");
        assert_eq!(prefix(&digest, BlobKind::Config), "Copying config e3b0c44298");
    }
}
