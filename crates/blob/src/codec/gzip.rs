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
use crate::pipe::{BATCH, Output, Stopped};

/// How far back deflate can refer, in bytes.
const WINDOW: usize = 32 * 1024;

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
    let mut running: VecDeque<oneshot::Receiver<io::Result<Deflated>>> = VecDeque::new();
    let mut checksum = Crc::new();
    let mut before = Bytes::new();
    output.put(Bytes::from_static(HEADER))?;
    loop {
        let block = input.block(BATCH)?.map(Bytes::from);
        if let Some(block) = &block {
            let (to, result) = oneshot::channel();
            let dictionary = before.slice(before.len().saturating_sub(WINDOW)..);
            before = block.clone();
            let block = block.clone();
            tokio::task::spawn_blocking(move || to.send(deflate(&block, &dictionary, level)).ok());
            running.push_back(result);
        }
        while running.len() >= at_once || (block.is_none() && !running.is_empty()) {
            let Some(first) = running.pop_front() else { break };
            let deflated = first.blocking_recv().map_err(io::Error::other).flatten();
            let deflated = deflated.map_err(|source| {
                Stopped::Failed(StreamError::Encode { compression: Compression::Gzip, source })
            })?;
            checksum.combine(&deflated.checksum);
            output.put(deflated.bytes)?;
        }
        if block.is_none() {
            break;
        }
    }
    let mut end = FINAL_BLOCK.to_vec();
    end.extend_from_slice(&checksum.sum().to_le_bytes());
    end.extend_from_slice(&checksum.amount().to_le_bytes());
    output.put(Bytes::from(end))
}

struct Deflated {
    bytes: Bytes,
    checksum: Crc,
}

fn deflate(block: &[u8], dictionary: &[u8], level: u32) -> io::Result<Deflated> {
    let mut checksum = Crc::new();
    checksum.update(block);
    let mut compress = Compress::new(flate2::Compression::new(level), false);
    if !dictionary.is_empty() {
        compress.set_dictionary(dictionary)?;
    }
    // Stored blocks add 5 bytes each 64 KiB at most, so this is enough at once.
    let mut bytes = Vec::with_capacity(block.len() + block.len() / 8 + 1024);
    loop {
        let taken = usize::try_from(compress.total_in()).map_err(io::Error::other)?;
        compress.compress_vec(&block[taken..], &mut bytes, FlushCompress::Sync)?;
        // Room left means that the flush is complete.
        if bytes.len() < bytes.capacity() {
            break;
        }
        bytes.reserve(BATCH);
    }
    bytes.shrink_to_fit();
    Ok(Deflated { bytes: bytes.into(), checksum })
}
