//! The places of a file's members: who has which, and what is in those that are whole.
//!
//! A [`Region`] is moved, never shared: whoever has it is the only one who writes there. What was
//! not kept goes back when its owner is gone, be it a thread that lived longer than who began it,
//! and is given to the next who fits in. Nothing here trusts a number: all sums are checked.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skopeo_image::Digest;
use tokio::sync::Notify;

/// Behind the last byte that a member can have: offsets are signed numbers to the system, and the
/// end of the tar takes some more.
pub(super) const LIMIT: u64 = i64::MAX.cast_unsigned() - 4096;

/// All places of a file. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Regions(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    given_back: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Behind the last place that somebody has.
    end: u64,
    /// Behind the last byte that may have been written to a place that was given back.
    touched: u64,
    /// The places before `end` that nobody has: where each begins and ends. No two touch.
    holes: BTreeMap<u64, u64>,
    /// How many have a place that is not whole.
    open: usize,
    members: Vec<Member>,
    /// The sizes of those that have names.
    named: BTreeMap<String, u64>,
    /// The names of those that were begun and are not whole.
    begun: BTreeSet<String>,
}

/// What is whole in its place: one member or, of the small ones, several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// With its header, and what fills its last block.
    pub(super) place: Range<u64>,
    /// The bytes that have the digest.
    pub(super) body: Range<u64>,
    pub(super) digest: Digest,
    /// Whether the place may have been written to before, by somebody else.
    pub(super) again: bool,
}

/// A place in the file that belongs to who has this, and to nobody else.
#[derive(Debug)]
pub(super) struct Region {
    shared: Arc<Shared>,
    range: Range<u64>,
    /// Behind the last byte that was written.
    written: u64,
    again: bool,
}

impl Regions {
    /// A place of `len` bytes; none if no file can be that long.
    pub(super) fn take(&self, len: u64) -> Option<Region> {
        let mut state = self.0.state();
        let range = state.take(len)?;
        Some(self.region(&mut state, range))
    }

    /// All that is behind what others have. Until it is [cut](Region::cut) nobody else gets a place
    /// at the end.
    pub(super) fn take_rest(&self) -> Option<Region> {
        let mut state = self.0.state();
        let range = state.end..LIMIT;
        if range.is_empty() {
            return None;
        }
        state.end = range.end;
        Some(self.region(&mut state, range))
    }

    fn region(&self, state: &mut State, range: Range<u64>) -> Region {
        state.open = state.open.saturating_add(1);
        let again = range.start < state.touched;
        Region { shared: self.0.clone(), written: range.start, range, again }
    }

    /// The size of a member of that name, if there is one that is whole.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.0.state().named.get(name).copied()
    }

    /// Notes that a member of that name is on its way.
    pub(super) fn begin(&self, name: &str) {
        self.0.state().begun.insert(name.to_owned());
    }

    /// Whether some that were begun have not come.
    pub(super) fn misses_any(&self) -> bool {
        !self.0.state().begun.is_empty()
    }

    /// Whether somebody has a place that is not whole.
    pub(super) fn is_open(&self) -> bool {
        self.0.state().open > 0
    }

    /// Waits until nobody has a place that is not whole.
    pub(super) async fn closed(&self) {
        loop {
            let given_back = self.0.given_back.notified();
            if !self.is_open() {
                return;
            }
            given_back.await;
        }
    }

    /// All members in their order, and the end of the last. None if two of them have a byte in
    /// common or one is not where it can be, which would be a fault of this program.
    pub(super) fn members(&self) -> Option<(Vec<Member>, u64)> {
        let state = self.0.state();
        let mut members = state.members.clone();
        members.sort_by_key(|member| member.place.start);
        let mut end = 0;
        for Member { place, body, .. } in &members {
            let is_apart = end <= place.start && place.start <= body.start;
            let is_inside = body.start <= body.end && body.end <= place.end;
            if !(is_apart && is_inside && place.end <= state.end) {
                return None;
            }
            end = place.end;
        }
        Some((members, end))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, len: u64) -> Option<Range<u64>> {
        let hole = self.holes.iter().map(|(start, end)| (*start, *end));
        let fits = |(start, end): &(u64, u64)| end.checked_sub(*start) >= Some(len);
        if let Some((start, end)) = hole.into_iter().find(fits) {
            let taken = start.checked_add(len)?;
            self.holes.remove(&start);
            if taken < end {
                self.holes.insert(taken, end);
            }
            return Some(start..taken);
        }
        let end = self.end.checked_add(len).filter(|end| *end <= LIMIT)?;
        Some(std::mem::replace(&mut self.end, end)..end)
    }

    /// Whether it was taken.
    fn keep(&mut self, name: Option<&str>, member: Member) -> bool {
        if let Some(name) = name {
            self.begun.remove(name);
            let size = member.body.end.saturating_sub(member.body.start);
            match self.named.entry(name.to_owned()) {
                Entry::Occupied(_) => return false,
                Entry::Vacant(entry) => drop(entry.insert(size)),
            }
        }
        self.members.push(member);
        true
    }

    fn give_back(&mut self, mut range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if let Some((start, end)) = self.holes.range(..range.start).next_back()
            && *end == range.start
        {
            range.start = *start;
        }
        if let Some(end) = self.holes.remove(&range.end) {
            range.end = end;
        }
        self.holes.remove(&range.start);
        if range.end == self.end {
            self.end = range.start;
        } else {
            self.holes.insert(range.start, range.end);
        }
    }
}

