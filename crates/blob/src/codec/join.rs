//! Deflate streams made into parts of one.
//!
//! A deflate stream (RFC 1951) is a row of blocks, the last of which says so in its first bit. To
//! let another stream follow, that bit is cleared and an empty stored block added, which fills up
//! the last byte.
//!
//! A stream of one block says so in its very first bit, and where it ends is seen at its end: the
//! code that ends the block is known from the block's head, and behind it are only zeros. Where the
//! last of many blocks begins only who reads all before it knows: then the codes are walked over,
//! without making anything of them, at four times the speed they were made at.

use std::iter;

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
/// The end of the block, or a code longer than the table: look it up bit by bit.
const SPECIAL: u32 = 1 << 7;

/// The order in which the lengths of the codes for code lengths come (section 3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

const END_OF_BLOCK: u16 = 256;

/// Opens the ends of deflate streams. Has only room for its tables.
pub(crate) struct Joiner {
    literals: Box<[u32; LITERALS]>,
    distances: Box<[u32; DISTANCES]>,
    literal_code: Code,
    distance_code: Code,
}

impl Default for Joiner {
    fn default() -> Self {
        Self {
            literals: Box::new([SPECIAL; LITERALS]),
            distances: Box::new([SPECIAL; DISTANCES]),
            literal_code: Code::default(),
            distance_code: Code::default(),
        }
    }
}

impl Joiner {
    /// What the buffer must have behind the stream, in bytes.
    pub(crate) const ROOM: usize = 16;

    /// Makes of the whole stream in the first `len` bytes of `buffer` one that another can follow,
    /// and gives its new length. `None` if that is no deflate stream of this length.
    pub(crate) fn open_end(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let buffer = buffer.get_mut(..len.checked_add(Self::ROOM)?)?;
        buffer.get_mut(len..)?.fill(0);
        let ends = self.walk(buffer)?;
        Self::open_at(&ends, buffer, len)
    }

    /// As [`Self::open_end`], of a stream whose last bits, behind its end, are zeros: the bits of
    /// most are not looked at then.
    pub(crate) fn open_padded(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        match self.single(buffer.get(..len)?) {
            Some(ends) => {
                let buffer = buffer.get_mut(..len.checked_add(Self::ROOM)?)?;
                buffer.get_mut(len..)?.fill(0);
                Self::open_at(&ends, buffer, len)
            }
            None => self.open_end(buffer, len),
        }
    }

    fn open_at(ends: &Ends, buffer: &mut [u8], len: usize) -> Option<usize> {
        let Ends { last, end } = *ends;
        if end.div_ceil(8) != len {
            return None;
        }
        *buffer.get_mut(last / 8)? &= !(1 << (last % 8));
        // Nothing is promised of the bits behind the last.
        if end % 8 > 0 {
            *buffer.get_mut(end / 8)? &= !(u8::MAX << (end % 8));
        }
        // Three zeros are the header of a stored block; zeros fill up its byte.
        let filled = end.checked_add(3)?.div_ceil(8);
        *buffer.get_mut(filled..)?.first_chunk_mut()? = [0x00, 0x00, 0xff, 0xff];
        filled.checked_add(4)
    }

