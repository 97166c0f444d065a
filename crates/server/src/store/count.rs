//! Counts the memory that something takes, and makes room by forgetting what nobody has in hand.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use skopeo_image::number::wide;

use crate::memory::Tally;
use crate::refusal::Refusal;

/// How often, and in which pauses, it is looked whether there is room for a large index.
pub(super) const LOOKS: usize = 100;
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// What is kept in memory only as long as there is room.
pub(super) trait Evict: fmt::Debug + Send + Sync {
    /// Forgets one thing. Returns whether there was one.
    fn forget_one(&self) -> bool;
}

/// How much memory something takes that is kept, or made for a request. It is given back with this
/// value.
#[derive(Debug)]
pub(crate) struct Count {
    evict: Arc<dyn Evict>,
    tally: Tally,
}

impl Count {
    /// Counts what takes memory from now on.
    pub(super) fn new(evict: Arc<dyn Evict>, tally: Tally) -> Self {
        Self { evict, tally }
    }

    /// Returns how many bytes are counted.
    pub(super) fn bytes(&self) -> usize {
        self.tally.bytes()
    }

    /// So many bytes more.
    ///
    /// # Errors
    ///
    /// If there are not so many, after all has been forgotten that nobody has in hand.
    pub(crate) fn add(&mut self, bytes: usize) -> io::Result<()> {
        while !self.tally.add(bytes) {
            if !self.evict.forget_one() {
                let (bytes, most) = (self.tally.bytes().saturating_add(bytes), self.tally.most());
                let refusal =
                    if bytes > most { Refusal::Memory(wide(most)) } else { Refusal::Busy };
                return Err(refusal.into());
            }
        }
        Ok(())
    }

    /// So many bytes more, or most of what there can be if that is less, as soon as there is room.
    pub(super) fn wait_for(&mut self, bytes: usize) -> io::Result<()> {
        let most = self.tally.most();
        let wanted = bytes.min(most.saturating_sub(most / 4));
        let mut looks = 0_usize;
        loop {
            match self.add(wanted) {
                Err(_) if looks < LOOKS => {
                    looks = looks.saturating_add(1);
                    std::thread::sleep(PAUSE);
                }
                added => return added,
            }
        }
    }

    /// So many bytes less.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.tally.give_back(bytes);
    }
}
