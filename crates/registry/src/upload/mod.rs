//! Blobs: start, mount, put, patch, with a way around for registries that refuse each.

mod body;
mod chunked;
mod resume;
mod session;

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use skopeo_image::number::wide;
use skopeo_image::{Algorithm, Digest};
use tracing::debug;
use url::Url;

use crate::call::Call;
use crate::connections::is_large;
use crate::error::Error;
use crate::pace::Permit;
use crate::redact::redacted;
use crate::repository::Repository;
use crate::retry::{Tries, is_transient_status};
use crate::send::wait;
use crate::token::Scope;

use body::{Hashing, Watch};

pub use session::UploadSession;

/// What a body's stream may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Blobs up to this size are held in memory, so that they can be sent again.
const SMALL: u64 = 256 * 1024;

/// What errors of PATCH are about.
const CHUNKED: &str = "uploading layer chunked";

/// What came of asking for a blob that another repository has.
#[derive(Clone, Debug)]
pub enum Mount {
    /// It is here now.
    Mounted,
    /// It has to be sent: in the session that was opened instead, if one was.
    NotMounted(Option<UploadSession>),
}

/// Why a blob was not stored.
#[derive(Debug)]
pub enum UploadError {
    /// The bytes could not be had. Nothing is wrong with the registry.
    Body(BoxError),
    /// The registry, or the way to it.
    Registry {
        /// What it said.
        error: Error,
        /// What may help, with the blob's bytes from the start.
        retry_with: Option<RetryWith>,
    },
    /// The connection broke while bytes were sent.
    Broken {
        /// How it broke.
        error: Error,
        /// The upload, which was not given up: the registry may have what was sent, which
        /// [`Repository::find_upload`] tells. If not, [`RetryWith::Chunked`] may help.
        session: UploadSession,
    },
}

/// How a blob whose upload failed may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryWith {
    /// [`Repository::upload`] again.
    Same,
    /// [`Repository::upload_chunked`]: small requests, each of which can be repeated.
    Chunked,
    /// [`Repository::upload`] with digest and size, which makes it one PUT: there is no PATCH.
    Whole,
}

impl UploadError {
    /// Returns how the blob may be sent again, if that may help.
    #[must_use]
    pub fn retry_with(&self) -> Option<RetryWith> {
        match self {
            Self::Registry { retry_with, .. } => *retry_with,
            Self::Broken { .. } => Some(RetryWith::Chunked),
            Self::Body(_) => None,
        }
    }

    /// Whether a connection broke over which bytes of a large blob were sent, which was not the
    /// registry's answer.
    fn is_broken_line(&self) -> bool {
        match self {
            Self::Registry { error, retry_with: Some(RetryWith::Chunked) } => {
                error.status().is_none() && error.is_transient()
            }
            _ => false,
        }
    }

    /// The same, of an upload that may be gone on with.
    fn keeping(self, session: UploadSession) -> Self {
        match self {
            Self::Registry { error, .. } => Self::Broken { error, session },
            other => other,
        }
    }

    fn last(error: Error) -> Self {
        Self::Registry { error, retry_with: None }
    }

    fn again(error: Error, retry_with: RetryWith) -> Self {
        Self::Registry { error, retry_with: Some(retry_with) }
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(_) => f.write_str("reading the blob to upload"),
            Self::Registry { error, .. } | Self::Broken { error, .. } => error.fmt(f),
        }
    }
}

impl std::error::Error for UploadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Body(error) => Some(error.as_ref()),
            Self::Registry { error, .. } | Self::Broken { error, .. } => error.source(),
        }
    }
}

impl From<Error> for UploadError {
    fn from(error: Error) -> Self {
        Self::last(error)
    }
}

