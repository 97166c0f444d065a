//! Files as all transports in folders use them: read with limits, written beside their place and
//! renamed to it.

use std::any::Any;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fs_err::File;
use skopeo_blob::{Blob, StreamError, Unverified, WriteBack, WriteError, file};
use skopeo_image::number::{narrow, wide};
use skopeo_image::{Descriptor, Digest};
use skopeo_system::{Opening as _, for_all, mode_of, set_mode};
use tempfile::{NamedTempFile, TempPath};
use tokio::task::JoinHandle;

use crate::invalid_file::InvalidFile;
use crate::partial::{self, PartialFile};
use crate::{Error, Partial, inside};

/// The longest manifest that is read, in bytes.
pub(crate) const MAX_MANIFEST: u64 = wide(skopeo_image::manifest::MAX_MANIFEST_SIZE);

/// The longest `index.json` of a layout, in bytes: some hundred thousand images.
pub(crate) const MAX_INDEX: u64 = 64 << 20;

/// The longest signature, in bytes; the original's limit.
pub(crate) const MAX_SIGNATURE: u64 = 4 << 20;

/// How many blobs are worth reading or writing at once. Enough to keep disk and hashing busy.
pub(crate) const CONCURRENCY: std::num::NonZeroUsize = std::num::NonZeroUsize::new(6).unwrap();

/// A leftover of another process is taken for dead only when it is older than this, so that a file
/// which is just being created is never taken for one.
const DEAD_AFTER: Duration = Duration::from_secs(600);

/// How temporary files are called that lie beside what they are to replace.
pub(crate) const BESIDE: &str = ".skopeo-";

/// Opens a regular file and gives its length. Where `inside` is given, the file must be below it,
/// and no link may lead out of that.
pub(crate) fn open(path: &Path, inside: Option<&Path>) -> Result<(File, u64), Error> {
    if let Some(root) = inside {
        return inside::open(root, path);
    }
    let mut options = fs_err::OpenOptions::new();
    options.read(true).options_mut().no_wait();
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(
            InvalidFile::NotAFile { path: path.to_owned(), reason: "not a regular file" }.into()
        );
    }
    Ok((file, metadata.len()))
}

/// Reads a whole regular file that is not longer than `limit` bytes.
pub(crate) fn read(path: &Path, inside: Option<&Path>, limit: u64) -> Result<Vec<u8>, Error> {
    use io::Read;
    let (file, size) = open(path, inside)?;
    let too_large = |size| InvalidFile::TooLarge { path: path.to_owned(), size, limit };
    if size > limit {
        return Err(too_large(size).into());
    }
    let mut bytes = Vec::with_capacity(narrow(size.saturating_add(1)));
    let read = wide(file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?);
    if read > limit { Err(too_large(read).into()) } else { Ok(bytes) }
}

/// Makes a folder with those above it. The error names the one that cannot be made.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    match fs_err::create_dir(path) {
        // Somebody else was quicker.
        Err(_) if path.is_dir() => Ok(()),
        made => made,
    }
}

/// A blob in a regular file.
pub(crate) fn read_blob(path: &Path, inside: Option<&Path>) -> Result<Unverified, Error> {
    let (file, size) = open(path, inside)?;
    Ok(Unverified::new(file::read(file, size), Some(size)))
}

