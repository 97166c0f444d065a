//! What is asked: platforms, formats, compression, signatures.

use std::num::NonZeroUsize;
use std::sync::Arc;

use skopeo_blob::Encoder;
use skopeo_blob::crypt::{Keys, Recipients};
use skopeo_image::{
    Compression, Digest, MediaType, Platform, PlatformFilter, Reference, wanted_platforms,
};
use skopeo_trust::sign::Signer;

use crate::selection::Referrers;

/// What is asked of one copy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// What to do with an index.
    pub lists: Lists,
    /// The digest that the source's name must lead to, if it was asked before.
    pub expected: Option<Digest>,
    /// The platforms that serve, best first: which instance of an index is chosen.
    pub platforms: Vec<Platform>,
    /// This machine, which instances without a platform are said to be for where an index must say.
    pub host: Platform,
    /// The kind of manifest to write; `None` leaves it to the source and the destination.
    pub format: Option<Format>,
    /// Whether any digest may change.
    pub digests: Digests,
    /// What to do with signatures at the source.
    pub signatures: SourceSignatures,
    /// What is signed anew.
    pub signing: Signing,
    /// How layers shall be packed; `None` leaves them as they are where the destination can take
    /// them so.
    pub compression: Option<CompressTo>,
    /// In which further forms the images of an index shall be in it; those they are in stay.
    pub added: Vec<CompressTo>,
    /// How hard to try where a destination wants plain layers packed and no format is asked for: a
    /// level of gzip.
    pub gzip_level: Option<i32>,
    /// Whether layers are encrypted or decrypted on their way; `None` leaves them as they are.
    pub encryption: Option<Encryption>,
    /// What to do with the referrers of the image.
    pub referrers: Referrers,
    /// Whether both sides are asked for digests before a manifest is read. It costs one question
    /// more where something has to be copied, and is one cheap question instead of a download
    /// where nothing has.
    pub heads_first: bool,
    /// How many blobs may move at once.
    pub parallel: NonZeroUsize,
}

impl Request {
    /// Returns what is copied when nothing is asked: the image for `host`, unchanged where that can
    /// be, with its signatures, six blobs at once.
    #[must_use]
    pub fn new(host: Platform) -> Self {
        Self {
            lists: Lists::System,
            expected: None,
            platforms: wanted_platforms(None, None, None, &host),
            host,
            format: None,
            digests: Digests::MayChange,
            signatures: SourceSignatures::Keep,
            signing: Signing::default(),
            compression: None,
            added: Vec::new(),
            gzip_level: None,
            encryption: None,
            referrers: Referrers::Leave,
            heads_first: false,
            parallel: const { NonZeroUsize::new(6).expect("six is not zero") },
        }
    }

    /// Whether the levels that are asked for exist.
    ///
    /// # Errors
    /// [`InvalidLevel`] if not, for the compression that layers would be packed with.
    pub fn check_levels(&self) -> Result<(), InvalidLevel> {
        let gzip = Encoder::Gzip { level: self.gzip_level };
        let usual = match self.compression {
            Some(compression) => (compression.encoder(), compression.level),
            None => (Some(gzip), self.gzip_level),
        };
        let added = self.added.iter().map(|added| (added.encoder(), added.level));
        for asked in added.chain([usual]) {
            if let (Some(encoder), Some(level)) = asked
                && !encoder.levels().contains(&level)
            {
                return Err(InvalidLevel { compression: encoder.compression(), level });
            }
        }
        Ok(())
    }
}

/// What every manifest that is written is signed with.
#[derive(Clone, Debug, Default)]
pub struct Signing {
    /// Who signs, one after the other; nobody if nothing is to be signed.
    pub signers: Vec<Arc<dyn Signer>>,
    /// The name that the signatures give to the image, instead of the destination's.
    pub identity: Option<Reference>,
}

impl Signing {
    /// Whether anything is to be signed.
    pub(crate) fn is_asked(&self) -> bool {
        !self.signers.is_empty()
    }
}

