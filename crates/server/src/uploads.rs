//! Uploads: monolithic, chunked, resumed, mounted, cancelled.

use std::io;
use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use skopeo_image::{Algorithm, Digest};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::Inner;
use crate::body::Body;
use crate::error::{ApiError, Code};
use crate::name::RepositoryName;
use crate::routes::{Answer, RequestBody, digest, empty, error_response, query, set};
use crate::store::{Layout, Upload, UploadState};

/// How many pieces may wait for the disk.
const WAITING_PIECES: usize = 8;

/// POST: begins an upload, or is one whole with `?digest=`, or mounts with `?mount=`.
pub(crate) async fn begin(
    inner: &Arc<Inner>,
    request: &Request<()>,
    name: RepositoryName,
    body: &mut RequestBody,
) -> Answer {
    if let Some(text) = query(request, "mount") {
        let wanted = digest(&text)?;
        let from = query(request, "from").filter(|from| !from.is_empty());
        let mounted = blocking(inner, {
            let (name, wanted) = (name.clone(), wanted.clone());
            move |inner| mount(inner, &name, &wanted, from.as_deref())
        });
        if mounted.await? {
            return Ok(created(&name, &wanted));
        }
    }
    let whole = query(request, "digest").map(|text| digest(&text)).transpose()?;
    let algorithm = query(request, "digest-algorithm").and_then(|text| text.parse().ok());
    let algorithm = whole.as_ref().map(Digest::algorithm).or(algorithm);
    let upload = blocking(inner, {
        let name = name.clone();
        move |inner| {
            let layout = inner.store.create(&name)?.layout;
            let algorithm = algorithm.unwrap_or(Algorithm::Sha256);
            Ok(inner.store.uploads.begin(&name, layout, algorithm)?)
        }
    });
    let upload = upload.await?;
    match whole {
        Some(digest) => {
            let done = complete(inner, &name, &upload, upload.hold().await, &digest, body).await;
            if done.is_err() {
                // Nobody knows its id, so nobody can go on with it.
                blocking(inner, move |inner| {
                    inner.store.uploads.end(&upload);
                    Ok(())
                })
                .await?;
            }
            done
        }
        None => Ok(progress(StatusCode::ACCEPTED, &name, &upload, 0)),
    }
}

/// PATCH: the next piece.
pub(crate) async fn append(
    inner: &Arc<Inner>,
    request: &Request<()>,
    name: RepositoryName,
    id: &str,
    body: &mut RequestBody,
) -> Answer {
    let upload = find(inner, &name, id).await?;
    let state = upload.hold().await;
    if !fits(request.headers(), &state)? {
        return Ok(gap(&name, &upload, state.size()));
    }
    let state = receive(inner, state, body).await?;
    Ok(progress(StatusCode::ACCEPTED, &name, &upload, state.size()))
}

/// PUT: the last piece, which may be empty, and the digest.
pub(crate) async fn finish(
    inner: &Arc<Inner>,
    request: &Request<()>,
    name: RepositoryName,
    id: &str,
    body: &mut RequestBody,
) -> Answer {
    let upload = find(inner, &name, id).await?;
    let text = query(request, "digest");
    let text = text.ok_or_else(|| ApiError::new(Code::DigestInvalid, "digest missing"))?;
    let digest = digest(&text)?;
    let state = upload.hold().await;
    if !fits(request.headers(), &state)? {
        return Ok(gap(&name, &upload, state.size()));
    }
    complete(inner, &name, &upload, state, &digest, body).await
}

/// GET: how far an upload has come.
pub(crate) async fn status(inner: &Arc<Inner>, name: RepositoryName, id: &str) -> Answer {
    let upload = find(inner, &name, id).await?;
    let size = upload.hold().await.size();
    Ok(progress(StatusCode::NO_CONTENT, &name, &upload, size))
}

/// DELETE: forgets an upload.
pub(crate) async fn cancel(inner: &Arc<Inner>, name: RepositoryName, id: &str) -> Answer {
    let upload = find(inner, &name, id).await?;
    let _state = upload.hold().await;
    blocking(inner, move |inner| {
        inner.store.uploads.end(&upload);
        Ok(empty(StatusCode::NO_CONTENT))
    })
    .await
}

/// Takes the rest of the body, proves the digest, gives the blob its place.
async fn complete(
    inner: &Arc<Inner>,
    name: &RepositoryName,
    upload: &Arc<Upload>,
    state: OwnedMutexGuard<UploadState>,
    digest: &Digest,
    body: &mut RequestBody,
) -> Answer {
    let mut state = receive(inner, state, body).await?;
    let right = blocking(inner, {
        let (upload, digest) = (upload.clone(), digest.clone());
        move |inner| {
            let right = upload.finish(&mut state, &digest);
            inner.store.uploads.end(&upload);
            Ok(right?)
        }
    });
    if !right.await? {
        return Err(ApiError::new(Code::DigestInvalid, digest.as_str()));
    }
    Ok(created(name, digest))
}

