//! Pieces of a tar, each packed as a zstd frame of its own, on many threads.

use std::io::{self, Write};
use std::ops::Range;

use skopeo_image::number::{narrow, wide};
use skopeo_image::{Algorithm, Digest, Hasher};
use zstd::bulk::Compressor;
use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder;

use super::super::crew::Desk;
use super::header::File;

/// When so many bytes are together, they are packed.
const FULL: usize = 256 * 1024;

/// When so many pieces are.
const MANY: usize = 4096;

/// Some pieces that follow each other.
#[derive(Default)]
pub(super) struct Sheaf {
    pub(super) level: i32,
    compressor: Option<(i32, Compressor<'static>)>,
    plain: Vec<u8>,
    open: usize,
    pub(super) parts: Vec<Part>,
    pub(super) packed: Vec<u8>,
    scratch: Vec<u8>,
}

/// What a sheaf is made of, in the order of the tar.
pub(super) enum Part {
    /// Headers, and what files are filled up with.
    Raw { plain: Range<usize>, packed: usize },
    /// Contents of the file that is named next.
    Chunk { plain: Range<usize>, packed: usize, digest: Option<Digest> },
    /// The same, nothing but zeros.
    Hole { zeros: u64, packed: usize, digest: Option<Digest> },
    /// The file that the chunks before are of, and the digest of its contents.
    File(Box<File>, Option<Digest>),
}

impl Sheaf {
    /// Makes it empty.
    pub(super) fn clear(&mut self, level: i32) {
        self.level = level;
        self.plain.clear();
        self.parts.clear();
        self.packed.clear();
        self.open = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.open == self.plain.len()
    }

    pub(super) fn is_full(&self) -> bool {
        let zeros = matches!(self.parts.last(), Some(Part::Hole { zeros, .. }) if *zeros > 1 << 20);
        self.plain.len() >= FULL || self.parts.len() >= MANY || zeros
    }

    /// Adds to the piece that is not closed yet, until it has `most` bytes, and gives what is left.
    pub(super) fn push_up_to<'a>(&mut self, most: usize, bytes: &'a [u8]) -> &'a [u8] {
        let room = most.saturating_sub(self.pushed());
        let (now, rest) = bytes.split_at(room.min(bytes.len()));
        self.plain.extend_from_slice(now);
        rest
    }

    /// How many bytes that piece has.
    pub(super) fn pushed(&self) -> usize {
        self.plain.len().saturating_sub(self.open)
    }

    /// Closes the piece; an empty one is none.
    pub(super) fn close(&mut self, part: impl FnOnce(Range<usize>) -> Part) {
        let plain = self.open..self.plain.len();
        if !plain.is_empty() {
            self.open = plain.end;
            self.parts.push(part(plain));
        }
    }
}

impl Desk for Sheaf {
    fn work(mut self) -> io::Result<Self> {
        let compressor = match &mut self.compressor {
            Some((level, compressor)) if *level == self.level => compressor,
            other => {
                let mut compressor = Compressor::new(self.level)?;
                compressor.set_parameter(CParameter::ChecksumFlag(true))?;
                &mut other.insert((self.level, compressor)).1
            }
        };
        let bytes_of = |plain: &Range<usize>| {
            self.plain.get(plain.clone()).ok_or_else(|| io::Error::other("a piece is missing"))
        };
        for part in &mut self.parts {
            match part {
                Part::Raw { plain, packed } | Part::Chunk { plain, packed, .. } => {
                    let bytes = bytes_of(plain)?;
                    self.scratch.clear();
                    self.scratch.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
                    *packed = compressor.compress_to_buffer(bytes, &mut self.scratch)?;
                    self.packed.extend_from_slice(&self.scratch);
                }
                Part::Hole { zeros, packed, digest } => {
                    let before = self.packed.len();
                    *digest = Some(pack_zeros(*zeros, &mut self.packed)?);
                    *packed = self.packed.len().saturating_sub(before);
                }
                Part::File(..) => {}
            }
            if let Part::Chunk { plain, digest, .. } = part {
                *digest = Some(Digest::sha256(bytes_of(plain)?));
            }
        }
        Ok(self)
    }
}

/// Adds a frame of so many zeros, and gives their digest.
fn pack_zeros(zeros: u64, out: &mut Vec<u8>) -> io::Result<Digest> {
    let block = [0; 64 * 1024];
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut encoder = Encoder::new(out, 1)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(zeros))?;
    let mut left = zeros;
    while left > 0 {
        let some = block.get(..narrow(left)).unwrap_or(&block);
        hasher.update(some);
        encoder.write_all(some)?;
        left = left.saturating_sub(wide(some.len()));
    }
    encoder.finish()?;
    Ok(hasher.finish())
}
