//! Referrers: what refers to a manifest, or the tag that lists them where there is no API.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Method, StatusCode};
use serde_json::Value;
use skopeo_image::manifest::MAX_MANIFEST_SIZE;
use skopeo_image::{Digest, MediaType, RawManifest};

use crate::error::Error;
use crate::repository::Repository;
use crate::send::Call;
use crate::tags::next_page;

/// More pages than anyone has.
const MAX_PAGES: usize = 1000;

/// The most that all pages may have together, in bytes.
const MAX_SIZE: usize = 8 * MAX_MANIFEST_SIZE;

impl Repository {
    /// The index of what refers to `digest`, or `None` if there is no such list.
    ///
    /// # Errors
    /// Whatever keeps the registry from answering; a list that is none.
    pub async fn referrers(&self, digest: &Digest) -> Result<Option<RawManifest>, Error> {
        let doing = || format!("reading referrers of {digest} in {}", self.name());
        let first = format!("/v2/{}/referrers/{digest}", self.path);
        let mut found: Option<RawManifest> = None;
        let mut next = Some(first);
        for _ in 0..MAX_PAGES {
            let Some(path) = next else { break };
            let call = Call::new(Method::GET, path.clone())
                .scopes(self.to_read())
                .header(ACCEPT, MediaType::OCI_INDEX.as_str());
            let (status, headers, bytes) = self
                .shared()
                .fetch(&call, MAX_MANIFEST_SIZE)
                .await
                .map_err(|error| error.doing(doing()))?;
            match status {
                StatusCode::OK if is_index(&bytes) => {}
                // No API: some say so, some serve a page for people.
                StatusCode::OK
                | StatusCode::NOT_FOUND
                | StatusCode::BAD_REQUEST
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_ACCEPTABLE
                    if found.is_none() =>
                {
                    return self.referrers_tag(digest).await;
                }
                _ => {
                    let refusal = self.shared().refusal_of(status, &headers, &bytes);
                    return Err(refusal.doing(doing()));
                }
            }
            found = Some(match found {
                None => RawManifest::new(Some(MediaType::OCI_INDEX), bytes),
                Some(before) => joined(&before, &bytes)
                    .map_err(|source| Error::Json { doing: doing(), source })?,
            });
            if found.as_ref().is_some_and(|found| found.bytes.len() > MAX_SIZE) {
                return Err(Error::TooLarge(MAX_SIZE).doing(doing()));
            }
            next = next_page(&headers, &path);
        }
        Ok(found)
    }

    async fn referrers_tag(&self, digest: &Digest) -> Result<Option<RawManifest>, Error> {
        let tag = digest.as_str().replacen(':', "-", 1);
        match self.manifest(&tag).await {
            Ok(fetched) => Ok(Some(fetched.manifest)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_index(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok_and(|value| value["manifests"].is_array())
}

/// The first page with the manifests of the next one.
fn joined(before: &RawManifest, page: &[u8]) -> Result<RawManifest, serde_json::Error> {
    let mut index: Value = serde_json::from_slice(&before.bytes)?;
    let mut more: Value = serde_json::from_slice(page)?;
    if let (Some(manifests), Some(more)) =
        (index["manifests"].as_array_mut(), more["manifests"].as_array_mut())
    {
        manifests.append(more);
    }
    let bytes = Bytes::from(serde_json::to_vec(&index)?);
    Ok(RawManifest::new(Some(MediaType::OCI_INDEX), bytes))
}
