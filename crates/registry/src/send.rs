//! Sending a request until there is an answer: scheme, credentials, tries.

use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use skopeo_image::Digest;
use tracing::debug;
use url::Url;

use crate::answer::{Answer, is_page};
use crate::call::{Access, Call, Proof, Target};
use crate::encoding;
use crate::error::Error;
use crate::headers::{API_VERSION, CONTENT_DIGEST, content_type};
use crate::pace::{Hints, Quota};
use crate::retry::{Tries, is_transient_status};
use crate::shared::Shared;
use crate::wire::WireError;

/// The most of an error's body that is read, in bytes.
const MAX_ERROR_BODY: usize = 1024 * 1024;

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
