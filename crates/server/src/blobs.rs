//! Blobs: get, head, ranges, delete.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use skopeo_image::Digest;

use crate::Inner;
use crate::body::Body;
use crate::error::{ApiError, Code};
use crate::manifests::find;
use crate::name::RepositoryName;
use crate::response::{Answer, empty, error_response, etag, matches, set};
use crate::store::{Hold, Repository, Store};

/// What part of a blob is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    All,
    /// The first byte and the byte after the last.
    Of(u64, u64),
    /// Nothing of it is there.
    None,
}

/// GET and HEAD of a blob.
pub(crate) fn get(
    store: &Store,
    request: &Request<()>,
    name: &RepositoryName,
    digest: &Digest,
) -> Answer {
    let repository = store.repository(name)?.ok_or_else(|| unknown(digest))?;
    let blob = repository.layout.blob(digest)?.ok_or_else(|| unknown(digest))?;
    let size = blob.size;
    if matches(request.headers(), header::IF_NONE_MATCH, digest) {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        set(&mut response, header::ETAG, etag(digest));
        return Ok(response);
    }
    let (from, to, status) = match part(request, digest, size) {
        Part::All => (0, size, StatusCode::OK),
        Part::Of(from, to) => (from, to, StatusCode::PARTIAL_CONTENT),
        Part::None => {
            let error = ApiError::from(Code::RangeInvalid);
            let mut response = error_response(&error);
            set(&mut response, header::CONTENT_RANGE, format!("bytes */{size}"));
            return Ok(response);
        }
    };
    let head = request.method() == Method::HEAD;
    let body = if head { Body::empty() } else { blob.part(from, to)? };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    set(&mut response, header::CONTENT_LENGTH, to.saturating_sub(from).to_string());
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::ETAG, etag(digest));
    set(&mut response, header::CACHE_CONTROL, "max-age=31536000");
    set(&mut response, "docker-content-digest", digest.as_str());
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{size}", to.saturating_sub(1));
        set(&mut response, header::CONTENT_RANGE, range);
    }
    Ok(response)
}

/// DELETE of a blob.
pub(crate) async fn delete(inner: &Arc<Inner>, name: RepositoryName, digest: Digest) -> Answer {
    let repository = find(inner, name).await?.ok_or_else(|| unknown(&digest))?;
    let wanted = digest.clone();
    let delete = move |repository: &Repository, hold: &Hold| repository.delete_blob(hold, &wanted);
    if inner.store.edit(repository, delete).await? != Some(true) {
        return Err(unknown(&digest));
    }
    let mut response = empty(StatusCode::ACCEPTED);
    set(&mut response, "docker-content-digest", digest.as_str());
    Ok(response)
}

fn unknown(digest: &Digest) -> ApiError {
    ApiError::new(Code::BlobUnknown, digest.as_str())
}

fn part(request: &Request<()>, digest: &Digest, size: u64) -> Part {
    let headers = request.headers();
    let value = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Some(range) = value.filter(|_| *request.method() == Method::GET) else { return Part::All };
    if headers.contains_key(header::IF_RANGE) && !matches(headers, header::IF_RANGE, digest) {
        return Part::All;
    }
    parse_range(range, size)
}

/// Reads one range (RFC 9110, 14.1.2). Several at once, or another unit, are answered with all, as
/// the RFC allows.
fn parse_range(text: &str, size: u64) -> Part {
    let range = text.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'));
    let Some((first, last)) = range else { return Part::All };
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    match (first, last) {
        ("", last) => match number(last) {
            Some(0) => Part::None,
            Some(_) if size == 0 => Part::None,
            Some(count) => Part::Of(size.saturating_sub(count), size),
            None => Part::All,
        },
        (first, last) => match (number(first), last, number(last)) {
            (Some(first), "", _) if first < size => Part::Of(first, size),
            (Some(first), _, Some(last)) if last < first => Part::All,
            (Some(first), _, Some(last)) if first < size => {
                Part::Of(first, last.saturating_add(1).min(size))
            }
            (Some(_), "", _) | (Some(_), _, Some(_)) => Part::None,
            _ => Part::All,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, size, expected) in [
            ("bytes=0-9", 100, Part::Of(0, 10)),
            ("bytes=90-", 100, Part::Of(90, 100)),
            ("bytes=90-200", 100, Part::Of(90, 100)),
            ("bytes=-10", 100, Part::Of(90, 100)),
            ("bytes=-200", 100, Part::Of(0, 100)),
            ("bytes=99-99", 100, Part::Of(99, 100)),
            ("bytes=100-", 100, Part::None),
            ("bytes=100-101", 100, Part::None),
            ("bytes=-0", 100, Part::None),
            ("bytes=0-", 0, Part::None),
            ("bytes=0-18446744073709551615", 100, Part::Of(0, 100)),
            ("bytes=5-2", 100, Part::All), // not valid, so ignored
            ("bytes=0-1,5-6", 100, Part::All),
            ("lines=1-2", 100, Part::All),
            ("bytes=a-b", 100, Part::All),
            ("bytes=+1-2", 100, Part::All),
            ("bytes=", 100, Part::All),
        ] {
            assert_eq!(parse_range(text, size), expected, "{text} of {size}");
        }
    }
}
