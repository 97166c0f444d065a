//! What all handlers take out of requests and put into answers.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use skopeo_image::{Digest, MediaType};

use crate::body::Body;
use crate::error::{ApiError, Code};
use crate::store::is_manifest_type;

/// What every handler gives back.
pub(crate) type Answer = Result<Response<Body>, ApiError>;

/// The answer that an error is.
pub(crate) fn error_response(error: &ApiError) -> Response<Body> {
    let mut response = Response::new(Body::of_bytes(error.body()));
    *response.status_mut() = error.status();
    set(&mut response, header::CONTENT_TYPE, "application/json");
    if let Code::Busy | Code::TooManyRequests = error.code {
        set(&mut response, header::RETRY_AFTER, "1");
    }
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        set(&mut response, header::CONTENT_LENGTH, "0");
    }
    response
}

/// Sets a header to a value made of checked parts.
pub(crate) fn set(
    response: &mut Response<Body>,
    name: impl header::IntoHeaderName,
    value: impl AsRef<str>,
) {
    if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
        response.headers_mut().insert(name, value);
    }
}

/// The value of a query parameter, decoded.
pub(crate) fn query(request: &Request<()>, key: &str) -> Option<String> {
    request.uri().query()?.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace('+', " ");
        (name == key).then(|| percent_decode_str(&value).decode_utf8_lossy().into_owned())
    })
}

/// A digest out of a path or query.
pub(crate) fn digest(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|error| ApiError::new(Code::DigestInvalid, format!("{error}")))
}

/// Whether a conditional header names this digest.
pub(crate) fn matches(headers: &HeaderMap, name: header::HeaderName, digest: &Digest) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value
        .split(',')
        .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|tag| tag == digest.as_str())
}

/// A digest as an entity tag.
pub(crate) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Sets what every answer has: whatever is stored here, a browser must not run it.
pub(crate) fn seal(response: &mut Response<Body>) {
    set(response, "docker-distribution-api-version", "registry/2.0");
    set(response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(
        response,
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; sandbox",
    );
    let headers = response.headers_mut();
    if headers.get(header::CONTENT_TYPE).is_some_and(|value| !is_served(value)) {
        let plain = HeaderValue::from_static("application/octet-stream");
        headers.insert(header::CONTENT_TYPE, plain);
    }
}

/// Whether answers have this type: ours, and those of manifests that we know.
fn is_served(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| {
        ["application/json", "application/octet-stream"].contains(&text)
            || is_manifest_type(&MediaType::from(text))
    })
}
