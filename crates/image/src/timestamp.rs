//! Points in time as configs write them.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A date and time of RFC 3339, to the nanosecond, in the time zone it was written in.
///
/// Prints as Go does: no zeros at the end of the fraction, `Z` for a zone of zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp {
    /// 0 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59: Go has no leap seconds.
    pub second: u8,
    /// 0 to 999 999 999.
    pub nanosecond: u32,
    /// Minutes east of UTC.
    pub offset: i16,
}

/// The beginning of 1970.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Why a text is no [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid RFC 3339 time")]
pub struct TimestampError;

impl Default for Timestamp {
    /// Go's zero time, which stands where a time is missing.
    fn default() -> Self {
        Self { year: 1, month: 1, day: 1, hour: 0, minute: 0, second: 0, nanosecond: 0, offset: 0 }
    }
}

impl Timestamp {
    /// Returns the point in time so many seconds and nanoseconds after 1970 began, in UTC; `None`
    /// outside the years 0 to 9999, which RFC 3339 cannot write.
    #[must_use]
    pub fn from_unix(seconds: i64, nanosecond: u32) -> Option<Self> {
        // `jiff::Timestamp` ends a day before the year 9999 does; dates without a zone do not.
        let time = EPOCH.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        Some(Self {
            year: u16::try_from(time.year()).ok()?,
            month: u8::try_from(time.month()).ok()?,
            day: u8::try_from(time.day()).ok()?,
            hour: u8::try_from(time.hour()).ok()?,
            minute: u8::try_from(time.minute()).ok()?,
            second: u8::try_from(time.second()).ok()?,
            nanosecond,
            offset: 0,
        })
    }

    /// Returns the seconds and nanoseconds since 1970 began, by which points in time can be compared
    /// whatever zone they are written in. A date that is in no calendar counts as 1970.
    #[must_use]
    pub fn unix(&self) -> (i64, u32) {
        let seconds = |time: DateTime| time.duration_since(EPOCH).as_secs();
        let east = i64::from(self.offset).saturating_mul(60);
        let seconds = self.date_time().map_or(0, seconds).saturating_sub(east);
        (seconds, self.nanosecond)
    }

    /// Returns the date and the time in the zone it was written in, to the second; `None` if there
    /// is no such date.
    #[must_use]
    pub fn date_time(&self) -> Option<DateTime> {
        let small = |number: u8| i8::try_from(number).ok();
        let date = Date::new(i16::try_from(self.year).ok()?, small(self.month)?, small(self.day)?);
        let time = Time::new(small(self.hour)?, small(self.minute)?, small(self.second)?, 0);
        Some(date.ok()?.to_datetime(time.ok()?))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        parse(text.as_bytes()).ok_or(TimestampError)
    }
}

/// Parses what Go's parser takes, which is not what jiff's takes: an hour of one digit and a comma
/// before the fraction, but no small `t` and no leap second. (It takes zones of 24 hours too, but
/// cannot write them.)
fn parse(text: &[u8]) -> Option<Timestamp> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', rest @ ..] = text else { return None };
    let year = number(&[*y1, *y2, *y3, *y4], 0, 9999)?;
    let month = number(&[*m1, *m2], 1, 12)?;
    let day = number(&[*d1, *d2], 1, 31)?;
    let (hour, rest) = match rest {
        [hour, b':', rest @ ..] => (number(&[*hour], 0, 9)?, rest),
        [h1, h2, b':', rest @ ..] => (number(&[*h1, *h2], 0, 23)?, rest),
        _ => return None,
    };
    let [m1, m2, b':', s1, s2, rest @ ..] = rest else { return None };
    let minute = number(&[*m1, *m2], 0, 59)?;
    let second = number(&[*s1, *s2], 0, 59)?;

    let (nanosecond, zone) = match rest {
        [b'.' | b',', fraction @ ..] => {
            let len = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            let (digits, zone) = fraction.split_at_checked(len)?;
            let digits = digits.get(..9).unwrap_or(digits);
            let missing =
                9_usize.checked_sub(digits.len()).and_then(|it| u32::try_from(it).ok())?;
            let value =
                number(digits, 0, 999_999_999)?.checked_mul(10_u32.checked_pow(missing)?)?;
            (value, zone)
        }
        zone => (0, zone),
    };
    let offset = match zone {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = i16::try_from(number(&[*h1, *h2], 0, 23)?).ok()?;
            let minutes = i16::try_from(number(&[*m1, *m2], 0, 59)?).ok()?;
            let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
            if *sign == b'-' { minutes.checked_neg()? } else { minutes }
        }
        _ => return None,
    };
    let time = Timestamp {
        year: u16::try_from(year).ok()?,
        month: u8::try_from(month).ok()?,
        day: u8::try_from(day).ok()?,
        hour: u8::try_from(hour).ok()?,
        minute: u8::try_from(minute).ok()?,
        second: u8::try_from(second).ok()?,
        nanosecond,
        offset,
    };
    time.date_time().is_some().then_some(time)
}

