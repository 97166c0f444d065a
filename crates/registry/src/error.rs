//! What can go wrong between us and a registry.

use std::time::{Duration, SystemTime};

use skopeo_image::{Classify, ErrorClass};
use url::Url;

use crate::answer::Answer;
use crate::pace;
use crate::redact::redacted;
use crate::tls::TlsError;
use crate::wire::WireError;

/// What can go wrong between us and a registry. The source is never repeated in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What we were doing, to what.
    #[error("{doing}{}", times(*.tried))]
    Doing {
        /// In the gerund: `reading manifest latest in docker.io/library/alpine`.
        doing: String,
        /// How often.
        tried: u32,
        /// Why it went wrong.
        source: Box<Self>,
    },
    /// The registry was never reached.
    #[error("pinging container registry {host}")]
    Ping {
        /// `host[:port]` as it was asked.
        host: String,
        /// Why.
        source: Box<Self>,
    },
    /// A request that got no answer, or not all of it.
    #[error("{method} \"{url}\"")]
    Request {
        /// In Go's spelling: `Get`.
        method: String,
        /// Without secrets.
        url: String,
        /// Why.
        source: WireError,
    },
    /// A request that was sent as often as it may be.
    #[error("tried {tried} times")]
    Tried {
        /// How often.
        tried: u32,
        /// What became of it the last time.
        source: Box<Self>,
    },
    /// The registry wants to be left alone for longer than is waited here.
    #[error("registry {host}{until}")]
    Later {
        /// As it is named.
        host: String,
        /// When it may be asked again: ` asks to be left alone for 6h, until
        /// 2026-01-02T03:04:05Z`, or what else is known.
        until: String,
        /// What it said.
        source: Box<Self>,
    },
    /// The registry, or the token server, does not know these credentials.
    #[error("unable to retrieve auth token: invalid username/password")]
    BadCredentials {
        /// Its answer.
        source: Box<Self>,
    },
    /// The registry, or the token server, refused.
    #[error(transparent)]
    Answer(Answer),
    /// An answer that no registry should give.
    #[error("{0}")]
    Protocol(String),
    /// An answer that is not the JSON it should be.
    #[error("{doing}")]
    Json {
        /// What was being read.
        doing: String,
        /// Where it is not.
        source: serde_json::Error,
    },
    /// More bytes than such an answer may have.
    #[error("exceeded maximum allowed size of {0} bytes")]
    TooLarge(usize),
    /// Certificates, keys or names given by the user that are of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Error {
    /// The first request to `host` got no connection. Users know it as the ping that the original
    /// begins with.
    pub(crate) fn ping(self, host: &str) -> Self {
        let source = match self {
            Self::Request { url, source, .. } => {
                let scheme = url.split_once("://").map_or("https", |(scheme, _)| scheme);
                Self::Request {
                    method: "Get".into(),
                    url: format!("{scheme}://{host}/v2/"),
                    source,
                }
            }
            other => other,
        };
        Self::Ping { host: host.to_owned(), source: Box::new(source) }
    }

    /// The registry is not to be asked again for so long.
    pub(crate) fn later(self, host: &str, wait: Duration) -> Self {
        let at = pace::clock(SystemTime::now(), wait);
        let until = format!(" accepts no requests for {}, until {at}", pace::span(wait));
        Self::Later { host: host.to_owned(), until, source: Box::new(self) }
    }

    /// The registry is not to be asked again before there is a quota again.
    pub(crate) fn spent(self, host: &str, quota: &pace::Quota) -> Self {
        let until = format!(": {}", quota.told(SystemTime::now()));
        Self::Later { host: host.to_owned(), until, source: Box::new(self) }
    }

    pub(crate) fn request(method: &http::Method, url: &Url, source: WireError) -> Self {
        Self::Request { method: go_method(method), url: redacted(url), source }
    }

    /// Says what was being done, unless the registry was never reached: then nothing was.
    pub(crate) fn doing(self, doing: impl Into<String>) -> Self {
        match self {
            Self::Ping { .. } => self,
            other => other.asked_for(doing),
        }
    }

    /// Says what was to be done, also where the registry was never reached.
    pub(crate) fn asked_for(self, doing: impl Into<String>) -> Self {
        let (tried, source) = match self {
            Self::Tried { tried, source } => (tried, source),
            other => (1, Box::new(other)),
        };
        Self::Doing { doing: doing.into(), tried, source }
    }

    /// The whole chain in one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(source) = next {
            text = format!("{text}: {source}");
            next = source.source();
        }
        text
    }

    /// The same after the last of so many tries.
    pub(crate) fn after(self, tried: u32) -> Self {
        if tried > 1 && self.tried() == 1 {
            Self::Tried { tried, source: Box::new(self) }
        } else {
            self
        }
    }

    /// Returns how often the request was sent that came to nothing. What was tried more than once
    /// need not be tried again soon.
    #[must_use]
    pub fn tried(&self) -> u32 {
        match self {
            Self::Tried { tried, .. } => *tried,
            Self::Doing { tried, source, .. } => source.tried().max(*tried),
            Self::Ping { source, .. }
            | Self::Later { source, .. }
            | Self::BadCredentials { source } => source.tried(),
            _ => 1,
        }
    }

    /// Returns whether the registry says that there is no such manifest.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.answer().is_some_and(Answer::is_not_found)
    }

    /// Returns whether the same thing may go well some time later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Doing { source, .. } | Self::Tried { source, .. } | Self::Ping { source, .. } => {
                source.is_transient()
            }
            Self::Request { source, .. } => source.is_transient(),
            Self::Answer(answer) => crate::retry::is_transient_status(answer.status()),
            _ => false,
        }
    }

    /// Returns whether other credentials are wanted.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.status() == Some(401)
            || self.codes().first().is_some_and(|code| code == "UNAUTHORIZED")
    }

    /// Returns whether these credentials are known, but may not do this.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.status() == Some(403) || self.codes().first().is_some_and(|code| code == "DENIED")
    }

    /// Returns whether the registry would rather have another type of manifest.
    #[must_use]
    pub fn is_manifest_type_rejected(&self) -> bool {
        self.answer().is_some_and(Answer::is_manifest_type_rejected)
    }

    /// Returns the HTTP status, where there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.answer().map(Answer::status)
    }

    /// Returns the codes of the distribution specification that came with the answer.
    #[must_use]
    pub fn codes(&self) -> &[String] {
        self.answer().map_or(&[], Answer::codes)
    }

    /// Returns the registry that was asked, as it is named, where that is known.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Ping { source, .. }
            | Self::Doing { source, .. }
            | Self::Tried { source, .. }
            | Self::Later { source, .. }
            | Self::BadCredentials { source } => source.host(),
            Self::Request { source, .. } => source.host(),
            Self::Answer(answer) => answer.host(),
            _ => None,
        }
    }

    /// Returns what the registry, or its token server, said; none where it was not that far.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Doing { source, .. }
            | Self::Tried { source, .. }
            | Self::Ping { source, .. }
            | Self::Later { source, .. }
            | Self::BadCredentials { source } => source.answer(),
            Self::Answer(answer) => Some(answer),
            _ => None,
        }
    }

    /// Whether nothing came for so long that it was given up.
    pub(crate) fn is_silence(&self) -> bool {
        match self {
            Self::Doing { source, .. } | Self::Tried { source, .. } | Self::Ping { source, .. } => {
                source.is_silence()
            }
            Self::Request { source, .. } => source.is_silence(),
            _ => false,
        }
    }

    /// Whether no connection came about, so that nothing was sent.
    pub(crate) fn is_connect(&self) -> bool {
        matches!(self, Self::Request { source, .. } if source.is_connect())
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Doing { source, .. }
            | Self::Tried { source, .. }
            | Self::Later { source, .. }
            | Self::Ping { source, .. } => return source.class(),
            Self::Request { source, .. } => return source.class(),
            Self::BadCredentials { .. } => ErrorClass::Unauthorized,
            Self::Answer(answer) => answer.class(),
            Self::Protocol(_) | Self::Json { .. } | Self::TooLarge(_) => ErrorClass::Registry,
            Self::Tls(_) => ErrorClass::Configuration,
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Doing { source, .. }
            | Self::Tried { source, .. }
            | Self::Ping { source, .. }
            | Self::Later { source, .. }
            | Self::BadCredentials { source } => source.hint(),
            Self::Request { source, .. } => source.hint(),
            Self::Answer(answer) => answer.hint().map(str::to_owned),
            _ => None,
        }
    }
}

fn times(tried: u32) -> String {
    if tried > 1 { format!(" (tried {tried} times)") } else { String::new() }
}

/// `GET` is `Get` in the sentences that scripts match.
fn go_method(method: &http::Method) -> String {
    let text = method.as_str();
    format!("{}{}", &text[..1], text[1..].to_ascii_lowercase())
}
