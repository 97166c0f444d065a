//! What a run over many images does, for those who watch: as for one copy, with all images in view.

mod bars;
mod counts;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::sync::Mutex;

use serde_json::json;
use skopeo_copy::{BlobEvent, Event, IndexEvent};

use super::events::{self, Events};
use super::{BEAT, Stream, TICK, lock};
use crate::args::report::{Output, Show};
use crate::logging::{self, Level};

use bars::Bars;
use counts::Counts;

/// Who watches a run. Images have numbers, which are the caller's.
#[derive(Debug)]
pub(crate) struct RunProgress {
    watcher: Watcher,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
enum Watcher {
    Nobody,
    /// A script that knows the original's lines, which are printed image by image.
    Lines(Mutex<HashMap<usize, String>>),
    /// Somebody at a terminal.
    Bars(Bars),
    /// Somebody who reads a log.
    Steps,
    /// A program. Each image on its way has events of its own.
    Events(Mutex<HashMap<usize, Events>>),
}

/// How an image ended, for those who watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) source: &'a str,
    pub(crate) destination: &'a str,
    /// In one word.
    pub(crate) outcome: &'a str,
    /// Class and reason, if it failed.
    pub(crate) error: Option<(&'a str, &'a str)>,
}

impl RunProgress {
    /// Shows what was asked for. Where stdout is for a document, nothing else goes there.
    pub(crate) fn new(show: Show, output: Output) -> Self {
        let usual = match output {
            Output::Text => Stream::Stdout,
            Output::Json => Stream::Stderr,
        };
        // Bars stand below the log, which is on stderr.
        let bars = || Watcher::Bars(Bars::new());
        let watcher = match show {
            Show::Nothing => Watcher::Nobody,
            Show::Auto if usual.takes_bars() && Stream::Stderr.takes_bars() => bars(),
            Show::Auto => Watcher::Lines(Mutex::default()),
            Show::Bars if Stream::Stderr.takes_bars() => bars(),
            Show::Bars | Show::Steps => Watcher::Steps,
            Show::Events => Watcher::Events(Mutex::default()),
        };
        Self { watcher, counts: Mutex::default() }
    }

    /// Whether people want to read at the end what came of it, if something has failed or not.
    pub(crate) fn wants_table(&self, failed: bool) -> bool {
        match self.watcher {
            Watcher::Nobody => failed,
            Watcher::Events(_) => false,
            Watcher::Lines(_) | Watcher::Bars(_) | Watcher::Steps => true,
        }
    }

    /// So many images there are.
    pub(crate) fn expect(&self, images: usize) {
        lock(&self.counts).images = images;
        match &self.watcher {
            Watcher::Bars(bars) => bars.count(&lock(&self.counts)),
            Watcher::Events(_) => events::write(json!({"event": "run-started", "images": images})),
            Watcher::Nobody | Watcher::Lines(_) | Watcher::Steps => {}
        }
    }

    /// An image is tried.
    pub(crate) fn begin(&self, number: usize, source: &str, destination: &str) {
        match &self.watcher {
            Watcher::Events(events) => {
                lock(events).insert(number, Events::of(source));
                events::write(json!({
                    "event": "image-started", "source": source, "destination": destination,
                }));
            }
            Watcher::Bars(bars) => bars.begin(number, source),
            Watcher::Lines(lines) => _ = lock(lines).entry(number).or_default(),
            Watcher::Nobody | Watcher::Steps => {}
        }
    }

