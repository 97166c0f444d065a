//! Writing a tar in one pass.
//!
//! In a file, a member of which nothing is known yet is written at the end, and its header when its
//! name and size are known; members whose size is known get their place at once and are written
//! side by side. What goes through a pipe cannot be gone back to: there, what has no size yet is
//! kept in a temporary file until it has one; and so it is where several images are written at
//! once, lest all wait for the one that has the end.
//!
//! A place that was given to what never came is closed up when the tar ends.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, Seek, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err::os::unix::fs::FileExt;
use rustix::fs::OFlags;
use skopeo_blob::{Blob, Unverified, file};
use skopeo_image::Digest;
use tempfile::TempPath;
use tokio::sync::OwnedMutexGuard;

use super::ustar::{self, BLOCK, Kind};
use crate::files::Stamp;
use crate::{Error, files};

/// A tar that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    sink: Sink,
    place: Mutex<Option<Place>>,
    tmpdir: PathBuf,
    /// The permissions of its files.
    mode: u64,
    /// Whether what has no size yet waits elsewhere until it has.
    spools: bool,
    tail: Arc<tokio::sync::Mutex<Tail>>,
}

/// What is to be done about a file that is where a tar is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// There was none; if there is one in the end, it stays.
    None,
    /// It is replaced, if it is still what it was.
    Replace(Stamp),
}

/// A small member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
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

