//! Headers that answers to several kinds of requests have.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName};
use skopeo_image::MediaType;

/// The digest of what is answered with.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What registries say of themselves, and are told.
pub(crate) const API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");

/// Returns the type without its parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<MediaType> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let bare = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!bare.is_empty()).then(|| bare.into())
}