    /// An image was tried. Many are copied at once, so that its lines are printed together: where
    /// the original prints them, unless a document goes there. A closed stream does not stop the
    /// copies.
    pub(crate) fn attempted(&self, number: usize, output: Output) {
        let Watcher::Lines(lines) = &self.watcher else { return };
        let Some(lines) = lock(lines).remove(&number) else { return };
        let _ = match output {
            Output::Text => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush())
            }
            Output::Json => io::stderr().write_all(lines.as_bytes()),
        };
    }

    /// Shows an event of it.
    pub(crate) fn observe(&self, number: usize, event: &Event) {
        lock(&self.counts).observe(event);
        match &self.watcher {
            Watcher::Bars(bars) => {
                bars.observe(number, event);
                if let Event::Blob(BlobEvent::Read { .. }) = event {
                    bars.count(&lock(&self.counts));
                }
            }
            Watcher::Events(events) => {
                if let Some(events) = lock(events).get_mut(&number) {
                    events.observe(event);
                }
                return;
            }
            Watcher::Nobody => return,
            Watcher::Lines(lines) => {
                if let (Some(lines), Some(line)) = (lock(lines).get_mut(&number), event.line()) {
                    lines.push_str(&line);
                    lines.push('\n');
                }
            }
            Watcher::Steps => {}
        }
        if let Event::Index(IndexEvent::OneOfPlatforms { .. }) = event {
            // Said once, at the end of the run.
            return;
        }
        if let Some(message) = event.warning() {
            logging::log(Level::Warning, &message);
        }
        if let Some(message) = event.notice() {
            logging::log(Level::Info, &message);
        }
    }

    /// It is on its way no more.
    pub(crate) fn end(&self, number: usize) {
        match &self.watcher {
            Watcher::Events(events) => drop(lock(events).remove(&number)),
            Watcher::Bars(bars) => bars.end(number),
            Watcher::Nobody | Watcher::Lines(_) | Watcher::Steps => {}
        }
    }

    /// This has come of an image at one of its destinations.
    pub(crate) fn count(&self, end: &End<'_>) {
        let (done, images) = lock(&self.counts).count(end.outcome);
        self.show(end, done, images);
    }

    /// An image that was [counted](Self::count) as copied has come to this in the end.
    pub(crate) fn count_again(&self, end: &End<'_>) {
        let (done, images) = {
            let mut counts = lock(&self.counts);
            counts.copied = counts.copied.saturating_sub(1);
            counts.done = counts.done.saturating_sub(1);
            counts.count(end.outcome)
        };
        self.show(end, done, images);
    }

    fn show(&self, end: &End<'_>, done: usize, images: usize) {
        let End { source, destination, outcome, error } = *end;
        match &self.watcher {
            Watcher::Steps => {
                let why = error.map(|(class, why)| format!(": {class}: {why}")).unwrap_or_default();
                let line = format!("{done}/{images} {outcome}: {source} -> {destination}{why}");
                Stream::Stderr.line(&logging::visible(&line.replace('\n', " ")));
            }
            Watcher::Events(_) => {
                let error = error.map(|(class, why)| json!({"class": class, "message": why}));
                events::write(json!({
                    "event": "image-done", "source": source, "destination": destination,
                    "outcome": outcome, "error": error,
                }));
            }
            Watcher::Bars(bars) => bars.count(&lock(&self.counts)),
            Watcher::Nobody | Watcher::Lines(_) => {}
        }
    }

    /// Says now and then that the run is not dead, where nothing else does.
    pub(crate) async fn beat(&self) -> Infallible {
        let mut last = 0;
        loop {
            let shows_bars = matches!(self.watcher, Watcher::Bars(_));
            tokio::time::sleep(if shows_bars { TICK } else { BEAT }).await;
            let counts = lock(&self.counts);
            match &self.watcher {
                Watcher::Nobody => {}
                Watcher::Bars(bars) => bars.tick(),
                Watcher::Lines(_) | Watcher::Steps => {
                    logging::log(Level::Info, &counts.sentence(&mut last));
                }
                Watcher::Events(_) => {
                    let (images, done, offset) = (counts.images, counts.done, counts.moved);
                    events::write(json!({
                        "event": "alive", "images": images, "done": done, "offset": offset,
                    }));
                }
            }
        }
    }

    /// Leaves the terminal in order.
    pub(crate) fn close(&self) {
        match &self.watcher {
            Watcher::Bars(bars) => bars.close(),
            Watcher::Events(_) => {
                let counts = lock(&self.counts);
                events::write(json!({
                    "event": "run-done", "images": counts.images, "done": counts.done,
                    "copied": counts.copied, "unchanged": counts.unchanged, "failed": counts.failed,
                    "offset": counts.moved,
                }));
            }
            Watcher::Nobody | Watcher::Lines(_) | Watcher::Steps => {}
        }
    }
}
