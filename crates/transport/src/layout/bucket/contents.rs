//! What is in a bucket, as far as it is known, and reading more of it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use skopeo_blob::{StreamError, Unverified};
use skopeo_image::{Digest, Links, RawManifest};
use skopeo_objects::{Before, Reading, Store, Version};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::super::blob_store::BlobStore;
use super::super::folder::LAYOUT;
use super::super::index::Index;
use crate::{BucketError, Error, InvalidFile, files};

/// The key of the index.
pub(super) const INDEX: &str = "index.json";

/// The key of what says that this is a layout.
pub(super) const MARKER: &str = "oci-layout";

/// The lock of who deletes, and of all who write where the store knows no conditions.
pub(super) const LOCK: &str = ".lock";

/// Where a blob is whose digest is known only at its end, until then.
pub(super) const UPLOADS: &str = ".uploads";

/// How many blobs are asked for one by one before all of them are listed.
const ASKED: usize = 12;

/// How many manifests are read at once, where many are.
const AT_ONCE: usize = 16;

/// How many bytes of manifests are kept.
const KEPT: usize = 16 << 20;

/// An index that was read so long ago is read again.
const FRESH: Duration = Duration::from_secs(60);

/// A layout in a bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    store: Store,
    /// Drives requests for those who wait for them on threads of their own.
    runtime: Handle,
    known: Mutex<KnownContents>,
    /// Whose turn it is to read the index, or the list of blobs.
    turn: tokio::sync::Mutex<()>,
    prepared: OnceCell<()>,
}

/// What is known of the bucket.
#[derive(Debug, Default)]
struct KnownContents {
    /// The index as it was read or written last; no index is known as that too.
    index: Option<(Instant, Option<Read>)>,
    /// The length of each blob that was asked for, or is there.
    sizes: HashMap<Digest, Option<u64>>,
    /// Whether what is not in there is not in the bucket.
    listed: bool,
    manifests: HashMap<Digest, Bytes>,
    manifest_bytes: usize,
}

/// An index, and which one it was.
type Read = (Version, Arc<Index>);

