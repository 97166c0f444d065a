//! The distribution API 1.1: one table of path and method, and the order of checks before it.

use http::{Method, Request, Response, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use skopeo_image::Digest;
use tokio::task::spawn_blocking;

use crate::body::request::RequestBody;
use crate::body::{Body, Reserved};
use crate::error::{ApiError, Code};
use crate::memory::Use;
use crate::name::RepositoryName;
use crate::response::{Answer, digest, set};
use crate::{Inner, blobs, listing, manifests, uploads};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Version,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(RepositoryName),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(RepositoryName, String),
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepositoryName, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(RepositoryName, String),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepositoryName, Digest),
}

impl Route {
    /// Reads a path. Its parts are checked here, before anybody looks at a file.
    pub(crate) fn parse(path: &str) -> Result<Self, ApiError> {
        let rest = match path.strip_prefix("/v2") {
            Some("" | "/") => return Ok(Self::Version),
            Some(rest) => rest.strip_prefix('/').ok_or(Code::NotFound)?,
            None => return Err(Code::NotFound.into()),
        };
        let mut parts = Vec::new();
        for part in rest.split('/') {
            let decoded = percent_decode_str(part).decode_utf8().map_err(|_| Code::NotFound)?;
            parts.push(decoded.into_owned());
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["_catalog"] => Ok(Self::Catalog),
            [name @ .., "tags", "list"] => Ok(Self::Tags(repository(name)?)),
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
                Ok(Self::Uploads(repository(name)?))
            }
            [name @ .., "blobs", "uploads", id] => {
                Ok(Self::Upload(repository(name)?, (*id).to_owned()))
            }
            [name @ .., "manifests", reference] => {
                Ok(Self::Manifest(repository(name)?, (*reference).to_owned()))
            }
            [name @ .., "blobs", text] => Ok(Self::Blob(repository(name)?, digest(text)?)),
            [name @ .., "referrers", text] => Ok(Self::Referrers(repository(name)?, digest(text)?)),
            _ => Err(Code::NotFound.into()),
        }
    }
}

impl Route {
    /// What one would have to be allowed, as distribution's registry tells it in a 401. Clients of
    /// Go's older libraries say "authentication required" only if this is there.
    pub(crate) fn access(&self, method: &Method) -> Value {
        let one = |kind: &str, name: &str, action: &str| json!({"Type": kind, "Class": "", "Name": name, "Action": action});
        let name = match self {
            Self::Version => return Value::Null,
            Self::Catalog => return json!([one("registry", "catalog", "*")]),
            Self::Tags(name)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Referrers(name, _) => name.as_str(),
        };
        let actions: &[&str] = match *method {
            Method::GET | Method::HEAD => &["pull"],
            Method::DELETE => &["delete"],
            _ => &["pull", "push"],
        };
        actions.iter().map(|action| one("repository", name, action)).collect()
    }
}

/// Answers a request that has been let in.
pub(crate) async fn dispatch(
    inner: &std::sync::Arc<Inner>,
    request: Request<()>,
    body: &mut RequestBody,
) -> Answer {
    let route = Route::parse(request.uri().path())?;
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    if inner.read_only && !reading {
        return Err(ApiError::new(Code::Unsupported, "this registry is read-only"));
    }
    match (request.method(), route) {
        (&Method::PUT, Route::Manifest(name, reference)) => {
            manifests::put(inner, &request, name, reference, body).await
        }
        (&Method::POST, Route::Uploads(name)) => uploads::begin(inner, &request, name, body).await,
        (&Method::PATCH, Route::Upload(name, id)) => {
            uploads::append(inner, &request, name, &id, body).await
        }
        (&Method::PUT, Route::Upload(name, id)) => {
            uploads::finish(inner, &request, name, &id, body).await
        }
        (&Method::GET | &Method::HEAD, Route::Upload(name, id)) => {
            uploads::status(inner, name, &id).await
        }
        (&Method::DELETE, Route::Upload(name, id)) => uploads::cancel(inner, name, &id).await,
        (&Method::DELETE, Route::Manifest(name, reference)) => {
            manifests::delete(inner, name, &reference).await
        }
        (&Method::DELETE, Route::Blob(name, digest)) => blobs::delete(inner, name, digest).await,
        (&Method::GET, Route::Referrers(name, subject)) => {
            referrers(inner, request, name, subject).await
        }
        (_, route) => {
            // What is read whole is in memory: few at once do that.
            let whole = !matches!(route, Route::Blob(..) | Route::Version);
            let turn = if whole { inner.reading.clone().acquire_owned().await.ok() } else { None };
            let inner = inner.clone();
            let answer = move || {
                let _turn = turn;
                at_once(&inner, &request, &route)
            };
            spawn_blocking(answer)
                .await
                .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
        }
    }
}

