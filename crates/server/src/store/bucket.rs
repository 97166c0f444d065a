//! A layout in a bucket of an object store: what a layout needs of it, for threads that may wait.
//!
//! The keys are the paths of a layout in a folder, and writers keep out of each other's way as `oci:`
//! does there (docs/decisions/object-stores.md). `index.json` is replaced only if it is still the one
//! that was read. Who deletes holds the object `.lock`; who adds reads the index, and reads it again
//! if somebody held the lock then. So a blob that somebody deletes is gone before it is looked for,
//! or the index has changed and the edit is made again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use skopeo_blob::{ByteStream, StreamError, Unverified};
use skopeo_image::Digest;
use skopeo_image::manifest::MAX_MANIFEST_SIZE;
use skopeo_image::number::wide;
use skopeo_objects::{
    Before, Fetched, Lease, ROOM, Replaced, Store, UNKNOWN_PART, Upload, Version,
};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::keys::{INDEX, LOCK, MARKER, MARKER_CONTENT, MAX_INDEX, NO_MANIFESTS, UPLOADS};
use crate::error::of_store;

/// How many objects are asked for at once.
const AT_ONCE: usize = 16;

/// The length of a part of an upload, in MiB.
const PART_MIB: u64 = UNKNOWN_PART.div_ceil(1 << 20);

/// A layout in a bucket. Its functions wait, so they are not for the thread of the network.
#[derive(Debug)]
pub(crate) struct Bucket {
    store: Store,
    runtime: Handle,
    /// One for each upload that may have bytes in memory.
    uploads: Arc<Semaphore>,
}

impl Bucket {
    /// The layout in a store, with so many bytes of memory for uploads. Called where there is a
    /// runtime.
    pub(crate) fn new(store: Store, memory: usize) -> Self {
        // One part that fills for each upload, and one more on its way to the store.
        let parts = (wide(memory) / UNKNOWN_PART).max(2);
        let room = usize::try_from(parts.saturating_mul(PART_MIB)).unwrap_or(ROOM);
        store.add_room(room.saturating_sub(ROOM));
        let uploads = usize::try_from(parts.saturating_sub(1)).unwrap_or(1);
        Self { store, runtime: Handle::current(), uploads: Arc::new(Semaphore::new(uploads)) }
    }

    /// What it is called, for messages.
    pub(crate) fn place(&self) -> String {
        self.store.place().to_string()
    }

    /// The last part of its name.
    pub(crate) fn name(&self) -> &str {
        self.store.place().last()
    }

    fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, skopeo_objects::Error>>,
    ) -> io::Result<T> {
        self.runtime.block_on(work).map_err(of_store)
    }

    /// Whether there is a layout; one is made if `create` says so.
    pub(crate) fn open(&self, create: bool) -> io::Result<bool> {
        if create {
            for (key, text) in [(MARKER, MARKER_CONTENT), (INDEX, NO_MANIFESTS)] {
                if self.wait(self.store.head(key))?.is_none() {
                    let text = Bytes::from_static(text);
                    self.wait(self.store.replace(key, text, &Before::Nothing))?;
                }
            }
            return Ok(true);
        }
        Ok(self.wait(self.store.head(INDEX))?.is_some())
    }

    /// The index, unless it is the one that is known.
    pub(crate) fn index(&self, known: Option<&Version>) -> io::Result<Fetched> {
        self.wait(self.store.get_newer(INDEX, MAX_INDEX, known))
    }

    /// The length of a blob in bytes, if it is there.
    pub(crate) fn size(&self, digest: &Digest) -> io::Result<Option<u64>> {
        Ok(self.wait(self.store.head(&key(digest)))?.map(|found| found.size))
    }

    /// One of these that is not there.
    pub(crate) fn missing(&self, digests: &[Digest]) -> io::Result<Option<Digest>> {
        let asked = digests.iter().map(|digest| async move {
            let found = self.store.head(&key(digest)).await?;
            Ok(found.is_none().then(|| digest.clone()))
        });
        let asked = stream::iter(asked).buffered(AT_ONCE);
        self.wait(asked.try_filter_map(|missing| async { Ok(missing) }).boxed().try_next())
    }

    /// The bytes of a manifest, unless it is missing or larger than any manifest may be.
    pub(crate) fn manifest(&self, digest: &Digest) -> io::Result<Option<Bytes>> {
        let read = self.wait(self.store.get(&key(digest), wide(MAX_MANIFEST_SIZE)));
        match read {
            Ok(read) => Ok(read.map(|(bytes, _)| bytes)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Those of these manifests that are there and no longer than `limit` bytes, several at once.
    pub(crate) fn manifests(
        &self,
        digests: &[Digest],
        limit: u64,
    ) -> io::Result<Vec<(Digest, Bytes)>> {
        let read = digests.iter().map(|digest| async move {
            let read = self.store.get(&key(digest), limit).await;
            match read {
                Ok(read) => Ok(read.map(|(bytes, _)| (digest.clone(), bytes))),
                Err(skopeo_objects::Error::TooLarge { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        });
        let read = stream::iter(read).buffered(AT_ONCE);
        self.wait(read.try_filter_map(|read| async { Ok(read) }).boxed().try_collect())
    }

    /// The bytes of a blob from `from` to `to`, the latter not included. Those of a whole blob are
    /// verified.
    pub(crate) fn read(
        &self,
        digest: &Digest,
        from: u64,
        to: u64,
        size: u64,
    ) -> io::Result<ByteStream> {
        if from >= to {
            return Ok(stream::empty().boxed());
        }
        let is_whole = from == 0 && to == size;
        let part = (!is_whole).then_some(from..to);
        let reading = self.wait(self.store.read(&key(digest), part))?;
        let bytes = reading.bytes.map_err(|error| StreamError::Read {
            transient: error.is_transient(),
            source: Box::new(error),
            tried: 1,
        });
        let bytes = Unverified::new(bytes.boxed(), Some(to.saturating_sub(from)));
        Ok(if is_whole {
            bytes.expect(digest, Some(size)).into_stream()
        } else {
            // Who asks for a part has the others, and compares the digest of all.
            bytes.into_unverified_stream()
        })
    }

    /// Writes a manifest whose digest has been computed.
    pub(crate) fn put(&self, digest: &Digest, bytes: Bytes) -> io::Result<()> {
        self.wait(self.store.put(&key(digest), bytes)).map(drop)
    }

    /// How many bytes all blobs and uploads have together.
    pub(crate) fn stored(&self) -> io::Result<u64> {
        let sum = |folder: &str| {
            let sizes = self.store.list(folder).map_ok(|object| object.size);
            self.wait(
                sizes.try_fold(0_u64, |sum, size| async move { Ok(sum.saturating_add(size)) }),
            )
        };
        Ok(sum("blobs")?.saturating_add(sum(UPLOADS)?))
    }

    /// Removes what uploads of killed servers have left.
    pub(crate) fn tidy(&self, age: Duration) -> io::Result<()> {
        self.wait(self.store.remove_leftovers(UPLOADS, age)).map(drop)
    }

    /// A place among the uploads that have bytes in memory, if one is free.
    pub(crate) fn place_of_upload(&self) -> Option<OwnedSemaphorePermit> {
        self.uploads.clone().try_acquire_owned().ok()
    }

    /// Begins an upload.
    pub(crate) fn upload(&self, id: &str) -> io::Result<Upload> {
        self.store.upload(&format!("{UPLOADS}/{id}"), None).map_err(of_store)
    }

    /// Writes more of an upload.
    pub(crate) fn write(&self, upload: &mut Upload, bytes: Bytes) -> io::Result<()> {
        self.wait(upload.write(bytes))
    }

    /// Gives an upload the name of its blob. The caller knows its digest.
    pub(crate) fn finish(&self, upload: Upload, digest: &Digest) -> io::Result<()> {
        self.wait(upload.finish_as(&key(digest)))
    }

    /// Ends an upload whose digest of this algorithm nobody has computed, and computes it. It gets
    /// the name of its blob if it is that; whether it is.
    pub(crate) fn finish_unknown(
        &self,
        upload: Upload,
        id: &str,
        digest: &Digest,
    ) -> io::Result<bool> {
        let beside = format!("{UPLOADS}/{id}");
        let hashed = async {
            upload.finish().await?;
            let mut reading = self.store.read(&beside, None).await?;
            let mut hasher = skopeo_image::Hasher::new(digest.algorithm());
            while let Some(piece) = reading.bytes.try_next().await? {
                hasher.update(&piece);
            }
            let is_it = hasher.finish() == *digest;
            if is_it {
                self.store.copy(&beside, &key(digest), reading.size).await?;
            }
            Ok(is_it)
        };
        let hashed = self.wait(hashed);
        let deleted = self.wait(self.store.delete(std::slice::from_ref(&beside)));
        let hashed = hashed?;
        deleted.map(|()| hashed)
    }

    /// Waits until all uploads that were given up have been ended at the store.
    pub(crate) async fn settle(&self) {
        self.store.settle().await;
    }

    /// Begins an edit, and waits at most so long for those who delete, or write where the store has
    /// no conditional writes.
    pub(crate) fn edit(&self, removes: bool, patience: Duration) -> io::Result<Edit<'_>> {
        let begun = async {
            let conditional = self.store.has_conditions(MARKER, MARKER_CONTENT).await?;
            let lease = match removes || !conditional {
                true => Some(self.store.lock(LOCK, conditional).await?),
                false => None,
            };
            Ok((lease, conditional))
        };
        let begun = async { timeout(patience, begun).await.unwrap_or_else(|_| Err(self.busy())) };
        let (lease, conditional) = self.wait(begun)?;
        Ok(Edit { bucket: self, lease, conditional, patience })
    }

    fn busy(&self) -> skopeo_objects::Error {
        skopeo_objects::Error::Crowded(self.store.name_of(LOCK))
    }
}

/// An edit of the index.
#[derive(Debug)]
pub(crate) struct Edit<'a> {
    bucket: &'a Bucket,
    lease: Option<Lease>,
    conditional: bool,
    patience: Duration,
}

impl Edit<'_> {
    /// The index, unless it is the one that is known. Nobody who wrote it deletes any more.
    pub(crate) fn index(&self, known: Option<&Version>) -> io::Result<Fetched> {
        let Self { bucket, patience, .. } = self;
        loop {
            let read = bucket.index(known)?;
            if self.lease.is_some() {
                return Ok(read);
            }
            let waited = async {
                let waiting = bucket.store.wait_for(LOCK);
                timeout(*patience, waiting).await.unwrap_or_else(|_| Err(bucket.busy()))
            };
            if !bucket.wait(waited)? {
                return Ok(read);
            }
        }
    }

    /// Replaces the index that was read; none if others were quicker.
    pub(crate) fn replace(
        &mut self,
        read: Option<&Version>,
        text: Bytes,
    ) -> io::Result<Option<Version>> {
        let Self { bucket, lease, conditional, .. } = self;
        let before = match read {
            _ if !*conditional => Before::Anything,
            Some(version) => Before::This(version.clone()),
            None => Before::Nothing,
        };
        if read.is_none() {
            let marker = Bytes::from_static(MARKER_CONTENT);
            bucket.wait(bucket.store.replace(MARKER, marker, &Before::Anything))?;
        }
        let replace = bucket.store.replace(INDEX, text, &before);
        let replaced = match lease {
            Some(lease) => bucket.wait(lease.during(replace))?,
            None => bucket.wait(replace)?,
        };
        Ok(match replaced {
            Replaced::Written(version) => Some(version),
            Replaced::Changed => None,
        })
    }

    /// Deletes blobs that the index does not need any more.
    pub(crate) fn delete(&mut self, digests: &[Digest]) -> io::Result<()> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        for some in digests.chunks(1000) {
            let keys: Vec<String> = some.iter().map(key).collect();
            self.bucket.wait(lease.during(self.bucket.store.delete(&keys)))?;
        }
        Ok(())
    }

    /// Ends the edit.
    pub(crate) fn end(self) -> io::Result<()> {
        match self.lease {
            Some(lease) => self.bucket.wait(lease.release()),
            None => Ok(()),
        }
    }
}

/// The key of a blob.
fn key(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}
