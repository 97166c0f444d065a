//! What comes of each image of a run, as far as it has come: known outside the work, so that it is
//! not lost when the work is dropped.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Error;
use serde::{Deserialize, Serialize};
use skopeo_copy::{Change, Copied, Event, Lists, Price};
use skopeo_image::{Digest, ErrorClass};
use skopeo_transport::{How, ImageName};

use super::goals::Image;
use crate::exit::{class, row_of, sentence};
use crate::progress::{End, RunProgress};

/// What has come of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// The run ended before its turn.
    #[default]
    NotBegun,
    /// The run ended in the middle of it.
    Unfinished,
    /// It was written.
    Copied,
    /// The destination had the very image.
    Unchanged,
    /// It was removed from the destination.
    Deleted,
    /// It was left out, as there was no need to ask.
    Skipped,
    /// A dry run got to it.
    WouldCopy,
    /// A dry run found it to be too much.
    WouldDelete,
    Failed,
}

impl Outcome {
    /// As it is written.
    fn as_str(self) -> &'static str {
        match self {
            Self::NotBegun => "not-begun",
            Self::Unfinished => "unfinished",
            Self::Copied => "copied",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Skipped => "skipped",
            Self::WouldCopy => "would-copy",
            Self::WouldDelete => "would-delete",
            Self::Failed => "failed",
        }
    }

    /// Whether the image is not where it should be.
    pub(super) fn is_missing(self) -> bool {
        matches!(self, Self::NotBegun | Self::Unfinished | Self::Failed)
    }
}

/// One image at one of its destinations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Entry {
    /// None for what was only deleted.
    pub(super) source: Option<String>,
    pub(super) destination: String,
    /// The place of many images that the destination is in.
    pub(super) place: String,
    /// What is copied of a list: `all`, `system`, or platforms.
    pub(super) platforms: Vec<String>,
    pub(super) outcome: Outcome,
    /// Of what the source's name leads to.
    pub(super) source_digest: Option<Digest>,
    /// Of what the destination's name leads to now.
    pub(super) digest: Option<Digest>,
    /// How often it was tried.
    pub(super) attempts: u32,
    pub(super) seconds: f64,
    pub(super) bytes: Bytes,
    /// Why it failed.
    pub(super) error: Option<Problem>,
}

impl Entry {
    fn source(&self) -> &str {
        self.source.as_deref().unwrap_or_default()
    }

    fn end(&self) -> End<'_> {
        let error = self.error.as_ref().map(|error| (&*error.class, &*error.message));
        let outcome = self.outcome.as_str();
        End { source: self.source(), destination: &self.destination, outcome, error }
    }
}

/// What has moved, and what has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Bytes {
    /// From the source, all attempts together.
    pub(super) read: u64,
    /// To the destination.
    pub(super) written: u64,
    /// Were there.
    pub(super) reused: u64,
    /// Came from another repository of the registry.
    pub(super) mounted: u64,
    /// Lay in another image of the same folder, and were linked.
    pub(super) linked: u64,
}

impl Bytes {
    pub(super) fn add(&mut self, more: &Self) {
        let sums = [
            (&mut self.read, more.read),
            (&mut self.written, more.written),
            (&mut self.reused, more.reused),
            (&mut self.mounted, more.mounted),
            (&mut self.linked, more.linked),
        ];
        for (sum, more) in sums {
            *sum = sum.saturating_add(more);
        }
    }

    /// What did not have to be sent.
    pub(super) fn saved(&self) -> u64 {
        self.reused.saturating_add(self.mounted).saturating_add(self.linked)
    }
}

/// Why something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Problem {
    /// One of the names in the table of classes.
    pub(super) class: String,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(error: &Error) -> Self {
        let class = class(error).unwrap_or(ErrorClass::Other);
        Self { class: row_of(class).name.to_owned(), message: sentence(error) }
    }
}

/// A source of which it could not be found out what there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unlisted {
    pub(super) source: String,
    pub(super) error: Problem,
}

/// What has come of a run so far; who watches is told.
#[derive(Debug)]
pub(super) struct Outcomes {
    progress: RunProgress,
    begun: Instant,
    started: jiff::Timestamp,
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    images: Vec<Entry>,
    unlisted: Vec<Unlisted>,
    flights: HashMap<usize, Flight>,
    /// Whether the places were ended: before that, no archive has its name.
    finished: bool,
}

