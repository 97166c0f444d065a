//! Counting for progress.

use std::sync::Arc;

use futures_util::stream::StreamExt;

use crate::Blob;

/// Calls `count` with the length of each piece that passes, in bytes.
#[must_use]
pub fn meter(blob: Blob, count: Arc<dyn Fn(u64) + Send + Sync>) -> Blob {
    blob.map_stream(|stream| {
        stream
            .inspect(move |piece| {
                if let Ok(piece) = piece {
                    count(piece.len() as u64);
                }
            })
            .boxed()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use bytes::Bytes;

    use super::*;

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
}