impl Repository {
    /// Asks the registry to take a blob from another of its repositories.
    ///
    /// # Errors
    /// Only what would keep an upload from going well, too: that the registry does not mount, or
    /// may not show the other repository, is no error.
    pub async fn mount(&self, digest: &Digest, from: &str) -> Result<Mount, Error> {
        let mut scopes = self.to_write();
        if from != self.path {
            scopes.push(Scope::repository(from, "pull"));
        }
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("from", from)
            .append_pair("mount", digest.as_str())
            .finish();
        let call = self
            .call(Method::POST, format_args!("blobs/uploads/?{query}"))
            .scopes(scopes)
            .body(Bytes::new());
        let doing = || format!("mounting {digest} from {from} to {}", self.name());
        let response = match self.shared().send(&call).await {
            Ok(response) => response,
            Err(error) if error.status().is_some_and(|status| (400..500).contains(&status)) => {
                debug!("... Mount failed: {error}");
                return Ok(Mount::NotMounted(None));
            }
            Err(error) => return Err(error.doing(doing())),
        };
        match response.status() {
            StatusCode::CREATED => Ok(Mount::Mounted),
            StatusCode::ACCEPTED => Ok(Mount::NotMounted(self.opened(&response).ok())),
            status if status.is_client_error() => {
                debug!("... Mount failed: {}", self.shared().refusal(response).await);
                Ok(Mount::NotMounted(None))
            }
            _ => Err(self.shared().refusal(response).await.doing(doing())),
        }
    }

    /// Sends a blob: in one PUT if digest and size are known, else in one PATCH and a PUT.
    ///
    /// `session` is what [`Repository::mount`] may have left. The digest and size that come back
    /// are those of the bytes sent. The stream must fail if its bytes are not what `digest` says.
    ///
    /// # Errors
    /// [`UploadError::Body`] if the stream failed; [`UploadError::Broken`] if the line did, after
    /// more than a few bytes of a blob whose digest and size are known; otherwise the registry's,
    /// with advice whether the same bytes should be sent again. Small blobs have been sent again
    /// already.
    pub async fn upload(
        &self,
        session: Option<UploadSession>,
        digest: Option<&Digest>,
        size: Option<u64>,
        body: BoxStream<'static, Result<Bytes, BoxError>>,
    ) -> Result<(Digest, u64), UploadError> {
        if let (Some(digest), Some(size @ ..=SMALL)) = (digest, size) {
            let bytes = collect(body, size).await?;
            return self.upload_bytes(session, digest, bytes).await;
        }
        let session = match session {
            Some(session) => session,
            None => self.open_upload().await?,
        };
        let outcome = match (digest, size) {
            (Some(digest), Some(size)) => self.put_whole(&session, digest, size, body).await,
            _ => self.patch_whole(&session, digest, size, body).await,
        };
        match outcome {
            Err(error) if error.is_broken_line() && digest.is_some() && size.is_some() => {
                Err(error.keeping(session))
            }
            Err(error) => {
                self.cancel_upload(session).await;
                Err(error)
            }
            done => done,
        }
    }

