//! zstd, by libzstd.

use std::io::{self, Write};
use std::num::NonZero;
use std::ops::RangeInclusive;

use bytes::Bytes;
use skopeo_image::Compression;
use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder;

use super::decoder::Decoder;
use crate::StreamError;
use crate::pipe::{Output, Stopped};
use crate::sizes::{BATCH, PIECE};

/// libzstd's own default, and its range.
const DEFAULT_LEVEL: i32 = 3;
pub(super) const LEVELS: RangeInclusive<i32> = -131_072..=22;

/// What every decoder has to support (RFC 8878, section 3.1.1.1.2), as a power of two: 8 MiB.
const WINDOW: u32 = 23;

/// What one thread compresses at once, in bytes; libzstd would take 8 MiB and more, for each layer.
/// Slow levels begin each job by looking through a part of the window.
const JOB: u32 = 1 << 20;
const SLOW_JOB: u32 = 4 << 20;
const SLOW_LEVEL: i32 = 10;

/// Threads beside ours for one layer; layers are compressed at the same time, too. Each has its
/// own tables, of 1 MiB at the default level, of 40 at slow ones.
const MOST: usize = 4;
const MOST_SLOW: usize = 2;

/// From this level on the tables have 80 MiB and more, so that there is one thread only.
const GREEDY_LEVEL: i32 = 16;

/// How large the tables of the last levels may become, as a power of two: without this, 640 MiB.
const TABLE: u32 = 24;

/// The level that is meant.
pub(super) fn level(level: Option<i32>, default: i32) -> i32 {
    level.unwrap_or(default).clamp(*LEVELS.start(), *LEVELS.end())
}

pub(super) fn encode(
    input: &mut Decoder,
    level: Option<i32>,
    output: &Output,
) -> Result<(), Stopped> {
    let mut pieces = Pieces { output, bytes: Vec::with_capacity(PIECE), stopped: None };
    match try_encode(input, level, &mut pieces) {
        Ok(()) => pieces.put(),
        Err(Failure::Input(stopped)) => Err(stopped),
        Err(Failure::Encoder(source)) => {
            Err(pieces.stopped.unwrap_or(Stopped::Failed(StreamError::Encode {
                compression: Compression::Zstd,
                source,
            })))
        }
    }
}

enum Failure {
    Input(Stopped),
    Encoder(io::Error),
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        Self::Input(stopped)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Encoder(error)
    }
}

fn try_encode(
    input: &mut Decoder,
    level: Option<i32>,
    pieces: &mut Pieces<'_>,
) -> Result<(), Failure> {
    let level = self::level(level, DEFAULT_LEVEL);
    let mut encoder = Encoder::new(pieces, level)?;
    encoder.include_checksum(true)?;
    if level > 19 {
        encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
        encoder.set_parameter(CParameter::HashLog(TABLE))?;
        encoder.set_parameter(CParameter::ChainLog(TABLE))?;
    }
    // What is made by jobs is not what is made without, but does not depend on how many run at once.
    if level < GREEDY_LEVEL {
        let slow = level >= SLOW_LEVEL;
        encoder.multithread(workers(if slow { MOST_SLOW } else { MOST }))?;
        encoder.set_parameter(CParameter::JobSize(if slow { SLOW_JOB } else { JOB }))?;
    }
    let mut block = Vec::new();
    while input.refill(&mut block, BATCH)? {
        encoder.write_all(&block)?;
    }
    encoder.finish()?;
    Ok(())
}

fn workers(most: usize) -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(processors.min(most)).unwrap_or(u32::MAX)
}

/// Collects what the encoder writes to pieces worth handing on.
struct Pieces<'a> {
    output: &'a Output,
    bytes: Vec<u8>,
    stopped: Option<Stopped>,
}

impl Pieces<'_> {
    fn put(&mut self) -> Result<(), Stopped> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.bytes, Vec::with_capacity(PIECE));
        self.output.put(Bytes::from(piece))
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE.saturating_sub(self.bytes.len());
        let now = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(now);
        if self.bytes.len() >= PIECE
            && let Err(stopped) = self.put()
        {
            self.stopped = Some(stopped);
            return Err(io::Error::other("nobody reads"));
        }
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
