//! Writing an image into a store.
//!
//! Layers are unpacked while they come, beside the store and several at once, and get into it when
//! the image is committed: only then is it known what lies on what. Where a layer is unpacked onto
//! a copy of what is below it (vfs), they come one after the other, each onto the one before; a
//! layer of which it is not known yet what is below it waits in a file.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use fs_err::File;
use skopeo_blob::{Blob, MaxUnpacked, ReadError, Recode};
use skopeo_image::number::wide;
use skopeo_image::{
    Compression, Digest, ImageManifest, MAX_CONFIG_SIZE, Manifest, MediaType, RawManifest,
    Signature, Which,
};
use skopeo_storage::{Below, Claimed, Driver, Layer, StagedLayer, Store, layer_id};
use tracing::debug;

use super::came::Came;
use super::commit::{self, Image};
use super::opened::{self, manifest_key};
use super::packed::Packed;
use super::shared::{HeldClaim, Shared, StagedLayers};
use super::signatures::Metadata;
use super::{StorageError, StorageName};
use crate::{
    Accepts, Destination, Error, How, ImageName, KeptSignatures, LayerForm, Options, Probe,
    PutManifestError, Role, Stored, Wish, files,
};

/// How often it is looked whether another program has brought a layer.
const PAUSE: Duration = Duration::from_millis(100);

/// How long another program is waited for, which may have stopped.
const PATIENCE: Duration = Duration::from_mins(10);

/// Opens a store for an image to be written to it.
pub(crate) async fn create(
    name: &StorageName,
    options: &Options,
) -> Result<StorageDestination, Error> {
    let (name, config) = (name.clone(), options.config.clone());
    let (store, name) = files::blocking(move || opened::open(&name, &config)).await?;
    let driver = match store.options().driver {
        Driver::Overlay => "overlay",
        Driver::Vfs => "vfs",
    };
    let pool = format!("containers-storage:[{driver}@{}]", store.options().graph_root.display());
    // One after the other there is nothing to win by bringing the next one too.
    let serial = store.stages_onto_parents();
    let concurrency = if serial { NonZeroUsize::MIN } else { files::CONCURRENCY };
    Ok(StorageDestination {
        accepts: accepts(&name, concurrency),
        image: ImageName::Storage(name.clone()),
        name,
        store,
        platforms: options.storage.platforms.clone(),
        tmpdir: options.tmpdir.clone(),
        max_unpacked: options.max_unpacked,
        pending: Arc::default(),
        claims: Mutex::default(),
        pool,
        run: options.read_cache.staged.clone(),
    })
}

/// What a store takes.
pub(super) fn accepts(name: &StorageName, concurrency: NonZeroUsize) -> Accepts {
    Accepts {
        manifests: vec![
            MediaType::OCI_MANIFEST,
            MediaType::DOCKER_MANIFEST,
            MediaType::DOCKER_SCHEMA1_SIGNED,
            MediaType::DOCKER_SCHEMA1,
        ],
        layers: LayerForm::AsIs,
        signatures: KeptSignatures::All,
        foreign_layers: false,
        // A name inside of a manifest stays as it is: nothing here reads it.
        embedded_name: None,
        digest: name.reference().and_then(|reference| reference.digest.clone()),
        concurrency,
    }
}

/// A store that an image is written to.
#[derive(Debug)]
pub(crate) struct StorageDestination {
    image: ImageName,
    name: StorageName,
    accepts: Accepts,
    store: Store,
    platforms: Vec<skopeo_image::Platform>,
    tmpdir: std::path::PathBuf,
    max_unpacked: MaxUnpacked,
    pending: Arc<Mutex<Pending>>,
    /// The layers that nobody else brings meanwhile.
    claims: Mutex<BTreeMap<Digest, HeldClaim>>,
    /// What the store is called among those of the run.
    pool: String,
    run: Arc<StagedLayers>,
}

/// What has come.
#[derive(Debug, Default)]
struct Pending {
    layers: HashMap<Digest, Came>,
    /// Which blob is which layer, as far as that was told.
    order: BTreeMap<usize, Digest>,
    configs: HashMap<Digest, Bytes>,
    manifest: Option<RawManifest>,
    origin: Option<RawManifest>,
    metadata: Metadata,
    signatures: Vec<(String, Vec<u8>)>,
}

impl Pending {
    /// A blob that has come for this very image.
    fn came(&self, wish: &Wish<'_>) -> Option<Stored> {
        let digest = wish.blob.digest.clone();
        let size = match wish.role {
            Role::Config => wide(self.configs.get(&digest)?.len()),
            Role::Layer(_) => match self.layers.get(&digest)? {
                Came::Staged(shared) => shared.packed.size,
                Came::Spooled(_, packed) => packed.size,
                Came::There(_) => return None,
            },
        };
        files::is_wished(size, wish).then_some(Stored { digest, size, how: How::Present })
    }