impl Region {
    pub(super) fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Notes that bytes have been written up to `at`, or are about to be.
    pub(super) fn reaches(&mut self, at: u64) {
        self.written = self.written.max(at);
    }

    /// Gives back what is behind `end`.
    pub(super) fn cut(&mut self, end: u64) {
        let end = end.clamp(self.range.start, self.range.end);
        self.shared.state().give_back(end..self.range.end);
        self.range.end = end;
    }

    /// The place is whole: nobody writes there any more. `name` tells one blob from the others: if
    /// there is one of that name already, this place goes back.
    pub(super) fn keep(mut self, name: Option<&str>, body: Range<u64>, digest: Digest) {
        if self.shared.state().keep(name, self.member(body, digest)) {
            // What goes back now is no place any more.
            self.range = 0..0;
        }
    }

    fn member(&self, body: Range<u64>, digest: Digest) -> Member {
        Member { place: self.range(), body, digest, again: self.again }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.open = state.open.saturating_sub(1);
        if !self.range.is_empty() {
            state.touched = state.touched.max(self.written);
            state.give_back(self.range.clone());
        }
        drop(state);
        self.shared.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(region: Region) {
        let range = region.range();
        region.keep(None, range, Digest::sha256(b""));
    }

    #[test]
    fn no_number_leads_astray() {
        let regions = Regions::default();
        keep(regions.take(512).unwrap());
        for len in [u64::MAX, u64::MAX - 511, u64::MAX - 512, 1 << 63, LIMIT, LIMIT - 511] {
            assert!(regions.take(len).is_none(), "{len}");
        }
        let huge = regions.take(LIMIT - 512).unwrap();
        assert!(regions.take(1).is_none() && regions.take_rest().is_none());
        drop(huge);
        assert_eq!(regions.take(1024).unwrap().range(), 512..1536);
    }

    #[test]
    fn what_is_given_back_is_given_to_others() {
        let regions = Regions::default();
        let [a, b, c, d] = [1000, 2000, 3000, 4000].map(|len| regions.take(len).unwrap());
        keep(a);
        keep(d);
        drop(b);
        // They touch, so that they are one.
        drop(c);
        let e = regions.take(4500).unwrap();
        assert_eq!(e.range(), 1000..5500);
        assert_eq!(regions.take(600).unwrap().range(), 10_000..10_600);
        let f = regions.take(500).unwrap();
        assert_eq!(f.range(), 5500..6000);
        drop(e);
        keep(f);
        assert!(!regions.is_open());
        let (members, end) = regions.members().unwrap();
        let places: Vec<_> = members.into_iter().map(|it| it.place).collect();
        assert_eq!((places, end), (vec![0..1000, 5500..6000, 6000..10_000], 10_000));
    }

    #[test]
    fn what_may_have_been_written_to_is_known() {
        let regions = Regions::default();
        let is_again = |region: &Region| region.again;
        let mut rest = regions.take_rest().unwrap();
        assert!(!is_again(&rest) && regions.take(1).is_none());
        rest.reaches(5000);
        drop(rest);
        let mut first = regions.take_rest().unwrap();
        assert!(is_again(&first));
        first.cut(6000);
        keep(first);
        let next = regions.take(512).unwrap();
        assert!(!is_again(&next));
        drop(next);
        // Nothing was written.
        assert!(!is_again(&regions.take(512).unwrap()));
    }

    #[test]
    fn of_two_of_one_name_one_stays() {
        let regions = Regions::default();
        for _ in 0..2 {
            let region = regions.take(512).unwrap();
            let range = region.range();
            region.keep(Some("a"), range, Digest::sha256(b""));
        }
        assert_eq!(regions.size("a"), Some(512));
        assert!(!regions.is_open());
        assert_eq!(regions.members().unwrap().1, 512);
    }

    /// Whatever is taken and given back in whatever order, no byte belongs to two.
    #[test]
    fn places_are_always_apart() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let regions = Regions::default();
            let mut had: Vec<Region> = Vec::new();
            let mut kept: Vec<Range<u64>> = Vec::new();
            for _ in 0..60 {
                let any = |random: &mut fastrand::Rng, had: &mut Vec<Region>| {
                    (!had.is_empty()).then(|| had.swap_remove(random.usize(..had.len())))
                };
                match random.u8(..10) {
                    0..5 => {
                        let shift = random.u32(..64);
                        let len = (random.u64(..) >> shift).max(1);
                        had.extend(regions.take(len));
                    }
                    5 => had.extend(regions.take_rest()),
                    6 => {
                        if let Some(mut region) = any(&mut random, &mut had) {
                            region.reaches(region.range().end);
                            region.cut(region.range().start.saturating_add(random.u64(..9000)));
                            had.push(region);
                        }
                    }
                    7 => drop(any(&mut random, &mut had)),
                    _ => {
                        if let Some(region) = any(&mut random, &mut had) {
                            kept.push(region.range());
                            keep(region);
                        }
                    }
                }
                let open = had.iter().map(Region::range);
                let mut all: Vec<_> = open.chain(kept.iter().cloned()).collect();
                all.retain(|range| !range.is_empty());
                all.sort_by_key(|range| range.start);
                let apart = all.windows(2).all(|two| two[0].end <= two[1].start);
                assert!(apart && all.iter().all(|it| it.end <= LIMIT), "seed {seed}: {all:?}");
            }
            drop(had);
            assert!(!regions.is_open());
            assert!(regions.members().is_some(), "seed {seed}");
        }
    }
}