/// Lists referrers when it is its turn, and when there is memory for the largest such answer.
async fn referrers(
    inner: &std::sync::Arc<Inner>,
    request: Request<()>,
    name: RepositoryName,
    subject: Digest,
) -> Answer {
    let turn = inner.referring.clone().acquire_owned().await.ok();
    let crate::Limits { memory, patience, .. } = &inner.limits;
    let room = memory.room(Use::Answer, listing::MAX_REFERRERS, *patience).await;
    let room = Reserved::new(room.ok_or(Code::Busy)?);
    let inner = inner.clone();
    let answer = move || {
        let _turn = turn;
        let mut response = listing::referrers(&inner.store, &request, &name, &subject)?;
        response.extensions_mut().insert(room);
        Ok(response)
    };
    spawn_blocking(answer).await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
}

/// What needs no body and no waiting, only files.
fn at_once(inner: &Inner, request: &Request<()>, route: &Route) -> Answer {
    let store = &inner.store;
    match (request.method(), route) {
        (&Method::GET | &Method::HEAD, Route::Version) => {
            let mut response = Response::new(Body::of_bytes("{}"));
            set(&mut response, header::CONTENT_TYPE, "application/json");
            Ok(response)
        }
        (&Method::GET, Route::Catalog) => listing::catalog(store, request),
        (&Method::GET, Route::Tags(name)) => listing::tags(store, request, name),
        (&Method::GET | &Method::HEAD, Route::Manifest(name, reference)) => {
            manifests::get(store, request, name, reference)
        }
        (&Method::GET | &Method::HEAD, Route::Blob(name, digest)) => {
            blobs::get(store, request, name, digest)
        }
        _ => Err(Code::Unsupported.into()),
    }
}

fn repository(parts: &[&str]) -> Result<RepositoryName, ApiError> {
    let name = parts.join("/");
    RepositoryName::parse(&name).ok_or_else(|| ApiError::new(Code::NameInvalid, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let name = |text| RepositoryName::parse(text).unwrap();
        let digest = Digest::sha256(b"");
        let hex = digest.hex();
        for (path, expected) in [
            ("/v2".into(), Ok(Route::Version)),
            ("/v2/".into(), Ok(Route::Version)),
            ("/v2/_catalog".into(), Ok(Route::Catalog)),
            ("/v2/a/tags/list".into(), Ok(Route::Tags(name("a")))),
            ("/v2/tags/list/tags/list".into(), Ok(Route::Tags(name("tags/list")))),
            ("/v2/a/b/manifests/v1".into(), Ok(Route::Manifest(name("a/b"), "v1".into()))),
            (
                "/v2/a/manifests/manifests/x".into(),
                Ok(Route::Manifest(name("a/manifests"), "x".into())),
            ),
            (format!("/v2/a/blobs/sha256:{hex}"), Ok(Route::Blob(name("a"), digest.clone()))),
            (format!("/v2/a/blobs/sha256%3A{hex}"), Ok(Route::Blob(name("a"), digest.clone()))),
            (format!("/v2/a/referrers/{digest}"), Ok(Route::Referrers(name("a"), digest.clone()))),
            ("/v2/a/blobs/uploads".into(), Ok(Route::Uploads(name("a")))),
            ("/v2/a/blobs/uploads/".into(), Ok(Route::Uploads(name("a")))),
            ("/v2/a/blobs/uploads/1".into(), Ok(Route::Upload(name("a"), "1".into()))),
            ("/".into(), Err(Code::NotFound)),
            ("/v1/x".into(), Err(Code::NotFound)),
            ("/v2x/_catalog".into(), Err(Code::NotFound)),
            ("/v2/a".into(), Err(Code::NotFound)),
            ("/v2/../a/manifests/x".into(), Err(Code::NameInvalid)),
            ("/v2/%2e%2e/manifests/x".into(), Err(Code::NameInvalid)),
            ("/v2/a%2Fb/manifests/x".into(), Ok(Route::Manifest(name("a/b"), "x".into()))),
            ("/v2/a%2F..%2Fb/manifests/x".into(), Err(Code::NameInvalid)),
            ("/v2/%ff/manifests/x".into(), Err(Code::NotFound)),
            ("/v2//manifests/x".into(), Err(Code::NameInvalid)),
            ("/v2/A/manifests/x".into(), Err(Code::NameInvalid)),
            ("/v2/a/blobs/sha256:..".into(), Err(Code::DigestInvalid)),
            ("/v2/a/blobs/..%2f..%2fetc".into(), Err(Code::DigestInvalid)),
        ] {
            let path: String = path;
            assert_eq!(Route::parse(&path).map_err(|error| error.code), expected, "{path}");
        }
    }
}
