//! Uploads: files that grow until their digest is proven, or objects of a bucket that do.
//!
//! `held` goes on with one, `object` is one into a bucket, `id` is what clients call it.
//!
//! An upload into a bucket belongs to the server that began it, and ends with it.
//!
//! Two servers may serve one folder, and a client may send to both. So whoever writes to an upload
//! or gives it its name holds a lock on the file itself, looks whether the name still leads to that
//! file once the lock is there, and trusts a hash only if the file is as it was left.

mod held;
mod id;
mod object;

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fs_err::File;
use skopeo_blob::WriteBack;
use skopeo_image::{Algorithm, Hasher};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use super::beneath::Folder;
use super::keys::UPLOADS;
use super::layout::{Layout, again, locked, same_file};
use super::patience;
use super::stamp::Stamp;
use crate::error::ApiError;
use crate::name::RepositoryName;

use id::{is_id, new_id};
use object::Object;

/// Of how many uploads more is remembered than what their files say.
const MOST: usize = 10_000;

/// All uploads of a store that this process knows, by their id.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashMap<String, Arc<Upload>>>);

/// One upload.
#[derive(Debug)]
pub(crate) struct Upload {
    id: String,
    repository: RepositoryName,
    layout: Arc<Layout>,
    progress: Arc<tokio::sync::Mutex<Progress>>,
}

/// What is remembered of an upload between two pieces.
#[derive(Debug)]
struct Progress {
    /// The hash so far; none if nobody here saw the first bytes (a restarted server).
    hasher: Option<Hasher>,
    algorithm: Algorithm,
    /// How the file was left by us.
    left: Option<Stamp>,
    /// What there is instead of a file where the layout is in a bucket.
    object: Option<Object>,
}

/// An upload that nobody else goes on with, in this process or another.
#[derive(Debug)]
pub(crate) struct Held {
    upload: Arc<Upload>,
    size: u64,
    back: WriteBack,
    // Before the other: whoever is next in this process finds the file free.
    /// None where the layout is in a bucket.
    file: Option<File>,
    progress: OwnedMutexGuard<Progress>,
}

/// What came of trying to have an upload.
enum Attempt {
    Locked(File, Stamp),
    /// It has ended: it is a blob by now, or nothing.
    Gone,
}

impl Uploads {
    /// Begins an upload into `layout`.
    pub(crate) fn begin(
        &self,
        repository: &RepositoryName,
        layout: Arc<Layout>,
        algorithm: Algorithm,
    ) -> io::Result<Arc<Upload>> {
        let id = new_id()?;
        // Held, lest an upload that ends removes the folder in between.
        let mut uploads = self.lock();
        make_room(&mut uploads);
        let object = match &layout.bucket {
            Some(bucket) => Some(Object::new(bucket.upload(&id)?)),
            None => {
                create(&layout.uploads(), &id)?;
                None
            }
        };
        let upload = Upload::new(id, repository.clone(), layout, algorithm, object);
        uploads.insert(upload.id.clone(), upload.clone());
        Ok(upload)
    }

    /// The upload of this id, also one that another run of the server began.
    pub(crate) fn find(
        &self,
        id: &str,
        repository: &RepositoryName,
        layout: Option<&Arc<Layout>>,
    ) -> io::Result<Option<Arc<Upload>>> {
        if let Some(upload) = self.lock().get(id) {
            return Ok((upload.repository == *repository).then(|| upload.clone()));
        }
        let in_folder = |layout: &&Arc<Layout>| is_id(id) && layout.bucket.is_none();
        let Some(layout) = layout.filter(in_folder) else { return Ok(None) };
        if !layout.uploads().look(id)?.is_some_and(|found| found.is_file()) {
            return Ok(None);
        }
        let upload =
            Upload::new(id.to_owned(), repository.clone(), layout.clone(), Algorithm::Sha256, None);
        let mut uploads = self.lock();
        make_room(&mut uploads);
        Ok(Some(uploads.entry(id.to_owned()).or_insert(upload).clone()))
    }

    /// Removes an upload that nobody has been told of.
    pub(crate) fn take_back(&self, upload: &Upload) {
        if upload.layout.bucket.is_none() {
            let _ = upload.layout.uploads().remove(&upload.id);
        }
        self.forget(upload);
    }

    /// Forgets an upload and removes its file.
    pub(crate) fn end(&self, mut held: Held) -> io::Result<()> {
        let upload = held.upload.clone();
        if upload.layout.bucket.is_some() {
            // What is still there is given up; nothing is if it has become a blob.
            if held.progress.object.take().is_some() {
                upload.layout.room.give_back(held.size);
            }
            drop(held);
            self.lock().remove(&upload.id);
            return Ok(());
        }
        let removed = upload.layout.uploads().remove(&upload.id);
        if matches!(removed, Ok(true)) {
            upload.layout.room.give_back(held.size);
        }
        drop(held);
        self.forget(&upload);
        removed.map(drop)
    }