/// An image on its way, to one destination or to several at once.
#[derive(Clone, Debug)]
struct Flight {
    begun: Instant,
    /// How many destinations: as many entries, one after the other.
    places: usize,
    bytes: Bytes,
    /// Its blobs, and whether it is settled how they came there: what a first attempt sent, a second
    /// one finds there.
    blobs: HashMap<Digest, (How, bool)>,
}

impl Outcomes {
    /// Of nothing yet.
    pub(super) fn new(progress: RunProgress) -> Self {
        let (begun, started) = (Instant::now(), jiff::Timestamp::now());
        Self { progress, begun, started, state: Mutex::default() }
    }

    pub(super) fn progress(&self) -> &RunProgress {
        &self.progress
    }

    /// An image that nobody wants any more was removed, or could not be.
    pub(super) fn deleted(
        &self,
        place: &str,
        name: &ImageName,
        digest: Option<Digest>,
        done: Result<(), &Error>,
    ) {
        self.state().images.push(Entry {
            destination: name.to_string(),
            place: place.to_owned(),
            outcome: if done.is_ok() { Outcome::Deleted } else { Outcome::Failed },
            digest,
            attempts: 1,
            error: done.err().map(Problem::new),
            ..Entry::default()
        });
    }

    /// An image that nobody wants any more would be removed.
    pub(super) fn would_delete(&self, place: &str, name: &ImageName, digest: Digest) {
        self.state().images.push(Entry {
            destination: name.to_string(),
            place: place.to_owned(),
            outcome: Outcome::WouldDelete,
            digest: Some(digest),
            ..Entry::default()
        });
    }

    /// What an image should be is not there any more, or not known to be.
    pub(super) fn lost(
        &self,
        place: &str,
        name: &ImageName,
        digest: Option<Digest>,
        error: &Error,
    ) {
        let (name, mut state) = (name.to_string(), self.state());
        let known = state.images.iter_mut().find(|image| {
            image.destination == name && image.place == place && image.source.is_some()
        });
        if let Some(image) = known {
            (image.outcome, image.error) = (Outcome::Failed, Some(Problem::new(error)));
            return;
        }
        state.images.push(Entry {
            destination: name,
            place: place.to_owned(),
            outcome: Outcome::Failed,
            digest,
            error: Some(Problem::new(error)),
            ..Entry::default()
        });
    }

    /// What the names of all images lead to that are where they should be, as far as that is known.
    pub(super) fn digests(&self) -> HashMap<String, Digest> {
        let state = self.state();
        let there = state.images.iter().filter(|image| {
            matches!(image.outcome, Outcome::Copied | Outcome::Unchanged | Outcome::Skipped)
        });
        there.filter_map(|image| Some((image.destination.clone(), image.digest.clone()?))).collect()
    }

    /// What a dry run has found out about an image: `None` if nobody had to be asked.
    pub(super) fn priced(&self, at: usize, price: Option<&Price>) {
        if let Some(image) = self.state().images.get_mut(at) {
            image.outcome = match price.map(|price| price.change) {
                None => Outcome::Skipped,
                Some(Change::Unchanged) => Outcome::Unchanged,
                Some(Change::New | Change::Changed) => Outcome::WouldCopy,
            };
            image.source_digest = price.map(|price| price.source.clone());
            image.digest = price.and_then(|price| price.destination.clone());
        }
    }

    /// A dry run could not find it out.
    pub(super) fn unpriced(&self, at: usize, error: &Error) {
        if let Some(image) = self.state().images.get_mut(at) {
            (image.outcome, image.error) = (Outcome::Failed, Some(Problem::new(error)));
        }
    }

    /// These are the images that there are.
    pub(super) fn expect(&self, images: &[Image]) {
        self.state().images.extend(images.iter().map(|image| Entry {
            source: Some(image.from.to_string()),
            destination: image.to.to_string(),
            place: image.place.to_string(),
            platforms: platforms(&image.request.lists),
            ..Entry::default()
        }));
        self.progress.expect(images.len());
    }

