//! Which paths a layer had so far.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::path::split;

/// What is known of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// An entry had it, without contents that are in a file.
    Empty,
    /// An entry had it, with contents.
    Full,
    /// It is on the way to an entry's path.
    Above,
}

/// The paths of a layer, as hashes: a million of them is 20 MB, however long they are. Two paths of
/// one hash would be taken for one; nobody who makes a layer knows the keys.
#[derive(Default)]
pub(super) struct SeenPaths {
    keys: RandomState,
    /// The last two bits say what is known.
    hashes: HashSet<u64>,
}

impl SeenPaths {
    /// What is known of a path.
    pub(super) fn get(&self, path: &[u8]) -> Option<State> {
        [State::Empty, State::Full, State::Above]
            .into_iter()
            .find(|state| self.hashes.contains(&self.hash(path, *state)))
    }

    /// Notes an entry's path, and says what was known of it.
    pub(super) fn note(&mut self, path: &[u8], state: State) -> Option<State> {
        let known = self.get(path);
        if let Some(known) = known {
            self.hashes.remove(&self.hash(path, known));
        }
        self.hashes.insert(self.hash(path, state));
        known
    }

    /// Notes the folders on the way to a path.
    pub(super) fn note_above(&mut self, path: &[u8]) {
        let mut folder = split(path).0;
        while !folder.is_empty() && self.get(folder).is_none() {
            self.hashes.insert(self.hash(folder, State::Above));
            folder = split(folder).0;
        }
    }

    fn hash(&self, path: &[u8], state: State) -> u64 {
        let bits = match state {
            State::Empty => 0,
            State::Full => 1,
            State::Above => 2,
        };
        self.keys.hash_one(path) & !3 | bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_known_and_those_above() {
        let mut seen = SeenPaths::default();
        seen.note_above(b"a/b/c");
        assert_eq!(seen.note(b"a/b/c", State::Full), None);
        assert_eq!((seen.get(b"a"), seen.get(b"a/b")), (Some(State::Above), Some(State::Above)));
        assert_eq!(seen.note(b"a", State::Empty), Some(State::Above));
        assert_eq!(seen.note(b"a", State::Empty), Some(State::Empty));
        assert_eq!(seen.note(b"a/b/c", State::Empty), Some(State::Full));
        assert_eq!((seen.get(b"a/c"), seen.get(b"")), (None, None));
    }
}
