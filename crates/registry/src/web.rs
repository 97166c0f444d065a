//! Single requests to servers that are no registries, such as those of sigstore.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, USER_AGENT};
use skopeo_image::{Classify, ErrorClass, Secret};
use url::Url;

use crate::client::http_client;
use crate::encoding;
use crate::error::Error;
use crate::options::{ProxyRules, Timeouts, TlsOptions};
use crate::wire::WireError;

/// No answer is longer, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// How often a request is sent that no server answers, or that a server cannot answer now.
const TRIES: u32 = 3;

/// The pause before the second try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The address is none.
    #[error("invalid URL {0:?}")]
    Url(String),
    /// The server did not answer.
    #[error("{method} {url}")]
    Wire {
        /// `GET` or `POST`.
        method: &'static str,
        /// Where to.
        url: String,
        /// Why.
        #[source]
        source: WireError,
    },
    /// The answer is longer than any.
    #[error("{0}: the answer is longer than {MAX_ANSWER} bytes")]
    TooLong(String),
    /// No client could be made.
    #[error(transparent)]
    Client(#[from] Box<Error>),
}

impl Classify for WebError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Url(_) => Some(ErrorClass::InvalidInput),
            Self::Wire { source, .. } => source.class(),
            Self::TooLong(_) => Some(ErrorClass::Network),
            Self::Client(error) => error.class(),
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Sent to nobody but the server that is asked.
    pub bearer: Option<Secret>,
    /// A name and a password, sent where there is no bearer token, and to nobody else either.
    pub basic: Option<(String, Secret)>,
    /// The media type that is wanted, where one has to be.
    pub accept: Option<&'static str>,
    /// What is sent, and its media type; a request without is a GET.
    pub body: Option<(&'static str, Bytes)>,
}

/// An answer, whatever it says.
#[derive(Clone, Debug)]
pub struct Said {
    /// The status.
    pub status: u16,
    /// The same as servers say it: `400 Bad Request`.
    pub status_line: String,
    /// Where else to look.
    pub location: Option<String>,
    /// The rest.
    pub body: Bytes,
}

/// A client of such servers. Certificates of the system are believed; redirects are not followed.
#[derive(Clone)]
pub struct Web {
    http: reqwest::Client,
    user_agent: String,
    timeouts: Timeouts,
}

impl Web {
    /// Returns a client that connects to nobody yet.
    ///
    /// # Errors
    /// TLS does not work here.
    pub fn new(user_agent: String, proxy: ProxyRules) -> Result<Self, WebError> {
        Self::with_tls(user_agent, proxy, &TlsOptions::default(), false)
    }

    /// Returns the same with certificates of its own; `insecure` accepts any.
    ///
    /// # Errors
    /// TLS options that are of no use.
    pub fn with_tls(
        user_agent: String,
        proxy: ProxyRules,
        tls: &TlsOptions,
        insecure: bool,
    ) -> Result<Self, WebError> {
        let timeouts = Timeouts::default();
        let http = http_client(tls, insecure, proxy, &timeouts, None);
        Ok(Self { http: http.map_err(Box::new)?, user_agent, timeouts })
    }

    /// Asks, some times if nobody answers or the server has trouble.
    ///
    /// # Errors
    /// If there is no answer. What the answer says is for the caller.
    pub async fn ask(&self, url: &str, ask: &Ask) -> Result<Said, WebError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match self.ask_once(url, ask).await {
                Ok(said) if !matches!(said.status, 429 | 500..) => return Ok(said),
                Err(WebError::Wire { source, .. }) if source.is_transient() => {}
                Ok(_) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
        self.ask_once(url, ask).await
    }

    async fn ask_once(&self, text: &str, ask: &Ask) -> Result<Said, WebError> {
        let url = Url::parse(text).map_err(|_| WebError::Url(text.to_owned()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(WebError::Url(text.to_owned()));
        }
        let method = if ask.body.is_some() { "POST" } else { "GET" };
        let mut request = match &ask.body {
            Some((media_type, body)) => {
                self.http.post(url.clone()).header(CONTENT_TYPE, *media_type).body(body.clone())
            }
            None => self.http.get(url.clone()),
        };
        request = request.header(USER_AGENT, &self.user_agent);
        if let Some(accept) = ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(bearer) = &ask.bearer {
            let mut value = http::HeaderValue::from_str(&format!("Bearer {}", bearer.reveal()))
                .map_err(|_| WebError::Url(text.to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        } else if let Some((user, password)) = &ask.basic {
            request = request.basic_auth(user, Some(password.reveal()));
        }
        let wire = |source| WebError::Wire { method, url: text.to_owned(), source };
        let answered = tokio::time::timeout(self.timeouts.idle, request.send()).await;
        let answer = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(wire(WireError::new(&error, &url, &[]))),
            Err(_) => return Err(wire(WireError::silent(self.timeouts.idle))),
        };
        let status = answer.status();
        let location = answer.headers().get(LOCATION).and_then(|it| it.to_str().ok());
        let location = location.map(str::to_owned);
        let headers = answer.headers().clone();
        let mut body = Vec::new();
        let mut stream = answer.bytes_stream();
        loop {
            let piece = tokio::time::timeout(self.timeouts.idle, stream.try_next()).await;
            match piece {
                Ok(Ok(Some(piece))) => body.extend_from_slice(&piece),
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(wire(WireError::new(&error, &url, &[]))),
                Err(_) => return Err(wire(WireError::silent(self.timeouts.idle))),
            }
            if body.len() > MAX_ANSWER {
                return Err(WebError::TooLong(text.to_owned()));
            }
        }
        let status_line = status.to_string();
        // Proxies pack what nobody asked them to.
        let body = encoding::unpacked(&headers, body.into(), MAX_ANSWER, |_| false);
        let body = body.map_err(Box::new)?;
        Ok(Said { status: status.as_u16(), status_line, location, body })
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("user_agent", &self.user_agent).finish_non_exhaustive()
    }
}
