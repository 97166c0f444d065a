//! What comes of each image of a run, as far as it has come: known outside the work, so that it is
//! not lost when the work is dropped.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use skopeo_copy::{BlobEvent, Change, Copied, Event, ImageEstimate, IndexEvent, Lists};
use skopeo_image::{Classify as _, Digest, ErrorClass};
use skopeo_transport::{How, ImageName};

use crate::observer::{Observer, SyncEvent};
use crate::report::{Bytes, Entry, Outcome, Problem, Record, Totals, Unlisted};
use crate::task::{SyncTask, TaskId};
use crate::{Error, Result};

/// What has come of a run so far; who watches is told.
pub(crate) struct Outcomes {
    observer: Arc<dyn Observer>,
    begun: Instant,
    started: jiff::Timestamp,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tasks: BTreeMap<TaskId, Known>,
    /// What became of images that were no task: those that were deleted, or should have stayed.
    others: Vec<Entry>,
    unlisted: Vec<Unlisted>,
    groups: BTreeMap<TaskId, Flight>,
    /// Of how many images one platform of several was copied.
    one_of_platforms: usize,
    /// Whether the places were ended: before that, no archive has its name.
    finished: bool,
    /// Why who watches wants the run to stop.
    stopped: Option<Error>,
}

/// What is known of a task.
#[derive(Clone, Debug)]
struct Known {
    entry: Entry,
    /// Whether the image is there only when its place is ended.
    is_held: bool,
}

/// Images on their way that are read at once.
#[derive(Clone, Debug)]
struct Flight {
    begun: Instant,
    /// All of them, in their order.
    tasks: Vec<TaskId>,
    bytes: Bytes,
    /// Their blobs, and whether it is unchanged how they came there: what a first attempt sent, a
    /// second one finds there.
    blobs: HashMap<Digest, (How, bool)>,
}

