//! Which bytes of a sparse file are in the tar (GNU tar's manual, "Storing Sparse Files").

use crate::header::{Block, Format, number};
use crate::pax::{Sparse, decimal};

/// How many bytes a map may have, as for other extensions.
const LONGEST: usize = 1 << 20;

/// A piece of the file that is in the tar; what is between them is zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// Where the map of a sparse file is.
#[derive(Debug, PartialEq, Eq)]
pub enum Map {
    /// It is no sparse file, or not one of a form that is known.
    None,
    /// In the records of the extended header.
    Here(Vec<Piece>),
    /// Before the contents.
    Ahead,
}

impl Sparse {
    /// Returns where the map is; `None` if the records are malformed.
    #[must_use]
    pub fn map(&self) -> Option<Map> {
        match (&*self.major, &*self.minor) {
            (b"1", b"0") => return Some(Map::Ahead),
            (b"0", b"0" | b"1") => {}
            (b"", b"") if !self.map.is_empty() => {}
            _ => return Some(Map::None),
        }
        let count = usize::try_from(decimal(&self.count)?).ok()?;
        let mut numbers = self.map.split(|byte| *byte == b',');
        if self.map.is_empty() {
            numbers.next();
        }
        let mut pieces = Vec::new();
        while let Some(offset) = numbers.next() {
            pieces.push(piece(decimal(offset)?, decimal(numbers.next()?)?)?);
        }
        (pieces.len() == count).then_some(Map::Here(pieces))
    }

    /// Returns the length of the file, if the records say it; `None` if they are malformed.
    #[must_use]
    pub fn length(&self) -> Option<Option<i64>> {
        let size = if self.size.is_empty() { &self.real_size } else { &self.size };
        if size.is_empty() { Some(None) } else { decimal(size).map(Some) }
    }
}

/// The map of GNU tar's old format: it begins in the header, and may go on in blocks behind it.
#[derive(Debug, Default)]
pub struct OldMap {
    /// What has been read of it.
    pub pieces: Vec<Piece>,
    read: usize,
}

impl OldMap {
    /// Returns the length of the file, and whether another block follows. `None` if the header is
    /// malformed.
    pub fn begin(&mut self, format: Format, block: &Block) -> Option<(i64, bool)> {
        if format != Format::Gnu {
            return None; // star's are another thing under the same letter
        }
        let more = self.add(&block[386..482], block[482])?;
        Some((number(&block[483..495])?, more))
    }

    /// Takes a block behind the header, and returns whether another follows. `None` if it is
    /// malformed.
    pub fn go_on(&mut self, block: &Block) -> Option<bool> {
        self.add(&block[..504], block[504])
    }

    fn add(&mut self, entries: &[u8], more: u8) -> Option<bool> {
        self.read = self.read.checked_add(entries.len()).filter(|read| *read < LONGEST)?;
        for entry in entries.chunks_exact(24) {
            let (offset, length) = entry.split_at_checked(12)?;
            if offset.first() == Some(&0) {
                break;
            }
            self.pieces.push(piece(number(offset)?, number(length)?)?);
        }
        Some(more != 0)
    }
}

/// Takes the lines of a map that lies before the contents, block by block: the number of pieces,
/// and then each offset and each length, in decimal digits.
#[derive(Debug, Default)]
pub struct AheadMap {
    text: Vec<u8>,
    lines: usize,
}

impl AheadMap {
    /// Takes a block, and returns the pieces once all are there. The outer `None` says that it is
    /// malformed.
    pub fn add(&mut self, block: &Block) -> Option<Option<Vec<Piece>>> {
        self.text.extend_from_slice(block);
        if self.text.len() > LONGEST {
            return None;
        }
        let new = block.iter().filter(|byte| **byte == b'\n').count();
        self.lines = self.lines.checked_add(new)?;
        let mut lines = self.text.split(|byte| *byte == b'\n');
        if self.lines == 0 {
            return Some(None);
        }
        let count = usize::try_from(decimal(lines.next()?)?).ok()?;
        if self.lines < count.checked_mul(2)?.checked_add(1)? {
            return Some(None);
        }
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces.push(piece(decimal(lines.next()?)?, decimal(lines.next()?)?)?);
        }
        Some(Some(pieces))
    }
}

