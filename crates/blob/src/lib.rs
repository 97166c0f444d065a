//! Bytes in motion: verifying, sniffing, recoding and counting streams.
//!
//! Knows nothing of manifests or transports. There is one way from foreign bytes to bytes that may
//! be kept: [`Unverified::expect`].

mod error;

use std::fmt;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use skopeo_image::Digest;

pub use error::{BoxError, StreamError};

/// A stream of pieces, 64 KiB to 1 MiB each where we make them.
pub type ByteStream = BoxStream<'static, Result<Bytes, StreamError>>;

/// Bytes from outside that nobody has checked.
pub struct Unverified {
    stream: ByteStream,
    size: Option<u64>,
}

impl Unverified {
    /// Bytes as a source gives them, and their length where the source says one.
    #[must_use]
    pub fn new(stream: ByteStream, size: Option<u64>) -> Self {
        Self { stream, size }
    }

    /// The length that the source announced, in bytes.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }
}

/// Bytes that are verified as they pass: the stream fails at its end, before its last piece is
/// given out, if they were not what they should be. Who writes them publishes nothing until the
/// stream has ended well.
pub struct Blob {
    stream: ByteStream,
    digest: Option<Digest>,
    size: Option<u64>,
}

impl Blob {
    /// The digest the bytes will have when the stream has ended well; none after a recoding.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The length in bytes, where it is known beforehand.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The pieces.
    #[must_use]
    pub fn into_stream(self) -> ByteStream {
        self.stream
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").field("size", &self.size).finish_non_exhaustive()
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