    /// Forgets an upload whose file has gone.
    pub(crate) fn forget(&self, upload: &Upload) {
        let mut uploads = self.lock();
        uploads.remove(&upload.id);
        if upload.layout.bucket.is_some() {
            return;
        }
        // Stays if another upload is in it.
        let _ = upload.layout.folder.remove_folder(UPLOADS);
    }

    /// Removes the uploads of a layout that nobody has written to for `age`, and nobody holds.
    /// Whether there were any.
    pub(crate) fn remove_abandoned(&self, layout: &Arc<Layout>, age: Duration) -> io::Result<bool> {
        let folder = layout.uploads();
        let mut found = false;
        for (id, kind) in folder.entries()? {
            if !kind.is_file() || !is_id(&id) || !is_old(&folder, &id, age)? {
                continue;
            }
            let Some((file, metadata)) = folder.write(&id)? else { continue };
            let Some(_lock) = locked(file)? else { continue };
            // Nobody begins to write between this look and the removal.
            if !is_old(&folder, &id, age)? {
                continue;
            }
            tracing::info!("removing an abandoned upload: {}", folder.path().join(&id).display());
            if folder.remove(&id)? {
                layout.room.give_back(metadata.len());
                found = true;
            }
            self.lock().remove(&id);
        }
        let _uploads = self.lock();
        let _ = layout.folder.remove_folder(UPLOADS);
        Ok(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Upload>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    fn new(
        id: String,
        repository: RepositoryName,
        layout: Arc<Layout>,
        algorithm: Algorithm,
        object: Option<Object>,
    ) -> Arc<Self> {
        let progress = Progress { hasher: None, algorithm, left: None, object };
        let progress = Arc::new(tokio::sync::Mutex::new(progress));
        Arc::new(Self { id, repository, layout, progress })
    }

    /// Where it is.
    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Waits until nobody else goes on with the upload, at most until `deadline`. None if it has
    /// ended meanwhile.
    pub(crate) async fn hold(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<Option<Held>, ApiError> {
        let progress = timeout_at(deadline, self.progress.clone().lock_owned());
        let mut progress = progress.await.map_err(|_| patience::busy())?;
        if self.layout.bucket.is_some() {
            let Some(object) = &mut progress.object else { return Ok(None) };
            object.used = std::time::Instant::now();
            let size = object.size;
            if size == 0 {
                progress.hasher = Some(Hasher::new(progress.algorithm));
            }
            let back = WriteBack::from(size);
            return Ok(Some(Held { upload: self.clone(), progress, file: None, size, back }));
        }
        let upload = self.clone();
        let attempt = patience::until(deadline, move || upload.seize()).await?;
        let Attempt::Locked(file, now) = attempt else { return Ok(None) };
        let size = now.size;
        if size == 0 {
            progress.hasher = Some(Hasher::new(progress.algorithm));
        } else if progress.left != Some(now) {
            // Another server has gone on with it.
            progress.hasher = None;
        }
        let back = WriteBack::from(size);
        Ok(Some(Held { upload: self.clone(), progress, file: Some(file), size, back }))
    }

    fn seize(&self) -> io::Result<Option<Attempt>> {
        let folder = self.layout.uploads();
        let Some((file, _)) = folder.write(&self.id)? else { return Ok(Some(Attempt::Gone)) };
        let Some(file) = locked(file)? else { return Ok(None) };
        // Who had the lock before may have given the file its name as a blob.
        let metadata = file.metadata()?;
        let named = folder.look(&self.id)?;
        if !named.is_some_and(|named| same_file(&named, &metadata)) {
            return Ok(Some(Attempt::Gone));
        }
        if metadata.nlink() != 1 {
            tracing::warn!("{} has other names: it is not written to", file.path().display());
            return Ok(Some(Attempt::Gone));
        }
        Ok(Some(Attempt::Locked(file, Stamp::of(&metadata))))
    }
}

/// Forgets the uploads that no request has in hand, if there are too many. Who goes on with one
/// finds its file.
fn make_room(uploads: &mut HashMap<String, Arc<Upload>>) {
    if uploads.len() >= MOST {
        uploads.retain(|_, upload| Arc::strong_count(upload) > 1);
    }
}

/// Whether nobody has written to what is in a folder for `age`, or to the folder itself.
pub(super) fn is_old(folder: &Folder, name: &str, age: Duration) -> io::Result<bool> {
    let Some(found) = folder.look(name)? else { return Ok(false) };
    Ok(found.modified()?.elapsed().is_ok_and(|since| since >= age))
}

/// Makes an empty file. Another server over the same folder may remove the emptied folder at any
/// moment, so it may take more than one attempt.
fn create(folder: &Folder, id: &str) -> io::Result<()> {
    again(|| folder.make().and_then(|()| folder.create(id))).map(drop)
}
