//! The types of layers: from kind to kind, and from one compression to another.

use super::{ConvertError, LayerEdit};
use crate::manifest::oci::OciDescriptor;
use crate::{Compression, Descriptor, Digest, ImageManifest, MediaType};

/// What a layer's media type should say about its compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionEdit {
    /// What it said before.
    Keep,
    /// This, whatever it said before.
    To(Compression),
}

/// What a layer's media type should say about its encryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncryptionEdit {
    /// What it said before.
    #[default]
    Keep,
    /// That it is encrypted, which it was not.
    Encrypted,
    /// That it is not encrypted, which it was.
    Decrypted,
}

/// Why a type cannot say that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerTypeError {
    /// The kind of manifest has no type for that compression; another kind may have.
    #[error("{0}")]
    Incompatible(String),
    /// The type is none of a layer that could be packed otherwise.
    #[error("{0}")]
    Unknown(String),
}

/// The types of one kind of layer, packed differently.
struct Variants {
    plain: MediaType,
    gzip: MediaType,
    zstd: Option<MediaType>,
}

const OCI: [Variants; 2] = [
    Variants {
        plain: MediaType::OCI_FOREIGN_LAYER,
        gzip: MediaType::OCI_FOREIGN_LAYER_GZIP,
        zstd: Some(MediaType::OCI_FOREIGN_LAYER_ZSTD),
    },
    Variants {
        plain: MediaType::OCI_LAYER,
        gzip: MediaType::OCI_LAYER_GZIP,
        zstd: Some(MediaType::OCI_LAYER_ZSTD),
    },
];

const DOCKER: [Variants; 2] = [
    Variants {
        plain: MediaType::DOCKER_FOREIGN_LAYER,
        gzip: MediaType::DOCKER_FOREIGN_LAYER_GZIP,
        zstd: None,
    },
    Variants { plain: MediaType::DOCKER_LAYER, gzip: MediaType::DOCKER_LAYER_GZIP, zstd: None },
];

/// Schema 1 has no types; only what it could never have is refused.
const SCHEMA1: [Variants; 1] = [Variants {
    plain: MediaType::DOCKER_LAYER_GZIP,
    gzip: MediaType::DOCKER_LAYER_GZIP,
    zstd: None,
}];

impl ImageManifest {
    /// Returns whether layers of this type may be packed otherwise: their type could say so, and
    /// their bytes are known to be a layer's.
    #[must_use]
    pub fn can_repack(&self, layer: &MediaType) -> bool {
        let known = |table: &[Variants]| !layer.is_empty() && find(table, layer).is_some();
        match self {
            Self::Oci(manifest) => !manifest.is_artifact() && known(&OCI),
            Self::Docker(_) => known(&DOCKER),
            Self::Schema1(_) => true,
        }
    }

    /// Returns whether layers of this type may be unpacked: they may be of the other family, too,
    /// as what is unpacked gets the plain type of the manifest's own.
    #[must_use]
    pub fn can_unpack(&self, layer: &MediaType) -> bool {
        match self {
            Self::Oci(manifest) if manifest.is_artifact() => false,
            Self::Oci(_) | Self::Docker(_) => self.can_repack(layer) || kind(layer).is_some(),
            Self::Schema1(_) => true,
        }
    }
}

impl MediaType {
    /// Returns whether manifests of this type have a word for layers so compressed.
    #[must_use]
    pub fn allows(&self, compression: Compression) -> bool {
        match compression {
            Compression::Uncompressed | Compression::Gzip => true,
            Compression::Zstd | Compression::ZstdChunked => *self == Self::OCI_MANIFEST,
            Compression::Bzip2 | Compression::Xz => false,
        }
    }
}

