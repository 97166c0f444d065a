//! Uploads in small pieces, each of which can be sent again.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderMap, Method, StatusCode};
use skopeo_image::number::{narrow, wide};
use skopeo_image::{Algorithm, Digest};
use tracing::debug;

use super::body::{Hashing, Length};
use super::{BoxError, CHUNKED, RetryWith, UploadError, UploadSession, is_unsupported, octets};
use crate::call::Call;
use crate::error::Error;
use crate::repository::Repository;
use crate::retry::{Tries, is_transient_status};
use crate::send::wait;

/// How much is sent at once, in bytes; that much memory is held.
const CHUNK: u64 = 4 * 1024 * 1024;

/// The most that a registry may make us send, and so hold, at once, in bytes.
const LARGEST_CHUNK: u64 = 64 * 1024 * 1024;

impl Repository {
    /// Sends a blob in pieces of a few megabytes, for registries and lines that refuse or lose
    /// long requests. Each piece is sent again, from where the registry has it, if it breaks.
    ///
    /// # Errors
    /// As [`Repository::upload`].
    pub async fn upload_chunked(
        &self,
        digest: Option<&Digest>,
        size: Option<u64>,
        body: BoxStream<'static, Result<Bytes, BoxError>>,
    ) -> Result<(Digest, u64), UploadError> {
        let mut session = self.open_upload().await?;
        let outcome = self.send_chunks(&mut session, digest, size, body).await;
        if outcome.is_err() {
            self.cancel_upload(session).await;
        }
        outcome
    }

    async fn send_chunks(
        &self,
        session: &mut UploadSession,
        digest: Option<&Digest>,
        size: Option<u64>,
        body: BoxStream<'static, Result<Bytes, BoxError>>,
    ) -> Result<(Digest, u64), UploadError> {
        let algorithm = digest.map_or(Algorithm::Sha256, Digest::algorithm);
        let (mut body, hashing) = Hashing::start(body, algorithm);
        let wanted = chunk_size(session.chunk_min);
        let mut chunk = BytesMut::new();
        let mut at = 0_u64;
        loop {
            let piece = body.next().await.transpose().map_err(UploadError::Body)?;
            let ended = piece.is_none();
            if let Some(piece) = piece {
                chunk.extend_from_slice(&piece);
            }
            if chunk.len() >= wanted || ended && !chunk.is_empty() {
                let whole = chunk.split().freeze();
                let length = wide(whole.len());
                self.send_chunk(session, at, whole).await.map_err(|error| match is_unsupported(
                    &error,
                ) {
                    true => UploadError::again(error.doing(CHUNKED), RetryWith::Whole),
                    false => UploadError::last(error.doing(CHUNKED)),
                })?;
                at = at.saturating_add(length);
            }
            if ended {
                break;
            }
        }
        drop(body);
        if let Some(expected) = size.filter(|size| *size != at) {
            return Err(UploadError::Body(Length { expected, longer: at > expected }.into()));
        }
        let found = hashing.finish().await;
        self.finish(session, &found, Bytes::new(), at, false).await.map_err(UploadError::last)?;
        Ok((found, at))
    }

    /// Sends the bytes from `start` on until the registry has them all.
    async fn send_chunk(
        &self,
        session: &mut UploadSession,
        start: u64,
        chunk: Bytes,
    ) -> Result<(), Error> {
        let shared = self.shared();
        let end = start.saturating_add(wide(chunk.len()));
        let mut from = start;
        let mut tries = Tries::new(&shared.options.retry);
        loop {
            let there = narrow(from.saturating_sub(start)).min(chunk.len());
            let rest = chunk.slice(there..);
            let location = session.location.clone();
            let mut call = Call::to(Method::PATCH, &location).scopes(self.to_write()).body(rest);
            call.headers = octets();
            let call = call.header(CONTENT_RANGE, &format!("{from}-{}", end.saturating_sub(1)));
            let (error, status) = match shared.send_once(&call).await {
                Ok(response) if response.status().is_success() => {
                    session.location = shared.location(&response)?;
                    match received(response.headers()) {
                        Some(has) if from < has && has < end => {
                            from = has;
                            continue;
                        }
                        _ => return Ok(()),
                    }
                }
                Ok(response) => {
                    let status = response.status();
                    (shared.refusal(response).await, Some(status))
                }
                Err(error) => (error, None),
            };
            let lost = status == Some(StatusCode::RANGE_NOT_SATISFIABLE)
                || status.is_none() && error.is_transient()
                || status.is_some_and(|status| is_transient_status(status.as_u16()));
            let Some(pause) = tries.next(status, None).filter(|_| lost) else {
                return Err(if lost { error.after(tries.done()) } else { error });
            };
            wait(pause, &error.chain()).await;
            from = self.ask(session, start, end).await?.unwrap_or(from);
            if from == end {
                return Ok(());
            }
            debug!("Upload goes on at byte {from}");
        }
    }

    /// How much the registry has, if that lies within a chunk.
    async fn ask(
        &self,
        session: &mut UploadSession,
        start: u64,
        end: u64,
    ) -> Result<Option<u64>, Error> {
        let shared = self.shared();
        let location = session.location.clone();
        let call = Call::to(Method::GET, &location).scopes(self.to_write());
        let response = shared.send(&call).await?;
        if !response.status().is_success() {
            return Err(shared.refusal(response).await);
        }
        if let Ok(next) = shared.location(&response) {
            session.location = next;
        }
        let has = received(response.headers()).unwrap_or(0);
        // "0-0" is what registries say of nothing, too.
        let has = if has == 1 { 0 } else { has };
        Ok((start..=end).contains(&has).then_some(has))
    }
}

/// How many bytes to send at once where no less than `min` are taken.
fn chunk_size(min: u64) -> usize {
    narrow(min.clamp(CHUNK, LARGEST_CHUNK))
}

/// How many bytes `Range: 0-N` says are there.
pub(super) fn received(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(RANGE)?.to_str().ok()?;
    let (_, last) = value.strip_prefix("bytes=").unwrap_or(value).split_once('-')?;
    last.parse::<u64>().ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn no_registry_makes_us_hold_a_whole_blob() {
        for (min, expected) in
            [(0, 4 << 20), (5 << 20, 5 << 20), (64 << 20, 64 << 20), (u64::MAX, 64 << 20)]
        {
            assert_eq!(chunk_size(min), expected);
        }
    }

    #[test]
    fn range_tells_how_much_is_there() {
        for (value, expected) in [
            ("0-9", Some(10)),
            ("bytes=0-9", Some(10)),
            ("0-0", Some(1)),
            ("0", None),
            ("0-x", None),
            ("0-18446744073709551615", None),
        ] {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(value))]);
            assert_eq!(received(&headers), expected, "{value}");
        }
    }
}