impl Outcomes {
    /// Of nothing yet.
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        let (begun, started) = (Instant::now(), jiff::Timestamp::now());
        Self { observer, begun, started, state: Mutex::default() }
    }

    /// Tells who watches.
    pub(crate) fn observe(&self, event: &SyncEvent<'_>) {
        if let Err(error) = self.observer.observe(event) {
            self.state().stopped.get_or_insert(error);
        }
    }

    /// Fails if who watches wants the run to stop.
    ///
    /// # Errors
    /// What they said.
    pub(crate) fn check(&self) -> Result<()> {
        self.state().stopped.take().map_or(Ok(()), Err)
    }

    /// What kind of failure it is, as far as this crate or who watches knows.
    pub(crate) fn class(&self, error: &Error) -> Option<ErrorClass> {
        error.class().or_else(|| error.chain().find_map(|link| self.observer.class_of(link)))
    }

    fn problem(&self, error: &Error) -> Problem {
        let class = self.class(error).unwrap_or(ErrorClass::Other);
        Problem { class: class.as_str().to_owned(), message: error.sentence() }
    }

    /// These are the images that there are.
    ///
    /// # Errors
    /// If who watches does not want them.
    pub(crate) fn expect(&self, tasks: &[SyncTask]) -> Result<()> {
        let known = tasks.iter().map(|task| {
            let entry = Entry {
                source: Some(task.from.to_string()),
                destination: task.to.to_string(),
                place: task.place.to_string(),
                platforms: platforms(&task.request.lists),
                ..Entry::default()
            };
            (task.id, Known { entry, is_held: task.place.kind.is_archive() })
        });
        self.state().tasks.extend(known);
        self.observe(&SyncEvent::Found(tasks));
        self.check()
    }

    /// A source could not be listed.
    pub(crate) fn unlisted(&self, source: String, error: &Error) {
        self.state().unlisted.push(Unlisted { source, error: self.problem(error) });
    }

    /// These images of a group are tried, once more perhaps.
    pub(crate) fn attempt(&self, group: TaskId, tasks: &[&SyncTask]) {
        {
            let mut state = self.state();
            let flight = state.groups.entry(group).or_insert_with(|| Flight {
                begun: Instant::now(),
                tasks: Vec::new(),
                bytes: Bytes::default(),
                blobs: HashMap::new(),
            });
            for task in tasks {
                if !flight.tasks.contains(&task.id) {
                    flight.tasks.push(task.id);
                }
            }
            for task in tasks {
                if let Some(Known { entry, .. }) = state.tasks.get_mut(&task.id) {
                    entry.outcome = Outcome::Unfinished;
                    entry.attempts = entry.attempts.saturating_add(1);
                }
            }
        }
        for task in tasks {
            self.observe(&SyncEvent::Attempt { group, task });
        }
    }

    /// Notes what happens to images that are read at once.
    pub(crate) fn copying(&self, group: TaskId, event: &Event) {
        {
            let mut state = self.state();
            if let Some(flight) = state.groups.get_mut(&group) {
                flight.observe(event);
            }
            if let Event::Index(IndexEvent::OneOfPlatforms { .. }) = event {
                state.one_of_platforms = state.one_of_platforms.saturating_add(1);
            }
        }
        self.observer.copying(group, event);
    }

    /// They are on their way no more.
    pub(crate) fn end(&self, group: TaskId) {
        self.state().end(group);
        self.observe(&SyncEvent::Ended { group });
    }

    /// It is where it should be; nothing is known of what would have been copied.
    pub(crate) fn well(&self, task: TaskId, copied: Option<&Copied>) {
        self.done(task, |entry| {
            entry.outcome = match copied {
                None => Outcome::WouldCopy,
                Some(copied) => {
                    entry.source_digest = Some(copied.source.clone());
                    entry.digest = Some(copied.digest.clone());
                    match copied.outcome {
                        skopeo_copy::Outcome::Written => Outcome::Copied,
                        skopeo_copy::Outcome::Present => Outcome::Unchanged,
                    }
                }
            };
        });
    }

    /// It is not.
    pub(crate) fn failed(&self, task: TaskId, error: &Error) {
        self.done(task, |entry| {
            (entry.outcome, entry.error) = (Outcome::Failed, Some(self.problem(error)));
        });
    }

    fn done(&self, task: TaskId, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.change(task, change) {
            self.observe(&SyncEvent::Done { task, entry: &entry });
        }
    }

    /// It was there without a question.
    pub(crate) fn skipped(&self, task: TaskId) {
        self.change(task, |entry| entry.outcome = Outcome::Skipped);
    }

    /// What a dry run has found out about an image: `None` if nobody had to be asked.
    pub(crate) fn priced(&self, task: TaskId, price: Option<&ImageEstimate>) {
        self.change(task, |entry| {
            entry.outcome = match price.map(|price| price.change) {
                None => Outcome::Skipped,
                Some(Change::Unchanged) => Outcome::Unchanged,
                Some(Change::New | Change::Changed) => Outcome::WouldCopy,
            };
            entry.source_digest = price.map(|price| price.source.clone());
            entry.digest = price.and_then(|price| price.destination.clone());
        });
    }

    /// A dry run could not find it out.
    pub(crate) fn unpriced(&self, task: TaskId, error: &Error) {
        self.change(task, |entry| {
            (entry.outcome, entry.error) = (Outcome::Failed, Some(self.problem(error)));
        });
    }

    fn change(&self, task: TaskId, change: impl FnOnce(&mut Entry)) -> Option<Entry> {
        let mut state = self.state();
        let entry = &mut state.tasks.get_mut(&task)?.entry;
        change(entry);
        Some(entry.clone())
    }

    /// An image that nobody wants any more was removed, or could not be.
    pub(crate) fn deleted(
        &self,
        place: &str,
        name: &ImageName,
        digest: Digest,
        done: Result<(), &Error>,
    ) {
        self.state().others.push(Entry {
            destination: name.to_string(),
            place: place.to_owned(),
            outcome: if done.is_ok() { Outcome::Deleted } else { Outcome::Failed },
            digest: Some(digest),
            attempts: 1,
            error: done.err().map(|error| self.problem(error)),
            ..Entry::default()
        });
    }

    /// An image that nobody wants any more would be removed.
    pub(crate) fn would_delete(&self, place: &str, name: &ImageName, digest: Digest) {
        self.state().others.push(Entry {
            destination: name.to_string(),
            place: place.to_owned(),
            outcome: Outcome::WouldDelete,
            digest: Some(digest),
            ..Entry::default()
        });
    }

    /// What an image should be is not there any more, or not known to be.
    pub(crate) fn lost(
        &self,
        place: &str,
        name: &ImageName,
        digest: Option<Digest>,
        error: &Error,
    ) {
        let (name, mut state) = (name.to_string(), self.state());
        let mut tasks = state.tasks.values_mut().map(|known| &mut known.entry);
        if let Some(entry) = tasks.find(|it| it.destination == name && it.place == place) {
            (entry.outcome, entry.error) = (Outcome::Failed, Some(self.problem(error)));
            return;
        }
        state.others.push(Entry {
            destination: name,
            place: place.to_owned(),
            outcome: Outcome::Failed,
            digest,
            error: Some(self.problem(error)),
            ..Entry::default()
        });
    }

    /// What the names of all images lead to that are where they should be, as far as that is known.
    pub(crate) fn digests(&self) -> HashMap<String, Digest> {
        let state = self.state();
        let entries = state.tasks.values().map(|known| &known.entry);
        let there = entries.filter(|entry| {
            matches!(entry.outcome, Outcome::Copied | Outcome::Unchanged | Outcome::Skipped)
        });
        there.filter_map(|entry| Some((entry.destination.clone(), entry.digest.clone()?))).collect()
    }

    /// Of how many images one platform of several was copied.
    pub(crate) fn one_of_platforms(&self) -> usize {
        self.state().one_of_platforms
    }

    /// The places have been ended.
    pub(crate) fn finished(&self) {
        self.state().finished = true;
        self.observe(&SyncEvent::Finished);
    }

    /// A place, under any of these names, could not be ended: what was copied to it has no name
    /// there. Gives how many images these are.
    pub(crate) fn unfinished(&self, places: &HashSet<String>, error: &Error) -> usize {
        let lost: Vec<(TaskId, Entry)> = {
            let mut state = self.state();
            let lost = state.tasks.iter_mut().filter(|(_, Known { entry, .. })| {
                entry.outcome == Outcome::Copied && places.contains(&entry.place)
            });
            let lost = lost.map(|(task, Known { entry, .. })| {
                entry.outcome = Outcome::Failed;
                (entry.digest, entry.error) = (None, Some(self.problem(error)));
                (*task, entry.clone())
            });
            lost.collect()
        };
        for (task, entry) in &lost {
            self.observe(&SyncEvent::Lost { task: *task, entry });
        }
        lost.len()
    }

    /// The record of the run so far: all images in their order, and what could not be listed. What
    /// is on its way is as far as it is.
    pub(crate) fn so_far(&self) -> Record {
        let state = self.state();
        let mut tasks = state.tasks.clone();
        for flight in state.groups.values() {
            flight.end(&mut tasks);
        }
        let images = tasks.into_values().map(|Known { mut entry, is_held }| {
            if is_held && !state.finished && entry.outcome == Outcome::Copied {
                entry.outcome = Outcome::Unfinished;
            }
            entry
        });
        let images: Vec<Entry> = images.chain(state.others.iter().cloned()).collect();
        Record {
            started: self.started.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            seconds: seconds(self.begun),
            totals: Totals::of(&images),
            images,
            unlisted: state.unlisted.clone(),
            ..Record::default()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&mut self, group: TaskId) {
        if let Some(flight) = self.groups.remove(&group) {
            flight.end(&mut self.tasks);
        }
    }
}

impl Flight {
    /// What was read counts for the first of those that it was read for.
    fn end(&self, tasks: &mut BTreeMap<TaskId, Known>) {
        let mut bytes = self.bytes;
        for task in &self.tasks {
            if let Some(Known { entry, .. }) = tasks.get_mut(task) {
                (entry.seconds, entry.bytes) = (seconds(self.begun), bytes);
                bytes.read = 0;
            }
        }
    }

    fn observe(&mut self, event: &Event) {
        match event {
            Event::Blob(BlobEvent::Read { bytes, .. }) => {
                self.bytes.read = self.bytes.read.saturating_add(*bytes);
            }
            Event::Blob(BlobEvent::Started { digest, .. }) => {
                self.blobs.entry(digest.clone()).or_insert((How::Moved, false));
            }
            Event::Blob(BlobEvent::Reused { digest, how }) => {
                if let Some((came, false)) = self.blobs.get_mut(digest) {
                    *came = *how;
                }
            }
            Event::Blob(BlobEvent::Done { digest, size, .. }) => {
                let Some((came, unchanged @ false)) = self.blobs.get_mut(digest) else { return };
                *unchanged = true;
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
mod tests;
