//! One blob for several readers: read once, verified once.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::{self, Either};
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;

use crate::pipe::{Message, Pusher};
use crate::sizes::DEPTH;
use crate::{Blob, ByteStream, StreamError};

/// Gives a blob to so many readers at once. Each gets clones of the pieces (a reference each, no
/// bytes) of what has been verified before the split; the slowest sets the pace, and one that
/// stops reading is left behind. What [`Pump`] says is the blob's own failure.
#[must_use]
pub fn split(blob: Blob, readers: usize) -> (Vec<Blob>, Pump) {
    let Blob { size, announced, max_unpacked, .. } = blob;
    let digest = blob.digest.clone();
    let (pushers, blobs) = (0..readers)
        .map(|_| {
            let (to, from) = mpsc::channel(DEPTH);
            let (digest, stream) = (digest.clone(), received(from));
            let rest = Blob::unnamed(stream);
            (Pusher::new(to), Blob { digest, size, announced, max_unpacked, ..rest })
        })
        .unzip();
    (blobs, Pump { stream: blob.into_stream(), pushers, failure: Arc::default() })
}

/// What moves the pieces of a blob that was split to its readers.
pub struct Pump {
    stream: ByteStream,
    pushers: Vec<Pusher>,
    failure: Arc<Mutex<Option<StreamError>>>,
}

impl Pump {
    /// Feeds the readers until `work`, which reads, has come to its end. If the blob itself failed
    /// before that, the reason is given beside; the readers have only been told of it.
    pub async fn feed<T>(self, work: impl Future<Output = T>) -> (T, Option<StreamError>) {
        let Self { stream, pushers, failure } = self;
        let pumping = pump(stream, pushers, Arc::clone(&failure));
        let done = match future::select(pin!(pumping), pin!(work)).await {
            Either::Left(((), work)) => work.await,
            Either::Right((done, _)) => done,
        };
        let failure = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        (done, failure)
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump").field("readers", &self.pushers.len()).finish_non_exhaustive()
    }
}

async fn pump(
    mut stream: ByteStream,
    mut pushers: Vec<Pusher>,
    failure: Arc<Mutex<Option<StreamError>>>,
) {
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => {
                let pushed = pushers.iter_mut().map(|pusher| pusher.push(piece.clone()));
                let mut goes_on = future::join_all(pushed).await.into_iter();
                pushers.retain(|_| goes_on.next().unwrap_or(false));
            }
            Err(error) => {
                let said = told(&error);
                // Before anybody hears of it, so that it is there when they have ended.
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                let failed = pushers.into_iter().map(|pusher| pusher.fail(said()));
                future::join_all(failed).await;
                return;
            }
        }
        if pushers.is_empty() {
            return;
        }
    }
    future::join_all(pushers.into_iter().map(Pusher::end)).await;
}

/// A failure as the readers hear of it.
fn told(error: &StreamError) -> impl Fn() -> StreamError + use<> {
    let error: &dyn std::error::Error = error;
    let sources = std::iter::successors(Some(error), |it| it.source());
    let text = sources.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    move || StreamError::Read { source: text.clone().into(), transient: false, tried: 1 }
}

