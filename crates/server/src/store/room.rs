//! How much room is left: what is stored is counted once at the start, and from then on as it
//! comes and goes.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::StorageLimits;
use super::kept::Kept;
use super::known::Known;
use crate::memory::Memory;
use crate::refusal::Refusal;

/// The room that blobs and uploads have, and that in memory for what is known of manifests.
#[derive(Debug)]
pub(crate) struct Room {
    max_blob: Option<u64>,
    max_storage: Option<u64>,
    count: Mutex<Count>,
    /// What is remembered of manifests.
    pub(super) known: Mutex<Known>,
    /// What is kept of layouts.
    pub(super) kept: Arc<Kept>,
    /// Told when something was refused: others may have removed something meanwhile.
    pub(crate) full: Notify,
}

#[derive(Debug, Default)]
struct Count {
    used: u64,
    /// What has come since a measurement began that is not finished.
    since: u64,
}

impl Room {
    /// Nothing is stored yet.
    pub(crate) fn new(limits: &StorageLimits, memory: &Memory) -> Self {
        let StorageLimits { max_blob, max_storage, .. } = *limits;
        let known = Mutex::new(Known::new(memory.known()));
        let kept = Arc::new(Kept::new(memory.clone()));
        Self { max_blob, max_storage, count: Mutex::default(), known, kept, full: Notify::new() }
    }

    /// Whether somebody has to count.
    pub(crate) fn is_limited(&self) -> bool {
        self.max_storage.is_some()
    }

    /// Whether a blob may have this size, in bytes.
    pub(crate) fn admits_blob(&self, size: u64) -> io::Result<()> {
        match self.max_blob {
            Some(most) if size > most => Err(Refusal::Blob(most).into()),
            _ => Ok(()),
        }
    }

    /// Whether so many bytes more could be taken now.
    pub(crate) fn admits(&self, bytes: u64) -> io::Result<()> {
        self.change(bytes, |_| {})
    }

    /// Takes room for so many bytes, or none.
    pub(crate) fn take(&self, bytes: u64) -> io::Result<()> {
        self.change(bytes, |count| {
            count.used = count.used.saturating_add(bytes);
            count.since = count.since.saturating_add(bytes);
        })
    }

    fn change(&self, bytes: u64, change: impl FnOnce(&mut Count)) -> io::Result<()> {
        let Some(most) = self.max_storage else { return Ok(()) };
        let mut count = self.lock();
        if count.used.saturating_add(bytes) > most {
            drop(count);
            self.full.notify_one();
            return Err(Refusal::Storage(most).into());
        }
        change(&mut count);
        Ok(())
    }

    /// Gives room back.
    pub(crate) fn give_back(&self, bytes: u64) {
        if self.is_limited() {
            let mut count = self.lock();
            count.used = count.used.saturating_sub(bytes);
        }
    }

    /// Counts anew: what `measure` finds, and what came while it looked, which it may have seen or
    /// not. Whether nothing came.
    pub(crate) fn measure(&self, measure: impl FnOnce() -> io::Result<u64>) -> io::Result<bool> {
        if !self.is_limited() {
            return Ok(true);
        }
        self.lock().since = 0;
        let found = measure()?;
        let mut count = self.lock();
        count.used = found.saturating_add(count.since);
        Ok(count.since == 0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(max_blob: Option<u64>, max_storage: Option<u64>) -> Room {
        let limits = StorageLimits { max_blob, max_storage, ..StorageLimits::default() };
        Room::new(&limits, &Memory::default())
    }

    #[test]
    fn takes_no_more_than_there_is() {
        let room = room(None, Some(10));
        room.take(6).unwrap();
        assert!(room.admits(4).is_ok() && room.admits(5).is_err());
        let refused = room.take(5).unwrap_err();
        assert!(matches!(Refusal::of(&refused), Some(Refusal::Storage(10))));
        room.take(4).unwrap();
        room.give_back(6);
        assert!(room.take(u64::MAX).is_err());
        room.take(6).unwrap();
        assert!(room.take(1).is_err());
    }

    #[test]
    fn what_comes_while_it_is_measured_counts() {
        let room = room(None, Some(10));
        let is_exact = room.measure(|| {
            room.take(3).unwrap();
            Ok(5)
        });
        assert!(!is_exact.unwrap());
        assert!(room.admits(2).is_ok() && room.admits(3).is_err());
    }

    #[test]
    fn a_blob_may_be_too_large() {
        let room = room(Some(3), None);
        assert!(room.admits_blob(3).is_ok() && room.admits_blob(4).is_err());
    }

    #[test]
    fn without_limits_everything_is_taken() {
        let room = room(None, None);
        room.take(u64::MAX).unwrap();
        room.take(u64::MAX).unwrap();
        room.admits_blob(u64::MAX).unwrap();
    }
}
