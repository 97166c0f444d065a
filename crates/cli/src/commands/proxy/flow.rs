//! Blobs whose reader pauses.
//!
//! What a client does not read must not stand in the way of what it reads. Over HTTP/2 all that
//! comes from one registry shares a connection and its window: a few blobs that nobody reads would
//! fill it, and nothing else would come. So a blob from the network that waits for its reader for
//! long lets go of its request, and goes on by range when there is room again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use skopeo_blob::{ByteStream, StreamError, Unverified};
use skopeo_image::Descriptor;
use skopeo_image::number::wide;
use skopeo_transport::{CommitError, Source};
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::mpsc::{Sender, channel};
use tracing::debug;

/// How long a reader may pause until what it reads lets go of its request.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many pieces wait for the reader.
const DEPTH: usize = 2;

/// The bytes of a blob, from wherever they have to be fetched again.
///
/// `blob` is what was asked for.
pub(super) fn flowing(source: Arc<dyn Source>, blob: Descriptor, bytes: Unverified) -> Unverified {
    let size = bytes.size();
    let known = Descriptor { size: size.or(blob.size), ..blob };
    // What lies elsewhere, or is of unknown length, cannot be read from the middle.
    if !source.is_remote() || known.size.is_none() || !known.urls.is_empty() {
        return bytes;
    }
    let (to, from) = channel(DEPTH);
    let flow = Flow { source, blob: known, at: 0, to };
    tokio::spawn(flow.run(bytes.into_unverified_stream()));
    let pieces = stream::unfold(from, |mut from| async move { Some((from.recv().await?, from)) });
    Unverified::new(pieces.boxed(), size)
}

struct Flow {
    source: Arc<dyn Source>,
    blob: Descriptor,
    /// How many bytes have been handed on.
    at: u64,
    to: Sender<Result<bytes::Bytes, StreamError>>,
}

/// Nobody will read any more, or there is no more to read.
struct Done;

impl Flow {
    async fn run(mut self, bytes: ByteStream) {
        let mut bytes = bytes;
        while let Ok(rest) = self.hand_on(bytes).await {
            bytes = rest;
        }
    }

    /// Hands pieces on until the reader pauses: then what is left, from a new request.
    async fn hand_on(&mut self, mut bytes: ByteStream) -> Result<ByteStream, Done> {
        while let Some(piece) = bytes.next().await {
            let failed = piece.is_err();
            let length = piece.as_ref().map_or(0, |piece| wide(piece.len()));
            self.at = self.at.saturating_add(length);
            let sent = match self.to.try_send(piece) {
                Ok(()) => Ok(()),
                Err(TrySendError::Closed(_)) => return Err(Done),
                Err(TrySendError::Full(piece)) => self.to.send_timeout(piece, PATIENCE).await,
            };
            match sent {
                Ok(()) if failed => return Err(Done),
                Ok(()) => {}
                Err(SendTimeoutError::Closed(_)) => return Err(Done),
                Err(SendTimeoutError::Timeout(piece)) => {
                    drop(bytes);
                    debug!(
                        "Nobody reads blob {}: its connection is released at {}",
                        self.blob.digest, self.at
                    );
                    self.to.send(piece).await.map_err(|_| Done)?;
                    return if failed { Err(Done) } else { self.rest().await };
                }
            }
        }
        Err(Done)
    }

    /// What is left, once there is room for it.
    async fn rest(&self) -> Result<ByteStream, Done> {
        if self.blob.size.is_none_or(|size| self.at >= size) {
            return Err(Done);
        }
        let room = self.to.reserve().await.map_err(|_| Done)?;
        let error = match self.source.blob_from(&self.blob, self.at).await {
            Ok(Some(rest)) => return Ok(rest.into_unverified_stream()),
            Ok(None) => CommitError::Vanished(self.blob.digest.clone()).into(),
            Err(error) => error,
        };
        let (transient, tried) = (error.is_transient(), error.tried());
        room.send(Err(StreamError::Read { source: Box::new(error), transient, tried }));
        Err(Done)
    }
}
