//! Large objects in parts. An object has no name before all of it is there and its writer says that
//! it is right.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use skopeo_image::number::{narrow, wide};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tracing::debug;

use crate::error::Error;
use crate::store::{ROOM, Store};

const MIB: u64 = 1 << 20;

/// The length of a part in bytes: the shortest that all stores take.
const PART: u64 = 5 * MIB;

/// The length of a part of an object of which nobody knows how long it will be, in bytes.
pub const UNKNOWN_PART: u64 = 8 * MIB;

/// The most parts of an object.
const MAX_PARTS: usize = 10_000;

/// The longest object that a store copies in one request, in bytes.
const MAX_COPY: u64 = 5 << 30;

/// How long an object waits for room that has nothing in memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// An object that is being written. If it is dropped before it is finished, nothing of it stays.
pub struct Upload {
    store: Store,
    key: String,
    path: Path,
    /// The length of its parts in bytes. All but the last are of the same length, which some stores
    /// want.
    part: u64,
    /// What is to be the next part.
    waiting: Vec<Bytes>,
    len: u64,
    room: Option<OwnedSemaphorePermit>,
    begun: Option<Box<dyn MultipartUpload>>,
    sent: usize,
    sending: VecDeque<JoinHandle<Result<(), object_store::Error>>>,
    size: u64,
}

impl Store {
    /// Begins an object. It gets its key when it is [finished](Upload::finish). `size` is its
    /// length in bytes, where that is known.
    ///
    /// # Errors
    /// If there can be no such key.
    pub fn upload(&self, key: &str, size: Option<u64>) -> Result<Upload, Error> {
        let most = wide(MAX_PARTS);
        let part = match size {
            None => UNKNOWN_PART,
            // Never more parts than there may be, in whole MiB.
            Some(size) => PART.max(size.div_ceil(most).div_ceil(MIB).saturating_mul(MIB)),
        };
        Ok(Upload {
            store: self.clone(),
            key: key.to_owned(),
            path: self.path(key)?,
            part,
            waiting: Vec::new(),
            len: 0,
            room: None,
            begun: None,
            sent: 0,
            sending: VecDeque::new(),
            size: 0,
        })
    }

    /// Copies an object within the place, without its bytes coming here where the store can do
    /// that.
    ///
    /// # Errors
    /// If it cannot be read, or written.
    pub async fn copy(&self, from: &str, to: &str, size: u64) -> Result<(), Error> {
        if size <= MAX_COPY {
            let copied = self.0.ways.usual.copy(&self.path(from)?, &self.path(to)?).await;
            return copied.map_err(|error| self.error("copying", from, &error));
        }
        let mut upload = self.upload(to, Some(size))?;
        let mut reading = self.read(from, None).await?;
        while let Some(piece) = reading.bytes.try_next().await? {
            upload.write(piece).await?;
        }
        upload.finish().await
    }
}

