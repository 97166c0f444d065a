//! Requests of the crate `object_store`, over a client that is given in.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::http::header::USER_AGENT;
use ::http::{HeaderValue, Method};
use async_trait::async_trait;
use futures_util::stream;
use http_body_util::StreamBody;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpResponse, HttpResponseBody, HttpService,
};

use crate::options::StoreOptions;

/// How much longer the answer to a write may take: a store may be moving what it got.
const WRITING: u32 = 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("{0}")]
    Broken(String),
    #[error("no answer in {0:?}")]
    Silent(Duration),
}

/// Makes clients of one store, and counts what they ask.
#[derive(Clone)]
pub(crate) struct Connector {
    store: reqwest::Client,
    metadata: reqwest::Client,
    idle: Duration,
    user_agent: HeaderValue,
    requests: Arc<AtomicU64>,
}

impl Connector {
    pub(crate) fn new(options: &StoreOptions) -> Self {
        let user_agent = HeaderValue::from_str(&options.user_agent);
        Self {
            store: options.http.clone(),
            metadata: options.metadata.clone(),
            idle: options.idle,
            user_agent: user_agent.unwrap_or_else(|_| HeaderValue::from_static("skopeo")),
            requests: Arc::default(),
        }
    }

    /// How many requests have been sent so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The client of the store itself.
    pub(crate) fn client(&self) -> HttpClient {
        HttpClient::new(Service { http: self.store.clone(), connector: self.clone() })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // This is how `object_store` asks for a client of the metadata of a machine.
        let usual = ClientOptions::new().get_config_value(&ClientConfigKey::ConnectTimeout);
        let wanted = options.get_config_value(&ClientConfigKey::ConnectTimeout);
        let http = if wanted == usual { &self.store } else { &self.metadata };
        Ok(HttpClient::new(Service { http: http.clone(), connector: self.clone() }))
    }
}

#[derive(Debug)]
struct Service {
    http: reqwest::Client,
    connector: Connector,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.connector.requests.fetch_add(1, Ordering::Relaxed);
        let (parts, body) = request.into_parts();
        let url = reqwest::Url::parse(&parts.uri.to_string());
        let url = url.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let reads = [Method::GET, Method::HEAD, Method::DELETE].contains(&parts.method);
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        request.headers_mut().entry(USER_AGENT).or_insert(self.connector.user_agent.clone());
        if body.content_length() > 0 {
            *request.body_mut() = Some(reqwest::Body::wrap(body));
        }
        let idle = self.connector.idle;
        let wait = if reads { idle } else { idle.saturating_mul(WRITING) };
        let answered = tokio::time::timeout(wait, self.http.execute(request)).await;
        let answer = answered.map_err(|_| silent(wait))?.map_err(|error| broken(&error))?;
        let (parts, body) = ::http::Response::<reqwest::Body>::from(answer).into_parts();
        let pieces = stream::try_unfold(Box::pin(body), move |mut body| async move {
            let next = http_body_util::BodyExt::frame(&mut body);
            match tokio::time::timeout(idle, next).await {
                Err(_) => Err(silent(idle)),
                Ok(None) => Ok(None),
                Ok(Some(Ok(frame))) => Ok(Some((frame, body))),
                Ok(Some(Err(error))) => Err(broken(&error)),
            }
        });
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(StreamBody::new(pieces))))
    }
}

fn silent(wait: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Unanswered::Silent(wait))
}

/// The same without the address, which may hold a signature.
fn broken(error: &reqwest::Error) -> HttpError {
    let kind = if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_decode() || error.is_body() {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Request
    };
    let mut said = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        said.push(error.to_string());
        source = error.source();
    }
    let said = if said.is_empty() { "the connection broke".to_owned() } else { said.join(": ") };
    HttpError::new(kind, Unanswered::Broken(said))
}