/// The layers of an OCI manifest as they were stored.
pub(super) fn updated_oci(
    layers: &[OciDescriptor],
    edits: &[LayerEdit],
) -> Result<Vec<OciDescriptor>, ConvertError> {
    require_same_count(layers.len(), edits.len())?;
    layers
        .iter()
        .zip(edits)
        .map(|(layer, edit)| {
            let media_type = match edit.encryption {
                EncryptionEdit::Decrypted => edited_oci_encryption(&layer.blob, edit.encryption)?,
                _ => layer.blob.media_type.clone(),
            };
            let media_type = edited(&OCI, &media_type, edit)?;
            let media_type = match edit.encryption {
                EncryptionEdit::Encrypted => {
                    let packed = Descriptor { media_type, ..layer.blob.clone() };
                    edited_oci_encryption(&packed, edit.encryption)?
                }
                _ => media_type,
            };
            let mut blob = stored(media_type, edit);
            blob.annotations =
                edit.annotations.clone().unwrap_or_else(|| layer.blob.annotations.clone());
            Ok(blob.into())
        })
        .collect()
}

/// The layers of a Docker manifest as they were stored.
pub(super) fn updated_docker(
    layers: &[Descriptor],
    edits: &[LayerEdit],
) -> Result<Vec<Descriptor>, ConvertError> {
    require_same_count(layers.len(), edits.len())?;
    layers
        .iter()
        .zip(edits)
        .map(|(layer, edit)| {
            require_no_encryption(edit, "schema2")?;
            Ok(stored(edited(&DOCKER, &layer.media_type, edit)?, edit))
        })
        .collect()
}

/// The layers of a schema 1 manifest, root first, as they were stored.
pub(super) fn updated_schema1(
    layers: usize,
    edits: &[LayerEdit],
) -> Result<Vec<Digest>, ConvertError> {
    require_same_count(layers, edits.len())?;
    edits
        .iter()
        .map(|edit| {
            require_no_encryption(edit, "schema1")?;
            edited(&SCHEMA1, &MediaType::DOCKER_LAYER_GZIP, edit)?;
            Ok(edit.digest.clone())
        })
        .collect()
}

/// The type that an OCI layer gets by an edit.
pub(super) fn edited_oci_type(
    layer: &Descriptor,
    edit: CompressionEdit,
) -> Result<MediaType, ConvertError> {
    variant(&OCI, &layer.media_type, edit)
        .map_err(|source| ConvertError::LayerType { digest: layer.digest.clone(), source })
}

/// The type that an OCI layer gets by being encrypted or decrypted.
pub(super) fn edited_oci_encryption(
    layer: &Descriptor,
    edit: EncryptionEdit,
) -> Result<MediaType, ConvertError> {
    let media_type = &layer.media_type;
    let (edited, refused): (_, fn(MediaType) -> ConvertError) = match edit {
        EncryptionEdit::Keep => (Some(media_type.clone()), ConvertError::NotEncrypted),
        EncryptionEdit::Encrypted => (media_type.encrypted(), ConvertError::NotEncryptable),
        EncryptionEdit::Decrypted => (media_type.decrypted(), ConvertError::NotEncrypted),
    };
    edited.ok_or_else(|| refused(media_type.clone()))
}

fn require_no_encryption(edit: &LayerEdit, schema: &'static str) -> Result<(), ConvertError> {
    if edit.encryption == EncryptionEdit::Keep {
        return Ok(());
    }
    Err(ConvertError::EncryptionEdit { digest: edit.digest.clone(), schema })
}

pub(super) fn require_same_count(layers: usize, edits: usize) -> Result<(), ConvertError> {
    if layers == edits { Ok(()) } else { Err(ConvertError::LayerCount { layers, edits }) }
}

/// The OCI type for a layer of a Docker manifest.
pub(super) fn oci_type(docker: &MediaType) -> Result<MediaType, ConvertError> {
    if *docker == MediaType::DOCKER_LAYER_ZSTD {
        return Ok(MediaType::OCI_LAYER_ZSTD);
    }
    counterpart(&DOCKER, &OCI, docker).ok_or_else(|| ConvertError::UnknownLayerType(docker.clone()))
}

