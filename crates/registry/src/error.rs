//! What can go wrong between us and a registry.

use url::Url;

use crate::answer::Answer;
use crate::redact::redacted;
use crate::tls::TlsError;
use crate::wire::WireError;

/// What can go wrong between us and a registry. The source is never repeated in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What we were doing, to what.
    #[error("{doing}")]
    Doing {
        /// In the gerund: `reading manifest latest in docker.io/library/alpine`.
        doing: String,
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

    pub(crate) fn request(method: &http::Method, url: &Url, source: WireError) -> Self {
        Self::Request { method: go_method(method), url: redacted(url), source }
    }

    /// Says what was being done, unless the registry was never reached: then nothing was.
    pub(crate) fn doing(self, doing: impl Into<String>) -> Self {
        if matches!(self, Self::Ping { .. }) {
            return self;
        }
        Self::Doing { doing: doing.into(), source: Box::new(self) }
    }

    /// Whether the registry says that there is no such manifest.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.answer().is_some_and(Answer::is_not_found)
    }

    /// Whether the same thing may go well some time later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Doing { source, .. } | Self::Ping { source, .. } => source.is_transient(),
            Self::Request { source, .. } => source.is_transient(),
            Self::Answer(answer) => crate::retry::is_transient_status(answer.status()),
            _ => false,
        }
    }

    /// Whether other credentials are wanted.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.status() == Some(401)
            || self.codes().first().is_some_and(|code| code == "UNAUTHORIZED")
    }

    /// Whether these credentials are known, but may not do this.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.status() == Some(403) || self.codes().first().is_some_and(|code| code == "DENIED")
    }

    /// Whether the registry would rather have another type of manifest.
    #[must_use]
    pub fn is_manifest_type_rejected(&self) -> bool {
        self.answer().is_some_and(Answer::is_manifest_type_rejected)
    }

    /// The HTTP status, where there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.answer().map(Answer::status)
    }

    /// The codes of the distribution specification that came with the answer.
    #[must_use]
    pub fn codes(&self) -> &[String] {
        self.answer().map_or(&[], Answer::codes)
    }

    /// What the user may do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Doing { source, .. }
            | Self::Ping { source, .. }
            | Self::BadCredentials { source } => source.hint(),
            Self::Request { source, .. } => source.hint(),
            _ => None,
        }
    }

    fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Doing { source, .. }
            | Self::Ping { source, .. }
            | Self::BadCredentials { source } => source.answer(),
            Self::Answer(answer) => Some(answer),
            _ => None,
        }
    }

    /// Whether no connection came about, so that nothing was sent.
    pub(crate) fn is_connect(&self) -> bool {
        matches!(self, Self::Request { source, .. } if source.is_connect())
    }
}

/// `GET` is `Get` in the sentences that scripts match.
fn go_method(method: &http::Method) -> String {
    let text = method.as_str();
    format!("{}{}", &text[..1], text[1..].to_ascii_lowercase())
}
