//! Images that are open.

use std::sync::Arc;

use anyhow::{Error, Result, bail};
use bytes::Bytes;
use serde::Serialize;
use skopeo_blob::{Blob, Unverified};
use skopeo_image::number::wide;
use skopeo_image::{
    Converted, Descriptor, Digest, Edit, ImageConfig, ImageIndex, ImageManifest, Manifest,
    MediaType, Platform, RawManifest, Which, convert, go_json,
};
use skopeo_transport::{Error as TransportError, ImageName, Options, Source};
use skopeo_trust::Policy;
use tokio::sync::OnceCell;
use tracing::debug;

use super::flow::flowing;
use crate::exit::sentence;
use crate::gate::Gate;
use skopeo_sync::tag_info::read_config;

/// How deep lists may lie in each other: one step is seen in the field, more is a trap.
const DEEPEST: usize = 4;

/// An image that the policy has let in.
pub(super) struct OpenImage {
    source: Arc<dyn Source>,
    raw: RawManifest,
    manifest: ImageManifest,
    /// The layers as they can be read, where the manifest names others.
    layers: Option<Vec<Descriptor>>,
    config: OnceCell<Option<Bytes>>,
    converted: OnceCell<Converted>,
}

/// What clients get to know of a layer.
#[derive(Serialize)]
struct LayerInfo {
    digest: Digest,
    /// -1 where nobody knows it.
    size: i64,
    media_type: MediaType,
}

/// Why an image is not open.
#[derive(Debug)]
pub(super) enum OpenError {
    /// There is none of that name.
    NotFound(Error),
    Other(Error),
}

impl OpenError {
    pub(super) fn into_error(self) -> Error {
        let (Self::NotFound(error) | Self::Other(error)) = self;
        error
    }
}

/// Opens an image: of a list, the instance that serves best.
///
/// # Errors
/// If it cannot be read, is none, or the policy lets in neither what the name leads to nor what was
/// chosen from it.
pub(super) async fn open(
    name: &ImageName,
    options: &Options,
    policy: &Policy,
    platforms: &[Platform],
) -> Result<OpenImage, OpenError> {
    let top = async {
        let source = skopeo_transport::open(name, options).await?;
        let top = source.manifest(&Which::Top).await?;
        Ok((source, top))
    };
    let (source, top) = top.await.map_err(|error: TransportError| match error.is_not_found() {
        true => OpenError::NotFound(error.into()),
        false => OpenError::Other(error.into()),
    })?;
    let opened = choose(source.into(), top, policy, platforms).await;
    opened.map_err(OpenError::Other)
}

async fn choose(
    source: Arc<dyn Source>,
    top: RawManifest,
    policy: &Policy,
    platforms: &[Platform],
) -> Result<OpenImage> {
    let gate = Gate { source: &*source, policy };
    let (mut raw, mut which) = (top, Which::Top);
    let mut verdict = gate.admit(&raw, &which).await;
    for _ in 0..=DEEPEST {
        let list = match raw.parse()? {
            Manifest::Image(manifest) => {
                // One signature on the way is enough: a list names its instances by their digests.
                verdict?;
                let (config, converted) = (OnceCell::new(), OnceCell::new());
                let layers = source.layers(&raw, &which).await?;
                return Ok(OpenImage { source, raw, manifest, layers, config, converted });
            }
            Manifest::Index(list) => list,
        };
        (raw, which) = instance(&*source, &list, platforms).await?;
        if let Err(error) = &verdict {
            debug!("The policy refuses the list: {}", sentence(error));
            verdict = gate.admit(&raw, &which).await;
        }
    }
    bail!("choosing image instance: too many levels of lists in lists")
}

async fn instance(
    source: &dyn Source,
    list: &ImageIndex,
    platforms: &[Platform],
) -> Result<(RawManifest, Which)> {
    let digest = list.choose(platforms)?;
    let which = Which::Instance(digest.clone());
    let raw = source.manifest(&which).await?;
    if !raw.has_digest(&digest)? {
        bail!("Manifest does not match provided manifest digest {digest}");
    }
    Ok((raw, which))
}

impl OpenImage {
    /// The digest by which others know the image, and its manifest as OCI has it.
    pub(super) async fn manifest(&self) -> Result<(Digest, Bytes)> {
        let digest = self.raw.digest()?;
        let bytes = match &self.manifest {
            ImageManifest::Oci(_) => self.raw.bytes.clone(),
            ImageManifest::Docker(_) => self.converted().await?.manifest.bytes.clone(),
            ImageManifest::Schema1(_) => {
                bail!("unsupported legacy manifest MIME type: {}", self.raw.media_type)
            }
        };
        Ok((digest, bytes))
    }

    /// The config as OCI has it.
    pub(super) async fn config(&self) -> Result<ImageConfig> {
        Ok(self.manifest.oci_config(self.own_config().await?.as_deref())?)
    }

    /// What is known of the layers, root first, as JSON.
    pub(super) fn layers(&self) -> Result<Vec<u8>> {
        let layers = self.blobs().into_iter().map(|blob| LayerInfo {
            digest: blob.digest,
            size: blob.size.and_then(|size| i64::try_from(size).ok()).unwrap_or(-1),
            media_type: blob.media_type,
        });
        Ok(go_json::to_vec(&layers.collect::<Vec<_>>())?)
    }

    /// The layers as they can be read.
    fn blobs(&self) -> Vec<Descriptor> {
        match &self.layers {
            Some(layers) => layers.clone(),
            None => self.manifest.layers().into_iter().map(|layer| layer.blob).collect(),
        }
    }

    /// The bytes of a blob; of `size` bytes if the client knows that.
    pub(super) async fn blob(&self, digest: &Digest, size: Option<u64>) -> Result<Unverified> {
        let known = self.descriptor(digest);
        if known.is_none()
            && matches!(self.manifest, ImageManifest::Docker(_))
            && let Ok(converted) = self.converted().await
            && let Some((_, bytes)) = converted.config.as_ref().filter(|(made, _)| made == digest)
        {
            // The config that the manifest names, as the client got it from us.
            let size = wide(bytes.len());
            return Ok(Unverified::new(Blob::of_bytes(bytes.clone()).into_stream(), Some(size)));
        }
        let mut blob =
            known.unwrap_or_else(|| Descriptor::new(MediaType::default(), digest.clone(), None));
        blob.size = size.or(blob.size);
        let bytes = self.source.blob(&blob).await?;
        Ok(flowing(self.source.clone(), blob, bytes))
    }

    /// What the manifest says of a blob.
    fn descriptor(&self, digest: &Digest) -> Option<Descriptor> {
        let config = self.manifest.config().cloned();
        config.into_iter().chain(self.blobs()).find(|blob| blob.digest == *digest)
    }

    /// The bytes of the config that the manifest names, if it names one.
    async fn own_config(&self) -> Result<Option<Bytes>> {
        let read = async || match self.manifest.config() {
            Some(config) => Ok(Some(read_config(&*self.source, config).await?.into())),
            None => anyhow::Ok(None),
        };
        Ok(self.config.get_or_try_init(read).await?.clone())
    }

    async fn converted(&self) -> Result<&Converted> {
        let make = async || {
            let config = self.own_config().await?;
            let edit = Edit { to: MediaType::OCI_MANIFEST, layers: None, embedded_name: None };
            anyhow::Ok(convert(&self.manifest, config.as_deref(), &edit)?)
        };
        self.converted.get_or_try_init(make).await
    }
}
