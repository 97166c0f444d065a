//! A bar for the run and one for each image of which blobs move, at the foot of a terminal.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use skopeo_copy::Event;
use skopeo_image::Digest;

use super::counts::Counts;
use crate::logging;
use crate::progress::lock;

/// The bars; those that do not fit on the screen are not drawn.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    run: ProgressBar,
    images: Mutex<HashMap<usize, Image>>,
}

/// An image on its way.
#[derive(Debug)]
struct Image {
    name: String,
    /// None until there is something to move.
    bar: Option<ProgressBar>,
    /// The blobs that are not there yet, and how much of each has come.
    blobs: HashMap<Digest, Option<u64>>,
}

impl Bars {
    /// None yet. The log is written above them.
    pub(super) fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        logging::above(Some(all.clone()));
        // Above the others: what does not fit is cut off below.
        let run = ProgressBar::new(0).with_style(style("Images {pos}/{len} [{bar:24}] {wide_msg}"));
        Self { run: all.add(run), all, images: Mutex::default() }
    }

    pub(super) fn expect(&self, images: usize) {
        self.run.set_length(images as u64);
        self.run.enable_steady_tick(Duration::from_millis(500));
    }

    pub(super) fn count(&self, counts: &Counts) {
        self.run.set_position(counts.done as u64);
        self.run.set_message(counts.parts());
    }

    pub(super) fn begin(&self, number: usize, name: &str) {
        let name = logging::visible(name).replace('\n', " ");
        let image = Image { name, bar: None, blobs: HashMap::new() };
        if let Some(Image { bar: Some(bar), .. }) = lock(&self.images).insert(number, image) {
            self.remove(&bar);
        }
    }

    pub(super) fn tell(&self, number: usize, event: &Event) {
        let mut images = lock(&self.images);
        let Some(image) = images.get_mut(&number) else { return };
        match event {
            Event::BlobStarted { digest, size, .. } if !image.blobs.contains_key(digest) => {
                image.blobs.insert(digest.clone(), Some(0));
                let bar = image.bar.get_or_insert_with(|| {
                    let bar = ProgressBar::new(0).with_style(style(
                        "[{bar:24}] {binary_bytes:>10}/{binary_total_bytes:<10} {wide_msg}",
                    ));
                    let bar = self.all.add(bar);
                    bar.set_message(image.name.clone());
                    bar
                });
                bar.inc_length(size.unwrap_or_default());
            }
            Event::BlobMoved { digest, bytes } => {
                let Some(bar) = &image.bar else { return };
                if let Some(Some(moved)) = image.blobs.get_mut(digest) {
                    *moved = moved.saturating_add(*bytes);
                }
                bar.inc(*bytes);
            }
            Event::BlobAgain { digest, .. } => {
                let Some(bar) = &image.bar else { return };
                if let Some(Some(moved)) = image.blobs.get_mut(digest) {
                    bar.set_position(bar.position().saturating_sub(std::mem::take(moved)));
                }
            }
            Event::BlobDone { digest, size, .. } => {
                let Some(bar) = &image.bar else { return };
                // What was there already counts as if it had come.
                if let Some(0) = image.blobs.get_mut(digest).and_then(Option::take) {
                    bar.inc(*size);
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
        self.run.disable_steady_tick();
        // At once: ended one by one, the bars of what is still on its way leave a line behind.
        let _ = self.all.clear();
        self.all.set_draw_target(ProgressDrawTarget::hidden());
        lock(&self.images).clear();
        logging::above(None);
    }

    fn remove(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.all.remove(bar);
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=>-")
}
