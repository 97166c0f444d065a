//! The bytes of an upload on their way out: counted, hashed, watched.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use skopeo_image::number::wide;
use skopeo_image::{Algorithm, Digest, Hasher};
use tokio::sync::{mpsc, oneshot};

use super::BoxError;
use crate::options::Timeouts;
use crate::wire::WireError;

/// A body that is not as long as was said.
#[derive(Debug, thiserror::Error)]
#[error("blob is {} than the {expected} bytes it should have", if *.longer { "longer" } else { "shorter" })]
pub(super) struct Length {
    pub(super) expected: u64,
    pub(super) longer: bool,
}

/// What is known of a body while it is sent.
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<State>);

#[derive(Debug)]
struct State {
    size: Option<u64>,
    sent: AtomicU64,
    /// One of the constants below.
    phase: AtomicU8,
    failure: Mutex<Option<BoxError>>,
}

/// The registry is to take what is there.
const SENDING: u8 = 0;
/// The next bytes are not there yet: that is not the registry's fault.
const STARVING: u8 = 1;
/// All has been sent: the registry is to answer.
const SENT: u8 = 2;

impl Watch {
    pub(super) fn new(size: Option<u64>) -> Self {
        Self(Arc::new(State {
            size,
            sent: AtomicU64::new(0),
            phase: AtomicU8::new(SENDING),
            failure: Mutex::default(),
        }))
    }

    /// How many bytes there will be, if that is known.
    pub(super) fn size(&self) -> Option<u64> {
        self.0.size
    }

    /// How many bytes have been handed over.
    pub(super) fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Whether the body has come to its end.
    pub(super) fn is_sent(&self) -> bool {
        self.phase() == SENT
    }

    /// What the body failed with, if it did.
    pub(super) fn failure(&self) -> Option<BoxError> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// `body`, watched. The last piece is not handed over before the body has ended well: what
    /// turns out to be wrong at its end never gets whole to the registry.
    pub(super) fn over(
        &self,
        mut body: BoxStream<'static, Result<Bytes, BoxError>>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let state = Arc::clone(&self.0);
        let mut held: Option<Bytes> = None;
        stream::poll_fn(move |context| {
            loop {
                let Poll::Ready(next) = body.poll_next_unpin(context) else {
                    state.phase.store(STARVING, Ordering::Relaxed);
                    return Poll::Pending;
                };
                state.phase.store(SENDING, Ordering::Relaxed);
                match next {
                    Some(Ok(piece)) if piece.is_empty() => {}
                    Some(Ok(piece)) => {
                        let length = wide(piece.len());
                        let sent = state.sent.fetch_add(length, Ordering::Relaxed);
                        let sent = sent.saturating_add(length);
                        match state.size {
                            Some(size) if sent > size => return state.fail(state.length(true)),
                            Some(size) if sent == size => held = Some(piece),
                            _ => return Poll::Ready(Some(Ok(piece))),
                        }
                    }
                    Some(Err(error)) => return state.fail(error),
                    None if state.is_short() => return state.fail(state.length(false)),
                    None => {
                        state.phase.store(SENT, Ordering::Relaxed);
                        return Poll::Ready(held.take().map(Ok));
                    }
                }
            }
        })
        .fuse()
    }

    /// Waits for `answer`, as long as something happens.
    pub(super) async fn guard<T>(
        &self,
        answer: impl Future<Output = Result<T, WireError>>,
        timeouts: &Timeouts,
    ) -> Result<T, WireError> {
        let mut answer = pin!(answer);
        loop {
            let before = (self.sent(), self.phase());
            let limit = if before.1 == SENT { timeouts.commit } else { timeouts.idle };
            match tokio::time::timeout(limit, &mut answer).await {
                Ok(answer) => return answer,
                Err(_) if self.phase() == STARVING => {}
                Err(_) if (self.sent(), self.phase()) == before => {
                    return Err(WireError::silent(limit));
                }
                Err(_) => {}
            }
        }
    }

    fn phase(&self) -> u8 {
        self.0.phase.load(Ordering::Relaxed)
    }
}

impl State {
    fn is_short(&self) -> bool {
        self.size.is_some_and(|size| self.sent.load(Ordering::Relaxed) < size)
    }

    fn length(&self, longer: bool) -> BoxError {
        Length { expected: self.size.unwrap_or(0), longer }.into()
    }

    /// Breaks the request off, and keeps why.
    fn fail(&self, failure: BoxError) -> Poll<Option<io::Result<Bytes>>> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        Poll::Ready(Some(Err(io::Error::other("the blob to upload ended too early"))))
    }
}

/// A digest being computed on a thread of its own, so that the network does not wait for it.
#[derive(Debug)]
pub(super) struct Hashing(oneshot::Receiver<Digest>);

impl Hashing {
    /// `body`, whose pieces go to the hasher on their way.
    pub(super) fn start(
        body: BoxStream<'static, Result<Bytes, BoxError>>,
        algorithm: Algorithm,
    ) -> (BoxStream<'static, Result<Bytes, BoxError>>, Self) {
        let (sender, mut pieces) = mpsc::channel::<Bytes>(8);
        let (done, digest) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let mut hasher = Hasher::new(algorithm);
            while let Some(piece) = pieces.blocking_recv() {
                hasher.update(&piece);
            }
            // Nobody waits where the upload has failed.
            let _ = done.send(hasher.finish());
        });
        // At the end of the stream the sender goes, and so the hasher ends.
        let hashed = stream::unfold((body, sender), |(mut body, sender)| async move {
            let piece = body.next().await?;
            if let Ok(piece) = &piece {
                // The hasher ends only after the last sender.
                let _ = sender.send(piece.clone()).await;
            }
            Some((piece, (body, sender)))
        });
        (hashed.boxed(), Self(digest))
    }

    /// The digest of all pieces; the stream must have ended.
    pub(super) async fn finish(self) -> Digest {
        self.0.await.expect("the hasher ends when the stream does")
    }
}
