//! What may be tried again, and when.

use std::time::Duration;

use http::StatusCode;

use crate::error::Error;
use crate::options::RetryPolicy;

/// Whether an answer of this status may be another one later.
pub(crate) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Who is asked to come back in less has not been told when, but only that it is too much.
const SHORTEST_WISH: Duration = Duration::from_secs(1);

/// Tries that have failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// All of them.
    pub(crate) done: u32,
    /// How many of all that there are they count.
    counted: u32,
}

/// The tries of one request, or of one download.
#[derive(Debug)]
pub(crate) struct Tries<'a> {
    policy: &'a RetryPolicy,
    done: u32,
    /// How many of them were not a registry's wish to wait, which has its own limit.
    counted: u32,
    paused: Duration,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(policy: &'a RetryPolicy) -> Self {
        Self::after(policy, Spent::default())
    }

    /// Tries that go on where so many have been spent.
    pub(crate) fn after(policy: &'a RetryPolicy, spent: Spent) -> Self {
        Self { policy, done: spent.done, counted: spent.counted, paused: Duration::ZERO }
    }

    /// What has been spent.
    pub(crate) fn spent(&self) -> Spent {
        Spent { done: self.done, counted: self.counted }
    }

    /// Counts a try that got no answer, or not to its end, as [`next`](Self::next) does. Who is
    /// silent makes us wait long for nothing: that counts as half of all tries.
    pub(crate) fn broken(&mut self, error: &Error) -> Option<Duration> {
        if error.is_silence() {
            let half = self.policy.tries.div_ceil(2).saturating_sub(1);
            self.counted = self.counted.saturating_add(half);
        }
        self.next(None, None)
    }

    /// How many tries have failed.
    pub(crate) fn done(&self) -> u32 {
        self.done
    }

    /// How long may still be paused.
    pub(crate) fn left(&self) -> Duration {
        self.policy.longest_wait.saturating_sub(self.paused)
    }

    /// Counts a try that failed: how long to pause before the next, or `None` if it was the last.
    pub(crate) fn next(
        &mut self,
        status: Option<StatusCode>,
        wish: Option<Duration>,
    ) -> Option<Duration> {
        self.done = self.done.saturating_add(1);
        let busy = status == Some(StatusCode::TOO_MANY_REQUESTS);
        if !(busy && wish.is_some_and(|wish| wish >= SHORTEST_WISH)) {
            self.counted = self.counted.saturating_add(1);
        }
        let left = self.left();
        if self.counted >= self.policy.tries || left.is_zero() {
            return None;
        }
        let first = if busy { self.policy.busy_pause } else { self.policy.pause };
        let usual = first.saturating_mul(1 << self.counted.saturating_sub(1).min(16));
        let pause = wish.unwrap_or(usual).min(left);
        // So that many who failed together do not come back together.
        let more = pause.mul_f64(fastrand::f64() / 4.0);
        let pause = pause.saturating_add(more).min(left);
        self.paused = self.paused.saturating_add(pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_change_is_tried_again() {
        let transient: Vec<u16> =
            (100..600).filter(|status| is_transient_status(*status)).collect();
        assert_eq!(transient, [408, 425, 429, 500, 502, 503, 504]);
    }

    #[test]
    fn pauses_grow_and_end() {
        let policy = RetryPolicy {
            tries: 4,
            pause: Duration::from_secs(1),
            busy_pause: Duration::from_secs(10),
            longest_wait: Duration::from_secs(100),
            progress: 1,
        };
        let busy = Some(StatusCode::TOO_MANY_REQUESTS);
        for (status, wish, expected) in [
            (None, None, vec![1, 2, 4]),
            (busy, None, vec![10, 20, 40]),
            (None, Some(3), vec![3, 3, 3]),
            (None, Some(1000), vec![100]),
            (busy, Some(0), vec![0, 0, 0]),
        ] {
            let mut tries = Tries::new(&policy);
            let pauses: Vec<f64> =
                std::iter::from_fn(|| tries.next(status, wish.map(Duration::from_secs)))
                    .map(|pause| pause.as_secs_f64())
                    .collect();
            assert_eq!(pauses.len(), expected.len());
            assert!(pauses.iter().sum::<f64>() <= 100.0, "{pauses:?}");
            for (pause, expected) in pauses.iter().zip(expected) {
                let expected = f64::from(expected);
                assert!((expected..=expected * 1.25).contains(pause), "{pause} for {expected}");
            }
        }
    }

    #[test]
    fn who_is_silent_is_asked_twice() {
        let policy = RetryPolicy::default();
        let url = url::Url::parse("https://r.example/v2/").unwrap();
        let error = |wire| Error::request(&http::Method::GET, &url, wire);
        let (mut silent, mut cut) = (Tries::new(&policy), Tries::new(&policy));
        let silence = error(crate::wire::WireError::silent(Duration::from_secs(90)));
        let broken = error(crate::wire::WireError::cut());
        assert!(silent.broken(&silence).is_some() && silent.broken(&silence).is_none());
        assert_eq!(silent.done(), 2);
        assert_eq!(std::iter::from_fn(|| cut.broken(&broken)).count(), 4);
    }

    #[test]
    fn tries_without_number_are_counted_without_end() {
        let policy = RetryPolicy { tries: u32::MAX, ..RetryPolicy::default() };
        let url = url::Url::parse("https://r.example/v2/").unwrap();
        let wire = crate::wire::WireError::silent(Duration::from_secs(90));
        let silence = Error::request(&http::Method::GET, &url, wire);
        let mut tries = Tries::new(&policy);
        while tries.broken(&silence).is_some() {}
        assert_eq!(tries.done(), 2);
    }

    #[test]
    fn who_says_when_to_come_back_is_asked_as_long_as_one_waits() {
        let policy = RetryPolicy::default();
        let mut tries = Tries::new(&policy);
        let wish = Some(Duration::from_secs(2));
        let pauses = std::iter::from_fn(|| tries.next(Some(StatusCode::TOO_MANY_REQUESTS), wish));
        assert!((24..=30).contains(&pauses.count()));
        assert_eq!(tries.left(), Duration::ZERO);
    }

    #[test]
    fn who_is_unavailable_for_ever_is_given_up_within_seconds() {
        let policy = RetryPolicy::default();
        let mut tries = Tries::new(&policy);
        let unavailable = Some(StatusCode::SERVICE_UNAVAILABLE);
        let paused: Duration = std::iter::from_fn(|| tries.next(unavailable, None)).sum();
        assert!(paused < Duration::from_secs(6), "{paused:?}");
        assert_eq!(tries.done(), policy.tries);
    }
}
