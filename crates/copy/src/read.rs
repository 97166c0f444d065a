//! Reading from the source: bytes that are verified, counted, and asked for again where they break.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::StreamExt;
use skopeo_blob::{Blob, Unverified};
use skopeo_image::number::wide;
use skopeo_image::{Descriptor, Digest};
use tracing::debug;

use crate::error::{Side, sentence};
use crate::job::Job;
use crate::{BlobError, BlobEvent, Error, Event};

/// The largest config that is read into memory, in bytes.
const CONFIG_LIMIT: u64 = 4 << 20;

impl Job<'_> {
    /// The bytes of a blob at the source, as they will be verified and counted.
    pub(crate) async fn open(&self, blob: &Descriptor) -> Result<Blob, Error> {
        let unverified = self.source.blob(blob).await;
        let unverified =
            unverified.map_err(|error| Error::of_blob(&blob.digest, error, Side::Reading))?;
        Ok(self.metered(unverified, blob))
    }

    pub(crate) fn metered(&self, unverified: Unverified, blob: &Descriptor) -> Blob {
        let events = self.session.events.clone();
        let digest = blob.digest.clone();
        let count =
            move |bytes| events(Event::Blob(BlobEvent::Read { digest: digest.clone(), bytes }));
        let blob = self.session.read(unverified.expect(&blob.digest, blob.size));
        skopeo_blob::meter(blob, Arc::new(count))
    }

    /// The digest of what is in a blob, which need not be written.
    pub(crate) async fn diff_id(&self, blob: &Descriptor) -> Result<Digest, Error> {
        if let Some(diff_id) = self.session.known().diff_id(&blob.digest) {
            return Ok(diff_id);
        }
        let _permit = self.scheduler.transfer(blob.size).await;
        let diff_id = self
            .with_retries(&blob.digest, || async {
                let failed = |error: skopeo_blob::StreamError| {
                    Error::of_blob(&blob.digest, error.into(), Side::Reading)
                };
                let (sniffed, bytes) =
                    skopeo_blob::sniff(self.open(blob).await?).await.map_err(failed)?;
                let (bytes, diff_id) = skopeo_blob::diff_id(bytes, sniffed);
                let mut stream = bytes.into_stream();
                while let Some(piece) = stream.next().await {
                    piece.map_err(failed)?;
                }
                diff_id.get().await.map_err(failed)
            })
            .await?;
        self.session.known().learn_diff_id(&blob.digest, &diff_id);
        Ok(diff_id)
    }

    /// The bytes of a config, verified.
    pub(crate) async fn read_config(&self, blob: &Descriptor) -> Result<Bytes, Error> {
        let too_large = |size| {
            Error::Blob(BlobError::LargeConfig {
                digest: blob.digest.clone(),
                size,
                limit: CONFIG_LIMIT,
            })
        };
        if let Some(size) = blob.size.filter(|size| *size > CONFIG_LIMIT) {
            return Err(too_large(size));
        }
        let _permit = self.scheduler.transfer(blob.size).await;
        self.with_retries(&blob.digest, || async {
            let mut stream = self.open(blob).await?.into_stream();
            let mut bytes = BytesMut::new();
            while let Some(piece) = stream.next().await {
                let piece = piece
                    .map_err(|error| Error::of_blob(&blob.digest, error.into(), Side::Reading))?;
                bytes.extend_from_slice(&piece);
                if wide(bytes.len()) > CONFIG_LIMIT {
                    return Err(too_large(wide(bytes.len())));
                }
            }
            Ok(bytes.freeze())
        })
        .await
    }

    /// Tries again what broke on its way, a few times, further and further apart.
    pub(crate) async fn with_retries<T, F>(
        &self,
        digest: &Digest,
        attempt: impl Fn() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let blob_retry = self.session.blob_retry;
        let mut pause = blob_retry.first_pause;
        let mut tried = 1;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            // What has been tried below as often as it may be says so itself.
            if error.is_spent() {
                return Err(error);
            }
            if !error.is_transient() || tried >= blob_retry.attempts {
                return Err(error.after(tried));
            }
            let error = sentence(&error);
            debug!("trying blob {digest} again in {pause:?}: {error}");
            self.session.emit(Event::Blob(BlobEvent::Retried {
                digest: digest.clone(),
                tried,
                error,
            }));
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
            tried = tried.saturating_add(1);
        }
    }
}
