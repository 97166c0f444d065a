//! Uploads into a bucket.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use skopeo_image::Digest;
use skopeo_image::number::wide;
use tokio::sync::OwnedSemaphorePermit;

use super::{Held, Uploads};
use crate::refusal::Refusal;
use crate::store::bucket::Bucket;

/// How long nobody must have gone on with an upload for it to make room for another.
const IDLE: Duration = Duration::from_secs(10);

/// How often, and in which pauses, it is looked whether there is room for an upload.
const LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(100);

/// An upload into a bucket.
#[derive(Debug)]
pub(super) struct Object {
    upload: skopeo_objects::Upload,
    /// In bytes.
    pub(super) size: u64,
    /// When a client last had to do with it.
    pub(super) used: std::time::Instant,
    /// Its place among those that have bytes in memory.
    place: Option<OwnedSemaphorePermit>,
}

impl Object {
    pub(super) fn new(upload: skopeo_objects::Upload) -> Self {
        Self { upload, size: 0, used: std::time::Instant::now(), place: None }
    }
}

impl Uploads {
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
}

impl Held {
    /// What could not be written in part is of no use any more.
    pub(super) fn write_object(&mut self, uploads: &Uploads, piece: &Bytes) -> io::Result<()> {
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
    pub(super) fn finish_object(&mut self, bucket: &Bucket, digest: &Digest) -> io::Result<bool> {
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
}
