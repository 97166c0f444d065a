//! Pieces of answers, which count as long as they are in memory.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use super::BoxError;
use crate::memory::{Memory, Part, Room, Use};
use crate::peer::Peer;
use crate::progress::Flow;

/// Answers of up to so many bytes are not counted: the share of connections is enough for them.
const UNCOUNTED: usize = 16 * 1024;

/// The largest piece on HTTP/2, in bytes: only whole pieces are seen to move there.
const SHARED_PIECE: usize = 64 * 1024;

/// About how large the pieces of other streams are, in bytes.
const STREAM_PIECE: usize = 128 * 1024;

/// Where a body takes its memory from, and who sees whether it moves.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(super) memory: Memory,
    pub(super) flow: Arc<Flow>,
    /// The largest piece, in bytes.
    pub(super) most: usize,
}

impl Lease {
    /// Of a request on this connection.
    pub(crate) fn new(memory: &Memory, peer: Option<&Arc<Peer>>) -> Self {
        let flow = peer.map(|peer| peer.flow(Use::Answer));
        let flow = flow.unwrap_or_else(|| Arc::new(Flow::new(Use::Answer)));
        let shared = peer.is_some_and(|peer| peer.is_shared());
        let most = if shared { SHARED_PIECE } else { usize::MAX };
        Self { memory: memory.clone(), flow, most }
    }
}

/// The part of the memory that was taken before an answer was made. It goes with the answer.
#[derive(Clone, Debug)]
pub(crate) struct Reserved(Arc<Mutex<Option<Part>>>);

impl Reserved {
    /// This part.
    pub(crate) fn new(part: Part) -> Self {
        Self(Arc::new(Mutex::new(Some(part))))
    }

    fn take(&self) -> Option<Part> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Bytes with their part of the memory, which is given back when nobody has them any more.
pub(super) struct Piece {
    bytes: Bytes,
    flow: Arc<Flow>,
    _part: Option<Part>,
}

impl Piece {
    /// Gives the bytes out.
    pub(super) fn give(bytes: Bytes, flow: Arc<Flow>, part: Option<Part>) -> Bytes {
        flow.give(bytes.len());
        Bytes::from_owner(Self { bytes, flow, _part: part })
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.flow.taken(self.bytes.len());
    }
}

/// A stream whose pieces count. How large they are is its own affair, so that it can only be kept
/// from giving out the next.
pub(super) struct Leased {
    pub(super) stream: UnsyncBoxBody<Bytes, BoxError>,
    pub(super) lease: Lease,
}

impl http_body::Body for Leased {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { stream, lease } = self.get_mut();
        lease.flow.wake_when_taken(context);
        let room = lease.memory.piece(STREAM_PIECE);
        let plenty = room.as_ref().is_some_and(|room| !room.scarce);
        if lease.flow.owed() > if plenty { STREAM_PIECE } else { 0 } {
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(stream).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                let part = room.and_then(Room::into_part);
                frame.map_data(|bytes| Piece::give(bytes, lease.flow.clone(), part))
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint()
    }
}

/// The same bytes, counted if they are many; none if there was no room for them in `patience`.
pub(crate) async fn held(
    bytes: Bytes,
    reserved: Option<Reserved>,
    patience: Duration,
    lease: impl FnOnce() -> Lease,
) -> Option<Bytes> {
    if bytes.len() <= UNCOUNTED {
        return Some(bytes);
    }
    let Lease { memory, flow, .. } = lease();
    let part = match reserved.and_then(|reserved| reserved.take()) {
        Some(mut part) => {
            part.shrink(bytes.len());
            part
        }
        None => memory.room(Use::Answer, bytes.len(), patience).await?,
    };
    Some(Piece::give(bytes, flow, Some(part)))
}
