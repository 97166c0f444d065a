//! A bar: what it shows is laid out anew each time, as wide as the terminal is then.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::line::{Figures, Name, line};
use super::rate::Rate;
use super::{Stream, foot, lock};

/// A bar at the foot of a terminal.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    drawn: ProgressBar,
    shown: Arc<Mutex<Shown>>,
}

#[derive(Debug)]
struct Shown {
    name: Name,
    figures: Figures,
    rate: Rate,
}

impl Bar {
    /// A bar of bytes of which none has come yet; `add` gives it its place. `size` is in bytes; 0 if
    /// it is not known.
    pub(super) fn of_bytes(
        stream: Stream,
        name: Name,
        size: u64,
        add: impl FnOnce(ProgressBar) -> ProgressBar,
    ) -> Self {
        let figures = Figures { length: size, bytes: true, ..Figures::default() };
        Self::new(stream, name, figures, add)
    }

    /// A bar of things that are counted.
    pub(super) fn of_things(
        stream: Stream,
        name: Name,
        add: impl FnOnce(ProgressBar) -> ProgressBar,
    ) -> Self {
        Self::new(stream, name, Figures::default(), add)
    }

    fn new(
        stream: Stream,
        name: Name,
        figures: Figures,
        add: impl FnOnce(ProgressBar) -> ProgressBar,
    ) -> Self {
        let shown = Shown { name, figures, rate: Rate::new(Instant::now()) };
        let shown = Arc::new(Mutex::new(shown));
        let writer = shown.clone();
        let draw = move |_: &ProgressState, out: &mut dyn Write| {
            let shown = lock(&writer);
            let rate = shown.rate.per_second(Instant::now());
            let figures = Figures { rate, ..shown.figures.clone() };
            let _ = out.write_str(&line(foot::columns(stream), &shown.name, &figures));
        };
        let style = ProgressStyle::with_template("{line}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("line", draw);
        // Its place first: a bar is drawn as soon as it is changed.
        Self { drawn: add(ProgressBar::new_spinner()).with_style(style), shown }
    }

    /// So many bytes have moved just now.
    pub(super) fn moved(&self, bytes: u64) {
        self.change(|shown| {
            shown.figures.position = shown.figures.position.saturating_add(bytes);
            shown.rate.add(bytes, Instant::now());
        });
    }

    /// So many bytes have moved, but what they belong to is shown elsewhere.
    pub(super) fn passed(&self, bytes: u64) {
        self.change(|shown| shown.rate.add(bytes, Instant::now()));
    }

    /// So many more are there that nobody had to move.
    pub(super) fn found(&self, bytes: u64) {
        self.change(|shown| {
            shown.figures.position = shown.figures.position.saturating_add(bytes);
        });
    }

    /// So many have to come once more.
    pub(super) fn lost(&self, bytes: u64) {
        self.change(|shown| {
            shown.figures.position = shown.figures.position.saturating_sub(bytes);
        });
    }

    /// There is so much more to come.
    pub(super) fn extend(&self, length: u64) {
        self.change(|shown| {
            shown.figures.length = shown.figures.length.saturating_add(length);
        });
    }

    /// So many things of so many are done; `words` say what has come of them.
    pub(super) fn count(&self, done: u64, of: u64, words: Vec<String>) {
        self.change(|shown| {
            let (position, length, bytes) = (done, of, shown.figures.bytes);
            shown.figures = Figures { words, position, length, bytes, rate: None };
        });
    }

    /// Draws it once more: time has passed, or the terminal has another width.
    pub(super) fn tick(&self) {
        self.drawn.tick();
    }

    /// What is drawn.
    pub(super) fn drawn(&self) -> &ProgressBar {
        &self.drawn
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut lock(&self.shown));
        self.drawn.tick();
    }
}
