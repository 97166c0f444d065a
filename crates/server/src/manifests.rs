//! Manifests: get, head, put, delete.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use skopeo_image::MediaType;
use skopeo_image::manifest::MAX_MANIFEST_SIZE;
use skopeo_image::number::narrow;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::body::Body;
use crate::body::request::RequestBody;
use crate::error::{ApiError, Code};
use crate::memory::{Part, Use};
use crate::name::{RepositoryName, is_tag};
use crate::response::{Answer, digest, empty, etag, matches, set};
use crate::store::{Checked, Hold, Repository, Store, Target};
use crate::{Inner, Limits};

/// Manifests of up to so many bytes are not counted: the share of connections is enough for them.
const SMALL: usize = 16 * 1024;

/// About how many bytes a manifest takes for each byte of its text, with what is read of it.
/// Measured by `a_large_manifest_takes_what_is_counted` with as many descriptors as 4 MiB have, as
/// what the process had at most: 2.3 (schema 1), 3.0 (layers), 3.5 (instances).
const READ: usize = 4;

/// GET and HEAD of a manifest.
pub(crate) fn get(
    store: &Store,
    request: &Request<()>,
    name: &RepositoryName,
    reference: &str,
) -> Answer {
    let unknown = || ApiError::new(Code::ManifestUnknown, format!("{name}: unknown {reference}"));
    // What cannot be a tag is not there: the conformance suite asks for a 404.
    let target = parse(reference, Code::ManifestUnknown)?;
    let repository = store.repository(name)?.ok_or_else(unknown)?;
    let manifest = repository.manifest(&target)?.ok_or_else(unknown)?;
    let unchanged = matches(request.headers(), header::IF_NONE_MATCH, &manifest.digest);
    let mut response = if unchanged {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let size = manifest.bytes.size();
        let head = request.method() == Method::HEAD;
        let body = if head { Body::empty() } else { manifest.bytes.into_body()? };
        let mut response = Response::new(body);
        set(&mut response, header::CONTENT_LENGTH, size.to_string());
        set(&mut response, header::CONTENT_TYPE, manifest.media_type.as_str());
        response
    };
    set(&mut response, "docker-content-digest", manifest.digest.as_str());
    set(&mut response, header::ETAG, etag(&manifest.digest));
    Ok(response)
}

/// PUT of a manifest.
pub(crate) async fn put(
    inner: &Arc<Inner>,
    request: &Request<()>,
    name: RepositoryName,
    reference: String,
    body: &mut RequestBody,
) -> Answer {
    let target = parse(&reference, Code::TagInvalid)?;
    let bytes = read(&inner.limits, body);
    let (bytes, _room) = timeout(inner.limits.idle, bytes).await.map_err(|_| Code::Timeout)??;
    let bytes = Bytes::from(bytes);
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).map(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        MediaType::from(essence)
    });
    let wanted = {
        let store = inner.store.clone();
        let check = move || {
            let checked =
                store.in_turn(bytes.len(), || Checked::of(&target, content_type, &bytes))??;
            Ok::<_, ApiError>((target, checked, bytes))
        };
        Arc::new(spawn_blocking(check).await.map_err(io::Error::other)??)
    };
    let put = loop {
        let repository = find_or_create(inner, &name, &wanted).await?;
        let wanted = wanted.clone();
        let put = inner.store.edit(repository, move |repository, hold| {
            let (target, checked, bytes) = &*wanted;
            repository.put(hold, target, checked, bytes)
        });
        // A repository that holds nothing may go while its lock is waited for.
        if let Some(put) = put.await? {
            break put;
        }
    };
    let mut response = empty(StatusCode::CREATED);
    let location = format!("/v2/{name}/manifests/{}", put.digest);
    set(&mut response, header::LOCATION, location);
    set(&mut response, "docker-content-digest", put.digest.as_str());
    if let Some(subject) = put.subject {
        set(&mut response, "oci-subject", subject.as_str());
    }
    Ok(response)
}

/// The repository that a manifest is put into. What is refused makes none: where there is none yet,
/// there is nothing that a manifest could need.
async fn find_or_create(
    inner: &Arc<Inner>,
    name: &RepositoryName,
    wanted: &Arc<(Target, Checked, Bytes)>,
) -> Result<Repository, ApiError> {
    let (inner, name, wanted) = (inner.clone(), name.clone(), wanted.clone());
    let found = move || {
        if let Some(repository) = inner.store.repository(&name)? {
            return Ok(repository);
        }
        match wanted.1.needed() {
            Some(digest) => Err(ApiError::new(Code::ManifestBlobUnknown, digest.as_str())),
            None => inner.store.create(&name),
        }
    };
    spawn_blocking(found).await.map_err(io::Error::other)?
}

/// DELETE of a tag, or of a manifest with its tags.
pub(crate) async fn delete(inner: &Arc<Inner>, name: RepositoryName, reference: &str) -> Answer {
    let unknown = ApiError::new(Code::ManifestUnknown, format!("{name}: unknown {reference}"));
    let target = parse(reference, Code::ManifestUnknown)?;
    let Some(repository) = find(inner, name).await? else { return Err(unknown) };
    let delete = move |repository: &Repository, hold: &Hold| repository.delete(hold, &target);
    let deleted = inner.store.edit(repository, delete).await?;
    if deleted == Some(true) { Ok(empty(StatusCode::ACCEPTED)) } else { Err(unknown) }
}

/// The repository of this name, looked for on a thread that may wait for the disk.
pub(crate) async fn find(
    inner: &Arc<Inner>,
    name: RepositoryName,
) -> Result<Option<Repository>, ApiError> {
    let inner = inner.clone();
    let found = spawn_blocking(move || inner.store.repository(&name));
    Ok(found.await.map_err(io::Error::other)??)
}

/// Reads a manifest. There must be memory for a large one, for all of it at once: who has some and
/// waits for more holds up others.
async fn read(
    limits: &Limits,
    body: &mut RequestBody,
) -> Result<(Vec<u8>, Option<Part>), ApiError> {
    let (mut bytes, mut room) = (Vec::new(), None);
    let announced = body.size_hint().exact().map_or(MAX_MANIFEST_SIZE, narrow);
    if announced > MAX_MANIFEST_SIZE {
        return Err(Code::ManifestTooLarge.into());
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::of_body(Code::SizeInvalid, &*error))?;
        let piece = frame.data_ref().map_or(&[][..], |data| data);
        let size = piece.len().saturating_add(bytes.len());
        if size > MAX_MANIFEST_SIZE {
            return Err(Code::ManifestTooLarge.into());
        }
        if size > SMALL && room.is_none() {
            let wanted = announced.saturating_mul(READ);
            let part = limits.memory.room(Use::Manifest, wanted, limits.patience).await;
            room = Some(part.ok_or(Code::Busy)?);
            bytes.reserve_exact(announced.saturating_sub(bytes.len()));
        }
        bytes.extend_from_slice(piece);
    }
    Ok((bytes, room))
}

fn parse(reference: &str, bad_tag: Code) -> Result<Target, ApiError> {
    if reference.contains(':') {
        return digest(reference).map(Target::Digest);
    }
    if !is_tag(reference) {
        return Err(ApiError::new(bad_tag, format!("{reference:?} is not a tag")));
    }
    Ok(Target::Tag(reference.to_owned()))
}
