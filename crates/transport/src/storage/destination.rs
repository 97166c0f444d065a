//! Writing an image into a store.
//!
//! Layers are unpacked while they come, beside the store and several at once, and get into it when
//! the image is committed: only then is it known what lies on what. Where a layer is unpacked onto a
//! copy of what is below it (vfs), that happens one after the other.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use fs_err::File;
use skopeo_blob::{Blob, MaxUnpacked, ReadError, Recode};
use skopeo_image::number::wide;
use skopeo_image::{
    Compression, Digest, ImageManifest, MAX_CONFIG_SIZE, Manifest, MediaType, RawManifest,
    Signature, Which,
};
use skopeo_storage::{Layer, Store};

use super::came::{Came, Packed};
use super::commit::{self, Image};
use super::opened::{self, manifest_key};
use super::signatures::Metadata;
use super::{StorageError, StorageName};
use crate::{
    Accepts, Destination, Error, How, ImageName, KeptSignatures, LayerForm, Options, Probe,
    PutManifestError, Role, Stored, Wish, files,
};

/// Opens a store for an image to be written to it.
pub(crate) async fn create(
    name: &StorageName,
    options: &Options,
) -> Result<StorageDestination, Error> {
    let (name, config) = (name.clone(), options.config.clone());
    let (store, name) = files::blocking(move || opened::open(&name, &config)).await?;
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
}

/// What has come.
#[derive(Debug, Default)]
struct Pending {
    layers: HashMap<Digest, Came>,
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
                Came::Staged(_, packed) | Came::Spooled(_, packed) => packed.size,
                Came::There(_) => return None,
            },
        };
        files::is_wished(size, wish).then_some(Stored { digest, size, how: How::Present })
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

    async fn put_layer(&self, blob: Blob) -> Result<Stored, Error> {
        let (blob, tally) = tally(blob);
        let (compression, blob) = skopeo_blob::sniff(blob).await?;
        let blob = blob.unpacked_within(self.max_unpacked);
        if self.store.stages_onto_parents() {
            let file = File::from_parts(tempfile::tempfile_in(&self.tmpdir)?, &self.tmpdir);
            let written = skopeo_blob::file::write(blob, file).await?;
            let packed = tally.packed(compression)?;
            let stored = packed.stored();
            self.pending()
                .layers
                .insert(stored.digest.clone(), Came::Spooled(written.file, packed));
            return Ok(stored);
        }
        let recode = match compression {
            Compression::Uncompressed => Recode::Keep,
            from => Recode::Decompress { from },
        };
        let store = self.store.clone();
        let staged = skopeo_blob::read_through(skopeo_blob::recode(blob, recode), move |tar| {
            store.stage(None, tar)
        });
        let staged = staged.await.map_err(|error| match error {
            ReadError::Stream(error) => Error::Stream(error),
            ReadError::Work(error) => StorageError::Store(error).into(),
        })?;
        let packed = tally.packed(compression)?;
        let stored = packed.stored();
        let came = Came::Staged(Box::new(staged), packed);
        self.pending().layers.insert(stored.digest.clone(), came);
        Ok(stored)
    }

    /// A layer of the store that a blob would become.
    async fn find(&self, wish: &Wish<'_>) -> Result<Option<Layer>, Error> {
        let Role::Layer(_) = wish.role else { return Ok(None) };
        let packed = wish.blob.media_type.compression();
        if wish.compression.is_some_and(|wanted| packed != Some(wanted)) {
            return Ok(None);
        }
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
}

#[async_trait]
impl Destination for StorageDestination {
    fn set_origin(&self, list: &RawManifest) {
        self.pending().origin = Some(list.clone());
    }

    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        if let Some(stored) = self.pending().came(wish) {
            return Ok(Some(stored));
        }
        let Some(layer) = self.find(wish).await? else { return Ok(None) };
        let digest = wish.blob.digest.clone();
        let size = if layer.diff_digest.as_ref() == Some(&digest) {
            layer.diff_size
        } else {
            layer.compressed_size
        };
        let Some(size) = wish.blob.size.or(size) else { return Ok(None) };
        self.pending().layers.entry(digest.clone()).or_insert(Came::There(Box::new(layer)));
        Ok(Some(Stored { digest, size, how: How::Present }))
    }

    async fn put_blob(&self, blob: Blob, role: Role) -> Result<Stored, Error> {
        match role {
            Role::Config => self.put_config(blob).await,
            Role::Layer(_) => self.put_layer(blob).await,
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
        let Self { name, store, pending, max_unpacked, .. } = *self;
        let top = top.clone();
        files::blocking(move || {
            let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            let pending = std::mem::take(&mut *pending);
            let Pending { layers, mut configs, manifest, origin, metadata, signatures } = pending;
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
            commit::commit(&store, &name, image)
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
