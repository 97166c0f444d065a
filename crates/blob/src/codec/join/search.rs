//! The last block of a deflate stream, found from its end.
//!
//! The head of a block says a lot: two numbers have limits, and three sets of codes share out all
//! bits. Few other places of a stream look like one. What does is believed only when the codes that
//! it makes read the end of the stream as the end of the plain bytes.

use super::{END_OF_BLOCK, Ends, Joiner};
use crate::codec::deflate::{
    Bits, Lengths, distance_base, distance_extra, length_base, length_extra,
};

/// How many turns of symbols at the end of a block must agree with the plain bytes, at least: some
/// hundred bits, which no other codes read as the same by chance.
const PROVEN: usize = 64;

/// How far from the end is looked, in bytes: nineteen of twenty last blocks are shorter.
const SEARCHED: usize = 128 * 1024;

impl Joiner {
    /// Looks for the last block from the end, where `data` has [`Self::ROOM`] behind the stream. A
    /// head that only happens to be readable there makes other codes, and these do not say what
    /// `plain` ends with. `None` says nothing.
    pub(super) fn search(&mut self, data: &[u8], len: usize, plain: &[u8]) -> Option<Ends> {
        heads(data, len).take_while(|last| len.saturating_sub(last / 8) < SEARCHED).find_map(
            |last| {
                let mut bits = Bits::at_bit(data, last.checked_add(3)?)?;
                let lengths = Lengths::read(&mut bits)?;
                if !lengths.are_complete() {
                    return None;
                }
                self.dynamic(&lengths)?;
                let (mut before, mut begin) = (None, bits.clone());
                while !self.symbols(&mut bits, PROVEN)? {
                    before = Some(std::mem::replace(&mut begin, bits.clone()));
                }
                let end = bits.position()?;
                let is_proven = end.div_ceil(8) == len && self.says(&mut before?, plain)?;
                is_proven.then_some(Ends { last, end })
            },
        )
    }

    /// Whether what is left of a block says what `plain` ends with.
    fn says(&self, bits: &mut Bits<'_>, plain: &[u8]) -> Option<bool> {
        let mut symbols = Vec::with_capacity(4 * PROVEN);
        let mut len = 0_usize;
        loop {
            let symbol = self.symbol(bits)?;
            len = match symbol {
                Symbol::End => break,
                Symbol::Literal(_) => len.checked_add(1)?,
                Symbol::Match { len: more, .. } => len.checked_add(more)?,
            };
            symbols.push(symbol);
        }
        let mut at = plain.len().checked_sub(len)?;
        for symbol in symbols {
            at = match symbol {
                Symbol::End => break,
                Symbol::Literal(byte) if *plain.get(at)? == byte => at.checked_add(1)?,
                Symbol::Literal(_) => return Some(false),
                Symbol::Match { len, distance } => {
                    let end = at.checked_add(len)?;
                    let from = at.checked_sub(distance)?..end.checked_sub(distance)?;
                    if plain.get(from)? != plain.get(at..end)? {
                        return Some(false);
                    }
                    end
                }
            };
        }
        Some(true)
    }

    /// Reads a symbol and what belongs to it.
    fn symbol(&self, bits: &mut Bits<'_>) -> Option<Symbol> {
        bits.refill()?;
        let (symbol, size) = self.literal_code.find(bits.held)?;
        bits.pass(size)?;
        match symbol {
            0..END_OF_BLOCK => u8::try_from(symbol).ok().map(Symbol::Literal),
            END_OF_BLOCK => Some(Symbol::End),
            _ => {
                let len = length_base(symbol)?.checked_add(bits.take(length_extra(symbol)?)?)?;
                let (symbol, size) = self.distance_code.find(bits.held)?;
                bits.pass(size)?;
                let extra = bits.take(distance_extra(symbol)?)?;
                Some(Symbol::Match { len, distance: distance_base(symbol)?.checked_add(extra)? })
            }
        }
    }
}

/// What a code stands for.
enum Symbol {
    Literal(u8),
    Match { len: usize, distance: usize },
    End,
}

/// Returns where the last block may begin of a stream of `len` bytes, in bits from its start, from
/// its end on: where the first bits of a head (section 3.2.7) are as those of nearly all blocks of
/// some thousand bytes.
pub(super) fn heads(data: &[u8], len: usize) -> impl Iterator<Item = usize> {
    let words = (0..len.div_ceil(8)).rev().filter_map(move |word| {
        let at = word.saturating_mul(8);
        let bytes = data.get(at..)?.first_chunk()?;
        let found = marks(bytes);
        (found > 0).then_some((at.saturating_mul(8), found))
    });
    let bits = words.flat_map(|(at, mut found)| {
        std::iter::from_fn(move || {
            let bit = found.checked_ilog2()?;
            found &= !(1 << bit);
            Some(at.saturating_add(usize::try_from(bit).ok()?))
        })
    });
    bits.filter(|bit| has_code_lengths(data, *bit) == Some(true))
}

