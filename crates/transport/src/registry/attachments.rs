//! Sigstore signatures beside the image: an image of its own under a tag made of the digest, whose
//! layers are the signed payloads and whose layers' annotations are the signatures.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use skopeo_blob::Blob;
use skopeo_image::manifest::oci;
use skopeo_image::number::wide;
use skopeo_image::{
    Descriptor, Digest, MAX_CONFIG_SIZE, MediaType, RawManifest, Signature, go_json,
};
use skopeo_registry::{BoxError, Repository, UploadError};

use super::foreign::unverified;
use super::raw;
use crate::signature_error::SignaturesError;
use crate::signature_file::Gathered;
use crate::{ContentError, CosignTag, Error, files};

/// The signatures of a manifest; none if nobody has put any.
pub(super) async fn read(
    repository: &Repository,
    digest: &Digest,
) -> Result<Vec<Signature>, Error> {
    let Some(manifest) = attachment(repository, digest).await? else { return Ok(Vec::new()) };
    let mut signatures = Gathered::default();
    for layer in manifest.layers {
        let payload = fetch(repository, &layer.blob, files::MAX_SIGNATURE).await?;
        let size = payload.len();
        let signature = Signature::Sigstore {
            mime_type: layer.blob.media_type.to_string(),
            payload,
            annotations: layer.blob.annotations,
        };
        signatures.add(signature, size)?;
    }
    Ok(signatures.all())
}

/// Adds signatures to those that are there.
pub(super) async fn write(
    repository: &Repository,
    digest: &Digest,
    signatures: &[Signature],
) -> Result<(), Error> {
    let mut is_new = false;
    let (mut manifest, mut config) = match attachment(repository, digest).await? {
        Some(manifest) => {
            let config = match &manifest.config {
                Some(config) => {
                    let bytes = fetch(repository, &config.blob, wide(MAX_CONFIG_SIZE)).await?;
                    go_json::from_slice(&bytes).map_err(|source| {
                        SignaturesError::AttachmentConfig {
                            digest: config.blob.digest.clone(),
                            repository: repository.name(),
                            source: source.into(),
                        }
                    })?
                }
                None => Config::new(),
            };
            (manifest, config)
        }
        None => {
            (oci::Manifest::new(descriptor(MediaType::OCI_CONFIG, b""), Vec::new()), Config::new())
        }
    };
    for signature in signatures {
        let Signature::Sigstore { mime_type, payload, annotations } = signature else { continue };
        let mut layer = descriptor(mime_type.as_str().into(), payload);
        layer.annotations.clone_from(annotations);
        if manifest.layers.iter().any(|known| known.blob == layer) {
            continue;
        }
        put(repository, &layer, payload.clone()).await?;
        config.rootfs.diff_ids.push(layer.digest.to_string());
        manifest.layers.push(layer.into());
        is_new = true;
    }
    // What is there stays as it is, byte for byte: others may know it by its digest.
    if !is_new && manifest.config.is_some() && !manifest.layers.is_empty() {
        return Ok(());
    }
    let bytes = Bytes::from(go_json::to_vec(&config)?);
    let described = descriptor(MediaType::OCI_CONFIG, &bytes);
    put(repository, &described, bytes).await?;
    manifest.config = Some(Box::new(described.into()));
    let manifest = RawManifest {
        media_type: MediaType::OCI_MANIFEST,
        bytes: go_json::to_vec(&manifest)?.into(),
    };
    repository.put_manifest(&tag(digest), &manifest).await?;
    Ok(())
}

/// The config of an attachment. What others have put into it is kept.
#[derive(Serialize, Deserialize)]
struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    rootfs: RootFs,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Default, Serialize, Deserialize)]
struct RootFs {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    diff_ids: Vec<String>,
}

impl Config {
    fn new() -> Self {
        Self {
            architecture: String::new(),
            os: String::new(),
            config: serde_json::Map::new(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
            rest: BTreeMap::new(),
        }
    }
}

fn tag(digest: &Digest) -> String {
    CosignTag::Signatures.of(digest)
}

async fn attachment(
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<oci::Manifest>, Error> {
    let tag = tag(digest);
    let manifest = match repository.manifest(&tag).await {
        Ok(fetched) => raw(fetched.manifest),
        // A repository without any attachment may as well be one that is unknown.
        Err(error) if error.is_not_found() || error.status() == Some(404) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if manifest.media_type != MediaType::OCI_MANIFEST {
        return Err(SignaturesError::AttachmentType {
            name: format!("{}:{tag}", repository.name()),
            media_type: manifest.media_type,
        }
        .into());
    }
    Ok(Some(oci::Manifest::parse(&manifest.bytes)?))
}

/// A small blob, verified.
async fn fetch(repository: &Repository, blob: &Descriptor, limit: u64) -> Result<Bytes, Error> {
    if let Some(size) = blob.size.filter(|size| *size > limit) {
        return Err(ContentError::BlobTooLarge { digest: blob.digest.clone(), size, limit }.into());
    }
    let download = repository.blob(&blob.digest, blob.size).await?;
    let mut stream = unverified(download).expect(&blob.digest, blob.size).into_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.try_next().await? {
        bytes.extend_from_slice(&piece);
        let size = wide(bytes.len());
        if size > limit {
            return Err(
                ContentError::BlobTooLarge { digest: blob.digest.clone(), size, limit }.into()
            );
        }
    }
    Ok(bytes.into())
}

/// Writes a small blob, unless it is there.
pub(super) async fn put(
    repository: &Repository,
    blob: &Descriptor,
    bytes: Bytes,
) -> Result<(), Error> {
    if repository.head_blob(&blob.digest).await?.is_some() {
        return Ok(());
    }
    let body = Blob::of_bytes(bytes).into_stream().map_err(BoxError::from);
    match repository.upload(None, Some(&blob.digest), blob.size, body.boxed()).await {
        Ok(_) => Ok(()),
        Err(UploadError::Registry { error, .. } | UploadError::Broken { error, .. }) => {
            Err(error.into())
        }
        Err(UploadError::Body(source)) => {
            Err(skopeo_blob::StreamError::Read { source, transient: false, tried: 1 }.into())
        }
    }
}

pub(super) fn descriptor(media_type: MediaType, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type,
        digest: Digest::sha256(bytes),
        size: Some(wide(bytes.len())),
        urls: Vec::new(),
        annotations: BTreeMap::new(),
    }
}
