//! Where the bytes of a tar go, and the part of it that one member may write to.

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use skopeo_blob::WriteBack;
use skopeo_image::number::wide;
use skopeo_system::At as _;

use super::regions::Region;

/// Where the bytes go. A pipe takes them in their order, whatever place they are said to have.
#[derive(Clone)]
pub(super) enum Sink {
    File(Arc<fs_err::File>),
    Stream(Arc<Mutex<Box<dyn Write + Send>>>),
}

impl Sink {
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all_at(bytes, at),
            Self::Stream(pipe) => {
                pipe.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
            }
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Stream(_) => f.debug_tuple("Stream").finish_non_exhaustive(),
        }
    }
}

/// The bytes of one member in its region: nothing is written outside of it, whatever comes. Who
/// writes it owns it, so that it goes back only when nothing is written there any more.
#[derive(Debug)]
pub(super) struct Section<T> {
    sink: Sink,
    region: Region,
    body: Range<u64>,
    at: u64,
    back: WriteBack,
    held: T,
}

impl<T> Section<T> {
    /// The bytes from `start` on, `size` of them or, where that is not known, as many as there is
    /// room for. `held` is let go of when the writing has ended, even if nobody waits for that.
    pub(super) fn new(
        sink: Sink,
        region: Region,
        start: u64,
        size: Option<u64>,
        held: T,
    ) -> io::Result<Self> {
        let place = region.range();
        let end = match size {
            Some(size) => start.checked_add(size).ok_or(io::ErrorKind::FileTooLarge)?,
            None => place.end,
        };
        if !(place.start <= start && start <= end && end <= place.end) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let back = WriteBack::from(start);
        Ok(Self { sink, region, body: start..end, at: start, back, held })
    }

    /// Where the bytes go.
    pub(super) fn sink(&self) -> &Sink {
        &self.sink
    }

    /// What is held until the writing has ended.
    pub(super) fn held(&mut self) -> &mut T {
        &mut self.held
    }

    /// Ends the member behind what has been written: gives its region, where its bytes are in that,
    /// and what was held.
    pub(super) fn end(self) -> (Region, Range<u64>, T) {
        (self.region, self.body.start..self.at, self.held)
    }
}

impl<T> Write for Section<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.at.checked_add(wide(bytes.len()));
        let end = end.filter(|end| *end <= self.body.end).ok_or(io::ErrorKind::FileTooLarge)?;
        self.region.reaches(end);
        self.sink.write(self.at, bytes)?;
        self.at = end;
        if let Sink::File(file) = &self.sink {
            self.back.wrote(file.file(), bytes.len());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::regions::Regions;
    use super::*;

    #[test]
    fn a_section_ends_where_it_ends() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (file, path) = file.into_parts();
        let sink = Sink::File(Arc::new(fs_err::File::from_parts(file, &path)));
        let regions = Regions::default();
        let [first, second] = [8, 8].map(|len| regions.take(len).unwrap());
        let mut first = Section::new(sink.clone(), first, 2, Some(5), ()).unwrap();
        for (bytes, taken) in [("abc", true), ("def", false), ("de", true), ("f", false)] {
            assert_eq!(first.write_all(bytes.as_bytes()).is_ok(), taken, "{bytes}");
        }
        assert_eq!(first.end().1, 2..7);
        assert_eq!(fs_err::read(&path).unwrap(), b"\0\0abcde");
        let mut second = Section::new(sink.clone(), second, 9, None, ()).unwrap();
        assert!(second.write_all(b"12345678").is_err());
        second.write_all(b"1234567").unwrap();
        assert_eq!(second.end().1, 9..16);
        // Not even where it is said to be.
        for (start, size) in [(7, Some(1)), (0, None), (16, Some(9)), (20, Some(u64::MAX))] {
            let region = Regions::default();
            drop(region.take(8));
            let (_first, region) = (region.take(10), region.take(8).unwrap());
            let place = region.range();
            let section = Section::new(sink.clone(), region, start, size, ());
            assert!(section.is_err(), "{start} {size:?} in {place:?}");
        }
    }
}
