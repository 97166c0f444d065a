//! Editing `index.json` in a bucket: images that are ready at the same time get their names in one
//! edit, and an edit that others were quicker with is made again with what they wrote.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use skopeo_image::Digest;
use skopeo_image::number::wide;
use skopeo_objects::{Before, Lease, OLD, Replaced as Written};
use tokio::sync::oneshot;
use tracing::debug;

use super::super::editor::Replaced;
use super::super::index::{Entry, Index, Target};
use super::super::referrers::PendingReferrers;
use super::contents::{Bucket, INDEX, LOCK, UPLOADS, back_off, key};
use super::removal;
use crate::{CommitError, Error, files};

/// How often an edit is made again because others were quicker.
const TRIES: u32 = 300;

/// All of this process that give names in one bucket.
#[derive(Debug)]
pub(super) struct Editor {
    bucket: Arc<Bucket>,
    replaced: Replaced,
    waiting: Mutex<Vec<Waiting>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Images whose names others have got, to be removed at the end.
    gone: Mutex<Vec<Target>>,
    /// Whether what other runs have left over has been looked for.
    tidied: Mutex<bool>,
}

/// What an image has to be given its name.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    /// What it needs of what is there.
    pub(super) used: BTreeSet<Digest>,
    pub(super) top: Option<Entry>,
    pub(super) referrers: PendingReferrers,
}

#[derive(Debug)]
struct Waiting {
    edit: Edit,
    done: oneshot::Sender<Result<(), Error>>,
}

