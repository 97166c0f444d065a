//! Tables to pass over the codes of a deflate block.

use std::iter;

use super::deflate::{Bits, Code, Lengths, SPECIAL, distance_extra, length_extra, low};

/// How many bits of a stream are looked up at once: for most symbols these are enough, and the
/// tables are built anew for each block, of which a 256 KiB may have thirty.
const LITERAL_BITS: u32 = 11;
const DISTANCE_BITS: u32 = 9;
const LITERALS: usize = 1 << LITERAL_BITS;
const DISTANCES: usize = 1 << DISTANCE_BITS;

/// An entry of a table is the number of bits to pass over, with marks beside it.
const BITS: u32 = 0x3f;
/// A distance follows.
const LENGTH: u32 = 1 << 6;

const END_OF_BLOCK: u16 = 256;

/// The codes of a block.
pub(super) struct Tables {
    /// By the next bits, the codes of literals and lengths; behind these, of distances.
    entries: Box<[u32; LITERALS + DISTANCES]>,
    literal_code: Code,
    distance_code: Code,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            entries: Box::new([SPECIAL; LITERALS + DISTANCES]),
            literal_code: Code::default(),
            distance_code: Code::default(),
        }
    }
}

impl Tables {
    /// The ends of a stream of one block that has codes of its own. `None` says nothing.
    pub(super) fn single(&mut self, data: &[u8]) -> Option<Ends> {
        let mut bits = Bits::at(data, 0);
        bits.refill()?;
        // The last block, with codes of its own.
        if bits.take(3)? != 0b101 {
            return None;
        }
        let Lengths { all, literals, .. } = Lengths::read(&mut bits)?;
        self.literal_code.set(all.get(..literals)?);
        let (code, size) = self.literal_code.code_of(END_OF_BLOCK).filter(|(code, _)| *code > 0)?;
        let word = u64::from_le_bytes(*data.last_chunk()?);
        // The last bit that is set is the last of the code that is.
        let unused = word.leading_zeros().checked_sub(code.trailing_zeros())?;
        let start = 64_u32.checked_sub(unused)?.checked_sub(size)?;
        let expected = u64::from(code.reverse_bits() >> 32_u32.checked_sub(size)?);
        let unused = usize::try_from(unused).ok()?;
        let end = data.len().checked_mul(8)?.checked_sub(unused)?;
        (word >> start == expected && unused < 8).then_some(Ends { last: 0, end })
    }

    /// Passes over one to four symbols. Returns whether the block has ended. There are no branches
    /// for what is a literal and what is a length: nobody could foretell them.
    #[inline]
    pub(super) fn pass(&self, bits: &mut Bits<'_>) -> Option<bool> {
        // Of the 56 bits that are there now, 48 are used at most.
        bits.refill()?;
        let first = *self.entries.get(bits.peek(LITERAL_BITS))?;
        let rest = bits.held >> (first & BITS);
        let is_length = first & LENGTH;
        let index = if is_length == 0 {
            low(rest, LITERAL_BITS)
        } else {
            LITERALS | low(rest, DISTANCE_BITS)
        };
        let second = *self.entries.get(index)?;
        if (first | (second & (is_length << 1))) & SPECIAL != 0 {
            return self.pass_slowly(bits);
        }
        // Behind a literal, a length is left for the next time.
        let more = if second & (LENGTH | SPECIAL) == 0 { second } else { 0 };
        bits.pass((first & BITS).saturating_add(more))?;
        Some(false)
    }

    /// Passes over one symbol, however long its code is.
    #[cold]
    fn pass_slowly(&self, bits: &mut Bits<'_>) -> Option<bool> {
        let (symbol, len) = self.literal_code.find(bits.held)?;
        bits.pass(len)?;
        match symbol {
            0..END_OF_BLOCK => {}
            END_OF_BLOCK => return Some(true),
            _ => {
                bits.pass(length_extra(symbol)?)?;
                let (symbol, len) = self.distance_code.find(bits.held)?;
                bits.pass(len)?;
                bits.pass(distance_extra(symbol)?)?;
            }
        }
        Some(false)
    }

    /// The codes of section 3.2.6.
    pub(super) fn fixed(&mut self) {
        let rows = [(144, 8), (112, 9), (24, 7), (8, 8)];
        let literals = rows.into_iter().flat_map(|(symbols, len)| iter::repeat_n(len, symbols));
        self.set(&literals.collect::<Vec<u8>>(), &[5; 30]);
    }

    /// The codes that stand before their block.
    pub(super) fn dynamic(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let Lengths { all, literals, whole } = Lengths::read(bits)?;
        let (literals, distances) = all.get(..whole)?.split_at_checked(literals)?;
        self.set(literals, distances);
        Some(())
    }

    fn set(&mut self, literals: &[u8], distances: &[u8]) {
        self.literal_code.set(literals);
        self.distance_code.set(distances);
        let (for_literals, for_distances) = self.entries.split_at_mut(LITERALS);
        self.distance_code.fill(for_distances, DISTANCE_BITS, |symbol, len| {
            distance_extra(symbol).and_then(|extra| len.checked_add(extra)).unwrap_or(SPECIAL)
        });
        self.literal_code.fill(for_literals, LITERAL_BITS, |symbol, len| match symbol {
            0..END_OF_BLOCK => len,
            END_OF_BLOCK => SPECIAL,
            _ => length_extra(symbol)
                .and_then(|extra| len.checked_add(extra))
                .map_or(SPECIAL, |bits| bits | LENGTH),
        });
        // Two literals that fit into one entry are passed over at once. From the top: what an
        // entry looks at, which is below it or itself, is not changed yet.
        for at in (0..LITERALS).rev() {
            let entry = |at: usize| for_literals.get(at).copied().unwrap_or(SPECIAL);
            let first = entry(at);
            let second = entry(at >> (first & BITS));
            let both = (first & BITS).saturating_add(second & BITS);
            if (first | second) & (LENGTH | SPECIAL) == 0
                && both <= LITERAL_BITS
                && let Some(entry) = for_literals.get_mut(at)
            {
                *entry = both;
            }
        }
    }
}

/// Bits from the start of a stream.
pub(super) struct Ends {
    /// The first of the last block.
    pub(super) last: usize,
    /// Behind the last block.
    pub(super) end: usize,
}
