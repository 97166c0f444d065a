//! Times as Go prints and formats them. Its layouts (`Mon Jan _2`) are none that jiff knows.

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

/// Seconds since 1970-01-01T00:00:00Z.
pub(super) fn unix(time: &Timestamp) -> i64 {
    time.unix().0
}

/// Returns the same moment in UTC; as it is where UTC would be in a year of five digits.
pub(super) fn utc(time: &Timestamp) -> Timestamp {
    let (seconds, nanosecond) = time.unix();
    Timestamp::from_unix(seconds, nanosecond).unwrap_or(*time)
}

pub(super) fn weekday(time: &Timestamp) -> &'static str {
    let day = time.date_time().map(|it| it.weekday().to_sunday_zero_offset());
    let day = day.and_then(|day| usize::try_from(day).ok());
    day.and_then(|day| DAYS.get(day)).copied().unwrap_or_default()
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

fn day_of_year(time: &Timestamp) -> i16 {
    time.date_time().map_or(0, |it| it.day_of_year())
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