/// What comes through a channel. Silence is never taken for the end.
fn received(from: mpsc::Receiver<Message>) -> ByteStream {
    let none = Vec::<Bytes>::new().into_iter();
    stream::try_unfold((from, none), |(mut from, mut pieces)| async move {
        loop {
            if let Some(piece) = pieces.next() {
                return Ok(Some((piece, (from, pieces))));
            }
            match from.recv().await {
                Some(Message::Pieces(more)) => pieces = more.into_iter(),
                Some(Message::End) => return Ok(None),
                Some(Message::Failed(error)) => return Err(error),
                None => return Err(StreamError::broken_thread("the read was abandoned")),
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use skopeo_image::Digest;

    use super::*;
    use crate::Unverified;

    const PIECE: usize = 64 * 1024;

    fn sample(pieces: usize) -> (Vec<u8>, Digest) {
        let bytes: Vec<u8> = (0..pieces * PIECE).map(|i| (i * i % 251) as u8).collect();
        let digest = Digest::sha256(&bytes);
        (bytes, digest)
    }

    /// The bytes, and how many pieces of them were asked for.
    fn counted(bytes: &[u8]) -> (ByteStream, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let asked = count.clone();
        let pieces: Vec<_> = bytes.chunks(PIECE).map(Bytes::copy_from_slice).collect();
        let stream = stream::iter(pieces).map(move |piece| {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(piece)
        });
        (stream.boxed(), count)
    }

    async fn read(blob: Blob) -> Result<Vec<u8>, StreamError> {
        let mut stream = blob.into_stream();
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn all_get_all_of_it() {
        for pieces in [0, 1, 2, 33] {
            let (bytes, digest) = sample(pieces);
            let (stream, count) = counted(&bytes);
            let size = Some(bytes.len() as u64);
            let blob = Unverified::new(stream, size).expect(&digest, size);
            let (blobs, pump) = split(blob, 3);
            assert!(blobs.iter().all(|it| it.digest() == Some(&digest) && it.size() == size));
            let (read, failure) = pump.feed(future::join_all(blobs.into_iter().map(read))).await;
            assert!(failure.is_none());
            for read in read {
                assert_eq!(read.unwrap(), bytes);
            }
            assert_eq!(count.load(Ordering::Relaxed), pieces, "read once");
        }
    }

    #[tokio::test]
    async fn the_slowest_sets_the_pace() {
        let (bytes, digest) = sample(100);
        let (stream, count) = counted(&bytes);
        let (mut blobs, pump) = split(Unverified::new(stream, None).expect(&digest, None), 2);
        let mut slow = blobs.pop().unwrap().into_stream();
        let fast = blobs.pop().unwrap();
        let work = async {
            let fast = read(fast);
            let mut fast = pin!(fast);
            for taken in 1.. {
                // The fast one is let run as far as it gets before each piece of the slow one.
                for _ in 0..1000 {
                    assert!(futures_util::poll!(&mut fast).is_pending() || taken > 90);
                    tokio::task::yield_now().await;
                    if taken > 90 {
                        break;
                    }
                }
                let ahead = count.load(Ordering::Relaxed) - (taken - 1);
                assert!(ahead <= 16, "{ahead} pieces are held in memory");
                if taken > 90 {
                    break;
                }
                slow.next().await.unwrap().unwrap();
            }
            drop(slow);
            fast.await
        };
        let (fast, failure) = pump.feed(work).await;
        assert_eq!(fast.unwrap(), bytes, "it gets the rest when the slow one is gone");
        assert!(failure.is_none());
    }

    #[tokio::test]
    async fn what_fails_fails_for_all_and_is_told_once() {
        let (bytes, digest) = sample(5);
        let other = Digest::sha256(b"other");
        let broken = |at: usize| {
            let (good, _) = counted(&bytes[..at * PIECE]);
            let broken = StreamError::Read { source: "reset".into(), transient: true, tried: 2 };
            good.chain(stream::iter([Err(broken)])).boxed()
        };
        for (stream, digest) in
            [(broken(0), &digest), (broken(3), &digest), (counted(&bytes).0, &other)]
        {
            let (blobs, pump) = split(Unverified::new(stream, None).expect(digest, None), 2);
            let (read, failure) = pump.feed(future::join_all(blobs.into_iter().map(read))).await;
            let expected = if digest == &other { "Digest did not match" } else { "reading blob" };
            let failure = failure.unwrap();
            assert!(failure.to_string().starts_with(expected));
            assert_eq!(failure.is_transient(), digest != &other);
            assert!(read.iter().all(Result::is_err));
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_source_that_nobody_reads() {
        let (blobs, pump) = split(Blob::unnamed(stream::pending().boxed()), 2);
        let work = async { blobs.into_iter().for_each(drop) };
        assert!(pump.feed(work).await.1.is_none());
    }
}
