//! Reading an image of a store.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use skopeo_blob::{BoxError, Unverified, file};
use skopeo_image::number::wide;
use skopeo_image::{
    Descriptor, Digest, EMPTY_LAYER, Manifest, MediaType, RawManifest, Signature, Which,
};
use skopeo_storage::{Image, Store};

use super::opened::{self, MANIFEST, manifest_key, plain_layer};
use super::signatures::Metadata;
use super::{StorageError, StorageName};
use crate::{Error, ImageName, Options, Source, files, manifest};

/// Opens an image of a store for reading.
pub(crate) async fn open(name: &StorageName, options: &Options) -> Result<StorageSource, Error> {
    let (name, config) = (name.clone(), options.config.clone());
    let platforms = options.storage.platforms.clone();
    files::blocking(move || {
        let (store, name) = opened::open(&name, &config)?;
        let image = opened::resolve(&store, &name, &platforms)?;
        let metadata = Metadata::parse(&image.metadata)?;
        let inner = Inner { store, image, metadata, name, of_layers: Mutex::default() };
        Ok(StorageSource { name: ImageName::Storage(inner.name.clone()), inner: Arc::new(inner) })
    })
    .await
}

/// An image of a store.
#[derive(Debug)]
pub(crate) struct StorageSource {
    name: ImageName,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    image: Image,
    metadata: Metadata,
    name: StorageName,
    /// The layers that have been told of, by their digest: id and length in bytes.
    of_layers: Mutex<HashMap<Digest, (String, Option<u64>)>>,
}

/// A layer that has files.
struct Physical {
    digest: Digest,
    size: Option<u64>,
}

impl StorageSource {
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = self.inner.clone();
        files::blocking(move || work(&inner)).await
    }
}

impl Inner {
    /// The manifest that the name leads to: that of its digest, which may be a list, if it has one.
    fn top(&self) -> Result<Vec<u8>, Error> {
        let digest = self.name.reference().and_then(|reference| reference.digest.as_ref());
        let by_digest = digest.map(manifest_key);
        let key = by_digest.filter(|key| self.image.data(key).is_some());
        let key = key.unwrap_or_else(|| MANIFEST.to_owned());
        Ok(self.store.image_data(&self.image.id, &key).map_err(StorageError::Store)?)
    }

    fn instance(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let bytes = self.store.image_data(&self.image.id, &manifest_key(digest));
        let digest = || digest.clone();
        Ok(bytes
            .map_err(|source| StorageError::Instance { digest: digest(), source: source.into() })?)
    }

    /// The layers that have files, root first.
    fn physical(&self) -> Result<Vec<Physical>, Error> {
        let id = || self.image.id.clone();
        let mut layers = Vec::new();
        let mut next = self.image.layer.clone();
        let mut known = self.of_layers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = std::collections::HashSet::new();
        while let Some(layer) = next {
            let found = self.store.layer(&layer).map_err(StorageError::Store)?;
            let found = found.filter(|_| seen.insert(layer.clone())).ok_or_else(|| {
                let source = skopeo_storage::Error::LayerUnknown { id: layer.clone() };
                StorageError::NoLayer { layer: layer.clone(), id: id(), source: source.into() }
            })?;
            let digest = found.diff_digest;
            let digest = digest.ok_or_else(|| StorageError::UnknownLayer(layer.clone()))?;
            known.insert(digest.clone(), (layer, found.diff_size));
            layers.push(Physical { digest, size: found.diff_size });
            next = found.parent;
        }
        layers.reverse();
        Ok(layers)
    }

    /// A layer of that digest, of this image or of another, and its length in bytes.
    fn layer(&self, digest: &Digest) -> Result<Option<(String, Option<u64>)>, Error> {
        let known = self.of_layers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(digest) {
            return Ok(Some(known.clone()));
        }
        drop(known);
        let found = self.store.layers_by_diff_digest(digest).map_err(StorageError::Store)?;
        Ok(found.into_iter().next().map(|layer| (layer.id, layer.diff_size)))
    }
}

