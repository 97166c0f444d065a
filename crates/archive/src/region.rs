//! A part of a file, read at any place by any number of readers. Nothing beyond it can be reached,
//! whatever a table in it says.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use fs_err::File;
use skopeo_image::number::{narrow, wide};
use skopeo_system::At as _;

/// A part of a file.
#[derive(Clone)]
pub struct Region {
    file: Arc<File>,
    start: u64,
    len: u64,
}

#[expect(clippy::len_without_is_empty, reason = "nobody asks")]
impl Region {
    /// Returns the first `len` bytes of a file.
    #[must_use]
    pub fn new(file: File, len: u64) -> Self {
        Self { file: Arc::new(file), start: 0, len }
    }

    /// Returns how many bytes there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns the `len` bytes from `start`.
    ///
    /// # Errors
    /// If they are not all there.
    pub fn part(&self, start: u64, len: u64) -> io::Result<Self> {
        let end = start.checked_add(len).filter(|end| *end <= self.len);
        let start = end.and_then(|_| self.start.checked_add(start)).ok_or_else(beyond)?;
        Ok(Self { file: self.file.clone(), start, len })
    }

    /// Reads the `len` bytes at `at`.
    ///
    /// # Errors
    /// If they are not all there, or cannot be read.
    pub fn bytes(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let part = self.part(at, wide(len))?;
        let mut bytes = vec![0; len];
        part.file.file().read_exact_at(&mut bytes, part.start)?;
        Ok(bytes)
    }

    /// Reads the `N` bytes at `at`.
    ///
    /// # Errors
    /// If they are not all there, or cannot be read.
    pub fn array<const N: usize>(&self, at: u64) -> io::Result<[u8; N]> {
        let part = self.part(at, wide(N))?;
        let mut bytes = [0; N];
        part.file.file().read_exact_at(&mut bytes, part.start)?;
        Ok(bytes)
    }

    /// Returns a reader of all of it, from its beginning.
    #[must_use]
    pub fn reader(&self) -> impl Read + Send + use<> {
        Reader { region: self.clone(), at: 0 }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("start", &self.start).field("len", &self.len).finish()
    }
}

struct Reader {
    region: Region,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = narrow(self.region.len.saturating_sub(self.at));
        let (buf, _) = buf.split_at_mut(buf.len().min(left));
        let at = self.region.start.checked_add(self.at).ok_or_else(beyond)?;
        let read = self.region.file.file().read_at(buf, at)?;
        self.at = self.at.saturating_add(wide(read));
        Ok(read)
    }
}

fn beyond() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the end of the file")
}
