//! Tars that are read where they lie.
//!
//! An [`Archive`] reads the headers once and keeps what is where; members are then read by any
//! number of streams at once, each from its own place in the file. What cannot be read so, because
//! it is compressed or comes through a pipe, is first unpacked into a file without a name in the
//! folder for big temporary files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use skopeo_blob::{ByteStream, file};
use skopeo_image::number::wide;
use skopeo_system::At;

use crate::error::{Fault, TarError};
use crate::index::{self, Index, Member, ReadAt};
use crate::spool::{self, Scratch};

/// A tar that is read in place. Cheap to clone.
///
/// Names are looked up clean: `x` is `./x`, `/x` and `a/../x` too. Of several members of one name
/// the last counts, as if the archive were unpacked. Links inside of the archive are followed.
/// Sparse members are known but cannot be read.
#[derive(Clone, Debug)]
pub struct Archive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    index: Index,
}

impl Archive {
    /// Opens an archive: a plain tar, or one packed by gzip, bzip2, xz or zstd, in a file or from a
    /// pipe (`/dev/stdin`). Blocks until all headers have been read, and before that, where it has
    /// to be unpacked, until all of it has come.
    ///
    /// # Errors
    /// If it cannot be opened, is no tar, is cut off, or has more members or longer names than are
    /// worth the memory; if more comes out of it than may.
    pub fn open(path: &Path, scratch: &Scratch) -> Result<Self, TarError> {
        Self::of_file(spool::plain(path, scratch)?, path)
    }

    /// Returns a plain tar in a file that is open already; `path` is what errors call it. Blocks
    /// until all headers have been read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of_file(file: File, path: &Path) -> Result<Self, TarError> {
        let fault = |source| TarError::Read { archive: path.to_owned(), source };
        let length = file.metadata().map_err(|error| fault(Fault::Io(error.into())))?.len();
        let index = Index::scan(&file, length).map_err(fault)?;
        Ok(Self(Arc::new(Inner { path: path.to_owned(), file, index })))
    }

    /// Returns the file of that name; `None` if there is none.
    ///
    /// # Errors
    /// If it is sparse, or a link that leads out of the archive or in a circle.
    pub fn find(&self, name: &str) -> Result<Option<Member>, TarError> {
        let clean = String::from_utf8(index::clean(name.as_bytes())).unwrap_or_default();
        self.0.index.find(&clean).map_err(|fault| self.fault(fault))
    }

    /// Returns all regular files, by name; those of the same name in the order of the archive.
    pub fn members(&self) -> impl Iterator<Item = (&str, Member)> {
        self.0.index.members()
    }

    /// Returns an error if the archive has a member whose name leads out of the folder it is for.
    /// Nothing is ever written under such a name here; but programs that unpack archives refuse it
    /// too.
    ///
    /// # Errors
    /// If there is one.
    pub fn must_be_inside(&self) -> Result<(), TarError> {
        match self.0.index.leading_out() {
            None => Ok(()),
            Some(name) => Err(self.fault(Fault::Outside(name.to_owned()))),
        }
    }

    /// Returns the path of the file, as it was named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns the error that a member is missing.
    #[must_use]
    pub fn missing(&self, name: &str) -> TarError {
        self.fault(Fault::Missing(name.to_owned()))
    }

    /// Returns all of a small file; `None` if there is none of that name. Blocks.
    ///
    /// # Errors
    /// As [`find`](Self::find); if it is longer than `limit` bytes; if it cannot be read.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Bytes>, TarError> {
        let Some(member) = self.find(name)? else { return Ok(None) };
        let Member { size, .. } = member;
        if size > limit {
            return Err(self.fault(Fault::TooLarge { name: name.to_owned(), size, limit }));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let read = self.reader(member).take(size).read_to_end(&mut bytes);
        let read = read.and_then(|read| {
            if wide(read) == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        });
        read.map_err(|error| self.fault(Fault::Io(error.into())))?;
        Ok(Some(bytes.into()))
    }

    /// Returns the bytes of a file, read by a blocking thread of their own.
    #[must_use]
    pub fn stream(&self, member: Member) -> ByteStream {
        file::read(self.reader(member), member.size)
    }

    /// Returns the archive from the first byte of a file on: who reads stops where the file ends.
    /// Blocks.
    #[must_use]
    pub fn reader(&self, member: Member) -> impl Read + Send + use<> {
        Section { archive: self.clone(), at: member.offset }
    }

    fn fault(&self, source: Fault) -> TarError {
        TarError::Read { archive: self.0.path.clone(), source }
    }
}

