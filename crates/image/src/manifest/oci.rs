//! The OCI image manifest and image index.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::guess::unambiguous;
use crate::{Descriptor, Digest, ManifestError, MediaType, Platform, go_json};

/// A descriptor with what only OCI has.
#[derive(Clone, Debug, PartialEq)]
pub struct OciDescriptor {
    /// What every kind of manifest has.
    pub blob: Descriptor,
    /// The bytes themselves in base64, as they were written; empty where not given.
    pub data: String,
    /// What the image was built for; in an index.
    pub platform: Option<Platform>,
    /// What kind of artifact it is; empty where not given.
    pub artifact_type: String,
}

impl From<Descriptor> for OciDescriptor {
    fn from(blob: Descriptor) -> Self {
        Self { blob, data: String::new(), platform: None, artifact_type: String::new() }
    }
}

/// The manifest of one image or artifact (OCI image specification, "Image Manifest").
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2, where it is as it should be.
    pub schema_version: i64,
    /// The type as declared inside; older ones declare none.
    #[serde(skip_serializing_if = "MediaType::is_empty")]
    pub media_type: MediaType,
    /// What kind of artifact this is; empty for images.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// The config.
    #[serde(serialize_with = "config_or_zero")]
    pub config: Option<Box<OciDescriptor>>,
    /// The layers, root first.
    pub layers: Vec<OciDescriptor>,
    /// The manifest that this one is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<OciDescriptor>>,
    /// Free text by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads an OCI image manifest.
    ///
    /// # Errors
    /// If the bytes are none, or look like another kind of manifest too.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let media_type = MediaType::OCI_MANIFEST;
        let read: WireManifest = go_json::from_slice(bytes)
            .map_err(|source| ManifestError::Json { media_type: media_type.clone(), source })?;
        unambiguous(bytes, &media_type, &["config", "layers"])?;
        Ok(Self {
            schema_version: read.schema_version,
            media_type: read.media_type,
            artifact_type: read.artifact_type,
            config: read.config.and_then(Wire::into_descriptor).map(Box::new),
            layers: read.layers.into_iter().map(into_named).collect::<Result<_, _>>()?,
            subject: read.subject.and_then(Wire::into_descriptor).map(Box::new),
            annotations: read.annotations,
        })
    }

    /// Returns a manifest of this config and these layers.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<OciDescriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: MediaType::OCI_MANIFEST,
            artifact_type: String::new(),
            config: Some(Box::new(config.into())),
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Returns whether the config is no image config.
    #[must_use]
    pub fn is_artifact(&self) -> bool {
        self.config_type() != MediaType::OCI_CONFIG
    }

    /// The error for who needs an image and has an artifact.
    ///
    /// # Errors
    /// If this is an artifact; the sentence names its type.
    pub fn require_image(&self) -> Result<(), ManifestError> {
        if !self.is_artifact() {
            return Ok(());
        }
        Err(ManifestError::NotAnImage(if self.artifact_type.is_empty() {
            self.config_type().to_string()
        } else {
            self.artifact_type.clone()
        }))
    }

    fn config_type(&self) -> MediaType {
        self.config.as_ref().map(|config| config.blob.media_type.clone()).unwrap_or_default()
    }
}

/// A list of manifests (OCI image specification, "Image Index").
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2, where it is as it should be.
    pub schema_version: i64,
    /// The index's own type, written even where the original bytes had none.
    #[serde(skip_serializing_if = "MediaType::is_empty")]
    pub media_type: MediaType,
    /// What kind of artifact this is; empty for images.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// The manifests.
    pub manifests: Vec<OciDescriptor>,
    /// The manifest that this one is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<OciDescriptor>>,
    /// Free text by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// Reads an OCI image index; also a layout's `index.json`.
    ///
    /// # Errors
    /// If the bytes are none, or look like another kind of manifest too.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let media_type = MediaType::OCI_INDEX;
        let read: WireIndex = go_json::from_slice(bytes)
            .map_err(|source| ManifestError::Json { media_type: media_type.clone(), source })?;
        unambiguous(bytes, &media_type, &["manifests"])?;
        Ok(Self {
            schema_version: read.schema_version.unwrap_or(2),
            media_type: read.media_type.unwrap_or(media_type),
            artifact_type: read.artifact_type,
            manifests: read.manifests.into_iter().map(into_named).collect::<Result<_, _>>()?,
            subject: read.subject.and_then(Wire::into_descriptor).map(Box::new),
            annotations: read.annotations,
        })
    }

    /// Returns an index of these manifests.
    #[must_use]
    pub fn new(manifests: Vec<OciDescriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: MediaType::OCI_INDEX,
            artifact_type: String::new(),
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WireManifest {
    schema_version: i64,
    media_type: MediaType,
    artifact_type: String,
    config: Option<Wire>,
    layers: Vec<Wire>,
    subject: Option<Wire>,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WireIndex {
    schema_version: Option<i64>,
    media_type: Option<MediaType>,
    artifact_type: String,
    manifests: Vec<Wire>,
    subject: Option<Wire>,
    annotations: BTreeMap<String, String>,
}

/// A descriptor as it is written, in the order of Go's struct.
#[derive(Serialize, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    media_type: MediaType,
    #[serde(serialize_with = "digest_or_empty", deserialize_with = "empty_is_none")]
    digest: Option<Digest>,
    #[serde(serialize_with = "size_or_unknown", deserialize_with = "go_json::size")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "String::is_empty")]
    artifact_type: String,
}

impl Wire {
    /// `None` where there is no digest: then there is nothing that could be read.
    fn into_descriptor(self) -> Option<OciDescriptor> {
        let platform = self.platform.map(|platform| Platform { features: Vec::new(), ..platform });
        Some(OciDescriptor {
            blob: Descriptor {
                media_type: self.media_type,
                digest: self.digest?,
                size: self.size,
                urls: self.urls,
                annotations: self.annotations,
            },
            data: self.data,
            platform,
            artifact_type: self.artifact_type,
        })
    }
}

fn into_named(wire: Wire) -> Result<OciDescriptor, ManifestError> {
    wire.into_descriptor().ok_or(ManifestError::NoDigest)
}

impl Serialize for OciDescriptor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let blob = self.blob.clone();
        Wire {
            media_type: blob.media_type,
            digest: Some(blob.digest),
            size: blob.size,
            urls: blob.urls,
            annotations: blob.annotations,
            data: self.data.clone(),
            platform: self.platform.clone(),
            artifact_type: self.artifact_type.clone(),
        }
        .serialize(serializer)
    }
}

fn config_or_zero<S: serde::Serializer>(
    config: &Option<Box<OciDescriptor>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match config {
        Some(config) => config.serialize(serializer),
        None => Wire { size: Some(0), ..Wire::default() }.serialize(serializer),
    }
}

pub(super) fn digest_or_empty<S: serde::Serializer>(
    digest: &Option<Digest>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(digest.as_ref().map_or("", Digest::as_str))
}

/// Where a size is not known, -1 says so to the original, and to us.
pub(super) fn size_or_unknown<S: serde::Serializer>(
    size: &Option<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match size {
        Some(size) => serializer.serialize_u64(*size),
        None => serializer.serialize_i64(-1),
    }
}

pub(super) fn empty_is_none<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Digest>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| serde::de::Error::custom(format!("{error}: {text:?}")))
}
