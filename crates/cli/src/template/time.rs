//! Times as Go prints and formats them.

use std::fmt::Write as _;

use skopeo_image::Timestamp;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// As `Time.String` prints it.
pub(super) fn print(time: &Timestamp) -> String {
    format(time, "2006-01-02 15:04:05.999999999 -0700 MST")
}

pub(super) fn month_name(month: u8) -> &'static str {
    MONTHS.get(usize::from(month).wrapping_sub(1)).copied().unwrap_or("%!Month")
}

/// Days since 1970-01-01.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a year has 16 bits, the rest 8: all of it is far from the ends of i64"
)]
fn days(time: &Timestamp) -> i64 {
    let (year, month) = (i64::from(time.year), i64::from(time.month));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year =
        (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + i64::from(time.day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Seconds since 1970-01-01T00:00:00Z.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a year has 16 bits, the rest 8: all of it is far from the ends of i64"
)]
pub(super) fn unix(time: &Timestamp) -> i64 {
    let of_day = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second);
    days(time) * 86_400 + of_day - i64::from(time.offset) * 60
}

/// The same moment in UTC.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a year has 16 bits, the rest 8: all of it is far from the ends of i64"
)]
pub(super) fn utc(time: &Timestamp) -> Timestamp {
    let seconds = unix(time);
    let (day, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * of_year + 2) / 153;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let small = |number: i64| u8::try_from(number).unwrap_or_default();
    Timestamp {
        year: u16::try_from(year).unwrap_or_default(),
        month: small(month),
        day: small(of_year - (153 * month_index + 2) / 5 + 1),
        hour: small(of_day / 3600),
        minute: small(of_day / 60 % 60),
        second: small(of_day % 60),
        nanosecond: time.nanosecond,
        offset: 0,
    }
}

pub(super) fn weekday(time: &Timestamp) -> &'static str {
    let day = days(time).saturating_add(4).rem_euclid(7);
    usize::try_from(day).ok().and_then(|day| DAYS.get(day)).copied().unwrap_or_default()
}

/// The pieces of a layout that stand for something, longest first where one begins another.
const PIECES: &[&str] = &[
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "-07:00:00",
    "-070000",
    "-07:00",
    "-0700",
    "-07",
    "Z07:00:00",
    "Z070000",
    "Z07:00",
    "Z0700",
    "Z07",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "__2",
    "_2",
    "15",
    "PM",
    "pm",
    "1",
    "2",
    "3",
    "4",
    "5",
];

/// As `Time.Format` does.
pub(super) fn format(time: &Timestamp, layout: &str) -> String {
    let mut text = String::new();
    let mut rest = layout;
    'layout: while let Some(first) = rest.chars().next() {
        if let Some(length) = fraction(rest) {
            text.push_str(&nanoseconds(time.nanosecond, &rest[..length]));
            rest = &rest[length..];
            continue;
        }
        for piece in PIECES {
            // "Jan" in "Janet" is no month, as Go has it.
            let word_goes_on = |after: &str| after.starts_with(|c: char| c.is_ascii_lowercase());
            if let Some(after) = rest.strip_prefix(piece) {
                if *piece == "Jan" && word_goes_on(after)
                    || *piece == "_2" && after.starts_with("006")
                {
                    continue;
                }
                push(&mut text, time, piece);
                rest = after;
                continue 'layout;
            }
        }
        text.push(first);
        rest = &rest[first.len_utf8()..];
    }
    text
}

/// The length of a fraction of a second (`.000`, `,999`) at the beginning.
fn fraction(layout: &str) -> Option<usize> {
    let mut letters = layout.chars();
    if !matches!(letters.next(), Some('.' | ',')) {
        return None;
    }
    let digit = letters.next().filter(|digit| matches!(digit, '0' | '9'))?;
    let rest = layout[1..].trim_start_matches(digit);
    let goes_on = rest.starts_with(|c: char| c.is_ascii_digit());
    (!goes_on).then_some(layout.len().saturating_sub(rest.len()))
}

fn nanoseconds(nanos: u32, piece: &str) -> String {
    let digits = piece.len().saturating_sub(1).min(9);
    let full = format!("{nanos:09}");
    let kept = &full[..digits];
    if piece.contains('9') {
        let kept = kept.trim_end_matches('0');
        return if kept.is_empty() { String::new() } else { format!("{}{kept}", &piece[..1]) };
    }
    format!("{}{kept}", &piece[..1])
}