/// What an edit has made of an index.
struct Made {
    index: Index,
    /// Lists that have to be written before it.
    lists: Vec<(Digest, Vec<u8>)>,
    /// For each image, which others lose their names to it.
    replaced: Vec<Result<Vec<Target>, Error>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Editor {
    pub(super) fn new(bucket: Arc<Bucket>, replaced: Replaced) -> Arc<Self> {
        Arc::new(Self {
            bucket,
            replaced,
            waiting: Mutex::default(),
            turn: Arc::default(),
            gone: Mutex::default(),
            tidied: Mutex::default(),
        })
    }

    pub(super) fn bucket(&self) -> &Arc<Bucket> {
        &self.bucket
    }

    /// Writes something small whose digest has been computed.
    pub(super) async fn put_small(&self, digest: &Digest, bytes: &Bytes) -> Result<(), Error> {
        self.bucket.keep(digest, bytes);
        self.bucket.store().put(&key(digest), bytes.clone()).await?;
        self.bucket.has_now(digest, wide(bytes.len()));
        Ok(())
    }

    /// Gives an image its name. All that it needs must be there, and is looked for once more where
    /// others have written meanwhile.
    pub(super) async fn publish(self: &Arc<Self>, edit: Edit) -> Result<(), Error> {
        let (done, mut result) = oneshot::channel();
        lock(&self.waiting).push(Waiting { edit, done });
        let turn = self.turn.clone().lock_owned().await;
        // Who had the turn before may have taken ours along.
        if let Ok(result) = result.try_recv() {
            return result;
        }
        let editor = self.clone();
        // Whoever waits with us must not go without an answer because we are dropped.
        let published = tokio::spawn(async move {
            let _turn = turn;
            let waiting = std::mem::take(&mut *lock(&editor.waiting));
            editor.publish_all(waiting).await;
        });
        published.await.map_err(io::Error::other)?;
        result.await.map_err(io::Error::other)?
    }

    async fn publish_all(&self, mut waiting: Vec<Waiting>) {
        // Whose future was dropped wants no name any more.
        waiting.retain(|it| !it.done.is_closed());
        if waiting.is_empty() {
            return;
        }
        let edits: Vec<Edit> = waiting.iter().map(|it| it.edit.clone()).collect();
        match self.edit(edits).await {
            Ok(replaced) => {
                // Who does not listen any more does not mind.
                for (waiting, replaced) in waiting.into_iter().zip(replaced) {
                    let result = replaced.map(|replaced| lock(&self.gone).extend(replaced));
                    let _ = waiting.done.send(result);
                }
                self.tidy().await;
            }
            Err(error) => {
                let error = Arc::new(error);
                for waiting in waiting {
                    let _ = waiting.done.send(Err(Error::Shared(error.clone())));
                }
            }
        }
    }

    async fn edit(&self, edits: Vec<Edit>) -> Result<Vec<Result<Vec<Target>, Error>>, Error> {
        let (bucket, store) = (&self.bucket, self.bucket.store());
        bucket.prepare().await?;
        if bucket.has_conditions().await? {
            return self.edit_in_turn(edits, None).await;
        }
        let mut lease = store.lock(LOCK, false).await?;
        let edited = self.edit_in_turn(edits, Some(&mut lease)).await;
        lease.release().await?;
        edited
    }

    /// With a lock, or else against those who are quicker.
    async fn edit_in_turn(
        &self,
        edits: Vec<Edit>,
        mut lease: Option<&mut Lease>,
    ) -> Result<Vec<Result<Vec<Target>, Error>>, Error> {
        let (bucket, store) = (&self.bucket, self.bucket.store());
        let mut current = match lease {
            // Who had the lock before may have deleted.
            Some(_) => {
                bucket.forget();
                bucket.read_index().await?
            }
            None => bucket.index_if_any().await?,
        };
        for tries in 0..TRIES {
            // Who deletes has written the index before, so it is read after the lock.
            if lease.is_none() && store.wait_for(LOCK).await? {
                bucket.forget();
                current = bucket.read_index().await?;
            }
            let before = match (&lease, &current) {
                (Some(_), _) => Before::Anything,
                (None, Some((version, _))) => Before::This(version.clone()),
                (None, None) => Before::Nothing,
            };
            if current.is_none() {
                bucket.mark().await?;
            }
            let index = current.map(|(_, index)| index);
            let made = self.make(index, edits.clone()).await?;
            if made.replaced.iter().all(Result::is_err) {
                return Ok(made.replaced);
            }
            for (digest, list) in made.lists {
                self.put_small(&digest, &list.into()).await?;
            }
            let text = Bytes::from(made.index.encode());
            let replace = store.replace(INDEX, text, &before);
            let written = match &mut lease {
                Some(lease) => lease.during(replace).await?,
                None => replace.await?,
            };
            match written {
                Written::Written(version) => {
                    bucket.wrote_index(version, Arc::new(made.index));
                    return Ok(made.replaced);
                }
                Written::Changed => {
                    debug!("others have written to {}", store.name_of(INDEX));
                    back_off(tries).await;
                    current = bucket.read_index().await?;
                }
            }
        }
        Err(skopeo_objects::Error::Crowded(store.name_of(INDEX)).into())
    }

    /// Makes all edits, in order. What one of them lacks is its own affair.
    async fn make(&self, index: Option<Arc<Index>>, edits: Vec<Edit>) -> Result<Made, Error> {
        let mut lacking = Vec::new();
        for edit in &edits {
            lacking.push(self.lacks(edit).await?);
        }
        let (bucket, replaced) = (self.bucket.clone(), self.replaced);
        files::blocking(move || {
            let mut index = index.map_or_else(Index::new, Arc::unwrap_or_clone);
            let (mut lists, mut results) = (Vec::new(), Vec::new());
            for (edit, lacks) in edits.into_iter().zip(lacking) {
                if let Some(digest) = lacks {
                    results.push(Err(CommitError::Vanished(digest).into()));
                    continue;
                }
                // What breaks half-way must leave no half of it to the others.
                let mut edited = index.clone();
                let result = apply(&bucket, &mut edited, edit, replaced);
                results.push(result.map(|(new, replaced)| {
                    lists.extend(new);
                    index = edited;
                    replaced
                }));
            }
            Ok(Made { index, lists, replaced: results })
        })
        .await
    }

    /// What an image needs and is not there.
    async fn lacks(&self, edit: &Edit) -> Result<Option<Digest>, Error> {
        for digest in &edit.used {
            if self.bucket.size(digest).await?.is_none() {
                return Ok(Some(digest.clone()));
            }
        }
        Ok(None)
    }

    /// Removes what nothing needs any more since other images have got the names.
    pub(super) async fn sweep(&self) -> Result<(), Error> {
        let gone = std::mem::take(&mut *lock(&self.gone));
        if gone.is_empty() {
            return Ok(());
        }
        removal::sweep(&self.bucket, gone).await
    }

    /// Removes what other runs have left over, once, after something has been written. Nobody is
    /// kept from anything by its failing.
    async fn tidy(&self) {
        if std::mem::replace(&mut *lock(&self.tidied), true) {
            return;
        }
        if let Err(error) = self.bucket.store().remove_leftovers(UPLOADS, OLD).await {
            debug!("looking for leftovers: {error}");
        }
    }
}

type Applied = (Vec<(Digest, Vec<u8>)>, Vec<Target>);

/// Makes one edit. Gives back lists to be written before the index, and the images whose names it
/// takes, if those have to go.
fn apply(
    bucket: &Bucket,
    index: &mut Index,
    edit: Edit,
    replaced: Replaced,
) -> Result<Applied, Error> {
    let Edit { top, referrers, .. } = edit;
    let gone = match top {
        None => Vec::new(),
        Some(top) if replaced == Replaced::StaysNameless => {
            index.add(top);
            Vec::new()
        }
        Some(top) => {
            let digest = top.descriptor()?.digest;
            let old = index.put(top).into_iter().filter_map(|old| old.descriptor().ok());
            old.filter(|old| old.digest != digest).collect()
        }
    };
    Ok((referrers.apply(bucket, index)?, gone))
}
