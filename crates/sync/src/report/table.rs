//! What has come of a run, as a table: images, what moved, what failed and why.

use std::fmt;

use super::entry::{Bytes, Outcome, Unlisted};
use super::record::Record;
use super::totals::Totals;
use crate::size::size;

/// Writes the sums, and a line for each image that failed and each source that could not be listed.
/// What a registry says is as it was said: who prints it keeps it from commanding a terminal.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { totals, seconds, requests, images, unlisted, .. } = self;
        for (name, count) in rows(totals) {
            writeln!(f, "{name:<12} {count:>5}")?;
        }
        let Bytes { read, written, reused, mounted, linked } = totals.bytes;
        writeln!(f, "fetched    {}, sent {}", size(read, 2), size(written, 2))?;
        write!(f, "saved      {}", size(totals.bytes.saved(), 2))?;
        let ways = [(reused, "were there"), (mounted, "were mounted"), (linked, "were linked")];
        let ways = ways.iter().filter(|(bytes, _)| *bytes > 0);
        let ways: Vec<_> = ways.map(|(bytes, how)| format!("{} {how}", size(*bytes, 2))).collect();
        if !ways.is_empty() {
            write!(f, " ({})", ways.join(", "))?;
        }
        writeln!(f, "\ntook       {seconds:.1} s, {requests} requests")?;
        for Unlisted { source, error } in unlisted {
            line(f, "not listed", source, &error.class, &error.message)?;
        }
        for image in images.iter().filter(|image| image.outcome == Outcome::Failed) {
            let name = match &image.source {
                Some(source) => format!("{source} -> {}", image.destination),
                None => image.destination.clone(),
            };
            let (class, message) =
                image.error.as_ref().map_or(("other", ""), |error| (&error.class, &error.message));
            line(f, "failed", &name, class, message)?;
        }
        Ok(())
    }
}

/// Returns the counts that are shown: those that are not zero, and some always.
fn rows(totals: &Totals) -> impl Iterator<Item = (&'static str, usize)> {
    let always = ["copied", "unchanged", "deleted", "failed"];
    let rows = [
        ("copied", totals.copied),
        ("unchanged", totals.unchanged),
        ("deleted", totals.deleted),
        ("skipped", totals.skipped),
        ("would copy", totals.would_copy),
        ("would delete", totals.would_delete),
        ("failed", totals.failed),
        ("unfinished", totals.unfinished),
        ("not begun", totals.not_begun),
    ];
    rows.into_iter().filter(move |(name, count)| *count > 0 || always.contains(name))
}

/// Writes a line about what failed. What a registry says may have several lines.
fn line(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    name: &str,
    class: &str,
    message: &str,
) -> fmt::Result {
    let line = format!("{what}: {name}: {class}: {message}").replace(['\n', '\t'], " ");
    writeln!(f, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Entry, Problem};

    #[test]
    fn the_end_is_told_in_a_table() {
        let image = |outcome, name: &str| Entry {
            source: Some(format!("docker://a/{name}")),
            destination: format!("dir:b/{name}"),
            outcome,
            ..Entry::default()
        };
        let bytes =
            Bytes { read: 3 << 20, written: 2 << 20, reused: 1 << 30, mounted: 1 << 20, linked: 0 };
        let problem =
            Problem { class: "not-found".to_owned(), message: "gone\nfor good".to_owned() };
        let images = [
            Entry { bytes, ..image(Outcome::Copied, "1") },
            image(Outcome::Unchanged, "2"),
            image(Outcome::NotBegun, "3"),
            Entry { error: Some(problem.clone()), ..image(Outcome::Failed, "4") },
        ];
        let unlisted = [Unlisted { source: "docker://a/x".to_owned(), error: problem }];
        let mut record = Record::default();
        (record.seconds, record.requests) = (12.345, 678);
        record.totals = Totals::of(&images);
        (record.images, record.unlisted) = (images.to_vec(), unlisted.to_vec());
        assert_eq!(
            record.to_string(),
            "copied           1\n\
             unchanged        1\n\
             deleted          0\n\
             failed           1\n\
             not begun        1\n\
             fetched    3.00 MiB, sent 2.00 MiB\n\
             saved      1.00 GiB (1.00 GiB were there, 1.00 MiB were mounted)\n\
             took       12.3 s, 678 requests\n\
             not listed: docker://a/x: not-found: gone for good\n\
             failed: docker://a/4 -> dir:b/4: not-found: gone for good\n"
        );
    }
}
