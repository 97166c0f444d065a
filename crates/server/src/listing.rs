//! Lists: tags and catalog, page by page; referrers.

use std::collections::BTreeSet;

use http::{Request, Response, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use skopeo_image::{Digest, MediaType};

use crate::body::Body;
use crate::error::{ApiError, Code};
use crate::name::RepositoryName;
use crate::routes::{Answer, query, set};
use crate::store::Store;

/// How many repositories a page of the catalog has if the client does not say.
const CATALOG_PAGE: usize = 1000;

/// GET of the catalog.
pub(crate) fn catalog(store: &Store, request: &Request<()>) -> Answer {
    let page = Page::of(request, store.names()?, Some(CATALOG_PAGE))?;
    Ok(page.answer("/v2/_catalog", json!({ "repositories": page.items })))
}

/// GET of a repository's tags.
pub(crate) fn tags(store: &Store, request: &Request<()>, name: &RepositoryName) -> Answer {
    let unknown = || ApiError::new(Code::NameUnknown, json!({ "name": name.as_str() }));
    let repository = store.repository(name)?.ok_or_else(unknown)?;
    if !repository.is_known()? {
        return Err(unknown());
    }
    let page = Page::of(request, repository.tags()?, None)?;
    let path = format!("/v2/{name}/tags/list");
    Ok(page.answer(&path, json!({ "name": name.as_str(), "tags": page.items })))
}

/// GET of the manifests that refer to a digest. A repository that is not there has none.
pub(crate) fn referrers(
    store: &Store,
    request: &Request<()>,
    name: &RepositoryName,
    subject: &Digest,
) -> Answer {
    let filter = query(request, "artifactType").filter(|filter| !filter.is_empty());
    let mut descriptors = Vec::new();
    if let Some(repository) = store.repository(name)? {
        let layout = &repository.layout;
        for digest in layout.referrers(subject)? {
            let Some(facts) = layout.facts(&digest)? else { continue };
            if filter.is_some() && filter != facts.artifact_type {
                continue;
            }
            let Some(size) = layout.blob_size(&digest)? else { continue };
            let mut descriptor = json!({
                "mediaType": facts.media_type.as_str(),
                "digest": digest.as_str(),
                "size": size,
            });
            if let Some(artifact_type) = &facts.artifact_type {
                descriptor["artifactType"] = artifact_type.as_str().into();
            }
            if !facts.annotations.is_empty() {
                descriptor["annotations"] = json!(facts.annotations);
            }
            descriptors.push(descriptor);
        }
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX.as_str(),
        "manifests": descriptors,
    });
    let mut response = Response::new(Body::of_bytes(index.to_string()));
    set(&mut response, header::CONTENT_TYPE, MediaType::OCI_INDEX.as_str());
    if filter.is_some() {
        set(&mut response, "oci-filters-applied", "artifactType");
    }
    Ok(response)
}

/// A part of a sorted list.
#[derive(Debug)]
struct Page {
    items: Vec<String>,
    /// The size to ask for next time, if there is more.
    next: Option<usize>,
}

impl Page {
    fn of(
        request: &Request<()>,
        all: BTreeSet<String>,
        default: Option<usize>,
    ) -> Result<Self, ApiError> {
        let count = match query(request, "n") {
            Some(text) => {
                let wrong = || ApiError::new(Code::PaginationNumberInvalid, json!({ "n": text }));
                Some(text.parse::<usize>().map_err(|_| wrong())?)
            }
            None => default,
        };
        let last = query(request, "last").unwrap_or_default();
        let mut rest = all.into_iter().filter(|item| *item > last);
        let items: Vec<_> = rest.by_ref().take(count.unwrap_or(usize::MAX)).collect();
        let more = !items.is_empty() && rest.next().is_some();
        Ok(Self { items, next: count.filter(|_| more) })
    }

    fn answer(&self, path: &str, document: Value) -> Response<Body> {
        let mut response = Response::new(Body::of_bytes(document.to_string()));
        set(&mut response, header::CONTENT_TYPE, "application/json");
        if let (Some(count), Some(last)) = (self.next, self.items.last()) {
            let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
            let link = format!("<{path}?last={last}&n={count}>; rel=\"next\"");
            set(&mut response, header::LINK, link);
        }
        response
    }
}
