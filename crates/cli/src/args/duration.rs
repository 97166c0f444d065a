//! Durations as Go has them.

use std::time::Duration;

use crate::go;

/// A duration as Go has them: nanoseconds, signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GoDuration(pub i64);

impl GoDuration {
    /// The duration, if it is longer than nothing.
    pub(crate) fn positive(self) -> Option<Duration> {
        u64::try_from(self.0).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos)
    }
}

/// Nanoseconds of a duration in Go's notation.
///
/// # Errors
/// Go's sentence, if it is not valid.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", go::quote(text));
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(invalid());
        }
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let nanos: i128 = match unit {
            "" => return Err(format!("time: missing unit in duration {}", go::quote(text))),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            other => {
                return Err(format!(
                    "time: unknown unit {} in duration {}",
                    go::quote(other),
                    go::quote(text)
                ));
            }
        };
        let whole: i128 =
            if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        total = whole
            .checked_mul(nanos)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(invalid)?;
        let mut share = nanos;
        for digit in fraction.chars().take(18) {
            share /= 10;
            let digit = i128::from(digit.to_digit(10).unwrap_or_default());
            total = share
                .checked_mul(digit)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(invalid)?;
        }
        rest = after;
    }
    i64::try_from(if negative { total.saturating_neg() } else { total }).map_err(|_| invalid())
}
