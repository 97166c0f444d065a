//! The pace of one client: how many requests at once, how many in a second, and what the registry
//! says about both.
//!
//! A request to the registry itself counts from when it is sent until the head of its answer is
//! there; those to token servers and object stores do not. The bodies of blobs, on their way in or
//! out, count too, but never wait: a copy within one registry reads and writes at the same time,
//! and a reader that waits for a writer must not wait for ever.

mod allowance;
mod hints;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderMap;
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::options::PaceOptions;
use allowance::{Admission, Allowance, Turn};

pub(crate) use hints::{Hints, Quota};

/// To be asked to wait for longer is worth telling.
const LONG: Duration = Duration::from_secs(4);

/// Who waits for how long, and what for.
#[derive(Debug)]
pub(crate) struct Pace {
    host: String,
    /// The longest that a request waits for a registry that wants to be left alone.
    longest: Duration,
    allowance: Mutex<Allowance>,
    /// Held by the next in line.
    turn: tokio::sync::Mutex<()>,
    changed: Notify,
    warned: AtomicBool,
}

/// A request in flight, or a body on its way: it counts until this value ends.
#[derive(Debug)]
pub(crate) struct Permit {
    pace: Arc<Pace>,
    epoch: u64,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    AsRequest,
    AsStream,
}

/// The registry wants to be left alone for longer than anybody here waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed(pub(crate) Duration);

impl Pace {
    pub(crate) fn new(host: &str, options: &PaceOptions, longest: Duration) -> Arc<Self> {
        Arc::new(Self {
            host: host.to_owned(),
            longest,
            allowance: Mutex::new(Allowance::new(options)),
            turn: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            warned: AtomicBool::new(false),
        })
    }

    /// Waits until a request may be sent, first come, first served.
    pub(crate) async fn enter(self: &Arc<Self>) -> Result<Permit, Closed> {
        let _turn = self.turn.lock().await;
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            let at = match self.allowance().admit(now) {
                Admission::Go(epoch) => {
                    let counts = Counts::AsRequest;
                    return Ok(Permit { pace: Arc::clone(self), epoch, counts });
                }
                Admission::Full => None,
                Admission::Due(at) => Some(at),
                Admission::Held { until, since } => {
                    let left = until.saturating_duration_since(now);
                    // Nor does anybody queue where for twice that time all was refused.
                    let refusing = now.saturating_duration_since(since);
                    if left > self.longest || refusing > self.longest.saturating_mul(2) {
                        return Err(Closed(left));
                    }
                    Some(until)
                }
            };
            match at {
                None => changed.await,
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at.into()) => {}
                },
            }
        }
    }

    /// Counts a body that is on its way.
    pub(crate) fn stream(self: &Arc<Self>) -> Permit {
        let epoch = self.allowance().begin_stream();
        Permit { pace: Arc::clone(self), epoch, counts: Counts::AsStream }
    }

    /// The quota, if it is known that nothing is left of it.
    pub(crate) fn spent(&self) -> Option<Quota> {
        self.allowance().spent(Instant::now())
    }

    fn tell(&self, status: u16, turn: Turn) {
        if let Some(wait) = turn.asked {
            let text = format!("registry {} asks to wait {} ({status})", self.host, span(wait));
            if wait > LONG && !self.warned.swap(true, Ordering::Relaxed) {
                warn!("{text}");
            } else {
                debug!("{text}");
            }
        }
        if let Some(quota) = turn.spent {
            warn!("registry {}: {}", self.host, quota.told(SystemTime::now()));
        }
    }

    fn allowance(&self) -> MutexGuard<'_, Allowance> {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Takes in what the answer says for all other requests.
    pub(crate) fn answered(&self, status: u16, headers: &HeaderMap) {
        let hints = Hints::of(headers, SystemTime::now());
        let (now, pace) = (Instant::now(), &self.pace);
        let turn = pace.allowance().answered(now, self.epoch, status, &hints, pace.longest);
        pace.tell(status, turn);
        pace.changed.notify_one();
    }

    /// The same for a body that is sent with the request: nobody has to wait for its end.
    pub(crate) fn into_stream(self) -> Self {
        let mut stream = self.pace.stream();
        stream.epoch = self.epoch;
        stream
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut allowance = self.pace.allowance();
        match self.counts {
            Counts::AsRequest => allowance.leave(),
            Counts::AsStream => allowance.end_stream(),
        }
        drop(allowance);
        self.pace.changed.notify_one();
    }
}

