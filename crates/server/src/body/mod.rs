//! Bodies of answers: nothing, some bytes, a part of a file, or a stream.

mod file;
mod piece;
pub(crate) mod request;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use fs_err::File;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

use crate::log::Answered;
use file::FilePart;
use piece::Leased;
use skopeo_image::number::wide;

pub(crate) use piece::{Lease, Reserved, held};

/// Any error, as a body has it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub struct Body {
    kind: BodyKind,
    /// What is told when the body has ended, well or not.
    answered: Option<Box<Answered>>,
}

enum BodyKind {
    Bytes(Option<Bytes>),
    File(FilePart),
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

impl Body {
    /// Returns a body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(BodyKind::Bytes(None))
    }

    /// Returns a body of these bytes.
    #[must_use]
    pub fn of_bytes(bytes: impl Into<Bytes>) -> Self {
        Self::of(BodyKind::Bytes(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }

    /// The next `size` bytes of a file. A file that has fewer ends the connection, not the body.
    pub(crate) fn of_file(file: File, size: u64) -> Self {
        Self::of(BodyKind::File(FilePart::new(file, size)))
    }

    /// Returns a body that is another body: what wraps an answer makes these.
    #[must_use]
    pub fn of_body<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::of(BodyKind::Stream(body.map_err(Into::into).boxed_unsync()))
    }

    fn of(kind: BodyKind) -> Self {
        Self { kind, answered: None }
    }

    /// The same, whose pieces of a file come out of a budget.
    pub(crate) fn leased(mut self, lease: impl FnOnce() -> Lease) -> Self {
        match self.kind {
            BodyKind::File(ref mut part) => part.lease = Some(lease()),
            BodyKind::Stream(stream) => {
                let leased = Leased { stream, lease: lease() };
                self.kind = BodyKind::Stream(leased.boxed_unsync());
            }
            BodyKind::Bytes(_) => {}
        }
        self
    }

    /// The bytes that are in memory, if there are any.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match &self.kind {
            BodyKind::Bytes(bytes) => bytes.as_ref(),
            BodyKind::File(_) | BodyKind::Stream(_) => None,
        }
    }

    /// The same, which tells when it has ended.
    pub(crate) fn answered(mut self, answered: Answered) -> Self {
        self.answered = Some(Box::new(answered));
        self
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { kind, answered } = self.get_mut();
        let polled = match kind {
            BodyKind::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            BodyKind::File(part) => part
                .poll(context)
                .map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(Into::into))),
            BodyKind::Stream(stream) => Pin::new(stream).poll_frame(context),
        };
        if let (Some(answered), Poll::Ready(Some(Ok(frame)))) = (answered, &polled) {
            answered.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Bytes(bytes) => bytes.is_none(),
            BodyKind::File(part) => part.remaining() == 0,
            BodyKind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Bytes(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| wide(b.len())))
            }
            BodyKind::File(part) => SizeHint::with_exact(part.remaining()),
            BodyKind::Stream(stream) => stream.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}