    /// What the layer at this place lies on, if all that is below it has come.
    fn below(&self, at: usize, store: &Store) -> Result<Option<Below>, skopeo_storage::Error> {
        let mut below = Below::Nothing;
        for place in 0..at {
            let Some(digest) = self.order.get(&place) else { return Ok(None) };
            let next = match self.layers.get(digest) {
                // The same layer a second time lies on something else.
                Some(Came::Staged(shared)) if self.first(digest) == Some(place) => {
                    shared.staged(StagedLayer::below)
                }
                Some(Came::There(layer)) => match &layer.diff_digest {
                    Some(diff) => {
                        let there = store.layer(&layer_id(below.id(), diff))?;
                        there.map(|layer| Below::Layer(layer.id))
                    }
                    None => None,
                },
                Some(Came::Staged(_) | Came::Spooled(..)) | None => None,
            };
            let Some(next) = next else { return Ok(None) };
            below = next;
        }
        Ok(Some(below))
    }

    /// The first layer that is this blob.
    fn first(&self, digest: &Digest) -> Option<usize> {
        self.order.iter().find(|(_, it)| *it == digest).map(|(place, _)| *place)
    }
}

impl StorageDestination {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn put_config(&self, blob: Blob) -> Result<Stored, Error> {
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
    async fn below(&self, at: usize) -> Result<Option<Below>, Error> {
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

    async fn put_layer(&self, blob: Blob, at: usize) -> Result<Stored, Error> {
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
        let shared = Shared::new(staged, packed);
        if self.shares_staged() {
            self.run.offer(&self.pool, &shared);
        }
        self.came(at, Came::Staged(shared), &stored);
        Ok(stored)
    }

    /// Whether layers that are unpacked are the same whatever image they are for.
    fn shares_staged(&self) -> bool {
        !self.store.stages_onto_parents()
    }

    /// A layer that another image of the run has unpacked, and that is not in the store yet.
    fn find_staged(&self, wish: &Wish<'_>) -> Option<Arc<Shared>> {
        let Role::Layer(_) = wish.role else { return None };
        let shared = self.run.find(&self.pool, &wish.blob.digest)?;
        files::is_wished(shared.packed.size, wish).then_some(shared)
    }

    /// Notes which layer a blob is that is there.
    fn note(&self, wish: &Wish<'_>) {
        if let Role::Layer(at) = wish.role {
            self.pending().order.insert(at, wish.blob.digest.clone());
        }
    }

    fn came(&self, at: usize, came: Came, stored: &Stored) {
        let mut pending = self.pending();
        pending.order.insert(at, stored.digest.clone());
        pending.layers.insert(stored.digest.clone(), came);
    }

    /// Asks for the right to bring a layer, and waits while another process does that, unless that
    /// one may wait for a layer that we bring. Returns whether it has waited.
    async fn claim(&self, wish: &Wish<'_>) -> Result<bool, Error> {
        let digest = &wish.blob.digest;
        let begun = Instant::now();
        let mut waited = false;
        loop {
            if self.is_decided(digest, begun)? {
                return Ok(waited);
            }
            if !waited {
                debug!("waiting for layer {digest}, which another program brings");
            }
            waited = true;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns whether a layer need not be waited for any longer: we bring it, or have to.
    fn is_decided(&self, digest: &Digest, begun: Instant) -> Result<bool, Error> {
        let claimed = self.store.claim(digest).map_err(StorageError::Store)?;
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match claimed {
            Claimed::Now(claim) => {
                let held = HeldClaim::new(&self.run, &self.pool, digest, claim);
                claims.insert(digest.clone(), held);
                true
            }
            // It is there when an image gets into the store, maybe this one.
            Claimed::Here => true,
            // Of two that wait for each other each would have to wait for a greater one.
            Claimed::Elsewhere => {
                let waits = self.run.holds_only_smaller(&self.pool, digest);
                !waits || begun.elapsed() >= PATIENCE
            }
        })
    }

    /// A layer of the store that a blob would become.
    async fn find(&self, wish: &Wish<'_>) -> Result<Option<Layer>, Error> {
        let Role::Layer(_) = wish.role else { return Ok(None) };
        let (store, digest, size) = (self.store.clone(), wish.blob.digest.clone(), wish.blob.size);
        files::blocking(move || {
            let by_diff = store.layers_by_diff_digest(&digest).map_err(StorageError::Store)?;
            let is_same = |size_there: Option<u64>| match (size, size_there) {
                (Some(wanted), Some(there)) => wanted == there,
                _ => true,
            };
            if let Some(found) = by_diff.into_iter().find(|layer| is_same(layer.diff_size)) {
                return Ok(Some(found));
            }
            let packed = store.layers_by_compressed_digest(&digest).map_err(StorageError::Store)?;
            let mut packed = packed.into_iter();
            Ok(packed.find(|layer| layer.diff_digest.is_some() && is_same(layer.compressed_size)))
        })
        .await
    }

    /// The image that the name leads to now, if it is under that very name.
    async fn named(&self) -> Result<Option<skopeo_storage::Image>, Error> {
        let Some(reference) = self.name.reference().map(ToString::to_string) else {
            return Ok(None);
        };
        let id = self.name.id().map(str::to_owned);
        let (store, name, platforms) =
            (self.store.clone(), self.name.clone(), self.platforms.clone());
        files::blocking(move || match opened::resolve(&store, &name, &platforms) {
            Ok(image) => {
                let is_named = image.names.contains(&reference) && !image.read_only;
                Ok(Some(image).filter(|image| is_named && id.is_none_or(|id| image.id == id)))
            }
            Err(_) => Ok(None),
        })
        .await
    }
}

#[async_trait]
impl Probe for StorageDestination {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        let Some(image) = self.named().await? else { return Ok(None) };
        let Some(digest) = image.data(opened::MANIFEST).and_then(|data| data.digest.clone()) else {
            return Ok(None);
        };
        let (store, config) = (self.store.clone(), image.clone());
        files::blocking(move || {
            // Its layers may have been taken from under it, by who does not ask for locks.
            let whole = match &config.layer {
                Some(layer) => store.layer(layer).map_err(StorageError::Store)?.is_some(),
                None => true,
            };
            let listed = config.data(&manifest_key(&digest)).is_some();
            Ok(Some(digest).filter(|_| whole && listed))
        })
        .await
    }

    async fn has_origin(&self, list: &RawManifest) -> Result<bool, Error> {
        let Some(image) = self.named().await? else { return Ok(false) };
        Ok(image.data(&manifest_key(&list.digest()?)).is_some())
    }

    async fn holds(&self, wish: &Wish<'_>) -> Result<Option<How>, Error> {
        Ok(self.find(wish).await?.map(|_| How::Present))
    }

    fn pool(&self) -> Option<String> {
        // Where layers are unpacked onto each other, another image finds one only in the store.
        self.shares_staged().then(|| self.pool.clone())
    }

    fn shares(&self, role: Role) -> bool {
        matches!(role, Role::Layer(_))
    }
}

#[async_trait]
impl Destination for StorageDestination {
    fn set_origin(&self, list: &RawManifest) {
        self.pending().origin = Some(list.clone());
    }

    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        let came = self.pending().came(wish);
        if let Some(stored) = came {
            self.note(wish);
            return Ok(Some(stored));
        }
        let mut found = self.find(wish).await?;
        if found.is_none()
            && let Some(shared) = self.find_staged(wish)
        {
            let (digest, size) = (wish.blob.digest.clone(), shared.packed.size);
            self.pending().layers.insert(digest.clone(), Came::Staged(shared));
            self.note(wish);
            return Ok(Some(Stored { digest, size, how: How::Present }));
        }
        if found.is_none() && matches!(wish.role, Role::Layer(_)) && self.claim(wish).await? {
            found = self.find(wish).await?;
        }
        let Some(layer) = found else { return Ok(None) };
        let digest = wish.blob.digest.clone();
        let size = if layer.diff_digest.as_ref() == Some(&digest) {
            layer.diff_size
        } else {
            layer.compressed_size
        };
        let Some(size) = wish.blob.size.or(size) else { return Ok(None) };
        self.pending().layers.entry(digest.clone()).or_insert(Came::There(Box::new(layer)));
        self.note(wish);
        Ok(Some(Stored { digest, size, how: How::Present }))
    }

