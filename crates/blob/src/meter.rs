//! Counting for progress.

use std::sync::Arc;

use futures_util::stream::StreamExt;
use skopeo_image::number::wide;

use crate::Blob;

/// Calls `count` with the length of each piece that passes, in bytes; not with those that are
/// [kept](Blob::kept).
#[must_use]
pub fn meter(blob: Blob, count: Arc<dyn Fn(u64) + Send + Sync>) -> Blob {
    let mut kept = blob.kept();
    blob.map_stream(|stream| {
        stream
            .inspect(move |piece| {
                if let Ok(piece) = piece {
                    let size = wide(piece.len());
                    let new = size.saturating_sub(kept);
                    if new > 0 {
                        count(new);
                    }
                    kept = kept.saturating_sub(size);
                }
            })
            .boxed()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use bytes::Bytes;

    use skopeo_image::Digest;

    use super::*;
    use crate::{Unverified, file};

    #[tokio::test]
    async fn counts_what_passes() {
        let count = Arc::new(AtomicU64::new(0));
        let counted = count.clone();
        let blob = meter(
            Blob::of_bytes(Bytes::from_static(b"12345")),
            Arc::new(move |n| {
                counted.fetch_add(n, Ordering::Relaxed);
            }),
        );
        assert_eq!(blob.size(), Some(5));
        assert_eq!(blob.into_stream().count().await, 1);
        assert_eq!(count.load(Ordering::Relaxed), 5);
    }

    #[tokio::test]
    async fn what_was_kept_does_not_count() {
        let pieces = |text: &'static [u8]| {
            let pieces = text.chunks(2).map(|piece| Ok(Bytes::from_static(piece)));
            futures_util::stream::iter(pieces).boxed()
        };
        let count = Arc::new(AtomicU64::new(0));
        let counted = count.clone();
        let rest = Unverified::new(pieces(b"456789"), Some(6)).after(pieces(b"123"), 3);
        let blob = rest.expect(&Digest::sha256(b"123456789"), Some(9));
        let count_all = Arc::new(move |n| {
            counted.fetch_add(n, Ordering::Relaxed);
        });
        let written = file::write_rest(meter(blob, count_all), Vec::new()).await.unwrap();
        assert_eq!(written.file, b"456789");
        assert_eq!((written.size, count.load(Ordering::Relaxed)), (9, 6));
    }
}
