//! What a copy does, for those who watch: the lines that scripts know, bars on a terminal, steps
//! for a log, or events for a program; and for a log a sign of life now and then.

mod bar;
mod bars;
mod counts;
mod events;
mod foot;
mod line;
mod rate;
mod run;
mod steps;

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skopeo_copy::{Copied, Event};
use skopeo_transport::ImageName;

use crate::args::report::{Output, Show};
use crate::logging::{self, Level};

use bars::Bars;
use counts::Counts;
use events::Events;
pub(crate) use events::{how_of, kind_of, outcome_of};
pub(crate) use run::{End, RunProgress};
use steps::Steps;

/// How often there is a sign of life.
const BEAT: Duration = Duration::from_secs(30);

/// How often bars are drawn where nothing moves: time passes, and terminals change their width.
const TICK: Duration = Duration::from_millis(250);

/// Who watches a copy.
#[derive(Debug)]
pub(crate) struct Progress {
    watcher: Watcher,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
enum Watcher {
    /// Nobody.
    Nobody,
    /// A script that knows the original's lines.
    Lines(Stream),
    /// Somebody at a terminal.
    Bars(Bars),
    /// Somebody who reads a log.
    Steps(Mutex<Steps>),
    /// A program.
    Events(Mutex<Events>),
}

/// Where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Progress {
    /// Shows what was asked for. Where stdout is for a document, nothing else goes there.
    pub(crate) fn new(show: Show, output: Output) -> Self {
        let usual = match output {
            Output::Text => Stream::Stdout,
            Output::Json => Stream::Stderr,
        };
        let watcher = match show {
            Show::Nothing => Watcher::Nobody,
            Show::Auto if usual.takes_bars() => Watcher::Bars(Bars::new(usual)),
            Show::Auto => Watcher::Lines(usual),
            Show::Bars => {
                match [usual, Stream::Stderr].into_iter().find(|stream| stream.takes_bars()) {
                    Some(terminal) => Watcher::Bars(Bars::new(terminal)),
                    None => Watcher::Steps(Mutex::default()),
                }
            }
            Show::Steps => Watcher::Steps(Mutex::default()),
            Show::Events => Watcher::Events(Mutex::default()),
        };
        Self { watcher, counts: Mutex::default() }
    }

    /// A copy begins.
    pub(crate) fn begin(&self, from: &ImageName, to: &ImageName) {
        if let Watcher::Events(events) = &self.watcher {
            lock(events).begin(from, to);
        }
    }

    /// A copy has ended well.
    pub(crate) fn finish(&self, copied: &Copied) {
        if let Watcher::Events(events) = &self.watcher {
            lock(events).finish(copied);
        }
    }

    /// Shows an event.
    pub(crate) fn observe(&self, event: &Event) {
        lock(&self.counts).observe(event);
        match &self.watcher {
            Watcher::Nobody => {}
            Watcher::Lines(stream) => {
                if let Some(line) = event.line() {
                    stream.line(&line);
                }
            }
            Watcher::Bars(bars) => bars.observe(event),
            Watcher::Steps(steps) => lock(steps).observe(event),
            Watcher::Events(events) => lock(events).observe(event),
        }
        if let Some(message) = event.warning() {
            self.beside(Level::Warning, &message);
        }
        if let Some(message) = event.notice() {
            self.beside(Level::Info, &message);
        }
    }

    /// Says something to people.
    fn beside(&self, level: Level, message: &str) {
        match &self.watcher {
            // The events tell it themselves.
            Watcher::Nobody | Watcher::Events(_) => {}
            Watcher::Bars(_) | Watcher::Lines(_) | Watcher::Steps(_) => {
                logging::log(level, message);
            }
        }
    }

    /// Says now and then that the copy is not dead, where nothing else does.
    pub(crate) async fn beat(&self) -> Infallible {
        let mut last = 0;
        loop {
            let shows_bars = matches!(self.watcher, Watcher::Bars(_));
            tokio::time::sleep(if shows_bars { TICK } else { BEAT }).await;
            match &self.watcher {
                Watcher::Nobody => {}
                Watcher::Bars(bars) => bars.tick(),
                Watcher::Lines(_) | Watcher::Steps(_) => {
                    let sentence = lock(&self.counts).sentence(&mut last);
                    if let Some(sentence) = sentence {
                        logging::log(Level::Info, &sentence);
                    }
                }
                Watcher::Events(events) => lock(events).beat(&lock(&self.counts)),
            }
        }
    }

    /// Leaves the terminal in order.
    pub(crate) fn end(&self) {
        if let Watcher::Bars(bars) = &self.watcher {
            bars.end();
        }
    }
}

impl Stream {
    /// Who closed it does not want to know; the copy goes on.
    fn line(self, line: &str) {
        let _ = match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                writeln!(stdout, "{line}").and_then(|()| stdout.flush())
            }
            Self::Stderr => writeln!(io::stderr(), "{line}"),
        };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