/// The Docker type for a layer of an OCI manifest.
pub(super) fn docker_type(oci: &MediaType) -> Result<MediaType, ConvertError> {
    if let Some(docker) = counterpart(&OCI, &DOCKER, oci) {
        return Ok(docker);
    }
    let no_counterpart =
        |reason| Err(ConvertError::NoCounterpart { media_type: oci.clone(), reason });
    if *oci == MediaType::OCI_FOREIGN_LAYER_ZSTD {
        return no_counterpart("zstd compression is not supported for docker images");
    }
    if *oci == MediaType::OCI_LAYER_ZSTD {
        return no_counterpart("zstd compression is not officially supported for docker images");
    }
    match oci.as_str().strip_suffix("+encrypted") {
        Some(inner) if find(&OCI, &inner.into()).is_some() => {
            Err(ConvertError::Encrypted(oci.clone()))
        }
        _ => Err(ConvertError::UnknownLayerType(oci.clone())),
    }
}

fn counterpart(from: &[Variants], to: &[Variants], media_type: &MediaType) -> Option<MediaType> {
    from.iter().zip(to).find_map(|(from, to)| {
        if *media_type == from.plain {
            Some(to.plain.clone())
        } else if *media_type == from.gzip {
            Some(to.gzip.clone())
        } else {
            None
        }
    })
}

fn stored(media_type: MediaType, edit: &LayerEdit) -> Descriptor {
    let mut blob = Descriptor::new(media_type, edit.digest.clone(), Some(edit.size));
    blob.urls.clone_from(&edit.urls);
    blob
}

fn edited(
    table: &[Variants],
    media_type: &MediaType,
    edit: &LayerEdit,
) -> Result<MediaType, ConvertError> {
    variant(table, media_type, edit.compression)
        .map_err(|source| ConvertError::LayerType { digest: edit.digest.clone(), source })
}

fn find<'a>(table: &'a [Variants], media_type: &MediaType) -> Option<&'a Variants> {
    table.iter().find(|variants| {
        *media_type == variants.plain
            || *media_type == variants.gzip
            || variants.zstd.as_ref() == Some(media_type)
    })
}

/// Where in the tables of types a layer's type is, whichever family it is of.
fn kind(media_type: &MediaType) -> Option<usize> {
    if *media_type == MediaType::DOCKER_LAYER_ZSTD {
        return kind(&MediaType::DOCKER_LAYER);
    }
    [&OCI, &DOCKER].into_iter().find_map(|table| {
        table.iter().position(|variants| find(std::slice::from_ref(variants), media_type).is_some())
    })
}

/// The type of the same kind of layer, packed so. What the type said before does not matter: some
/// storages keep manifests as they were, and layers unpacked.
fn variant(
    table: &[Variants],
    media_type: &MediaType,
    edit: CompressionEdit,
) -> Result<MediaType, LayerTypeError> {
    let CompressionEdit::To(compression) = edit else { return Ok(media_type.clone()) };
    if media_type.is_empty() {
        return Err(LayerTypeError::Unknown("cannot update unknown MIME type".to_owned()));
    }
    let of_other_family = || table.get(kind(media_type)?).map(|variants| variants.plain.clone());
    if compression == Compression::Uncompressed
        && find(table, media_type).is_none()
        && let Some(plain) = of_other_family()
    {
        return Ok(plain);
    }
    let Some(variants) = find(table, media_type) else {
        let change =
            if compression == Compression::Uncompressed { "decompression" } else { "compression" };
        return Err(LayerTypeError::Unknown(format!(
            "unsupported MIME type for {change}: \"{media_type}\""
        )));
    };
    let incompatible = |text| Err(LayerTypeError::Incompatible(text));
    match (compression, &variants.zstd) {
        (Compression::Uncompressed, _) => Ok(variants.plain.clone()),
        (Compression::Gzip, _) => Ok(variants.gzip.clone()),
        (Compression::Zstd | Compression::ZstdChunked, Some(zstd)) => Ok(zstd.clone()),
        (Compression::Zstd | Compression::ZstdChunked, None) => {
            incompatible(format!("zstd compression is not supported for type \"{media_type}\""))
        }
        (other @ (Compression::Bzip2 | Compression::Xz), _) => incompatible(format!(
            "unknown compressed with algorithm {other} variant for type \"{media_type}\""
        )),
    }
}
