//! Whole runs between places in memory.

mod discovery;
mod names;
mod prune;
mod resume;
mod schedule;

use std::sync::{Arc, Mutex};

use skopeo_copy::{Rates, Retry};
use skopeo_transport::{Error as TransportError, LayoutError};
use skopeo_trust::Policy;

use crate::report::{Entry, Outcome, Record};
use crate::testing::{self, Memory};
use crate::{
    Digests, Error, Images, Input, Observer, Result, Run, Selection, SourceKind, SyncEvent,
    SyncRequest,
};

/// Where images go.
const PLACE: &str = "docker://to.example/m";

/// A source and the places for its images.
fn input(kind: &str, source: &str, places: &[&str]) -> Input {
    let kind = SourceKind::parse(kind).unwrap();
    let places = places.iter().map(|place| place.parse().unwrap()).collect();
    Input::One { kind, source: source.to_owned(), places }
}

/// All images of a source, for [`PLACE`].
fn selection(kind: &str, source: &str) -> Selection {
    Selection::new(input(kind, source, &[PLACE]))
}

fn request(images: Images) -> SyncRequest {
    let options = testing::options();
    let source = Arc::new(options.clone());
    SyncRequest::new(images, source, options, Policy::insecure(), testing::request())
}

/// A request for what a selection finds, that goes on after failures.
fn selected(selection: Selection) -> SyncRequest {
    let mut request = request(Images::Selected(Box::new(selection)));
    request.manner.keep_going = true;
    request
}

/// A run, and what has come of it.
async fn run(memory: &Memory, request: &SyncRequest) -> (Result<Option<Digests>>, Record) {
    let (result, record, _) = told(memory, request).await;
    (result, record)
}

/// A run, what has come of it, and what was told meanwhile.
async fn told(
    memory: &Memory,
    request: &SyncRequest,
) -> (Result<Option<Digests>>, Record, Vec<String>) {
    let witness = Arc::new(Witness::default());
    let session = crate::session(None, None, Rates::default());
    let run = Run::through(Arc::new(memory.clone()), request, witness.clone());
    let result = run.run(&session).await;
    let told = witness.0.lock().unwrap().clone();
    (result, run.record(), told)
}

/// Remembers what it is told of places and of what was lost.
#[derive(Default)]
struct Witness(Mutex<Vec<String>>);

impl Observer for Witness {
    fn observe(&self, event: &SyncEvent<'_>) -> Result<(), Error> {
        let said = match event {
            SyncEvent::Published(place) => format!("published {place}"),
            SyncEvent::Lost { entry, .. } => format!("lost {}", entry.destination),
            SyncEvent::Skipped(task) => format!("skipped {}", task.source()),
            SyncEvent::Chosen { repository, chosen } => {
                format!("chosen {} of {repository}", chosen.kept.len())
            }
            _ => return Ok(()),
        };
        self.0.lock().unwrap().push(said);
        Ok(())
    }
}

/// What has come of which image: the last part of its destination's name, and the outcome.
fn outcomes(images: &[Entry]) -> Vec<(&str, Outcome)> {
    let last = |name: &'_ str| name.rfind('/').map_or(0, |at| at + 1);
    images.iter().map(|it| (&it.destination[last(&it.destination)..], it.outcome)).collect()
}

/// Nothing is there.
fn gone(what: &str) -> TransportError {
    LayoutError::NoSuchReference(what.to_owned()).into()
}

/// At once, and once more.
fn twice() -> Retry {
    Retry { times: 1, delay: Some(std::time::Duration::from_nanos(1)) }
}