    async fn put_blob(&self, blob: Blob, role: Role) -> Result<Stored, Error> {
        match role {
            Role::Config => self.put_config(blob).await,
            Role::Layer(at) => self.put_layer(blob, at).await,
        }
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        if *which != Which::Top || manifest.media_type.is_list() {
            let media_type = manifest.media_type.clone();
            return Err(PutManifestError::TypeRejected { media_type, source: None });
        }
        self.pending().manifest = Some(manifest.clone());
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error> {
        let mut pending = self.pending();
        let digest = pending.manifest.as_ref().map(RawManifest::digest).transpose()?;
        let kept = pending.metadata.take(signatures, which, digest.as_ref())?;
        pending.signatures.extend(kept);
        Ok(())
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        let Self { name, store, pending, max_unpacked, claims, run, .. } = *self;
        let top = top.clone();
        files::blocking(move || {
            let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            let pending = std::mem::take(&mut *pending);
            let Pending { layers, mut configs, manifest, origin, metadata, signatures, .. } =
                pending;
            if manifest.is_none_or(|manifest| manifest.bytes != top.bytes) {
                return Err(Error::NothingToCommit);
            }
            let Manifest::Image(view) = top.parse()? else { return Err(Error::NothingToCommit) };
            if let ImageManifest::Oci(manifest) = &view {
                manifest.require_image()?;
            }
            let config = view.config().and_then(|config| configs.remove(&config.digest));
            let image = Image {
                manifest: top,
                view,
                config,
                origin,
                metadata,
                signatures,
                layers,
                max_unpacked,
            };
            let turn = run.turn();
            let committed = commit::commit(&store, &name, image);
            drop(turn);
            drop(claims);
            committed
        })
        .await
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
