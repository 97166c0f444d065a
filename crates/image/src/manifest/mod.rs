//! Manifests: the bytes, which are the truth, and views of them.

pub mod docker;
mod error;
mod guess;
pub mod jws;
pub mod oci;
pub mod schema1;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{Algorithm, Descriptor, Digest, ImageIndex, MediaType};

pub use error::ManifestError;
pub use guess::guess;

/// The largest manifest that is read, in bytes (the original's limit).
pub const MAX_MANIFEST_SIZE: usize = 4 * 1024 * 1024;

/// A manifest as it was received: never re-encoded unless it is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    /// What the bytes are said, or were guessed, to be.
    pub media_type: MediaType,
    /// The bytes that the digest is of.
    pub bytes: Bytes,
}

impl RawManifest {
    /// Returns a manifest of the declared type, or of the type its contents suggest where none of
    /// the known ones is declared. If they suggest none either, the declared type stays, and
    /// [`Self::parse`] will name it.
    #[must_use]
    pub fn new(media_type: Option<MediaType>, bytes: Bytes) -> Self {
        let declared = media_type.unwrap_or_default();
        let media_type = guess::known(&declared).or_else(|| guess(&bytes)).unwrap_or(declared);
        Self { media_type, bytes }
    }

    /// Returns the sha256 digest by which registries know this manifest: of the bytes, or, for
    /// schema 1, of the bytes without their signatures.
    ///
    /// # Errors
    /// If the bytes are a signed schema 1 manifest whose signatures do not say what they sign.
    pub fn digest(&self) -> Result<Digest, ManifestError> {
        self.digest_by(Algorithm::Sha256)
    }

    /// As [`Self::digest`], by another algorithm.
    ///
    /// # Errors
    /// As [`Self::digest`].
    pub fn digest_by(&self, algorithm: Algorithm) -> Result<Digest, ManifestError> {
        match guess::known(&self.media_type) {
            // Signatures say what the digest is of only where they also say what is read: what is
            // read whole would otherwise have any digest that whoever wrote it likes.
            Some(known) if !known.is_schema1() => Ok(Digest::of(algorithm, &self.bytes)),
            _ => digest_of(&self.bytes, algorithm),
        }
    }

    /// Returns whether this is the manifest that `expected` names.
    ///
    /// # Errors
    /// As [`Self::digest`].
    pub fn has_digest(&self, expected: &Digest) -> Result<bool, ManifestError> {
        Ok(self.digest_by(expected.algorithm())? == *expected)
    }

    /// Reads the bytes as what the type says they are.
    ///
    /// # Errors
    /// If they are not, or look like more than one kind of manifest.
    pub fn parse(&self) -> Result<Manifest, ManifestError> {
        let bytes = &self.bytes;
        let Some(media_type) = guess::known(&self.media_type).or_else(|| guess(bytes)) else {
            let unknown = || ManifestError::UnknownType(self.media_type.to_string());
            // What has no type at all is schema 1 for the original, whose words say more.
            let is_nameless = self.media_type.is_empty();
            let as_schema1 = is_nameless.then(|| schema1::Manifest::parse(bytes).err()).flatten();
            return Err(as_schema1.unwrap_or_else(unknown));
        };
        Ok(if media_type == MediaType::OCI_INDEX {
            Manifest::Index(ImageIndex::Oci(oci::Index::parse(bytes)?))
        } else if media_type == MediaType::DOCKER_LIST {
            Manifest::Index(ImageIndex::Docker(docker::List::parse(bytes)?))
        } else if media_type == MediaType::OCI_MANIFEST {
            Manifest::Image(ImageManifest::Oci(oci::Manifest::parse(bytes)?))
        } else if media_type == MediaType::DOCKER_MANIFEST {
            Manifest::Image(ImageManifest::Docker(docker::Manifest::parse(bytes)?))
        } else {
            Manifest::Image(ImageManifest::Schema1(schema1::Manifest::parse(bytes)?))
        })
    }
}

