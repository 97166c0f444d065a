//! Goes on with an upload that nobody else has.

use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use skopeo_image::Digest;
use skopeo_image::number::wide;

use super::{Held, Upload, Uploads};
use crate::Durability;
use crate::store::blobs::digest_of;
use crate::store::stamp::Stamp;

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

impl Drop for Held {
    fn drop(&mut self) {
        let left = self.file.as_ref().and_then(|file| file.metadata().ok());
        self.progress.left = left.map(|metadata| Stamp::of(&metadata));
        if let Some(object) = &mut self.progress.object {
            object.used = std::time::Instant::now();
        }
    }
}
