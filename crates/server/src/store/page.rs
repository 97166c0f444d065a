//! A part of a sorted list that need not be in memory as a whole.

use std::collections::BTreeSet;
use std::io;

use super::count::Count;

/// What an item takes beside its text, in bytes: on its own, and as a part of an answer.
const ITEM: usize = 80;

/// The first items of a list behind one of them.
#[derive(Debug)]
pub(crate) struct Page {
    last: String,
    most: usize,
    items: BTreeSet<Box<str>>,
    more: bool,
    counted: Count,
}

impl Page {
    /// The first `most` items behind `last`, none of which is known yet.
    pub(crate) fn new(last: String, most: usize, counted: Count) -> Self {
        Self { last, most, items: BTreeSet::new(), more: false, counted }
    }

    /// Takes an item that may be on the page. `false` if nothing that is sorted behind it can be.
    ///
    /// # Errors
    ///
    /// If there is no memory for it.
    pub(crate) fn add(&mut self, item: &str) -> io::Result<bool> {
        if item <= self.last.as_str() || self.items.contains(item) {
            return Ok(true);
        }
        if self.items.len() >= self.most {
            if self.items.last().is_none_or(|largest| item > &**largest) {
                self.more = true;
                return Ok(false);
            }
            let gone = self.items.pop_last().map_or(0, |gone| gone.len());
            self.counted.give_back(size(gone));
            self.more = true;
        }
        self.counted.add(size(item.len()))?;
        self.items.insert(item.into());
        Ok(true)
    }

    /// What has been found, in its order.
    pub(crate) fn items(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|item| &**item)
    }

    /// The last of it, if there is more behind it.
    pub(crate) fn next(&self) -> Option<&str> {
        self.items.last().filter(|_| self.more).map(|item| &**item)
    }

    /// What it takes of the memory: to be kept until the answer is counted.
    pub(crate) fn into_count(self) -> Count {
        self.counted
    }
}

/// What an item takes, in bytes, with its copy in the answer, which may have room for twice as
/// much.
fn size(text: usize) -> usize {
    text.saturating_mul(3).saturating_add(ITEM)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::kept::Kept;
    use super::*;
    use crate::memory::Memory;

    #[test]
    fn has_the_first_items_whatever_their_order() {
        let kept = Arc::new(Kept::new(Memory::new(0)));
        for (most, last, expected, next) in [
            (2, "", vec!["a", "b"], Some("b")),
            (2, "b", vec!["c", "d"], None),
            (3, "a", vec!["b", "c", "d"], None),
            (0, "", vec![], None),
            (usize::MAX, "", vec!["a", "b", "c", "d"], None),
            (1, "x", vec![], None),
        ] {
            let mut page = Page::new(last.into(), most, kept.count());
            for item in ["c", "a", "d", "b", "a"] {
                page.add(item).unwrap();
            }
            assert_eq!(page.items().collect::<Vec<_>>(), expected, "{most} after {last:?}");
            assert_eq!(page.next(), next, "{most} after {last:?}");
        }
    }
}