    /// A source could not be listed.
    pub(super) fn unlisted(&self, source: String, error: &Error) {
        self.state().unlisted.push(Unlisted { source, error: Problem::new(error) });
    }

    /// Images are read at once that begin with number `first`: those of them are tried, once more
    /// perhaps, that have these places behind it.
    pub(super) fn attempt(&self, first: usize, places: &[usize]) {
        let mut state = self.state();
        let flight = state.flights.entry(first).or_insert_with(|| Flight {
            begun: Instant::now(),
            places: 0,
            bytes: Bytes::default(),
            blobs: HashMap::new(),
        });
        flight.places = places.iter().map(|place| place + 1).fold(flight.places, usize::max);
        for place in places {
            if let Some(image) = state.images.get_mut(first + place) {
                self.progress.begin(first, image.source(), &image.destination);
                image.outcome = Outcome::Unfinished;
                image.attempts = image.attempts.saturating_add(1);
            }
        }
    }

    /// Notes what happens to them.
    pub(super) fn tell(&self, first: usize, event: &Event) {
        if let Some(flight) = self.state().flights.get_mut(&first) {
            flight.tell(event);
        }
        self.progress.tell(first, event);
    }

    /// They are on their way no more.
    pub(super) fn end(&self, first: usize) {
        self.state().end(first);
        self.progress.end(first);
    }

    /// It is where it should be; nothing is known of what would have been copied.
    pub(super) fn well(&self, at: usize, copied: Option<&Copied>) {
        let mut state = self.state();
        let Some(image) = state.images.get_mut(at) else { return };
        image.outcome = match copied {
            None => Outcome::WouldCopy,
            Some(copied) => {
                image.source_digest = Some(copied.source.clone());
                image.digest = Some(copied.digest.clone());
                match copied.outcome {
                    skopeo_copy::Outcome::Written => Outcome::Copied,
                    skopeo_copy::Outcome::Present => Outcome::Unchanged,
                }
            }
        };
        self.progress.count(&image.end());
    }

    /// It was there without a question.
    pub(super) fn skipped(&self, at: usize) {
        if let Some(image) = self.state().images.get_mut(at) {
            image.outcome = Outcome::Skipped;
        }
    }

    /// It is not.
    pub(super) fn failed(&self, at: usize, error: &Error) {
        let mut state = self.state();
        let Some(image) = state.images.get_mut(at) else { return };
        image.outcome = Outcome::Failed;
        image.error = Some(Problem::new(error));
        self.progress.count(&image.end());
    }

    /// The places have been ended.
    pub(super) fn finished(&self) {
        self.state().finished = true;
    }

    /// A place, under any of these names, could not be ended: what was copied to it has no name
    /// there. Gives how many images these are.
    pub(super) fn unfinished(&self, places: &HashSet<String>, error: &Error) -> usize {
        let mut state = self.state();
        let lost = state.images.iter_mut();
        let lost = lost.filter(|it| it.outcome == Outcome::Copied && places.contains(&it.place));
        let mut count = 0;
        for image in lost {
            image.outcome = Outcome::Failed;
            (image.digest, image.error) = (None, Some(Problem::new(error)));
            self.progress.count_again(&image.end());
            count += 1;
        }
        count
    }

    /// All images in their order, and what could not be listed. What is on its way is as far as it
    /// is.
    pub(super) fn so_far(&self) -> (Vec<Entry>, Vec<Unlisted>) {
        let mut state = self.state().clone();
        let on_their_way: Vec<usize> = state.flights.keys().copied().collect();
        for at in on_their_way {
            state.end(at);
        }
        if !state.finished {
            let lost = |image: &&mut Entry| {
                image.outcome == Outcome::Copied && image.place.contains("-archive:")
            };
            state.images.iter_mut().filter(lost).for_each(|it| it.outcome = Outcome::Unfinished);
        }
        (state.images, state.unlisted)
    }

    /// When the run began, RFC 3339 in UTC.
    pub(super) fn started(&self) -> String {
        self.started.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
    }