/// The file from some place on, with a position of its own.
struct Section {
    archive: Archive,
    at: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = At::read_at(&self.archive.0.file, buffer, self.at)?;
        self.at = self.at.saturating_add(wide(read));
        Ok(read)
    }
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        At::read_at(self, buffer, offset)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use futures_util::TryStreamExt;

    use super::*;

    /// An archive as GNU tar makes it, with `big` and `small`.
    fn sample(folder: &Path) -> Vec<u8> {
        let big: Vec<u8> = (0..700_000_u32).map(|i| (i % 251) as u8).collect();
        fs_err::write(folder.join("big"), &big).unwrap();
        fs_err::write(folder.join("small"), "small").unwrap();
        let tar = Command::new("tar").arg("-C").arg(folder).args(["-c", "./big", "small"]).output();
        tar.unwrap().stdout
    }

    #[tokio::test]
    async fn reads_plain_packed_and_piped_archives() {
        let tmp = tempfile::tempdir().unwrap();
        let plain = sample(tmp.path());
        let path = tmp.path().join("archive");
        for program in [&["cat"][..], &["gzip"], &["bzip2"], &["xz"], &["zstd", "-q"]] {
            let mut child = Command::new(program[0])
                .args(&program[1..])
                .stdin(Stdio::piped())
                .stdout(fs_err::File::create(&path).unwrap().into_parts().0)
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(&plain).unwrap();
            assert!(child.wait().unwrap().success());
            if program[0] == "gzip" {
                let packed = fs_err::read(&path).unwrap();
                let empty = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
                fs_err::write(&path, [&empty[..], &packed, empty].concat()).unwrap();
            }
            let fifo = tmp.path().join(format!("fifo-{}", program[0]));
            let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
            assert!(made.success());
            let writer = {
                let (path, fifo) = (path.clone(), fifo.clone());
                std::thread::spawn(move || fs_err::copy(path, fifo).unwrap())
            };
            for path in [&path, &fifo] {
                let archive = Archive::open(path, &Scratch::at(tmp.path())).unwrap();
                assert_eq!(archive.read("small", 5).unwrap().unwrap(), "small");
                let big = archive.find("big").unwrap().unwrap();
                // Twice at once.
                let read = || archive.stream(big).try_collect::<Vec<Bytes>>();
                let (one, two) = tokio::try_join!(read(), read()).unwrap();
                assert_eq!(one.concat(), fs_err::read(tmp.path().join("big")).unwrap());
                assert_eq!(one.concat(), two.concat());
            }
            writer.join().unwrap();
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let tmp = tempfile::tempdir().unwrap();
        let plain = sample(tmp.path());
        let path = tmp.path().join("archive");
        let error = |path: &Path, tmpdir: &Path| {
            let mut text = String::new();
            let error = Archive::open(path, &Scratch::at(tmpdir)).unwrap_err();
            let mut next: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = next {
                text = format!("{text}{}{error}", if text.is_empty() { "" } else { ": " });
                next = error.source();
            }
            text.replace(tmp.path().to_str().unwrap(), "@")
        };
        assert_eq!(error(&path, tmp.path()), "open @/archive: no such file or directory");
        assert_eq!(error(tmp.path(), tmp.path()), "reading archive @: read @: is a directory");
        fs_err::write(&path, &plain[..5000]).unwrap();
        assert_eq!(
            error(&path, tmp.path()),
            "reading archive @/archive: member \"big\" is truncated: it should have 700000 bytes, but has 4488"
        );
        fs_err::write(&path, b"\x1f\x8b\x08\0\0\0\0\0\0\x03nonsense").unwrap();
        let text = error(&path, tmp.path());
        assert!(
            text.starts_with("unpacking archive @/archive: decompressing gzip data: "),
            "{text}"
        );
        let nowhere = tmp.path().join("nowhere");
        assert!(
            error(&path, &nowhere).starts_with(
                "unpacking archive @/archive: writing a temporary file in @/nowhere: no such file"
            ),
            "{}",
            error(&path, &nowhere)
        );
        fs_err::write(&path, &plain).unwrap();
        let archive = Archive::open(&path, &Scratch::at(tmp.path())).unwrap();
        assert!(archive.read("none", 5).unwrap().is_none());
        let error = archive.read("small", 4).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "member \"small\" has 5 bytes, more than the limit of 4");
    }
}
