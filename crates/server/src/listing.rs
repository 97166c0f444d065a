//! Lists: tags and catalog, page by page; referrers.

use std::sync::Arc;

use http::{Request, Response, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, json};
use skopeo_image::manifest::MAX_MANIFEST_SIZE;
use skopeo_image::{Digest, MediaType};

use crate::body::Body;
use crate::error::{ApiError, Code};
use crate::name::RepositoryName;
use crate::response::{Answer, query, set};
use crate::store::{Layout, Page, Store, annotations};

/// How many repositories a page of the catalog has if the client does not say.
const CATALOG_PAGE: usize = 1000;

/// How large a page of referrers is at most, in bytes: as large as a manifest may be.
pub(crate) const MAX_REFERRERS: usize = MAX_MANIFEST_SIZE;

/// What a descriptor takes at most beside its annotations, with the list around it, in bytes.
const ROOM_FOR_ONE: usize = 16 * 1024;

/// What is behind the last descriptor of a list.
const END: &str = "]}";

/// GET of the catalog.
pub(crate) fn catalog(store: &Store, request: &Request<()>) -> Answer {
    let count = count(request)?.unwrap_or(CATALOG_PAGE);
    let mut page = page(store, request, count);
    store.names(&mut page)?;
    answer(page, "{\"repositories\":[", "/v2/_catalog", count)
}

/// GET of a repository's tags.
pub(crate) fn tags(store: &Store, request: &Request<()>, name: &RepositoryName) -> Answer {
    let unknown = || ApiError::new(Code::NameUnknown, json!({ "name": name.as_str() }));
    let repository = store.repository(name)?.ok_or_else(unknown)?;
    if !repository.is_known()? {
        return Err(unknown());
    }
    let count = count(request)?.unwrap_or(usize::MAX);
    let mut page = page(store, request, count);
    repository.tags(&mut page)?;
    let head = format!("{{\"name\":{},\"tags\":[", json_text(&name.as_str())?);
    answer(page, &head, &format!("/v2/{name}/tags/list"), count)
}

fn page(store: &Store, request: &Request<()>, count: usize) -> Page {
    Page::new(query(request, "last").unwrap_or_default(), count, store.count())
}

/// A page as JSON: what is in `head` before it, and `path` in the link to the next one.
fn answer(page: Page, head: &str, path: &str, count: usize) -> Answer {
    let mut text = head.to_owned();
    for (number, item) in page.items().enumerate() {
        if number > 0 {
            text.push(',');
        }
        text += &json_text(&item)?;
    }
    text += END;
    text.shrink_to_fit();
    let mut response = Response::new(Body::of_bytes(text));
    set(&mut response, header::CONTENT_TYPE, "application/json");
    if let Some(last) = page.next() {
        let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
        set(&mut response, header::LINK, format!("<{path}?last={last}&n={count}>; rel=\"next\""));
    }
    // The answer counts by itself as soon as there is room for it.
    response.extensions_mut().insert(Arc::new(page.into_count()));
    Ok(response)
}

/// GET of the manifests that refer to a digest, page by page. A repository that is not there has
/// none.
pub(crate) fn referrers(
    store: &Store,
    request: &Request<()>,
    name: &RepositoryName,
    subject: &Digest,
) -> Answer {
    let filter = query(request, "artifactType").filter(|filter| !filter.is_empty());
    let count = count(request)?;
    let mut text = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[",
        MediaType::OCI_INDEX.as_str()
    );
    let (mut listed, mut last, mut more) = (0, None, false);
    if let Some(repository) = store.repository(name)? {
        let layout = &repository.layout;
        let mut found = layout.referrers(subject)?;
        // If the last one has gone meanwhile, it begins anew: rather twice than never.
        let after = query(request, "last");
        if let Some(at) = found.iter().position(|it| after.as_deref() == Some(it.as_str())) {
            found.drain(..=at);
        }
        for digest in found {
            let Some(descriptor) = referrer(layout, &digest, filter.as_deref())? else { continue };
            let most = MAX_REFERRERS.saturating_sub(descriptor.len()).saturating_sub(END.len());
            let full = text.len() > most;
            if count == Some(listed) || (full && listed > 0) {
                more = listed > 0;
                break;
            }
            if listed > 0 {
                text.push(',');
            }
            text += &descriptor;
            listed = listed.saturating_add(1);
            last = Some(digest);
        }
    }
    text += END;
    text.shrink_to_fit();
    let mut response = Response::new(Body::of_bytes(text));
    set(&mut response, header::CONTENT_TYPE, MediaType::OCI_INDEX.as_str());
    if filter.is_some() {
        set(&mut response, "oci-filters-applied", "artifactType");
    }
    if let Some(last) = last.filter(|_| more) {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut link = format!("</v2/{name}/referrers/{subject}?last={}", encode(last.as_str()));
        if let Some(count) = count {
            link += &format!("&n={count}");
        }
        if let Some(filter) = &filter {
            link += &format!("&artifactType={}", encode(filter));
        }
        set(&mut response, header::LINK, link + ">; rel=\"next\"");
    }
    Ok(response)
}

/// The descriptor of a manifest that refers to another, as text; none if it is not asked for.
fn referrer(
    layout: &Layout,
    digest: &Digest,
    filter: Option<&str>,
) -> Result<Option<String>, ApiError> {
    let Some(parsed) = layout.parsed(digest)? else { return Ok(None) };
    if filter.is_some() && filter != parsed.artifact_type.as_deref() {
        return Ok(None);
    }
    let Some(size) = layout.blob_size(digest)? else { return Ok(None) };
    let mut descriptor = Map::new();
    descriptor.insert("mediaType".to_owned(), parsed.media_type.as_str().into());
    descriptor.insert("digest".to_owned(), digest.as_str().into());
    descriptor.insert("size".to_owned(), size.into());
    if let Some(artifact_type) = &parsed.artifact_type {
        descriptor.insert("artifactType".to_owned(), artifact_type.as_str().into());
    }
    let mut text = json_text(&descriptor)?;
    if parsed.has_annotations
        && let Some(bytes) = layout.read_manifest(digest)?
    {
        let annotations = json_text(&annotations(&bytes))?;
        // One that fills more than an answer alone is listed without them: they are in the manifest.
        if annotations.len() < MAX_REFERRERS - ROOM_FOR_ONE {
            text.pop();
            text.push_str(",\"annotations\":");
            text += &annotations;
            text.push('}');
        }
    }
    Ok(Some(text))
}

fn json_text(value: &impl serde::Serialize) -> Result<String, ApiError> {
    Ok(serde_json::to_string(value).map_err(std::io::Error::from)?)
}

/// How many items a page has at most, if the client says so.
fn count(request: &Request<()>) -> Result<Option<usize>, ApiError> {
    let Some(text) = query(request, "n") else { return Ok(None) };
    let wrong = || ApiError::new(Code::PaginationNumberInvalid, json!({ "n": text }));
    Ok(Some(text.parse::<usize>().map_err(|_| wrong())?))
}
