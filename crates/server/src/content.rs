//! Images that lie in something else than a folder of layouts.

use std::{fmt, io};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use skopeo_blob::ByteStream;
use skopeo_image::Digest;
use skopeo_image::number::{narrow, wide};

use crate::body::Body;

/// A place of images that is served as it lies, and never written to. Its methods may wait for the
/// disk: they are called on threads for that.
pub trait Content: fmt::Debug + Send + Sync + 'static {
    /// Returns what is in it, as the `index.json` of a layout says it: a descriptor for each image,
    /// with its reference as the annotation `org.opencontainers.image.ref.name`. Asked for once.
    fn index(&self) -> Vec<u8>;

    /// Returns the length in bytes of a manifest or a blob that is there.
    fn size(&self, digest: &Digest) -> Option<u64>;

    /// Returns the bytes of a manifest that is there.
    fn manifest(&self, digest: &Digest) -> Option<Bytes>;

    /// Returns the bytes of a blob that is there. The stream fails at its end if they are not those
    /// of the digest.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn blob(&self, digest: &Digest) -> io::Result<ByteStream>;

    /// Returns the bytes of a blob that is there from `from` on, which nobody has verified; `None`
    /// where they are not to be had without those before.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn rest(&self, _digest: &Digest, _from: u64) -> io::Result<Option<ByteStream>> {
        Ok(None)
    }
}

/// The bytes of a stream from `from` to `to`, the latter not included.
pub(crate) fn part(whole: ByteStream, from: u64, to: u64) -> Body {
    let pieces = stream::try_unfold((whole, from, to.saturating_sub(from)), next);
    Body::of_body(StreamBody::new(pieces.map_ok(Frame::data)))
}

type Rest = (ByteStream, u64, u64);

/// Returns the next piece behind what is to be skipped, as long as some of it is left to give out.
async fn next((mut whole, mut skip, mut left): Rest) -> io::Result<Option<(Bytes, Rest)>> {
    while left > 0 {
        let Some(piece) = whole.next().await else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let mut piece = piece.map_err(io::Error::other)?;
        let skipped = narrow(skip).min(piece.len());
        skip = skip.saturating_sub(wide(skipped));
        let _ = piece.split_to(skipped);
        piece.truncate(narrow(left));
        if !piece.is_empty() {
            left = left.saturating_sub(wide(piece.len()));
            return Ok(Some((piece, (whole, skip, left))));
        }
    }
    Ok(None)
}