/// The length of a regular file; `None` if there is none.
pub(crate) fn size_of(path: &Path) -> Option<u64> {
    fs_err::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// The length of a regular file that is no link; `None` if there is none.
pub(crate) fn plain_size(path: &Path) -> Option<u64> {
    let found = fs_err::symlink_metadata(path).ok();
    found.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// Writes a file so that it is there whole or not at all, and is on the disk then. The mode of what
/// it replaces is kept.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temp = beside(path, bytes)?;
    temp.as_file().sync_data()?;
    temp.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// As [`replace`]; the new file is ours alone until it is closed.
pub(crate) fn replace_locked(path: &Path, bytes: &[u8]) -> Result<File, Error> {
    let temp = beside(path, bytes)?;
    temp.as_file().try_lock().map_err(io::Error::from)?;
    temp.as_file().sync_data()?;
    let file = temp.persist(path).map_err(|error| error.error)?;
    Ok(File::from_parts(file, path))
}

/// Whether `path` still leads to this very file.
pub(crate) fn is_at(file: &File, path: &Path) -> Result<bool, Error> {
    Ok(skopeo_system::is_at(file.file(), path)?)
}

/// Whether a file is called as those are that become others.
pub(crate) fn is_temporary(name: &str) -> bool {
    [BESIDE, "dir-put-blob", "oci-put-blob"].iter().any(|prefix| name.starts_with(prefix))
}

fn beside(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, Error> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let old = fs_err::metadata(path).ok();
    let mut builder = tempfile::Builder::new();
    builder.prefix(BESIDE);
    let mode = old.as_ref().map_or_else(|| for_all(0o644), mode_of);
    if let Some(permissions) = mode.clone() {
        builder.permissions(permissions);
    }
    let temp = builder.tempfile_in(folder);
    let mut temp = temp.map_err(|error| {
        // Whoever named the place knows it, and not the file beside it.
        let named = fs_err::OpenOptions::new().write(true).open(path).err();
        named.filter(|named| named.kind() == error.kind()).unwrap_or(error)
    })?;
    temp.write_all(bytes)?;
    if let Some(permissions) = mode.filter(|_| old.is_some()) {
        temp.as_file().set_permissions(permissions)?;
    }
    Ok(temp)
}

/// An empty file beside `path`, on its file system, to be renamed to it. It gets the mode of what it
/// is to replace. What processes left there when they died is removed.
pub(crate) fn temporary_for(path: &Path) -> Result<(TempPath, File), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    if let Err(error) = sweep(folder, BESIDE) {
        tracing::debug!("looking for leftovers: {error}");
    }
    let temp = beside(path, &[])?;
    // Held while we live: this is how others know that the file is no leftover.
    temp.as_file().try_lock().map_err(io::Error::from)?;
    let (file, temp) = temp.into_parts();
    Ok((temp, File::from_parts(file, path)))
}

/// Opens a file that is to be replaced, by who may write to it.
pub(crate) fn open_to_replace(path: &Path) -> Result<File, Error> {
    Ok(fs_err::OpenOptions::new().read(true).write(true).open(path)?)
}

/// Writes blobs beside their places, renames them when they are whole, and has them on the disk
/// before it says so.
#[derive(Debug)]
pub(crate) struct Writer {
    folder: PathBuf,
    prefix: &'static str,
    held: Option<Guard>,
    /// What has come of blobs before, and is to be gone on with.
    parts: Mutex<HashMap<Digest, PartialFile>>,
    syncing: Mutex<Vec<JoinHandle<io::Result<()>>>>,
}

impl Writer {
    /// A writer whose temporary files lie in `folder`, on the file system of the places. Those that
    /// processes left there when they died are removed.
    pub(crate) fn new(folder: PathBuf, prefix: &'static str) -> Result<Self, Error> {
        sweep(&folder, prefix)?;
        sweep(&folder, BESIDE)?;
        let (parts, syncing) = (Mutex::default(), Mutex::default());
        Ok(Self { folder, prefix, held: None, parts, syncing })
    }

    /// The same, whose temporary files keep `guard` alive: what is abandoned is written on until
    /// its thread notices.
    pub(crate) fn holding(self, guard: Guard) -> Self {
        Self { held: Some(guard), ..self }
    }

    /// Writes a blob to the place of its digest.
    pub(crate) async fn put(
        &self,
        blob: Blob,
        place: impl Fn(&Digest) -> PathBuf,
    ) -> Result<(Digest, u64), Error> {
        if let Some(digest) = blob.digest().cloned()
            && blob.size().is_some_and(|size| size >= partial::WORTH)
            && let Some(part) = self.part(&digest)?
        {
            return self.put_part(blob, part, &place(&digest)).await;
        }
        let back = WriteBack::from(0);
        let temp = Guarded { file: self.temporary()?, back, _guard: self.held.clone() };
        let written = file::write(blob, temp).await?;
        let temp = written.file.file;
        set_mode(temp.as_file(), 0o644)?;
        let file = persist(temp, &place(&written.digest))?;
        self.sync_soon(file);
        Ok((written.digest, written.size))
    }

    /// The part of a blob that has come before, if it is worth going on with.
    pub(crate) fn partial(&self, blob: &Descriptor) -> Result<Option<Partial>, Error> {
        let Some(size) = blob.size else { return Ok(None) };
        let there = size_of(&self.part_path(&blob.digest)).unwrap_or_default();
        if there < partial::WORTH || there > size {
            return Ok(None);
        }
        let Some(part) = self.part(&blob.digest)? else { return Ok(None) };
        let partial = Partial { size: part.size(), bytes: part.start()? };
        self.parts().insert(blob.digest.clone(), part);
        Ok(Some(partial))
    }

    /// Where the part of a blob is kept.
    pub(crate) fn part_path(&self, digest: &Digest) -> PathBuf {
        partial::path(&self.folder, digest)
    }

    fn part(&self, digest: &Digest) -> Result<Option<PartialFile>, Error> {
        let part = self.parts().remove(digest);
        match part {
            Some(part) => Ok(Some(part)),
            None => {
                let open = || PartialFile::open(self.part_path(digest), self.held.clone());
                match open() {
                    Err(error) if error.is_missing_file() => {
                        make_folder(&self.folder)?;
                        open()
                    }
                    opened => opened,
                }
            }
        }
    }

    /// Writes a blob behind the part of it that is there, if it goes on from that.
    async fn put_part(
        &self,
        blob: Blob,
        mut part: PartialFile,
        place: &Path,
    ) -> Result<(Digest, u64), Error> {
        let digest = blob.digest().cloned();
        // A blob goes on from what `partial` gave out, and nobody else has written it since.
        let kept = blob.kept();
        if kept > part.size() {
            let (expected, actual) = (kept, part.size());
            return Err(StreamError::Size { expected, actual }.into());
        }
        part.keep(kept)?;
        let written = match file::write_rest(blob, part).await {
            Ok(written) => written,
            Err(error) => {
                // What is wrong is no beginning, and a full disk needs the room.
                let is_beginning = matches!(&error, WriteError::Stream(StreamError::Read { .. }));
                if !is_beginning
                    && let Some(digest) = digest
                    && let Some(mut part) = self.part(&digest)?
                {
                    part.keep(0)?;
                }
                return Err(error.into());
            }
        };
        if let Some(parent) = place.parent() {
            make_folder(parent)?;
        }
        self.sync_soon(written.file.publish(place)?);
        Ok((written.digest, written.size))
    }

    fn parts(&self) -> MutexGuard<'_, HashMap<Digest, PartialFile>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a small file to a place of its own.
    pub(crate) fn put_bytes(&self, place: &Path, bytes: &[u8]) -> Result<(), Error> {
        self.sync_soon(self.place_bytes(place, bytes)?);
        Ok(())
    }

    /// Writes a small file to a place of its own, and on to the disk.
    pub(crate) fn put_bytes_at_once(&self, place: &Path, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.place_bytes(place, bytes)?.sync_data()?)
    }

    fn place_bytes(&self, place: &Path, bytes: &[u8]) -> Result<std::fs::File, Error> {
        // Not beside its place: what a killed process leaves must not lie among the blobs.
        let mut temp = self.temporary()?;
        temp.write_all(bytes)?;
        set_mode(temp.as_file(), 0o644)?;
        Ok(persist(temp, place)?)
    }

    fn temporary(&self) -> Result<NamedTempFile, Error> {
        let make = || tempfile::Builder::new().prefix(self.prefix).tempfile_in(&self.folder);
        let temp = match make() {
            // A registry that serves the folder removes layouts that hold nothing, as this one did.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(&self.folder)?;
                make()?
            }
            made => made?,
        };
        // Held while we live: this is how others know that the file is no leftover.
        temp.as_file().try_lock().map_err(io::Error::from)?;
        Ok(temp)
    }

    /// The disk works on this file while the next ones are on their way.
    fn sync_soon(&self, file: std::fs::File) {
        let synced = tokio::task::spawn_blocking(move || file.sync_data());
        self.syncing.lock().unwrap_or_else(PoisonError::into_inner).push(synced);
    }

    /// Waits until all blobs written so far are on the disk.
    pub(crate) async fn sync(&self) -> Result<(), Error> {
        let syncing =
            std::mem::take(&mut *self.syncing.lock().unwrap_or_else(PoisonError::into_inner));
        for handle in syncing {
            handle.await.map_err(io::Error::other)??;
        }
        Ok(())
    }
}

