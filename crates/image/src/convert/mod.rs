//! Making one kind of manifest of another, and noting what became of layers. Pure: what has to be
//! uploaded comes back as bytes.
//!
//! The bytes are those of the original, so that digests are equal.

mod docker_image;
mod layers;
#[cfg(test)]
mod omitted;
mod schema1;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::descriptor::length_of;
use crate::manifest::oci::OciDescriptor;
use crate::manifest::{docker, oci};
use crate::{
    Compression, Descriptor, Digest, ImageConfig, ImageManifest, ManifestError, MediaType,
    RawManifest, Reference, go_json,
};

pub use layers::{CompressionEdit, EncryptionEdit, LayerTypeError};
pub use schema1::EMPTY_LAYER;
pub(crate) use schema1::config as schema1_config;

/// What is to become of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The type of the result: any of an image, not of a list.
    pub to: MediaType,
    /// What the destination stored, one for each of the source's layers. `None` where each lies
    /// there as it was.
    pub layers: Option<Vec<LayerEdit>>,
    /// The name to write into a schema 1 manifest. Other kinds have none and ignore it. `None`
    /// keeps the one of a schema 1 source, else leaves it empty.
    pub embedded_name: Option<Reference>,
}

/// What the destination stored as one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerEdit {
    /// Its digest there.
    pub digest: Digest,
    /// Its size there, in bytes.
    pub size: u64,
    /// What its media type should say now.
    pub compression: CompressionEdit,
    /// What its media type should say about encryption.
    pub encryption: EncryptionEdit,
    /// The digest of the tar inside; needed where schema 1 becomes something else.
    pub diff_id: Option<Digest>,
    /// Its annotations; `None` keeps those it had. Only OCI has any.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Where else it may be had: only of foreign layers that were not copied.
    pub urls: Vec<String>,
}

/// The result of a conversion.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// The manifest, written anew.
    pub manifest: RawManifest,
    /// The config that goes with it, where that is not the source's own.
    pub config: Option<(Digest, Bytes)>,
    /// Blobs that the manifest names besides, and that nobody has uploaded yet.
    pub blobs: Vec<(Digest, Bytes)>,
}