/// Appends the body to the upload. What has come before the body broke stays, so that a client can
/// go on from there.
async fn receive(
    inner: &Arc<Inner>,
    mut state: OwnedMutexGuard<UploadState>,
    body: &mut RequestBody,
) -> Result<OwnedMutexGuard<UploadState>, ApiError> {
    if body.is_end_stream() {
        return Ok(state);
    }
    let _permit = inner.receivers.acquire().await.map_err(io::Error::other)?;
    let (pieces, mut waiting) = mpsc::channel::<bytes::Bytes>(WAITING_PIECES);
    // The writer owns the state: it stays true even if the client goes and this future with it.
    let writer = spawn_blocking(move || {
        let mut appender = state.appender()?;
        while let Some(piece) = waiting.blocking_recv() {
            appender.append(&piece)?;
        }
        drop(appender);
        io::Result::Ok(state)
    });
    let received = loop {
        match timeout(inner.limits.idle, body.frame()).await {
            Ok(None) => break Ok(()),
            Ok(Some(Ok(frame))) => {
                let Ok(piece) = frame.into_data() else { continue };
                if pieces.send(piece).await.is_err() {
                    break Ok(()); // The writer says why.
                }
            }
            Ok(Some(Err(error))) => {
                break Err(ApiError::new(Code::BlobUploadInvalid, error.to_string()));
            }
            Err(_) => break Err(Code::Timeout.into()),
        }
    };
    drop(pieces);
    let state = writer.await.map_err(io::Error::other)??;
    received.map(|()| state)
}

/// Takes a blob from another repository. Whether it was there.
fn mount(
    inner: &Inner,
    name: &RepositoryName,
    digest: &Digest,
    from: Option<&str>,
) -> Result<bool, ApiError> {
    let sources: Vec<Arc<Layout>> = match from {
        Some(from) => {
            let from = RepositoryName::parse(from)
                .ok_or_else(|| ApiError::new(Code::NameInvalid, from))?;
            inner.store.repository(&from)?.map(|found| found.layout).into_iter().collect()
        }
        None => inner.store.layouts()?,
    };
    for source in sources {
        if source.blob_size(digest)?.is_some() {
            let target = inner.store.create(name)?.layout;
            return Ok(target.link_blob(&source, digest)?);
        }
    }
    Ok(false)
}

async fn find(
    inner: &Arc<Inner>,
    name: &RepositoryName,
    id: &str,
) -> Result<Arc<Upload>, ApiError> {
    let (name, id) = (name.clone(), id.to_owned());
    blocking(inner, move |inner| {
        let layout = inner.store.repository(&name)?.map(|found| found.layout);
        let found = inner.store.uploads.find(&id, &name, layout.as_ref());
        Ok(found.ok_or(Code::BlobUploadUnknown)?)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce(&Inner) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let inner = inner.clone();
    spawn_blocking(move || work(&inner)).await.map_err(io::Error::other)?
}

/// Whether the piece that `Content-Range` announces begins where the upload ends.
fn fits(headers: &HeaderMap, state: &UploadState) -> Result<bool, ApiError> {
    let Some(value) = headers.get(header::CONTENT_RANGE) else { return Ok(true) };
    let wrong = || ApiError::new(Code::BlobUploadInvalid, "Content-Range is not \"first-last\"");
    let text = value.to_str().map_err(|_| wrong())?;
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let text = text.split('/').next().unwrap_or_default();
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let (first, last) = (number(first)?, number(last)?);
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = length.and_then(|text| text.parse::<u64>().ok());
    // An empty piece can only be written as 0-0, which would otherwise be one byte.
    let announced = last.checked_sub(first).map(|length| length.saturating_add(1));
    if length.is_some_and(|length| length > 0 && announced != Some(length)) {
        return Err(ApiError::new(Code::SizeInvalid, "Content-Range and Content-Length differ"));
    }
    Ok(first == state.size())
}

fn gap(name: &RepositoryName, upload: &Upload, size: u64) -> Response<Body> {
    let mut response = error_response(&Code::RangeInvalid.into());
    describe(&mut response, name, upload, size);
    response
}

fn progress(
    status: StatusCode,
    name: &RepositoryName,
    upload: &Upload,
    size: u64,
) -> Response<Body> {
    let mut response = empty(status);
    describe(&mut response, name, upload, size);
    response
}

fn describe(response: &mut Response<Body>, name: &RepositoryName, upload: &Upload, size: u64) {
    let id = upload.id();
    set(response, header::LOCATION, format!("/v2/{name}/blobs/uploads/{id}"));
    set(response, header::RANGE, format!("0-{}", size.saturating_sub(1)));
    set(response, "docker-upload-uuid", id);
}

fn created(name: &RepositoryName, digest: &Digest) -> Response<Body> {
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, header::LOCATION, format!("/v2/{name}/blobs/{digest}"));
    set(&mut response, "docker-content-digest", digest.as_str());
    response
}
