//! What a fault does to an answer.

use std::future::pending;
use std::io;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Response, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyStream, StreamBody};
use skopeo_image::Digest;
use skopeo_server::{Body, BoxError};

use super::What;

/// What a fault does to an answer.
pub(crate) fn spoil(what: &What, mut response: Response<Body>) -> Response<Body> {
    let size = response.body().size_hint().exact();
    match what {
        What::Cut(bytes) => with_length(response, size, |body| cut(body, *bytes, End::Break)),
        What::Stall(bytes) => with_length(response, size, |body| cut(body, *bytes, End::Silence)),
        What::Corrupt(at) => with_length(response, size, |body| corrupt(body, *at)),
        What::Length(more) => {
            let announced = size.unwrap_or_default().saturating_add_signed(*more);
            // Fewer bytes than announced: the connection ends, but what there is has left.
            let end = if *more > 0 { End::Break } else { End::Regular };
            with_length(response, Some(announced), |body| cut(body, announced, end))
        }
        What::TooMuch(more) => {
            let announced = size.unwrap_or_default() + more;
            let extra = Bytes::from(vec![0; usize::try_from(*more).expect("it fits into memory")]);
            with_length(response, Some(announced), |body| {
                let rest = stream::once(async move { Ok(Frame::data(extra)) });
                StreamBody::new(BodyStream::new(body).chain(rest).boxed())
            })
        }
        What::WrongDigest => {
            let digest = Digest::sha256(b"something else");
            let value = digest.as_str().parse().expect("a digest is a header's value");
            response.headers_mut().insert("docker-content-digest", value);
            response
        }
        What::Header(name, value) => {
            let name: header::HeaderName = name.parse().expect("a header's name");
            response.headers_mut().remove(&name);
            if let Some(value) = value {
                response.headers_mut().insert(name, value.parse().expect("a header's value"));
            }
            response
        }
        _ => response,
    }
}

/// Another body, and what is announced of its length.
fn with_length<B>(
    response: Response<Body>,
    announced: Option<u64>,
    change: impl FnOnce(Body) -> B,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    if let Some(announced) = announced {
        head.headers.insert(header::CONTENT_LENGTH, announced.into());
    }
    Response::from_parts(head, Body::of_body(change(body)))
}

/// How a body ends before its end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Break,
    Silence,
    Regular,
}

pub(crate) type FrameStream = stream::BoxStream<'static, Result<Frame<Bytes>, BoxError>>;

/// Returns a body that ends after so many bytes.
pub(crate) fn cut(body: Body, bytes: u64, end: End) -> StreamBody<FrameStream> {
    let mut left = bytes;
    let head = BodyStream::new(body)
        .try_filter_map(|frame| async move { Ok(frame.into_data().ok()) })
        .scan((), move |(), piece: Result<Bytes, BoxError>| {
            let piece = match piece {
                Ok(_) if left == 0 => None,
                Ok(mut piece) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                    left -= take as u64;
                    Some(Ok(Frame::data(piece.split_to(take))))
                }
                Err(error) => Some(Err(error)),
            };
            async move { piece }
        });
    let tail = stream::once(async move {
        // What came before must have left before the connection goes.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        match end {
            End::Silence => pending().await,
            _ => Err(BoxError::from(broken())),
        }
    });
    match end {
        End::Regular => StreamBody::new(head.boxed()),
        _ => StreamBody::new(head.chain(tail).boxed()),
    }
}

fn corrupt(body: Body, at: u64) -> StreamBody<FrameStream> {
    let mut passed = 0;
    let pieces = BodyStream::new(body).map_ok(move |frame| match frame.into_data() {
        Ok(piece) => {
            let mut piece = piece.to_vec();
            let place = at.checked_sub(passed).and_then(|place| usize::try_from(place).ok());
            passed += piece.len() as u64;
            if let Some(byte) = place.and_then(|place| piece.get_mut(place)) {
                *byte ^= 1;
            }
            Frame::data(Bytes::from(piece))
        }
        Err(frame) => frame,
    });
    StreamBody::new(pieces.boxed())
}

/// Returns the error of a connection that a fault has ended.
pub(crate) fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "a fault of the test")
}
