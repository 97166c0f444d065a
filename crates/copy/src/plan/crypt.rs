//! Which layers are encrypted or decrypted.

use std::borrow::Cow;

use skopeo_image::{Compression, Descriptor, ImageManifest, Layer};
use tracing::warn;

use super::{FormatError, Frozen, FrozenError, PlanError};
use crate::request::{CompressTo, Encryption, OtherFormats, Request};

/// What becomes of a layer's encryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Crypt {
    /// It is encrypted if it was.
    #[default]
    Keep,
    /// It is encrypted, after it has been packed.
    Encrypt,
    /// It is decrypted, before anything else is done to it.
    Decrypt,
}

/// The request as it can be met: what is encrypted is of no use in chunks, whose table would also
/// tell what is in it.
pub(super) fn without_chunks(request: &Request) -> Result<Cow<'_, Request>, PlanError> {
    let encrypts = matches!(request.encryption, Some(Encryption::Encrypt { .. }));
    match request.compression {
        Some(to) if encrypts && to.format == Compression::ZstdChunked => {
            if to.others == OtherFormats::Refuse {
                return Err(PlanError::Format(FormatError::EncryptedChunks));
            }
            warn!(
                "Compression using zstd:chunked is not beneficial for encrypted layers, using \
                 plain zstd instead"
            );
            let compression = Some(CompressTo { format: Compression::Zstd, ..to });
            Ok(Cow::Owned(Request { compression, ..request.clone() }))
        }
        _ => Ok(Cow::Borrowed(request)),
    }
}

/// Whether the manifest to be written must have words for encrypted layers.
pub(super) fn is_needed(image: &ImageManifest, request: &Request) -> bool {
    let is_encrypted = |layer: Layer| layer.blob.media_type.is_encrypted();
    match &request.encryption {
        Some(Encryption::Encrypt { .. }) => true,
        Some(Encryption::Decrypt(_)) => false,
        None => image.layers().into_iter().any(is_encrypted),
    }
}

/// One for each layer.
pub(super) fn layers(
    image: &ImageManifest,
    frozen: Option<Frozen>,
    request: &Request,
) -> Result<Vec<Crypt>, PlanError> {
    let layers = image.layers();
    let chosen = match &request.encryption {
        Some(Encryption::Encrypt { layers: chosen, .. }) => chosen_of(chosen, layers.len())?,
        _ => vec![false; layers.len()],
    };
    let decrypts = matches!(request.encryption, Some(Encryption::Decrypt(_)));
    let one = |(chosen, Layer { blob, .. }): (bool, Layer)| {
        let is_encrypted = blob.media_type.is_encrypted();
        if decrypts && is_encrypted {
            may_change(&blob, frozen, "decrypted").map(|()| Crypt::Decrypt)
        } else if chosen && !is_encrypted {
            if matches!(image, ImageManifest::Oci(_)) && blob.media_type.encrypted().is_none() {
                return Err(PlanError::Format(FormatError::NotEncryptable(blob.media_type)));
            }
            may_change(&blob, frozen, "encrypted").map(|()| Crypt::Encrypt)
        } else {
            // As in the original, nobody is added to those who can decrypt it.
            Ok(Crypt::Keep)
        }
    };
    chosen.into_iter().zip(layers).map(one).collect()
}

/// Which of so many layers are meant; all if none is named.
fn chosen_of(indexes: &[i64], layers: usize) -> Result<Vec<bool>, PlanError> {
    let mut chosen = vec![indexes.is_empty(); layers];
    for &index in indexes {
        let count = i64::try_from(layers).unwrap_or(i64::MAX);
        let at = if index < 0 { index.checked_add(count) } else { Some(index) };
        let chosen = at.and_then(|at| usize::try_from(at).ok()).and_then(|at| chosen.get_mut(at));
        *chosen.ok_or(PlanError::Format(FormatError::NoSuchLayer { index, layers }))? = true;
    }
    Ok(chosen)
}

fn may_change(
    blob: &Descriptor,
    frozen: Option<Frozen>,
    verb: &'static str,
) -> Result<(), PlanError> {
    match frozen {
        None => Ok(()),
        Some(frozen) => {
            Err(PlanError::Frozen(FrozenError::Layer { digest: blob.digest.clone(), verb, frozen }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_counted_from_both_ends() {
        for (indexes, layers, expected) in [
            (&[][..], 2, Some(vec![true, true])),
            (&[], 0, Some(vec![])),
            (&[0], 3, Some(vec![true, false, false])),
            (&[-1], 3, Some(vec![false, false, true])),
            (&[-3, 0, 2, 2], 3, Some(vec![true, false, true])),
            (&[3], 3, None),
            (&[-4], 3, None),
            (&[0], 0, None),
            (&[i64::MIN], 3, None),
            (&[i64::MAX], 3, None),
        ] {
            assert_eq!(chosen_of(indexes, layers).ok(), expected, "{indexes:?} of {layers}");
        }
        assert_eq!(
            chosen_of(&[-4], 3).unwrap_err().to_string(),
            "when choosing layers to encrypt, layer index -4 out of range (3 layers exist)"
        );
    }
}