impl Quota {
    /// That nothing is left, and when there is more.
    pub(crate) fn told(&self, now: SystemTime) -> String {
        let of = self.limit.map(|limit| format!(" of {limit} requests")).unwrap_or_default();
        let window = self.window.map(|it| format!(" in {}", span(it))).unwrap_or_default();
        let again = match (self.reset, self.window) {
            (Some(reset), _) => format!("it is available again at {}", clock(now, reset)),
            (None, Some(window)) => format!("it is available again within {}", span(window)),
            (None, None) => "the registry does not say when it is available again".to_owned(),
        };
        format!("the quota{of}{window} is used up; {again}")
    }
}

/// `45s`, `90s`, `5m`, `6h`, `1h30m`.
pub(crate) fn span(time: Duration) -> String {
    // What has begun counts.
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    if seconds < 120 {
        return format!("{seconds}s");
    }
    let parts = [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let shown = parts.iter().filter(|(count, _)| *count > 0);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect()
}

/// The time of day, and the day, as RFC 3339 has it, in UTC.
pub(crate) fn clock(now: SystemTime, wait: Duration) -> String {
    let at = now.checked_add(wait).and_then(|at| jiff::Timestamp::try_from(at).ok());
    let at = at.and_then(|at| jiff::Timestamp::from_second(at.as_second()).ok());
    at.map_or_else(|| "some time".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn spans_are_read_by_people() {
        for (seconds, expected) in
            [(0, "0s"), (90, "90s"), (120, "2m"), (300, "5m"), (21600, "6h"), (5461, "1h31m1s")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(span(Duration::from_millis(1001)), "2s");
        assert_eq!(clock(UNIX_EPOCH, Duration::from_millis(61_500)), "1970-01-01T00:01:01Z");
        assert_eq!(clock(UNIX_EPOCH, Duration::MAX), "some time");
    }

    #[test]
    fn quotas_say_when_they_come_back() {
        let quota =
            |limit, reset, window| Quota { limit, remaining: 0, reset, window }.told(UNIX_EPOCH);
        let hours = Some(Duration::from_secs(21600));
        assert_eq!(
            quota(Some(100), None, hours),
            "the quota of 100 requests in 6h is used up; it is available again within 6h"
        );
        assert_eq!(
            quota(None, Some(Duration::from_secs(5)), None),
            "the quota is used up; it is available again at 1970-01-01T00:00:05Z"
        );
    }

    #[tokio::test]
    async fn those_who_wait_go_on_when_others_end_in_order() {
        let options = PaceOptions { in_flight: NonZeroUsize::new(1), per_second: None };
        let pace = Pace::new("r", &options, Duration::from_secs(60));
        let first = pace.enter().await.unwrap();
        let order: Arc<Mutex<Vec<u8>>> = Arc::default();
        let work = (0..5).map(|number| {
            let (pace, order) = (pace.clone(), order.clone());
            async move {
                let permit = pace.enter().await.unwrap();
                order.lock().unwrap().push(number);
                tokio::task::yield_now().await;
                drop(permit);
            }
        });
        let work = futures_util::future::join_all(work);
        let first = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        futures_util::future::join(work, first).await;
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn who_stops_waiting_is_in_nobodys_way() {
        let options = PaceOptions { in_flight: NonZeroUsize::new(1), per_second: None };
        let pace = Pace::new("r", &options, Duration::from_secs(60));
        let first = pace.enter().await.unwrap();
        for _ in 0..3 {
            let waiting = pace.enter();
            assert!(futures_util::FutureExt::now_or_never(waiting).is_none());
        }
        drop(first);
        drop(pace.enter().await.unwrap());
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_is_worth_it() {
        let pace = Pace::new("r", &PaceOptions::default(), Duration::from_secs(60));
        let permit = pace.enter().await.unwrap();
        let (waiting, _) = futures_util::future::join(pace.enter(), async {
            let headers = HeaderMap::from_iter([(
                http::header::RETRY_AFTER,
                http::HeaderValue::from_static("3600"),
            )]);
            permit.answered(429, &headers);
            drop(permit);
        })
        .await;
        // The second got in before the answer, the third did not.
        drop(waiting.unwrap());
        let Closed(left) = pace.enter().await.unwrap_err();
        assert!(left > Duration::from_secs(3500), "{left:?}");
    }
}
