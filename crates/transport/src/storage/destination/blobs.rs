//! Blobs on their way into a store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err::File;
use skopeo_blob::{Blob, ReadError, Recode};
use skopeo_image::{Compression, Digest, MAX_CONFIG_SIZE};
use skopeo_storage::Below;

use super::StorageDestination;
use crate::storage::StorageError;
use crate::storage::came::Came;
use crate::storage::packed::Packed;
use crate::storage::shared::Shared;
use crate::{Error, How, Role, Stored, Wish, files};

impl StorageDestination {
    pub(super) async fn put_config(&self, blob: Blob) -> Result<Stored, Error> {
        let digest = blob.digest().cloned();
        let written = skopeo_blob::file::write(blob, Bounded(Vec::new())).await?;
        let Bounded(bytes) = written.file;
        if bytes.len() > MAX_CONFIG_SIZE {
            let (size, limit) = (bytes.len(), MAX_CONFIG_SIZE);
            let digest = digest.unwrap_or(written.digest);
            return Err(StorageError::LargeConfig { digest, size, limit }.into());
        }
        let stored = Stored { digest: written.digest, size: written.size, how: How::Moved };
        self.pending().configs.insert(stored.digest.clone(), bytes.into());
        Ok(stored)
    }

    /// What a layer is to be unpacked onto; `None` if that is not known yet.
    pub(super) async fn below(&self, at: usize) -> Result<Option<Below>, Error> {
        if !self.store.stages_onto_parents() {
            return Ok(Some(Below::Nothing));
        }
        let (store, pending) = (self.store.clone(), self.pending.clone());
        files::blocking(move || {
            let pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(pending.below(at, &store).map_err(StorageError::Store)?)
        })
        .await
    }

    pub(super) async fn put_layer(&self, blob: Blob, at: usize) -> Result<Stored, Error> {
        let (blob, tally) = tally(blob);
        let (compression, blob) = skopeo_blob::sniff(blob).await?;
        let blob = blob.unpacked_within(self.max_unpacked);
        let Some(below) = self.below(at).await? else {
            let file = File::from_parts(tempfile::tempfile_in(&self.tmpdir)?, &self.tmpdir);
            let written = skopeo_blob::file::write(blob, file).await?;
            let packed = tally.packed(compression)?;
            let stored = packed.stored();
            self.came(at, Came::Spooled(written.file, packed), &stored);
            return Ok(stored);
        };
        let recode = match compression {
            Compression::Uncompressed => Recode::Keep,
            from => Recode::Decompress { from },
        };
        let parent = below.id().map(str::to_owned);
        let store = self.store.clone();
        let staged = skopeo_blob::read_through(skopeo_blob::recode(blob, recode), move |tar| {
            store.stage(&below, tar)
        });
        let staged = staged.await.map_err(|error| match error {
            ReadError::Stream(error) => Error::Stream(error),
            ReadError::Work(error) => StorageError::Store(error).into(),
        })?;
        let packed = tally.packed(compression)?;
        let stored = packed.stored();
        let shared = Shared::new(staged, packed, parent);
        self.run.offer(&self.pool, &shared);
        self.came(at, Came::Staged(shared), &stored);
        Ok(stored)
    }

    /// Notes which layer a blob is that is there.
    pub(super) fn note(&self, wish: &Wish<'_>) {
        if let Role::Layer(at) = wish.role {
            self.pending().order.insert(at, wish.blob.digest.clone());
        }
    }

    pub(super) fn came(&self, at: usize, came: Came, stored: &Stored) {
        let mut pending = self.pending();
        pending.order.insert(at, stored.digest.clone());
        pending.layers.insert(stored.digest.clone(), came);
    }
}

/// Bytes up to a bit more than a config may have.
#[derive(Debug)]
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // What is beyond is not kept, and refused at the end.
        let room = MAX_CONFIG_SIZE.saturating_add(1).saturating_sub(self.0.len());
        self.0.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a blob turns out to be once it has been read.
struct Tally {
    known: Option<Digest>,
    size: Arc<AtomicU64>,
    hasher: Arc<Mutex<skopeo_image::Hasher>>,
}

/// Counts the bytes of a blob, and hashes them if nobody knows its digest.
fn tally(blob: Blob) -> (Blob, Tally) {
    use futures_util::StreamExt as _;
    let tally = Tally {
        known: blob.digest().cloned(),
        size: Arc::default(),
        hasher: Arc::new(Mutex::new(skopeo_image::Hasher::new(skopeo_image::Algorithm::Sha256))),
    };
    let blob = if tally.known.is_some() {
        blob
    } else {
        let hasher = tally.hasher.clone();
        let stream = blob.into_stream().inspect(move |piece| {
            if let Ok(piece) = piece {
                hasher.lock().unwrap_or_else(PoisonError::into_inner).update(piece);
            }
        });
        Blob::unnamed(stream.boxed())
    };
    let size = tally.size.clone();
    let count = move |bytes| {
        size.fetch_add(bytes, Ordering::Relaxed);
    };
    (skopeo_blob::meter(blob, Arc::new(count)), tally)
}

impl Tally {
    /// What the blob was that has ended well.
    fn packed(self, compression: Compression) -> Result<Packed, Error> {
        let hasher = self.hasher.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let digest = self.known.unwrap_or_else(|| hasher.finish());
        Ok(Packed { digest, size: self.size.load(Ordering::Relaxed), compression })
    }
}