#[async_trait]
impl Source for StorageSource {
    fn name(&self) -> &ImageName {
        &self.name
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        let asked = which.clone();
        let bytes = self.blocking(move |inner| match &asked {
            Which::Top => inner.top(),
            Which::Instance(digest) => inner.instance(digest),
        });
        manifest::checked(None, bytes.await?, which)
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        let digest = blob.digest.clone();
        let of_bytes = |bytes: Bytes| {
            let size = wide(bytes.len());
            Unverified::new(stream::iter([Ok(bytes)]).boxed(), Some(size))
        };
        if digest == Digest::sha256(&EMPTY_LAYER) {
            return Ok(of_bytes(Bytes::from_static(&EMPTY_LAYER)));
        }
        enum FoundBlob {
            Data(Vec<u8>),
            Layer(String, Option<u64>),
        }
        let found = self.blocking(move |inner| {
            let key = digest.to_string();
            let data = || {
                let data = inner.store.image_data(&inner.image.id, &key);
                Ok(FoundBlob::Data(data.map_err(StorageError::Store)?))
            };
            if inner.image.data(&key).is_some() {
                return data();
            }
            match inner.layer(&digest)? {
                Some((id, size)) => Ok(FoundBlob::Layer(id, size)),
                None => data(),
            }
        });
        match found.await? {
            FoundBlob::Data(bytes) => Ok(of_bytes(bytes.into())),
            FoundBlob::Layer(id, size) => {
                let store = self.inner.store.clone();
                let bytes = file::generate(move |out| {
                    let made = store.layer_tar(&id, out).map_err(StorageError::Store);
                    made.map_err(|error| BoxError::from(Error::from(error)))
                });
                Ok(Unverified::new(bytes, size))
            }
        }
    }

    async fn layers(
        &self,
        manifest: &RawManifest,
        _which: &Which,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        let Manifest::Image(image) = manifest.parse()? else { return Ok(None) };
        let plain = plain_layer(&manifest.media_type);
        let layers = self.blocking(move |inner| {
            let refused = |reason| StorageError::Layers { id: inner.image.id.clone(), reason };
            let physical = inner.physical()?;
            let there = physical.len();
            let mut rest = physical.into_iter();
            let mut layers = Vec::new();
            for layer in image.layers() {
                let mut blob = layer.blob;
                if layer.empty {
                    blob.digest = Digest::sha256(&EMPTY_LAYER);
                    blob.size = Some(wide(EMPTY_LAYER.len()));
                    blob.media_type = MediaType::DOCKER_LAYER_GZIP;
                } else {
                    let Some(Physical { digest, size }) = rest.next() else {
                        let reason = format!("expected more than {there} physical layers to exist");
                        return Err(refused(reason).into());
                    };
                    blob.digest = digest;
                    blob.size = size;
                    blob.media_type = plain.clone();
                }
                blob.annotations.retain(|name, _| !is_of_packing(name));
                layers.push(blob);
            }
            match rest.len() {
                0 => Ok(layers),
                left => {
                    let used = there.saturating_sub(left);
                    let reason = format!("used only {used} out of {there} physical layers");
                    Err(refused(reason).into())
                }
            }
        });
        layers.await.map(Some)
    }

    async fn signatures(&self, which: &Which) -> Result<Vec<Signature>, Error> {
        let which = which.clone();
        let signatures = self.blocking(move |inner| {
            Ok(inner.metadata.signatures(&inner.store, &inner.image, &which)?)
        });
        signatures.await
    }

    fn concurrency(&self) -> NonZeroUsize {
        files::CONCURRENCY
    }
}

/// Whether an annotation says where in a packed layer is what.
fn is_of_packing(name: &str) -> bool {
    name.starts_with("io.github.containers.zstd-chunked.")
        || name == "containerd.io/snapshot/stargz/toc.digest"
}
