//! Tags and catalog, page by page.

use std::collections::HashSet;

use http::header::LINK;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use skopeo_image::go_json::Budget;
use skopeo_image::{Digest, is_valid_tag};
use tracing::debug;
use url::Url;

use crate::answer::is_page;
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::repository::Repository;
use crate::shared::Shared;
use crate::token::Scope;

/// The most that one page may have, in bytes.
const MAX_PAGE: usize = 64 * 1024 * 1024;

/// The most that all pages may have, in bytes: more than a million tags, which as texts in memory
/// are some times as long.
const MAX_PAGES: usize = 64 * 1024 * 1024;

/// The most that all pages may name.
const MOST: usize = 1 << 21;

/// What a page counts at least, in bytes: so that pages without end come to an end, too.
const MIN_PAGE: usize = 4 * 1024;

impl Repository {
    /// Returns all tags, in the registry's order.
    ///
    /// # Errors
    /// A repository that is not there; tags that are none; whatever keeps it from answering.
    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        let (tags, invalid) = self.valid_tags().await?;
        match invalid.first() {
            None => Ok(tags),
            Some(tag) => Err(Error::Protocol(format!(
                "registry returned invalid tag {tag:?}: invalid tag format"
            ))),
        }
    }

    /// Returns all tags, in the registry's order, and apart from them what it lists that can be
    /// none.
    ///
    /// # Errors
    /// A repository that is not there; whatever keeps it from answering.
    pub async fn valid_tags(&self) -> Result<(Vec<String>, Vec<String>), Error> {
        #[derive(Deserialize)]
        struct Page {
            // Nexus has null in the list, or no list at all.
            #[serde(default)]
            tags: Option<Vec<Option<String>>>,
        }
        let path = format!("/v2/{}/tags/list", self.path);
        let wording = Wording {
            about: Some(self.name()),
            sending: "getting repository tags",
            refused: "fetching tags list",
            reading: "decoding tag list response",
        };
        let pages: Vec<Page> = pages(self.shared(), path, &self.to_read(), &wording).await?;
        let (mut tags, mut invalid) = (Vec::new(), Vec::new());
        for tag in pages.into_iter().filter_map(|page| page.tags).flatten().flatten() {
            if is_valid_tag(&tag) {
                tags.push(tag);
            } else if tag.is_empty() || tag.parse::<Digest>().is_ok() {
                // Artifactory lists digests, too.
                debug!("Ignoring invalid tag {tag:?}");
            } else {
                invalid.push(tag);
            }
        }
        Ok((tags, invalid))
    }
}

impl Client {
    /// Returns the names of all repositories, as far as the registry tells them.
    ///
    /// # Errors
    /// Many registries refuse this.
    pub async fn catalog(&self) -> Result<Vec<String>, Error> {
        catalog(&self.0, Scope::catalog()).await
    }
}

/// All repositories.
async fn catalog(shared: &Shared, scope: Scope) -> Result<Vec<String>, Error> {
    #[derive(Deserialize)]
    struct Page {
        #[serde(default)]
        repositories: Option<Vec<String>>,
    }
    let wording = Wording {
        about: None,
        sending: "getting the catalog",
        refused: "fetching the catalog",
        reading: "decoding the catalog",
    };
    let pages: Vec<Page> = pages(shared, "/v2/_catalog".to_owned(), &[scope], &wording).await?;
    Ok(pages.into_iter().filter_map(|page| page.repositories).flatten().collect())
}

struct Wording {
    /// The repository that is asked about.
    about: Option<String>,
    sending: &'static str,
    refused: &'static str,
    reading: &'static str,
}

