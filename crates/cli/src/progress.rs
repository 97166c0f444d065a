//! What a copy does, for those who watch: the lines that scripts know on stdout, or bars on a
//! terminal; and without one a sign of life on stderr now and then.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use skopeo_copy::{BlobKind, Event};
use skopeo_image::Digest;

use crate::logging::{self, Level};

/// How often there is a sign of life.
const BEAT: Duration = Duration::from_secs(30);

/// How many digits of a digest bars show.
const SHORT: usize = 12;

/// Who watches a copy.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nobody.
    Quiet,
    /// A script, or a log.
    Lines(Mutex<Counts>),
    /// Somebody at a terminal.
    Bars(Bars),
}

/// How far a copy is.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    blobs: usize,
    done: usize,
    bytes: u64,
    moved: u64,
}

/// A bar for each blob on its way.
#[derive(Debug)]
pub(crate) struct Bars {
    all: MultiProgress,
    blobs: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Progress {
    /// Nobody watches.
    pub(crate) fn quiet() -> Self {
        Self::Quiet
    }

    /// Bars if stdout is a terminal, else lines.
    pub(crate) fn new() -> Self {
        if io::stdout().is_terminal() {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
            Self::Bars(Bars { all, blobs: Mutex::default() })
        } else {
            Self::Lines(Mutex::default())
        }
    }

    /// Shows an event.
    pub(crate) fn tell(&self, event: &Event) {
        match self {
            Self::Quiet => {}
            Self::Lines(counts) => {
                lock(counts).tell(event);
                if let Some(line) = event.line() {
                    // Who closed stdout does not want to know; the copy goes on.
                    let mut stdout = io::stdout().lock();
                    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
                }
            }
            Self::Bars(bars) => bars.tell(event),
        }
        if let Event::BlobAgain { digest, tried, error } = event
            && !matches!(self, Self::Quiet)
        {
            let message = format!("Copying blob {digest} failed ({tried}), trying again: {error}");
            self.beside(|| logging::log(Level::Warning, &message));
        }
    }

    /// Says now and then that the copy is not dead, where nothing else does.
    pub(crate) async fn beat(&self) -> Infallible {
        let Self::Lines(counts) = self else { return std::future::pending().await };
        let mut last = 0;
        loop {
            tokio::time::sleep(BEAT).await;
            let sentence = lock(counts).sentence(&mut last);
            if let Some(sentence) = sentence {
                logging::log(Level::Info, &sentence);
            }
        }
    }

    /// Leaves the terminal in order.
    pub(crate) fn end(&self) {
        if let Self::Bars(bars) = self {
            lock(&bars.blobs).drain().for_each(|(_, bar)| bar.abandon());
        }
    }

    /// Writes something else to the terminal.
    fn beside(&self, write: impl FnOnce()) {
        match self {
            Self::Bars(bars) => bars.all.suspend(write),
            _ => write(),
        }
    }
}

impl Counts {
    fn tell(&mut self, event: &Event) {
        match event {
            Event::BlobStarted { size, .. } => {
                self.blobs += 1;
                // As the manifest has it, which may say anything.
                self.bytes = self.bytes.saturating_add(size.unwrap_or_default());
            }
            Event::BlobMoved { bytes, .. } => self.moved += bytes,
            Event::BlobDone { .. } => self.done += 1,
            _ => {}
        }
    }

    /// How far it is; nothing if no blob is under way. `last` is what had moved the last time.
    fn sentence(&self, last: &mut u64) -> Option<String> {
        if self.done >= self.blobs {
            return None;
        }
        let rate = self.moved.saturating_sub(*last) / BEAT.as_secs();
        *last = self.moved;
        Some(format!(
            "Still copying: {} of {} blobs are done, {} have moved, now {}/s",
            self.done,
            self.blobs,
            HumanBytes(self.moved),
            HumanBytes(rate)
        ))
    }
}

impl Bars {
    fn tell(&self, event: &Event) {
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
            Event::BlobMoved { digest, bytes } => {
                if let Some(bar) = lock(&self.blobs).get(digest) {
                    bar.inc(*bytes);
                }
            }
            Event::BlobAgain { digest, .. } => {
                if let Some(bar) = lock(&self.blobs).get(digest) {
                    bar.set_position(0);
                }
            }
            Event::BlobReused { digest } => self.finish(digest, "skipped: already exists"),
            Event::BlobDone { digest } => self.finish(digest, "done"),
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
        self.all.suspend(|| {
            let _ = writeln!(io::stdout(), "{line}");
        });
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_says_how_far_it_is() {
        let digest = Digest::sha256(b"");
        let mut counts = Counts::default();
        let mut last = 0;
        assert_eq!(counts.sentence(&mut last), None);
        for size in [Some(100), None] {
            counts.tell(&Event::BlobStarted {
                digest: digest.clone(),
                size,
                kind: BlobKind::Layer,
            });
        }
        counts.tell(&Event::BlobReused { digest: digest.clone() });
        counts.tell(&Event::BlobDone { digest: digest.clone() });
        counts.tell(&Event::BlobMoved { digest: digest.clone(), bytes: 60 << 20 });
        assert_eq!(
            counts.sentence(&mut last).as_deref(),
            Some("Still copying: 1 of 2 blobs are done, 60.00 MiB have moved, now 2.00 MiB/s")
        );
        counts.tell(&Event::BlobDone { digest });
        assert_eq!(counts.sentence(&mut last), None);
    }

    #[test]
    fn bars_name_blobs_in_one_column() {
        let digest = Digest::sha256(b"");
        assert_eq!(prefix(&digest, BlobKind::Layer), "Copying blob e3b0c44298fc");
        assert_eq!(prefix(&digest, BlobKind::Config), "Copying config e3b0c44298");
    }
}
