//! One OCI layout in a folder, or in a bucket: its index and its lock.
//!
//! `edit` changes the index under the lock; `fingerprint` tells two indexes from each other; `files` writes
//! and locks files.

mod edit;
mod files;
mod fingerprint;

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use fs_err::File;
use skopeo_image::number::{narrow, wide};
use skopeo_objects::{Fetched, Version};

use super::beneath::Folder;
use super::bucket::Bucket;
use super::count::Count;
use super::index::{Index, Unreadable};
use super::keys::{INDEX, MARKER, MARKER_CONTENT, MAX_INDEX, NO_MANIFESTS, UPLOADS};
use super::names::Names;
use super::reach::Reach;
use super::room::Room;
use super::stamp::{Mark, Stamp};
use crate::Durability;
use crate::content::Content;
use crate::refusal::Refusal;

pub(crate) use edit::Hold;
pub(crate) use files::{again, locked, same_file};

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
}

impl Drop for Layout {
    fn drop(&mut self) {
        self.room.kept.forget(self.number);
    }
}
