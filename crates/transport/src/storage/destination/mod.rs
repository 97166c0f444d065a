//! Writing an image into a store.
//!
//! Layers are unpacked while they come, beside the store and several at once, and get into it when
//! the image is committed: only then is it known what lies on what. Where a layer is unpacked onto
//! a copy of what is below it (vfs), they come one after the other, each onto the one before; a
//! layer of which it is not known yet what is below it waits in a file.
//!
//! `blobs` takes them, `find` looks for those that are there or that another brings, `pending` is
//! what has come.

mod blobs;
mod find;
mod pending;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use skopeo_blob::{Blob, MaxUnpacked};
use skopeo_config::StoreDriver;
use skopeo_image::{
    Descriptor, Digest, ImageManifest, Manifest, MediaType, RawManifest, Signature, Which,
};
use skopeo_storage::{Driver, Store};

use super::came::Came;
use super::commit::{self, Image};
use super::opened::{self, manifest_key};
use super::shared::{HeldClaim, StagedLayers};
use super::{StorageError, StorageName};
use crate::{
    Accepts, CommitError, Destination, Error, How, ImageName, KeptSignatures, LayerForm, Options,
    Probe, PutManifestError, Role, Stored, Wish, files,
};

use pending::Pending;

/// Opens a store for an image to be written to it.
pub(crate) async fn create(
    name: &StorageName,
    options: &Options,
) -> Result<StorageDestination, Error> {
    let (name, config) = (name.clone(), options.config.clone());
    let (store, name) = files::blocking(move || opened::open(&name, &config)).await?;
    let driver = match store.options().driver {
        Driver::Overlay => StoreDriver::Overlay,
        Driver::Vfs => StoreDriver::Vfs,
    };
    let pool = pool(driver, &store.options().graph_root);
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

/// What a store is called among those of a run.
pub(super) fn pool(driver: StoreDriver, graph_root: &Path) -> String {
    format!("containers-storage:[{driver}@{}]", graph_root.display())
}

/// Whether what one image brings as this is found for another: layers are the store's, a config is
/// its image's.
pub(super) fn shares(role: Role) -> bool {
    matches!(role, Role::Layer(_))
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

/// Refuses an image whose layers are known not to be tars.
pub(super) fn require_unpackable(
    image: &ImageManifest,
    layers: &[Descriptor],
) -> Result<(), StorageError> {
    if let ImageManifest::Oci(manifest) = image {
        manifest.require_image().map_err(StorageError::Artifact)?;
    }
    for Descriptor { digest, media_type, .. } in layers {
        let digest = digest.clone();
        if media_type.is_encrypted() {
            return Err(StorageError::EncryptedLayer(digest));
        }
        if media_type.excludes_tar() {
            return Err(StorageError::NotTar { digest, media_type: media_type.clone() });
        }
    }
    Ok(())
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

impl StorageDestination {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn keeps_layers(&self, image: &ImageManifest, layers: &[Descriptor]) -> Result<(), Error> {
        Ok(require_unpackable(image, layers)?)
    }

    fn pool(&self) -> Option<String> {
        Some(self.pool.clone())
    }

    fn shares(&self, role: Role) -> bool {
        shares(role)
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
            && let Some(came) = self.find_staged(wish).await?
            && let Some(size) = came.size()
        {
            let digest = wish.blob.digest.clone();
            self.pending().layers.insert(digest.clone(), came);
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
        if *which != Which::Top || manifest.media_type.is_index() {
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
                return Err(CommitError::NothingToCommit.into());
            }
            let Manifest::Image(view) = top.parse()? else {
                return Err(CommitError::NothingToCommit.into());
            };
            if let ImageManifest::Oci(manifest) = &view {
                manifest.require_image().map_err(StorageError::Artifact)?;
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