/// The digest of a manifest's bytes, schema 1 without its signatures. The contents alone decide
/// what the bytes are.
///
/// # Errors
/// If they are a signed schema 1 manifest whose signatures do not say what they sign.
fn digest_of(bytes: &[u8], algorithm: Algorithm) -> Result<Digest, ManifestError> {
    if guess(bytes) == Some(MediaType::DOCKER_SCHEMA1_SIGNED) {
        return Ok(Digest::of(algorithm, &jws::payload(bytes)?));
    }
    Ok(Digest::of(algorithm, bytes))
}

/// Which manifest of a source is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// The one the name itself leads to.
    Top,
    /// An instance of a list.
    Instance(Digest),
}

/// A view of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// One image, or one artifact.
    Image(ImageManifest),
    /// Many.
    Index(ImageIndex),
}

/// A view of the manifest of one image.
#[derive(Clone, Debug, PartialEq)]
pub enum ImageManifest {
    /// OCI.
    Oci(oci::Manifest),
    /// Docker schema 2.
    Docker(docker::Manifest),
    /// Docker schema 1.
    Schema1(schema1::Manifest),
}

/// A layer, root first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The blob. Schema 1 gives neither type nor size.
    pub blob: Descriptor,
    /// Whether schema 1 says that nothing is in it.
    pub empty: bool,
}

impl Layer {
    /// Returns whether the layer need not be distributed: its bytes may be had elsewhere.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.blob.media_type.is_foreign()
    }
}

impl ImageManifest {
    /// Returns the config blob, except in schema 1 and where an artifact has none.
    #[must_use]
    pub fn config(&self) -> Option<&Descriptor> {
        match self {
            Self::Oci(manifest) => manifest.config.as_ref().map(|config| &config.blob),
            Self::Docker(manifest) => Some(&manifest.config),
            Self::Schema1(_) => None,
        }
    }

    /// Returns the layers, root first. The same blob may come twice.
    #[must_use]
    pub fn layers(&self) -> Vec<Layer> {
        match self {
            Self::Oci(manifest) => manifest
                .layers
                .iter()
                .map(|layer| Layer { blob: layer.blob.clone(), empty: false })
                .collect(),
            Self::Docker(manifest) => manifest
                .layers
                .iter()
                .map(|blob| Layer { blob: blob.clone(), empty: false })
                .collect(),
            Self::Schema1(manifest) => manifest.layers(),
        }
    }

    /// Returns what the manifest is.
    #[must_use]
    pub fn media_type(&self) -> MediaType {
        match self {
            Self::Oci(_) => MediaType::OCI_MANIFEST,
            Self::Docker(_) => MediaType::DOCKER_MANIFEST,
            Self::Schema1(_) => MediaType::DOCKER_SCHEMA1_SIGNED,
        }
    }

    /// Returns whether the config is no image config, so that nothing is known of what the layers
    /// are.
    #[must_use]
    pub fn is_artifact(&self) -> bool {
        match self {
            Self::Oci(manifest) => manifest.is_artifact(),
            Self::Docker(_) | Self::Schema1(_) => false,
        }
    }

    /// Returns free text by key; only OCI has any.
    #[must_use]
    pub fn annotations(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::Oci(manifest) => Some(&manifest.annotations),
            Self::Docker(_) | Self::Schema1(_) => None,
        }
    }

    /// Returns the manifest that this one is about; only OCI has any.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Oci(manifest) => manifest.subject.as_ref().map(|subject| &subject.blob),
            Self::Docker(_) | Self::Schema1(_) => None,
        }
    }

    /// Returns whether a name written in the manifest itself differs from `reference`, so that the
    /// manifest has to be changed to be stored under it. Only schema 1 has one.
    #[must_use]
    pub fn embedded_name_conflicts(&self, reference: &crate::Reference) -> bool {
        match self {
            Self::Schema1(manifest) => {
                manifest.name != reference.name.path()
                    || manifest.tag != reference.tag.as_deref().unwrap_or_default()
            }
            Self::Oci(_) | Self::Docker(_) => false,
        }
    }
}
