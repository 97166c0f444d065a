//! Numbers of bytes as people read them.

/// Returns a number of bytes with this many digits after the point.
pub(crate) fn size(bytes: u64, digits: usize) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "few digits are shown")]
    let mut number = bytes as f64;
    let mut shown = String::new();
    for unit in UNITS {
        number /= 1024.0;
        let digits = format!("{number:.digits$}");
        let is_next = digits.starts_with("1024");
        shown = format!("{digits} {unit}");
        if number < 1024.0 && !is_next {
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, one, two) in [
            (0, "0 B", "0 B"),
            (1023, "1023 B", "1023 B"),
            (1024, "1.0 KiB", "1.00 KiB"),
            (1_048_575, "1.0 MiB", "1.00 MiB"),
            (5 << 30, "5.0 GiB", "5.00 GiB"),
            (u64::MAX, "16384.0 PiB", "16384.00 PiB"),
        ] {
            assert_eq!((size(bytes, 1), size(bytes, 2)), (one.to_owned(), two.to_owned()));
        }
    }
}
