//! How fast bytes move: what came in the last seconds. What was there already is never counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time over which the speed is averaged.
const WINDOW: Duration = Duration::from_secs(8);

/// How much time one entry stands for.
const STEP: Duration = Duration::from_millis(250);

/// The speed of something.
#[derive(Debug)]
pub(super) struct Rate {
    begun: Instant,
    /// When an entry begins, and how many bytes came in it.
    steps: VecDeque<(Instant, u64)>,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, steps: VecDeque::new() }
    }

    /// So many bytes have come.
    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        match self.steps.back_mut() {
            Some((begun, sum)) if now.saturating_duration_since(*begun) < STEP => {
                *sum = sum.saturating_add(bytes);
            }
            _ => self.steps.push_back((now, bytes)),
        }
        self.forget(now);
    }

    /// Bytes a second; `None` as long as too little is known.
    pub(super) fn per_second(&self, now: Instant) -> Option<u64> {
        let time = now.saturating_duration_since(self.begun).min(WINDOW);
        if time < STEP {
            return None;
        }
        let recent = self.steps.iter().filter(|(begun, _)| is_recent(*begun, now));
        let bytes = recent.fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let rate = u128::from(bytes) * 1000 / time.as_millis().max(1);
        Some(u64::try_from(rate).unwrap_or(u64::MAX))
    }

    fn forget(&mut self, now: Instant) {
        while self.steps.front().is_some_and(|(begun, _)| !is_recent(*begun, now)) {
            self.steps.pop_front();
        }
    }
}

fn is_recent(begun: Instant, now: Instant) -> bool {
    now.saturating_duration_since(begun) < WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seconds_count() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut rate = Rate::new(start);
        assert_eq!(rate.per_second(at(0)), None);
        for second in 0..4 {
            rate.add(500, at(second * 1000));
            rate.add(500, at(second * 1000 + 100));
        }
        assert_eq!(rate.per_second(at(4000)), Some(1000));
        // It stands still, then it is forgotten.
        assert_eq!(rate.per_second(at(8000)), Some(375));
        assert_eq!(rate.per_second(at(20_000)), Some(0));
        rate.add(16_000, at(20_000));
        assert_eq!(rate.per_second(at(21_000)), Some(2000));
        assert_eq!(rate.steps.len(), 1);
    }
}
