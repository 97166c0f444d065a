//! Whole copies between strict fakes in memory.

mod estimate;
mod fanout;
mod faults;
mod indexes;
mod platforms;
mod sign;
mod single;
mod variants;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use skopeo_image::{Platform, RawManifest};
use skopeo_testkit::memory::{self, FakeDestination, FakeSource};
use skopeo_trust::Policy;

use crate::error::sentence;
use crate::{BlobRetry, Copied, Error, Event, Outcome, Request, Session, copy};

/// A copy with everything that was seen of it.
struct Run {
    result: Result<Copied, Error>,
    events: Vec<Event>,
}

impl Run {
    fn copied(self) -> Copied {
        self.result.map_err(|error| sentence(&error)).unwrap()
    }

    /// The manifest that was written.
    fn written(self) -> RawManifest {
        let copied = self.copied();
        assert_eq!(copied.outcome, Outcome::Written);
        let manifest = copied.manifest.unwrap();
        assert!(manifest.has_digest(&copied.digest).unwrap());
        manifest
    }

    fn error(&self) -> String {
        sentence(self.result.as_ref().unwrap_err())
    }

    fn warnings(&self) -> Vec<String> {
        self.events.iter().filter_map(Event::warning).collect()
    }

    fn lines(&self) -> Vec<String> {
        self.events.iter().filter_map(Event::line).collect()
    }
}

fn request() -> Request {
    Request::new(Platform::new("linux", "amd64", ""))
}

fn session(events: &Arc<Mutex<Vec<Event>>>) -> Session {
    let seen = events.clone();
    Session::new(Arc::new(move |event| seen.lock().unwrap().push(event)))
        .with_blob_retry(BlobRetry { attempts: 3, first_pause: Duration::ZERO })
}

async fn run(source: &FakeSource, destination: &FakeDestination, request: &Request) -> Run {
    run_with(source, destination, request, &Policy::insecure()).await
}

async fn run_with(
    source: &FakeSource,
    destination: &FakeDestination,
    request: &Request,
    policy: &Policy,
) -> Run {
    let events = Arc::default();
    let session = session(&events);
    let result = copy(&session, source, destination.door(), policy, request).await;
    let events = events.lock().unwrap().clone();
    Run { result, events }
}
