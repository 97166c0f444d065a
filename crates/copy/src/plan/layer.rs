//! Keep, decompress, compress, recompress.

use std::fmt;

use skopeo_blob::{Encoder, Recode};
use skopeo_image::{Compression, Descriptor, ImageManifest, MediaType};
use skopeo_transport::{Accepts, LayerForm};

use super::{Crypt, Frozen, PlanError, crypt};
use crate::request::Request;

/// What is to become of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPlan {
    /// As the source declares it.
    pub blob: Descriptor,
    /// The form in which it is wanted.
    pub wanted: Wanted,
    /// What becomes of its encryption.
    pub crypt: Crypt,
}

/// The form in which a layer is wanted. What has to be done for that is known when its first bytes
/// have been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// It stays a list of URLs; no bytes move.
    Elsewhere,
    /// As it is: nothing may change, or nobody knows what it is.
    Opaque,
    /// As it is packed.
    AsIs,
    /// A plain tar.
    Plain,
    /// Packed: a plain tar is packed so.
    Packed(Encoder),
    /// Packed in this very format, whatever it comes in.
    Exactly(Encoder),
}

impl LayerPlan {
    /// Returns the layer with the media type with which it would come to the destination.
    pub(crate) fn coming(&self) -> Descriptor {
        let declared = &self.blob.media_type;
        let media_type = match self.crypt {
            Crypt::Keep => None,
            // What is encrypted becomes an OCI layer.
            Crypt::Encrypt => declared.encrypted().or_else(|| MediaType::OCI_LAYER.encrypted()),
            Crypt::Decrypt => declared.decrypted(),
        };
        let media_type = media_type.unwrap_or_else(|| declared.clone());
        Descriptor { media_type, ..self.blob.clone() }
    }
}

pub(super) fn layers(
    image: &ImageManifest,
    blobs: Vec<Descriptor>,
    frozen: Option<Frozen>,
    accepts: &Accepts,
    request: &Request,
) -> Result<Vec<LayerPlan>, PlanError> {
    let crypts = crypt::layers(image, frozen, request)?;
    let requested = request.compression.and_then(|compression| compression.encoder());
    let plans = blobs.into_iter().zip(crypts).map(|(blob, crypt)| {
        // What it is when it is decrypted.
        let inner = blob.media_type.decrypted().filter(|_| crypt == Crypt::Decrypt);
        let media_type = inner.as_ref().unwrap_or(&blob.media_type);
        let wanted = if accepts.foreign_layers && !blob.urls.is_empty() {
            Wanted::Elsewhere
        } else if frozen.is_none()
            && accepts.layers == LayerForm::Uncompressed
            // Where any manifest will do, one that has no word for a layer stays as it is.
            && !accepts.manifests.is_empty()
            && image.can_unpack(media_type)
        {
            Wanted::Plain
        } else if frozen.is_some() || !image.can_repack(media_type) {
            Wanted::Opaque
        } else {
            match (accepts.layers, requested) {
                (LayerForm::AsIs, _) => Wanted::AsIs,
                (LayerForm::Uncompressed, _) => Wanted::Plain,
                (LayerForm::Compressed, Some(encoder)) => Wanted::Exactly(encoder),
                (LayerForm::Compressed, None) => {
                    Wanted::Packed(Encoder::Gzip { level: request.gzip_level })
                }
            }
        };
        let crypt = if wanted == Wanted::Elsewhere { Crypt::Keep } else { crypt };
        LayerPlan { blob, wanted, crypt }
    });
    Ok(plans.collect())
}

/// What has to be done to a layer that is packed so.
pub(crate) fn recode(sniffed: Compression, wanted: Wanted) -> Recode {
    let is_packed = sniffed != Compression::Uncompressed;
    match wanted {
        Wanted::Elsewhere | Wanted::Opaque | Wanted::AsIs => Recode::Keep,
        Wanted::Plain if is_packed => Recode::Decompress { from: sniffed },
        Wanted::Plain => Recode::Keep,
        Wanted::Packed(to) | Wanted::Exactly(to) if !is_packed => Recode::Compress { to },
        // zstd with a table of contents is zstd.
        Wanted::Exactly(to)
            if sniffed != to.compression()
                && (sniffed, to.compression()) != (Compression::ZstdChunked, Compression::Zstd) =>
        {
            Recode::Recompress { from: sniffed, to }
        }
        Wanted::Packed(_) | Wanted::Exactly(_) => Recode::Keep,
    }
}

impl fmt::Display for LayerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.crypt {
            Crypt::Keep => write!(f, "{}", self.wanted),
            Crypt::Encrypt => write!(f, "{}, encrypted", self.wanted),
            Crypt::Decrypt => write!(f, "decrypted, {}", self.wanted),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere => f.write_str("leave where it is"),
            Self::Opaque => f.write_str("byte for byte"),
            Self::AsIs => f.write_str("as it is packed"),
            Self::Plain => f.write_str("plain"),
            Self::Packed(to) => write!(f, "packed, {} if it is not", to.compression()),
            Self::Exactly(to) => write!(f, "packed as {}", to.compression()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recodes_only_what_must_be() {
        use Compression::{Bzip2, Gzip, Uncompressed, Zstd, ZstdChunked};
        let gzip = Encoder::Gzip { level: None };
        let zstd = Encoder::Zstd { level: Some(7) };
        for (sniffed, wanted, expected) in [
            (Gzip, Wanted::Opaque, Recode::Keep),
            (Uncompressed, Wanted::AsIs, Recode::Keep),
            (Gzip, Wanted::Plain, Recode::Decompress { from: Gzip }),
            (Bzip2, Wanted::Plain, Recode::Decompress { from: Bzip2 }),
            (Uncompressed, Wanted::Plain, Recode::Keep),
            (Uncompressed, Wanted::Packed(gzip), Recode::Compress { to: gzip }),
            (Zstd, Wanted::Packed(gzip), Recode::Keep),
            (Bzip2, Wanted::Packed(gzip), Recode::Keep),
            (Uncompressed, Wanted::Exactly(zstd), Recode::Compress { to: zstd }),
            (Gzip, Wanted::Exactly(zstd), Recode::Recompress { from: Gzip, to: zstd }),
            (Zstd, Wanted::Exactly(zstd), Recode::Keep),
            (ZstdChunked, Wanted::Exactly(zstd), Recode::Keep),
            (
                ZstdChunked,
                Wanted::Exactly(gzip),
                Recode::Recompress { from: ZstdChunked, to: gzip },
            ),
        ] {
            assert_eq!(recode(sniffed, wanted), expected, "{sniffed} for {wanted}");
        }
    }
}