/// What to do about the encryption of layers.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// Encrypt layers that are not encrypted.
    Encrypt {
        /// Who shall be able to decrypt them.
        recipients: Arc<Recipients>,
        /// Which layers, counted from 0 at the root, or from -1 at the top; all if there are none.
        layers: Vec<i64>,
    },
    /// Decrypt what is encrypted.
    Decrypt(Arc<Keys>),
}

/// What to do with an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lists {
    /// Copy the one instance that serves best.
    #[default]
    System,
    /// Copy the index and all its instances.
    All,
    /// Copy the index and no instance.
    IndexOnly,
    /// Copy the index and its instances for these platforms, at least one for each, with what
    /// attests them. A single image has to be for one of them; an artifact is for all.
    Platforms {
        /// The platforms.
        wanted: Vec<PlatformFilter>,
        /// What becomes of the index's entries for the others.
        others: Others,
    },
}

/// What becomes of an index's entries for instances that are not copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Others {
    /// They are taken out: the index names what is there, and has another digest.
    #[default]
    Remove,
    /// They stay: the index is the source's, and names what is not there (a sparse list).
    Keep,
}

/// A kind of manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OCI.
    Oci,
    /// Docker schema 2.
    DockerSchema2,
    /// Docker schema 1, signed.
    DockerSchema1,
}

impl Format {
    /// Returns the type of an image's manifest.
    #[must_use]
    pub fn image_type(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OCI_MANIFEST,
            Self::DockerSchema2 => MediaType::DOCKER_MANIFEST,
            Self::DockerSchema1 => MediaType::DOCKER_SCHEMA1_SIGNED,
        }
    }

    /// Returns the type of a list of such images.
    #[must_use]
    pub fn index_type(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OCI_INDEX,
            Self::DockerSchema2 | Self::DockerSchema1 => MediaType::DOCKER_LIST,
        }
    }
}

/// Whether any digest may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digests {
    /// If the copy needs it.
    #[default]
    MayChange,
    /// Rather fail.
    Preserve,
}

/// What to do with signatures at the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceSignatures {
    /// Copy them, and so change nothing that they sign.
    #[default]
    Keep,
    /// Leave those of indexes behind, and copy those of their instances.
    RemoveOfIndexes,
    /// Leave them behind.
    Remove,
}

/// A level that a compression does not have; the original's words for gzip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{compression}: invalid compression level: {level}")]
pub struct InvalidLevel {
    /// The compression.
    pub compression: Compression,
    /// The level.
    pub level: i32,
}

/// How layers shall be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressTo {
    /// The format.
    pub format: Compression,
    /// How hard to try, on the format's own scale.
    pub level: Option<i32>,
    /// What of a layer in another format that is at the destination already.
    pub others: OtherFormats,
}

/// What of a layer in another format that is at the destination already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherFormats {
    /// Take it.
    #[default]
    Reuse,
    /// Make it anew.
    Refuse,
}

impl CompressTo {
    /// The encoder, where there is one for the format.
    pub(crate) fn encoder(self) -> Option<Encoder> {
        match self.format {
            Compression::Gzip => Some(Encoder::Gzip { level: self.level }),
            Compression::Zstd => Some(Encoder::Zstd { level: self.level }),
            Compression::ZstdChunked => Some(Encoder::ZstdChunked { level: self.level }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_levels_of_each_compression() {
        use Compression::{Gzip, Zstd};
        for (format, level, sentence) in [
            (None, None, None),
            (None, Some(-2), None),
            (None, Some(10), Some("gzip: invalid compression level: 10")),
            (Some(Gzip), Some(9), None),
            (Some(Gzip), Some(-3), Some("gzip: invalid compression level: -3")),
            (Some(Zstd), Some(22), None),
            (Some(Zstd), Some(-7), None),
            (Some(Zstd), Some(0), None),
            (Some(Zstd), Some(23), Some("zstd: invalid compression level: 23")),
            // Not the level is wrong with it.
            (Some(Compression::Bzip2), Some(99), None),
        ] {
            let mut request = Request::new(Platform::default());
            request.gzip_level = level;
            request.compression =
                format.map(|format| CompressTo { format, level, others: OtherFormats::Reuse });
            let error = request.check_levels().err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), sentence, "{format:?} {level:?}");
        }
    }
}