/// Why a manifest cannot become what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// There is no such conversion.
    #[error("Unsupported conversion type: {0}")]
    UnsupportedType(MediaType),
    /// Not one edit for each layer.
    #[error("Error preparing updated manifest: layer count changed from {layers} to {edits}")]
    LayerCount {
        /// How many layers there are.
        layers: usize,
        /// How many edits there are.
        edits: usize,
    },
    /// The type of a layer cannot say what its bytes are now.
    #[error("preparing updated manifest, layer \"{digest}\"")]
    LayerType {
        /// The layer.
        digest: Digest,
        /// Why not.
        #[source]
        source: LayerTypeError,
    },
    /// The type of a layer has no counterpart in Docker's manifests.
    #[error("Error during manifest conversion: \"{media_type}\": {reason}")]
    NoCounterpart {
        /// The layer's type.
        media_type: MediaType,
        /// Why.
        reason: &'static str,
    },
    /// An encrypted layer cannot be described in Docker's manifests.
    #[error(
        "during manifest conversion: encrypted layers (\"{0}\") are not supported in docker images"
    )]
    Encrypted(MediaType),
    /// There is no type for such a layer when it is encrypted.
    #[error(
        "error preparing updated manifest: encryption specified but no counterpart for mediatype: \"{0}\""
    )]
    NotEncryptable(MediaType),
    /// A layer that is not encrypted was decrypted.
    #[error(
        "error preparing updated manifest: decryption specified but original mediatype is not encrypted: \"{0}\""
    )]
    NotEncrypted(MediaType),
    /// Docker's manifests have no words for encryption.
    #[error("encryption change (for layer \"{digest}\") is not supported in {schema} manifests")]
    EncryptionEdit {
        /// The layer.
        digest: Digest,
        /// The kind of manifest.
        schema: &'static str,
    },
    /// The type of a layer is not known.
    #[error("Unknown media type during manifest conversion: \"{0}\"")]
    UnknownLayerType(MediaType),
    /// The conversion needs the config, and it was not given.
    #[error("converting a manifest without its config")]
    NoConfig,
    /// Layers of a schema 1 manifest have neither size nor diff id unless edits say.
    #[error("converting a schema 1 manifest without the sizes and diff IDs of its layers")]
    NoLayers,
    /// The config does not fit the manifest.
    #[error("{0}")]
    Config(String),
    /// The config is no JSON, or not of the shape.
    #[error("parsing the config")]
    ConfigJson(#[source] serde_json::Error),
    /// JSON has no words for it.
    #[error("encoding as JSON")]
    Encode(#[source] serde_json::Error),
    /// The source is no image, or the result would not be a valid manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl ConvertError {
    /// Returns whether another kind of manifest might be able to say what this one cannot: how a
    /// layer is packed.
    #[must_use]
    pub fn is_compression_incompatible(&self) -> bool {
        matches!(self, Self::LayerType { source: LayerTypeError::Incompatible(_), .. })
    }
}

/// Makes of `manifest` what `edit` says. `config` are the bytes of its config; needed for Docker's
/// schema 2 to become OCI, and for anything to become schema 1.
///
/// # Errors
/// If the result could not say what the source says; see [`ConvertError`].
pub fn convert(
    manifest: &ImageManifest,
    config: Option<&[u8]>,
    edit: &Edit,
) -> Result<Converted, ConvertError> {
    let edits = edit.layers.clone();
    let to_schema1 = edit.to.is_schema1();
    if to_schema1 {
        return match manifest {
            ImageManifest::Schema1(from) => {
                schema1::update(from.clone(), edits.as_deref(), edit.embedded_name.as_ref())
            }
            ImageManifest::Docker(from) => {
                schema1::of_docker(from, config, edits, edit.embedded_name.as_ref())
            }
            ImageManifest::Oci(from) => {
                let mut edits = edits;
                let docker = docker_of_oci(from, config, &mut edits)?;
                schema1::of_docker(&docker, config, edits, edit.embedded_name.as_ref())
            }
        };
    }
    if edit.to == MediaType::OCI_MANIFEST {
        return match manifest {
            ImageManifest::Oci(from) => written_oci(from.clone(), edits.as_deref(), None),
            ImageManifest::Docker(from) => {
                let config = config.ok_or(ConvertError::NoConfig)?;
                let (manifest, config) = oci_of_docker(from, config)?;
                written_oci(manifest, edits.as_deref(), Some(config))
            }
            ImageManifest::Schema1(from) => {
                let mut edits = edits;
                let (docker, config) = schema1::to_docker(from, &mut edits)?;
                let (manifest, config) = oci_of_docker(&docker, &config)?;
                written_oci(manifest, edits.as_deref(), Some(config))
            }
        };
    }
    if edit.to == MediaType::DOCKER_MANIFEST {
        let mut edits = edits;
        return match manifest {
            ImageManifest::Docker(from) => written_docker(from.clone(), edits.as_deref(), None),
            ImageManifest::Oci(from) => {
                let manifest = docker_of_oci(from, config, &mut edits)?;
                written_docker(manifest, edits.as_deref(), None)
            }
            ImageManifest::Schema1(from) => {
                let (manifest, config) = schema1::to_docker(from, &mut edits)?;
                written_docker(manifest, edits.as_deref(), Some(config))
            }
        };
    }
    Err(ConvertError::UnsupportedType(edit.to.clone()))
}

fn written_oci(
    mut manifest: oci::Manifest,
    edits: Option<&[LayerEdit]>,
    config: Option<Vec<u8>>,
) -> Result<Converted, ConvertError> {
    if let Some(edits) = edits {
        manifest.layers = layers::updated_oci(&manifest.layers, edits)?;
    }
    converted(MediaType::OCI_MANIFEST, &manifest, config)
}

fn written_docker(
    mut manifest: docker::Manifest,
    edits: Option<&[LayerEdit]>,
    config: Option<Vec<u8>>,
) -> Result<Converted, ConvertError> {
    if let Some(edits) = edits {
        manifest.layers = layers::updated_docker(&manifest.layers, edits)?;
    }
    converted(manifest.media_type.clone(), &manifest, config)
}

fn converted<T: Serialize>(
    media_type: MediaType,
    manifest: &T,
    config: Option<Vec<u8>>,
) -> Result<Converted, ConvertError> {
    let bytes = go_json::to_vec(manifest).map_err(ConvertError::Encode)?.into();
    Ok(Converted {
        manifest: RawManifest { media_type, bytes },
        config: config.map(|config| (Digest::sha256(&config), config.into())),
        blobs: Vec::new(),
    })
}

/// An OCI manifest for a Docker image. The config is written anew, without what only Docker has.
fn oci_of_docker(
    from: &docker::Manifest,
    config: &[u8],
) -> Result<(oci::Manifest, Vec<u8>), ConvertError> {
    let config = ImageConfig::parse(config).map_err(ConvertError::ConfigJson)?;
    let config = go_json::to_vec(&config).map_err(ConvertError::Encode)?;
    let layers = from
        .layers
        .iter()
        .map(|layer| {
            let media_type = layers::oci_type(&layer.media_type)?;
            Ok(OciDescriptor::from(Descriptor { media_type, ..layer.clone() }))
        })
        .collect::<Result<_, ConvertError>>()?;
    let descriptor = config_descriptor(MediaType::OCI_CONFIG, &config);
    Ok((oci::Manifest::new(descriptor, layers), config))
}

/// A Docker manifest for an OCI image. The config's bytes stay, only its type changes.
///
/// Layers packed with zstd are edited before, because Docker has no type for them: where they were
/// repacked, the conversion is possible.
fn docker_of_oci(
    from: &oci::Manifest,
    bytes: Option<&[u8]>,
    edits: &mut Option<Vec<LayerEdit>>,
) -> Result<docker::Manifest, ConvertError> {
    from.require_image()?;
    let config = from.config.as_deref().ok_or(ConvertError::NoConfig)?;
    let mut types: Vec<MediaType> =
        from.layers.iter().map(|layer| layer.blob.media_type.clone()).collect();
    if let Some(edits) = edits {
        layers::require_same_count(types.len(), edits.len())?;
        for ((media_type, edit), layer) in types.iter_mut().zip(edits).zip(&from.layers) {
            if edit.encryption == EncryptionEdit::Decrypted {
                *media_type = layers::edited_oci_encryption(&layer.blob, edit.encryption)?;
                edit.encryption = EncryptionEdit::Keep;
            }
            if media_type.compression() == Some(Compression::Zstd) {
                let blob = Descriptor { media_type: media_type.clone(), ..layer.blob.clone() };
                *media_type = layers::edited_oci_type(&blob, edit.compression)?;
                edit.compression = CompressionEdit::Keep;
            }
        }
    }
    let layers = types
        .iter()
        .zip(&from.layers)
        .map(|(media_type, layer)| {
            Ok(Descriptor {
                media_type: layers::docker_type(media_type)?,
                annotations: BTreeMap::new(),
                ..layer.blob.clone()
            })
        })
        .collect::<Result<_, ConvertError>>()?;
    let config = Descriptor {
        media_type: MediaType::DOCKER_CONFIG,
        size: config.blob.size.or_else(|| bytes.map(length_of)),
        annotations: BTreeMap::new(),
        ..config.blob.clone()
    };
    Ok(docker::Manifest::new(config, layers))
}

fn config_descriptor(media_type: MediaType, config: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::sha256(config), Some(length_of(config)))
}
