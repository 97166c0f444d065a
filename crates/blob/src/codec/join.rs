//! Deflate streams made into parts of one.
//!
//! A deflate stream (RFC 1951) is a row of blocks, the last of which says so in its first bit. To
//! let another stream follow, that bit is cleared and an empty stored block added, which fills up
//! the last byte.
//!
//! A stream of one block says so in its very first bit, and where it ends is seen at its end: the
//! code that ends the block is known from the block's head, and behind it are only zeros. Where the
//! last of many blocks begins only who reads all before it knows: then the codes are walked over,
//! without making anything of them, of two streams at once.

use super::deflate::Bits;
use super::tables::{Ends, Tables};

/// Opens the ends of deflate streams. Has only room for its tables.
#[derive(Default)]
pub(crate) struct Joiner {
    tables: [Tables; 2],
}

impl Joiner {
    /// What the buffer must have behind the stream, in bytes.
    pub(crate) const ROOM: usize = 16;

    /// Makes of the whole stream in the first `len` bytes of `buffer` one that another can follow,
    /// and gives its new length. `None` if that is no deflate stream of this length.
    pub(crate) fn open_end(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let buffer = cleared(buffer, len)?;
        let [tables, _] = &mut self.tables;
        let ends = Walk::of(buffer).alone(tables)?;
        ends.open(buffer, len)
    }

    /// As [`Self::open_end`], of a stream whose last bits, behind its end, are zeros: the bits of
    /// most streams of one block are not looked at then.
    pub(crate) fn open_padded(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let [tables, _] = &mut self.tables;
        match tables.single(buffer.get(..len)?) {
            Some(ends) => ends.open(cleared(buffer, len)?, len),
            None => self.open_end(buffer, len),
        }
    }

    /// As [`Self::open_end`], of two streams at once, which is faster than one after the other.
    pub(crate) fn open_both(
        &mut self,
        first: (&mut [u8], usize),
        second: (&mut [u8], usize),
    ) -> Option<[usize; 2]> {
        let (buffers, lens) = ([first.0, second.0], [first.1, second.1]);
        let [one, other] = buffers;
        let (one, other) = (cleared(one, lens[0])?, cleared(other, lens[1])?);
        let [first, second] = Walk::both([one, other], &mut self.tables)?;
        Some([first.open(one, lens[0])?, second.open(other, lens[1])?])
    }
}

/// The stream and its room, with zeros in it.
fn cleared(buffer: &mut [u8], len: usize) -> Option<&mut [u8]> {
    let buffer = buffer.get_mut(..len.checked_add(Joiner::ROOM)?)?;
    buffer.get_mut(len..)?.fill(0);
    Some(buffer)
}

/// A stream whose codes are passed over.
struct Walk<'a> {
    bits: Bits<'a>,
    /// Where the block began, in bits.
    block: usize,
    is_last: bool,
}

impl<'a> Walk<'a> {
    fn of(data: &'a [u8]) -> Self {
        Self { bits: Bits::at(data, 0), block: 0, is_last: false }
    }

    /// Walks over all of it.
    fn alone(mut self, tables: &mut Tables) -> Option<Ends> {
        loop {
            if let Some(ends) = self.enter(tables)? {
                return Some(ends);
            }
            while !tables.pass(&mut self.bits)? {}
        }
    }

