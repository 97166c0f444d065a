//! How Go prints texts and durations, where users of the original see it.

/// Returns the text in double quotes, as `%q` and `strconv.Quote` print it.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
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

/// Returns a duration as Go prints it: `1m0s`, `1.5s`, `250ms`, `0s`.
#[must_use]
pub fn duration(nanos: i64) -> String {
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
    let digits = usize::try_from(size.ilog10()).unwrap_or_default();
    let whole = number.checked_div(size).unwrap_or_default();
    let fraction = format!("{:0digits$}", number.checked_rem(size).unwrap_or_default());
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() || size == 1 { whole.to_string() } else { format!("{whole}.{fraction}") }
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
