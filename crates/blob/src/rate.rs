//! So many bytes in a second, for all streams that share the limit.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use skopeo_image::number::wide;

use crate::Blob;

/// What was not used of the last moment may be caught up with: timers are late.
const BURST: Duration = Duration::from_millis(50);

/// The portions that pass at once, in bytes: small enough for many streams to take turns.
const PORTIONS: std::ops::RangeInclusive<u64> = 1024..=256 * 1024;

/// A limit of bytes per second. Whoever shares one takes turns, in the order in which they come.
#[derive(Debug)]
pub struct Rate {
    portion: usize,
    line: Mutex<Line>,
}

impl Rate {
    /// Returns a limit of so many bytes in a second.
    #[must_use]
    pub fn new(per_second: NonZeroU64) -> Arc<Self> {
        let portion = (per_second.get() / 20).clamp(*PORTIONS.start(), *PORTIONS.end());
        let line = Line { per_second, free: None };
        Arc::new(Self {
            portion: usize::try_from(portion).unwrap_or(usize::MAX),
            line: Mutex::new(line),
        })
    }

    /// Waits until so many bytes may pass. Who stops waiting has had his turn.
    async fn pass(&self, bytes: usize) {
        let at = {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            line.reserve(Instant::now(), bytes)
        };
        if let Some(at) = at {
            tokio::time::sleep_until(at.into()).await;
        }
    }
}

/// Returns the same bytes, no faster than `rate` lets them pass, in smaller pieces where they are
/// large.
#[must_use]
pub fn throttle(blob: Blob, rate: Arc<Rate>) -> Blob {
    let portion = rate.portion;
    // What is at the destination already goes over no line.
    let mut kept = blob.kept();
    blob.map_stream(|pieces| {
        pieces
            .map_ok(move |piece| stream::iter(portions(piece, portion).map(Ok)))
            .try_flatten()
            .and_then(move |piece| {
                let rate = Arc::clone(&rate);
                let size = wide(piece.len());
                let is_kept = kept >= size;
                kept = kept.saturating_sub(size);
                async move {
                    if !is_kept {
                        rate.pass(piece.len()).await;
                    }
                    Ok(piece)
                }
            })
            .boxed()
    })
}

fn portions(mut piece: Bytes, portion: usize) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let next = piece.split_to(portion.min(piece.len()));
        (!next.is_empty()).then_some(next)
    })
}

/// A line that is busy with each piece for as long as the piece takes. The time is given in.
struct Line {
    per_second: NonZeroU64,
    /// Since when it is free, or when it will be.
    free: Option<Instant>,
}

impl Line {
    /// The next turn is for so many bytes: when they may pass, if not now.
    fn reserve(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let start = self.free.unwrap_or(now).max(earliest);
        let nanos = u128::from(wide(bytes)).saturating_mul(1_000_000_000);
        let nanos = nanos / NonZeroU128::from(self.per_second);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.free = start.checked_add(takes);
        (start > now).then_some(start)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B/s", self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use skopeo_image::Digest;

    use super::*;
    use crate::Unverified;

    fn line(per_second: u64) -> Line {
        Line { per_second: NonZeroU64::new(per_second).unwrap(), free: None }
    }

    #[test]
    fn pieces_of_all_sizes_keep_to_the_rate() {
        let start = Instant::now();
        // bytes in a second, pieces, of how many bytes, milliseconds until the last has passed
        for (rate, pieces, bytes, expected) in [
            (1000, 10, 100, 900),    // the first at once
            (1000, 3, 5000, 10_000), // each more than a second of it
            (1_000_000, 1000, 1000, 999),
            (1000, 100, 0, 0),
            (u64::MAX, 100, usize::MAX / 200, 494),
            (1, 1, usize::MAX, 0), // who is alone need not wait, only the next
        ] {
            let (mut line, mut now) = (line(rate), start);
            for _ in 0..pieces {
                now = line.reserve(now, bytes).unwrap_or(now);
            }
            let took = now.duration_since(start).as_millis();
            assert!((expected..=expected + 1).contains(&took), "{rate}: {took} ms");
        }
    }

    #[test]
    fn no_more_than_a_moment_is_caught_up_with() {
        let start = Instant::now();
        let mut line = line(1000);
        line.reserve(start, 100);
        let later = start + Duration::from_secs(60);
        let at_once = (0..1000).take_while(|_| line.reserve(later, 10).is_none()).count();
        assert_eq!(at_once, 6); // 50 ms, and the one that finds the line free
    }

    #[test]
    fn those_who_share_take_turns() {
        let start = Instant::now();
        let mut line = line(1000);
        // Three streams that come back as soon as their piece has passed.
        let mut next = [(start, 0_u32); 3];
        for _ in 0..300 {
            let (now, passed) = next.iter_mut().min().unwrap();
            *now = line.reserve(*now, 10).unwrap_or(*now);
            *passed += 1;
        }
        assert_eq!(next.map(|(_, passed)| passed), [100; 3]);
        let end = next.iter().map(|(at, _)| *at).max().unwrap();
        assert!(end.duration_since(start) >= Duration::from_millis(2900));
    }

    #[tokio::test]
    async fn the_bytes_stay_the_same() {
        let bytes = Bytes::from((0..300_000_u32).map(|it| it as u8).collect::<Vec<_>>());
        let digest = Digest::sha256(&bytes);
        let rate = Rate::new(NonZeroU64::new(2_000_000).unwrap());
        let begun = Instant::now();
        let blob = |bytes: Bytes| {
            let stream = stream::iter([Ok(bytes)]).boxed();
            throttle(Unverified::new(stream, None).expect(&digest, Some(300_000)), rate.clone())
        };
        let whole: Vec<Bytes> = blob(bytes.clone()).into_stream().try_collect().await.unwrap();
        assert!(whole.concat() == bytes);
        assert!(whole.len() >= 3, "in portions");
        // It is a limit, not a promise.
        assert!(begun.elapsed() >= Duration::from_millis(50), "{:?}", begun.elapsed());
        let spoilt = Bytes::from(vec![0; 300_000]);
        let end: Result<Vec<Bytes>, _> = blob(spoilt).into_stream().try_collect().await;
        assert!(end.is_err());
    }
}
