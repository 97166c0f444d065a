//! The memory that clients can make the server use, divided beforehand.
//!
//! | share | what for |
//! |---|---|
//! | 1/2 | connections: what TLS, heads and the least windows take, 128 KiB each |
//! | 3/16 | indexes of layouts, what is made of them, and lists while they are made |
//! | 1/8 | pieces of answers on their way to clients, and lists of referrers from when they are made |
//! | 1/16 | windows of HTTP/2, for the pieces of bodies that nobody has asked for yet |
//! | 1/16 | pieces of uploads that wait for the disk |
//! | 1/16 | manifests that are being received |
//!
//! Whoever comes first gets large pieces and windows; the less is left, the smaller they are. What
//! is left last is small and enough for everybody. Who takes something and does not go on gives it
//! back when others wait for it: the listener cuts those that move least.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The unit in which memory is given out, in bytes.
const UNIT: usize = 1024;

/// What one connection may take without asking, in bytes.
const CONNECTION: usize = 128 * 1024;

/// What an upload may take for pieces that wait for the disk, in bytes.
const RECEIVER: usize = 256 * 1024;

/// The least memory that a server can do with, in bytes.
const LEAST: usize = 16 * 1024 * 1024;

/// The sizes of pieces of answers, in bytes: while plenty is left, while some is, at the end.
const PIECES: [usize; 3] = [256 * 1024, 64 * 1024, SMALL_PIECE];
const SMALL_PIECE: usize = 16 * 1024;

/// The sizes of HTTP/2's windows for a connection, in bytes, by how much is left. The last is the
/// least that the protocol has, and part of what a connection takes anyway.
const WINDOWS: [usize; 4] = [4 << 20, 1 << 20, 256 << 10, 64 << 10];

/// How much is remembered of what manifests say at most, in bytes.
const MOST_KNOWN: usize = 8 << 20;

/// How many wait for room of one kind.
const MOST_WAITING: usize = 16;

/// What memory is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Pieces of answers.
    Answer,
    /// Manifests that are received.
    Manifest,
    /// Uploads that are received.
    Upload,
}

/// How much memory clients can make the server use. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Shares>);

#[derive(Debug)]
struct Shares {
    bytes: usize,
    answers: Pool,
    windows: Pool,
    receivers: Pool,
    manifests: Pool,
    indexes: Pool,
    /// What is remembered of manifests, in bytes.
    known: usize,
}

/// A share, and how many wait for a part of it.
#[derive(Debug)]
struct Pool {
    free: Arc<Semaphore>,
    size: usize,
    waiting: AtomicUsize,
}

/// A part of the memory; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Part(OwnedSemaphorePermit);

impl Part {
    /// Gives back what so many bytes do not need.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let rest = self.0.num_permits().saturating_sub(bytes.div_ceil(UNIT));
        drop(self.0.split(rest));
    }
}

/// Room for one piece of an answer.
#[derive(Debug)]
pub(crate) struct Room {
    part: Option<Part>,
    /// The piece's size, in bytes.
    pub(crate) size: usize,
    /// Whether memory is scarce: the piece before should be taken before there is another.
    pub(crate) scarce: bool,
}

/// The windows of one HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Windows {
    /// Of all streams together, in bytes.
    pub(crate) connection: u32,
    /// Of each stream, in bytes. One that is not read leaves room for others.
    pub(crate) stream: u32,
    _part: Option<Part>,
}

impl Room {
    /// Where nobody counts.
    pub(crate) fn uncounted(size: usize) -> Self {
        Self { part: None, size, scarce: false }
    }

    /// What is given back when the piece is gone.
    pub(crate) fn into_part(self) -> Option<Part> {
        self.part
    }
}

