//! What a dry run has found out, as a table.

use std::fmt;

use super::{Blobs, Estimate};
use crate::size::size;

/// Writes a line for each image, and the sum.
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = &self.plan.sum;
        writeln!(
            f,
            "{:<9}  {:>10}  {:>10}  {:>10}  {:>8}  IMAGE",
            "CHANGE", "FETCH", "SEND", "MOUNT", "REQUESTS"
        )?;
        for row in &self.images {
            let about = if row.exact { "" } else { "~" };
            writeln!(
                f,
                "{:<9}  {:>10}  {:>10}  {:>10}  {:>8}  {} -> {}",
                row.outcome,
                length(row.fetch, ""),
                length(row.send, about),
                length(row.mount, ""),
                row.requests,
                row.source,
                row.destination
            )?;
        }
        for name in self.deleted.iter().flatten() {
            writeln!(
                f,
                "{:<9}  {:>10}  {:>10}  {:>10}  {:>8}  {name}",
                "delete", "-", "-", "-", "-"
            )?;
        }
        let deleted = self
            .deleted
            .as_ref()
            .map(|_| format!(", {} to delete", sum.delete))
            .unwrap_or_default();
        let part = |blobs: Blobs| format!("{} ({} blobs)", length(blobs, ""), blobs.blobs);
        writeln!(
            f,
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
        )
    }
}

/// Returns the length of some blobs, for people. A length that is not known is not shown as none.
fn length(blobs: Blobs, about: &str) -> String {
    match (blobs.unknown, blobs.bytes) {
        (0, 0) => size(0, 1),
        (0, bytes) => format!("{about}{}", size(bytes, 1)),
        (_, 0) => "unknown".to_owned(),
        (_, bytes) => format!(">{}", size(bytes, 1)),
    }
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
}
