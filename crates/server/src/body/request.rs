//! Bodies of requests, from clients that must not be too slow.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use skopeo_image::number::wide;
use tokio::time::Sleep;

use super::BoxError;
use crate::progress::{Flow, LEAST_RATE, Pace, TooSlow};

/// The body of a request.
pub(crate) type RequestBody = Paced<UnsyncBoxBody<Bytes, BoxError>>;

/// A body whose client is waited for only so long.
pub(crate) struct Paced<B> {
    body: B,
    flow: Arc<Flow>,
    idle: Duration,
    pace: Pace,
    moved: u64,
    /// Since when the client has been waited for, or not.
    turn: Turn,
    alarm: Pin<Box<Sleep>>,
}

/// Whose turn it is.
#[derive(Clone, Copy)]
enum Turn {
    Ours(Instant),
    Theirs,
}

impl<B> Paced<B> {
    pub(crate) fn new(body: B, flow: Arc<Flow>, idle: Duration) -> Self {
        let now = Instant::now();
        let pace = Pace::new(LEAST_RATE, now);
        let alarm = Box::pin(tokio::time::sleep(idle));
        Self { body, flow, idle, pace, moved: 0, turn: Turn::Ours(now), alarm }
    }

    /// The client is waited for. Too slow if it was for too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<TooSlow> {
        if let Turn::Ours(since) = self.turn {
            self.turn = Turn::Theirs;
            self.pace.pause(since.elapsed());
            self.flow.awaits();
            self.alarm.as_mut().reset(self.pace.deadline(self.idle).into());
        }
        ready!(self.alarm.as_mut().poll(context));
        Poll::Ready(TooSlow)
    }

    fn came(&mut self, bytes: usize) {
        let now = Instant::now();
        self.turn = Turn::Ours(now);
        self.moved = self.moved.saturating_add(wide(bytes));
        self.flow.came(bytes);
        self.pace.slow_for(self.moved, now);
    }
}

impl<B> http_body::Body for Paced<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            return this.wait(context).map(|slow| Some(Err(slow.into())));
        };
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        this.came(bytes.map_or(0, Bytes::len));
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
