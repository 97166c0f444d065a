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

mod search;

use std::iter;

use super::deflate::{Bits, Code, Lengths, SPECIAL, distance_extra, length_extra};

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

    /// As [`Self::open_end`], of a stream that `plain` was just packed into, and whose last bits,
    /// behind its end, are zeros: the bits of most are not looked at then.
    pub(crate) fn open_packed(
        &mut self,
        buffer: &mut [u8],
        len: usize,
        plain: &[u8],
    ) -> Option<usize> {
        let buffer = buffer.get_mut(..len.checked_add(Self::ROOM)?)?;
        buffer.get_mut(len..)?.fill(0);
        let ends = self
            .single(buffer.get(..len)?)
            .or_else(|| self.search(buffer, len, plain))
            .or_else(|| self.walk(buffer))?;
        Self::open_at(&ends, buffer, len)
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

    fn walk(&mut self, data: &[u8]) -> Option<Ends> {
        let mut bits = Bits::at(data, 0);
        loop {
            bits.refill()?;
            let last = bits.position()?;
            let is_last = bits.take(1)? == 1;
            match bits.take(2)? {
                0 => {
                    let at = bits.position()?.div_ceil(8);
                    let len = u16::from_le_bytes(*data.get(at..)?.first_chunk()?);
                    let next = at.checked_add(4)?.checked_add(usize::from(len))?;
                    bits = Bits::at(data, next);
                }
                1 => {
                    self.fixed();
                    while !self.symbols(&mut bits, usize::MAX)? {}
                }
                2 => {
                    let lengths = Lengths::read(&mut bits)?;
                    self.dynamic(&lengths)?;
                    while !self.symbols(&mut bits, usize::MAX)? {}
                }
                _ => return None,
            }
            if is_last {
                return Some(Ends { last, end: bits.position()? });
            }
        }
    }

    /// Passes over some symbols of a block, in so many turns of one to four at most. Returns whether
    /// the block has ended.
    fn symbols(&self, bits: &mut Bits<'_>, turns: usize) -> Option<bool> {
        for _ in 0..turns {
            // Of the 56 bits that are there now, one turn takes 48 at most.
            bits.refill()?;
            let entry = *self.literals.get(bits.peek(LITERAL_BITS))?;
            if entry & SPECIAL != 0 {
                let (symbol, len) = self.literal_code.find(bits.held)?;
                bits.pass(len)?;
                match symbol {
                    0..END_OF_BLOCK => continue,
                    END_OF_BLOCK => return Some(true),
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
        Some(false)
    }

    /// The codes of section 3.2.6.
    fn fixed(&mut self) {
        let rows = [(144, 8), (112, 9), (24, 7), (8, 8)];
        let literals = rows.into_iter().flat_map(|(symbols, len)| iter::repeat_n(len, symbols));
        self.tables(&literals.collect::<Vec<u8>>(), &[5; 30]);
    }

    /// The codes that stand before their block.
    fn dynamic(&mut self, lengths: &Lengths) -> Option<()> {
        let (literals, distances) = lengths.split()?;
        self.tables(literals, distances);
        Some(())
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
            let len = joiner.open_packed(&mut out, len, part).unwrap();
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
                let opened = joiner.open_packed(&mut out, len, plain).unwrap();
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
            let plain = bytes.clone();
            Joiner::default().open_packed(&mut bytes, len, &plain);
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
