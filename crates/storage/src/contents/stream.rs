//! The bytes of a tar, digested as they come.

use std::io::{ErrorKind, Read};

use skopeo_archive::header::{BLOCK, Block};
use skopeo_image::number::wide;
use skopeo_image::{Algorithm, Digest, Hasher};

use super::{Error, Result};

/// How many bytes are read at once: a file's contents are written in pieces of it.
const BUFFER: usize = 256 << 10;

/// The bytes of a tar.
pub(super) struct Stream<R> {
    source: R,
    buffer: Box<[u8]>,
    /// What of `buffer` was read and not yet given out.
    start: usize,
    end: usize,
    hash: Hasher,
    length: u64,
}

impl<R: Read> Stream<R> {
    pub(super) fn new(source: R) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { source, buffer, start: 0, end: 0, hash: Hasher::new(Algorithm::Sha256), length: 0 }
    }

    /// At most `most` of the next bytes; none at the end only.
    pub(super) fn piece(&mut self, most: u64) -> Result<&[u8]> {
        if self.start == self.end {
            self.fill()?;
        }
        let there = self.end.saturating_sub(self.start);
        let taken = usize::try_from(most).map_or(there, |most| most.min(there));
        let start = self.start;
        self.start = start.saturating_add(taken);
        Ok(self.buffer.get(start..self.start).unwrap_or_default())
    }

    /// The next block, and how many bytes of it there were before the end.
    pub(super) fn block(&mut self) -> Result<(Block, usize)> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let piece = self.piece(wide(rest.len()))?;
            if piece.is_empty() {
                break;
            }
            for (to, from) in rest.iter_mut().zip(piece) {
                *to = *from;
            }
            filled = filled.saturating_add(piece.len());
        }
        Ok((block, filled))
    }

    fn fill(&mut self) -> Result<()> {
        let read = loop {
            match self.source.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(Error::Read)?,
            }
        };
        (self.start, self.end) = (0, read);
        self.hash.update(self.buffer.get(..read).unwrap_or_default());
        self.length = self.length.saturating_add(wide(read));
        Ok(())
    }

    /// The digest and the length of what was read.
    pub(super) fn finish(self) -> (Digest, u64) {
        (self.hash.finish(), self.length)
    }
}
