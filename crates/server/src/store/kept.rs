//! What is kept in memory of layouts: their indexes, and what was made of these.
//!
//! How much that is, whoever wrote the folder has chosen, and any client that may push. So all of
//! it is counted, out of a share of the memory for clients. What nobody has in hand makes room for
//! what is wanted now; if that is not enough, the request is refused, and says so.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::count::{Count, Evict, LOOKS, PAUSE};
use super::index::Index;
use super::known::CountedManifest;
use super::names::Names;
use super::parsed_manifest::ParsedManifest;
use super::reach::Reach;
use super::stamp::{Mark, guard};
use crate::memory::Memory;

/// An index of more bytes is read when it is its turn: several at once would have no room together
/// that each of them has.
const LARGE: usize = 64 * 1024;

/// About how many bytes an index takes for each byte of its text, with all that is made of it.
/// Measured by `a_large_index_takes_what_is_counted` with 180,000 descriptors of 212 bytes, as what
/// the process had at most: 3.6 for the tags, 4.2 with all manifests found.
const FACTOR: usize = 5;

/// How many bytes what a manifest says takes at most for each byte of its text.
const PARSED: usize = 2;

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
    mark: Mark,
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

    /// Reads what a manifest of so many bytes says. Room for a large one is waited for, and taken
    /// for as long as somebody has it in hand: there may be many readers.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or there is no room.
    pub(super) fn counted(
        self: &Arc<Self>,
        size: usize,
        read: impl FnOnce() -> io::Result<Option<ParsedManifest>> + Send,
    ) -> io::Result<Option<CountedManifest>> {
        let mut counted = (size > LARGE).then(|| self.count());
        if let Some(counted) = &mut counted {
            counted.wait_for(size.saturating_mul(PARSED))?;
        }
        let Some(parsed) = self.in_turn(size, read)?? else { return Ok(None) };
        if let Some(counted) = &mut counted {
            counted.give_back(counted.bytes().saturating_sub(parsed.size()));
        }
        Ok(Some(CountedManifest::new(parsed, counted)))
    }

    /// The index of a layout, if its file is as it was.
    pub(super) fn index(&self, layout: u64, mark: &Mark) -> Option<Arc<Index>> {
        let mut layouts = guard(&self.layouts);
        layouts.clock = layouts.clock.saturating_add(1);
        let clock = layouts.clock;
        let kept = layouts.kept.get_mut(&layout).filter(|kept| kept.mark == *mark)?;
        kept.used = clock;
        Some(kept.index.clone())
    }

    /// The index of a layout as it was last, and by what it is known.
    pub(super) fn latest(&self, layout: u64) -> Option<(Mark, Arc<Index>)> {
        let mut layouts = guard(&self.layouts);
        layouts.clock = layouts.clock.saturating_add(1);
        let clock = layouts.clock;
        let kept = layouts.kept.get_mut(&layout)?;
        kept.used = clock;
        Some((kept.mark.clone(), kept.index.clone()))
    }

    /// Keeps an index in place of what was kept of the layout before.
    pub(super) fn keep_index(&self, layout: u64, mark: Mark, index: Arc<Index>) {
        let mut layouts = guard(&self.layouts);
        layouts.clock = layouts.clock.saturating_add(1);
        let used = layouts.clock;
        layouts.kept.insert(layout, OfLayout { used, mark, index, names: None, reach: None });
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
        Count::new(self.clone(), self.memory.tally())
    }
}

impl Evict for Kept {
    /// Forgets what was not used for the longest time.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a list of so many instances says.
    fn read(instances: usize) -> (usize, ParsedManifest) {
        let one = |number| format!(r#"{{"digest":"sha256:{number:064x}"}}"#);
        let all: Vec<String> = (0..instances).map(one).collect();
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, all.join(","));
        (text.len(), ParsedManifest::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn what_is_large_counts_until_nobody_has_it() {
        // The least there is, of which a large list takes more than most.
        let kept = Arc::new(Kept::new(Memory::new(0)));
        let free = || kept.memory.has_for_indexes(usize::MAX);
        let said = |instances| {
            let (size, parsed) = read(instances);
            kept.counted(size, || Ok(Some(parsed)))
        };
        let large = said(40_000).unwrap().unwrap();
        assert!(!free());
        assert_eq!(large.children.len(), 40_000);
        // Another has no room as long as that lasts; what is small needs none.
        assert!(said(40_000).is_err());
        assert!(said(100).unwrap().is_some());
        drop(large);
        assert!(free());
        let again = said(40_000).unwrap();
        assert!(again.is_some() && !free());
        drop(again);
        // What cannot be read takes nothing.
        assert!(kept.counted(1 << 20, || Ok(None)).unwrap().is_none());
        assert!(kept.counted(1 << 20, || Err(io::ErrorKind::NotFound.into())).is_err());
        assert!(free());
    }
}
