//! Uploads: files that grow until their digest is proven, or objects of a bucket that do.
//!
//! An upload into a bucket belongs to the server that began it, and ends with it.
//!
//! Two servers may serve one folder, and a client may send to both. So whoever writes to an upload
//! or gives it its name holds a lock on the file itself, looks whether the name still leads to that
//! file once the lock is there, and trusts a hash only if the file is as it was left.

use std::collections::HashMap;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fs_err::File;
use skopeo_blob::WriteBack;
use skopeo_image::number::wide;
use skopeo_image::{Algorithm, Digest, Hasher};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::beneath::Folder;
use super::blobs::digest_of;
use super::bucket::Bucket;
use super::keys::UPLOADS;
use super::layout::{Layout, Stamp, again, locked, same_file};
use super::patience;
use super::room::Refusal;
use crate::Durability;
use crate::error::ApiError;
use crate::name::RepositoryName;

/// How long nobody must have gone on with an upload for it to make room for another.
const IDLE: Duration = Duration::from_secs(10);

/// How often, and in which pauses, it is looked whether there is room for an upload.
const LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(100);

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

/// An upload into a bucket.
#[derive(Debug)]
struct Object {
    upload: skopeo_objects::Upload,
    /// In bytes.
    size: u64,
    /// When a client last had to do with it.
    used: std::time::Instant,
    /// Its place among those that have bytes in memory.
    place: Option<OwnedSemaphorePermit>,
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

    /// Gives up the uploads into a bucket that nobody has to do with for so long.
    pub(crate) fn forget_idle(&self, age: Duration) {
        self.lock().retain(|_, upload| {
            let Ok(mut progress) = upload.progress.try_lock() else { return true };
            let is_idle = |object: &mut Object| object.used.elapsed() >= age;
            let Some(object) = progress.object.take_if(is_idle) else { return true };
            upload.layout.room.give_back(object.size);
            false
        });
    }

    /// A place among the uploads that have bytes in memory. Who waits takes that of the one that
    /// nobody has gone on with for the longest time.
    fn place(&self, bucket: &Bucket) -> io::Result<OwnedSemaphorePermit> {
        for _ in 0..LOOKS {
            if let Some(place) = bucket.place_of_upload() {
                return Ok(place);
            }
            if !self.give_up_one() {
                std::thread::sleep(PAUSE);
            }
        }
        Err(Refusal::Uploads.into())
    }

