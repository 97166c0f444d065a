//! Manifests as they come from files.

use bytes::Bytes;
use serde::Deserialize;
use skopeo_image::{Digest, MediaType, RawManifest, Which};

use crate::Error;

/// A manifest that has been compared with the digest it was asked for by.
pub(crate) fn checked(
    media_type: Option<MediaType>,
    bytes: Vec<u8>,
    which: &Which,
) -> Result<RawManifest, Error> {
    let manifest = raw(media_type, bytes);
    match which {
        Which::Instance(digest) if Digest::of(digest.algorithm(), &manifest.bytes) != *digest => {
            Err(Error::ManifestMismatch(digest.clone()))
        }
        _ => Ok(manifest),
    }
}

fn raw(media_type: Option<MediaType>, bytes: Vec<u8>) -> RawManifest {
    #[derive(Deserialize)]
    struct Declared {
        #[serde(rename = "mediaType", default)]
        media_type: MediaType,
    }
    let media_type = media_type.filter(|media_type| !media_type.is_empty()).unwrap_or_else(|| {
        serde_json::from_slice(&bytes)
            .map_or_else(|_| MediaType::default(), |d: Declared| d.media_type)
    });
    RawManifest { media_type, bytes: Bytes::from(bytes) }
}
