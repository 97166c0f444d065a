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
            size(row.fetch.bytes),
            format!("{about}{}", size(row.send.bytes)),
            size(row.mount.bytes),
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
    let part = |blobs: Blobs| format!("{} ({} blobs)", size(blobs.bytes), blobs.blobs);
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