    /// Gives up the upload that has bytes in memory and that nobody has gone on with for the longest
    /// time, if that is some time. Whether there was one.
    fn give_up_one(&self) -> bool {
        let mut uploads = self.lock();
        let idle = uploads.values().filter_map(|upload| {
            let progress = upload.progress.try_lock().ok()?;
            let object = progress.object.as_ref().filter(|object| object.place.is_some())?;
            (object.used.elapsed() >= IDLE).then(|| (object.used, upload.id.clone()))
        });
        let Some((_, id)) = idle.min() else { return false };
        let Some(upload) = uploads.remove(&id) else { return false };
        let Ok(mut progress) = upload.progress.try_lock() else { return false };
        if let Some(object) = progress.object.take() {
            upload.layout.room.give_back(object.size);
        }
        true
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

impl Held {
    /// The upload.
    pub(crate) fn upload(&self) -> &Arc<Upload> {
        &self.upload
    }

    /// How many bytes have come.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether so many bytes more may come, as far as that can be said beforehand.
    pub(crate) fn admits(&self, bytes: u64) -> io::Result<()> {
        let room = &self.upload.layout.room;
        room.admits_blob(self.size.saturating_add(bytes))?;
        room.admits(bytes)
    }

    /// Appends and hashes one piece. One that could not be written as a whole does not count.
    pub(crate) fn append(&mut self, uploads: &Uploads, piece: &Bytes) -> io::Result<()> {
        let length = wide(piece.len());
        let room = self.upload.layout.room.clone();
        room.admits_blob(self.size.saturating_add(length))?;
        room.take(length)?;
        self.write(uploads, piece).inspect_err(|_| room.give_back(length))?;
        self.size = self.size.saturating_add(length);
        if let Some(hasher) = &mut self.progress.hasher {
            hasher.update(piece);
        }
        Ok(())
    }

    fn write(&mut self, uploads: &Uploads, piece: &Bytes) -> io::Result<()> {
        let Some(file) = &mut self.file else { return self.write_object(uploads, piece) };
        let written = file.seek(SeekFrom::Start(self.size)).and_then(|_| file.write_all(piece));
        if let Err(error) = written {
            let _ = file.set_len(self.size);
            return Err(error);
        }
        if self.upload.layout.durability == Durability::PowerLoss {
            self.back.wrote(file.file(), piece.len());
        }
        Ok(())
    }

    /// What could not be written in part is of no use any more.
    fn write_object(&mut self, uploads: &Uploads, piece: &Bytes) -> io::Result<()> {
        let Some(bucket) = &self.upload.layout.bucket else { return Ok(()) };
        let Some(mut object) = self.progress.object.take() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if object.place.is_none() {
            object.place = Some(match uploads.place(bucket) {
                Ok(place) => place,
                Err(error) => {
                    self.progress.object = Some(object);
                    return Err(error);
                }
            });
        }
        let written = bucket.write(&mut object.upload, piece.clone());
        if let Err(error) = written {
            self.upload.layout.room.give_back(object.size);
            return Err(error);
        }
        object.size = object.size.saturating_add(wide(piece.len()));
        self.progress.object = Some(object);
        Ok(())
    }

    /// Gives an object its name as a blob, if it has this digest.
    fn finish_object(&mut self, bucket: &Bucket, digest: &Digest) -> io::Result<bool> {
        let hashed = match &self.progress.hasher {
            Some(hasher) if self.progress.algorithm == digest.algorithm() => {
                Some(hasher.clone().finish())
            }
            _ => None,
        };
        if hashed.as_ref().is_some_and(|hashed| hashed != digest) {
            return Ok(false);
        }
        let Some(object) = self.progress.object.take() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let room = &self.upload.layout.room;
        let replaced = match room.is_limited() {
            true => bucket.size(digest)?.unwrap_or(0),
            false => 0,
        };
        let is_it = match hashed {
            Some(_) => bucket.finish(object.upload, digest).map(|()| true),
            None => bucket.finish_unknown(object.upload, &self.upload.id, digest),
        };
        room.give_back(if matches!(is_it, Ok(true)) { replaced } else { object.size });
        is_it
    }

    /// Gives the file its place as a blob, if it has this digest; `false` if it has another.
    pub(crate) fn finish(&mut self, digest: &Digest) -> io::Result<bool> {
        let layout = self.upload.layout.clone();
        if let Some(bucket) = &layout.bucket {
            return self.finish_object(bucket, digest);
        }
        let Some(file) = &self.file else { return Ok(false) };
        let hashed = match &self.progress.hasher {
            Some(hasher) if self.progress.algorithm == digest.algorithm() => {
                hasher.clone().finish()
            }
            _ => digest_of(file, digest.algorithm())?,
        };
        Ok(hashed == *digest
            && layout.adopt_blob(&layout.uploads(), &self.upload.id, file, digest)?)
    }
}

impl Object {
    fn new(upload: skopeo_objects::Upload) -> Self {
        Self { upload, size: 0, used: std::time::Instant::now(), place: None }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let left = self.file.as_ref().and_then(|file| file.metadata().ok());
        self.progress.left = left.map(|metadata| Stamp::of(&metadata));
        if let Some(object) = &mut self.progress.object {
            object.used = std::time::Instant::now();
        }
    }
}

/// Forgets the uploads that no request has in hand, if there are too many. Who goes on with one finds
/// its file.
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

/// A random id in the form of a version 4 UUID.
fn new_id() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::from)?;
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let hex = u128::from_be_bytes(random);
    let hex = format!("{hex:032x}");
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_file_names() {
        let id = new_id().unwrap();
        assert!(is_id(&id), "{id}");
        assert_ne!(id, new_id().unwrap());
        for text in ["", "..", "../../../../../../../../../../x/passwd", "a"] {
            assert!(!is_id(text), "{text}");
        }
    }
}
