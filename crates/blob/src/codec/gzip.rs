//! One gzip member, deflated in parallel.
//!
//! The input is cut into blocks. Each is deflated by itself, by libdeflate, whose streams are then
//! joined to one: see [`join`]. Several members would be simpler, but some consumers read only the
//! first.

use std::io;
use std::ops::RangeInclusive;

use bytes::Bytes;
use flate2::Crc;
use libdeflater::{CompressionLvl, Compressor};
use skopeo_image::Compression;
use skopeo_image::number::wide;

use super::crew::{Crew, Desk, MOST, Pool};
use super::decoder::Decoder;
use super::join::Joiner;
use crate::StreamError;
use crate::pipe::{Output, Stopped};
use crate::sizes::PIECE;

/// What is deflated at once, in bytes. Nothing in a block refers to the one before it: four times
/// as much would save 0.4 %.
const BLOCK: usize = 256 * 1024;

/// How much of a block is tried before all of it is stored as it is, in bytes.
const SAMPLE: usize = 8 * 1024;

/// A little smaller than what the original makes by default, in three quarters of its time.
const DEFAULT_LEVEL: i32 = 2;

/// As the original has them.
pub(super) const LEVELS: RangeInclusive<i32> = -2..=9;

/// Deflate, no flags, no time, no name, unknown system (RFC 1952, section 2.3).
const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// An empty final block: every block before it is written without knowing whether it is the last.
const FINAL_BLOCK: &[u8] = &[0x03, 0x00];

static POOL: Pool<Block> = Pool::new();

pub(super) fn encode(
    input: &mut Decoder,
    level: Option<i32>,
    output: &Output,
) -> Result<(), Stopped> {
    let level = match level {
        None | Some(-1) => DEFAULT_LEVEL,
        // Codes without repetitions, which libdeflate does not make: this is as fast, and smaller.
        Some(..=-2) => 1,
        Some(level) => level.clamp(0, *LEVELS.end()),
    };
    let failed =
        |source| Stopped::Failed(StreamError::Encode { compression: Compression::Gzip, source });
    let mut crew = Crew::new(&POOL, Block::new, MOST);
    let mut checksum = Crc::new();
    output.put(Bytes::from_static(HEADER))?;
    let mut ended = false;
    loop {
        let free = if ended { None } else { crew.free() };
        if let Some(mut block) = free {
            ended = !input.refill(&mut block.plain, BLOCK)?;
            if ended {
                crew.give_back(block);
            } else {
                block.level = level;
                crew.start(block);
            }
            continue;
        }
        let Some(block) = crew.first().map_err(failed)? else { break };
        checksum.combine(&block.checksum);
        for piece in block.deflated().map_err(failed)?.chunks(PIECE) {
            output.put(Bytes::copy_from_slice(piece))?;
        }
        crew.give_back(block);
    }
    let mut end = FINAL_BLOCK.to_vec();
    end.extend_from_slice(&checksum.sum().to_le_bytes());
    end.extend_from_slice(&checksum.amount().to_le_bytes());
    output.put(Bytes::from(end))
}

struct Block {
    level: i32,
    /// Made at first use, for the level it is for: it has a megabyte.
    compressor: Option<(i32, Compressor)>,
    joiner: Joiner,
    plain: Vec<u8>,
    deflated: Vec<u8>,
    len: usize,
    checksum: Crc,
}

impl Block {
    fn new() -> Self {
        Self {
            level: DEFAULT_LEVEL,
            compressor: None,
            joiner: Joiner::default(),
            plain: Vec::with_capacity(BLOCK),
            deflated: Vec::new(),
            len: 0,
            checksum: Crc::new(),
        }
    }

    fn deflated(&self) -> io::Result<&[u8]> {
        self.deflated.get(..self.len).ok_or_else(|| io::Error::other("a block is not there"))
    }

