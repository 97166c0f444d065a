//! Writing a tar in one pass.
//!
//! In a file, a member of which nothing is known yet is written at the end, and its header when its
//! name and size are known; members whose size is known get their place at once and are written
//! side by side. What goes through a pipe cannot be gone back to: there, what has no size yet is
//! kept in a temporary file until it has one; and so it is where several images are written at
//! once, lest all wait for the one that has the end.
//!
//! A size is known when the source itself has announced it, or when the bytes have come: what only
//! a manifest says reserves nothing. Each place belongs to one member (`regions`), which cannot
//! write outside of it (`sink`); one that was given to what never came is given to others, or
//! closed up when the tar ends (`finish`). So a source that lies spoils nothing but its own image.

mod finish;
mod head;
#[cfg(any(test, feature = "fuzzing"))]
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "for tests and the fuzzer only: its numbers are its own"
)]
pub(crate) mod lies;
mod place;
mod regions;
mod sink;
#[cfg(test)]
mod tests;

use std::io::{self, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use skopeo_blob::{Blob, StreamError, Unverified, file};
use skopeo_image::Digest;
use skopeo_image::number::wide;
use skopeo_system::{is_pipe, open_read_pipe, room};
use tempfile::TempPath;
use tokio::sync::OwnedMutexGuard;

use self::head::{Head, encode, too_large};
use self::place::MemberPlace;
use self::regions::Regions;
use self::sink::{Section, Sink};
use crate::Stamp;
use crate::error::TarWriteError;
use crate::ustar::BLOCK;

/// Up to this many bytes the place of a member is reserved without asking how much room there is.
const SMALL: u64 = 1 << 30;

/// The longest member, in bytes, whose place is reserved before its bytes have come. All that are
/// on their way together are far from the 16 TiB that a file of ext4 can have.
const LONG: u64 = 64 << 30;

/// A tar that is being written.
#[derive(Debug)]
pub struct Writer {
    sink: Sink,
    place: Mutex<Option<MemberPlace>>,
    tmpdir: PathBuf,
    /// The permissions of its files.
    mode: u64,
    /// Whether several images are written at once.
    for_many: bool,
    regions: Regions,
    tail: Arc<tokio::sync::Mutex<Tail>>,
}

/// What is to be done about a file that is where a tar is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// There was none; if there is one in the end, it stays.
    None,
    /// It is replaced, if it is still what it was.
    Replace(Stamp),
}

/// A small member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File {
        /// Its path in the tar.
        name: String,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// A folder, which who unpacks would make anyway.
    Folder {
        /// Its path in the tar, with a slash at its end.
        name: String,
    },
    /// A symbolic link.
    Link {
        /// Its path in the tar.
        name: String,
        /// Where it leads to, from its own folder.
        target: String,
    },
}

