//! Uploads: monolithic, chunked, resumed, mounted, cancelled.

use std::io;
use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Body as _;
use skopeo_image::{Algorithm, Digest};
use tokio::task::spawn_blocking;

use crate::body::Body;
use crate::body::request::RequestBody;
use crate::error::{ApiError, Code};
use crate::name::RepositoryName;
use crate::response::{Answer, digest, empty, error_response, query, set};
use crate::store::{Held, Layout, Upload};
use crate::{Inner, receive};

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
        move |inner| open(inner, &name, algorithm.unwrap_or(Algorithm::Sha256))
    });
    let upload = upload.await?;
    let Some(digest) = whole else {
        return Ok(progress(StatusCode::ACCEPTED, &name, &upload, 0));
    };
    // Nobody knows its id, so nobody could go on with it.
    let mut unknown = Unknown(Some((inner.clone(), upload.clone())));
    let held = hold(inner, &upload).await?;
    let done = complete(inner, &name, held, &digest, request.headers(), body, Broken::Ends).await;
    unknown.0 = None;
    done
}

/// Begins an upload.
fn open(
    inner: &Inner,
    name: &RepositoryName,
    algorithm: Algorithm,
) -> Result<Arc<Upload>, ApiError> {
    let layout = inner.store.create(name)?.layout;
    let upload = inner.store.uploads.begin(name, layout.clone(), algorithm);
    let upload = upload.inspect_err(|_| inner.store.remove_if_empty(&layout))?;
    // Another server may have found the repository empty just before.
    inner.store.keep(name, &layout).inspect_err(|_| inner.store.uploads.take_back(&upload))?;
    Ok(upload)
}

/// An upload whose id no client knows. It goes with the request, also if that is cut off.
struct Unknown(Option<(Arc<Inner>, Arc<Upload>)>);

impl Drop for Unknown {
    fn drop(&mut self) {
        let Some((inner, upload)) = self.0.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        // A piece may be on its way to the disk still.
        runtime.spawn(async move {
            if let Ok(Some(held)) = upload.hold(inner.store.deadline()).await {
                let ended = blocking(&inner, move |inner| end(inner, held)).await;
                if let Err(error) = ended {
                    tracing::warn!("removing an interrupted upload: {error:?}");
                }
            }
        });
    }
}

/// Removes an upload, and its repository if that holds nothing else.
fn end(inner: &Inner, held: Held) -> Result<(), ApiError> {
    let layout = held.upload().layout().clone();
    let ended = inner.store.uploads.end(held);
    inner.store.remove_if_empty(&layout);
    Ok(ended?)
}

/// PATCH: the next piece.
pub(crate) async fn append(
    inner: &Arc<Inner>,
    request: &Request<()>,
    name: RepositoryName,
    id: &str,
    body: &mut RequestBody,
) -> Answer {
    let held = hold(inner, &find(inner, &name, id).await?).await?;
    if !fits(request.headers(), &held)? {
        return Ok(gap(&name, held.upload(), held.size()));
    }
    let held = receive(inner, held, request.headers(), body, Broken::Stays).await?;
    Ok(progress(StatusCode::ACCEPTED, &name, held.upload(), held.size()))
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
    let held = hold(inner, &upload).await?;
    if !fits(request.headers(), &held)? {
        return Ok(gap(&name, &upload, held.size()));
    }
    complete(inner, &name, held, &digest, request.headers(), body, Broken::Stays).await
}

/// GET: how far an upload has come.
pub(crate) async fn status(inner: &Arc<Inner>, name: RepositoryName, id: &str) -> Answer {
    let held = hold(inner, &find(inner, &name, id).await?).await?;
    Ok(progress(StatusCode::NO_CONTENT, &name, held.upload(), held.size()))
}

/// DELETE: forgets an upload.
pub(crate) async fn cancel(inner: &Arc<Inner>, name: RepositoryName, id: &str) -> Answer {
    let held = hold(inner, &find(inner, &name, id).await?).await?;
    blocking(inner, move |inner| {
        end(inner, held)?;
        Ok(empty(StatusCode::NO_CONTENT))
    })
    .await
}

/// What becomes of an upload whose body breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// A client can go on from what has come.
    Stays,
    Ends,
}

