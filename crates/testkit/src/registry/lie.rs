//! Answers that are well formed, and other than they should be: faults for who believes.

use std::io::Write as _;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use skopeo_image::Digest;
use skopeo_server::{Body, BoxError};

/// How an answer is other than it should be.
#[derive(Clone, Debug)]
pub(crate) enum Lie {
    /// These bytes, announced and named as they are.
    Instead(Bytes),
    /// The answer to another request: this path.
    AnswerOf(String),
    /// Packed by gzip on its way, as the header says.
    Encoded,
    /// Its second half comes first.
    Reversed,
    /// Nobody says how long it is; it ends well after so many bytes, or where it should.
    Unannounced(Option<u64>),
    /// Nobody says how long it is, and it does not end.
    Endless,
    /// Another status, and perhaps another `Content-Range`, with the bytes that there are.
    Called(StatusCode, Option<String>),
}

impl Lie {
    /// What it makes of an answer.
    pub(super) async fn tell(&self, response: Response<Body>) -> Response<Body> {
        if !response.status().is_success() && !matches!(self, Self::Instead(_)) {
            return response;
        }
        let (mut head, body) = response.into_parts();
        let body = match self {
            Self::AnswerOf(_) => body,
            Self::Called(status, range) => {
                head.status = *status;
                if let Some(range) = range {
                    let range = range.parse().expect("a header's value");
                    head.headers.insert(CONTENT_RANGE, range);
                }
                body
            }
            Self::Instead(bytes) => {
                head.status = StatusCode::OK;
                head.headers.insert(CONTENT_LENGTH, bytes.len().into());
                let digest = Digest::sha256(bytes);
                let digest = digest.as_str().parse().expect("a digest is a header's value");
                head.headers.insert("docker-content-digest", digest);
                Body::of_bytes(bytes.clone())
            }
            Self::Encoded => {
                let packed = gzip(&whole(body).await);
                head.headers.insert(CONTENT_LENGTH, packed.len().into());
                head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                Body::of_bytes(packed)
            }
            Self::Reversed => {
                let bytes = whole(body).await;
                let (first, second) = bytes.split_at(bytes.len() / 2);
                Body::of_bytes(Bytes::from([second, first].concat()))
            }
            Self::Unannounced(after) => {
                head.headers.remove(CONTENT_LENGTH);
                let mut bytes = whole(body).await;
                if let Some(after) = after.and_then(|after| usize::try_from(after).ok()) {
                    bytes.truncate(after);
                }
                // Of a stream nobody knows the length.
                let pieces = [Ok::<_, BoxError>(Frame::data(bytes))];
                Body::of_body(StreamBody::new(stream::iter(pieces)))
            }
            Self::Endless => {
                head.headers.remove(CONTENT_LENGTH);
                let zeros = Bytes::from_static(&[0; 64 * 1024]);
                let zeros = stream::repeat_with(move || Ok(Frame::data(zeros.clone())));
                Body::of_body(StreamBody::new(BodyStream::new(body).chain(zeros).boxed()))
            }
        };
        Response::from_parts(head, body)
    }
}

async fn whole(body: Body) -> Bytes {
    body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}