    /// Takes the bytes as they are, in stored blocks (RFC 1951, section 3.2.4), none the last.
    fn store(&mut self) {
        self.deflated.clear();
        for bytes in self.plain.chunks(usize::from(u16::MAX)) {
            let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes();
            self.deflated.extend_from_slice(&[0, len[0], len[1], !len[0], !len[1]]);
            self.deflated.extend_from_slice(bytes);
        }
        self.len = self.deflated.len();
    }
}

/// Whether all values of a byte are so evenly frequent that no code for them is shorter: noise, or
/// what is packed already. Searching it for repetitions takes five times as long as any other data.
fn is_even(plain: &[u8]) -> bool {
    if plain.len() < 4 * SAMPLE {
        return false;
    }
    let mut counts = [0_u64; 256];
    for byte in plain {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    let square = |number: u64| number.saturating_mul(number);
    let squares = counts.into_iter().map(square).fold(0, u64::saturating_add);
    let most = square(wide(plain.len()));
    // The least that is possible is len²/256; noise is len above that.
    squares.saturating_mul(256) < most.saturating_add(most / 64)
}

impl Desk for Block {
    fn work(mut self) -> io::Result<Self> {
        self.checksum.reset();
        self.checksum.update(&self.plain);
        let compressor = match &mut self.compressor {
            Some((level, compressor)) if *level == self.level => compressor,
            other => {
                let level = CompressionLvl::new(self.level)
                    .map_err(|_| io::Error::other("no such level"))?;
                &mut other.insert((self.level, Compressor::new(level))).1
            }
        };
        let bound = compressor.deflate_compress_bound(self.plain.len());
        let room = bound.saturating_add(Joiner::ROOM);
        if self.deflated.len() < room {
            self.deflated.resize(room, 0);
        }
        let out = self.deflated.get_mut(..bound).unwrap_or_default();
        let middle = self.plain.get(self.plain.len() / 2..).and_then(|half| half.get(..SAMPLE));
        if let Some(sample) = middle.filter(|_| is_even(&self.plain)) {
            // Evenly spread bytes may still repeat.
            let len = compressor.deflate_compress(sample, out).map_err(io::Error::other)?;
            if len >= SAMPLE - SAMPLE / 64 {
                self.store();
                return Ok(self);
            }
        }
        let len = compressor.deflate_compress(&self.plain, out).map_err(io::Error::other)?;
        self.len = self
            .joiner
            .open_end(&mut self.deflated, len)
            .ok_or_else(|| io::Error::other("what was deflated cannot be read"))?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut block = Block::new();
        block.plain.extend_from_slice(plain);
        // What an earlier block left must not show.
        block.deflated = vec![0xaa; 10];
        let block = block.work().unwrap();
        let whole = [block.deflated().unwrap(), FINAL_BLOCK].concat();
        let mut unpacked = Vec::new();
        flate2::read::DeflateDecoder::new(&whole[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain);
        block.deflated().unwrap().to_vec()
    }

    #[test]
    fn noise_is_stored_and_all_else_is_packed() {
        let mut state = 20_261_121_u64;
        let mut noise = |len: usize| -> Vec<u8> {
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            };
            (0..len).map(|_| next()).collect()
        };
        for len in [4 * SAMPLE, 100_000, BLOCK] {
            let stored = packed(&noise(len));
            assert_eq!((stored[0], stored.len()), (0, len + 5 * len.div_ceil(65_535)), "{len}");
        }
        let text: Vec<u8> = noise(BLOCK).iter().map(|byte| byte % 64).collect();
        assert!(packed(&text).len() < BLOCK * 4 / 5);
        let repeated = noise(1000).repeat(BLOCK / 1000);
        assert!(packed(&repeated).len() < BLOCK / 20);
        let counted: Vec<u8> = (0..BLOCK).map(|at| at as u8).collect();
        assert!(packed(&counted).len() < BLOCK / 20);
        packed(b"");
        packed(&noise(100));
    }
}
