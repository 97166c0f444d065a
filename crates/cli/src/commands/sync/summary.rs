//! The end of a run for people: what came of its images, what moved, what failed and why.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use indicatif::HumanBytes;
use skopeo_sync::report::{Bytes, Outcome, Record, Totals, Unlisted};

use crate::logging::visible;

/// Prints the table on stderr, if anything is known. Who closed that does not want to know.
pub(super) fn print(record: &Record) {
    if !record.images.is_empty() || !record.unlisted.is_empty() {
        let _ = io::stderr().write_all(table(record).as_bytes());
    }
}

fn table(record: &Record) -> String {
    let Record { totals, seconds, requests, images, unlisted, .. } = record;
    let mut text = String::from("\n");
    for (name, count) in rows(totals) {
        let _ = writeln!(text, "{name:<12} {count:>5}");
    }
    let Bytes { read, written, reused, mounted, linked } = totals.bytes;
    let _ = writeln!(text, "fetched    {}, sent {}", HumanBytes(read), HumanBytes(written));
    let _ = write!(text, "saved      {}", HumanBytes(totals.bytes.saved()));
    let ways = [(reused, "were there"), (mounted, "were mounted"), (linked, "were linked")];
    let ways = ways.iter().filter(|(bytes, _)| *bytes > 0);
    let ways: Vec<_> = ways.map(|(bytes, how)| format!("{} {how}", HumanBytes(*bytes))).collect();
    if !ways.is_empty() {
        let _ = write!(text, " ({})", ways.join(", "));
    }
    let _ = writeln!(text, "\ntook       {seconds:.1} s, {requests} requests");
    for Unlisted { source, error } in unlisted {
        line(&mut text, "not listed", source, &error.class, &error.message);
    }
    for image in images.iter().filter(|image| image.outcome == Outcome::Failed) {
        let name = match &image.source {
            Some(source) => format!("{source} -> {}", image.destination),
            None => image.destination.clone(),
        };
        let (class, message) =
            image.error.as_ref().map_or(("other", ""), |error| (&error.class, &error.message));
        line(&mut text, "failed", &name, class, message);
    }
    text
}

/// The counts that are shown: those that are not zero, and some always.
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

/// A line for what failed; what a registry says may be of several.
fn line(text: &mut String, what: &str, name: &str, class: &str, message: &str) {
    let line = format!("{what}: {name}: {class}: {message}").replace(['\n', '\t'], " ");
    let _ = writeln!(text, "{}", visible(&line));
}

#[cfg(test)]
mod tests {
    use skopeo_sync::report::{Entry, Problem};

    use super::*;

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
        let problem = Problem {
            class: "not-found".to_owned(),
            message: "gone\nfor\u{1b}[0m good".to_owned(),
        };
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
            table(&record),
            "\n\
             copied           1\n\
             unchanged        1\n\
             deleted          0\n\
             failed           1\n\
             not begun        1\n\
             fetched    3.00 MiB, sent 2.00 MiB\n\
             saved      1.00 GiB (1.00 GiB were there, 1.00 MiB were mounted)\n\
             took       12.3 s, 678 requests\n\
             not listed: docker://a/x: not-found: gone for\\x1b[0m good\n\
             failed: docker://a/4 -> dir:b/4: not-found: gone for\\x1b[0m good\n"
        );
    }
}