fn push(text: &mut String, time: &Timestamp, piece: &str) {
    let hour12 = match time.hour % 12 {
        0 => 12,
        hour => hour,
    };
    let _ = match piece {
        "January" => write!(text, "{}", month_name(time.month)),
        "Jan" => write!(text, "{}", &month_name(time.month)[..3]),
        "Monday" => write!(text, "{}", weekday(time)),
        "Mon" => write!(text, "{}", &weekday(time)[..3]),
        "2006" => write!(text, "{:04}", time.year),
        "06" => write!(text, "{:02}", time.year % 100),
        "01" => write!(text, "{:02}", time.month),
        "1" => write!(text, "{}", time.month),
        "02" => write!(text, "{:02}", time.day),
        "_2" => write!(text, "{:2}", time.day),
        "2" => write!(text, "{}", time.day),
        "002" => write!(text, "{:03}", day_of_year(time)),
        "__2" => write!(text, "{:3}", day_of_year(time)),
        "15" => write!(text, "{:02}", time.hour),
        "03" => write!(text, "{hour12:02}"),
        "3" => write!(text, "{hour12}"),
        "04" => write!(text, "{:02}", time.minute),
        "4" => write!(text, "{}", time.minute),
        "05" => write!(text, "{:02}", time.second),
        "5" => write!(text, "{}", time.second),
        "PM" => write!(text, "{}", if time.hour >= 12 { "PM" } else { "AM" }),
        "pm" => write!(text, "{}", if time.hour >= 12 { "pm" } else { "am" }),
        "MST" if time.offset == 0 => write!(text, "UTC"),
        "MST" => write!(text, "{}", zone(time.offset, "-0700")),
        piece if piece.starts_with('Z') && time.offset == 0 => write!(text, "Z"),
        piece => write!(text, "{}", zone(time.offset, piece)),
    };
}

fn day_of_year(time: &Timestamp) -> i64 {
    let first = days(&Timestamp { month: 1, day: 1, ..*time });
    days(time).saturating_sub(first).saturating_add(1)
}

/// An offset in the form of a layout's piece.
fn zone(offset: i16, piece: &str) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.unsigned_abs() / 60, offset.unsigned_abs() % 60);
    match &piece[1..] {
        "07" => format!("{sign}{hours:02}"),
        "0700" => format!("{sign}{hours:02}{minutes:02}"),
        "07:00" => format!("{sign}{hours:02}:{minutes:02}"),
        "070000" => format!("{sign}{hours:02}{minutes:02}00"),
        _ => format!("{sign}{hours:02}:{minutes:02}:00"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_go_does() {
        let time: Timestamp = "2024-03-07T04:05:06.0123+02:00".parse().unwrap();
        for (layout, text) in [
            ("2006-01-02T15:04:05Z07:00", "2024-03-07T04:05:06+02:00"),
            ("Mon Jan _2 15:04:05 2006", "Thu Mar  7 04:05:06 2024"),
            ("Monday, 02-Jan-06 3:04PM MST", "Thursday, 07-Mar-24 4:05AM +0200"),
            ("05.000 05.999999 .00", "06.012 06.0123 .01"),
            ("02/01 002", "07/03 067"),
            ("at o'clock", "at o'clock"),
        ] {
            assert_eq!(format(&time, layout), text, "{layout}");
        }
        assert_eq!(print(&time), "2024-03-07 04:05:06.0123 +0200 +0200");
        assert_eq!(print(&utc(&time)), "2024-03-07 02:05:06.0123 +0000 UTC");
        assert_eq!(print(&Timestamp::default()), "0001-01-01 00:00:00 +0000 UTC");
        assert_eq!(unix(&time), 1_709_777_106);
    }

    #[test]
    fn utc_and_unix_agree_over_the_ages() {
        for text in
            ["1969-12-31T23:30:00-01:00", "2000-02-29T12:00:00Z", "2100-03-01T00:10:00+05:30"]
        {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(unix(&utc(&time)), unix(&time), "{text}");
        }
    }
}
