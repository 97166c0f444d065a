//! Manifests as they come from outside.

use bytes::Bytes;
use skopeo_image::{Digest, MediaType, RawManifest, Which};

use crate::{ContentError, Error};

/// A manifest that has been compared with the digest it was asked for by.
pub(crate) fn checked(
    media_type: Option<MediaType>,
    bytes: impl Into<Bytes>,
    which: &Which,
) -> Result<RawManifest, Error> {
    let manifest = RawManifest::new(media_type, bytes.into());
    if let Which::Instance(digest) = which {
        check(&manifest, digest)?;
    }
    Ok(manifest)
}

/// Whether a manifest is the one that `digest` names.
pub(crate) fn check(manifest: &RawManifest, digest: &Digest) -> Result<(), Error> {
    if manifest.has_digest(digest)? {
        return Ok(());
    }
    Err(ContentError::ManifestMismatch(digest.clone()).into())
}
