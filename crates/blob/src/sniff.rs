//! Compression from the first bytes.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use skopeo_image::Compression;

use crate::{Blob, StreamError};

/// The longest signature below.
const LONGEST: usize = 10;

/// Finds out how a blob is packed, and gives it back whole. What is not known to be compressed is
/// taken for a plain tar.
///
/// # Errors
/// Whatever the stream fails with before its first bytes have come.
pub async fn sniff(blob: Blob) -> Result<(Compression, Blob), StreamError> {
    let Blob { mut stream, check, digest, size, announced, kept, max_unpacked } = blob;
    let mut first: Vec<Result<Bytes, StreamError>> = Vec::new();
    let mut head = Vec::with_capacity(LONGEST);
    while head.len() < LONGEST {
        let Some(piece) = stream.next().await.transpose()? else { break };
        head.extend(piece.iter().take(LONGEST.saturating_sub(head.len())));
        first.push(Ok(piece));
    }
    let stream = stream::iter(first).chain(stream).boxed();
    let blob = Blob { stream, check, digest, size, announced, kept, max_unpacked };
    Ok((sniff_bytes(&head), blob))
}

/// As [`sniff`], for the first bytes in memory: ten are enough for all formats.
#[must_use]
pub fn sniff_bytes(head: &[u8]) -> Compression {
    match head {
        [0x1f, 0x8b, 0x08, ..] => Compression::Gzip,
        // A frame, or a frame to be skipped (RFC 8878, section 3.1.2).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        // The signature is text, with which the name of a tar's first file may begin: so the level
        // and the mark of a block or of the end must follow.
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => {
            Compression::Bzip2
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0x00, ..] => Compression::Xz,
        _ => Compression::Uncompressed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unverified;
    use skopeo_image::Digest;

    #[tokio::test]
    async fn sniffs_across_pieces_and_gives_all_back() {
        for (bytes, expected) in [
            (&b"\x1f\x8b\x08\x00rest"[..], Compression::Gzip),
            (b"\x1f\x8b\x09\x00rest", Compression::Uncompressed), // no deflate
            (b"\x28\xb5\x2f\xfdrest", Compression::Zstd),
            (b"\x50\x2a\x4d\x18rest", Compression::Zstd),
            (b"\x5f\x2a\x4d\x18rest", Compression::Zstd),
            (b"\x60\x2a\x4d\x18rest", Compression::Uncompressed),
            (b"BZh91AY&SYrest", Compression::Bzip2),
            (b"BZh9\x17\x72\x45\x38\x50\x90", Compression::Bzip2), // empty
            (b"BZhome/user/file\0\0", Compression::Uncompressed),
            (b"\xfd7zXZ\0rest", Compression::Xz),
            (b"etc/passwd\0\0", Compression::Uncompressed),
            (b"", Compression::Uncompressed),
            (b"\x1f\x8b", Compression::Uncompressed),
        ] {
            for step in [1, 3, 100] {
                let pieces: Vec<_> =
                    bytes.chunks(step).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
                let blob = Unverified::new(stream::iter(pieces).boxed(), None)
                    .expect(&Digest::sha256(bytes), None);
                let (sniffed, blob) = sniff(blob).await.unwrap();
                assert_eq!(sniffed, expected, "{bytes:?} by {step}");
                let all: Vec<Bytes> =
                    blob.into_stream().map(Result::unwrap).collect::<Vec<_>>().await;
                assert_eq!(all.concat(), bytes);
            }
        }
    }
}