fn number(digits: &[u8], least: u32, most: u32) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (least..=most).contains(&value).then_some(value)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, .. } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanosecond != 0 {
            let fraction = format!("{:09}", self.nanosecond);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        if self.offset == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("{error}: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_1970() {
        for (seconds, expected) in [
            (0, Some("1970-01-01T00:00:00.5Z")),
            (-1, Some("1969-12-31T23:59:59.5Z")),
            (951_782_399, Some("2000-02-28T23:59:59.5Z")),
            (951_782_400, Some("2000-02-29T00:00:00.5Z")),
            (1_795_240_534, Some("2026-11-21T05:55:34.5Z")),
            (4_107_542_400, Some("2100-03-01T00:00:00.5Z")), // 2100 has no leap day
            (253_402_300_799, Some("9999-12-31T23:59:59.5Z")),
            (253_402_300_800, None),
            (-62_167_219_200, Some("0000-01-01T00:00:00.5Z")),
            (-62_167_219_201, None),
            (i64::MAX, None),
            (i64::MIN, None),
        ] {
            let time = Timestamp::from_unix(seconds, 500_000_000).map(|time| time.to_string());
            assert_eq!(time.as_deref(), expected, "{seconds}");
        }
    }

    #[test]
    fn prints_as_go_does() {
        for (text, expected) in [
            ("2020-02-29T01:02:03Z", Some("2020-02-29T01:02:03Z")),
            ("2020-02-29T01:02:03.120000000Z", Some("2020-02-29T01:02:03.12Z")),
            ("2020-02-29T01:02:03.000Z", Some("2020-02-29T01:02:03Z")),
            ("2020-02-29T01:02:03.1234567891Z", Some("2020-02-29T01:02:03.123456789Z")),
            ("2020-02-29T01:02:03+00:00", Some("2020-02-29T01:02:03Z")),
            ("2020-02-29T01:02:03.5-07:30", Some("2020-02-29T01:02:03.5-07:30")),
            ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
            ("2021-02-29T01:02:03Z", None), // no leap year
            ("2020-02-29T01:02:60Z", None), // no leap seconds
            ("2020-02-29T01:02:03,5Z", Some("2020-02-29T01:02:03.5Z")), // as Go reads it
            ("2020-02-29T1:02:03Z", Some("2020-02-29T01:02:03Z")),
            ("2020-02-29T1:02:03,120+01:00", Some("2020-02-29T01:02:03.12+01:00")),
            ("2020-02-29T01:2:03Z", None),
            ("2020-02-29T001:02:03Z", None),
            ("2020-02-29T01:02:03,Z", None),
            ("2020-02-29T01:02:03..5Z", None),
            ("2020-02-29T+1:02:03Z", None),
            ("2020-02-29T01:02:03.Z", None),
            ("2020-02-29t01:02:03z", None),
            ("2020-02-29 01:02:03Z", None),
            ("2020-02-29T01:02:03", None),
            ("2020-02-29T01:02:03+24:00", None),
            ("2020-13-29T01:02:03Z", None),
            ("", None),
        ] {
            let got = text.parse::<Timestamp>().ok().map(|time| time.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn goes_back_to_1970() {
        for seconds in
            [0, 1, -1, 951_782_399, 951_782_400, 1_700_000_000, -62_135_596_800, 253_402_300_799]
        {
            assert_eq!(Timestamp::from_unix(seconds, 7).unwrap().unix(), (seconds, 7));
        }
        let parse = |text: &str| text.parse::<Timestamp>().unwrap().unix();
        assert_eq!(parse("2024-02-29T12:00:00+02:00"), parse("2024-02-29T10:00:00Z"));
        assert!(parse("2024-01-01T00:00:00+01:00") < parse("2023-12-31T23:30:00Z"));
    }
}