    /// The ends of a stream of one block that has codes of its own. `None` says nothing.
    fn single(&mut self, data: &[u8]) -> Option<Ends> {
        let mut bits = Bits { data, next: 0, held: 0, count: 0 };
        bits.refill()?;
        // The last block, with codes of its own.
        if bits.take(3)? != 0b101 {
            return None;
        }
        let Lengths { all, literals, .. } = Self::lengths(&mut bits)?;
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

    fn walk(&mut self, data: &[u8]) -> Option<Ends> {
        let mut bits = Bits { data, next: 0, held: 0, count: 0 };
        loop {
            bits.refill()?;
            let last = bits.position()?;
            let is_last = bits.take(1)? == 1;
            match bits.take(2)? {
                0 => {
                    let at = bits.position()?.div_ceil(8);
                    let len = u16::from_le_bytes(*data.get(at..)?.first_chunk()?);
                    let next = at.checked_add(4)?.checked_add(usize::from(len))?;
                    bits = Bits { data, next, held: 0, count: 0 };
                }
                1 => {
                    self.fixed();
                    self.block(&mut bits)?;
                }
                2 => {
                    self.dynamic(&mut bits)?;
                    self.block(&mut bits)?;
                }
                _ => return None,
            }
            if is_last {
                return Some(Ends { last, end: bits.position()? });
            }
        }
    }

    /// Passes over the symbols of a block.
    fn block(&self, bits: &mut Bits<'_>) -> Option<()> {
        loop {
            // Of the 56 bits that are there now, one turn takes 48 at most.
            bits.refill()?;
            let entry = *self.literals.get(bits.peek(LITERAL_BITS))?;
            if entry & SPECIAL != 0 {
                let (symbol, len) = self.literal_code.find(bits.held)?;
                bits.pass(len)?;
                match symbol {
                    0..END_OF_BLOCK => continue,
                    END_OF_BLOCK => return Some(()),
                    _ => bits.pass(length_extra(symbol)?)?,
                }
            } else {
                bits.pass(entry & BITS)?;
                if entry & LENGTH == 0 {
                    // Literals come in rows; there are bits enough for some more.
                    let entry = *self.literals.get(bits.peek(LITERAL_BITS))?;
                    if entry & (LENGTH | SPECIAL) == 0 {
                        bits.pass(entry & BITS)?;
                    }
                    continue;
                }
            }
            let entry = *self.distances.get(bits.peek(DISTANCE_BITS))?;
            if entry & SPECIAL == 0 {
                bits.pass(entry & BITS)?;
            } else {
                let (symbol, len) = self.distance_code.find(bits.held)?;
                bits.pass(len)?;
                bits.pass(distance_extra(symbol)?)?;
            }
        }
    }

    /// The codes of section 3.2.6.
    fn fixed(&mut self) {
        let rows = [(144, 8), (112, 9), (24, 7), (8, 8)];
        let literals = rows.into_iter().flat_map(|(symbols, len)| iter::repeat_n(len, symbols));
        self.tables(&literals.collect::<Vec<u8>>(), &[5; 30]);
    }

    /// The codes that stand before their block.
    fn dynamic(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let Lengths { all, literals, whole } = Self::lengths(bits)?;
        let (literals, distances) = all.get(..whole)?.split_at_checked(literals)?;
        self.tables(literals, distances);
        Some(())
    }

    /// The lengths of those codes, section 3.2.7.
    fn lengths(bits: &mut Bits<'_>) -> Option<Lengths> {
        let literals = bits.take(5)?.checked_add(257)?;
        let whole = bits.take(5)?.checked_add(1)?.checked_add(literals)?;
        let lengths = bits.take(4)?.checked_add(4)?;
        let mut code_lengths = [0; 19];
        for at in ORDER.into_iter().take(lengths) {
            bits.refill()?;
            *code_lengths.get_mut(at)? = u8::try_from(bits.take(3)?).ok()?;
        }
        let mut code = Code::default();
        code.set(&code_lengths);
        let mut all = [0; 320];
        let mut filled = 0;
        while filled < whole {
            bits.refill()?;
            let (symbol, len) = code.find(bits.held)?;
            bits.pass(len)?;
            let (value, least, more) = match symbol {
                0..16 => (u8::try_from(symbol).ok()?, 1, 0),
                16 => (*all.get(filled.checked_sub(1)?)?, 3, bits.take(2)?),
                17 => (0, 3, bits.take(3)?),
                _ => (0, 11, bits.take(7)?),
            };
            let end = filled.checked_add(least)?.checked_add(more)?;
            all.get_mut(filled..end)?.fill(value);
            filled = end;
        }
        (filled == whole).then_some(Lengths { all, literals, whole })
    }

    fn tables(&mut self, literals: &[u8], distances: &[u8]) {
        self.literal_code.set(literals);
        self.distance_code.set(distances);
        self.distance_code.fill(&mut self.distances[..], DISTANCE_BITS, |symbol, len| {
            distance_extra(symbol).and_then(|extra| len.checked_add(extra)).unwrap_or(SPECIAL)
        });
        self.literal_code.fill(&mut self.literals[..], LITERAL_BITS, |symbol, len| match symbol {
            0..END_OF_BLOCK => len,
            END_OF_BLOCK => SPECIAL,
            _ => length_extra(symbol)
                .and_then(|extra| len.checked_add(extra))
                .map_or(SPECIAL, |bits| bits | LENGTH),
        });
        // Two literals that fit into one entry are passed over at once. From the top: what an
        // entry looks at, which is below it or itself, is not changed yet.
        for at in (0..LITERALS).rev() {
            let entry = |at: usize| self.literals.get(at).copied().unwrap_or(SPECIAL);
            let first = entry(at);
            let second = entry(at >> (first & BITS));
            let both = (first & BITS).saturating_add(second & BITS);
            if (first | second) & (LENGTH | SPECIAL) == 0
                && both <= LITERAL_BITS
                && let Some(entry) = self.literals.get_mut(at)
            {
                *entry = both;
            }
        }
    }
}

/// Bits from the start of a stream.
struct Ends {
    /// The first of the last block.
    last: usize,
    /// Behind the last block.
    end: usize,
}

/// The lengths of a block's codes.
struct Lengths {
    /// Of literals and lengths, then of distances.
    all: [u8; 320],
    literals: usize,
    whole: usize,
}

/// Bits of a stream, lowest first.
struct Bits<'a> {
    data: &'a [u8],
    next: usize,
    held: u64,
    /// At most 63.
    count: u32,
}

