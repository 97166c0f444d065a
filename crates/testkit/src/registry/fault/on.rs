//! The requests that a fault is about.

use http::Method;

/// The requests that a fault is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct On {
    endpoint: Endpoint,
    method: Option<Method>,
    containing: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Anything,
    Ping,
    Token,
    Blobs,
    Uploads,
    Manifests,
    Tags,
    Catalog,
    Referrers,
}

impl On {
    /// Returns every request.
    #[must_use]
    pub fn anything() -> Self {
        Self::at(Endpoint::Anything)
    }

    /// Returns requests of `/v2/` itself.
    #[must_use]
    pub fn ping() -> Self {
        Self::at(Endpoint::Ping)
    }

    /// Returns requests for tokens.
    #[must_use]
    pub fn token() -> Self {
        Self::at(Endpoint::Token)
    }

    /// Returns GET of blobs. (HEAD of blobs: `.method("HEAD")`.)
    #[must_use]
    pub fn blobs() -> Self {
        Self::at(Endpoint::Blobs).method("GET")
    }

    /// Returns every request about an upload: POST, PATCH, PUT, GET and DELETE.
    #[must_use]
    pub fn uploads() -> Self {
        Self::at(Endpoint::Uploads)
    }

    /// Returns GET of manifests. (Others: `.method("PUT")`.)
    #[must_use]
    pub fn manifests() -> Self {
        Self::at(Endpoint::Manifests).method("GET")
    }

    /// Returns requests for lists of tags.
    #[must_use]
    pub fn tags() -> Self {
        Self::at(Endpoint::Tags)
    }

    /// Returns requests for the catalog.
    #[must_use]
    pub fn catalog() -> Self {
        Self::at(Endpoint::Catalog)
    }

    /// Returns requests for lists of referrers.
    #[must_use]
    pub fn referrers() -> Self {
        Self::at(Endpoint::Referrers)
    }

    /// Of these, only those of this method; another one than before, if there was one.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        Self { method: Some(method.parse().expect("a method of HTTP")), ..self }
    }

    /// Of these, those of any method.
    #[must_use]
    pub fn any_method(self) -> Self {
        Self { method: None, ..self }
    }

    /// Of these, only those whose path and query contain `text`: a digest, a repository, `mount=`.
    #[must_use]
    pub fn containing(self, text: impl ToString) -> Self {
        Self { containing: Some(text.to_string()), ..self }
    }

    fn at(endpoint: Endpoint) -> Self {
        Self { endpoint, method: None, containing: None }
    }

    /// Whether a request is meant; `target` is its path and query.
    pub(crate) fn matches(&self, method: &Method, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        let is_there = match self.endpoint {
            Endpoint::Anything => true,
            Endpoint::Ping => matches!(path, "/v2" | "/v2/"),
            Endpoint::Token => path == "/token",
            Endpoint::Uploads => path.contains("/blobs/uploads"),
            Endpoint::Blobs => path.contains("/blobs/") && !path.contains("/blobs/uploads"),
            Endpoint::Manifests => path.contains("/manifests/"),
            Endpoint::Tags => path.ends_with("/tags/list"),
            Endpoint::Catalog => path == "/v2/_catalog",
            Endpoint::Referrers => path.contains("/referrers/"),
        };
        is_there
            && self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.containing.as_ref().is_none_or(|text| target.contains(text))
    }
}

/// What a request has in common with its repetitions. Each try of an upload has a place of its own.
pub(super) fn like(method: &Method, target: &str) -> String {
    match target.split_once("/blobs/uploads/") {
        Some((repository, upload)) => {
            let query = upload.split_once('?').map_or("", |(_, query)| query);
            let digest = query.split('&').find(|it| it.starts_with("digest=")).unwrap_or_default();
            format!("{method} {repository} {digest}")
        }
        None => format!("{method} {target}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_its_own() {
        let get = Method::GET;
        for (on, target, matches) in [
            (On::blobs(), "/v2/a/blobs/sha256:1", true),
            (On::blobs(), "/v2/a/blobs/uploads/1", false),
            (On::uploads(), "/v2/a/blobs/uploads/?mount=x", true),
            (On::uploads().containing("mount="), "/v2/a/blobs/uploads/", false),
            (On::manifests(), "/v2/a/manifests/latest", true),
            (On::manifests().method("PUT"), "/v2/a/manifests/latest", false),
            (On::ping(), "/v2/", true),
            (On::ping(), "/v2/_catalog", false),
            (On::token(), "/token?scope=x", true),
        ] {
            assert_eq!(on.matches(&get, target), matches, "{on:?} {target}");
        }
    }
}
