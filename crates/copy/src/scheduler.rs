//! What a copy waits for before bytes move: six gates, all of them here.
//!
//! | gate | lets through | of | why |
//! |---|---|---|---|
//! | [`begin`](Scheduler::begin) | so many images | a run | Those that began first end first, and so many images hold memory, files and connections. Held until the copy ends. |
//! | [`once`](Scheduler::once) | each blob once | a copy | A layer that is listed four times moves once; the others wait for what came of it. |
//! | [`blob_lock`](Scheduler::blob_lock) | one image a blob and pool | a run | The second to want a blob waits for the first, and then finds at the destination what that has brought. |
//! | [`question`](Scheduler::question) | twice as many questions as blobs | a copy | Questions are small, and their answers decide what moves; but a registry is not flooded with them. |
//! | [`transfer`](Scheduler::transfer) | so many blobs | a copy, and a run | What moves takes memory and connections, on each side as many as it is said to be good for. In a run a small blob counts as a part of a large one: what it takes is a round trip, and no memory. |
//! | [`codec`](Scheduler::codec) | as many layers as processors | a run | More that are compressed or unpacked at once would only cost memory. |
//!
//! They are passed in this order, so that nobody holds what somebody waits for who holds what it
//! waits for itself: who has a blob lock waits for no image, and who moves a blob waits for no lock.

use std::collections::HashMap;
use std::num::{NonZero, NonZeroUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skopeo_image::Digest;
use tokio::sync::{OnceCell, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::Error;
use crate::item::{ItemKey, TransferredBlob};

/// How much of a run is under way at once; without a number there is no limit besides those of
/// each copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Images of which blobs are on their way.
    pub images: Option<NonZeroUsize>,
    /// Large blobs on their way, of 4 MiB and more; or more small ones, which count by their size,
    /// but at least as a sixteenth.
    pub blobs: Option<NonZeroUsize>,
    /// Blobs on their way, of whatever size.
    pub connections: Option<NonZeroUsize>,
}

impl Limits {
    /// Returns limits of so many images and so many blobs.
    #[must_use]
    pub fn new(images: Option<NonZeroUsize>, blobs: Option<NonZeroUsize>) -> Self {
        Self { images, blobs, connections: None }
    }

    /// Also limits how many blobs, of whatever size, are on their way.
    #[must_use]
    pub fn with_connections(self, connections: Option<NonZeroUsize>) -> Self {
        Self { connections, ..self }
    }
}

/// How many bytes a blob has that counts as a whole one.
const LARGE: u64 = 4 << 20;

/// How many of the smallest blobs count as one that is large.
const PARTS: u8 = 16;

/// How many bytes a part stands for.
const PART: u64 = LARGE / 16;

/// The gates of a run.
#[derive(Debug)]
pub(crate) struct RunGates {
    images: Arc<Semaphore>,
    /// With [`PARTS`] permits for each blob.
    blobs: Semaphore,
    connections: Semaphore,
    codecs: Semaphore,
    locks: Arc<BlobLocks>,
}

impl RunGates {
    pub(crate) fn new(limits: &Limits) -> Self {
        let at_once = |limit: Option<NonZeroUsize>| {
            limit.map_or(Semaphore::MAX_PERMITS, |limit| limit.get().min(Semaphore::MAX_PERMITS))
        };
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            images: Arc::new(Semaphore::new(at_once(limits.images))),
            blobs: Semaphore::new(
                at_once(limits.blobs)
                    .saturating_mul(usize::from(PARTS))
                    .min(Semaphore::MAX_PERMITS),
            ),
            connections: Semaphore::new(at_once(limits.connections)),
            codecs: Semaphore::new(processors),
            locks: Arc::default(),
        }
    }
}

/// The gates of one copy, and those of the run that it is a part of.
#[derive(Debug)]
pub(crate) struct Scheduler {
    run: Arc<RunGates>,
    /// How many blobs, and how many images of an index, are under way at once.
    at_once: usize,
    /// What this copy holds of the run's images, once its blobs move.
    image: OnceCell<Option<OwnedSemaphorePermit>>,
    /// The blobs that went to the destination, or are on their way.
    blobs: Mutex<HashMap<ItemKey, Arc<OnceCell<TransferredBlob>>>>,
    questions: Semaphore,
    transfers: Semaphore,
}

/// The right to move a blob: of this copy, and of the run. No semaphore here is ever closed, so that
/// there is always one.
pub(crate) type Permits<'a> = [Option<SemaphorePermit<'a>>; 3];

impl Scheduler {
    /// Returns the gates of a copy that moves so many blobs at once.
    pub(crate) fn new(run: Arc<RunGates>, at_once: usize) -> Self {
        Self {
            run,
            at_once,
            image: OnceCell::new(),
            blobs: Mutex::default(),
            questions: Semaphore::new(at_once.saturating_mul(2)),
            transfers: Semaphore::new(at_once),
        }
    }

    pub(crate) fn at_once(&self) -> usize {
        self.at_once
    }

    /// Waits until this copy is one of those that may be under way at once.
    pub(crate) async fn begin(&self) {
        let acquire = || async { self.run.images.clone().acquire_owned().await.ok() };
        self.image.get_or_init(acquire).await;
    }

    /// Returns what `work` gives for the first who asks; the others wait for that. Where it fails or
    /// is dropped, the next in queue does it.
    pub(crate) async fn once<F>(
        &self,
        key: ItemKey,
        work: impl FnOnce() -> F,
    ) -> Result<TransferredBlob, Error>
    where
        F: Future<Output = Result<TransferredBlob, Error>>,
    {
        let cell = {
            let mut cells = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
            cells.entry(key).or_default().clone()
        };
        cell.get_or_try_init(work).await.cloned()
    }

