//! `sync report merge`: the reports of several runs as one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use skopeo_image::ErrorClass;

use super::record::Document;
use super::summary::{self, Totals};
use crate::args::value::Values;
use crate::exit::{Classed, print};
use crate::files;

/// How reports are called that a folder is searched for.
const REPORT: &str = ".report.json";

pub(crate) fn run(flags: &Values, arguments: &[String]) -> Result<()> {
    if arguments.is_empty() {
        bail!("At least one report expected");
    }
    let into = flags.text("output-file").map(PathBuf::from);
    if let Some(path) = &into {
        files::check(path, "output-file")?;
    }
    let mut files = Vec::new();
    for argument in arguments {
        add(Path::new(argument), &mut files)?;
    }
    let reports = files.iter().map(|path| Document::read(path));
    let merged = merge(reports.collect::<Result<_>>()?);
    match &into {
        Some(path) => merged.write(path)?,
        None => print(merged.bytes()?)?,
    }
    summary::print(&merged);
    if merged.ok {
        return Ok(());
    }
    let (missing, images) = (merged.totals.missing(), merged.totals.images);
    let sentence = match missing {
        0 => "not all that was asked for could be done".to_owned(),
        _ => format!("{missing} of {images} images are not where they should be"),
    };
    Err(Classed { class: ErrorClass::Partial, sentence, hint: None }.into())
}

/// Adds a report, or those in a folder: who runs in a container has no shell to list them.
fn add(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = fs_err::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    let is_report = |path: &PathBuf| path.to_string_lossy().ends_with(REPORT);
    let before = files.len();
    files.extend(entries.iter().map(fs_err::DirEntry::path).filter(is_report));
    if files.len() == before {
        bail!("No reports (*{REPORT}) found in {}", crate::go::quote(&path.to_string_lossy()));
    }
    files[before..].sort();
    Ok(())
}

/// The reports as one. Of an image that several have, the run that began last counts.
fn merge(mut reports: Vec<Document>) -> Document {
    // Stable: what began at the same time counts in the order of the arguments.
    reports.sort_by(|a, b| a.started.cmp(&b.started));
    let mut merged = Document::new();
    let mut places: HashMap<(Option<String>, String), usize> = HashMap::new();
    merged.dry_run = reports.iter().any(|report| report.dry_run);
    merged.started = reports.first().map(|report| report.started.clone()).unwrap_or_default();
    merged.seconds = lasted(&reports);
    for report in reports {
        merged.requests = merged.requests.saturating_add(report.requests);
        if merged.options.is_empty() {
            (merged.options, merged.arguments) = (report.options, report.arguments);
        }
        // What else it failed of shows in its images.
        let shows = Totals::of(&report.images).missing() > 0 || !report.unlisted.is_empty();
        if !report.ok && !shows && merged.error.is_none() {
            merged.error = report.error.or_else(|| Some(serde_json::Value::Null));
        }
        for image in report.images {
            let key = (image.source.clone(), image.destination.clone());
            match places.get(&key) {
                Some(at) => merged.images[*at] = image,
                None => {
                    places.insert(key, merged.images.len());
                    merged.images.push(image);
                }
            }
        }
        for unlisted in report.unlisted {
            if merged.unlisted.iter().all(|known| known.source != unlisted.source) {
                merged.unlisted.push(unlisted);
            }
        }
    }
    merged.totals = Totals::of(&merged.images);
    merged.ok =
        merged.totals.missing() == 0 && merged.unlisted.is_empty() && merged.error.is_none();
    merged
}

/// From the first beginning to the last end, in seconds.
fn lasted(reports: &[Document]) -> f64 {
    let begun = |report: &Document| report.started.parse::<jiff::Timestamp>().ok();
    let Some(first) = reports.iter().find_map(begun) else { return 0.0 };
    let ends = reports.iter().filter_map(|report| {
        Some(begun(report)?.duration_since(first).as_secs_f64() + report.seconds)
    });
    (ends.fold(0.0, f64::max) * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Bytes, Entry, Outcome, Problem, Unlisted};
    use super::*;

    fn report(started: &str, seconds: f64, images: &[(&str, Outcome)]) -> Document {
        let images = images.iter().map(|(name, outcome)| Entry {
            source: Some(format!("docker://a/{name}")),
            destination: format!("docker://b/{name}"),
            outcome: *outcome,
            bytes: Bytes { read: 1, ..Bytes::default() },
            ..Entry::default()
        });
        let mut report = Document::new();
        report.started = format!("2026-01-01T00:00:{started}.000Z");
        (report.seconds, report.requests) = (seconds, 10);
        report.images = images.collect();
        report.ok = Totals::of(&report.images).missing() == 0;
        report
    }

    #[test]
    fn of_what_was_done_twice_the_later_counts() {
        let first = report("10", 5.0, &[("1", Outcome::Copied), ("2", Outcome::Failed)]);
        let second = report("11", 20.0, &[("3", Outcome::Unchanged), ("4", Outcome::NotBegun)]);
        let again = report("40", 1.0, &[("2", Outcome::Copied), ("4", Outcome::Copied)]);
        let both = merge(vec![first.clone(), second.clone()]);
        assert!(!both.ok);
        assert_eq!((both.totals.images, both.totals.missing(), both.requests), (4, 2, 20));
        assert!((both.seconds - 21.0).abs() < 1e-9, "{}", both.seconds);
        // In whatever order they are named.
        let all = merge(vec![again, first.clone(), second]);
        assert!(all.ok && all.error.is_none());
        assert_eq!((all.totals.copied, all.totals.unchanged, all.totals.bytes.read), (3, 1, 4));
        let names: Vec<_> = all.images.iter().map(|it| &*it.destination).collect();
        assert_eq!(names, ["docker://b/1", "docker://b/2", "docker://b/3", "docker://b/4"]);

        let mut unlisted = first;
        unlisted.images.clear();
        let problem = Problem { class: "network".to_owned(), message: "down".to_owned() };
        let it = Unlisted { source: "docker://a/x".to_owned(), error: problem };
        unlisted.unlisted = vec![it.clone(), it];
        let merged = merge(vec![unlisted.clone()]);
        assert!(!merged.ok && merged.unlisted.len() == 1);
        unlisted.unlisted.clear();
        unlisted.error = Some("it broke off".into());
        assert!(!merge(vec![unlisted]).ok);
    }
}
