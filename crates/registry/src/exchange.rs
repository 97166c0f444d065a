//! One request and its answer: to which address, with redirects, at the registry's pace.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue, LOCATION, USER_AGENT};
use http::{HeaderMap, Method};
use reqwest::Response;
use tracing::debug;
use url::Url;

use crate::answer::Answer;
use crate::call::{Access, Call, Proof, is_same_origin};
use crate::error::Error;
use crate::headers::API_VERSION;
use crate::pace::{Closed, Permit};
use crate::redact::redacted;
use crate::shared::Shared;
use crate::warning;
use crate::wire::WireError;

/// How many redirects are followed, as in Go.
const MAX_REDIRECTS: usize = 10;

impl Shared {
    /// Sends to `url` and follows where the answer leads. Credentials stay at home.
    pub(crate) async fn follow(
        &self,
        call: &Call<'_>,
        url: &Url,
        proof: Option<&Proof>,
    ) -> Result<Response, Error> {
        let mut url = Cow::Borrowed(url);
        let mut proof = proof;
        let mut headers = Cow::Borrowed(&call.headers);
        if let Some(body) = &call.body {
            // Also for no bytes at all: some servers insist.
            headers.to_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        for _ in 0..=MAX_REDIRECTS {
            let body = call.body.clone().map(reqwest::Body::from);
            let permit = self.permit(&url).await?;
            // Who only says where the blob is needs no connection for that.
            let apart = call.apart && !(self.is_paced(&url) && self.known().redirects_blobs);
            let response = self
                .limited(
                    &call.method,
                    self.exchange(apart, &call.method, &url, &headers, body, proof),
                )
                .await
                .map_err(|error| Error::request(&call.method, &url, error))?;
            if let Some(permit) = permit
                && !call.aside
            {
                permit.answered(response.status().as_u16(), response.headers());
            }
            let Some(next) = redirect(&call.method, &response)
                .map_err(|error| Error::request(&call.method, &url, error))?
            else {
                return Ok(response);
            };
            if !is_same_origin(&url, &next) {
                if url.path().contains("/blobs/sha") && self.is_paced(&url) {
                    self.known().redirects_blobs = true;
                }
                if matches!(call.access, Access::InBody) {
                    let text = format!(
                        "redirected to {}, which must not get this request",
                        redacted(&next)
                    );
                    return Err(Error::request(&call.method, &url, WireError::bad_request(text)));
                }
                proof = None;
            }
            url = Cow::Owned(next);
        }
        let error = WireError::bad_request(format!("stopped after {MAX_REDIRECTS} redirects"));
        Err(Error::request(&call.method, &url, error))
    }

    /// Waits until the registry may be asked; other hosts may always.
    pub(crate) async fn permit(&self, url: &Url) -> Result<Option<Permit>, Error> {
        if !self.is_paced(url) {
            return Ok(None);
        }
        self.pace.enter().await.map(Some).map_err(|Closed(wait)| {
            Error::Answer(Answer::too_many()).later(&self.options.host, wait)
        })
    }

    /// Whether a request to `url` is one to the registry, by whatever scheme.
    pub(crate) fn is_paced(&self, url: &Url) -> bool {
        self.url(url.scheme(), "/").is_ok_and(|ours| is_same_origin(&ours, url))
    }

    /// Gives an answer only so long to come.
    async fn limited<T>(
        &self,
        method: &Method,
        answer: impl Future<Output = Result<T, WireError>>,
    ) -> Result<T, WireError> {
        let timeouts = &self.options.timeouts;
        let limit = match *method {
            Method::GET | Method::HEAD | Method::POST => timeouts.idle,
            _ => timeouts.commit,
        };
        let limit = limit.saturating_add(timeouts.connect);
        let answer = tokio::time::timeout(limit, answer).await;
        answer.unwrap_or_else(|_| Err(WireError::silent(limit).of_host(&self.options.host)))
    }

    /// Sends one request and gets the head of its answer; `apart` from others, where that makes a
    /// difference.
    pub(crate) async fn exchange(
        &self,
        apart: bool,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Option<reqwest::Body>,
        proof: Option<&Proof>,
    ) -> Result<Response, WireError> {
        let mut request = reqwest::Request::new(method.clone(), url.clone());
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        if let Ok(agent) = HeaderValue::from_str(&self.options.user_agent) {
            request.headers_mut().insert(USER_AGENT, agent);
        }
        if let Some(proof) = proof {
            request.headers_mut().insert(AUTHORIZATION, proof.header());
        }
        *request.body_mut() = body;
        let shown = redacted(url);
        debug!("{method} {shown}");
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.connections.execute(request, apart).await;
        let response = answer.map_err(|(error, again)| match again {
            true => self.broken(&error, url).transient(),
            false => self.broken(&error, url),
        })?;
        debug!("{method} {shown}: {}", response.status());
        warning::log(self, response.headers(), &shown);
        Ok(response)
    }

    /// Why a request to `url` got no answer, or not to its end.
    pub(crate) fn broken(&self, error: &reqwest::Error, url: &Url) -> WireError {
        let proxy = self.options.proxy.proxy_for(url);
        WireError::via(error, url, proxy, &self.options.tls.searched).of_host(&self.options.host)
    }

    pub(crate) fn url(&self, scheme: &str, path: &str) -> Result<Url, Error> {
        let text = format!("{scheme}://{}{path}", self.server);
        Url::parse(&text).map_err(|error| Error::Protocol(format!("invalid URL {text}: {error}")))
    }

    /// Whether `url` leads to the registry itself, so that its credentials may go there.
    pub(crate) fn is_ours(&self, url: &Url) -> bool {
        let scheme = self.known().scheme.unwrap_or("https");
        self.url(scheme, "/").is_ok_and(|ours| is_same_origin(&ours, url))
    }
}

/// Where an answer leads, if it does.
fn redirect(method: &Method, response: &Response) -> Result<Option<Url>, WireError> {
    let follows = match response.status().as_u16() {
        301..=303 => *method == Method::GET || *method == Method::HEAD,
        307 | 308 => true,
        _ => false,
    };
    let Some(location) = response.headers().get(LOCATION).filter(|_| follows) else {
        return Ok(None);
    };
    let next = std::str::from_utf8(location.as_bytes())
        .ok()
        .and_then(|text| response.url().join(text).ok())
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| WireError::bad_request("redirected without a URL".to_owned()))?;
    Ok(Some(next))
}