impl Memory {
    /// Returns a budget of so many bytes, at least 16 MiB.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).max(LEAST);
        let known = (bytes / 48).min(MOST_KNOWN);
        Self(Arc::new(Shares {
            bytes,
            answers: Pool::new(bytes / 8 / UNIT),
            windows: Pool::new(bytes / 16 / UNIT),
            receivers: Pool::new(bytes / 16 / RECEIVER),
            manifests: Pool::new(bytes / 16 / UNIT),
            indexes: Pool::new((bytes / 16).saturating_mul(3).saturating_sub(known) / UNIT),
            known,
        }))
    }

    /// Returns how much it is, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// How many connections its share for them is enough for.
    pub(crate) fn connections(&self) -> usize {
        self.0.bytes / 2 / CONNECTION
    }

    /// How much may be remembered of manifests, in bytes.
    pub(crate) fn known(&self) -> usize {
        self.0.known
    }

    /// Whether so many bytes of the share for indexes are left, or most of it: who asks may have
    /// some.
    pub(crate) fn has_for_indexes(&self, bytes: usize) -> bool {
        let pool = &self.0.indexes;
        pool.free.available_permits()
            >= bytes.div_ceil(UNIT).min(pool.size.saturating_sub(pool.size / 4))
    }

    /// Nothing of the share for indexes yet.
    pub(crate) fn tally(&self) -> Tally {
        Tally { memory: self.clone(), part: None, bytes: 0 }
    }

    /// How many wait for memory of this kind.
    pub(crate) fn waiting(&self, kind: Use) -> usize {
        self.pool(kind).waiting.load(Ordering::Relaxed)
    }

    /// Room for a piece of an answer of at most so many bytes; none if there is none at the moment.
    pub(crate) fn piece(&self, most: usize) -> Option<Room> {
        let pool = &self.0.answers;
        let fitting = pool.fitting(&PIECES, pool.size / 2);
        let size = fitting.min(most.max(1));
        Some(Room { part: Some(pool.part(size)?), size, scarce: fitting == SMALL_PIECE })
    }

    /// Waits for room for a small piece of an answer.
    pub(crate) async fn small_piece(self) -> Room {
        let part = self.0.answers.wait(SMALL_PIECE.div_ceil(UNIT)).await;
        Room { part, size: SMALL_PIECE, scarce: true }
    }

    /// Room for so many bytes, or all there is of this kind if that is less.
    ///
    /// None if there was none in `patience`, or if too many are waiting for it.
    pub(crate) async fn room(&self, kind: Use, bytes: usize, patience: Duration) -> Option<Part> {
        let pool = self.pool(kind);
        let units = if kind == Use::Upload { 1 } else { bytes.div_ceil(UNIT) };
        // Who waits for a place to write has little; others have what they want to have counted.
        if kind != Use::Upload && self.waiting(kind) >= MOST_WAITING {
            return None;
        }
        timeout(patience, pool.wait(units.min(pool.size))).await.ok().flatten()
    }

    /// The windows of a new HTTP/2 connection.
    pub(crate) fn windows(&self) -> Windows {
        let pool = &self.0.windows;
        let [.., least] = WINDOWS;
        let wanted = pool.fitting(&WINDOWS, 0);
        let part = (wanted > least).then(|| pool.part(wanted)).flatten();
        let connection = if part.is_some() { wanted } else { least };
        let connection = u32::try_from(connection).unwrap_or(u32::MAX);
        Windows { connection, stream: connection / 4, _part: part }
    }

    fn pool(&self, kind: Use) -> &Pool {
        match kind {
            Use::Answer => &self.0.answers,
            Use::Manifest => &self.0.manifests,
            Use::Upload => &self.0.receivers,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(256 << 20)
    }
}

/// A part of the share for indexes that grows with what it stands for. Nobody waits for it.
#[derive(Debug)]
pub(crate) struct Tally {
    memory: Memory,
    part: Option<Part>,
    bytes: usize,
}

impl Tally {
    /// So many bytes more; `false` if there are not so many.
    pub(crate) fn add(&mut self, bytes: usize) -> bool {
        let wanted = self.bytes.saturating_add(bytes);
        let had = self.part.as_ref().map_or(0, |part| part.0.num_permits());
        let missing = wanted.div_ceil(UNIT).saturating_sub(had);
        if missing > 0 {
            let more = self.memory.0.indexes.part(missing.saturating_mul(UNIT));
            match (&mut self.part, more) {
                (_, None) => return false,
                (Some(part), Some(more)) => part.0.merge(more.0),
                (part, more) => *part = more,
            }
        }
        self.bytes = wanted;
        true
    }

    /// So many bytes less.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(part) = &mut self.part {
            part.shrink(self.bytes);
        }
    }

    /// How many bytes it is.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes the share has.
    pub(crate) fn most(&self) -> usize {
        self.memory.0.indexes.size.saturating_mul(UNIT)
    }
}