impl Bits<'_> {
    /// Fetches bits until there are 56 at least.
    #[inline]
    fn refill(&mut self) -> Option<()> {
        let word = u64::from_le_bytes(*self.data.get(self.next..)?.first_chunk()?);
        self.held |= word << self.count;
        let room = 63 & !self.count;
        self.next = self.next.checked_add(usize::try_from(room >> 3).ok()?)?;
        self.count |= 56;
        Some(())
    }

    #[inline]
    fn peek(&self, bits: u32) -> usize {
        let some = self.held & !(u64::MAX << bits);
        usize::try_from(some).unwrap_or(usize::MAX)
    }

    /// `bits` must be there.
    #[inline]
    fn pass(&mut self, bits: u32) -> Option<()> {
        self.count = self.count.checked_sub(bits)?;
        self.held >>= bits;
        Some(())
    }

    #[inline]
    fn take(&mut self, bits: u32) -> Option<usize> {
        let value = self.peek(bits);
        self.pass(bits)?;
        Some(value)
    }

    fn position(&self) -> Option<usize> {
        self.next.checked_mul(8)?.checked_sub(usize::try_from(self.count).ok()?)
    }
}

/// A canonical code: how many codes there are of each length, and their symbols in order.
#[derive(Default)]
struct Code {
    counts: [u16; 16],
    symbols: Vec<u16>,
}

impl Code {
    fn set(&mut self, lengths: &[u8]) {
        self.counts = [0; 16];
        for len in lengths {
            if let Some(count) = self.counts.get_mut(usize::from(len & 15)) {
                *count = count.saturating_add(1);
            }
        }
        self.counts[0] = 0;
        let mut next = 0_u16;
        let mut starts = self.counts.map(|count| {
            let start = next;
            next = next.saturating_add(count);
            start
        });
        self.symbols.clear();
        self.symbols.resize(lengths.len(), 0);
        for (symbol, len) in (0..).zip(lengths) {
            if *len > 0
                && let Some(start) = starts.get_mut(usize::from(len & 15))
                && let Some(place) = self.symbols.get_mut(usize::from(*start))
            {
                *place = symbol;
                *start = start.saturating_add(1);
            }
        }
    }