/// Gives a file its place, in a folder that is made if it is missing. A registry that serves the
/// layout may remove the empty folder once more in between.
fn persist(mut temp: NamedTempFile, place: &Path) -> io::Result<std::fs::File> {
    let mut attempts = 0_u32;
    loop {
        if let Some(parent) = place.parent() {
            make_folder(parent)?;
        }
        match temp.persist(place) {
            Ok(file) => return Ok(file),
            Err(error) if error.error.kind() == io::ErrorKind::NotFound && attempts < 10 => {
                temp = error.file;
            }
            Err(error) => return Err(error.error),
        }
        attempts = attempts.saturating_add(1);
    }
}

/// Something that goes when the last who needs it has gone.
pub(crate) type Guard = Arc<dyn Any + Send + Sync>;

/// A temporary file, which goes before what guards it.
struct Guarded {
    file: NamedTempFile,
    back: WriteBack,
    _guard: Option<Guard>,
}

impl Write for Guarded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.back.wrote(self.file.as_file(), written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sweep(folder: &Path, prefix: &str) -> Result<(), Error> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        // It may be gone by now: then somebody else did our work.
        let Ok((file, _)) = open(&entry.path(), None) else { continue };
        let is_part = entry.file_name().to_string_lossy().starts_with(partial::PREFIX);
        let lives = if is_part { partial::LIVES } else { DEAD_AFTER };
        let old = file.metadata()?.modified()?.elapsed().is_ok_and(|age| age > lives);
        if old && file.file().try_lock().is_ok() {
            tracing::debug!("removing {}, which an interrupted copy left", entry.path().display());
            let _ = fs_err::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Runs `work`, which waits for files or locks, on a blocking thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Whether a blob of the right digest and of this length is the one that is wished for.
pub(crate) fn is_wished(size: u64, wish: &crate::Wish<'_>) -> bool {
    wish.blob.size.is_none_or(|wanted| wanted == size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A registry that serves a folder removes a layout that holds nothing, also one that somebody
    /// is about to write to.
    #[tokio::test]
    async fn a_folder_that_was_removed_meanwhile_is_made_again() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("layout");
        let at = |digest: &Digest| folder.join("blobs").join(digest.hex());
        for size in [5, partial::WORTH as usize] {
            fs_err::create_dir_all(&folder).unwrap();
            let writer = Writer::new(folder.clone(), "oci-put-blob").unwrap();
            fs_err::remove_dir_all(&folder).unwrap();
            let bytes = vec![b'x'; size];
            let blob = Blob::of_bytes(bytes.clone().into());
            let (digest, _) = writer.put(blob, at).await.unwrap();
            assert_eq!(fs_err::read(at(&digest)).unwrap(), bytes);
            fs_err::remove_dir_all(&folder).unwrap();
            writer.put_bytes(&at(&digest), &bytes).unwrap();
            assert_eq!(fs_err::read(at(&digest)).unwrap(), bytes);
            writer.sync().await.unwrap();
        }
    }
}
