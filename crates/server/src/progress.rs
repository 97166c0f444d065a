//! Whether bytes move: what is owed to or by a client, and how long too little of it has moved.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use skopeo_image::number::wide;

use crate::memory::Use;

/// How many bytes in a second are progress, as a mean since there was progress last. A client that
/// moves less for as long as it may be silent is cut.
pub(crate) const LEAST_RATE: u64 = 512;

/// How many bytes in a second are progress while others wait for what this client holds.
const BRISK_RATE: u64 = 16 * 1024;

/// So long that nobody waits for it: what is later than any clock can say is that far away.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The body of a request that was silent, or trickled, for too long.
#[derive(Debug, thiserror::Error)]
#[error("the request's body moved too slowly")]
pub(crate) struct TooSlow;

/// The time that is so long after another.
pub(crate) fn after(start: Instant, pause: Duration) -> Instant {
    start.checked_add(pause).or_else(|| start.checked_add(FAR)).unwrap_or(start)
}

/// A rate, and since when it was not reached.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: u64,
    since: Instant,
    moved: u64,
}

impl Pace {
    /// Begins now.
    pub(crate) fn new(rate: u64, now: Instant) -> Self {
        Self { rate, since: now, moved: 0 }
    }

    /// For how long too little has moved, when so much has moved in all.
    pub(crate) fn slow_for(&mut self, moved: u64, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.since);
        let owed = u128::from(self.rate).saturating_mul(elapsed.as_millis()) / 1000;
        let came = moved.saturating_sub(self.moved);
        if came > 0 && u128::from(came) >= owed {
            self.begin(moved, now);
        }
        now.saturating_duration_since(self.since)
    }

    /// Begins anew: nothing was owed.
    pub(crate) fn begin(&mut self, moved: u64, now: Instant) {
        (self.since, self.moved) = (now, moved);
    }

    /// Leaves out a time in which the other side was not waited for.
    pub(crate) fn pause(&mut self, pause: Duration) {
        self.since = after(self.since, pause);
    }

    /// When silence will have lasted so long.
    pub(crate) fn deadline(&self, silence: Duration) -> Instant {
        after(self.since, silence)
    }
}

/// One body on its way: its counters are touched by whoever moves it, and judged by the listener.
#[derive(Debug)]
pub(crate) struct Flow {
    kind: Use,
    /// Bytes that were given out and not taken yet; for a request, whether some are awaited.
    owed: AtomicUsize,
    moved: AtomicU64,
    paces: Mutex<[Pace; 2]>,
    waker: Mutex<Option<Waker>>,
}

impl Flow {
    /// Nothing is owed yet.
    pub(crate) fn new(kind: Use) -> Self {
        let now = Instant::now();
        Self {
            kind,
            owed: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
            paces: Mutex::new([Pace::new(LEAST_RATE, now), Pace::new(BRISK_RATE, now)]),
            waker: Mutex::default(),
        }
    }

    /// What it takes memory for.
    pub(crate) fn kind(&self) -> Use {
        self.kind
    }

    /// How many bytes were given out and not taken yet.
    pub(crate) fn owed(&self) -> usize {
        self.owed.load(Ordering::Relaxed)
    }

    /// How many bytes were taken, or came.
    pub(crate) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Bytes are given out.
    pub(crate) fn give(&self, bytes: usize) {
        self.owed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes were taken, or thrown away.
    pub(crate) fn taken(&self, bytes: usize) {
        self.owed.fetch_sub(bytes, Ordering::Relaxed);
        self.moved.fetch_add(wide(bytes), Ordering::Relaxed);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Bytes are awaited from the client.
    pub(crate) fn awaits(&self) {
        self.owed.store(1, Ordering::Relaxed);
    }

    /// Bytes came from the client.
    pub(crate) fn came(&self, bytes: usize) {
        self.owed.store(0, Ordering::Relaxed);
        self.moved.fetch_add(wide(bytes), Ordering::Relaxed);
    }

    /// Wakes the task when bytes are taken.
    pub(crate) fn wake_when_taken(&self, context: &Context<'_>) {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        *waker = Some(context.waker().clone());
    }

    /// For how long it has been slow, and for how long it has not been brisk. `moved` is how many
    /// bytes passed, where the connection knows it better.
    pub(crate) fn slow_for(&self, moved: Option<u64>, now: Instant) -> [Duration; 2] {
        let moved = moved.unwrap_or_else(|| self.moved());
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let owed = self.owed() > 0;
        paces.each_mut().map(|pace| {
            if !owed {
                pace.begin(moved, now);
            }
            pace.slow_for(moved, now)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_no_progress() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut pace = Pace::new(100, begin);
        for (second, moved, slow) in [
            (1, 1, 1),       // a byte in a second
            (10, 10, 10),    // still
            (11, 1100, 0),   // enough for the eleven seconds
            (12, 1100, 1),   // silence
            (20, 1899, 9),   // 799 in nine seconds
            (20, 2000, 0),   // exactly enough
            (100, 2000, 80), // what came before does not count twice
        ] {
            let slow_for = pace.slow_for(moved, at(second));
            assert_eq!(slow_for, Duration::from_secs(slow), "after {second} s: {moved}");
        }
        pace.pause(Duration::from_secs(70));
        assert_eq!(pace.slow_for(2000, at(100)), Duration::from_secs(10));
    }

    #[test]
    fn only_what_is_owed_can_be_late() {
        let flow = Flow::new(Use::Answer);
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(flow.slow_for(None, later), [Duration::ZERO; 2]);
        flow.give(1000);
        let much_later = later + Duration::from_secs(60);
        assert_eq!(flow.slow_for(None, much_later), [Duration::from_secs(60); 2]);
        flow.taken(1000);
        assert_eq!(flow.slow_for(None, much_later), [Duration::ZERO; 2]);
    }
}