impl Upload {
    /// Writes more of it. Waits while as much is in memory as may be.
    ///
    /// # Errors
    /// If the store does not take it.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() {
            if self.len == 0 {
                self.room = self.take_room().await;
            }
            let left = narrow(self.part.saturating_sub(self.len)).min(bytes.len());
            let piece = bytes.split_to(left);
            self.len = self.len.saturating_add(wide(piece.len()));
            self.size = self.size.saturating_add(wide(piece.len()));
            self.waiting.push(piece);
            if self.len == self.part && !bytes.is_empty() {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Ends it: all of it is there, and right. It has its key when this has returned.
    ///
    /// # Errors
    /// If the store does not take it. Then it has no key.
    pub async fn finish(mut self) -> Result<(), Error> {
        if self.begun.is_none() {
            let payload: PutPayload = std::mem::take(&mut self.waiting).into_iter().collect();
            self.store.put(&self.key, payload).await?;
            return Ok(());
        }
        if self.len > 0 {
            self.send().await?;
        }
        while !self.sending.is_empty() {
            self.one_sent().await?;
        }
        let Some(begun) = &mut self.begun else { return Ok(()) };
        let completed = begun.complete().await;
        match completed {
            Ok(_) => {
                self.begun = None;
                Ok(())
            }
            // The answer to the first try may have been lost.
            Err(object_store::Error::NotFound { .. })
                if self.store.head(&self.key).await?.is_some_and(|it| it.size == self.size) =>
            {
                self.begun = None;
                Ok(())
            }
            Err(error) => Err(self.store.error("writing", &self.key, &error)),
        }
    }

    /// Ends it under another key than it was begun with: what was small enough to be in memory is
    /// written there in one request, and other objects are copied within the store.
    ///
    /// # Errors
    /// If the store does not take it. Then nothing has that key.
    pub async fn finish_as(mut self, key: &str) -> Result<(), Error> {
        let (store, beside, size) = (self.store.clone(), self.key.clone(), self.size);
        if self.begun.is_none() {
            self.path = store.path(key)?;
            key.clone_into(&mut self.key);
            return self.finish().await;
        }
        self.finish().await?;
        let copied = store.copy(&beside, key, size).await;
        if let Err(error) = store.delete(&[beside]).await {
            debug!("{error}");
        }
        copied
    }

    /// Waits for room for a part; not for ever if nothing of this object is in memory: what others
    /// hold may be waiting for us to take the next piece of the same stream.
    async fn take_room(&mut self) -> Option<OwnedSemaphorePermit> {
        let mib = self.part.div_ceil(MIB).min(wide(ROOM));
        let mib = u32::try_from(mib).unwrap_or(u32::MAX);
        // It is never closed.
        let taking = self.store.0.room.clone().acquire_many_owned(mib);
        if self.sending.is_empty() {
            return tokio::time::timeout(PATIENCE, taking).await.ok()?.ok();
        }
        taking.await.ok()
    }

    /// Sends what is waiting as a part.
    async fn send(&mut self) -> Result<(), Error> {
        if self.sent == MAX_PARTS {
            let (name, parts, part) = (self.store.name_of(&self.key), MAX_PARTS, self.part);
            return Err(Error::TooManyParts { name, parts, part });
        }
        let ways = &self.store.0.ways;
        if self.begun.is_none() {
            let begun = ways.parts.put_multipart_opts(&self.path, Default::default()).await;
            self.begun =
                Some(begun.map_err(|error| self.store.error("writing", &self.key, &error))?);
        }
        let payload: PutPayload = std::mem::take(&mut self.waiting).into_iter().collect();
        let (room, hashes) = (self.room.take(), ways.hashes_parts);
        self.len = 0;
        self.sent = self.sent.saturating_add(1);
        let Some(begun) = &mut self.begun else { return Ok(()) };
        let part = begun.put_part(payload);
        let sending = async move {
            let sent = part.await;
            drop(room);
            sent
        };
        self.sending.push_back(if hashes {
            // The network's thread is not for hashing.
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || runtime.block_on(sending))
        } else {
            tokio::spawn(sending)
        });
        while self.sending.front().is_some_and(JoinHandle::is_finished) {
            self.one_sent().await?;
        }
        Ok(())
    }

    /// Waits for the part that was sent first.
    async fn one_sent(&mut self) -> Result<(), Error> {
        let Some(first) = self.sending.pop_front() else { return Ok(()) };
        let sent = first.await.unwrap_or_else(|error| Err(error.into()));
        sent.map_err(|error| self.store.error("writing", &self.key, &error))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut begun) = self.begun.take() else { return };
        let sending = std::mem::take(&mut self.sending);
        sending.iter().for_each(JoinHandle::abort);
        let name = self.store.name_of(&self.key);
        // Without a runtime the process ends, and the next run finds what is left over.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let aborted = runtime.spawn(async move {
            // A part that arrives after the end of its upload would stay.
            for sending in sending {
                let _ = sending.await;
            }
            if let Err(error) = begun.abort().await {
                debug!("ending the upload of {name}: {error}");
            }
        });
        self.store.0.aborting.add(aborted);
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("key", &self.key).finish_non_exhaustive()
    }
}
