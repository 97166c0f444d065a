//! A request that can be sent again, and what proves who sends it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use skopeo_image::{Digest, Secret};
use url::Url;

use crate::token::Scope;

/// A request that can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) target: Target<'a>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) access: Access,
    /// What the answer should have, where that is known.
    pub(crate) digest: Option<Digest>,
    /// Whether a try that broke off has spoilt what it was sent to, so that it is not sent again.
    pub(crate) once: bool,
    /// Whether the answer is welcome but not needed: a refusal of it slows nothing else down.
    pub(crate) aside: bool,
    /// Whether it is to have a connection that no other request shares meanwhile.
    pub(crate) apart: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Target<'a> {
    /// Path and query at the registry.
    Path(Cow<'a, str>),
    /// Anywhere.
    Url(Cow<'a, Url>),
}

/// Whether credentials go with it.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Whatever the registry wants to see for these scopes.
    Scopes(Vec<Scope>),
    /// Just this.
    Shown(Option<Proof>),
    /// The body is the secret, and meant for that one server.
    InBody,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: impl Into<Cow<'a, str>>) -> Self {
        Self {
            method,
            target: Target::Path(path.into()),
            headers: HeaderMap::new(),
            body: None,
            access: Access::Shown(None),
            digest: None,
            once: false,
            aside: false,
            apart: false,
        }
    }

    pub(crate) fn to(method: Method, url: &'a Url) -> Self {
        Self { target: Target::Url(Cow::Borrowed(url)), ..Self::new(method, "") }
    }

    pub(crate) fn scopes(mut self, mut scopes: Vec<Scope>) -> Self {
        scopes.dedup();
        self.access = Access::Scopes(scopes);
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    pub(crate) fn body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }
}

/// What proves to the registry who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Basic { username: String, password: Secret },
    Bearer(Secret),
}

impl Proof {
    pub(crate) fn header(&self) -> HeaderValue {
        let text = match self {
            Self::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.reveal())))
            }
            Self::Bearer(token) => format!("Bearer {}", token.reveal()),
        };
        // A token that is no header value proves nothing; the registry will say so.
        let mut value =
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }
}

/// Whether what is meant for `from` may be shown to `to`.
pub(crate) fn is_same_origin(from: &Url, to: &Url) -> bool {
    let upgraded = from.scheme() == "http" && to.scheme() == "https";
    from.host() == to.host()
        && (from.scheme() == to.scheme()
            && from.port_or_known_default() == to.port_or_known_default()
            || upgraded && from.port().is_none() && to.port().is_none())
}
