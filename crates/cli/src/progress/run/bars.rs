//! A bar for the run and one for each image of which blobs move, at the foot of a terminal.

use std::collections::HashMap;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressDrawTarget};
use skopeo_copy::{BlobEvent, Event};
use skopeo_image::Digest;

use super::counts::Counts;
use crate::logging;
use crate::progress::bar::Bar;
use crate::progress::line::Name;
use crate::progress::{Stream, foot, lock};

/// The bars; those that do not fit on the screen are not drawn.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    run: Bar,
    images: Mutex<HashMap<usize, Image>>,
}

/// An image on its way.
#[derive(Debug)]
struct Image {
    name: String,
    /// None until there is something to move.
    bar: Option<Bar>,
    /// The blobs that are not there yet, and how much of each has come.
    blobs: HashMap<Digest, Option<u64>>,
}

impl Bars {
    /// None yet. The log is written above them.
    pub(super) fn new() -> Self {
        let all = MultiProgress::with_draw_target(foot::target(Stream::Stderr));
        logging::above(Some(all.clone()));
        // Above the others: what does not fit is cut off below.
        let name = Name::Beginning("Images".to_owned(), "Images".to_owned());
        let run = Bar::of_things(Stream::Stderr, name, |bar| all.add(bar));
        Self { run, all, images: Mutex::default() }
    }

    pub(super) fn count(&self, counts: &Counts) {
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (done, of) = (number(counts.done), number(counts.images));
        self.run.count(done, of, vec![format!("{done}/{of}"), counts.parts()]);
    }

    /// Draws them once more.
    pub(super) fn tick(&self) {
        self.run.tick();
        lock(&self.images).values().filter_map(|image| image.bar.as_ref()).for_each(Bar::tick);
    }

    pub(super) fn begin(&self, number: usize, name: &str) {
        let name = logging::visible(name).replace('\n', " ");
        let image = Image { name, bar: None, blobs: HashMap::new() };
        if let Some(Image { bar: Some(bar), .. }) = lock(&self.images).insert(number, image) {
            self.remove(&bar);
        }
    }

    pub(super) fn observe(&self, number: usize, event: &Event) {
        let mut images = lock(&self.images);
        let Some(image) = images.get_mut(&number) else { return };
        match event {
            Event::Blob(BlobEvent::Started { digest, size, .. })
                if !image.blobs.contains_key(digest) =>
            {
                image.blobs.insert(digest.clone(), Some(0));
                let name = Name::End(image.name.clone());
                let bar = image.bar.get_or_insert_with(|| {
                    Bar::of_bytes(Stream::Stderr, name, 0, |bar| self.all.add(bar))
                });
                bar.extend(size.unwrap_or_default());
            }
            Event::Blob(BlobEvent::Read { digest, bytes }) => {
                self.run.passed(*bytes);
                let Some(bar) = &image.bar else { return };
                if let Some(Some(there)) = image.blobs.get_mut(digest) {
                    *there = there.saturating_add(*bytes);
                }
                bar.moved(*bytes);
            }
            Event::Blob(BlobEvent::Resumed { digest, bytes }) => {
                let Some(bar) = &image.bar else { return };
                if let Some(Some(there)) = image.blobs.get_mut(digest) {
                    *there = there.saturating_add(*bytes);
                    bar.found(*bytes);
                }
            }
            Event::Blob(BlobEvent::Retried { digest, .. }) => {
                let Some(bar) = &image.bar else { return };
                if let Some(Some(there)) = image.blobs.get_mut(digest) {
                    bar.lost(std::mem::take(there));
                }
            }
            Event::Blob(BlobEvent::Done { digest, size, .. }) => {
                let Some(bar) = &image.bar else { return };
                // What was there already counts as if it had come, but not as speed.
                if let Some(0) = image.blobs.get_mut(digest).and_then(Option::take) {
                    bar.found(*size);
                }
            }
            _ => {}
        }
    }

    pub(super) fn end(&self, number: usize) {
        if let Some(Image { bar: Some(bar), .. }) = lock(&self.images).remove(&number) {
            self.remove(&bar);
        }
    }

    /// Leaves the terminal to others.
    pub(super) fn close(&self) {
        // At once: ended one by one, the bars of what is still on its way leave a line behind.
        let _ = self.all.clear();
        self.all.set_draw_target(ProgressDrawTarget::hidden());
        lock(&self.images).clear();
        logging::above(None);
    }

    fn remove(&self, bar: &Bar) {
        bar.drawn().finish_and_clear();
        self.all.remove(bar.drawn());
    }
}
