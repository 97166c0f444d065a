//! Edits of the index of a layout: who may, and how a new index takes the place of the old one.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use fs_err::File;
use skopeo_image::Digest;
use skopeo_image::number::wide;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use super::Layout;
use super::files::{ATTEMPTS, locked, same_file};
use super::fingerprint::Fingerprint;
use crate::error::ApiError;
use crate::refusal::Refusal;
use crate::store::bucket::Bucket;
use crate::store::index::{Index, MAX_ENTRIES};
use crate::store::keys::{INDEX, LOCK, MAX_INDEX};
use crate::store::patience;
use crate::store::stamp::Mark;

/// How often an index in a bucket is edited again because others were quicker.
const BUCKET_TRIES: u32 = 300;

/// How long the lock of a bucket is waited for.
const BUCKET_PATIENCE: Duration = Duration::from_secs(30);

/// The right to edit a layout. It ends with this value, or this process.
#[derive(Debug)]
pub(crate) struct Hold {
    /// None where the layout is in a bucket: there the edit itself keeps others away.
    pub(in crate::store) lock: Option<File>,
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
    pub(in crate::store) fn try_lock(&self) -> io::Result<Option<File>> {
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
        let (old, new) = (Fingerprint::of(before)?, Fingerprint::of(&after)?);
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
