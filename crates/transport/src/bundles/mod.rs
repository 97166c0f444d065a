//! Bundles of sigstore: signatures that are referrers of an image, one in each.

mod carrier;

use futures_util::TryStreamExt;
use skopeo_image::manifest::oci;
use skopeo_image::number::wide;
use skopeo_image::{Descriptor, Digest, MediaType, Signature, Which, is_bundle_type};
use tracing::debug;

use crate::signature_error::SignaturesError;
use crate::{ContentError, Error, Referrer, ReferrerSearch, Source, files};

pub(crate) use carrier::Carrier;

/// The most that the bundles of one manifest may have together, in bytes.
const MAX_SIZE: u64 = 32 << 20;

/// What a bundle counts at least, in bytes: so that there are not too many of them, either.
const MIN_BUNDLE: u64 = 256 << 10;

/// Returns the bundles among the referrers of the manifest of that digest, as far as they are
/// listed. Nothing of them is believed.
///
/// # Errors
/// If they cannot be read, or are more than anybody has.
pub async fn bundles(source: &dyn Source, subject: &Digest) -> Result<Vec<Signature>, Error> {
    let listed = source.referrers(subject, ReferrerSearch::Listed).await?.unwrap_or_default();
    let mut found = Vec::new();
    let mut left = MAX_SIZE;
    for referrer in listed.iter().filter(|it| may_be_bundle(it, subject)) {
        let Some(layer) = layer(source, &referrer.blob.digest).await? else { continue };
        let payload = fetch(source, &layer).await?;
        left = left
            .checked_sub(MIN_BUNDLE.max(wide(payload.len())))
            .ok_or(SignaturesError::TooMany(found.len()))?;
        found.push(Signature::Sigstore {
            mime_type: layer.media_type.to_string(),
            payload: payload.into(),
            annotations: Default::default(),
        });
    }
    Ok(found)
}

/// Whether what a list says of a referrer leaves open that it is a bundle: old lists do not say
/// what they list, and some registries say what the config is.
fn may_be_bundle(referrer: &Referrer, subject: &Digest) -> bool {
    let kind = referrer.artifact_type.as_str();
    let open = kind.is_empty() || kind == MediaType::OCI_EMPTY.as_str() || is_bundle_type(kind);
    open && referrer.found.tag(subject).is_none()
}

/// Where the bundle is, if the referrer is one.
async fn layer(source: &dyn Source, digest: &Digest) -> Result<Option<Descriptor>, Error> {
    let manifest = match source.manifest(&Which::Instance(digest.clone())).await {
        Ok(manifest) => manifest,
        // A list under a tag may name what was deleted long ago.
        Err(error) if error.is_not_found() => {
            debug!("ignoring referrer {digest}, which does not exist");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !manifest.has_digest(digest)? {
        return Err(ContentError::ManifestMismatch(digest.clone()).into());
    }
    if manifest.media_type != MediaType::OCI_MANIFEST {
        return Ok(None);
    }
    let layers = oci::Manifest::parse(&manifest.bytes)?.layers;
    Ok(match <[_; 1]>::try_from(layers) {
        Ok([layer]) if is_bundle_type(layer.blob.media_type.as_str()) => Some(layer.blob),
        _ => None,
    })
}

async fn fetch(source: &dyn Source, blob: &Descriptor) -> Result<Vec<u8>, Error> {
    let limit = files::MAX_SIGNATURE;
    let too_large = |size| ContentError::BlobTooLarge { digest: blob.digest.clone(), size, limit };
    if let Some(size) = blob.size.filter(|size| *size > limit) {
        return Err(too_large(size).into());
    }
    let found = source.blob(blob).await?;
    let mut stream = found.expect(&blob.digest, blob.size).into_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.try_next().await? {
        bytes.extend_from_slice(&piece);
        let size = wide(bytes.len());
        if size > limit {
            return Err(too_large(size).into());
        }
    }
    Ok(bytes)
}