    /// Waits until nobody else of the run brings this blob to that pool.
    pub(crate) async fn blob_lock(&self, pool: Option<String>, blob: &Digest) -> Option<BlobLock> {
        Some(self.run.locks.take(pool?, blob.clone()).await)
    }

    /// Waits until one more question may be asked.
    pub(crate) async fn question(&self) -> Option<SemaphorePermit<'_>> {
        self.questions.acquire().await.ok()
    }

    /// Waits until one more blob, of `size` bytes, may move.
    pub(crate) async fn transfer(&self, size: Option<u64>) -> Permits<'_> {
        let own = self.transfers.acquire().await.ok();
        let connection = self.run.connections.acquire().await.ok();
        [own, connection, self.run.blobs.acquire_many(parts(size)).await.ok()]
    }

    /// Waits until one more layer may be compressed or unpacked.
    pub(crate) async fn codec(&self) -> Option<SemaphorePermit<'_>> {
        self.run.codecs.acquire().await.ok()
    }
}

/// As how many parts of a large blob one of `size` bytes counts.
fn parts(size: Option<u64>) -> u32 {
    let parts = size.unwrap_or(LARGE).div_ceil(PART);
    parts.try_into().unwrap_or(u32::MAX).clamp(1, PARTS.into())
}

type LockKey = (String, Digest);

/// The blobs that somebody is bringing to a pool, or waits to bring.
#[derive(Debug, Default)]
struct BlobLocks(Mutex<HashMap<LockKey, Arc<tokio::sync::Mutex<()>>>>);

/// The right to bring a blob; the next in queue has it when this is dropped.
#[derive(Debug)]
pub(crate) struct BlobLock {
    locks: Arc<BlobLocks>,
    key: LockKey,
    guard: Option<OwnedMutexGuard<()>>,
}

impl BlobLocks {
    async fn take(self: &Arc<Self>, pool: String, blob: Digest) -> BlobLock {
        let key = (pool, blob);
        let queue = self.queues().entry(key.clone()).or_default().clone();
        // Made before waiting, so that who gives up in queue leaves no queue behind.
        let mut lock = BlobLock { locks: self.clone(), key, guard: None };
        lock.guard = Some(queue.lock_owned().await);
        lock
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<LockKey, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BlobLock {
    fn drop(&mut self) {
        let mut queues = self.locks.queues();
        self.guard.take();
        // Who else holds the queue is in it, or has it; nobody joins while the map is locked.
        if queues.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_left() {
        let locks = Arc::new(BlobLocks::default());
        let digest = Digest::sha256(b"x");
        let first = locks.take("a".to_owned(), digest.clone()).await;
        let mut second = Box::pin(locks.take("a".to_owned(), digest.clone()));
        assert!((&mut second).now_or_never().is_none());
        let elsewhere = locks.take("b".to_owned(), digest.clone()).now_or_never();
        assert!(elsewhere.is_some());
        let mut impatient = Box::pin(locks.take("a".to_owned(), digest.clone()));
        assert!((&mut impatient).now_or_never().is_none());
        drop(impatient);
        drop(first);
        let second = second.await;
        drop((second, elsewhere));
        assert!(locks.queues().is_empty());
    }

    /// Small blobs of many images are on their way at once, large ones are not.
    #[test]
    fn small_blobs_count_as_parts_of_large_ones() {
        for (size, expected) in [
            (None, 16),
            (Some(0), 1),
            (Some(256 << 10), 1),
            (Some((256 << 10) + 1), 2),
            (Some(LARGE - 1), 16),
            (Some(LARGE), 16),
            (Some(u64::MAX), 16),
        ] {
            assert_eq!(parts(size), expected, "{size:?}");
        }
        let limits = Limits { blobs: NonZeroUsize::new(2), ..Limits::default() };
        let run = Arc::new(RunGates::new(&limits));
        let copies: Vec<_> = (0..17).map(|_| Scheduler::new(run.clone(), 6)).collect();
        let large = copies[0].transfer(Some(LARGE)).now_or_never();
        let small: Vec<_> =
            copies[1..].iter().map(|it| it.transfer(Some(10)).now_or_never()).collect();
        assert!(large.is_some() && small.iter().all(Option::is_some));
        assert!(copies[0].transfer(Some(10)).now_or_never().is_none());
        drop(large);
        assert!(copies[0].transfer(Some(LARGE)).now_or_never().is_some());
    }

    /// The limits of a copy are its own, those of a run are shared by all its copies.
    #[test]
    fn each_gate_lets_as_many_through_as_it_says() {
        let one = NonZeroUsize::new(1);
        let limits = Limits { images: one, connections: NonZeroUsize::new(3), blobs: None };
        let run = Arc::new(RunGates::new(&limits));
        let (first, second) = (Scheduler::new(run.clone(), 2), Scheduler::new(run, 2));
        assert!(first.begin().now_or_never().is_some());
        assert!(first.begin().now_or_never().is_some(), "it is one image, however often it begins");
        assert!(second.begin().now_or_never().is_none());
        let questions: Vec<_> = (0..4).map(|_| first.question().now_or_never()).collect();
        assert!(questions.iter().all(Option::is_some));
        assert!(first.question().now_or_never().is_none());
        assert!(second.question().now_or_never().is_some());
        let moving: Vec<_> = (0..2).map(|_| first.transfer(None).now_or_never()).collect();
        assert!(moving.iter().all(Option::is_some));
        assert!(first.transfer(None).now_or_never().is_none());
        let third = second.transfer(None).now_or_never();
        assert!(third.is_some());
        assert!(second.transfer(None).now_or_never().is_none(), "the run has three");
        drop((questions, moving, third));
        drop(first);
        assert!(second.begin().now_or_never().is_some());
    }
}
