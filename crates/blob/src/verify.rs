//! Digest and size, judged at the end.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use skopeo_image::number::wide;
use skopeo_image::{Digest, Hasher};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::sizes::{BATCH, DEPTH};
use crate::{ByteStream, StreamError};

/// Below this a thread costs more than the hash: 64 KiB take about 60 µs.
const INLINE: u64 = 64 * 1024;

/// What some bytes must be.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) digest: Digest,
    pub(crate) size: Option<u64>,
}

impl Check {
    /// Stops a stream that is already too long.
    pub(crate) fn so_far(&self, seen: u64) -> Result<(), StreamError> {
        match self.size {
            Some(expected) if seen > expected => Err(StreamError::Size { expected, actual: seen }),
            _ => Ok(()),
        }
    }

    /// Judges a stream that has ended.
    pub(crate) fn at_end(&self, seen: u64, digest: Digest) -> Result<(), StreamError> {
        match self.size {
            Some(expected) if seen != expected => Err(StreamError::Size { expected, actual: seen }),
            _ if digest != self.digest => {
                Err(StreamError::Digest { expected: self.digest.clone(), actual: digest })
            }
            _ => Ok(()),
        }
    }
}

/// Gives the pieces on, the last only when all have been proven. The hash is computed on a blocking
/// thread, which gets clones of the pieces (a reference each, no bytes) in batches.
pub(crate) fn verified(stream: ByteStream, check: Check) -> ByteStream {
    let state = Verifying { stream, check, seen: 0, held: None, hashing: None, ended: false };
    stream::try_unfold(state, |mut state| async move {
        let piece = state.next().await?;
        Ok(piece.map(|piece| (piece, state)))
    })
    .boxed()
}

struct Verifying {
    stream: ByteStream,
    check: Check,
    seen: u64,
    held: Option<Bytes>,
    hashing: Option<Hashing>,
    ended: bool,
}

impl Verifying {
    async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        if self.ended {
            return Ok(None);
        }
        while let Some(piece) = self.stream.next().await {
            let piece = piece?;
            if piece.is_empty() {
                continue;
            }
            self.seen = self.seen.saturating_add(wide(piece.len()));
            self.check.so_far(self.seen)?;
            self.hashing.get_or_insert_with(|| Hashing::new(&self.check)).update(&piece).await;
            if let Some(before) = self.held.replace(piece) {
                return Ok(Some(before));
            }
        }
        self.ended = true;
        let hashing = self.hashing.take().unwrap_or_else(|| Hashing::new(&self.check));
        self.check.at_end(self.seen, hashing.finish().await?)?;
        Ok(self.held.take())
    }
}

enum Hashing {
    Inline(Box<Hasher>),
    Beside { to: mpsc::Sender<Vec<Bytes>>, batch: Vec<Bytes>, len: usize, done: JoinHandle<Digest> },
}

impl Hashing {
    fn new(check: &Check) -> Self {
        let mut hasher = Hasher::new(check.digest.algorithm());
        if check.size.is_some_and(|size| size <= INLINE) {
            return Self::Inline(Box::new(hasher));
        }
        let (to, mut from) = mpsc::channel::<Vec<Bytes>>(DEPTH);
        let done = tokio::task::spawn_blocking(move || {
            while let Some(batch) = from.blocking_recv() {
                for piece in batch {
                    hasher.update(&piece);
                }
            }
            hasher.finish()
        });
        Self::Beside { to, batch: Vec::new(), len: 0, done }
    }

    async fn update(&mut self, piece: &Bytes) {
        match self {
            Self::Inline(hasher) => hasher.update(piece),
            Self::Beside { to, batch, len, .. } => {
                batch.push(piece.clone());
                *len = len.saturating_add(piece.len());
                if *len >= BATCH {
                    *len = 0;
                    // The thread ends before its sender only by a panic, which `done` reports.
                    let _ = to.send(std::mem::take(batch)).await;
                }
            }
        }
    }

    async fn finish(self) -> Result<Digest, StreamError> {
        match self {
            Self::Inline(hasher) => Ok(hasher.finish()),
            Self::Beside { to, batch, done, .. } => {
                let _ = to.send(batch).await;
                drop(to);
                done.await.map_err(StreamError::broken_thread)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Unverified;

    fn pieces(parts: &[&[u8]]) -> ByteStream {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        stream::iter(parts).boxed()
    }

    async fn run(stream: ByteStream) -> (Vec<u8>, Result<(), StreamError>) {
        let mut stream = stream;
        let mut got = Vec::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => got.extend_from_slice(&piece),
                Err(error) => return (got, Err(error)),
            }
        }
        (got, Ok(()))
    }

    #[tokio::test]
    async fn gives_all_or_fails_before_the_last_piece() {
        let digest = Digest::sha256(b"abcdef");
        let other = Digest::sha256(b"other");
        for (expected, declared, announced, parts, given, error) in [
            (&digest, Some(6), Some(6), &[&b"abc"[..], b"def"][..], &b"abcdef"[..], ""),
            (&digest, None, None, &[b"abc", b"", b"def"], b"abcdef", ""),
            (&digest, None, Some(6), &[b"abcdef"], b"abcdef", ""),
            (&other, None, None, &[b"abc", b"def"], b"abc", "Digest did not match"),
            (&digest, Some(6), None, &[b"abc", b"de"], b"abc", "expected 6 bytes, got 5"),
            (&digest, Some(5), None, &[b"abc", b"def"], b"", "expected 5 bytes, got 6"),
            (&digest, Some(6), Some(7), &[b"abc", b"def"], b"", "expected 6 bytes, got 7"),
            (&digest, None, None, &[], b"", "Digest did not match"),
            (&Digest::sha256(b""), Some(0), None, &[], b"", ""),
        ] {
            let blob = Unverified::new(pieces(parts), announced).expect(expected, declared);
            let (got, result) = run(blob.into_stream()).await;
            assert_eq!(got, given, "{parts:?}");
            let text = result.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(text.starts_with(error) && text.is_empty() == error.is_empty(), "{text}");
        }
    }

    #[tokio::test]
    async fn stops_at_the_first_byte_too_many() {
        let polled = Arc::new(AtomicUsize::new(0));
        let count = polled.clone();
        let endless = stream::repeat_with(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from_static(&[0; 1000]))
        });
        let blob =
            Unverified::new(endless.boxed(), None).expect(&Digest::sha256(b""), Some(10_000));
        let (_, result) = run(blob.into_stream()).await;
        assert!(matches!(result, Err(StreamError::Size { expected: 10_000, actual: 11_000 })));
        assert_eq!(polled.load(Ordering::Relaxed), 11);
    }

    #[tokio::test]
    async fn hashes_large_blobs_on_a_thread() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let parts: Vec<&[u8]> = bytes.chunks(7001).collect();
        let digest = Digest::sha256(&bytes);
        let size = Some(bytes.len() as u64);
        let good = Unverified::new(pieces(&parts), None).expect(&digest, size);
        assert_eq!(run(good.into_stream()).await.0, bytes);

        let mut bad = bytes.clone();
        bad[1_500_000] ^= 1;
        let parts: Vec<&[u8]> = bad.chunks(7001).collect();
        let bad = Unverified::new(pieces(&parts), None).expect(&digest, size);
        assert!(matches!(run(bad.into_stream()).await.1, Err(StreamError::Digest { .. })));
    }
}