/// Returns whether a path leads to what nothing can be put in the place of: a pipe, a device, or,
/// by one of the system's names for it, what is open already.
pub fn is_special(path: &Path) -> bool {
    let open = ["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];
    open.iter().any(|name| path.starts_with(name))
        || fs_err::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Whether a path is the name of our standard output, and that is a pipe.
fn is_own_pipe(path: &Path) -> bool {
    let names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    names.iter().any(|name| Path::new(name) == path)
        && fs_err::metadata(path).is_ok_and(|found| is_pipe(&found))
}

impl Writer {
    /// Makes a tar in a regular file: an empty one on the file system of `path`, which gets that
    /// name when it is finished.
    #[must_use]
    pub fn create(
        (temporary, file): (TempPath, fs_err::File),
        path: &Path,
        existing: Existing,
        tmpdir: &Path,
    ) -> Self {
        let place = MemberPlace { temporary, path: path.to_owned(), existing };
        Self::new(Sink::File(Arc::new(file)), Some(place), tmpdir)
    }

    /// Makes a tar that goes through `pipe`, from its first byte to its last.
    pub fn stream(pipe: impl Write + Send + 'static, tmpdir: &Path) -> Self {
        Self::new(Sink::Stream(Arc::new(Mutex::new(Box::new(pipe)))), None, tmpdir)
    }

    /// Makes a tar that goes to what [`is_special`]. Waits for somebody to read from a pipe.
    ///
    /// # Errors
    /// If it cannot be opened, or is a file with something in it.
    pub fn pipe(path: &Path, tmpdir: &Path) -> Result<Self, TarWriteError> {
        if is_own_pipe(path) {
            // It has a reader from the beginning: to wait for one would be to wait for ever, if that
            // has gone.
            return Ok(Self::stream(open_read_pipe(path)?, tmpdir));
        }
        let file = fs_err::OpenOptions::new().write(true).open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.len() > 0 {
            let source = io::Error::other("it is not empty").into();
            return Err(TarWriteError::Place { path: path.display().to_string(), source });
        }
        Ok(Self::stream(file, tmpdir))
    }

    fn new(sink: Sink, place: Option<MemberPlace>, tmpdir: &Path) -> Self {
        Self {
            sink,
            place: Mutex::new(place),
            tmpdir: tmpdir.to_owned(),
            mode: 0o444,
            for_many: false,
            regions: Regions::default(),
            tail: Arc::default(),
        }
    }

    /// Returns the same with these permissions for its files, instead of reading for all and
    /// writing for nobody.
    #[must_use]
    pub fn with_mode(self, mode: u64) -> Self {
        Self { mode, ..self }
    }

    /// Returns the same for several images at once: none waits for a member of another that has no
    /// size yet, and none breaks a pipe for the others.
    #[must_use]
    pub fn for_many(self) -> Self {
        Self { for_many: true, ..self }
    }

    /// Writes small members one after the other.
    ///
    /// # Errors
    /// If they cannot be written, or a pipe is broken.
    pub async fn put(&self, entries: &[Entry]) -> Result<(), TarWriteError> {
        let bytes = encode(entries, self.mode);
        let mut tail = self.tail().await?;
        let mut region = self.regions.take(wide(bytes.len())).ok_or_else(too_large)?;
        tail.closed = self.is_stream();
        let sink = self.sink.clone();
        blocking(move || {
            let place = region.range();
            region.reaches(place.end);
            sink.write(place.start, &bytes)?;
            region.keep(None, place, Digest::sha256(&bytes));
            tail.closed = false;
            Ok(())
        })
        .await
    }

    /// Writes a blob as a member. `name` tells its path when its digest is known; where it tells
    /// none, the blob is not needed after all. Gives the digest and the size in bytes.
    ///
    /// # Errors
    /// If the blob does not come as it should, cannot be written, or has a name that is too long.
    pub async fn put_blob(
        &self,
        blob: Blob,
        name: impl FnOnce(&Digest) -> Option<String> + Send,
    ) -> Result<(Digest, u64), TarWriteError> {
        match (blob.digest().cloned(), blob.size()) {
            (Some(digest), Some(size)) if self.may_reserve(&blob, size) => {
                let Some(name) = name(&digest) else { return Ok((digest, size)) };
                self.put_known(blob, Head::new(name, size, self.mode)?).await
            }
            _ if !self.for_many && !self.is_stream() => self.put_unknown(blob, name).await,
            _ => {
                let spool = tempfile::tempfile_in(&self.tmpdir)?;
                let file::Written { digest, size, file: mut spool } =
                    file::write(blob, spool).await?;
                let Some(name) = name(&digest) else { return Ok((digest, size)) };
                spool.rewind()?;
                let blob = Unverified::new(file::read(spool, size), Some(size));
                let blob = blob.expect(&digest, Some(size));
                self.put_known(blob, Head::new(name, size, self.mode)?).await
            }
        }
    }

    /// Whether the place of a blob may be given out before its bytes have come.
    fn may_reserve(&self, blob: &Blob, size: u64) -> bool {
        match &self.sink {
            // Nothing but the same image is behind it.
            Sink::Stream(_) => !self.for_many,
            Sink::File(file) => {
                blob.is_announced() && (size <= SMALL || size <= LONG && has_room(file, size))
            }
        }
    }

    /// Writes a blob to a place of its own. In a file others may be written meanwhile.
    async fn put_known(&self, blob: Blob, head: Head) -> Result<(Digest, u64), TarWriteError> {
        let tail = self.tail().await?;
        if let (Some(actual), Some(digest)) = (self.regions.size(&head.name), blob.digest()) {
            let expected = head.size;
            let same = (expected == actual).then(|| (digest.clone(), actual));
            return same.ok_or_else(|| StreamError::Size { expected, actual }.into());
        }
        self.regions.begin(&head.name);
        let region = self.regions.take(head.len).ok_or_else(too_large)?;
        let body = region.range().start.checked_add(head.space).ok_or_else(too_large)?;
        let (sink, size) = (self.sink.clone(), Some(head.size));
        if self.is_stream() {
            let sent = send(blob, Section::new(sink, region, body, size, tail)?, head);
            let sent = match self.for_many {
                // It is whole: should its image be given up now, the pipe is not broken for others.
                true => tokio::spawn(sent).await.map_err(io::Error::other)?,
                false => sent.await,
            };
            return sent.map_err(|source| TarWriteError::PipeBroken(Box::new(source)));
        }
        drop(tail);
        let section = Section::new(sink, region, body, size, ())?;
        let (digest, size, ()) = seal(file::write(blob, section).await?, head).await?;
        Ok((digest, size))
    }

    /// Writes a blob to the end of a file, and only then its header. Others wait meanwhile.
    async fn put_unknown(
        &self,
        blob: Blob,
        name: impl FnOnce(&Digest) -> Option<String> + Send,
    ) -> Result<(Digest, u64), TarWriteError> {
        let tail = self.tail().await?;
        let region = self.regions.take_rest().ok_or_else(too_large)?;
        let mut name = Some(name);
        let mut named = |digest: &Digest| name.take().and_then(|name| name(digest));
        // A long name takes more than one block, so that it must be known before.
        let early = blob.digest().cloned().and_then(|digest| named(&digest));
        let head = early.clone().map(|name| Head::new(name, 0, self.mode)).transpose()?;
        let space = head.map_or(BLOCK, |head| head.space);
        let body = region.range().start.checked_add(space).ok_or_else(too_large)?;
        let section = Section::new(self.sink.clone(), region, body, None, tail)?;
        let written = file::write(blob, section).await?;
        let (digest, size) = (written.digest.clone(), written.size);
        let Some(name) = early.or_else(|| named(&digest)) else { return Ok((digest, size)) };
        let head = Head::new(name, size, self.mode)?;
        if head.space != space {
            return Err(TarWriteError::LongName(head.name));
        }
        let (digest, size, _) = seal(written, head).await?;
        Ok((digest, size))
    }

    /// Ends the tar and gives it its name. Nothing can be written to it any more.
    ///
    /// # Errors
    /// If a member of it has not come whole, or it cannot get its name.
    pub async fn finish(&self) -> Result<(), TarWriteError> {
        let mut tail = self.tail.lock().await;
        // Where there is one image only, all that was begun belongs to it.
        let is_broken = !self.for_many && (self.regions.misses_any() || self.regions.is_open());
        if tail.closed || is_broken {
            return Err(TarWriteError::Unfinished);
        }
        tail.closed = true;
        self.regions.closed().await;
        let (sink, regions) = (self.sink.clone(), self.regions.clone());
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        blocking(move || {
            let trailer = [0; 2 * 512];
            match &sink {
                Sink::File(file) => {
                    let at = finish::settle(file, &regions)?;
                    sink.write(at, &trailer)?;
                    // What was not needed after all, or failed, may have been longer.
                    file.set_len(at.checked_add(2 * BLOCK).ok_or_else(too_large)?)?;
                    file.sync_data()?;
                }
                Sink::Stream(pipe) => {
                    sink.write(0, &trailer)?;
                    pipe.lock().unwrap_or_else(PoisonError::into_inner).flush()?;
                }
            }
            match place {
                Some(place) => place.publish(),
                None => Ok(()),
            }
        })
        .await
    }

    async fn tail(&self) -> Result<OwnedMutexGuard<Tail>, TarWriteError> {
        let tail = self.tail.clone().lock_owned().await;
        if tail.closed { Err(TarWriteError::PipeSpent) } else { Ok(tail) }
    }

    fn is_stream(&self) -> bool {
        matches!(self.sink, Sink::Stream(_))
    }
}

/// Sends a blob through a pipe behind its header. If that breaks off, nothing can follow.
async fn send(
    blob: Blob,
    mut section: Section<OwnedMutexGuard<Tail>>,
    mut head: Head,
) -> Result<(Digest, u64), TarWriteError> {
    section.held().closed = true;
    let bytes = std::mem::take(&mut head.bytes);
    let section = blocking(move || {
        section.sink().write(0, &bytes)?;
        Ok(section)
    });
    let written = file::write(blob, section.await?).await?;
    let (digest, size, mut tail) = seal(written, head).await?;
    tail.closed = false;
    Ok((digest, size))
}

/// Puts around a blob that is in its place what belongs to it, which makes it a member. What was
/// held is let go of when all is there, even if nobody waits for this.
async fn seal<T: Send + 'static>(
    written: file::Written<Section<T>>,
    head: Head,
) -> Result<(Digest, u64, T), TarWriteError> {
    let file::Written { digest, size, file: section } = written;
    if size != head.size {
        return Err(StreamError::Size { expected: head.size, actual: size }.into());
    }
    blocking(move || {
        let sink = section.sink().clone();
        let (mut region, body, held) = section.end();
        let start = region.range().start;
        let end = start.checked_add(head.len).ok_or_else(too_large)?;
        region.cut(end);
        region.reaches(end);
        sink.write(body.end, &head.fill())?;
        sink.write(start, &head.bytes)?;
        region.keep(Some(&head.name), body, digest.clone());
        Ok((digest, size, held))
    })
    .await
}

/// Whether the file system of a file could take so many bytes more, as far as it says.
fn has_room(file: &fs_err::File, size: u64) -> bool {
    room(file.file()).is_none_or(|free| size <= free)
}

/// The right to give out places at the end.
#[derive(Debug, Default)]
struct Tail {
    /// Half of a member went through a pipe, or the end has been written.
    closed: bool,
}

/// Runs `work`, which waits for a file, on a blocking thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TarWriteError> + Send + 'static,
) -> Result<T, TarWriteError> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
