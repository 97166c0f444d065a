//! One OCI layout in a folder, or in a bucket: its index and its lock.

use std::fs::Metadata;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fs_err::File;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use skopeo_image::number::{narrow, wide};
use skopeo_image::{Algorithm, Digest, Hasher};
use skopeo_objects::{Fetched, Version};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use super::beneath::{Folder, Temporary};
use super::bucket::Bucket;
use super::index::{Index, MAX_ENTRIES, Unreadable};
use super::kept::Count;
use super::keys::{INDEX, LOCK, MARKER, MARKER_CONTENT, MAX_INDEX, NO_MANIFESTS, UPLOADS};
use super::names::Names;
use super::patience;
use super::reach::Reach;
use super::room::{Refusal, Room};
use crate::Durability;
use crate::content::Content;
use crate::error::ApiError;

/// A file changed so shortly ago may change again without its time showing it.
const TIME_RESOLUTION: Duration = Duration::from_millis(100);

/// How often an index in a bucket is edited again because others were quicker.
const BUCKET_TRIES: u32 = 300;

/// How long the lock of a bucket is waited for.
const BUCKET_PATIENCE: Duration = Duration::from_secs(30);

/// How often something is tried again that another server has undone meanwhile.
const ATTEMPTS: usize = 100;

/// How often an index is read again that does not parse, since the original writes it in place.
const TORN_READS: u32 = 5;

/// A layout, and what was read of it.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(super) folder: Folder,
    /// What is there instead of files in the folder, and its index.
    pub(super) content: Option<(Arc<dyn Content>, Arc<Index>)>,
    /// Where its objects are, if it is in a bucket. Then nothing of it is in the folder.
    pub(super) bucket: Option<Arc<Bucket>>,
    content_names: OnceLock<Arc<Names>>,
    pub(super) content_reach: OnceLock<Arc<Reach>>,
    pub(super) durability: Durability,
    pub(super) room: Arc<Room>,
    /// By what it is told from the others where something is remembered of all.
    pub(super) number: u64,
    /// Whose turn to edit it is, within this process.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// By what an index is known to be unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is in a file.
    File(Stamp),
    /// It is in a bucket.
    Object(Version),
}

/// By what a file is known to be unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The right to edit a layout. It ends with this value, or this process.
#[derive(Debug)]
pub(crate) struct Hold {
    /// None where the layout is in a bucket: there the edit itself keeps others away.
    pub(super) lock: Option<File>,
    _turn: OwnedMutexGuard<()>,
}

/// Whether an edit of an index may remove blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    Nothing,
    Something,
}

/// What came of trying to have the lock of a layout.
enum Attempt {
    Locked(Option<File>),
    /// There is no layout any more.
    Gone,
}

impl Layout {
    /// The layout in `folder`, if it is one.
    pub(crate) fn at(folder: Folder, durability: Durability, room: &Arc<Room>) -> Option<Self> {
        let layout = Self::unchecked(folder, durability, room.clone());
        layout.is_there().then_some(layout)
    }

    /// What lies in something else than a folder of layouts. Nothing is looked for in `folder`.
    pub(crate) fn of_content(
        folder: Folder,
        content: Arc<dyn Content>,
        room: Arc<Room>,
    ) -> io::Result<Self> {
        // It is there for as long as the server is, whatever clients do.
        let index = Index::parse(content.index().into(), None).map_err(Unreadable::into_io)?;
        let mut layout = Self::unchecked(folder, Durability::Kill, room);
        layout.content = Some((content, Arc::new(index)));
        Ok(layout)
    }

    /// The layout in a bucket. Nothing is looked for in `folder`.
    pub(crate) fn of_bucket(folder: Folder, bucket: Arc<Bucket>, room: Arc<Room>) -> Self {
        let mut layout = Self::unchecked(folder, Durability::PowerLoss, room);
        layout.bucket = Some(bucket);
        layout
    }

