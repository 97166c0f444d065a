//! One gzip member, deflated in parallel.
//!
//! The input is cut into blocks. Each is deflated by itself, by libdeflate, whose streams are then
//! joined to one: see [`super::join`]. Several members would be simpler, but some consumers read
//! only the first. What is measured, and what was weighed: docs/decisions/one-gzip-member.md.

use std::io;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

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

/// What is deflated at once, in bytes.
const BLOCK: usize = 2 * HALF;

/// How much of a block is one of two streams of libdeflate, in bytes. Nothing in a stream refers to
/// the one before it: twice as much would save 0.3 %.
const HALF: usize = 4 * FAST_PART;

/// How much of a block one stream of libdeflate's first level has, in bytes: of no more than this
/// it makes a single deflate block nearly always, whose end is known without reading it.
const FAST_PART: usize = 65_535;

/// How much of a block is tried before all of it is stored as it is, in bytes.
const SAMPLE: usize = 8 * 1024;

/// How many buffers are kept for later. More than this many are on their way only while a slow
/// destination holds the pieces of blocks that are done.
const MOST_IDLE: usize = 4;

/// A little smaller than what the original makes by default.
const DEFAULT_LEVEL: i32 = 2;

/// The level for who cannot wait: 5 % larger, in six tenths of the time.
const FAST_LEVEL: i32 = 1;

/// By default every third block is fast: the whole is at most 1 % larger than what the original makes.
const DEFAULT_LEVELS: [i32; 3] = [DEFAULT_LEVEL, DEFAULT_LEVEL, FAST_LEVEL];

/// As the original has them.
pub(super) const LEVELS: RangeInclusive<i32> = -2..=9;

/// Deflate, no flags, no time, no name, unknown system (RFC 1952, section 2.3).
const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// An empty final block: every block before it is written without knowing whether it is the last.
const FINAL_BLOCK: &[u8] = &[0x03, 0x00];

static POOL: Pool<Block> = Pool::new();

/// Compressors that nobody works with, and their levels. There are never more than threads have
/// worked at once for each level.
static COMPRESSORS: Mutex<Vec<(i32, Compressor)>> = Mutex::new(Vec::new());

/// Buffers of blocks that have been written out, for those that come.
static BUFFERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

pub(super) fn encode(
    input: &mut Decoder,
    level: Option<i32>,
    output: &Output,
) -> Result<(), Stopped> {
    let mut levels = match level {
        None | Some(-1) => DEFAULT_LEVELS,
        // Codes without repetitions, which libdeflate does not make: this is as fast, and smaller.
        Some(..=-2) => [FAST_LEVEL; 3],
        Some(level) => [level.clamp(0, *LEVELS.end()); 3],
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
                block.level = levels[0];
                levels.rotate_left(1);
                crew.start(block);
            }
            continue;
        }
        let Some(mut block) = crew.first().map_err(failed)? else { break };
        checksum.combine(&block.checksum);
        let mut deflated = block.take_deflated();
        crew.give_back(block);
        while !deflated.is_empty() {
            output.put(deflated.split_to(PIECE.min(deflated.len())))?;
        }
    }
    let mut end = FINAL_BLOCK.to_vec();
    end.extend_from_slice(&checksum.sum().to_le_bytes());
    end.extend_from_slice(&checksum.amount().to_le_bytes());
    output.put(Bytes::from(end))
}

struct Block {
    /// libdeflate's.
    level: i32,
    joiner: Joiner,
    plain: Vec<u8>,
    /// Longer than what is in it, so that its bytes are set once and not for each block.
    deflated: Vec<u8>,
    len: usize,
    checksum: Crc,
}

impl Block {
    fn new() -> Self {
        Self {
            level: DEFAULT_LEVEL,
            joiner: Joiner::default(),
            plain: Vec::with_capacity(BLOCK),
            deflated: Vec::new(),
            len: 0,
            checksum: Crc::new(),
        }
    }

    /// What was deflated, without a copy: its buffer is used again when the last of its pieces has
    /// gone.
    fn take_deflated(&mut self) -> Bytes {
        let lent = Lent { buffer: std::mem::take(&mut self.deflated), len: self.len };
        Bytes::from_owner(lent)
    }

    /// Deflates parts of this length, each alone.
    fn deflate_parts(&mut self, compressor: &mut Compressor, part: usize) -> io::Result<()> {
        for start in (0..self.plain.len().max(1)).step_by(part) {
            let (at, made) = (self.len, self.deflate(compressor, start, part, self.len)?);
            let out = self.deflated.get_mut(at..).unwrap_or_default();
            let open = self.joiner.open_padded(out, made).ok_or_else(unreadable)?;
            self.len = self.len.saturating_add(open);
        }
        Ok(())
    }

    /// Deflates two halves.
    fn deflate_halves(&mut self, compressor: &mut Compressor) -> io::Result<()> {
        let first = self.deflate(compressor, 0, HALF, 0)?;
        let at = first.saturating_add(Joiner::ROOM);
        let second = self.deflate(compressor, HALF, HALF, at)?;
        let (one, other) = self.deflated.split_at_mut(at);
        let opened = self.joiner.open_both((one, first), (other, second));
        let [first, second] = opened.ok_or_else(unreadable)?;
        self.deflated.copy_within(at..at.saturating_add(second), first);
        self.len = first.saturating_add(second);
        Ok(())
    }

