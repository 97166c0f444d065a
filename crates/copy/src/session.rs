//! What outlives one copy.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use skopeo_blob::{Blob, MaxUnpacked, Rate, throttle};

use crate::Event;
use crate::known::Known;
use crate::known_indexes::KnownIndexes;
use crate::scheduler::{Limits, RunGates, Scheduler};

/// What the copies of one run share: what was learnt, how much runs at once, who is bringing which
/// blob. Cheap to clone; each copy may have its own watcher.
#[derive(Clone)]
pub struct Session {
    pub(crate) events: Arc<dyn Fn(Event) + Send + Sync>,
    pub(crate) blob_retry: BlobRetry,
    rates: Rates,
    max_unpacked: MaxUnpacked,
    shared: Arc<Shared>,
}

struct Shared {
    known: Known,
    lists: Arc<KnownIndexes>,
    gates: Arc<RunGates>,
}

impl Session {
    /// Returns a run whose events go to `events`, from the thread that polls the copy or one of its
    /// helpers. It must not block.
    #[must_use]
    pub fn new(events: Arc<dyn Fn(Event) + Send + Sync>) -> Self {
        Self::limited(events, &Limits::default())
    }

    /// Returns the same with limits on what runs at once.
    #[must_use]
    pub fn limited(events: Arc<dyn Fn(Event) + Send + Sync>, limits: &Limits) -> Self {
        let gates = Arc::new(RunGates::new(limits));
        let shared = Shared { known: Known::default(), lists: Arc::default(), gates };
        let (blob_retry, rates) = (BlobRetry::default(), Rates::default());
        let max_unpacked = MaxUnpacked::default();
        Self { events, blob_retry, rates, max_unpacked, shared: Arc::new(shared) }
    }

    /// Returns the same run, seen by another watcher.
    #[must_use]
    pub fn watched(&self, events: Arc<dyn Fn(Event) + Send + Sync>) -> Self {
        Self { events, ..self.clone() }
    }

    /// Returns the same with another blob_retry.
    #[must_use]
    pub fn with_blob_retry(self, blob_retry: BlobRetry) -> Self {
        Self { blob_retry, ..self }
    }

    /// Returns the same with limits on how fast bytes move.
    #[must_use]
    pub fn with_rates(self, rates: Rates) -> Self {
        Self { rates, ..self }
    }

    /// Returns the same with another limit on what may come out of a layer.
    #[must_use]
    pub fn with_max_unpacked(self, max_unpacked: MaxUnpacked) -> Self {
        Self { max_unpacked, ..self }
    }

    /// A blob of the source, no faster than it may be read, and unpacked no further than it may be.
    pub(crate) fn read(&self, blob: Blob) -> Blob {
        limited(blob.unpacked_within(self.max_unpacked), self.rates.read.as_ref())
    }

    /// A blob for the destination, no faster than it may be written.
    pub(crate) fn write(&self, blob: Blob) -> Blob {
        limited(blob, self.rates.write.as_ref())
    }

    /// Returns the lists that have been read.
    #[must_use]
    pub fn indexes(&self) -> &Arc<KnownIndexes> {
        &self.shared.lists
    }

    pub(crate) fn emit(&self, event: Event) {
        (self.events)(event);
    }

    pub(crate) fn known(&self) -> &Known {
        &self.shared.known
    }

    /// Returns the gates of one copy of the run, which moves so many blobs at once.
    pub(crate) fn scheduler(&self, at_once: usize) -> Scheduler {
        Scheduler::new(self.shared.gates.clone(), at_once)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("blob_retry", &self.blob_retry).finish_non_exhaustive()
    }
}

/// How fast the bytes of blobs may move, all those of a run together.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rates {
    /// From the source.
    pub read: Option<Arc<Rate>>,
    /// To the destination.
    pub write: Option<Arc<Rate>>,
}

impl Rates {
    /// Returns the limits of reading from the source and of writing to the destination.
    #[must_use]
    pub fn new(read: Option<Arc<Rate>>, write: Option<Arc<Rate>>) -> Self {
        Self { read, write }
    }
}

fn limited(blob: Blob, rate: Option<&Arc<Rate>>) -> Blob {
    match rate {
        Some(rate) => throttle(blob, Arc::clone(rate)),
        None => blob,
    }
}

/// How often, and how far apart, a blob that breaks on its way is fetched and sent again. What can
/// be mended by one more request has been by then: this is for a whole blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobRetry {
    /// How often in all; at least once.
    pub attempts: u32,
    /// Before the second attempt; each further pause is twice as long.
    pub first_pause: Duration,
}

impl Default for BlobRetry {
    fn default() -> Self {
        Self { attempts: 3, first_pause: Duration::from_secs(1) }
    }
}
