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
