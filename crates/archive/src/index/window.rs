//! Reads a tar at any place, a window at a time.

use std::io;

use skopeo_image::number::{narrow, wide};

use crate::error::Fault;

/// How much is read at once, in bytes: a header, what extends it and the next one, mostly.
const WINDOW: usize = 8 * 1024;

/// Bytes that can be read at any place.
pub(crate) trait ReadAt {
    /// As `pread(2)`.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut rest = self.get(narrow(offset)..).unwrap_or_default();
        io::Read::read(&mut rest, buffer)
    }
}

/// What has been read around the place where the walk is.
pub(super) struct Window<'a, R> {
    pub(super) input: &'a R,
    pub(super) length: u64,
    pub(super) start: u64,
    pub(super) bytes: Vec<u8>,
}

impl<R: ReadAt> Window<'_, R> {
    /// Copies what is at `offset`; less only at the end of the archive.
    pub(super) fn fill(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize, Fault> {
        let there = narrow(self.length.saturating_sub(offset)).min(buffer.len());
        let (buffer, _) = buffer.split_at_mut(there);
        if there > WINDOW {
            self.read(buffer, offset)?;
            return Ok(there);
        }
        let inside = |window: &Self| {
            let start = usize::try_from(offset.checked_sub(window.start)?).ok()?;
            Some(start..start.checked_add(there)?).filter(|range| range.end <= window.bytes.len())
        };
        let range = match inside(self) {
            Some(range) => range,
            None => {
                let size = narrow(self.length.saturating_sub(offset)).min(WINDOW);
                let mut bytes = std::mem::take(&mut self.bytes);
                bytes.resize(size, 0);
                self.read(&mut bytes, offset)?;
                self.start = offset;
                self.bytes = bytes;
                0..there
            }
        };
        for (to, from) in buffer.iter_mut().zip(self.bytes.get(range).unwrap_or_default()) {
            *to = *from;
        }
        Ok(there)
    }

    fn read(&self, mut buffer: &mut [u8], mut offset: u64) -> Result<(), Fault> {
        while !buffer.is_empty() {
            match self.input.read_at(buffer, offset) {
                Ok(0) => {
                    return Err(Fault::Io(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
                }
                Ok(read) => {
                    buffer = buffer.get_mut(read..).unwrap_or_default();
                    offset = offset.saturating_add(wide(read));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Io(error.into())),
            }
        }
        Ok(())
    }
}
