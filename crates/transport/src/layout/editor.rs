//! Editing `index.json`: images that are ready at the same time get their names in one edit.
//!
//! An edit reads the index under its lock, and writes it whole and on to the disk. With thousands
//! of images in a layout that is most of the work of naming one, so whoever waits for its turn is
//! taken along, and what was read or written last is kept for as long as the file is the same.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skopeo_archive::Stamp;
use skopeo_image::Digest;
use tokio::sync::oneshot;

use super::folder::Folder;
use super::index::{Entry, Index, Target};
use super::referrers::PendingReferrers;
use super::sweep_images;
use crate::files;
use crate::proof::Proofs;
use crate::writer;
use crate::{CommitError, Error};

/// All of this process that give names in one layout.
#[derive(Debug)]
pub(crate) struct Editor {
    folder: Folder,
    replaced: Replaced,
    waiting: Mutex<Vec<Waiting>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The index as it was read or written last.
    last: Mutex<Option<(Stamp, Arc<Index>)>>,
    /// Images whose names others have got, to be removed at the end.
    gone: Mutex<Vec<Target>>,
    /// What is known of the blobs that are there.
    proofs: Arc<Proofs>,
}

/// What becomes of an image whose name another one gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// It stays without a name, as the original leaves it.
    StaysNameless,
    /// It goes, with what nothing else needs of it.
    Goes,
}

/// What an image has to be given its name.
#[derive(Debug)]
pub(super) struct Edit {
    /// What it needs of what is there.
    pub(super) used: BTreeSet<Digest>,
    pub(super) top: Option<Entry>,
    pub(super) referrers: PendingReferrers,
    pub(super) writer: writer::Writer,
}

#[derive(Debug)]
struct Waiting {
    edit: Edit,
    done: oneshot::Sender<Result<(), Error>>,
}

impl Editor {
    pub(super) fn new(folder: Folder, replaced: Replaced) -> Arc<Self> {
        Arc::new(Self {
            folder,
            replaced,
            waiting: Mutex::default(),
            turn: Arc::default(),
            last: Mutex::default(),
            gone: Mutex::default(),
            proofs: Arc::default(),
        })
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What is known of the blobs that are there.
    pub(super) fn proofs(&self) -> &Arc<Proofs> {
        &self.proofs
    }

    /// The index as it is now; `None` if there is none yet.
    pub(super) fn index_if_any(&self) -> Result<Option<Arc<Index>>, Error> {
        let mut last = lock(&self.last);
        // Before it is read: who changes it then only makes us read it once more.
        let stamp = Stamp::at(&self.folder.index_path());
        if let Some((before, index)) = &*last
            && Some(*before) == stamp
        {
            return Ok(Some(index.clone()));
        }
        let index = match self.folder.index() {
            Ok(index) => Arc::new(index),
            Err(error) if error.is_missing_file() => return Ok(None),
            Err(error) => return Err(error),
        };
        *last = stamp.map(|stamp| (stamp, index.clone()));
        Ok(Some(index))
    }

    /// Gives an image its name, which is on the disk then. All that it needs must be there, and is
    /// looked for once more.
    pub(super) async fn publish(self: &Arc<Self>, edit: Edit) -> Result<(), Error> {
        let (done, mut result) = oneshot::channel();
        lock(&self.waiting).push(Waiting { edit, done });
        let turn = self.turn.clone().lock_owned().await;
        // Who had the turn before may have taken ours along.
        if let Ok(result) = result.try_recv() {
            return result;
        }
        let editor = self.clone();
        files::blocking(move || {
            let _turn = turn;
            let waiting = std::mem::take(&mut *lock(&editor.waiting));
            editor.publish_all(waiting);
            Ok(())
        })
        .await?;
        result.await.map_err(io::Error::other)?
    }

    fn publish_all(&self, mut waiting: Vec<Waiting>) {
        // Whose future was dropped wants no name any more.
        waiting.retain(|it| !it.done.is_closed());
        let mut applied = Vec::new();
        let mut broken = Vec::new();
        let written = self.edit(|index| {
            for Waiting { edit, done } in waiting.drain(..) {
                match self.apply(index, edit) {
                    Ok(replaced) => applied.push((done, replaced)),
                    Err(error) => broken.push((done, Err(error))),
                }
            }
            !applied.is_empty()
        });
        // Who does not listen any more does not mind.
        for (done, result) in broken {
            let _ = done.send(result);
        }
        match written {
            Ok(()) => {
                for (done, replaced) in applied {
                    lock(&self.gone).extend(replaced);
                    let _ = done.send(Ok(()));
                }
            }
            Err(error) => {
                // Those whose edit was not even begun wait too.
                let unbegun = waiting.into_iter().map(|it| it.done);
                let error = Arc::new(error);
                for done in applied.into_iter().map(|(done, _)| done).chain(unbegun) {
                    let _ = done.send(Err(Error::Shared(error.clone())));
                }
            }
        }
    }

    /// Lets `work` edit the index under its lock, and writes it if that says so.
    fn edit(&self, work: impl FnOnce(&mut Arc<Index>) -> bool) -> Result<(), Error> {
        let held = self.folder.lock()?;
        let mut index = self.index_if_any()?.unwrap_or_else(|| Arc::new(Index::new()));
        // The only one then, so that editing need not copy it.
        *lock(&self.last) = None;
        if work(&mut index) {
            self.folder.replace_index(&index.encode(), &held)?;
        }
        let stamp = Stamp::at(&self.folder.index_path());
        *lock(&self.last) = stamp.map(|stamp| (stamp, index));
        Ok(())
    }

    /// Does one edit. Gives back the images whose name it takes, if those have to go.
    fn apply(&self, index: &mut Arc<Index>, edit: Edit) -> Result<Vec<Target>, Error> {
        let Edit { used, top, referrers, writer } = edit;
        // Who deletes an image holds the lock too: what is there now stays.
        for digest in used {
            if self.folder.plain_size(&digest).is_none() {
                return Err(CommitError::Vanished(digest).into());
            }
        }
        if referrers.is_empty() {
            return self.name(Arc::make_mut(index), top);
        }
        // What breaks half-way must leave no half of it to the others.
        let mut edited = Index::clone(index);
        let replaced = self.name(&mut edited, top)?;
        for (digest, list) in referrers.apply(&self.folder, &mut edited)? {
            writer.put_bytes_at_once(&self.folder.blob_path(&digest), &list)?;
        }
        *index = Arc::new(edited);
        Ok(replaced)
    }

    fn name(&self, index: &mut Index, top: Option<Entry>) -> Result<Vec<Target>, Error> {
        let Some(top) = top else { return Ok(Vec::new()) };
        match self.replaced {
            Replaced::StaysNameless => {
                index.add(top);
                Ok(Vec::new())
            }
            Replaced::Goes => {
                let digest = top.descriptor()?.digest;
                let old = index.put(top).into_iter().filter_map(|old| old.descriptor().ok());
                Ok(old.filter(|old| old.digest != digest).collect())
            }
        }
    }

    /// Removes what nothing needs any more since other images have got the names.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        let gone = std::mem::take(&mut *lock(&self.gone));
        if gone.is_empty() {
            return Ok(());
        }
        let held = self.folder.lock()?;
        *lock(&self.last) = None;
        sweep_images(&self.folder, gone, self.folder.index()?, &held)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one assignment, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
