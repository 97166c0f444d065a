//! What an answer's headers say about how much may be asked, and when.
//!
//! `Retry-After` (RFC 9110); `RateLimit` and `RateLimit-Policy` as the IETF's draft
//! ietf-httpapi-ratelimit-headers has them since its eighth version (`"name";r=5;t=30`) and in its
//! seventh (`limit=100, remaining=5, reset=30`); `RateLimit-Limit`, `-Remaining` and `-Reset` of
//! the drafts before, which registries send (Docker Hub: `100;w=21600`, and no reset at all).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// A number of seconds from which on it can only be a point in time: some registries send one
/// where a number of seconds belongs.
const EPOCH_FROM: u64 = 1_000_000_000;

/// What one answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// How long the registry wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// What is left of a quota.
    pub(crate) quota: Option<Quota>,
}

/// A number of requests in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// How many requests there are in each window.
    pub(crate) limit: Option<u64>,
    /// How many are left of them.
    pub(crate) remaining: u64,
    /// In what time there are more.
    pub(crate) reset: Option<Duration>,
    /// How long a window is.
    pub(crate) window: Option<Duration>,
}

impl Hints {
    /// Reads them; what makes no sense is as good as not said.
    pub(crate) fn of(headers: &HeaderMap, now: SystemTime) -> Self {
        Self { retry_after: retry_after(headers, now), quota: quota(headers, now) }
    }

    /// How long to wait after a refusal: as was asked, or until there is a quota again.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let empty = self.quota.filter(|quota| quota.remaining == 0);
        self.retry_after.or_else(|| empty?.reset)
    }
}

fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return in_seconds(seconds, now);
    }
    httpdate::parse_http_date(value).ok()?.duration_since(now).ok()
}

/// A number of seconds from now, or since 1970.
fn in_seconds(seconds: u64, now: SystemTime) -> Option<Duration> {
    if seconds < EPOCH_FROM {
        return Some(Duration::from_secs(seconds));
    }
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    Some(at.duration_since(now).unwrap_or_default())
}

/// The scarcest of the quotas that an answer tells of.
fn quota(headers: &HeaderMap, now: SystemTime) -> Option<Quota> {
    let seconds = |text: &str| in_seconds(text.parse().ok()?, now);
    let policies = items(headers, "ratelimit-policy");
    let policy =
        |name: &str| policies.iter().find(|item| item.head == name).or_else(|| policies.first());
    let window = |item: &Item<'_>| item.parameter("w").and_then(seconds);
    let now_left = items(headers, "ratelimit");
    let named = now_left.iter().filter_map(|item| {
        let policy = policy(item.head);
        Some(Quota {
            limit: policy.and_then(|it| it.parameter("q")).and_then(|it| it.parse().ok()),
            remaining: item.parameter("r")?.parse().ok()?,
            reset: item.parameter("t").and_then(seconds),
            window: policy.and_then(window),
        })
    });
    if let Some(quota) = named.min_by_key(|quota| quota.remaining) {
        return Some(quota);
    }
    // `limit=100, remaining=5, reset=30`, or a header for each.
    let alone = |key: &str| {
        let joined = now_left.iter().find_map(|item| {
            item.head.split_once('=').filter(|(name, _)| *name == key).map(|(_, value)| value)
        });
        let own = || items(headers, &format!("ratelimit-{key}")).into_iter().next();
        joined.or_else(|| own().map(|item| item.head))
    };
    let limits = items(headers, "ratelimit-limit");
    Some(Quota {
        limit: alone("limit").and_then(|it| it.parse().ok()),
        remaining: alone("remaining")?.parse().ok()?,
        reset: alone("reset").and_then(seconds),
        window: limits.iter().find_map(window).or_else(|| policies.first().and_then(window)),
    })
}

/// `head;name=value;name=value`
struct Item<'a> {
    head: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Item<'a> {
    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

/// The items of a header, separated by commas.
fn items<'a>(headers: &'a HeaderMap, name: &str) -> Vec<Item<'a>> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let item = |text: &'a str| {
        let mut parts = text.split(';').map(str::trim);
        let head = parts.next().unwrap_or_default();
        let parameters = parts.filter_map(|part| part.split_once('=')).collect();
        Item { head, parameters }
    };
    values.flat_map(|value| value.split(',')).map(item).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn reads_retry_after() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 2022 08:49:37 GMT").unwrap();
        for (value, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 2022 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 2022 08:48:37 GMT", None), // past
            ("1667724607", Some(30)),                // seconds since 1970
            ("1667724507", Some(0)),                 // past
            ("18446744073709551615", None),
            ("-1", None),
            ("soon", None),
        ] {
            let hints = Hints::of(&headers(&[("retry-after", value)]), now);
            assert_eq!(hints.retry_after, expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(Hints::of(&HeaderMap::new(), now), Hints::default());
    }

    #[test]
    fn reads_quotas_in_all_their_forms() {
        let now = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        // limit, remaining, reset, window
        let quota = |limit, remaining, reset: Option<u64>, window: Option<u64>| {
            let (reset, window) = (reset.map(Duration::from_secs), window.map(Duration::from_secs));
            Some(Quota { limit, remaining, reset, window })
        };
        for (given, expected) in [
            // Docker Hub's
            (
                vec![("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600")],
                quota(Some(100), 76, None, Some(21600)),
            ),
            (
                vec![
                    ("ratelimit-limit", "100, 100;w=60"),
                    ("ratelimit-remaining", "5"),
                    ("ratelimit-reset", "30"),
                ],
                quota(Some(100), 5, Some(30), Some(60)),
            ),
            // GitLab's reset is a point in time
            (
                vec![("ratelimit-remaining", "0"), ("ratelimit-reset", "2000000042")],
                quota(None, 0, Some(42), None),
            ),
            (
                vec![("ratelimit", "limit=100, remaining=50, reset=5")],
                quota(Some(100), 50, Some(5), None),
            ),
            (
                vec![
                    ("ratelimit", "limit=100, remaining=50, reset=5"),
                    ("ratelimit-policy", "100;w=60"),
                ],
                quota(Some(100), 50, Some(5), Some(60)),
            ),
            (
                vec![
                    ("ratelimit", r#""burst";r=9;t=1, "daily";r=3;t=50"#),
                    ("ratelimit-policy", r#""burst";q=10;w=1,"daily";q=1000;w=86400"#),
                ],
                quota(Some(1000), 3, Some(50), Some(86400)),
            ),
            (vec![("ratelimit", r#""default";r=50;t=30"#)], quota(None, 50, Some(30), None)),
            (vec![("ratelimit-limit", "100")], None),
            (vec![("ratelimit-remaining", "many")], None),
            (vec![("ratelimit-remaining", "-1")], None),
            (vec![("ratelimit", "")], None),
            (vec![("ratelimit", r#""x";r=;t"#)], None),
        ] {
            assert_eq!(Hints::of(&headers(&given), now).quota, expected, "{given:?}");
        }
    }

    #[test]
    fn waits_as_asked_or_for_the_quota() {
        for (given, expected) in [
            (vec![("retry-after", "3"), ("ratelimit", "remaining=0, reset=9")], Some(3)),
            (vec![("ratelimit", "remaining=0, reset=9")], Some(9)),
            (vec![("ratelimit", "remaining=1, reset=9")], None),
        ] {
            let wait = Hints::of(&headers(&given), SystemTime::now()).wait();
            assert_eq!(wait, expected.map(Duration::from_secs), "{given:?}");
        }
    }
}
