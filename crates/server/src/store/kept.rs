//! What is kept in memory of layouts: their indexes, and what was made of these.
//!
//! How much that is, whoever wrote the folder has chosen, and any client that may push. So all of it
//! is counted, out of a share of the memory for clients. What nobody has in hand makes room for
//! what is wanted now; if that is not enough, the request is refused, and says so.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use skopeo_image::number::wide;

use super::index::Index;
use super::layout::{Stamp, guard};
use super::names::Names;
use super::reach::Reach;
use super::room::Refusal;
use crate::memory::{Memory, Tally};

/// An index of more bytes is read when it is its turn: several at once would have no room together
/// that each of them has.
const LARGE: usize = 64 * 1024;

/// About how many bytes an index takes for each byte of its text, with all that is made of it.
/// Computed from what is counted for descriptors of 230 bytes: 4.2.
const FACTOR: usize = 5;

/// How often, and in which pauses, it is looked whether there is room for a large index.
const LOOKS: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// What is kept of all layouts of a store.
#[derive(Debug)]
pub(crate) struct Kept {
    memory: Memory,
    layouts: Mutex<Layouts>,
    /// Whose turn it is to read a large index.
    turn: Mutex<()>,
    /// Held by who makes something large.
    apart: Mutex<()>,
    /// Held by who parses a large manifest, perhaps while something is made of an index.
    parsing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Layouts {
    /// By the number of the layout.
    kept: HashMap<u64, OfLayout>,
    /// Counts uses, so that it can be told what was used last.
    clock: u64,
}

#[derive(Debug)]
struct OfLayout {
    used: u64,
    stamp: Stamp,
    index: Arc<Index>,
    names: Option<Arc<Names>>,
    reach: Option<Arc<Reach>>,
}

impl Kept {
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            memory,
            layouts: Mutex::default(),
            turn: Mutex::default(),
            apart: Mutex::default(),
            parsing: Mutex::default(),
        }
    }

    /// Waits until it is the turn of an index whose text has so many bytes, and there is room for
    /// it, if there can be. It is the turn of others when the value is dropped.
    pub(super) fn turn(&self, size: usize) -> Option<MutexGuard<'_, ()>> {
        if size <= LARGE {
            return None;
        }
        let turn = guard(&self.turn);
        let wanted = size.saturating_mul(FACTOR);
        let mut looks = 0_usize;
        while looks < LOOKS && !self.memory.has_for_indexes(wanted) {
            if !self.forget_one() {
                looks = looks.saturating_add(1);
                std::thread::sleep(PAUSE);
            }
        }
        Some(turn)
    }

    /// Makes what is large out of an index of so many bytes, on a thread of its own, one after the
    /// other. What is freed stays with the allocator of the thread that took it: the many threads
    /// that answer requests would all have their share of the largest index.
    pub(super) fn apart<T: Send>(
        &self,
        size: usize,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        if size <= LARGE {
            return work();
        }
        let _one = guard(&self.apart);
        on_a_thread(work)?
    }

    /// Parses a manifest of so many bytes: large ones one after the other, on a thread of its own,
    /// for the same reason.
    pub(crate) fn in_turn<T: Send>(
        &self,
        size: usize,
        parse: impl FnOnce() -> T + Send,
    ) -> io::Result<T> {
        if size <= LARGE {
            return Ok(parse());
        }
        let _one = guard(&self.parsing);
        on_a_thread(parse)
    }

    /// The index of a layout, if its file is as it was.
    pub(super) fn index(&self, layout: u64, stamp: Stamp) -> Option<Arc<Index>> {
        let mut layouts = guard(&self.layouts);
        layouts.clock = layouts.clock.saturating_add(1);
        let clock = layouts.clock;
        let kept = layouts.kept.get_mut(&layout).filter(|kept| kept.stamp == stamp)?;
        kept.used = clock;
        Some(kept.index.clone())
    }

    /// Keeps an index in place of what was kept of the layout before.
    pub(super) fn keep_index(&self, layout: u64, stamp: Stamp, index: Arc<Index>) {
        let mut layouts = guard(&self.layouts);
        layouts.clock = layouts.clock.saturating_add(1);
        let used = layouts.clock;
        layouts.kept.insert(layout, OfLayout { used, stamp, index, names: None, reach: None });
    }

    /// What was made of this index.
    pub(super) fn names(&self, layout: u64, of: &Arc<Index>) -> Option<Arc<Names>> {
        self.with(layout, of, |kept| kept.names.clone())
    }

    /// Keeps what was made of an index for as long as that is kept.
    pub(super) fn keep_names(&self, layout: u64, of: &Arc<Index>, names: &Arc<Names>) {
        self.with(layout, of, |kept| kept.names.replace(names.clone()));
    }

    /// What was made of this index.
    pub(super) fn reach(&self, layout: u64, of: &Arc<Index>) -> Option<Arc<Reach>> {
        self.with(layout, of, |kept| kept.reach.clone())
    }

    /// Keeps what was made of an index for as long as that is kept.
    pub(super) fn keep_reach(&self, layout: u64, of: &Arc<Index>, reach: &Arc<Reach>) {
        self.with(layout, of, |kept| kept.reach.replace(reach.clone()));
    }

    fn with<T>(
        &self,
        layout: u64,
        of: &Arc<Index>,
        work: impl FnOnce(&mut OfLayout) -> Option<T>,
    ) -> Option<T> {
        let mut layouts = guard(&self.layouts);
        layouts.kept.get_mut(&layout).filter(|kept| Arc::ptr_eq(&kept.index, of)).and_then(work)
    }

    /// Forgets all of a layout.
    pub(super) fn forget(&self, layout: u64) {
        guard(&self.layouts).kept.remove(&layout);
    }

    /// Counts what takes memory from now on.
    pub(crate) fn count(self: &Arc<Self>) -> Count {
        Count { kept: self.clone(), tally: self.memory.tally() }
    }

    /// Forgets what was not used for the longest time. Whether there was something.
    fn forget_one(&self) -> bool {
        let forgotten = {
            let mut layouts = guard(&self.layouts);
            let oldest = layouts.kept.iter().min_by_key(|(_, kept)| kept.used);
            let oldest = oldest.map(|(layout, _)| *layout);
            oldest.and_then(|layout| layouts.kept.remove(&layout))
        };
        forgotten.is_some()
    }
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, work)?;
        thread.join().map_err(|_| io::Error::other("a thread broke off its work"))
    })
}

/// How much memory something takes that is kept, or made for a request. It is given back with this
/// value.
#[derive(Debug)]
pub(crate) struct Count {
    kept: Arc<Kept>,
    tally: Tally,
}

impl Count {
    /// So many bytes more.
    ///
    /// # Errors
    ///
    /// If there are not so many, after all has been forgotten that nobody has in hand.
    pub(crate) fn add(&mut self, bytes: usize) -> io::Result<()> {
        while !self.tally.add(bytes) {
            if !self.kept.forget_one() {
                let (bytes, most) = (self.tally.bytes().saturating_add(bytes), self.tally.most());
                let refusal =
                    if bytes > most { Refusal::Memory(wide(most)) } else { Refusal::Busy };
                return Err(refusal.into());
            }
        }
        Ok(())
    }

    /// So many bytes less.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.tally.give_back(bytes);
    }
}