    /// How long ago that was.
    pub(super) fn seconds(&self) -> f64 {
        seconds(self.begun)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What was read counts for the first of those that it was read for.
    fn end(&mut self, first: usize) {
        let Some(mut flight) = self.flights.remove(&first) else { return };
        for image in self.images.iter_mut().skip(first).take(flight.places) {
            image.seconds = seconds(flight.begun);
            image.bytes = flight.bytes;
            flight.bytes.read = 0;
        }
    }
}

impl Flight {
    fn tell(&mut self, event: &Event) {
        match event {
            Event::BlobMoved { bytes, .. } => {
                self.bytes.read = self.bytes.read.saturating_add(*bytes);
            }
            Event::BlobStarted { digest, .. } => {
                self.blobs.entry(digest.clone()).or_insert((How::Moved, false));
            }
            Event::BlobReused { digest, how } => {
                if let Some((came, false)) = self.blobs.get_mut(digest) {
                    *came = *how;
                }
            }
            Event::BlobDone { digest, size, .. } => {
                let Some((came, settled @ false)) = self.blobs.get_mut(digest) else { return };
                *settled = true;
                let sum = match came {
                    How::Moved => &mut self.bytes.written,
                    How::Present => &mut self.bytes.reused,
                    How::Mounted => &mut self.bytes.mounted,
                    How::Linked => &mut self.bytes.linked,
                };
                *sum = sum.saturating_add(*size);
            }
            _ => {}
        }
    }
}

/// What is copied of lists, in words.
fn platforms(lists: &Lists) -> Vec<String> {
    match lists {
        Lists::All => vec!["all".to_owned()],
        Lists::Platforms { wanted, .. } => wanted.iter().map(ToString::to_string).collect(),
        Lists::System | Lists::IndexOnly => vec!["system".to_owned()],
    }
}

/// How long ago that was, to the millisecond.
fn seconds(begun: Instant) -> f64 {
    (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use skopeo_copy::BlobKind;

    use super::*;
    use crate::args::report::{Output, Show};

    #[test]
    fn what_a_first_attempt_sent_is_not_saved_by_the_second() {
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let (begun, bytes) = (Instant::now(), Bytes::default());
        let mut flight = Flight { begun, places: 1, bytes, blobs: HashMap::new() };
        let start = |digest: &Digest| Event::BlobStarted {
            digest: digest.clone(),
            size: None,
            kind: BlobKind::Layer,
        };
        let done = |digest: &Digest, size| Event::BlobDone {
            digest: digest.clone(),
            stored: digest.clone(),
            size,
        };
        let present =
            |digest: &Digest| Event::BlobReused { digest: digest.clone(), how: How::Present };
        for event in [
            start(&a),
            Event::BlobMoved { digest: a.clone(), bytes: 12 },
            done(&a, 10),
            // The same layer twice.
            start(&a),
            present(&a),
            done(&a, 10),
            // Once more from the beginning.
            start(&a),
            present(&a),
            done(&a, 10),
            start(&b),
            present(&b),
            done(&b, 5),
        ] {
            flight.tell(&event);
        }
        assert_eq!(flight.bytes, Bytes { read: 12, written: 10, reused: 5, ..Bytes::default() });
    }

    #[test]
    fn what_is_on_its_way_is_told_as_far_as_it_is() {
        let progress = RunProgress::new(Show::Nothing, Output::Text);
        let outcomes = Outcomes::new(progress);
        outcomes.state().images = vec![Entry::default(), Entry::default(), Entry::default()];
        outcomes.attempt(0, &[0]);
        outcomes.attempt(1, &[0]);
        let digest = Digest::sha256(b"a");
        outcomes.tell(1, &Event::BlobMoved { digest, bytes: 7 });
        outcomes.attempt(0, &[0]);
        outcomes.end(0);
        outcomes.failed(0, &anyhow::anyhow!("cut").context("reading"));
        let (images, _) = outcomes.so_far();
        let told: Vec<_> =
            images.iter().map(|it| (it.outcome, it.attempts, it.bytes.read)).collect();
        let expected =
            [(Outcome::Failed, 2, 0), (Outcome::Unfinished, 1, 7), (Outcome::NotBegun, 0, 0)];
        assert_eq!(told, expected);
        let problem = images[0].error.clone().unwrap();
        assert_eq!((&*problem.class, &*problem.message), ("other", "reading: cut"));
    }
}
