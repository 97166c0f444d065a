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
mod tests;