fn piece(offset: i64, length: i64) -> Option<Piece> {
    Some(Piece { offset: offset.try_into().ok()?, length: length.try_into().ok()? })
}

/// Returns whether the pieces lie behind each other in a file of this length, and are as long
/// together as what the tar has of it.
#[must_use]
pub fn fits(pieces: &[Piece], length: u64, stored: u64) -> bool {
    let mut end = 0;
    let mut sum = 0_u64;
    for piece in pieces {
        let Some(next) = piece.offset.checked_add(piece.length) else { return false };
        let Some(more) = sum.checked_add(piece.length) else { return false };
        if piece.offset < end || next > length {
            return false;
        }
        (end, sum) = (next, more);
    }
    sum == stored
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(numbers: &[(u64, u64)]) -> Vec<Piece> {
        numbers.iter().map(|(offset, length)| Piece { offset: *offset, length: *length }).collect()
    }

    #[test]
    fn maps_are_read_in_each_form() {
        let sparse = |major: &str, minor: &str, count: &str, map: &str| {
            Sparse {
                major: major.into(),
                minor: minor.into(),
                count: count.into(),
                map: map.into(),
                ..Sparse::default()
            }
            .map()
        };
        let two = Some(Map::Here(pieces(&[(0, 5), (10, 1)])));
        assert_eq!(sparse("", "", "2", "0,5,10,1"), two);
        assert_eq!(sparse("0", "1", "2", "0,5,10,1"), two);
        assert_eq!(sparse("0", "0", "0", ""), Some(Map::Here(vec![])));
        assert_eq!(sparse("1", "0", "", ""), Some(Map::Ahead));
        assert_eq!(sparse("2", "0", "", ""), Some(Map::None));
        assert_eq!(sparse("", "", "", ""), Some(Map::None));
        for (count, map) in [("1", "0,5,10,1"), ("1", "0"), ("x", "0,5"), ("1", "-1,5"), ("", "")] {
            assert_eq!(sparse("0", "1", count, map), None, "{count} {map}");
        }
    }

    #[test]
    fn a_map_before_the_contents_may_take_blocks() {
        let lines: String = (0..200).map(|n| format!("{}\n1\n", n * 10)).collect();
        let mut text = format!("200\n{lines}").into_bytes();
        text.resize(text.len().next_multiple_of(512), 0);
        let (mut map, mut found) = (AheadMap::default(), None);
        for block in text.as_chunks().0 {
            assert!(found.is_none());
            found = map.add(block).unwrap();
        }
        assert_eq!(found.unwrap().len(), 200);
        for text in [&b"x\n"[..], b"1\n-1\n5\n", b"-1\n", b"1\n5\nx\n"] {
            let mut block = [0; 512];
            block[..text.len()].copy_from_slice(text);
            assert!(AheadMap::default().add(&block).is_none(), "{text:?}");
        }
    }

    #[test]
    fn pieces_must_fit() {
        for (numbers, length, stored, is_right) in [
            (&[(0, 5), (10, 1)][..], 11, 6, true),
            (&[(0, 5), (5, 0), (11, 0)], 11, 5, true),
            (&[], 11, 0, true),
            (&[(0, 5), (10, 2)], 11, 7, false), // beyond the end
            (&[(5, 5), (0, 5)], 11, 10, false),
            (&[(0, 5), (4, 5)], 11, 10, false),
            (&[(0, 5)], 11, 6, false),
            (&[(u64::MAX, 5)], 11, 5, false),
        ] {
            assert_eq!(fits(&pieces(numbers), length, stored), is_right, "{numbers:?}");
        }
    }
}