    /// The symbol that `bits` begin with, and the length of its code.
    fn find(&self, mut bits: u64) -> Option<(u16, u32)> {
        let (mut code, mut first, mut index) = (0_u32, 0_u32, 0_u32);
        let [_, counts @ ..] = &self.counts;
        for (len, count) in (1..).zip(counts) {
            code |= u32::from(bits & 1 == 1);
            bits >>= 1;
            let count = u32::from(*count);
            let behind = first.checked_add(count)?;
            if code < behind {
                let at = index.checked_add(code.checked_sub(first)?)?;
                return Some((*self.symbols.get(usize::try_from(at).ok()?)?, len));
            }
            index = index.checked_add(count)?;
            first = behind << 1;
            code <<= 1;
        }
        None
    }

    /// The code of `symbol`, and its length.
    fn code_of(&self, symbol: u16) -> Option<(u32, u32)> {
        let mut symbols = self.symbols.iter();
        let mut code = 0_u32;
        let [_, counts @ ..] = &self.counts;
        for (len, count) in (1..).zip(counts) {
            let mut these = symbols.by_ref().take(usize::from(*count));
            if let Some(at) = these.position(|this| *this == symbol) {
                return Some((code.checked_add(u32::try_from(at).ok()?)?, len));
            }
            code = code.checked_add(u32::from(*count))? << 1;
        }
        None
    }

    /// Fills a table with what `entry` makes of each symbol and its code's length. The table has an
    /// entry for each value of so many `bits`.
    fn fill(&self, table: &mut [u32], bits: u32, entry: impl Fn(u16, u32) -> u32) {
        table.fill(SPECIAL);
        let mut symbols = self.symbols.iter();
        let mut code = 0_u32;
        let [_, counts @ ..] = &self.counts;
        for (len, count) in (1..=bits).zip(counts) {
            for symbol in symbols.by_ref().take(usize::from(*count)) {
                let reversed = code.reverse_bits() >> 32_u32.saturating_sub(len);
                let entry = entry(*symbol, len);
                let first = usize::try_from(reversed).unwrap_or(usize::MAX);
                for place in table.iter_mut().skip(first).step_by(1 << len) {
                    *place = entry;
                }
                code = code.wrapping_add(1);
            }
            code <<= 1;
        }
    }
}

/// The bits behind a length's code (section 3.2.5).
fn length_extra(symbol: u16) -> Option<u32> {
    match symbol {
        257..=264 | 285 => Some(0),
        265..=284 => Some(u32::from(symbol.checked_sub(261)?) / 4),
        _ => None,
    }
}

