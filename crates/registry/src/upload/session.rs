//! An upload that is open: begun, given up, found again at its next address.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, LOCATION};
use http::{Method, StatusCode};
use reqwest::Response;
use tracing::debug;
use url::Url;

use super::UploadError;
use crate::call::{Access, Call};
use crate::error::Error;
use crate::redact::redacted;
use crate::repository::Repository;
use crate::shared::Shared;

/// How long to wait for the answer to a cancellation, which nobody needs.
const CANCEL_TIME: Duration = Duration::from_secs(5);

const CHUNK_MIN: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// An upload that the registry has opened.
#[derive(Clone)]
pub struct UploadSession {
    pub(super) location: Url,
    /// The shortest chunk that is taken, in bytes.
    pub(super) chunk_min: u64,
}

impl fmt::Debug for UploadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadSession({})", redacted(&self.location))
    }
}

impl Repository {
    /// Gives up an upload. That the registry does not care is no error.
    pub async fn cancel_upload(&self, session: UploadSession) {
        let shared = self.shared();
        let cancel = async {
            let mut call = Call::to(Method::DELETE, &session.location);
            if shared.is_ours(&session.location) {
                call.access = Access::Shown(shared.proof(&self.to_write(), None, false).await?);
            }
            let proof = match &call.access {
                Access::Shown(proof) => proof.clone(),
                Access::Scopes(_) | Access::InBody => None,
            };
            shared.follow(&call, &session.location, proof.as_ref()).await
        };
        match tokio::time::timeout(CANCEL_TIME, cancel).await {
            Ok(Ok(response)) => debug!("Cancelled an upload: {}", response.status()),
            Ok(Err(error)) => debug!("Cancelling an upload: {error}"),
            Err(_) => debug!("Cancelling an upload: no answer"),
        }
    }

    /// Sends `POST`, and returns where to send a blob.
    ///
    /// # Errors
    /// As [`Repository::upload`](Self::upload), which does it where it is given no session.
    pub async fn open_upload(&self) -> Result<UploadSession, UploadError> {
        let path = format!("/v2/{}/blobs/uploads/", self.path);
        let doing = format!("initiating layer upload to {path} in {}", self.shared().server);
        let call = Call::new(Method::POST, path).scopes(self.to_write()).body(Bytes::new());
        let response = match self.shared().send(&call).await {
            Ok(response) => response,
            Err(error) => return Err(error.doing(doing).into()),
        };
        if !matches!(response.status(), StatusCode::ACCEPTED | StatusCode::CREATED) {
            return Err(self.shared().refusal(response).await.doing(doing).into());
        }
        Ok(self.opened(&response)?)
    }

    pub(super) fn opened(&self, response: &Response) -> Result<UploadSession, Error> {
        let chunk_min =
            response.headers().get(CHUNK_MIN).and_then(|value| value.to_str().ok()?.parse().ok());
        let location = self.shared().location(response)?;
        Ok(UploadSession { location, chunk_min: chunk_min.unwrap_or(0) })
    }
}

impl Shared {
    /// Where an upload goes on.
    pub(super) fn location(&self, response: &Response) -> Result<Url, Error> {
        let wrong = |reason: String| Error::Protocol(format!("determining upload URL: {reason}"));
        let value = response
            .headers()
            .get(LOCATION)
            .ok_or_else(|| wrong("http: no Location header in response".to_owned()))?;
        let text = String::from_utf8_lossy(value.as_bytes());
        let mut url =
            response.url().join(&text).map_err(|error| wrong(format!("{text:?}: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("{text:?} is not an http URL")));
        }
        // A registry behind a proxy that does TLS for it often does not know of that.
        let asked = response.url();
        if asked.scheme() == "https"
            && url.scheme() == "http"
            && asked.host() == url.host()
            && (url.port().is_none() || url.port() == asked.port())
            && url.set_scheme("https").is_ok()
            && url.set_port(asked.port()).is_err()
        {
            return Err(wrong(format!("{text:?} has no host")));
        }
        Ok(url)
    }
}