/// Marks the bits of the first eight bytes that the head of a last block with codes of its own may
/// begin with: one with at most 29 codes of lengths, more than 16 of distances, at most 30, and more
/// than 11 code lengths.
fn marks(bytes: &[u8; 16]) -> u64 {
    let bytes = u128::from_le_bytes(*bytes);
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "the lower half is meant"
    )]
    let bit = |number: u32| (bytes >> number) as u64;
    let lengths = !(bit(4) & bit(5) & bit(6) & bit(7));
    let distances = bit(12) & !(bit(9) & bit(10) & bit(11));
    bit(0) & !bit(1) & bit(2) & lengths & distances & bit(16)
}

/// Returns whether the codes for code lengths share out all bits, in the head that begins with this
/// bit.
fn has_code_lengths(data: &[u8], head: usize) -> Option<bool> {
    let count = head.checked_add(13)?;
    let bytes = u128::from_le_bytes(*data.get(count / 8..)?.first_chunk()?) >> (count % 8);
    let bits = u64::try_from(bytes & u128::from(u64::MAX)).ok()?;
    let len = (bits & 15).saturating_add(4).saturating_mul(3);
    let lengths = (bits >> 4) & !(u64::MAX << len);
    let four = |shift: u32| {
        let four = usize::try_from((lengths >> shift) & 0xfff).unwrap_or_default();
        PARTS.get(four).copied().unwrap_or(u16::MAX)
    };
    let parts = [12, 24, 36, 48].into_iter().map(four).fold(four(0), u16::saturating_add);
    Some(parts == 128)
}

/// How many of 128 parts four codes have together, by their lengths of three bits each.
#[expect(clippy::indexing_slicing, reason = "it would not compile")]
static PARTS: [u16; 4096] = {
    let mut parts = [0; 4096];
    let mut lengths = 0_usize;
    while lengths < parts.len() {
        let mut rest = lengths;
        while rest > 0 {
            if rest & 7 > 0 {
                parts[lengths] += 128 >> (rest & 7);
            }
            rest >>= 3;
        }
        lengths += 1;
    }
    parts
};

#[cfg(test)]
mod tests {
    use libdeflater::{CompressionLvl, Compressor};

    use super::*;

    /// Text whose words change on the way, so that it is packed in many blocks.
    fn text(len: usize, seed: u32) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let mut text = Vec::with_capacity(len + 20);
        while text.len() < len {
            let shift = (text.len() / 30_000 % 7) as u8;
            let word = next();
            let letters = (0..2 + word % 9).map(|at| b'a' + shift + (word >> at) as u8 % 19);
            text.extend(letters);
            text.push(b' ');
        }
        text.truncate(len);
        text
    }

    fn deflate(plain: &[u8], level: i32) -> (Vec<u8>, usize) {
        let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
        let mut out = vec![0; compressor.deflate_compress_bound(plain.len()) + Joiner::ROOM];
        let len = compressor.deflate_compress(plain, &mut out).unwrap();
        (out, len)
    }

    #[test]
    fn finds_what_the_walk_finds() {
        let mut joiner = Joiner::default();
        let mut found = 0;
        for seed in 1..40 {
            let plain = text(90_000 + 9000 * seed as usize, seed);
            for level in [1, 2, 6] {
                let (out, len) = deflate(&plain, level);
                let walked = joiner.walk(&out).unwrap();
                assert!(walked.last > 0);
                if let Some(ends) = joiner.search(&out, len, &plain) {
                    assert_eq!((ends.last, ends.end), (walked.last, walked.end), "{seed} {level}");
                    found += 1;
                }
            }
        }
        assert!(found > 100, "{found}");
    }

    /// A head and codes that can be read are not enough.
    #[test]
    fn what_says_something_else_is_not_believed() {
        let mut joiner = Joiner::default();
        let plain = text(200_000, 77);
        let (out, len) = deflate(&plain, 2);
        assert!(joiner.search(&out, len, &plain).is_some());
        for at in [plain.len() - 1, plain.len() - 40] {
            let mut other = plain.clone();
            other[at] ^= 1;
            assert!(joiner.search(&out, len, &other).is_none(), "{at}");
        }
        assert!(joiner.search(&out, len, &plain[1..]).is_some(), "only the end is compared");
        assert!(joiner.search(&out, len, &plain[..plain.len() - 1]).is_none());
        assert!(joiner.search(&out, len, b"").is_none());
        // One byte less, or more, than the stream has.
        assert!(joiner.search(&out, len - 1, &plain).is_none());
        assert!(joiner.search(&out, len + 1, &plain).is_none());
    }
}