impl Pool {
    fn new(size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(size)), size, waiting: AtomicUsize::new(0) }
    }

    /// The largest of these sizes, in bytes, of which what is left is many. Of what is not `kept`
    /// for the last, half is for the first, a quarter for the second, and so on.
    fn fitting(&self, sizes: &[usize], kept: usize) -> usize {
        let free = self.free.available_permits();
        let Some((smallest, larger)) = sizes.split_last() else { return 0 };
        let mut above = self.size.saturating_sub(kept);
        for size in larger {
            above /= 2;
            if free > kept.saturating_add(above) && size / UNIT <= free / 2 {
                return *size;
            }
        }
        *smallest
    }

    fn part(&self, bytes: usize) -> Option<Part> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        self.free.clone().try_acquire_many_owned(units).ok().map(Part)
    }

    async fn wait(&self, units: usize) -> Option<Part> {
        let units = u32::try_from(units).ok()?;
        if let Ok(permit) = self.free.clone().try_acquire_many_owned(units) {
            return Some(Part(permit));
        }
        let _waiting = Waiting::of(&self.waiting);
        self.free.clone().acquire_many_owned(units).await.ok().map(Part)
    }
}

/// Counts for as long as it is there.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    pub(crate) fn of(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_is_left_the_smaller_are_the_pieces() {
        let memory = Memory::new(256 << 20);
        let (mut held, mut sizes, mut total) = (Vec::new(), Vec::new(), 0);
        while let Some(room) = memory.piece(usize::MAX) {
            sizes.push(room.size);
            total += room.size;
            held.push(room);
        }
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        assert_eq!(total, 32 << 20);
        // Enough of the smallest for as many clients as there may be.
        let smallest = held.iter().filter(|room| room.scarce).count();
        assert!(smallest >= memory.connections(), "{smallest}");
        drop(held);
        assert_eq!(memory.piece(usize::MAX).unwrap().size, PIECES[0]);
    }

    #[test]
    fn windows_shrink_to_what_every_connection_has() {
        let memory = Memory::new(256 << 20);
        let windows: Vec<_> = (0..2000).map(|_| memory.windows()).collect();
        let sizes: Vec<_> = windows.iter().map(|windows| windows.connection as usize).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b));
        assert_eq!((sizes[0], sizes[1999]), (WINDOWS[0], WINDOWS[3]));
        let beyond: usize = sizes.iter().filter(|size| **size > WINDOWS[3]).sum();
        assert!(beyond <= 16 << 20, "{beyond}");
        assert!(windows.iter().all(|windows| windows.stream * 4 == windows.connection));
    }

    #[test]
    fn little_memory_is_divided_too() {
        let memory = Memory::new(1);
        assert_eq!(memory.bytes(), LEAST);
        assert_eq!(memory.connections(), 64);
        assert!(memory.piece(usize::MAX).is_some());
        assert_eq!(memory.windows().connection as usize, WINDOWS[2]);
    }

    #[test]
    fn what_is_counted_grows_and_shrinks() {
        let memory = Memory::new(1);
        let (mut one, mut two) = (memory.tally(), memory.tally());
        let most = one.most();
        assert!(one.add(10) && one.add(most - 10 - UNIT) && !one.add(UNIT + 1));
        assert!(two.add(UNIT) && !two.add(1));
        one.give_back(most / 2);
        assert!(two.add(most / 2 - UNIT));
        drop(two);
        assert!(one.add(most / 2) && one.bytes() == most - UNIT);
        drop(one);
        assert!(memory.tally().add(most));
    }

    #[test]
    fn who_waits_is_counted() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let memory = Memory::new(16 << 20);
            let all = memory.room(Use::Manifest, usize::MAX, Duration::ZERO).await.unwrap();
            let waiter = tokio::spawn({
                let memory = memory.clone();
                async move { memory.room(Use::Manifest, 1, Duration::from_secs(60)).await.is_some() }
            });
            while memory.waiting(Use::Manifest) == 0 {
                tokio::task::yield_now().await;
            }
            assert!(memory.room(Use::Manifest, 1, Duration::from_millis(1)).await.is_none());
            drop(all);
            assert!(waiter.await.unwrap());
            assert_eq!(memory.waiting(Use::Manifest), 0);
        });
    }
}