    /// A blob that is in memory: sent again as often as need be.
    async fn upload_bytes(
        &self,
        session: Option<UploadSession>,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<(Digest, u64), UploadError> {
        let size = wide(bytes.len());
        let mut session = match session {
            Some(session) => session,
            None => self.open_upload().await?,
        };
        let mut tries = Tries::new(&self.shared().options.retry);
        let mut judged = false;
        loop {
            let error = match self.finish(&session, digest, bytes.clone(), size, true).await {
                Ok(()) => break,
                Err(error) => error,
            };
            // What broke on its way may have spoilt the session; what was refused may be in a
            // session that is lost. Both have another chance, in a new one.
            let pause = match error.status() {
                None if error.is_transient() => tries.broken(&error),
                _ if !judged && may_be_the_session(&error) => {
                    judged = true;
                    Some(Duration::ZERO)
                }
                _ => None,
            };
            self.cancel_upload(session).await;
            let Some(pause) = pause else {
                let error = error.after(tries.done());
                return Err(match self.judge(error) {
                    // It has been sent again often enough.
                    UploadError::Registry { error, .. }
                        if error.status().is_some_and(is_transient_status) =>
                    {
                        UploadError::last(error)
                    }
                    failed => failed,
                });
            };
            debug!("Sending a small blob again: {error}");
            wait(pause, &error.chain()).await;
            // The answer may be what was lost.
            if self.head_blob(digest).await.ok() == Some(Some(size)) {
                break;
            }
            session = self.open_upload().await?;
        }
        Ok((digest.clone(), size))
    }

    /// One `PUT` with all the bytes.
    async fn put_whole(
        &self,
        session: &UploadSession,
        digest: &Digest,
        size: u64,
        body: BoxStream<'static, Result<Bytes, BoxError>>,
    ) -> Result<(Digest, u64), UploadError> {
        let url = with_digest(&session.location, digest);
        let mut headers = octets();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        let watch = Watch::new(Some(size));
        let response = self.stream(Method::PUT, &url, &headers, body, &watch).await?;
        if is_stored(response.status()) {
            return Ok((digest.clone(), size));
        }
        let refusal = self.shared().refusal(response).await;
        Err(self.judge(refusal.doing(format!("uploading layer to {}", redacted(&url)))))
    }

    /// One `PATCH` with all the bytes, then a `PUT` with the digest they turned out to have.
    async fn patch_whole(
        &self,
        session: &UploadSession,
        digest: Option<&Digest>,
        size: Option<u64>,
        body: BoxStream<'static, Result<Bytes, BoxError>>,
    ) -> Result<(Digest, u64), UploadError> {
        let mut headers = octets();
        if let Some(size) = size {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        }
        let watch = Watch::new(size);
        let (body, hashing) = match digest {
            Some(_) => (body, None),
            None => {
                let (body, hashing) = Hashing::start(body, Algorithm::Sha256);
                (body, Some(hashing))
            }
        };
        let response =
            self.stream(Method::PATCH, &session.location, &headers, body, &watch).await?;
        if !response.status().is_success() {
            let refusal = self.shared().refusal(response).await;
            return Err(match is_unsupported(&refusal) {
                true => UploadError::again(refusal.doing(CHUNKED), RetryWith::Whole),
                false => self.judge(refusal.doing(CHUNKED)),
            });
        }
        if !watch.is_sent() {
            let error = Error::Protocol("the registry did not wait for the whole blob".to_owned());
            return Err(UploadError::again(error, RetryWith::Chunked));
        }
        let mut session = session.clone();
        session.location = self.shared().location(&response)?;
        let found = match (digest, hashing) {
            (Some(digest), _) => digest.clone(),
            (None, Some(hashing)) => hashing.finish().await,
            (None, None) => unreachable!("without a digest there is hashing"),
        };
        match self.finish(&session, &found, Bytes::new(), watch.sent(), false).await {
            Ok(()) => Ok((found, watch.sent())),
            Err(error) => Err(self.judge(error)),
        }
    }

    /// The last `PUT`, with the digest and what bytes there are left; `once` if a try that breaks
    /// spoils the session.
    async fn finish(
        &self,
        session: &UploadSession,
        digest: &Digest,
        bytes: Bytes,
        size: u64,
        once: bool,
    ) -> Result<(), Error> {
        let url = with_digest(&session.location, digest);
        let mut call = Call::to(Method::PUT, &url).scopes(self.to_write()).body(bytes);
        call.once = once;
        call.headers = octets();
        let doing = || format!("uploading layer to {}", redacted(&url));
        let response = self.shared().send(&call).await.map_err(|error| error.doing(doing()))?;
        let status = response.status();
        if is_stored(status) {
            return Ok(());
        }
        let refusal = self.shared().refusal(response).await;
        // The answer to a PUT may be lost after the blob was stored and the session closed.
        if status == StatusCode::NOT_FOUND && self.head_blob(digest).await.ok() == Some(Some(size))
        {
            return Ok(());
        }
        Err(refusal.doing(doing()))
    }

    /// Sends `body` once, watching that it gets on.
    async fn stream(
        &self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
        body: BoxStream<'static, Result<Bytes, BoxError>>,
        watch: &Watch,
    ) -> Result<Response, UploadError> {
        let shared = self.shared();
        let proof = match shared.is_ours(url) {
            true => shared.proof(&self.to_write(), None, false).await?,
            false => None,
        };
        // What is uploaded may come from this very registry, and need more requests to come.
        let permit = shared.permit(url).await?.map(Permit::into_stream);
        let body = reqwest::Body::wrap_stream(watch.over(body));
        let apart = is_large(watch.size());
        let answer = shared.exchange(apart, &method, url, headers, Some(body), proof.as_ref());
        let problem = match watch.guard(answer, &shared.options.timeouts).await {
            Ok(response) => {
                if let Some(permit) = permit {
                    permit.answered(response.status().as_u16(), response.headers());
                }
                let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
                if unauthorized && shared.is_ours(url) && shared.may_be_spent(proof.as_ref()) {
                    shared.spends_tokens();
                }
                // A refusal may come before the body was read; whether that failed matters less.
                return Ok(response);
            }
            Err(problem) => problem,
        };
        if let Some(error) = watch.failure() {
            return Err(UploadError::Body(error));
        }
        let again = problem.is_transient();
        let error = Error::request(&method, url, problem);
        Err(match again {
            true if watch.sent() > 0 => UploadError::again(error, RetryWith::Chunked),
            true => UploadError::again(error, RetryWith::Same),
            false => UploadError::last(error),
        })
    }

    /// What may help against a refusal.
    fn judge(&self, error: Error) -> UploadError {
        let code = error.codes().first().map_or("", String::as_str);
        let retry_with = match error.status() {
            // Only what is in memory can be sent elsewhere.
            Some(307 | 308) => Some(RetryWith::Chunked),
            // The token ran out, or the session did: both are new the next time.
            Some(401 | 404) => Some(RetryWith::Same),
            Some(400) if matches!(code, "DIGEST_INVALID") => Some(RetryWith::Same),
            Some(400) if !matches!(code, "NAME_INVALID" | "NAME_UNKNOWN" | "DENIED") => {
                Some(RetryWith::Chunked)
            }
            Some(405 | 411 | 413..=416 | 501) => Some(RetryWith::Chunked),
            Some(status) if is_transient_status(status) => Some(RetryWith::Same),
            Some(_) => None,
            None => error.is_transient().then_some(RetryWith::Chunked),
        };
        UploadError::Registry { error, retry_with }
    }
}

/// Whether the registry knows no such method there.
fn is_unsupported(error: &Error) -> bool {
    matches!(error.status(), Some(405 | 501))
        || error.codes().first().is_some_and(|code| code == "UNSUPPORTED")
}

/// Whether a blob that was not taken may be in another upload: not if the registry says who may
/// not, or has been too busy for all tries.
fn may_be_the_session(error: &Error) -> bool {
    let busy = error.tried() > 1 && matches!(error.status(), Some(429 | 502..=504));
    !busy && !error.is_denied() && !error.is_unauthorized()
}

fn is_stored(status: StatusCode) -> bool {
    matches!(status, StatusCode::CREATED | StatusCode::OK | StatusCode::NO_CONTENT)
}

fn octets() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))])
}

fn with_digest(location: &Url, digest: &Digest) -> Url {
    let mut url = location.clone();
    url.query_pairs_mut().append_pair("digest", digest.as_str());
    url
}

/// A small body as a whole, exactly `size` bytes of it.
async fn collect(
    mut body: BoxStream<'static, Result<Bytes, BoxError>>,
    size: u64,
) -> Result<Bytes, UploadError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(UploadError::Body)?;
        if wide(piece.len()) > size.saturating_sub(wide(whole.len())) {
            return Err(UploadError::Body(body::Length { expected: size, longer: true }.into()));
        }
        whole.extend_from_slice(&piece);
    }
    if wide(whole.len()) < size {
        return Err(UploadError::Body(body::Length { expected: size, longer: false }.into()));
    }
    Ok(whole.freeze())
}