/// Whether a path leads to what nothing can be put in the place of: a pipe, a device, or, by one of
/// the system's names for it, what is open already.
pub(crate) fn is_special(path: &Path) -> bool {
    let open = ["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];
    open.iter().any(|name| path.starts_with(name))
        || fs_err::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Whether a path is the name of our standard output, and that is a pipe.
fn is_own_pipe(path: &Path) -> bool {
    let names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    names.iter().any(|name| Path::new(name) == path)
        && fs_err::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

/// Opens our standard output once more. It has a reader from the beginning: to wait for one would be
/// to wait for ever, if that has gone.
fn open_own_pipe(path: &Path) -> Result<fs_err::File, Error> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut options = fs_err::OpenOptions::new();
    options.write(true).options_mut().custom_flags(flags);
    let pipe = options.open(path)?;
    rustix::fs::fcntl_setfl(&pipe, OFlags::empty()).map_err(io::Error::from)?;
    Ok(pipe)
}

/// Where a finished file goes, and where it is until then.
#[derive(Debug)]
struct Place {
    temporary: TempPath,
    path: PathBuf,
    existing: Existing,
}

/// The end of what is written.
#[derive(Debug, Default)]
struct Tail {
    at: u64,
    /// Those that have a place but are not whole.
    open: HashMap<(Digest, u64), Region>,
    /// Those that are whole.
    whole: HashSet<(Digest, u64)>,
    /// Half of a member went through a pipe, or the end has been written.
    closed: bool,
}

/// The place of a member.
#[derive(Clone, Debug)]
struct Region {
    start: u64,
    end: u64,
    /// Held by the thread that writes there, which may live longer than who began it.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Writer {
    /// A tar in a regular file. It is written beside `path` and gets that name when it is finished.
    /// Waits for the disk.
    pub(crate) fn create(path: &Path, existing: Existing, tmpdir: &Path) -> Result<Self, Error> {
        let (temporary, file) = files::temporary_for(path)?;
        Ok(Self {
            sink: Sink::File(Arc::new(file)),
            place: Mutex::new(Some(Place { temporary, path: path.to_owned(), existing })),
            tmpdir: tmpdir.to_owned(),
            mode: 0o444,
            spools: false,
            tail: Arc::default(),
        })
    }

    /// A tar that goes through `pipe`, from its first byte to its last.
    pub(crate) fn stream(pipe: impl Write + Send + 'static, tmpdir: &Path) -> Self {
        Self {
            sink: Sink::Stream(Arc::new(Mutex::new(Box::new(pipe)))),
            place: Mutex::default(),
            tmpdir: tmpdir.to_owned(),
            mode: 0o444,
            spools: true,
            tail: Arc::default(),
        }
    }

    /// A tar that goes to what [`is_special`]. Waits for somebody to read from a pipe.
    pub(crate) fn pipe(path: &Path, tmpdir: &Path) -> Result<Self, Error> {
        if is_own_pipe(path) {
            return Ok(Self::stream(open_own_pipe(path)?, tmpdir));
        }
        let file = fs_err::OpenOptions::new().write(true).open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.len() > 0 {
            let source = io::Error::other("there is something in it already").into();
            return Err(Error::ArchivePlace { path: path.display().to_string(), source });
        }
        Ok(Self::stream(file, tmpdir))
    }

    /// The same with these permissions for its files, instead of reading for all and writing for
    /// nobody.
    pub(crate) fn with_mode(self, mode: u64) -> Self {
        Self { mode, ..self }
    }

    /// The same for several images at once: none waits for a member of another that has no size
    /// yet.
    pub(crate) fn for_many(self) -> Self {
        Self { spools: true, ..self }
    }

    /// Writes small members one after the other.
    pub(crate) async fn put(&self, entries: &[Entry]) -> Result<(), Error> {
        let mut bytes = Vec::new();
        for entry in entries {
            match entry {
                Entry::File { name, bytes: content } => {
                    bytes.extend(ustar::encode(name, Kind::File(content.len() as u64), self.mode));
                    bytes.extend_from_slice(content);
                    bytes.resize(bytes.len().next_multiple_of(512), 0);
                }
                Entry::Folder { name } => {
                    bytes.extend(ustar::encode(name, Kind::Folder, self.mode));
                }
                Entry::Link { name, target } => {
                    bytes.extend(ustar::encode(name, Kind::Link(target), self.mode));
                }
            }
        }
        let tail = self.tail().await?;
        let (at, len) = (tail.at, bytes.len() as u64);
        let mut tail = self.write(at, bytes, tail).await?;
        tail.at += len;
        Ok(())
    }

    /// Writes a blob as a member. `name` tells its path when its digest is known; where it tells
    /// none, the blob is not needed after all. Gives the digest and the size in bytes.
    pub(crate) async fn put_blob(
        &self,
        blob: Blob,
        name: impl FnOnce(&Digest) -> Option<String> + Send,
    ) -> Result<(Digest, u64), Error> {
        match (blob.digest().cloned(), blob.size()) {
            (Some(digest), Some(size)) => {
                let Some(name) = name(&digest) else { return Ok((digest, size)) };
                self.put_known(blob, &digest, size, &name).await
            }
            _ if !self.spools => self.put_unknown(blob, name).await,
            _ => {
                let spool = tempfile::tempfile_in(&self.tmpdir)?;
                let file::Written { digest, size, file: mut spool } =
                    file::write(blob, spool).await?;
                let Some(name) = name(&digest) else { return Ok((digest, size)) };
                spool.rewind()?;
                let blob = Unverified::new(file::read(spool, size), Some(size));
                self.put_known(blob.expect(&digest, Some(size)), &digest, size, &name).await
            }
        }
    }

    /// Writes a blob to a place of its own. In a file others may be written meanwhile.
    async fn put_known(
        &self,
        blob: Blob,
        digest: &Digest,
        size: u64,
        name: &str,
    ) -> Result<(Digest, u64), Error> {
        let head = ustar::encode(name, Kind::File(size), self.mode);
        let body = head.len() as u64;
        let mut tail = self.tail().await?;
        let key = (digest.clone(), size);
        if self.spools && tail.whole.contains(&key) {
            return Ok(key);
        }
        // What broke half-way is written again to where it began.
        let region = match tail.open.get(&key) {
            Some(begun) => begun.clone(),
            None => {
                let start = tail.at;
                let end = start + body + ustar::padded(size);
                let region = Region { start, end, writing: Arc::default() };
                tail.open.insert(key.clone(), region.clone());
                tail.at = end;
                region
            }
        };
        let start = region.start;
        let alone = region.writing.lock_owned();
        if let Sink::Stream(_) = self.sink {
            tail.closed = true;
            let sent = async {
                let alone = self.write(start, head, alone.await).await?;
                self.write_body(blob, start + body, Some(size), alone).await
            };
            let sent = sent.await.map_err(|source| Error::PipeBroken(Box::new(source)))?;
            tail.closed = false;
            tail.open.remove(&key);
            return Ok((sent.0, sent.1));
        }
        drop(tail);
        let alone = self.write(start, head, alone.await).await?;
        let (digest, size, _) = self.write_body(blob, start + body, Some(size), alone).await?;
        let mut tail = self.tail.lock().await;
        tail.open.remove(&key);
        tail.whole.insert(key);
        Ok((digest, size))
    }

    /// Writes a blob to the end of a file, and only then its header. Others wait meanwhile.
    async fn put_unknown(
        &self,
        blob: Blob,
        name: impl FnOnce(&Digest) -> Option<String> + Send,
    ) -> Result<(Digest, u64), Error> {
        let tail = self.tail().await?;
        let body = tail.at + BLOCK;
        let (digest, size, mut tail) = self.write_body(blob, body, None, tail).await?;
        if let Some(name) = name(&digest) {
            let head = ustar::encode(&name, Kind::File(size), self.mode);
            if head.len() as u64 != BLOCK {
                return Err(Error::MemberName(name));
            }
            let at = tail.at;
            tail = self.write(at, head, tail).await?;
            tail.at += BLOCK + ustar::padded(size);
        }
        Ok((digest, size))
    }

    /// Writes the bytes of a blob, and what fills its last block. `held` is let go of only when
    /// nothing is written there any more, even if nobody waits for this.
    async fn write_body<T: Send + 'static>(
        &self,
        blob: Blob,
        at: u64,
        size: Option<u64>,
        held: T,
    ) -> Result<(Digest, u64, T), Error> {
        let left = size.unwrap_or(u64::MAX);
        let section = Section { sink: self.sink.clone(), at, left, held };
        let written = file::write(blob, section).await?;
        let fill = ustar::padded(written.size) - written.size;
        let mut held = written.file.held;
        if fill > 0 {
            let fill = vec![0; usize::try_from(fill).unwrap_or(0)];
            held = self.write(at + written.size, fill, held).await?;
        }
        Ok((written.digest, written.size, held))
    }

    /// Ends the tar and gives it its name. Nothing can be written to it any more.
    pub(crate) async fn finish(&self) -> Result<(), Error> {
        let mut tail = self.tail.lock().await;
        // Where there is one image only, all that has a place belongs to it.
        if tail.closed || !(self.spools || tail.open.is_empty()) {
            return Err(Error::NothingToCommit);
        }
        tail.closed = true;
        let mut holes = Vec::new();
        for (_, Region { start, end, writing }) in tail.open.drain() {
            drop(writing.lock().await);
            holes.push(start..end);
        }
        holes.sort_by_key(|hole| hole.start);
        let (sink, at) = (self.sink.clone(), tail.at);
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        files::blocking(move || {
            let at = match &sink {
                Sink::File(file) => close_up(file, &holes, at)?,
                Sink::Stream(_) => at,
            };
            let end = at + 2 * BLOCK;
            sink.write(at, &[0; 2 * 512])?;
            match sink {
                Sink::File(file) => {
                    // What was not needed after all may have been longer.
                    file.set_len(end)?;
                    file.sync_data()?;
                }
                Sink::Stream(pipe) => {
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

    async fn tail(&self) -> Result<OwnedMutexGuard<Tail>, Error> {
        let tail = self.tail.clone().lock_owned().await;
        if tail.closed { Err(Error::PipeSpent) } else { Ok(tail) }
    }

    /// Writes bytes to a place. `held` is let go of only when they are there, even if nobody waits
    /// for this.
    async fn write<T: Send + 'static>(&self, at: u64, bytes: Vec<u8>, held: T) -> Result<T, Error> {
        let sink = self.sink.clone();
        files::blocking(move || {
            sink.write(at, &bytes)?;
            Ok(held)
        })
        .await
    }
}

/// Moves what is behind holes over them. Gives the new end.
fn close_up(file: &fs_err::File, holes: &[Range<u64>], end: u64) -> io::Result<u64> {
    let Some(first) = holes.first() else { return Ok(end) };
    let mut to = first.start;
    let mut buffer = vec![0; 256 * 1024];
    for (at, hole) in holes.iter().enumerate() {
        let mut from = hole.end;
        let next = holes.get(at + 1).map_or(end, |next| next.start);
        while from < next {
            let piece = usize::try_from(next - from).unwrap_or(usize::MAX).min(buffer.len());
            let piece = &mut buffer[..piece];
            file.file().read_exact_at(piece, from)?;
            file.file().write_all_at(piece, to)?;
            from += piece.len() as u64;
            to += piece.len() as u64;
        }
    }
    Ok(to)
}

impl Place {
    fn publish(self) -> Result<(), Error> {
        let Self { temporary, path, existing } = self;
        let changed = || Error::ArchiveChanged(path.display().to_string());
        match existing {
            Existing::Replace(before) if Stamp::at(&path) != Some(before) => return Err(changed()),
            Existing::Replace(_) => temporary.persist(&path).map_err(|error| error.error)?,
            Existing::None => {
                temporary.persist_noclobber(&path).map_err(|failed| match failed.error.kind() {
                    io::ErrorKind::AlreadyExists => changed(),
                    _ => failed.error.into(),
                })?
            }
        }
        if let Some(folder) = path.parent() {
            // What it says may be lost with the power, but nothing that had a name before.
            let _ = fs_err::File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

/// Where the bytes go. A pipe takes them in their order, whatever place they are said to have.
#[derive(Clone)]
enum Sink {
    File(Arc<fs_err::File>),
    Stream(Arc<Mutex<Box<dyn Write + Send>>>),
}

impl Sink {
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => {
                let mut done = 0;
                while done < bytes.len() {
                    match file.write_at(&bytes[done..], at + done as u64) {
                        Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                        Ok(written) => done += written,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }
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

/// The place of one member's bytes.
struct Section<T> {
    sink: Sink,
    at: u64,
    /// What may still come: what belongs to another is never written over.
    left: u64,
    held: T,
}

impl<T> Write for Section<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len() as u64;
        if len > self.left {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.sink.write(self.at, bytes)?;
        self.at += len;
        self.left -= len;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
