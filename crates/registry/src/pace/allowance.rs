//! What a registry lets us do now. Nothing waits here, and the time is given in.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::hints::{Hints, Quota};
use crate::options::PaceOptions;

/// Requests may come so much before their time: timers are not finer than that, and a few at
/// once are no burst.
const TOLERANCE: Duration = Duration::from_millis(100);

/// Nobody is left alone for longer, whatever is said: the sums have to fit.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many requests are in flight, how many may be, and when the next.
///
/// What may be in flight is halved with each refusal of a request that was sent since the last
/// halving, and grows by one for each round of as many that went well.
#[derive(Debug)]
pub(super) struct Allowance {
    /// What the user allows.
    most: usize,
    interval: Duration,
    /// What the registry seems to allow.
    allowed: usize,
    /// How many went well since `allowed` was changed.
    well: usize,
    requests: usize,
    streams: usize,
    epoch: u64,
    /// Nothing may be sent before, and since when there was nothing but refusals.
    held: Option<(Instant, Instant)>,
    /// What is left of a quota is spread over the time until there is more.
    spread: Option<(Duration, Instant)>,
    /// When the next request would be due if all came evenly.
    due: Option<Instant>,
    /// The last quota, and until when it says anything.
    quota: Option<(Quota, Instant)>,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is in flight now, in this epoch.
    Go(u64),
    /// When another one has ended.
    Full,
    /// So many are enough for the moment: not before this time.
    Due(Instant),
    /// The registry wants to be left alone until then, and has refused everything since.
    Held { until: Instant, since: Instant },
}

/// What an answer means for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// The registry asked us to wait so long.
    pub(super) asked: Option<Duration>,
    /// That was the last of a quota.
    pub(super) spent: Option<Quota>,
}

impl Allowance {
    pub(super) fn new(options: &PaceOptions) -> Self {
        let most = options.in_flight.map_or(usize::MAX, NonZeroUsize::get);
        let interval = options.per_second.map(|rate| Duration::try_from_secs_f64(1.0 / rate));
        Self {
            most,
            interval: interval.and_then(Result::ok).unwrap_or_default(),
            allowed: most,
            well: 0,
            requests: 0,
            streams: 0,
            epoch: 0,
            held: None,
            spread: None,
            due: None,
            quota: None,
        }
    }

