//! Docker's schema 2 manifest and manifest list.

use serde::{Deserialize, Serialize};

use super::guess::unambiguous;
use super::oci::{digest_or_empty, empty_is_none, size_or_unknown};
use crate::{Descriptor, Digest, ManifestError, MediaType, Platform, go_json};

/// The manifest of one image (distribution's "Image Manifest Version 2, Schema 2").
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2, where it is as it should be.
    pub schema_version: i64,
    /// The type as declared inside.
    pub media_type: MediaType,
    /// The config.
    #[serde(serialize_with = "descriptor")]
    pub config: Descriptor,
    /// The layers, root first.
    #[serde(serialize_with = "descriptors")]
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// Reads a schema 2 manifest.
    ///
    /// # Errors
    /// If the bytes are none, a type is not Docker's, or they look like another kind too.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let media_type = MediaType::DOCKER_MANIFEST;
        let read: WireManifest = go_json::from_slice(bytes)
            .map_err(|source| ManifestError::Json { media_type: media_type.clone(), source })?;
        unambiguous(bytes, &media_type, &["config", "layers"])?;
        for found in [&read.media_type].into_iter().chain(read.layers.iter().map(|l| &l.media_type))
        {
            require_docker_type(found)?;
        }
        Ok(Self {
            schema_version: read.schema_version,
            media_type: read.media_type,
            config: into_named(read.config)?,
            layers: read.layers.into_iter().map(into_named).collect::<Result<_, _>>()?,
        })
    }

    /// Returns a manifest of this config and these layers.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: MediaType::DOCKER_MANIFEST, config, layers }
    }
}

/// Docker's list of the manifests of one image for many platforms.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// 2, where it is as it should be.
    pub schema_version: i64,
    /// The type as declared inside.
    pub media_type: MediaType,
    /// The manifests.
    pub manifests: Vec<ListEntry>,
}

/// One manifest of a [`List`].
#[derive(Clone, Debug, PartialEq)]
pub struct ListEntry {
    /// The manifest.
    pub manifest: Descriptor,
    /// What the image was built for.
    pub platform: Platform,
}

impl List {
    /// Reads a manifest list.
    ///
    /// # Errors
    /// If the bytes are none, or look like another kind of manifest too.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let media_type = MediaType::DOCKER_LIST;
        let read: WireList = go_json::from_slice(bytes)
            .map_err(|source| ManifestError::Json { media_type: media_type.clone(), source })?;
        unambiguous(bytes, &media_type, &["manifests"])?;
        let entry = |wire: WireEntry| {
            let platform = wire.platform.unwrap_or_default();
            let manifest = Wire {
                media_type: wire.media_type,
                size: wire.size,
                digest: wire.digest,
                urls: wire.urls,
            };
            Ok(ListEntry { manifest: into_named(manifest)?, platform })
        };
        Ok(Self {
            schema_version: read.schema_version,
            media_type: read.media_type,
            manifests: read.manifests.into_iter().map(entry).collect::<Result<_, _>>()?,
        })
    }

    /// Returns a list of these manifests.
    #[must_use]
    pub fn new(manifests: Vec<ListEntry>) -> Self {
        Self { schema_version: 2, media_type: MediaType::DOCKER_LIST, manifests }
    }
}

/// Whether Docker's schema 2 may have blobs or manifests of this type.
///
/// # Errors
/// If not.
pub fn require_docker_type(media_type: &MediaType) -> Result<(), ManifestError> {
    const TYPES: [MediaType; 10] = [
        MediaType::DOCKER_LIST,
        MediaType::DOCKER_SCHEMA1,
        MediaType::DOCKER_SCHEMA1_SIGNED,
        MediaType::DOCKER_CONFIG,
        MediaType::DOCKER_FOREIGN_LAYER,
        MediaType::DOCKER_FOREIGN_LAYER_GZIP,
        MediaType::DOCKER_LAYER_GZIP,
        MediaType::DOCKER_MANIFEST,
        MediaType::DOCKER_LAYER,
        MediaType::DOCKER_LAYER_ZSTD,
    ];
    if TYPES.contains(media_type) {
        return Ok(());
    }
    Err(ManifestError::UnsupportedDockerType(media_type.to_string()))
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WireManifest {
    schema_version: i64,
    media_type: MediaType,
    config: Wire,
    layers: Vec<Wire>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WireList {
    schema_version: i64,
    media_type: MediaType,
    manifests: Vec<WireEntry>,
}

/// A descriptor as it is written, in the order of Go's struct, which is not OCI's.
#[derive(Serialize, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    media_type: MediaType,
    #[serde(serialize_with = "size_or_unknown", deserialize_with = "go_json::size")]
    size: Option<u64>,
    #[serde(serialize_with = "digest_or_empty", deserialize_with = "empty_is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WireEntry {
    media_type: MediaType,
    #[serde(serialize_with = "size_or_unknown", deserialize_with = "go_json::size")]
    size: Option<u64>,
    #[serde(serialize_with = "digest_or_empty", deserialize_with = "empty_is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    platform: Option<Platform>,
}

fn into_named(wire: Wire) -> Result<Descriptor, ManifestError> {
    Ok(Descriptor {
        media_type: wire.media_type,
        digest: wire.digest.ok_or(ManifestError::NoDigest)?,
        size: wire.size,
        urls: wire.urls,
        annotations: Default::default(),
    })
}

fn wire(blob: &Descriptor) -> Wire {
    Wire {
        media_type: blob.media_type.clone(),
        size: blob.size,
        digest: Some(blob.digest.clone()),
        urls: blob.urls.clone(),
    }
}

fn descriptor<S: serde::Serializer>(blob: &Descriptor, serializer: S) -> Result<S::Ok, S::Error> {
    wire(blob).serialize(serializer)
}

fn descriptors<S: serde::Serializer>(
    blobs: &[Descriptor],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(blobs.iter().map(wire))
}

impl Serialize for ListEntry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Wire { media_type, size, digest, urls } = wire(&self.manifest);
        let platform = Some(self.platform.clone());
        WireEntry { media_type, size, digest, urls, platform }.serialize(serializer)
    }
}
