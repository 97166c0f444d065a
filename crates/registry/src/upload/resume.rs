//! Uploads that broke off, in this run or an earlier one, and that the registry still holds.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderValue};
use http::{HeaderMap, Method};
use skopeo_image::Digest;
use skopeo_image::number::{narrow, wide};
use tracing::debug;
use url::Url;

use super::body::Watch;
use super::chunked::received;
use super::{BoxError, CHUNKED, RetryWith, SMALL, UploadError, UploadSession, octets};
use crate::call::Call;
use crate::repository::Repository;

impl UploadSession {
    /// Returns where it is found again. It may have a secret of the registry in it.
    #[must_use]
    pub fn location(&self) -> &str {
        self.location.as_str()
    }
}

impl Repository {
    /// Looks for an upload at a [location](UploadSession::location) that was written down: gives
    /// how many bytes of it the registry has. `None` if it is gone, or not worth going on with, or
    /// if the location is no upload of this repository.
    pub async fn find_upload(&self, location: &str) -> Option<(UploadSession, u64)> {
        let shared = self.shared();
        let location = Url::parse(location).ok()?;
        // Who wrote it down may be anybody: our credentials go to our repository only.
        let is_upload = location.path().strip_prefix(&format!("/v2/{}/blobs/uploads/", self.path));
        if !shared.is_ours(&location)
            || is_upload.is_none_or(|id| id.is_empty() || id.contains('/'))
        {
            return None;
        }
        let mut session = UploadSession { location: location.clone(), chunk_min: 0 };
        let call = Call::to(Method::GET, &location).scopes(self.to_write());
        let response = match shared.send(&call).await {
            Ok(response) if response.status().is_success() => response,
            Ok(response) => {
                debug!("Looking for an upload: {}", response.status());
                return None;
            }
            Err(error) => {
                debug!("Looking for an upload: {error}");
                return None;
            }
        };
        let has = received(response.headers()).filter(|has| *has > SMALL)?;
        if let Ok(next) = shared.location(&response) {
            session.location = next;
        }
        Some((session, has))
    }

    /// Sends what is missing of a blob to an upload that has its first `from` bytes. `body` is the
    /// whole blob, and must fail if that is not what `digest` says.
    ///
    /// # Errors
    /// As [`Repository::upload`]. What the registry had may have been something else: then the same
    /// bytes should be sent in another upload.
    pub async fn continue_upload(
        &self,
        mut session: UploadSession,
        from: u64,
        digest: &Digest,
        size: u64,
        body: BoxStream<'static, Result<Bytes, BoxError>>,
    ) -> Result<(Digest, u64), UploadError> {
        let done = self.send_rest(&mut session, from, digest, size, body).await;
        let Err(error) = done else { return Ok((digest.clone(), size)) };
        if error.is_broken_line() {
            return Err(error.keeping(session));
        }
        self.cancel_upload(session).await;
        Err(match error {
            // The other upload may do better, whatever was wrong with this one.
            UploadError::Registry { error, retry_with: None }
                if !error.is_denied() && !error.is_unauthorized() =>
            {
                UploadError::again(error, RetryWith::Same)
            }
            error => error,
        })
    }

    async fn send_rest(
        &self,
        session: &mut UploadSession,
        from: u64,
        digest: &Digest,
        size: u64,
        body: BoxStream<'static, Result<Bytes, BoxError>>,
    ) -> Result<(), UploadError> {
        let mut rest = without(body, from);
        if let Some(left @ 1..) = size.checked_sub(from) {
            let mut headers: HeaderMap = octets();
            headers.insert(CONTENT_LENGTH, HeaderValue::from(left));
            let last = size.saturating_sub(1);
            if let Ok(range) = HeaderValue::from_str(&format!("{from}-{last}")) {
                headers.insert(CONTENT_RANGE, range);
            }
            let watch = Watch::new(Some(left));
            let location = session.location.clone();
            let response = self.stream(Method::PATCH, &location, &headers, rest, &watch).await?;
            if !response.status().is_success() {
                let refusal = self.shared().refusal(response).await;
                return Err(self.judge(refusal.doing(CHUNKED)));
            }
            session.location = self.shared().location(&response)?;
        } else {
            // All is there, but what that is shows only now.
            while let Some(piece) = rest.next().await {
                piece.map_err(UploadError::Body)?;
            }
        }
        let done = self.finish(session, digest, Bytes::new(), size, false).await;
        done.map_err(|error| self.judge(error))
    }
}

/// What comes behind the first `from` bytes.
fn without(
    body: BoxStream<'static, Result<Bytes, BoxError>>,
    from: u64,
) -> BoxStream<'static, Result<Bytes, BoxError>> {
    let skipping = stream::unfold((body, from), |(mut body, mut from)| async move {
        loop {
            let mut piece = match body.next().await? {
                Ok(piece) => piece,
                error => return Some((error, (body, from))),
            };
            let new = piece.split_off(narrow(from).min(piece.len()));
            from = from.saturating_sub(wide(piece.len()));
            if !new.is_empty() {
                return Some((Ok(new), (body, from)));
            }
        }
    });
    skipping.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn skips_what_the_registry_has() {
        for (from, rest) in [(0, "abcdef"), (1, "bcdef"), (3, "def"), (4, "ef"), (6, ""), (9, "")] {
            let pieces = ["abc", "d", "ef"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
            let left = without(stream::iter(pieces).boxed(), from);
            let left: Vec<Bytes> = left.map(Result::unwrap).collect().await;
            assert_eq!(left.concat(), rest.as_bytes());
        }
    }
}
