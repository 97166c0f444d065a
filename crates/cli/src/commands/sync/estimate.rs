//! What a dry run has found out, as a table.

use std::fmt::Write as _;

use skopeo_sync::plan::{Blobs, Estimate};

/// A line for each image, and the sum.
pub(super) fn table(found: &Estimate) -> String {
    let sum = &found.plan.sum;
    let mut text = format!(
        "{:<9}  {:>10}  {:>10}  {:>10}  {:>8}  IMAGE\n",
        "CHANGE", "FETCH", "SEND", "MOUNT", "REQUESTS"
    );
    for row in &found.images {
        let about = if row.exact { "" } else { "~" };
        let _ = writeln!(
            text,
            "{:<9}  {:>10}  {:>10}  {:>10}  {:>8}  {} -> {}",
            row.outcome,
            length(row.fetch, ""),
            length(row.send, about),
            length(row.mount, ""),
            row.requests,
            row.source,
            row.destination
        );
    }
    for name in found.deleted.iter().flatten() {
        let _ = writeln!(
            text,
            "{:<9}  {:>10}  {:>10}  {:>10}  {:>8}  {name}",
            "delete", "-", "-", "-", "-"
        );
    }
    let deleted =
        found.deleted.as_ref().map(|_| format!(", {} to delete", sum.delete)).unwrap_or_default();
    let part = |blobs: Blobs| format!("{} ({} blobs)", length(blobs, ""), blobs.blobs);
    let _ = writeln!(
        text,
        "{} new, {} changed, {} unchanged{deleted}: {} to fetch, {} to send, {} to mount, {} present, {} \
         requests",
        sum.new,
        sum.changed,
        sum.unchanged,
        part(sum.fetch),
        part(sum.send),
        part(sum.mount),
        part(sum.present),
        sum.requests
    );
    text
}

/// The length of some blobs, for people. What is not known is no length: it is not shown as none.
fn length(blobs: Blobs, about: &str) -> String {
    match (blobs.unknown, blobs.bytes) {
        (0, 0) => size(0),
        (0, bytes) => format!("{about}{}", size(bytes)),
        (_, 0) => "unknown".to_owned(),
        (_, bytes) => format!(">{}", size(bytes)),
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "two digits are shown")]
    let mut number = bytes as f64;
    let mut shown = String::new();
    for unit in UNITS {
        number /= 1024.0;
        shown = format!("{number:.1} {unit}");
        if number < 1023.95 {
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_is_not_known_is_not_shown_as_none() {
        for (blobs, bytes, unknown, about, text) in [
            (0, 0, 0, "", "0 B"),
            (0, 0, 0, "~", "0 B"),
            (2, 10, 0, "~", "~10 B"),
            (2, 0, 2, "~", "unknown"),
            (2, 0, 2, "", "unknown"),
            (2, 10, 1, "", ">10 B"),
            (2, 10, 1, "~", ">10 B"),
        ] {
            assert_eq!(length(Blobs { blobs, bytes, unknown }, about), text);
        }
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