/// The key of a blob.
pub(super) fn key(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// The digest in the key of a blob.
fn digest_in(key: &str) -> Option<Digest> {
    let (algorithm, hex) = key.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

impl Bucket {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            runtime: Handle::current(),
            known: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            prepared: OnceCell::new(),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    fn known(&self) -> MutexGuard<'_, KnownContents> {
        // Every change is whole, so a panic elsewhere leaves nothing half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index, which must be there.
    pub(super) async fn index(&self) -> Result<Arc<Index>, Error> {
        match self.index_if_any().await? {
            Some((_, index)) => Ok(index),
            None => Err(BucketError::NoLayout(self.store.place().to_string()).into()),
        }
    }

    /// The index as it was a moment ago at the latest, and which one it was.
    pub(super) async fn index_if_any(&self) -> Result<Option<(Version, Arc<Index>)>, Error> {
        let fresh = || {
            let known = self.known();
            let (read, index) = known.index.as_ref()?;
            (read.elapsed() < FRESH).then(|| index.clone())
        };
        if let Some(index) = fresh() {
            return Ok(index);
        }
        let _turn = self.turn.lock().await;
        if let Some(index) = fresh() {
            return Ok(index);
        }
        self.read_index().await
    }

    /// The index as it is now. If it is another than it was, others have written, and nothing that
    /// was known of blobs is known any more.
    pub(super) async fn read_index(&self) -> Result<Option<(Version, Arc<Index>)>, Error> {
        let read = self.store.get(INDEX, files::MAX_INDEX).await?;
        let before = self.known().index.as_ref().and_then(|(_, index)| index.clone());
        let index = match (read, before) {
            (None, _) => None,
            (Some((_, version)), Some((known, index))) if known == version => Some((known, index)),
            (Some((bytes, version)), _) => {
                let path = PathBuf::from(self.store.name_of(INDEX));
                let parse = move || {
                    Index::parse(bytes.into())
                        .map_err(|source| InvalidFile::Json { path, source }.into())
                };
                Some((version, Arc::new(files::blocking(parse).await?)))
            }
        };
        let mut known = self.known();
        let same = |known: &KnownContents| {
            let before = known.index.as_ref().map(|(_, it)| it.as_ref().map(|(it, _)| it.clone()));
            before.is_none_or(|before| before == index.as_ref().map(|(version, _)| version.clone()))
        };
        if !same(&known) {
            known.sizes.clear();
            known.listed = false;
        }
        known.index = Some((Instant::now(), index.clone()));
        Ok(index)
    }

    /// Remembers the index that we have written.
    pub(super) fn wrote_index(&self, version: Version, index: Arc<Index>) {
        self.known().index = Some((Instant::now(), Some((version, index))));
    }

    /// Has to be done before what is known of blobs is relied on: what is being deleted just now is
    /// waited for.
    pub(super) async fn prepare(&self) -> Result<(), Error> {
        let prepare = || async {
            loop {
                self.index_if_any().await?;
                if !self.store.wait_for(LOCK).await? {
                    return Ok(());
                }
                self.forget();
                self.read_index().await?;
            }
        };
        self.prepared.get_or_try_init(prepare).await.copied()
    }

    /// Forgets which blobs are there: somebody may have deleted some.
    pub(super) fn forget(&self) {
        let mut known = self.known();
        known.sizes.clear();
        known.listed = false;
    }

    /// Makes the marker of a layout where there is none yet.
    pub(super) async fn mark(&self) -> Result<(), Error> {
        self.store.replace(MARKER, Bytes::from_static(LAYOUT), &Before::Anything).await?;
        Ok(())
    }

    /// Whether the store knows conditional writes.
    pub(super) async fn has_conditions(&self) -> Result<bool, Error> {
        Ok(self.store.has_conditions(MARKER, LAYOUT).await?)
    }

    /// The length of a blob in bytes; `None` if it is not there. The first few are asked for, then
    /// all are listed.
    pub(super) async fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let ask = {
            let known = self.known();
            if let Some(size) = known.sizes.get(digest) {
                return Ok(*size);
            }
            if known.listed {
                return Ok(None);
            }
            known.sizes.len() < ASKED
        };
        if ask {
            let size = self.store.head(&key(digest)).await?.map(|found| found.size);
            self.known().sizes.insert(digest.clone(), size);
            return Ok(size);
        }
        self.list().await?;
        Ok(self.known().sizes.get(digest).copied().flatten())
    }

    /// Learns of all blobs at once, unless they are known.
    pub(super) async fn list(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        if self.known().listed {
            return Ok(());
        }
        let mut sizes = HashMap::new();
        let mut there = self.store.list("blobs");
        while let Some(object) = there.try_next().await? {
            if let Some(digest) = digest_in(&object.key) {
                sizes.insert(digest, Some(object.size));
            }
        }
        let mut known = self.known();
        // What was put meanwhile is there whatever the listing has seen.
        for (digest, size) in std::mem::take(&mut known.sizes) {
            if size.is_some() {
                sizes.entry(digest).or_insert(size);
            }
        }
        known.sizes = sizes;
        known.listed = true;
        Ok(())
    }

    /// Remembers that a blob is there.
    pub(super) fn has_now(&self, digest: &Digest, size: u64) {
        self.known().sizes.insert(digest.clone(), Some(size));
    }

    /// Remembers that a blob has gone.
    pub(super) fn has_no_more(&self, digest: &Digest) {
        self.known().sizes.insert(digest.clone(), None);
    }

    /// The bytes of a manifest, unverified.
    pub(super) async fn manifest(&self, digest: &Digest) -> Result<Bytes, Error> {
        if let Some(bytes) = self.known().manifests.get(digest) {
            return Ok(bytes.clone());
        }
        match self.store.get(&key(digest), files::MAX_MANIFEST).await? {
            Some((bytes, _)) => {
                self.keep(digest, &bytes);
                Ok(bytes)
            }
            None => Err(BucketError::Missing(self.store.name_of(&key(digest))).into()),
        }
    }

    /// Remembers a manifest, as long as there is room.
    pub(super) fn keep(&self, digest: &Digest, bytes: &Bytes) {
        let mut known = self.known();
        let all = known.manifest_bytes.saturating_add(bytes.len());
        if all <= KEPT && known.manifests.insert(digest.clone(), bytes.clone()).is_none() {
            known.manifest_bytes = all;
        }
    }

    /// Reads the manifests of an index and those that these list, many at once, for who looks into
    /// all of them.
    pub(super) async fn fetch_manifests(&self, index: &Index) -> Result<(), Error> {
        let tops = index.entries().iter().filter_map(|entry| entry.descriptor().ok());
        let mut next: Vec<_> = tops.map(|target| (target.media_type, target.digest)).collect();
        for _ in 0..2 {
            let read = stream::iter(next.into_iter().map(|(media_type, digest)| async move {
                if self.size(&digest).await?.is_none() {
                    return Ok::<_, Error>(None);
                }
                Ok(Some((media_type, self.manifest(&digest).await?)))
            }));
            let read: Vec<_> = read.buffer_unordered(AT_ONCE).try_collect().await?;
            next = Vec::new();
            for (media_type, bytes) in read.into_iter().flatten() {
                // What cannot be read is told where it matters.
                let links = Links::parse(&RawManifest::new(Some(media_type), bytes));
                let children = links.into_iter().flat_map(|links| links.manifests);
                let children = children.filter(|child| !child.media_type.is_blob());
                next.extend(children.map(|child| (child.media_type, child.digest)));
            }
        }
        Ok(())
    }

    /// The bytes of a blob, or of the rest of it from `offset` on.
    pub(super) async fn read(
        &self,
        digest: &Digest,
        from: Option<(u64, u64)>,
    ) -> Result<Reading, Error> {
        let part = from.map(|(offset, size)| offset..size);
        Ok(self.store.read(&key(digest), part).await?)
    }

    /// Waits for a request on a thread that may wait.
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

/// The stream of what is read, as blobs are.
pub(super) fn unverified(reading: Reading, left: u64) -> Unverified {
    let bytes = reading.bytes.map_err(|error| StreamError::Read {
        transient: error.is_transient(),
        source: Box::new(error),
        tried: 1,
    });
    Unverified::new(bytes.boxed(), Some(left))
}

/// For those that look into layouts on threads that may wait.
impl BlobStore for Bucket {
    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        Ok(self.wait(self.manifest(digest))?.to_vec())
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        {
            let known = self.known();
            if known.listed {
                return known.sizes.get(digest).copied().flatten();
            }
        }
        self.wait(self.size(digest)).ok().flatten()
    }

    fn locate(&self, digest: &Digest) -> PathBuf {
        PathBuf::from(self.store.name_of(&key(digest)))
    }

    fn blob(&self, digest: &Digest) -> Result<Unverified, Error> {
        let reading = self.wait(self.read(digest, None))?;
        let size = reading.size;
        Ok(unverified(reading, size))
    }
}

/// Waits before an edit is made again: the longer, the more often others were quicker, and never as
/// long for two.
pub(super) async fn back_off(tries: u32) {
    let most = 50_u64.saturating_mul(1_u64 << tries.min(5));
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=most))).await;
}