    /// Makes `folder` a layout, if it is none; whether it was none. Waits for no lock: who has it
    /// writes an index too.
    pub(crate) fn create(
        folder: Folder,
        durability: Durability,
        room: &Arc<Room>,
    ) -> io::Result<bool> {
        let layout = Self::unchecked(folder, durability, room.clone());
        again(|| {
            layout.folder.join("blobs/sha256").make()?;
            if layout.folder.look(INDEX)?.is_none()
                && let Some(_lock) = layout.try_lock()?
                && layout.folder.look(INDEX)?.is_none()
            {
                layout.replace(INDEX, NO_MANIFESTS)?;
            }
            if layout.folder.look(MARKER)?.is_some() {
                return Ok(false);
            }
            layout.write_temporary(&layout.folder, MARKER_CONTENT)?.persist_new(MARKER)
        })
    }

    fn unchecked(folder: Folder, durability: Durability, room: Arc<Room>) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Self {
            folder,
            content: None,
            bucket: None,
            content_names: OnceLock::new(),
            content_reach: OnceLock::new(),
            durability,
            room,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            turn: Arc::default(),
        }
    }

    /// Whether the folder is a layout still.
    pub(crate) fn is_there(&self) -> bool {
        self.bucket.is_some() || self.is_marked()
    }

    fn is_marked(&self) -> bool {
        self.folder.look(MARKER).is_ok_and(|found| found.is_some_and(|found| found.is_file()))
    }

    /// Where uploads lie until they are whole.
    pub(crate) fn uploads(&self) -> Folder {
        self.folder.join(UPLOADS)
    }

    /// The index as it is now, read again only if the file has changed.
    pub(crate) fn index(&self) -> io::Result<Arc<Index>> {
        if let Some((_, index)) = &self.content {
            return Ok(index.clone());
        }
        if let Some(bucket) = &self.bucket {
            return Ok(self.index_in(|known| bucket.index(known))?.1);
        }
        let mut attempt = 0_u32;
        loop {
            let Some((file, metadata)) = self.folder.read(INDEX)? else {
                return match self.folder.look(INDEX)? {
                    None => Ok(Arc::default()),
                    Some(_) => {
                        Err(self.bad_index(&"it is not a regular file, and links are not followed"))
                    }
                };
            };
            let stamp = Stamp::of(&metadata);
            let mark = Mark::File(stamp);
            if let Some(index) = self.room.kept.index(self.number, &mark) {
                return Ok(index);
            }
            if metadata.len() > MAX_INDEX {
                return Err(Refusal::LongIndex(MAX_INDEX).into());
            }
            let size = narrow(metadata.len());
            let _turn = self.room.kept.turn(size);
            // Who had the turn before may have read just this one.
            if let Some(index) = self.room.kept.index(self.number, &mark) {
                return Ok(index);
            }
            // What was made of another text is of no use any more.
            self.room.kept.forget(self.number);
            attempt = attempt.saturating_add(1);
            let read = || {
                let (text, count) = self.read_index(file, size)?;
                Ok(Index::parse(text, Some(count)))
            };
            match self.room.kept.apart(size, read)? {
                Ok(index) => {
                    let index = Arc::new(index);
                    if stamp.is_settled() {
                        self.room.kept.keep_index(self.number, mark, index.clone());
                    }
                    return Ok(index);
                }
                Err(Unreadable::Refused(error)) => return Err(error),
                Err(Unreadable::Json(_)) if attempt < TORN_READS => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(Unreadable::Json(error)) => return Err(self.bad_index(&error)),
            }
        }
    }

    /// The index in a bucket as `read` finds it, and which one it is; none if there is none yet.
    fn index_in(
        &self,
        read: impl Fn(Option<&Version>) -> io::Result<Fetched>,
    ) -> io::Result<(Option<Version>, Arc<Index>)> {
        let known = self.room.kept.latest(self.number);
        let known = known.and_then(|(mark, index)| match mark {
            Mark::Object(version) => Some((version, index)),
            Mark::File(_) => None,
        });
        let (bytes, version) = match read(known.as_ref().map(|(version, _)| version))? {
            Fetched::Missing => return Ok((None, Arc::default())),
            Fetched::Same => {
                let (version, index) = known.ok_or(io::ErrorKind::InvalidData)?;
                return Ok((Some(version), index));
            }
            Fetched::Read(bytes, version) => (bytes, version),
        };
        drop(known);
        let size = bytes.len();
        let _turn = self.room.kept.turn(size);
        self.room.kept.forget(self.number);
        let parse = || {
            let mut count = self.room.kept.count();
            count.add(size)?;
            Index::parse(bytes, Some(count)).map_err(|unreadable| match unreadable {
                Unreadable::Refused(error) => error,
                Unreadable::Json(error) => self.bad_index(&error),
            })
        };
        let index = Arc::new(self.room.kept.apart(size, parse)?);
        let mark = Mark::Object(version.clone());
        self.room.kept.keep_index(self.number, mark, index.clone());
        Ok((Some(version), index))
    }

    /// The text of an index, and what it takes.
    fn read_index(&self, file: File, size: usize) -> io::Result<(Bytes, Count)> {
        let mut count = self.room.kept.count();
        count.add(size)?;
        let mut text = Vec::with_capacity(size);
        // One that grows meanwhile is not whole, and is read again.
        file.take(wide(size)).read_to_end(&mut text)?;
        Ok((text.into(), count))
    }

    /// What the references of an index are here, read once for as long as it stays.
    pub(crate) fn names(&self, index: &Arc<Index>) -> io::Result<Arc<Names>> {
        if let Some((_, of)) = &self.content
            && Arc::ptr_eq(of, index)
        {
            return match self.content_names.get() {
                Some(names) => Ok(names.clone()),
                None => {
                    let names = Arc::new(Names::of(index, None)?);
                    Ok(self.content_names.get_or_init(|| names).clone())
                }
            };
        }
        let kept = &self.room.kept;
        if let Some(names) = kept.names(self.number, index) {
            return Ok(names);
        }
        let names = kept.apart(index.size(), || Names::of(index, Some(kept.count())));
        let names = Arc::new(names?);
        kept.keep_names(self.number, index, &names);
        Ok(names)
    }

    fn bad_index(&self, why: &dyn std::fmt::Display) -> io::Error {
        let path = match &self.bucket {
            Some(bucket) => format!("{}/{INDEX}", bucket.place()),
            None => self.folder.path().join(INDEX).display().to_string(),
        };
        io::Error::new(io::ErrorKind::InvalidData, format!("reading {path}: {why}"))
    }

    /// Waits until nobody else edits the layout, at most until `deadline`. None if it has gone.
    pub(crate) async fn hold(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<Option<Hold>, ApiError> {
        let turn = timeout_at(deadline, self.turn.clone().lock_owned());
        let turn = turn.await.map_err(|_| patience::busy())?;
        let layout = self.clone();
        let attempt = patience::until(deadline, move || layout.seize()).await?;
        let Attempt::Locked(lock) = attempt else { return Ok(None) };
        Ok(Some(Hold { lock, _turn: turn }))
    }

    /// The lock, unless another program has it, or there is no layout to lock.
    fn seize(&self) -> io::Result<Option<Attempt>> {
        if self.bucket.is_some() {
            return Ok(Some(Attempt::Locked(None)));
        }
        if !self.is_there() {
            return Ok(Some(Attempt::Gone));
        }
        let lock = match self.try_lock() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(Attempt::Gone));
            }
            lock => lock?,
        };
        let Some(lock) = lock else { return Ok(None) };
        if self.is_there() {
            return Ok(Some(Attempt::Locked(Some(lock))));
        }
        // The layout went in between, so that its lock was made anew where nothing else is.
        self.folder.remove(LOCK)?;
        self.folder.remove_empty();
        Ok(Some(Attempt::Gone))
    }

    /// The lock, unless another program has it. Of the open file, not of the process: threads
    /// exclude each other too. Who had it before may have removed the layout and the file with it:
    /// the lock of a file that has lost its name is none.
    pub(super) fn try_lock(&self) -> io::Result<Option<File>> {
        for _ in 0..ATTEMPTS {
            let Some(lock) = locked(self.folder.create_or_open(LOCK)?)? else { return Ok(None) };
            let named = self.folder.look(LOCK)?;
            let is_it = |named| lock.metadata().is_ok_and(|lock| same_file(&named, &lock));
            if named.is_some_and(is_it) {
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    /// Edits the index, which `edit` sees as it is and as it will be. What it needs to be true of
    /// the blobs, it may look at: who collects garbage holds the same lock. It may be asked again
    /// where others were quicker.
    pub(crate) fn edit<T, E: From<io::Error>>(
        &self,
        hold: &Hold,
        edit: impl Fn(&Arc<Index>, &mut Index) -> Result<T, E>,
    ) -> Result<T, E> {
        self.edit_after(hold, edit, || Ok(()))
    }

    /// The same; `write` writes what the index will lead to, once it is known that there may be
    /// such an index.
    pub(crate) fn edit_after<T, E: From<io::Error>>(
        &self,
        _hold: &Hold,
        edit: impl Fn(&Arc<Index>, &mut Index) -> Result<T, E>,
        write: impl Fn() -> Result<(), E>,
    ) -> Result<T, E> {
        if let Some(bucket) = &self.bucket {
            let edit = |before: &Arc<Index>, after: &mut Index| {
                edit(before, after).map(|result| (result, Vec::new()))
            };
            return self.edit_in(bucket, Goes::Nothing, edit, write);
        }
        let before = self.index()?;
        let (result, after) = self.edited(&before, edit)?;
        write()?;
        self.write_index(after)?;
        Ok(result)
    }

    /// Edits the index, and removes the blobs that `edit` names after it has been written: ended in
    /// between, blobs may be left over but none is missing.
    pub(crate) fn edit_and_remove<T, E: From<io::Error>>(
        &self,
        _hold: &Hold,
        edit: impl Fn(&Arc<Index>, &mut Index) -> Result<(T, Vec<Digest>), E>,
    ) -> Result<T, E> {
        if let Some(bucket) = &self.bucket {
            return self.edit_in(bucket, Goes::Something, edit, || Ok(()));
        }
        let before = self.index()?;
        let ((result, goes), after) = self.edited(&before, edit)?;
        self.write_index(after)?;
        for digest in &goes {
            self.remove_blob(digest)?;
        }
        Ok(result)
    }

    /// What an edit makes of an index, and the new one if it is another.
    fn edited<T, E: From<io::Error>>(
        &self,
        before: &Arc<Index>,
        edit: impl Fn(&Arc<Index>, &mut Index) -> Result<T, E>,
    ) -> Result<(T, Option<Index>), E> {
        let mut count = self.room.kept.count();
        count.add(before.size_of_copy())?;
        let mut after = Index::clone(before);
        let result = edit(before, &mut after)?;
        let (old, new) = (Print::of(before)?, Print::of(&after)?);
        // What is written here must be readable here. Whatever makes it smaller is taken.
        let (entries, most) = (after.entries().len(), MAX_ENTRIES);
        if entries > most && entries > before.entries().len() {
            return Err(io::Error::from(Refusal::Manifests(wide(most))).into());
        }
        if new.size > MAX_INDEX && new.size > old.size {
            return Err(io::Error::from(Refusal::Index(MAX_INDEX)).into());
        }
        Ok((result, (new.digest != old.digest).then_some(after)))
    }

    fn write_index(&self, after: Option<Index>) -> io::Result<()> {
        let Some(after) = after else { return Ok(()) };
        let mut temporary = self.folder.temporary()?;
        let mut file = io::BufWriter::new(temporary.file());
        after.write(&mut file)?;
        file.flush()?;
        drop(file);
        self.finish(temporary)?.persist(INDEX)
    }

    /// Edits the index in a bucket, again and again where others were quicker.
    fn edit_in<T, E: From<io::Error>>(
        &self,
        bucket: &Bucket,
        goes: Goes,
        edit: impl Fn(&Arc<Index>, &mut Index) -> Result<(T, Vec<Digest>), E>,
        write: impl Fn() -> Result<(), E>,
    ) -> Result<T, E> {
        let mut turn = bucket.edit(goes == Goes::Something, BUCKET_PATIENCE)?;
        for tries in 0..BUCKET_TRIES {
            let (version, before) = self.index_in(|known| turn.index(known))?;
            let ((result, goes), after) = self.edited(&before, &edit)?;
            write()?;
            if after.is_none() && goes.is_empty() {
                turn.end()?;
                return Ok(result);
            }
            let mut text = Vec::new();
            after.as_ref().unwrap_or(&before).write(&mut text)?;
            if after.is_none() {
                // Most stores make the version of the content. Who has read this index and looked
                // for one of the blobs must not be able to replace it.
                text.resize(text.len().saturating_add(usize::from(spaces()?)), b' ');
            }
            match turn.replace(version.as_ref(), text.into())? {
                Some(version) => {
                    if let Some(after) = after {
                        let mark = Mark::Object(version);
                        self.room.kept.keep_index(self.number, mark, Arc::new(after));
                    }
                    let mut freed = 0_u64;
                    for digest in goes.iter().filter(|_| self.room.is_limited()) {
                        freed = freed.saturating_add(bucket.size(digest)?.unwrap_or(0));
                    }
                    turn.delete(&goes)?;
                    self.room.give_back(freed);
                    turn.end()?;
                    return Ok(result);
                }
                None => std::thread::sleep(pause(tries)?),
            }
        }
        Err(io::Error::from(Refusal::Crowded).into())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write_whole(&self.folder, name, bytes)
    }

    /// Writes a file that is whole before it is visible.
    pub(super) fn write_whole(&self, folder: &Folder, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write_temporary(folder, bytes)?.persist(name)
    }

    fn write_temporary(&self, folder: &Folder, bytes: &[u8]) -> io::Result<Temporary> {
        let mut temporary = folder.temporary()?;
        temporary.file().write_all(bytes)?;
        self.finish(temporary)
    }

    /// Has a file on the disk that is whole by now.
    fn finish(&self, mut temporary: Temporary) -> io::Result<Temporary> {
        if self.durability == Durability::PowerLoss {
            temporary.file().sync_data()?;
        }
        Ok(temporary)
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        self.room.kept.forget(self.number);
    }
}

/// By what two texts of indexes are told from each other: neither need be in memory.
struct Print {
    digest: Digest,
    /// In bytes.
    size: u64,
}

impl Print {
    fn of(index: &Index) -> io::Result<Self> {
        struct Printer(Hasher, u64);
        impl Write for Printer {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.update(bytes);
                self.1 = self.1.saturating_add(wide(bytes.len()));
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut printer = io::BufWriter::new(Printer(Hasher::new(Algorithm::Sha256), 0));
        index.write(&mut printer)?;
        let Printer(hasher, size) = printer.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { digest: hasher.finish(), size })
    }
}

/// From 1 to 64, never the same for two.
fn spaces() -> io::Result<u8> {
    Ok((random()? % 64).saturating_add(1))
}

/// The longer, the more often others were quicker, and never as long for two.
fn pause(tries: u32) -> io::Result<Duration> {
    let most = 50_u32.saturating_mul(1 << tries.min(5));
    Ok(Duration::from_millis((most.saturating_mul(random()?.into()) / 255).into()))
}

fn random() -> io::Result<u8> {
    let mut random = [0];
    getrandom::fill(&mut random).map_err(io::Error::from)?;
    Ok(random[0])
}

/// Does what needs a folder that somebody else may remove in between, since it was empty.
pub(super) fn again<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..ATTEMPTS {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    work()
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self) -> bool {
        let (seconds, nanos) = self.changed;
        let changed = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
        let changed = changed.and_then(|(s, n)| {
            SystemTime::UNIX_EPOCH
                .checked_add(Duration::from_secs(s))?
                .checked_add(Duration::from_nanos(n.into()))
        });
        changed
            .and_then(|changed| SystemTime::now().duration_since(changed).ok())
            .is_some_and(|age| age > TIME_RESOLUTION)
    }
}

/// The file with an exclusive lock on it; none if somebody else has that.
pub(crate) fn locked(file: File) -> io::Result<Option<File>> {
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => {
                let error = io::Error::from(errno);
                let text = format!("locking {}: {error}", file.path().display());
                return Err(io::Error::new(error.kind(), text));
            }
        }
    }
}

/// Whether two of these are the same file.
pub(crate) fn same_file(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

pub(super) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
