//! Bodies of answers: nothing, some bytes, a part of a file, or a stream.

use std::fmt;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use fs_err::File;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::task::{JoinHandle, spawn_blocking};

/// How much of a file is read at once, in bytes.
const PIECE: usize = 512 * 1024;

/// Any error, as a body has it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub struct Body(Kind);

enum Kind {
    Bytes(Option<Bytes>),
    File(FilePart),
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

/// What is still to be read of a file, one piece ahead of who takes it.
struct FilePart {
    /// Bytes not yet given out.
    remaining: u64,
    next: Next,
}

enum Next {
    Idle(File),
    Reading(JoinHandle<(File, io::Result<Bytes>)>),
    Gone,
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self(Kind::Bytes(None))
    }

    /// These bytes.
    #[must_use]
    pub fn of_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Bytes(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }

    /// The next `size` bytes of a file. A file that has fewer ends the connection, not the body.
    pub(crate) fn of_file(file: File, size: u64) -> Self {
        Self(Kind::File(FilePart { remaining: size, next: Next::Idle(file) }))
    }

    /// Another body: what wraps an answer makes these.
    #[must_use]
    pub fn of_body<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Stream(body.map_err(Into::into).boxed_unsync()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Kind::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::File(part) => part
                .poll(context)
                .map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(Into::into))),
            Kind::Stream(stream) => Pin::new(stream).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Bytes(bytes) => bytes.is_none(),
            Kind::File(part) => part.remaining == 0,
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Bytes(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Kind::File(part) => SizeHint::with_exact(part.remaining),
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}

impl FilePart {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        loop {
            match std::mem::replace(&mut self.next, Next::Gone) {
                Next::Idle(file) => self.next = read_ahead(file, self.remaining),
                Next::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
                        self.next = Next::Reading(reading);
                        return Poll::Pending;
                    };
                    let (file, piece) = read.map_err(io::Error::other)?;
                    let piece = piece?;
                    if piece.is_empty() {
                        return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                    }
                    self.remaining -= piece.len() as u64;
                    if self.remaining > 0 {
                        self.next = read_ahead(file, self.remaining);
                    }
                    return Poll::Ready(Some(Ok(piece)));
                }
                Next::Gone => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            }
        }
    }
}

fn read_ahead(file: File, remaining: u64) -> Next {
    Next::Reading(spawn_blocking(move || {
        let size = usize::try_from(remaining).map_or(PIECE, |remaining| remaining.min(PIECE));
        let mut piece = Vec::with_capacity(size);
        let read = (&file).take(size as u64).read_to_end(&mut piece);
        (file, read.map(|_| piece.into()))
    }))
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}