    /// Deflates so many plain bytes from `start` on, or as many as there are, to what is at `at`.
    /// Returns their new length.
    fn deflate(
        &mut self,
        compressor: &mut Compressor,
        start: usize,
        len: usize,
        at: usize,
    ) -> io::Result<usize> {
        let Self { plain, deflated, .. } = self;
        let plain = plain.get(start..).unwrap_or_default();
        let plain = plain.get(..len).unwrap_or(plain);
        let room = compressor.deflate_compress_bound(plain.len()).saturating_add(Joiner::ROOM);
        let whole = at.saturating_add(room);
        if deflated.len() < whole {
            deflated.resize(whole, 0);
        }
        let out = deflated.get_mut(at..whole).unwrap_or_default();
        compressor.deflate_compress(plain, out).map_err(io::Error::other)
    }

    /// Whether the plain bytes are better stored than searched.
    fn is_noise(&mut self, compressor: &mut Compressor) -> io::Result<bool> {
        let middle = self.plain.get(self.plain.len() / 2..).and_then(|half| half.get(..SAMPLE));
        let Some(sample) = middle.filter(|sample| is_even(sample, 8) && is_even(&self.plain, 64))
        else {
            return Ok(false);
        };
        // Evenly spread bytes may still repeat.
        let room = compressor.deflate_compress_bound(sample.len());
        if self.deflated.len() < room {
            self.deflated.resize(room, 0);
        }
        let made = compressor.deflate_compress(sample, &mut self.deflated);
        Ok(made.map_err(io::Error::other)? >= SAMPLE - SAMPLE / 64)
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

fn unreadable() -> io::Error {
    io::Error::other("the compressed data cannot be read")
}

fn compressor_for(level: i32) -> io::Result<Compressor> {
    let mut idle = COMPRESSORS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = idle.iter().position(|(made_for, _)| *made_for == level) {
        return Ok(idle.swap_remove(at).1);
    }
    let level = CompressionLvl::new(level).map_err(|_| io::Error::other("no such level"))?;
    Ok(Compressor::new(level))
}

/// A block's bytes on their way. Goes back to [`BUFFERS`].
struct Lent {
    buffer: Vec<u8>,
    len: usize,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffers = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of stored blocks are as long as what they hold, and cheap to make.
        if buffers.len() < MOST_IDLE && self.buffer.len() > self.len {
            buffers.push(std::mem::take(&mut self.buffer));
        }
    }
}

/// Whether all values of a byte are so evenly frequent that no code for them is shorter: noise, or
/// what is packed already. Searching it for repetitions takes five times as long as any other data.
/// One part in `tolerance` may be uneven.
fn is_even(plain: &[u8], tolerance: u64) -> bool {
    if plain.len() < SAMPLE {
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
    let uneven = most.checked_div(tolerance).unwrap_or_default();
    squares.saturating_mul(256) < most.saturating_add(uneven)
}

impl Desk for Block {
    fn work(mut self) -> io::Result<Self> {
        self.checksum.reset();
        self.checksum.update(&self.plain);
        self.len = 0;
        if self.deflated.is_empty() {
            let idle = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner).pop();
            self.deflated = idle.unwrap_or_default();
        }
        let mut compressor = compressor_for(self.level)?;
        if self.plain.len() >= 4 * SAMPLE && self.is_noise(&mut compressor)? {
            self.store();
        } else if self.level == FAST_LEVEL {
            self.deflate_parts(&mut compressor, FAST_PART)?;
        } else if self.plain.len() > HALF {
            self.deflate_halves(&mut compressor)?;
        } else {
            self.deflate_parts(&mut compressor, HALF)?;
        }
        let mut idle = COMPRESSORS.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((self.level, compressor));
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn packed_at(plain: &[u8], level: i32) -> Vec<u8> {
        let mut block = Block::new();
        block.level = level;
        block.plain.extend_from_slice(plain);
        // What an earlier block left must not show.
        block.deflated = vec![0xaa; 10];
        let deflated = block.work().unwrap().take_deflated();
        let whole = [&deflated, FINAL_BLOCK].concat();
        let mut unpacked = Vec::new();
        flate2::read::DeflateDecoder::new(&whole[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain);
        deflated.to_vec()
    }

    fn packed(plain: &[u8]) -> Vec<u8> {
        for level in [FAST_LEVEL, 0, 9] {
            packed_at(plain, level);
        }
        packed_at(plain, DEFAULT_LEVEL)
    }

    #[test]
    fn buffers_of_others_change_nothing() {
        let text = b"a layer of some words and more words ".repeat(5000);
        let first = packed(&text);
        // The pool has the buffer of the first now, and whatever other tests left there.
        drop(Lent { buffer: vec![0xaa; 1 << 20], len: 5 });
        assert_eq!(packed(&text), first);
        assert!(BUFFERS.lock().unwrap().len() <= MOST_IDLE);
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
        let words = b"a layer of some words and more words ".repeat(BLOCK / 37 + 1);
        for len in [0, 1, 100, HALF - 1, HALF, HALF + 1, BLOCK - 1, BLOCK] {
            packed(&words[..len]);
            packed(&noise(len.min(100)));
        }
    }
}
