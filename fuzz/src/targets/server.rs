//! Requests to our own registry.

use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use skopeo_image::Digest;
use skopeo_server::{Durability, Registry, ServerOptions};

use super::image::runtime;
use super::images::replaced;

/// No input has more requests.
const MOST_REQUESTS: usize = 12;

/// Requests in a row, with zeros between them: method and path, headers, an empty line, a body. `$D`
/// stands for the digest of the body, `$L` for where the last answer leads. Nothing is a fault of the
/// server, what is given out is what its name says, and nothing is written beside the folder.
pub(super) fn requests(data: &[u8]) {
    let around = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let root = around.path().join("root");
    fs_err::create_dir(&root).expect("a folder in it");
    let mut options = ServerOptions::new(&root);
    options.durability = Durability::Kill;
    let registry = Registry::open(options).expect("a folder to serve");
    runtime().block_on(async {
        let mut location = String::new();
        for request in data.split(|byte| *byte == 0).take(MOST_REQUESTS) {
            let Some(request) = request_of(request, &location) else { continue };
            if let Some(next) = ask(&registry, request).await {
                location = next;
            }
        }
    });
    assert_eq!(names(around.path()), ["root"]);
}

fn request_of(bytes: &[u8], location: &str) -> Option<Request<Full<Bytes>>> {
    let split = bytes.windows(2).position(|window| window == b"\n\n");
    let (head, body) = match split {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &[][..]),
    };
    let head = replaced(head, b"$L", location.as_bytes());
    let head = replaced(&head, b"$D", Digest::sha256(body).as_str().as_bytes());
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = std::str::from_utf8(lines.next()?).ok()?;
    let (method, path) = line.split_once(' ')?;
    let mut request = Request::builder().method(Method::try_from(method).ok()?).uri(path);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    request.body(Full::new(Bytes::copy_from_slice(body))).ok()
}

/// Asks, judges the answer, and says where it leads.
async fn ask(registry: &Registry, request: Request<Full<Bytes>>) -> Option<String> {
    let asked = format!("{} {}", request.method(), request.uri());
    let is_get = request.method() == Method::GET;
    let is_part = request.headers().contains_key(header::RANGE);
    let path = request.uri().path().to_owned();
    let response = registry.respond(request).await;
    let (head, body) = response.into_parts();
    assert_ne!(head.status, StatusCode::INTERNAL_SERVER_ERROR, "{asked}");
    let body = body.collect().await.expect("a whole body").to_bytes();
    if is_get && head.status == StatusCode::OK && !is_part {
        check(&asked, &path, &head.headers, &body);
    }
    let location = head.headers.get(header::LOCATION)?.to_str().ok()?;
    Some(location.to_owned())
}

fn check(asked: &str, path: &str, headers: &HeaderMap, body: &[u8]) {
    let is_content = path.contains("/blobs/") || path.contains("/manifests/");
    let last = path.rsplit('/').next().unwrap_or_default();
    if let Ok(digest) = last.parse::<Digest>()
        && is_content
    {
        assert_eq!(Digest::of(digest.algorithm(), body), digest, "{asked}");
    }
    let said = headers.get("docker-content-digest").and_then(|said| said.to_str().ok());
    if let Some(said) = said.and_then(|said| said.parse::<Digest>().ok())
        && is_content
    {
        assert_eq!(Digest::of(said.algorithm(), body), said, "{asked}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).expect("the folder");
    let name = |entry: std::io::Result<fs_err::DirEntry>| {
        entry.expect("an entry").file_name().to_string_lossy().into_owned()
    };
    entries.map(name).collect()
}
