//! Why nothing may change.

use std::fmt;

use skopeo_image::{ImageManifest, RawManifest};

use super::{Crypt, FrozenError, PlanError, Surroundings, crypt};
use crate::request::{Digests, Request};

/// Why a manifest may not change. Prints as the sentence that users know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// Somebody signed it.
    Signed,
    /// Somebody signed the index.
    IndexSigned,
    /// The destination's name says which digest it must have.
    DestinationDigest,
    /// The user said so.
    PreserveDigests,
    /// Its referrers are copied with it, and refer to its digest.
    Referrers,
}

/// What the manifest is, for the words of the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Image,
    Index,
}

/// The reason that is told, the last of those there are.
pub(super) fn frozen(
    subject: Subject,
    signatures: usize,
    around: Surroundings<'_>,
) -> Option<Frozen> {
    if around.request.digests == Digests::Preserve {
        Some(Frozen::PreserveDigests)
    } else if around.accepts.digest.is_some() {
        Some(Frozen::DestinationDigest)
    } else if around.has_referrers {
        Some(Frozen::Referrers)
    } else if signatures == 0 {
        None
    } else {
        Some(match subject {
            Subject::Image => Frozen::Signed,
            Subject::Index => Frozen::IndexSigned,
        })
    }
}

/// Refuses what was asked for and would change an image that something hangs on: it would hang on
/// nothing then, and who relies on it would not find it.
pub(super) fn require_unchanged(
    manifest: &RawManifest,
    image: &ImageManifest,
    request: &Request,
) -> Result<(), PlanError> {
    if let Some(to) = request.format.map(|format| format.image_type())
        && to != manifest.media_type
    {
        return Err(would_change(manifest, format!("converting it to {to}")));
    }
    if let Some(to) = request.compression
        && image.layers().iter().any(|layer| {
            let declared = layer.blob.media_type.compression();
            image.can_repack(&layer.blob.media_type) && declared.is_some_and(|it| it != to.format)
        })
    {
        return Err(would_change(manifest, format!("compressing its layers to {}", to.format)));
    }
    for (change, gerund) in [(Crypt::Encrypt, "encrypting"), (Crypt::Decrypt, "decrypting")] {
        if crypt::layers(image, None, request)?.contains(&change) {
            return Err(would_change(manifest, format!("{gerund} its layers")));
        }
    }
    Ok(())
}

pub(super) fn would_change(manifest: &RawManifest, change: String) -> PlanError {
    // Every manifest that is planned has been compared with a digest.
    let digest = manifest.digest().map(|digest| digest.to_string()).unwrap_or_default();
    PlanError::Frozen(FrozenError::Referrers { digest, change })
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signed => "Would invalidate signatures",
            Self::IndexSigned => {
                "Would invalidate signatures; consider removing them from the multi-platform list"
            }
            Self::DestinationDigest => "Destination specifies a digest",
            Self::PreserveDigests => "Instructed to preserve digests",
            Self::Referrers => "What is copied with it refers to its digest",
        })
    }
}
