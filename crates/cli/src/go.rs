//! How Go prints things, where its users see it.

use std::io::{self, Read as _};
use std::path::Path;

use skopeo_blob::FileError;

/// Reads a file of at most `limit` bytes.
pub(crate) fn read_at_most(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let file = fs_err::File::open(path).map_err(FileError::from)?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(FileError::from)?;
    if bytes.len() > limit {
        return Err(io::Error::other(format!("longer than {limit} bytes")).into());
    }
    Ok(bytes)
}

/// The text in double quotes, as `%q` and `strconv.Quote` print it.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            c if is_print(c) => quoted.push(c),
            c if c < '\u{80}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c < '\u{10000}' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// The text as `%#q` prints it: between back quotes where that is possible.
pub(crate) fn quote_raw(text: &str) -> String {
    let raw = text.chars().all(|c| (c == '\t' || !c.is_control()) && c != '`' && c != '\u{feff}');
    if raw { format!("`{text}`") } else { quote(text) }
}

/// Whether Go would print the character as it is: letters, marks, numbers, punctuation, symbols
/// and the plain space. Rust's own debug output makes the same distinction, but escapes marks at
/// the beginning of a text, hence the letter before it.
fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let mut text = String::from("a");
    text.push(c);
    text.escape_debug().count() == 2
}

/// A duration as Go prints it: `1m0s`, `1.5s`, `250ms`, `0s`.
pub(crate) fn duration(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if magnitude == 0 {
        return "0s".to_owned();
    }
    if magnitude < 1_000_000_000 {
        let (unit, size) = match magnitude {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(magnitude, size));
    }
    let seconds = magnitude / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let last = decimal(magnitude % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{last}s"),
        (0, minutes) => format!("{sign}{minutes}m{last}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{last}s"),
    }
}

/// `number / size` with as many digits as it takes.
fn decimal(number: u64, size: u64) -> String {
    let digits = size.ilog10() as usize;
    let fraction = format!("{:0digits$}", number % size);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() || size == 1 {
        (number / size).to_string()
    } else {
        format!("{}.{fraction}", number / size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        for (text, quoted) in [
            ("plain", "\"plain\""),
            ("a\"b\\c\n\t", "\"a\\\"b\\\\c\\n\\t\""),
            ("\u{1b}[0m\u{7f}", "\"\\x1b[0m\\x7f\""),
            ("é ü 漢 🙂", "\"é ü 漢 🙂\""),
            ("\u{a0}\u{200b}\u{e000}", "\"\\u00a0\\u200b\\ue000\""),
            ("e\u{301}", "\"e\u{301}\""),
        ] {
            assert_eq!(quote(text), quoted);
        }
        assert_eq!(quote_raw("cop"), "`cop`");
        assert_eq!(quote_raw("a`b"), "\"a`b\"");
    }

    #[test]
    fn durations_as_go_prints_them() {
        for (nanos, printed) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_000_000_000, "1s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (1_234_500_000, "1.2345s"),
            (-2_000_000_000, "-2s"),
        ] {
            assert_eq!(duration(nanos), printed);
        }
    }
}
