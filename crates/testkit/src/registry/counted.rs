//! Bodies that count what passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use skopeo_server::Body;

use super::seen::Record;

/// A body that counts what passes.
struct Counted<B> {
    body: B,
    record: Arc<Record>,
    counter: fn(&Record) -> &AtomicU64,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let polled = std::pin::Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let size = frame.data_ref().map_or(0, Bytes::len) as u64;
            (this.counter)(&this.record).fetch_add(size, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub(super) fn count_request(body: Incoming, record: &Arc<Record>) -> Body {
    Body::of_body(Counted { body, record: record.clone(), counter: |record| &record.received })
}

pub(super) fn count_answer(response: Response<Body>, record: &Arc<Record>) -> Response<Body> {
    let record = record.clone();
    response.map(|body| Body::of_body(Counted { body, record, counter: |record| &record.sent }))
}
