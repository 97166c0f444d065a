//! Blobs that are written into a folder.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use skopeo_blob::{Blob, StreamError, WriteBack, WriteError, file};
use skopeo_image::{Descriptor, Digest};
use skopeo_system::set_mode;
use tempfile::NamedTempFile;
use tokio::task::JoinHandle;

use crate::files::{Guard, make_folder, size_of};
use crate::partial::{self, PartialFile};
use crate::temporary::{BESIDE, sweep};
use crate::{Error, Partial};

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