/// Takes the rest of the body, proves the digest, gives the blob its place.
async fn complete(
    inner: &Arc<Inner>,
    name: &RepositoryName,
    held: Held,
    digest: &Digest,
    headers: &HeaderMap,
    body: &mut RequestBody,
    broken: Broken,
) -> Answer {
    let mut held = receive(inner, held, headers, body, broken).await?;
    let right = blocking(inner, {
        let digest = digest.clone();
        move |inner| {
            let right = held.finish(&digest);
            match right {
                Ok(true) => inner.store.uploads.end(held)?,
                // What could not be finished can be tried again, unless nobody knows it.
                Err(_) if broken == Broken::Stays => {}
                _ => end(inner, held)?,
            }
            Ok(right?)
        }
    });
    if !right.await? {
        return Err(ApiError::new(Code::DigestInvalid, digest.as_str()));
    }
    Ok(created(name, digest))
}

/// Appends the body to the upload.
async fn receive(
    inner: &Arc<Inner>,
    held: Held,
    headers: &HeaderMap,
    body: &mut RequestBody,
    broken: Broken,
) -> Result<Held, ApiError> {
    let (held, received) = match held.admits(content_length(headers).unwrap_or(0)) {
        Ok(()) if body.is_end_stream() => return Ok(held),
        Ok(()) => receive::receive(inner, held, body).await?,
        Err(refused) => (held, Err(refused.into())),
    };
    let Err(error) = received else { return Ok(held) };
    // What has come before the body broke stays, so that a client can go on from there. A blob that
    // is too large will never be one.
    if broken == Broken::Ends || error.code == Code::BlobTooLarge {
        blocking(inner, move |inner| end(inner, held)).await?;
    }
    Err(error)
}

/// Takes a blob from another repository. Whether it was there.
fn mount(
    inner: &Inner,
    name: &RepositoryName,
    digest: &Digest,
    from: Option<&str>,
) -> Result<bool, ApiError> {
    let mut source: Option<Arc<Layout>> = None;
    match from {
        Some(from) => {
            let from = RepositoryName::parse(from)
                .ok_or_else(|| ApiError::new(Code::NameInvalid, from))?;
            let found = inner.store.repository(&from)?.map(|found| found.layout);
            source = found.filter(|layout| layout.blob_size(digest).is_ok_and(|it| it.is_some()));
        }
        None => inner.store.each_layout(Some(&mut inner.store.count()), |_, layout| {
            source = layout.blob_size(digest)?.is_some().then(|| layout.clone());
            Ok(source.is_none())
        })?,
    }
    let Some(source) = source else { return Ok(false) };
    let target = inner.store.create(name)?.layout;
    let linked = target.link_blob(&source, digest);
    if !matches!(linked, Ok(true)) {
        inner.store.remove_if_empty(&target);
        return Ok(linked?);
    }
    inner.store.keep(name, &target)?;
    Ok(true)
}

async fn find(
    inner: &Arc<Inner>,
    name: &RepositoryName,
    id: &str,
) -> Result<Arc<Upload>, ApiError> {
    let (name, id) = (name.clone(), id.to_owned());
    blocking(inner, move |inner| {
        let layout = inner.store.repository(&name)?.map(|found| found.layout);
        let found = inner.store.uploads.find(&id, &name, layout.as_ref())?;
        Ok(found.ok_or(Code::BlobUploadUnknown)?)
    })
    .await
}

/// Waits until nobody else goes on with an upload, here or in another server over the folder.
async fn hold(inner: &Arc<Inner>, upload: &Arc<Upload>) -> Result<Held, ApiError> {
    match upload.hold(inner.store.deadline()).await? {
        Some(held) => Ok(held),
        None => {
            let upload = upload.clone();
            blocking(inner, move |inner| {
                inner.store.uploads.forget(&upload);
                inner.store.remove_if_empty(upload.layout());
                Err(Code::BlobUploadUnknown.into())
            })
            .await
        }
    }
}

async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce(&Inner) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let inner = inner.clone();
    spawn_blocking(move || work(&inner)).await.map_err(io::Error::other)?
}

/// Whether the piece that `Content-Range` announces begins where the upload ends.
fn fits(headers: &HeaderMap, held: &Held) -> Result<bool, ApiError> {
    let Some(value) = headers.get(header::CONTENT_RANGE) else { return Ok(true) };
    let wrong = || ApiError::new(Code::BlobUploadInvalid, "Content-Range is not \"first-last\"");
    let text = value.to_str().map_err(|_| wrong())?;
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let text = text.split('/').next().unwrap_or_default();
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let (first, last) = (number(first)?, number(last)?);
    let length = content_length(headers);
    // An empty piece can only be written as 0-0, which would otherwise be one byte.
    let announced = last.checked_sub(first).map(|length| length.saturating_add(1));
    if length.is_some_and(|length| length > 0 && announced != Some(length)) {
        return Err(ApiError::new(Code::SizeInvalid, "Content-Range and Content-Length differ"));
    }
    Ok(first == held.size())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
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
