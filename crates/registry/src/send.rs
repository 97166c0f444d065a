//! Sending one request: scheme, credentials, redirects, tries.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use skopeo_image::Digest;
use tracing::debug;
use url::Url;

use crate::answer::{Answer, is_page};
use crate::authorize::Proof;
use crate::client::Shared;
use crate::encoding;
use crate::error::Error;
use crate::manifests::{CONTENT_DIGEST, content_type};
use crate::pace::{Closed, Hints, Permit, Quota};
use crate::redact::redacted;
use crate::retry::{Tries, is_transient_status};
use crate::token::Scope;
use crate::warning;
use crate::wire::WireError;

/// The most of an error's body that is read, in bytes.
const MAX_ERROR_BODY: usize = 1024 * 1024;

/// How many redirects are followed, as in Go.
const MAX_REDIRECTS: usize = 10;

/// What registries say of themselves, and are told.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// When a registry that refuses may be asked again.
enum Until {
    Over(Duration),
    Refilled(Quota),
}

impl Until {
    fn tell(&self, refusal: Error, host: &str) -> Error {
        match self {
            Self::Over(wait) => refusal.later(host, *wait),
            Self::Refilled(quota) => refusal.spent(host, quota),
        }
    }
}

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

impl Shared {
    /// Sends `call` until there is an answer that is worth having, or no try is left.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Response, Error> {
        self.send_with(call, &mut Tries::new(&self.options.retry)).await
    }

    pub(crate) async fn send_with(
        &self,
        call: &Call<'_>,
        tries: &mut Tries<'_>,
    ) -> Result<Response, Error> {
        loop {
            let outcome = self.send_once(call).await;
            let (pause, why) = match &outcome {
                Ok(response) if is_transient_status(response.status().as_u16()) => {
                    let hints = Hints::of(response.headers(), SystemTime::now());
                    let status = response.status();
                    if let Some(until) = self.too_late(status, &hints, tries.left()) {
                        let host = self.called(response.url()).to_owned();
                        let refusal = self.refusal(outcome?).await;
                        return Err(until
                            .tell(refusal, &host)
                            .after(tries.done().saturating_add(1)));
                    }
                    let host = self.called(response.url());
                    let pause = tries.next(Some(status), hints.wait());
                    (pause, format!("registry {host}: {status}"))
                }
                // A host that was never reached is rather a wrong name than a bad moment.
                Err(Error::Ping { .. }) => return outcome,
                Err(error @ Error::Request { .. }) if error.is_transient() && !call.once => {
                    (tries.broken(error), error.chain())
                }
                _ => return outcome,
            };
            let Some(pause) = pause else {
                let last = match outcome {
                    Ok(response) => self.refusal(response).await,
                    Err(error) => error,
                };
                return Err(last.after(tries.done()));
            };
            drop(outcome);
            wait(pause, &why).await;
        }
    }

    /// Whether it makes no sense to wait until this refusal would not be one any more.
    fn too_late(&self, status: StatusCode, hints: &Hints, left: Duration) -> Option<Until> {
        if status != StatusCode::TOO_MANY_REQUESTS {
            return None;
        }
        if let Some(wait) = hints.wait() {
            return (wait > left).then_some(Until::Over(wait));
        }
        let spent = self.pace.spent()?;
        (spent.reset.or(spent.window)? > left).then_some(Until::Refilled(spent))
    }

    /// What a host is called where people read it: the registry as it was named.
    fn called<'a>(&'a self, url: &'a Url) -> &'a str {
        if self.is_paced(url) { &self.options.host } else { url.host_str().unwrap_or_default() }
    }

    /// Sends `call` and reads an answer of at most `limit` bytes, with fresh tries if it breaks.
    pub(crate) async fn fetch(
        &self,
        call: &Call<'_>,
        limit: usize,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
        let mut tries = Tries::new(&self.options.retry);
        loop {
            let mut response = self.send_with(call, &mut tries).await?;
            match self.read(&mut response, limit).await {
                Ok(body) => {
                    let (status, headers) = (response.status(), response.headers().clone());
                    let said = headers.get(CONTENT_DIGEST).and_then(|it| it.to_str().ok());
                    let digest = call.digest.clone().or_else(|| said?.trim().parse().ok());
                    let is_right = |bytes: &[u8]| {
                        digest.as_ref().is_some_and(|it| Digest::of(it.algorithm(), bytes) == *it)
                    };
                    let body = encoding::unpacked(&headers, body, limit, is_right);
                    return match body {
                        Ok(body) => Ok((status, headers, body)),
                        // What refuses need not be understood.
                        Err(_) if !status.is_success() => Ok((status, headers, Bytes::new())),
                        Err(error) => Err(error),
                    };
                }
                Err(error) if error.is_transient() => match tries.broken(&error) {
                    Some(pause) => wait(pause, &error.chain()).await,
                    None => return Err(error.after(tries.done())),
                },
                Err(error) => return Err(error),
            }
        }
    }

    /// The whole body, if it has no more than `limit` bytes whatever its length is said to be.
    pub(crate) async fn read(&self, response: &mut Response, limit: usize) -> Result<Bytes, Error> {
        let idle = self.options.timeouts.idle;
        let mut body = BytesMut::new();
        loop {
            let piece = match tokio::time::timeout(idle, response.chunk()).await {
                Err(_) => Err(WireError::silent(idle)),
                Ok(Err(error)) => Err(self.broken(&error, response.url())),
                Ok(Ok(piece)) => Ok(piece),
            };
            let piece =
                piece.map_err(|error| Error::request(&Method::GET, response.url(), error))?;
            let Some(piece) = piece else { return Ok(body.freeze()) };
            if piece.len() > limit.saturating_sub(body.len()) {
                return Err(Error::TooLarge(limit));
            }
            body.extend_from_slice(&piece);
        }
    }

    /// What the registry says in an answer that is not the wanted one.
    pub(crate) async fn refusal(&self, mut response: Response) -> Error {
        let status = response.status();
        // A body that cannot be read says no more than none.
        let is_html = content_type(response.headers()).is_some_and(|it| it.as_str() == "text/html");
        let body = if status.is_client_error() || status.is_server_error() || is_html {
            let idle = self.options.timeouts.idle;
            let body = tokio::time::timeout(idle, self.read(&mut response, MAX_ERROR_BODY)).await;
            let body = body.ok().and_then(Result::ok).unwrap_or_default();
            encoding::unpacked(response.headers(), body, MAX_ERROR_BODY, |_| false)
                .unwrap_or_default()
        } else {
            Bytes::new()
        };
        self.refusal_of(status, response.headers(), &body)
    }

    /// The headers of the answer to a change, or a question without an answer of its own, that went
    /// well. Who answers everything with a page has changed nothing.
    pub(crate) async fn done(&self, mut response: Response) -> Result<HeaderMap, Error> {
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(response).await);
        }
        let html = content_type(response.headers());
        if html.is_some_and(|html| html.as_str() == "text/html") {
            let idle = self.options.timeouts.idle;
            let body = tokio::time::timeout(idle, self.read(&mut response, MAX_ERROR_BODY)).await;
            // A page that breaks off, or is longer, is one all the same.
            if body.ok().and_then(Result::ok).is_none_or(|body| is_page(&body)) {
                return Err(self.page(status));
            }
        }
        Ok(response.headers().clone())
    }

    /// A page for people where a registry should answer.
    pub(crate) fn page(&self, status: StatusCode) -> Error {
        Error::Answer(Answer::page(status).to(&self.options.host, &self.options.credentials))
    }

    /// What the registry says in an answer that is not the wanted one.
    pub(crate) fn said(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
        let answer = Answer::of_registry(status, headers, body);
        answer.to(&self.options.host, &self.options.credentials)
    }

    pub(crate) fn refusal_of(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        Error::Answer(self.said(status, headers, body).about_something_else())
    }

    /// Sends `call` with what the registry wants to see, as far as that is known or told.
    pub(crate) async fn send_once(&self, call: &Call<'_>) -> Result<Response, Error> {
        let scopes = match (&call.access, &call.target) {
            (Access::Shown(proof), _) => return self.send_somewhere(call, proof.as_ref()).await,
            (Access::InBody, _) => return self.send_somewhere(call, None).await,
            (Access::Scopes(_), Target::Url(url)) if !self.is_ours(url) => {
                return self.send_somewhere(call, None).await;
            }
            (Access::Scopes(scopes), _) => scopes,
        };
        // The first request of all goes alone: it finds the scheme and the challenge, and over
        // HTTP/2 its connection then serves all others.
        let mut first = None;
        if self.known().scheme.is_none() {
            first = Some(self.first.lock().await);
            if self.known().scheme.is_some() {
                first = None;
            }
        }
        let mut scopes = scopes.clone();
        let mut proof = self.proof(&scopes, None, false).await?;
        // One more chance where the registry tells what it wants to see, and one where that was
        // not enough and it tells what is missing.
        let (mut told, mut widened) = (false, false);
        // And one with a token of its own, where tokens may be good for few requests.
        let mut alone = self.known().spends_tokens;
        loop {
            let sent = Instant::now();
            let response = self.send_somewhere(call, proof.as_ref()).await?;
            let status = response.status();
            let trusted = self.is_ours(response.url());
            if trusted && (status.is_success() || response.headers().contains_key(API_VERSION)) {
                self.known().is_registry = true;
            }
            if trusted {
                self.known().learn(response.headers());
            }
            let again = match status {
                _ if !trusted => false,
                StatusCode::UNAUTHORIZED => {
                    let more = self.learn(&response, &mut scopes).await?;
                    let again = !told || more && !widened;
                    widened |= told;
                    // Others may have used up the token that was shown.
                    let spent = !again && !alone && self.may_be_spent(proof.as_ref());
                    alone |= spent;
                    again || spent
                }
                _ if told => false,
                // Some registries hide what is private from those who do not say who they are.
                StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                    proof.is_none() && !self.is_anonymous() && self.ping().await?
                }
                _ => false,
            };
            drop(first.take());
            if !again {
                if alone && trusted && status != StatusCode::UNAUTHORIZED {
                    self.spends_tokens();
                }
                return Ok(response);
            }
            let next = self.proof(&scopes, proof.is_some().then_some(sent), alone).await?;
            if next.is_none() || next == proof {
                return Ok(response);
            }
            proof = next;
            told = true;
        }
    }

    /// Sends `call` over https, or over http where that is allowed and https is not the registry.
    async fn send_somewhere(
        &self,
        call: &Call<'_>,
        proof: Option<&Proof>,
    ) -> Result<Response, Error> {
        let path = match &call.target {
            Target::Url(url) => return self.follow(call, url, proof).await,
            Target::Path(path) => path,
        };
        let known = self.known().scheme;
        if let Some(scheme) = known {
            return self.follow(call, &self.url(scheme, path)?, proof).await;
        }
        self.trust.warm();
        let insecure = self.options.insecure;
        let secure = self.follow(call, &self.url("https", path)?, proof).await;
        if let Err(error) = &secure {
            debug!("Ping https://{}/v2/ err {error}", self.server);
        }
        let plain = match &secure {
            // Whatever speaks http there is what was meant.
            Err(error) if insecure && error.is_connect() => true,
            Err(_) if insecure => self.ping_by("http").await.unwrap_or(false),
            Ok(response) if insecure && !self.is_of_registry(response, path).await => {
                debug!("The server with HTTPS at {} is not a registry", self.server);
                self.ping_by("http").await.unwrap_or(false)
            }
            _ => false,
        };
        let answer = match plain {
            true => {
                drop(secure);
                self.follow(call, &self.url("http", path)?, proof).await
            }
            false => secure,
        };
        match answer {
            Ok(response) => {
                self.known().scheme = Some(if plain { "http" } else { "https" });
                Ok(response)
            }
            Err(error) => {
                if plain {
                    debug!("Ping http://{}/v2/ err {error}", self.server);
                }
                Err(if error.is_connect() { error.ping(&self.server) } else { error })
            }
        }
    }

    /// Whether the first answer over https comes from a registry. Where it does not show, `/v2/` is
    /// asked.
    async fn is_of_registry(&self, response: &Response, path: &str) -> bool {
        let status = response.status();
        status.is_success()
            || status == StatusCode::UNAUTHORIZED
            || response.headers().contains_key(API_VERSION)
            || path != "/v2/" && self.ping_by("https").await.unwrap_or(false)
    }

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
            let response = self
                .limited(&call.method, self.exchange(&call.method, &url, &headers, body, proof))
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

    /// Sends one request and gets the head of its answer.
    pub(crate) async fn exchange(
        &self,
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
        let response =
            self.http.execute(request).await.map_err(|error| self.broken(&error, url))?;
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

/// Waits, and says so: what waits looks like what hangs.
pub(crate) async fn wait(pause: Duration, why: &str) {
    if pause >= Duration::from_secs(1) {
        tracing::info!("{why}: trying again in {:.0} s", pause.as_secs_f32());
    } else {
        debug!("{why}: trying again in {} ms", pause.as_millis());
    }
    tokio::time::sleep(pause).await;
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

/// Whether what is meant for `from` may be shown to `to`.
pub(crate) fn is_same_origin(from: &Url, to: &Url) -> bool {
    let upgraded = from.scheme() == "http" && to.scheme() == "https";
    from.host() == to.host()
        && (from.scheme() == to.scheme()
            && from.port_or_known_default() == to.port_or_known_default()
            || upgraded && from.port().is_none() && to.port().is_none())
}
