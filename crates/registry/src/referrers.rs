//! Referrers: what refers to a manifest, or the tag that lists them where there is no API
//! (OCI distribution specification 1.1, "Listing Referrers", "Referrers Tag Schema").

use std::collections::HashSet;

use http::header::ACCEPT;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use skopeo_image::manifest::MAX_MANIFEST_SIZE;
use skopeo_image::manifest::oci::{Index, OciDescriptor};
use skopeo_image::{Digest, ManifestError, MediaType, go_json};

use crate::call::Call;
use crate::error::Error;
use crate::headers::content_type;
use crate::repository::Repository;
use crate::tags::next_page;

/// More than anything has: what is listed beyond is an attack, or a mistake.
const MAX_REFERRERS: usize = 10_000;

/// The most that all pages may have together, in bytes.
const MAX_SIZE: usize = 8 * MAX_MANIFEST_SIZE;

/// What a page counts at least, in bytes: so that pages without end come to an end, too.
const MIN_PAGE: usize = 128 * 1024;

/// What refers to a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Referrers {
    /// Who says so.
    pub by: ListedBy,
    /// In the registry's order, each once. Only claimed, never verified.
    pub listed: Vec<OciDescriptor>,
}

/// Who lists what refers to a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedBy {
    /// The registry.
    Api,
    /// Whoever wrote the tag that stands in for the API.
    Tag,
}

impl Repository {
    /// Returns what refers to `digest`; `None` if neither the registry nor a tag knows of anything.
    ///
    /// # Errors
    /// Whatever keeps the registry from answering; a list that is none, or has no end.
    pub async fn referrers(&self, digest: &Digest) -> Result<Option<Referrers>, Error> {
        let by = |by, listed| Referrers { by, listed };
        Ok(match self.referrers_by_api(digest).await? {
            Some(listed) => Some(by(ListedBy::Api, listed)),
            None => self.referrers_by_tag(digest).await?.map(|listed| by(ListedBy::Tag, listed)),
        })
    }

    /// Returns what the registry itself says refers to `digest`; `None` if it has no such API.
    ///
    /// It is asked for all of them, whoever wants only some: filters are optional for registries,
    /// and know no patterns.
    ///
    /// # Errors
    /// As [`referrers`](Self::referrers).
    pub async fn referrers_by_api(
        &self,
        digest: &Digest,
    ) -> Result<Option<Vec<OciDescriptor>>, Error> {
        let doing = || format!("reading referrers of {digest} in {}", self.name());
        let mut listed = Vec::new();
        let mut asked = HashSet::new();
        let mut left = MAX_SIZE;
        let mut next = Some(format!("/v2/{}/referrers/{digest}", self.path));
        while let Some(path) = next {
            let call = Call::new(Method::GET, path.clone())
                .scopes(self.to_read())
                .header(ACCEPT, MediaType::OCI_INDEX.as_str());
            let (status, headers, bytes) = self
                .shared()
                .fetch(&call, MAX_MANIFEST_SIZE)
                .await
                .map_err(|error| error.doing(doing()))?;
            let first = asked.is_empty();
            match status {
                StatusCode::OK if is_index(&bytes) => {}
                // Who says that it is a list has the API: a broken answer is not none.
                StatusCode::OK if content_type(&headers) == Some(MediaType::OCI_INDEX) => {
                    let broken = Error::Protocol("the list is not an index".to_owned());
                    return Err(broken.doing(doing()));
                }
                // No API: some say so, some serve a page for people.
                StatusCode::OK
                | StatusCode::NOT_FOUND
                | StatusCode::BAD_REQUEST
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_ACCEPTABLE
                    if first =>
                {
                    return Ok(None);
                }
                _ => {
                    let refusal = self.shared().refusal_of(status, &headers, &bytes);
                    return Err(refusal.doing(doing()));
                }
            }
            left = left
                .checked_sub(bytes.len().max(MIN_PAGE))
                .ok_or_else(|| Error::TooLarge(MAX_SIZE).doing(doing()))?;
            listed.extend(parse(&bytes).map_err(|error| error.doing(doing()))?);
            next = next_page(&headers, &path);
            asked.insert(path);
            if listed.len() > MAX_REFERRERS {
                return Err(too_many().doing(doing()));
            }
            if next.as_ref().is_some_and(|next| asked.contains(next)) {
                return Err(Error::Protocol("its pages form a loop".to_owned()).doing(doing()));
            }
        }
        Ok(Some(each_once(listed)))
    }

    /// Returns what the tag that stands in for the API lists; `None` if there is no such tag.
    ///
    /// # Errors
    /// As [`referrers`](Self::referrers).
    pub async fn referrers_by_tag(
        &self,
        digest: &Digest,
    ) -> Result<Option<Vec<OciDescriptor>>, Error> {
        let doing = || format!("reading referrers of {digest} in {}", self.name());
        let manifest = match self.manifest(&referrers_tag(digest)).await {
            Ok(fetched) => fetched.manifest,
            Err(error) if error.status() == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let listed = parse(&manifest.bytes).map_err(|error| error.doing(doing()))?;
        if listed.len() > MAX_REFERRERS {
            return Err(too_many().doing(doing()));
        }
        Ok(Some(each_once(listed)))
    }
}

/// Returns the tag under which what refers to a manifest is listed where there is no API: its parts
/// are cut to what a tag can hold.
#[must_use]
pub fn referrers_tag(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}-{}", digest.algorithm(), hex.get(..64).unwrap_or(hex))
}

fn is_index(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Listing {
        manifests: Option<Vec<IgnoredAny>>,
    }
    go_json::from_slice::<Listing>(bytes).is_ok_and(|list| list.manifests.is_some())
}

fn parse(bytes: &[u8]) -> Result<Vec<OciDescriptor>, Error> {
    let index = Index::parse(bytes).map_err(|error| {
        let why = match &error {
            ManifestError::Json { source, .. } => source.to_string(),
            error => error.to_string(),
        };
        Error::Protocol(format!("the list is not an index: {why}"))
    })?;
    Ok(index.manifests)
}

fn too_many() -> Error {
    Error::Protocol(format!("there are more than {MAX_REFERRERS}"))
}

fn each_once(mut listed: Vec<OciDescriptor>) -> Vec<OciDescriptor> {
    let mut seen = HashSet::new();
    listed.retain(|found| seen.insert(found.blob.digest.clone()));
    listed
}

#[cfg(test)]
mod tests {
    use skopeo_image::Algorithm;

    use super::*;

    #[test]
    fn tags_hold_what_they_can() {
        let digest = Digest::of(Algorithm::Sha256, b"");
        assert_eq!(referrers_tag(&digest), format!("sha256-{}", digest.hex()));
        let digest = Digest::of(Algorithm::Sha512, b"");
        assert_eq!(referrers_tag(&digest), format!("sha512-{}", &digest.hex()[..64]));
    }
}
