//! How often somebody may try to get in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::listen::admission::counted_as;

/// How many failed logins an address has before it must wait.
const BURST: f64 = 10.0;

/// How many more it has with each second.
const EACH_SECOND: f64 = 1.0;

/// How many logins of one address wait at once; more are refused.
const PENDING: u32 = 8;

/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many addresses are known at once.
const ADDRESSES: usize = 4096;

/// Failed logins by address. Only those wait that have not been right before: an attacker behind
/// the same address makes others wait for their first login, not for the next.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<IpAddr, Bucket>>);

#[derive(Debug)]
struct Bucket {
    /// Attempts that are left.
    left: f64,
    at: Instant,
    pending: u32,
}

/// A login under way. It counts as failed unless it is said to be right.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    throttle: &'a Throttle,
    address: IpAddr,
    taken: bool,
}

impl Throttle {
    /// Waits until a client of this address may try; none if too many are waiting.
    pub(super) async fn enter(&self, address: IpAddr) -> Option<Attempt<'_>> {
        let mut attempt = self.queue(counted_as(address), Instant::now())?;
        let begun = Instant::now();
        loop {
            let wait = attempt.take(Instant::now());
            if wait.is_zero() {
                return Some(attempt);
            }
            if begun.elapsed().saturating_add(wait) > PATIENCE {
                return None;
            }
            sleep(wait).await;
        }
    }

    fn queue(&self, address: IpAddr, now: Instant) -> Option<Attempt<'_>> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES && !buckets.contains_key(&address) {
            forget_one(&mut buckets, now)?;
        }
        let bucket = buckets.entry(address).or_insert(Bucket { left: BURST, at: now, pending: 0 });
        if bucket.pending >= PENDING {
            return None;
        }
        bucket.pending = bucket.pending.saturating_add(1);
        Some(Attempt { throttle: self, address, taken: false })
    }
}

/// Forgets the address that has the most attempts left, of those that do not wait.
fn forget_one(buckets: &mut HashMap<IpAddr, Bucket>, now: Instant) -> Option<()> {
    let unused = buckets.iter().filter(|(_, bucket)| bucket.pending == 0);
    let most = unused.max_by(|(_, a), (_, b)| a.left_at(now).total_cmp(&b.left_at(now)));
    let address = *most?.0;
    buckets.remove(&address).map(drop)
}

impl Bucket {
    fn left_at(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + elapsed * EACH_SECOND).min(BURST)
    }
}

impl Attempt<'_> {
    /// Takes one of the address's attempts; else says when there is one.
    fn take(&mut self, now: Instant) -> Duration {
        self.with_bucket(|bucket| {
            (bucket.left, bucket.at) = (bucket.left_at(now), now);
            if bucket.left < 1.0 {
                let wait = Duration::from_secs_f64((1.0 - bucket.left) / EACH_SECOND);
                return (false, wait.max(Duration::from_millis(10)));
            }
            bucket.left -= 1.0;
            (true, Duration::ZERO)
        })
    }

    /// The login was right, so it does not count.
    pub(super) fn was_right(mut self) {
        self.with_bucket(|bucket| {
            bucket.left += 1.0;
            (false, Duration::ZERO)
        });
    }

    fn with_bucket(&mut self, act: impl FnOnce(&mut Bucket) -> (bool, Duration)) -> Duration {
        let mut buckets = self.throttle.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = buckets.get_mut(&self.address) else { return Duration::ZERO };
        let (taken, wait) = act(bucket);
        self.taken = taken;
        wait
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut buckets = self.throttle.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&self.address) {
            bucket.pending = bucket.pending.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn failures_are_slowed_and_others_not() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let try_at = |from, after| {
            let mut attempt = throttle.queue(address(from), now).unwrap();
            let at = now + Duration::from_secs(after);
            attempt.take(at).is_zero()
        };
        for number in 0..10 {
            assert!(try_at(1, 0), "{number}");
        }
        assert!(!try_at(1, 0));
        assert!(try_at(2, 0), "another address");
        assert!(try_at(1, 1), "a second later");
        assert!(!try_at(1, 1));
        // A right one is given back.
        let mut right = throttle.queue(address(1), now).unwrap();
        assert!(right.take(now + Duration::from_secs(2)).is_zero());
        right.was_right();
        assert!(try_at(1, 2));
    }

    #[test]
    fn few_of_one_address_wait() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let waiting: Vec<_> = (0..8).map(|_| throttle.queue(address(1), now).unwrap()).collect();
        assert!(throttle.queue(address(1), now).is_none());
        assert!(throttle.queue(address(2), now).is_some());
        drop(waiting);
        assert!(throttle.queue(address(1), now).is_some());
    }

    #[test]
    fn the_table_does_not_grow() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let mut failed = throttle.queue(address(0), now).unwrap();
        for _ in 0..5 {
            failed.take(now);
        }
        drop(failed);
        for number in 1..20_000 {
            assert!(throttle.queue(address(number), now).is_some());
        }
        let buckets = throttle.0.lock().unwrap();
        assert_eq!(buckets.len(), ADDRESSES);
        assert!(buckets.contains_key(&address(0)), "who failed is known longest");
    }
}