async fn pages<T: DeserializeOwned>(
    shared: &Shared,
    first: String,
    scopes: &[Scope],
    wording: &Wording,
) -> Result<Vec<T>, Error> {
    let mut seen = HashSet::new();
    let mut pages = Vec::new();
    let mut left = Some(MAX_PAGES);
    let mut budget = Budget::new(MAX_PAGES, MOST);
    let mut next = Some(first);
    while let Some(path) = next {
        let call = Call::new(Method::GET, path.clone()).scopes(scopes.to_vec());
        let (status, headers, body) = shared.fetch(&call, MAX_PAGE).await.map_err(|error| {
            let answered = error.status().is_some();
            error.asked_for(if answered { wording.refused } else { wording.sending })
        })?;
        if status != StatusCode::OK {
            let answer = shared.said(status, &headers, &body).about_something_else();
            let answer = match &wording.about {
                Some(repository) => answer.about(repository),
                None => answer,
            };
            return Err(Error::Answer(answer).doing(wording.refused));
        }
        left = left_after(left, body.len());
        if left.is_none() {
            return Err(Error::TooLarge(MAX_PAGES).doing(wording.refused));
        }
        if is_page(&body) {
            return Err(shared.page(status).doing(wording.reading));
        }
        // Nothing behind the list is looked at, be it a comment of a cache.
        let page = budget.read_first(&body);
        pages.push(
            page.map_err(|source| Error::Json { doing: wording.reading.to_owned(), source })?,
        );
        let link = next_page(&headers, &path);
        if !seen.insert(path) {
            return Err(Error::Protocol(format!("{}: its pages form a loop", wording.refused)));
        }
        next = link.filter(|link| !seen.contains(link));
    }
    Ok(pages)
}

/// How many bytes the pages after one of `length` bytes may have; none if it was too much.
fn left_after(left: Option<usize>, length: usize) -> Option<usize> {
    left?.checked_sub(length.max(MIN_PAGE))
}

/// Path and query of the next page; the host is ours whatever the link says.
pub(crate) fn next_page(headers: &HeaderMap, current: &str) -> Option<String> {
    let value = headers.get(LINK)?.to_str().ok()?;
    let (target, _) = value.split_once(';').unwrap_or((value, ""));
    let target = target.trim().trim_matches(['<', '>']);
    if target.is_empty() {
        return None;
    }
    let base = Url::parse("http://registry").ok()?.join(current).ok()?;
    let url = base.join(target).ok().filter(|url| !url.cannot_be_a_base())?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{}{query}", url.path()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn next(link: &str) -> Option<String> {
        let value = HeaderValue::from_str(link).ok()?;
        next_page(&HeaderMap::from_iter([(LINK, value)]), "/v2/a/tags/list?n=1")
    }

    #[test]
    fn pages_come_to_an_end() {
        for (length, most) in [(0, 16_384), (1024, 16_384), (MAX_PAGE, 1), (MAX_PAGE / 4, 4)] {
            let mut left = Some(MAX_PAGES);
            let pages = std::iter::repeat_with(|| {
                left = left_after(left, length);
                left
            });
            assert_eq!(pages.take_while(Option::is_some).count(), most, "{length}");
        }
    }

    #[test]
    fn links_lead_to_paths() {
        for (link, expected) in [
            (r#"</v2/a/tags/list?last=b&n=2>; rel="next""#, Some("/v2/a/tags/list?last=b&n=2")),
            (
                r#"<https://r.example/v2/a/tags/list?last=b>; rel="next""#,
                Some("/v2/a/tags/list?last=b"),
            ),
            ("<?last=b>", Some("/v2/a/tags/list?last=b")),
            ("/v2/a/tags/list?last=b", Some("/v2/a/tags/list?last=b")),
            ("<list?last=b>;rel=next", Some("/v2/a/tags/list?last=b")),
            ("", None),
            ("<>", None),
            ("<https://[>", None),
            ("a:", None),
        ] {
            assert_eq!(next(link).as_deref(), expected, "{link}");
        }
    }

    proptest! {
        #[test]
        fn never_fails(link in "[ -~]*") {
            if let Some(path) = next(&link) {
                prop_assert!(path.starts_with('/'), "{path}");
            }
        }
    }
}
