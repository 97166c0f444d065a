//! One gzip member, deflated in parallel.
//!
//! The input is cut into blocks. Each is deflated by itself, with the 32 KiB before it as its
//! dictionary, and ends at a byte boundary, so that the results can be joined to one deflate
//! stream; the checksums are combined. Several members would be simpler, but some consumers read
//! only the first.

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;

use bytes::Bytes;
use flate2::{Compress, Crc, FlushCompress};
use skopeo_image::Compression;
use tokio::sync::oneshot;

use super::decoder::Decoder;
use crate::StreamError;
use crate::pipe::{Output, PIECE, Stopped};

/// How far back deflate can refer, in bytes.
const WINDOW: usize = 32 * 1024;

/// What is deflated at once, in bytes: of smaller blocks the dictionaries would cost too much.
const BLOCK: usize = 256 * 1024;

/// More than this many blocks at once cost memory for little: a layer is then faster than any disk.
const MOST: usize = 8;

/// Gives the same size and speed as the original's parallel encoder at its default level.
const DEFAULT_LEVEL: i32 = 3;

/// Deflate, no flags, no time, no name, unknown system (RFC 1952, section 2.3).
const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// An empty final block: every block before it is written without knowing whether it is the last.
const FINAL_BLOCK: &[u8] = &[0x03, 0x00];

pub(super) fn encode(
    input: &mut Decoder,
    level: Option<i32>,
    output: &Output,
) -> Result<(), Stopped> {
    // zlib-rs 0.6 can panic at its level 1, so 2 is the fastest we use.
    let level = level.unwrap_or(DEFAULT_LEVEL).clamp(2, 9).unsigned_abs();
    let at_once = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST) + 1;
    let mut running: VecDeque<oneshot::Receiver<io::Result<Desk>>> = VecDeque::new();
    let mut spare: Vec<Desk> = Vec::new();
    let mut checksum = Crc::new();
    let mut before: Vec<u8> = Vec::with_capacity(WINDOW);
    output.put(Bytes::from_static(HEADER))?;
    loop {
        let mut desk = spare.pop().unwrap_or_else(|| Desk::new(level));
        let is_block = input.refill(&mut desk.block, BLOCK)?;
        if is_block {
            std::mem::swap(&mut desk.dictionary, &mut before);
            before.clear();
            before.extend_from_slice(&desk.block[desk.block.len().saturating_sub(WINDOW)..]);
            let (to, result) = oneshot::channel();
            tokio::task::spawn_blocking(move || to.send(desk.deflate()).ok());
            running.push_back(result);
        }
        while running.len() >= at_once || !is_block {
            let Some(first) = running.pop_front() else { break };
            let done = first.blocking_recv().map_err(io::Error::other).flatten();
            let done = done.map_err(|source| {
                Stopped::Failed(StreamError::Encode { compression: Compression::Gzip, source })
            })?;
            checksum.combine(&done.checksum);
            for piece in done.deflated.chunks(PIECE) {
                output.put(Bytes::copy_from_slice(piece))?;
            }
            spare.push(done);
        }
        if !is_block {
            break;
        }
    }
    let mut end = FINAL_BLOCK.to_vec();
    end.extend_from_slice(&checksum.sum().to_le_bytes());
    end.extend_from_slice(&checksum.amount().to_le_bytes());
    output.put(Bytes::from(end))
}

/// What one block is worked on with. It goes to a thread and comes back, again and again: buffers
/// made anew for each block, on many threads, made the program three times as large.
struct Desk {
    compress: Compress,
    dictionary: Vec<u8>,
    block: Vec<u8>,
    deflated: Vec<u8>,
    checksum: Crc,
}

impl Desk {
    fn new(level: u32) -> Self {
        Self {
            compress: Compress::new(flate2::Compression::new(level), false),
            dictionary: Vec::with_capacity(WINDOW),
            block: Vec::with_capacity(BLOCK),
            // A stored block adds 5 bytes each 64 KiB at most, so this is enough at once.
            deflated: Vec::with_capacity(BLOCK + BLOCK / 8),
            checksum: Crc::new(),
        }
    }

    fn deflate(mut self) -> io::Result<Self> {
        self.checksum.reset();
        self.checksum.update(&self.block);
        self.compress.reset();
        if !self.dictionary.is_empty() {
            self.compress.set_dictionary(&self.dictionary)?;
        }
        self.deflated.clear();
        loop {
            let taken = usize::try_from(self.compress.total_in()).map_err(io::Error::other)?;
            let rest = &self.block[taken..];
            self.compress.compress_vec(rest, &mut self.deflated, FlushCompress::Sync)?;
            // Room left means that the flush is complete.
            if self.deflated.len() < self.deflated.capacity() {
                return Ok(self);
            }
            self.deflated.reserve(BLOCK);
        }
    }
}
