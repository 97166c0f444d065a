//! Images of what is none: `tarball:`, `sif:`.
//!
//! There are files; config and manifest are made up around them, as the original does to the byte,
//! when the image is opened. Only reading makes sense.

mod error;
mod sif;
mod tarball;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use skopeo_blob::{ByteStream, Unverified};
use skopeo_image::number::wide;
use skopeo_image::{
    Descriptor, Digest, ImageConfig, MediaType, RawManifest, RootFs, Which, go_json, manifest::oci,
};

use crate::{Error, Head, ImageName, Source, files, manifest};

pub use error::SyntheticError;
pub(crate) use sif::open as open_sif;
pub use sif::{SifError, SifName};
pub(crate) use tarball::open as open_tarball;
pub use tarball::{TarballName, TarballNameError};

/// A layer and how to have its bytes, again and again.
struct Layer {
    media_type: MediaType,
    digest: Digest,
    size: u64,
    diff_id: Digest,
    bytes: Supply,
}

/// Makes the bytes of a blob, each time it is asked for.
type Supply = Box<dyn Fn() -> ByteStream + Send + Sync>;

/// An image whose config and manifest were made up.
pub(crate) struct Invented {
    name: ImageName,
    manifest: RawManifest,
    blobs: HashMap<Digest, (u64, Supply)>,
}

impl Invented {
    /// An image of these layers, root first; `config` lacks only what they are.
    fn new(name: ImageName, config: ImageConfig, layers: Vec<Layer>) -> Result<Self, Error> {
        let diff_ids = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        let rootfs = RootFs { kind: "layers".to_owned(), diff_ids: Some(diff_ids) };
        let config = Bytes::from(encode(&ImageConfig { rootfs, ..config })?);
        let digest = Digest::sha256(&config);
        let size = wide(config.len());
        let described = Descriptor::new(MediaType::OCI_CONFIG, digest.clone(), Some(size));
        let mut blobs: HashMap<Digest, (u64, Supply)> = HashMap::new();
        blobs.insert(digest, (size, Box::new(move || stream::iter([Ok(config.clone())]).boxed())));
        let mut descriptors = Vec::with_capacity(layers.len());
        for layer in layers {
            let size = Some(layer.size);
            let blob = Descriptor::new(layer.media_type, layer.digest.clone(), size);
            descriptors.push(blob.into());
            blobs.insert(layer.digest, (layer.size, layer.bytes));
        }
        let manifest = RawManifest {
            media_type: MediaType::OCI_MANIFEST,
            bytes: encode(&oci::Manifest::new(described, descriptors))?.into(),
        };
        Ok(Self { name, manifest, blobs })
    }
}

fn encode(value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    Ok(go_json::to_vec(value)?)
}

#[async_trait]
impl Source for Invented {
    fn name(&self) -> &ImageName {
        &self.name
    }

    async fn head(&self) -> Result<Option<Head>, Error> {
        let digest = Digest::sha256(&self.manifest.bytes);
        Ok(Some(Head { digest, media_type: Some(self.manifest.media_type.clone()) }))
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        if let Which::Instance(digest) = which {
            manifest::check(&self.manifest, digest)?;
        }
        Ok(self.manifest.clone())
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        let known = self.blobs.get(&blob.digest);
        let (size, bytes) = known.ok_or_else(|| SyntheticError::NoSuchBlob(blob.digest.clone()))?;
        Ok(Unverified::new(bytes(), Some(*size)))
    }

    fn concurrency(&self) -> NonZeroUsize {
        files::CONCURRENCY
    }
}

impl fmt::Debug for Invented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invented").field("name", &self.name).finish_non_exhaustive()
    }
}