/// The bits behind a distance's code.
fn distance_extra(symbol: u16) -> Option<u32> {
    match symbol {
        0..=29 => Some((u32::from(symbol) / 2).saturating_sub(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::DeflateDecoder;
    use libdeflater::{CompressionLvl, Compressor};
    use proptest::prelude::*;

    use super::*;

    fn deflate(plain: &[u8], level: i32) -> (Vec<u8>, usize) {
        let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
        let mut out = vec![0xaa; compressor.deflate_compress_bound(plain.len()) + Joiner::ROOM];
        let len = compressor.deflate_compress(plain, &mut out).unwrap();
        (out, len)
    }

    fn noise(len: usize, seed: u32, spread: u32) -> Vec<u8> {
        let mut state = seed | 1;
        let step = |state: &mut u32| {
            *state ^= *state << 13;
            *state ^= *state >> 17;
            *state ^= *state << 5;
            (*state % spread) as u8
        };
        (0..len).map(|_| step(&mut state)).collect()
    }

    fn joined(parts: &[&[u8]], level: i32) -> Vec<u8> {
        let mut joiner = Joiner::default();
        let mut all = Vec::new();
        for part in parts {
            let (mut out, len) = deflate(part, level);
            let len = joiner.open_padded(&mut out, len).unwrap();
            all.extend_from_slice(&out[..len]);
        }
        all.extend_from_slice(&[0x03, 0x00]);
        all
    }

    fn inflate(deflated: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        DeflateDecoder::new(deflated).read_to_end(&mut plain).unwrap();
        plain
    }

    #[test]
    fn joins_streams_of_every_kind() {
        let text = "many words, many words and some more words ".repeat(9000).into_bytes();
        let parts: [&[u8]; 8] = [
            b"",
            b"a",
            b"some short text",      // fixed codes
            &text,                   // dynamic codes
            &noise(300_000, 7, 256), // stored
            &noise(300_000, 9, 11),  // short codes, no lengths
            &vec![0; 1_000_000],     // lengths only
            &noise(70_000, 3, 200),
        ];
        for level in 0..=12 {
            assert!(inflate(&joined(&parts, level)) == parts.concat(), "level {level}");
        }
    }

    /// The short way finds what the long one does, and takes most of what it is made for.
    #[test]
    fn the_end_of_one_block_is_seen_at_its_end() {
        let mut joiner = Joiner::default();
        let mut seen = 0;
        let words = b"many words, and /usr/share/doc of some package more ";
        for seed in 0..150_u32 {
            let spread = [3, 11, 60, 200, 256][seed as usize % 5];
            let picks = noise(400 + 300 * seed as usize, seed * 77 + 1, spread);
            let plain: Vec<u8> = picks
                .iter()
                .flat_map(|at| &words[*at as usize % 40..][..1 + *at as usize % 7])
                .copied()
                .collect();
            for plain in [&picks[..], &plain[..plain.len().min(65_535)]] {
                let (mut out, len) = deflate(plain, 1);
                let mut other = out.clone();
                seen += usize::from(joiner.single(&out[..len]).is_some());
                let opened = joiner.open_padded(&mut out, len).unwrap();
                assert_eq!(joiner.open_end(&mut other, len), Some(opened));
                assert!(out[..opened] == other[..opened], "{seed}");
            }
        }
        assert!(seen > 130, "{seen}");
    }

    #[test]
    fn refuses_what_is_no_stream() {
        let (out, len) = deflate(&noise(50_000, 5, 60), 6);
        let mut joiner = Joiner::default();
        for cut in [0, 1, 7, len / 2, len - 1] {
            assert_eq!(joiner.open_end(&mut out.clone(), cut), None, "{cut} of {len}");
        }
        assert_eq!(joiner.open_end(&mut [0xff; 64], 40), None);
        assert_eq!(joiner.open_end(&mut [0; 4], 4), None);
    }

    #[test]
    fn bits_behind_the_end_do_not_count() {
        let mut bytes = [&[0xcb, 0xcb, 0x01, 0x28][..], &[0; Joiner::ROOM]].concat();
        let len = Joiner::default().open_end(&mut bytes, 4).unwrap();
        assert_eq!(inflate(&[&bytes[..len], &[0x03, 0x00]].concat()), b"nl");
    }

    proptest! {
        #[test]
        fn never_panics(mut bytes: Vec<u8>) {
            let len = bytes.len().saturating_sub(Joiner::ROOM);
            Joiner::default().open_end(&mut bytes, len);
        }

        #[test]
        fn joins_anything(
            parts in prop::collection::vec((0_usize..90_000, 1_u32.., 1_u32..=256), 1..4),
            level in 0..=9,
        ) {
            let parts: Vec<Vec<u8>> =
                parts.into_iter().map(|(len, seed, spread)| noise(len, seed, spread)).collect();
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            assert!(inflate(&joined(&slices, level)) == parts.concat());
        }
    }
}