    /// Walks over two streams in turns: what the one waits for does not keep the other.
    fn both(data: [&'a [u8]; 2], tables: &mut [Tables; 2]) -> Option<[Ends; 2]> {
        let [mut first, mut second] = data.map(Self::of);
        let [one, other] = tables;
        if let Some(ends) = first.enter(one)? {
            return Some([ends, second.alone(other)?]);
        }
        if let Some(ends) = second.enter(other)? {
            return Some([first.rest(one)?, ends]);
        }
        loop {
            if one.pass(&mut first.bits)?
                && let Some(ends) = first.enter(one)?
            {
                return Some([ends, second.rest(other)?]);
            }
            if other.pass(&mut second.bits)?
                && let Some(ends) = second.enter(other)?
            {
                return Some([first.rest(one)?, ends]);
            }
        }
    }

    /// Walks over the rest of a block, and all after it.
    fn rest(mut self, tables: &mut Tables) -> Option<Ends> {
        while !tables.pass(&mut self.bits)? {}
        self.alone(tables)
    }

    /// Passes over what is between the codes of one block and those of the next. Returns the ends
    /// of the stream where no block follows.
    fn enter(&mut self, tables: &mut Tables) -> Option<Option<Ends>> {
        loop {
            let bits = &mut self.bits;
            if self.is_last {
                return Some(Some(Ends { last: self.block, end: bits.position()? }));
            }
            bits.refill()?;
            self.block = bits.position()?;
            self.is_last = bits.take(1)? == 1;
            match bits.take(2)? {
                0 => bits.pass_stored()?,
                1 => {
                    tables.fixed();
                    return Some(None);
                }
                2 => {
                    tables.dynamic(bits)?;
                    return Some(None);
                }
                _ => return None,
            }
        }
    }
}

impl Ends {
    fn open(&self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let Self { last, end } = *self;
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
                seen += usize::from(joiner.tables[0].single(&out[..len]).is_some());
                let opened = joiner.open_padded(&mut out, len).unwrap();
                assert_eq!(joiner.open_end(&mut other, len), Some(opened));
                assert!(out[..opened] == other[..opened], "{seed}");
            }
        }
        assert!(seen > 130, "{seen}");
    }

    /// Two streams at once are as each alone, whichever is the longer one.
    #[test]
    fn two_at_once_are_as_each_alone() {
        let mut joiner = Joiner::default();
        let words = b"many words, and /usr/share/doc of some package more ";
        let text = |seed: u32, len: usize| -> Vec<u8> {
            let spread = [3, 11, 60, 200, 256][seed as usize % 5];
            let picks = noise(len / 4, seed * 77 + 1, spread);
            let letters =
                picks.iter().flat_map(|at| &words[*at as usize % 40..][..1 + *at as usize % 7]);
            letters.copied().collect()
        };
        let plains = [vec![], b"a".to_vec(), noise(100_000, 7, 256), vec![0; 300_000]];
        let plains: Vec<Vec<u8>> = plains
            .into_iter()
            .chain((1..12).map(|seed| text(seed, 30_000 * seed as usize)))
            .collect();
        for (at, one) in plains.iter().enumerate() {
            let other = &plains[(at * 7 + 3) % plains.len()];
            for levels in [[2, 2], [1, 6]] {
                let (mut first, len) = deflate(one, levels[0]);
                let (mut second, other_len) = deflate(other, levels[1]);
                let mut alone = [first.clone(), second.clone()];
                let lens = joiner.open_both((&mut first, len), (&mut second, other_len)).unwrap();
                for ((alone, both), (len, opened)) in alone
                    .iter_mut()
                    .zip([&first, &second])
                    .zip([len, other_len].into_iter().zip(lens))
                {
                    assert_eq!(joiner.open_end(alone, len), Some(opened), "{at} {levels:?}");
                    assert!(alone[..opened] == both[..opened], "{at} {levels:?}");
                }
            }
        }
        let (out, len) = deflate(&plains[7], 2);
        let cut = |first: usize, second: usize| {
            Joiner::default().open_both((&mut out.clone(), first), (&mut out.clone(), second))
        };
        assert!(cut(len, len).is_some());
        assert!(cut(len, len - 1).is_none() && cut(len / 2, len).is_none());
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
            Joiner::default().open_padded(&mut bytes, len);
            Joiner::default().open_end(&mut bytes, len);
            let mut other = bytes.clone();
            Joiner::default().open_both((&mut bytes, len), (&mut other, len));
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