    /// Whether a request may be sent now; if so, it counts as in flight until [`Self::leave`].
    ///
    /// One request may always be in flight, however many streams there are: it ends by itself,
    /// and a stream may wait for what only it can bring.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        if let Some((until, since)) = self.held.filter(|(until, _)| *until > now) {
            return Admission::Held { until, since };
        }
        if self.requests > 0 && self.all() >= self.allowed {
            return Admission::Full;
        }
        let spread = self.spread.filter(|(_, until)| *until > now).map(|(interval, _)| interval);
        let interval = self.interval.max(spread.unwrap_or_default());
        let due = self.due.unwrap_or(now).max(now);
        if due.saturating_duration_since(now) > TOLERANCE {
            return Admission::Due(due.checked_sub(TOLERANCE).unwrap_or(due));
        }
        self.due = due.checked_add(interval);
        self.requests = self.requests.saturating_add(1);
        Admission::Go(self.epoch)
    }

    /// A request is not in flight any more.
    pub(super) fn leave(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }

    /// A body is on its way, for which nobody has to wait.
    pub(super) fn begin_stream(&mut self) -> u64 {
        self.streams = self.streams.saturating_add(1);
        self.epoch
    }

    pub(super) fn end_stream(&mut self) {
        self.streams = self.streams.saturating_sub(1);
    }

    /// Takes in the answer to a request of this epoch, which is in flight still. No more than
    /// `longest` is waited for what is no quota.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        epoch: u64,
        status: u16,
        hints: &Hints,
        longest: Duration,
    ) -> Turn {
        let before = self.quota.filter(|(_, until)| *until > now).map(|(quota, _)| quota);
        let mut turn = Turn::default();
        if let Some(quota) = hints.quota {
            let lasts = quota.reset.or(quota.window).unwrap_or_default();
            self.quota = Some((quota, after(now, lasts)));
            let is_first = before.is_none_or(|before| before.remaining > 0);
            turn.spent = Some(quota).filter(|quota| quota.remaining == 0 && is_first);
        }
        let wait = match status {
            429 => hints.wait(),
            503 => hints.retry_after.map(|wait| wait.min(longest)),
            _ => None,
        };
        if status == 429 || wait.is_some() {
            self.refused(now, epoch, wait);
            turn.asked = wait.filter(|wait| !wait.is_zero());
        } else if status < 500 {
            self.went_well(now, hints.quota, longest);
        }
        turn
    }

    /// The quota, if it is known that nothing is left of it.
    pub(super) fn spent(&self, now: Instant) -> Option<Quota> {
        let (quota, _) = self.quota.filter(|(_, until)| *until > now)?;
        (quota.remaining == 0).then_some(quota)
    }

    fn refused(&mut self, now: Instant, epoch: u64, wait: Option<Duration>) {
        // Those that were in flight together are refused together: that is one refusal.
        if epoch == self.epoch {
            self.epoch = self.epoch.wrapping_add(1);
            self.allowed = (self.allowed.min(self.all()) / 2).max(1);
        }
        self.well = 0;
        let (held, since) = self.held.unwrap_or((now, now));
        self.held = Some((held.max(after(now, wait.unwrap_or_default())), since));
    }

    fn went_well(&mut self, now: Instant, quota: Option<Quota>, longest: Duration) {
        self.held = self.held.filter(|(until, _)| *until > now).map(|(until, _)| (until, now));
        self.well = self.well.saturating_add(1);
        if self.well >= self.allowed {
            self.well = 0;
            self.allowed = self.allowed.saturating_add(1).min(self.most);
        }
        let Some(quota) = quota else { return };
        self.spread = None;
        // Who may ask again only in hours is not helped by asking slowly.
        let Some(reset) = quota.reset.filter(|reset| *reset <= longest) else { return };
        if quota.remaining == 0 {
            self.held = Some((after(now, reset), now));
        } else if quota.remaining < quota.limit.map_or(20, |limit| limit / 5) {
            let left = u32::try_from(quota.remaining).unwrap_or(u32::MAX);
            let interval = reset.checked_div(left).unwrap_or_default();
            self.spread = Some((interval, after(now, reset)));
        }
    }

    /// How many requests and bodies are on their way.
    fn all(&self) -> usize {
        self.requests.saturating_add(self.streams)
    }
}

/// When so much time has gone by, of which no more counts than [`LONGEST`].
fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time.min(LONGEST)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn allowance(in_flight: Option<usize>, per_second: Option<f64>) -> Allowance {
        let in_flight = in_flight.and_then(NonZeroUsize::new);
        Allowance::new(&PaceOptions { in_flight, per_second })
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// As many as may be sent at once.
    fn fill(it: &mut Allowance, now: Instant) -> Vec<u64> {
        let mut epochs = Vec::new();
        while let Admission::Go(epoch) = it.admit(now) {
            epochs.push(epoch);
            if epochs.len() == 1000 {
                break;
            }
        }
        epochs
    }

    fn answer(it: &mut Allowance, now: Instant, epoch: u64, status: u16, hints: Hints) -> Turn {
        let turn = it.answered(now, epoch, status, &hints, LONG);
        it.leave();
        turn
    }

    fn wish(seconds: u64) -> Hints {
        Hints { retry_after: Some(secs(seconds)), quota: None }
    }

    fn quota(limit: Option<u64>, remaining: u64, reset: Option<u64>) -> Hints {
        let quota = Quota { limit, remaining, reset: reset.map(secs), window: Some(secs(60)) };
        Hints { retry_after: None, quota: Some(quota) }
    }

    #[test]
    fn where_nothing_is_said_nothing_is_held_back() {
        let now = Instant::now();
        let mut it = allowance(None, None);
        assert_eq!(fill(&mut it, now).len(), 1000);
        for status in [200, 404, 401, 500, 503] {
            assert_eq!(answer(&mut it, now, 0, status, Hints::default()), Turn::default());
            assert!(matches!(it.admit(now), Admission::Go(0)), "{status}");
        }
    }

    #[test]
    fn no_more_in_flight_than_the_user_allows() {
        let now = Instant::now();
        let mut it = allowance(Some(3), None);
        assert_eq!(fill(&mut it, now).len(), 3);
        assert_eq!(it.admit(now), Admission::Full);
        answer(&mut it, now, 0, 200, Hints::default());
        assert_eq!(fill(&mut it, now).len(), 1);
        for _ in 0..3 {
            answer(&mut it, now, 0, 200, Hints::default());
        }
        // However much goes well.
        assert_eq!(fill(&mut it, now).len(), 3);
    }

    #[test]
    fn streams_count_but_never_stop_the_last_request() {
        let now = Instant::now();
        let mut it = allowance(Some(3), None);
        it.begin_stream();
        assert_eq!(fill(&mut it, now).len(), 2);
        it.leave();
        it.leave();
        for _ in 0..5 {
            it.begin_stream();
        }
        assert_eq!(fill(&mut it, now).len(), 1);
    }

    #[test]
    fn one_refusal_halves_once_and_holds_all() {
        let now = Instant::now();
        let mut it = allowance(None, None);
        for _ in 0..16 {
            it.admit(now);
        }
        for wait in [1, 5, 2] {
            let turn = answer(&mut it, now, 0, 429, wish(wait));
            assert_eq!(turn.asked, Some(secs(wait)));
        }
        let held = Admission::Held { until: now + secs(5), since: now };
        assert_eq!(it.admit(now), held);
        assert_eq!(it.admit(now + secs(4)), held);
        for _ in 0..13 {
            answer(&mut it, now, 0, 200, Hints::default());
        }
        // 16 / 2 and the one of the 13 that went well.
        assert_eq!(fill(&mut it, now + secs(5)), [1; 9]);
    }

    #[test]
    fn refusals_without_end_leave_one_request_and_count_the_time() {
        let start = Instant::now();
        let mut it = allowance(Some(8), None);
        let mut now = start;
        for round in 0..20 {
            let sent = fill(&mut it, now);
            assert_eq!(sent.len(), [8, 4, 2].get(round).copied().unwrap_or(1));
            for epoch in sent {
                answer(&mut it, now, epoch, 503, wish(1));
            }
            let until = now + secs(1);
            assert_eq!(it.admit(now), Admission::Held { until, since: start });
            now = until;
        }
    }

    #[test]
    fn recovers_one_by_one() {
        let now = Instant::now();
        let mut it = allowance(Some(4), None);
        for epoch in fill(&mut it, now) {
            answer(&mut it, now, epoch, 429, Hints::default());
        }
        for expected in [2, 3, 4, 4] {
            let sent = fill(&mut it, now);
            assert_eq!(sent.len(), expected);
            for epoch in sent {
                answer(&mut it, now, epoch, 200, Hints::default());
            }
        }
    }

    #[test]
    fn success_ends_the_count_of_refusals() {
        let start = Instant::now();
        let mut it = allowance(None, None);
        it.admit(start);
        answer(&mut it, start, 0, 429, wish(1));
        let later = start + secs(2);
        it.admit(later);
        answer(&mut it, later, 1, 200, Hints::default());
        it.admit(later);
        answer(&mut it, later, 1, 429, wish(1));
        let until = later + secs(1);
        assert_eq!(it.admit(later), Admission::Held { until, since: later });
    }

    #[test]
    fn unavailable_is_a_wish_only_with_a_time_and_not_for_ever() {
        let now = Instant::now();
        let mut it = allowance(None, None);
        it.admit(now);
        answer(&mut it, now, 0, 503, Hints::default());
        assert!(matches!(it.admit(now), Admission::Go(0)));
        answer(&mut it, now, 0, 503, wish(1_000_000));
        assert_eq!(it.admit(now), Admission::Held { until: now + LONG, since: now });
        // But who says "too many requests" means it.
        let mut it = allowance(None, None);
        it.admit(now);
        answer(&mut it, now, 0, 429, wish(u64::MAX));
        assert_eq!(it.admit(now), Admission::Held { until: now + LONGEST, since: now });
    }

    #[test]
    fn requests_come_evenly() {
        let start = Instant::now();
        for (rate, sent_at_once, sent_in_ten_seconds) in
            [(1.0, 1, 10), (0.5, 1, 5), (100.0, 11, 1010), (1e-300, 1000, 1000), (0.0, 1000, 1000)]
        {
            let mut it = allowance(None, Some(rate));
            assert_eq!(fill(&mut it, start).len(), sent_at_once, "{rate}");
            let (mut sent, mut now) = (sent_at_once, start);
            while sent < 1000 {
                match it.admit(now) {
                    Admission::Go(_) => sent += 1,
                    Admission::Due(at) => {
                        assert!(at > now);
                        now = at;
                    }
                    other => panic!("{other:?}"),
                }
                if now > start + secs(10) {
                    break;
                }
            }
            assert!(sent.abs_diff(sent_in_ten_seconds) <= 11, "{rate}: {sent}");
        }
    }

    #[test]
    fn what_is_left_of_a_quota_is_spread() {
        let start = Instant::now();
        // limit, remaining, reset; how many seconds it takes to send three more
        for (given, expected) in [
            (quota(Some(100), 50, Some(30)), 0), // plenty
            (quota(Some(100), 10, Some(30)), 6), // 3 s each, the first at once
            (quota(None, 10, Some(30)), 6),      // by number where there is no limit
            (quota(None, 20, Some(30)), 0),
            (quota(Some(100), 10, Some(3600)), 0), // it would not help
            (quota(Some(100), 10, None), 0),
            (quota(Some(100), 0, Some(30)), 30), // held
            (quota(Some(100), 0, Some(3600)), 0),
        ] {
            let mut it = allowance(None, None);
            it.admit(start);
            answer(&mut it, start, 0, 200, given);
            let mut now = start;
            let mut sent = 0;
            while sent < 3 {
                match it.admit(now) {
                    Admission::Go(_) => sent += 1,
                    Admission::Due(at) | Admission::Held { until: at, .. } => now = at,
                    Admission::Full => panic!("nothing is in the way"),
                }
            }
            let took = now.duration_since(start);
            assert!(took <= secs(expected), "{given:?}: {took:?}");
            assert!(took + TOLERANCE >= secs(expected), "{given:?}: {took:?}");
        }
    }

    #[test]
    fn nobody_waits_longer_than_times_can_be_told() {
        let now = Instant::now();
        let for_ever = Duration::MAX;
        for (remaining, reset) in [(0, u64::MAX), (1, u64::MAX), (0, u64::MAX / 2)] {
            let mut it = allowance(None, None);
            it.admit(now);
            let hints = quota(Some(100), remaining, Some(reset));
            it.answered(now, 0, 200, &hints, for_ever);
            it.leave();
            let until = now + LONGEST;
            match it.admit(now) {
                Admission::Held { until: held, .. } => assert_eq!((held, remaining), (until, 0)),
                Admission::Go(_) => assert_eq!(remaining, 1),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_last_of_a_quota_is_told_once() {
        let now = Instant::now();
        let mut it = allowance(None, None);
        let mut told = Vec::new();
        for remaining in [2, 1, 0, 0, 5, 0] {
            it.admit(now);
            let turn = answer(&mut it, now, 0, 200, quota(Some(100), remaining, None));
            told.push(turn.spent.is_some());
            assert_eq!(it.spent(now).is_some(), remaining == 0);
        }
        assert_eq!(told, [false, false, true, false, false, true]);
        assert_eq!(it.spent(now + secs(60)), None); // a window later
    }
}
