//! The records of several runs as one.

use std::collections::HashMap;

use super::record::Record;
use super::totals::Totals;

impl Record {
    /// Makes one record of several. Of an image that several have, the run that began last counts.
    #[must_use]
    pub fn merge(mut records: Vec<Self>) -> Self {
        // Stable: what began at the same time counts in the order of the arguments.
        records.sort_by(|a, b| a.started.cmp(&b.started));
        let mut merged = Self::default();
        let mut places: HashMap<(Option<String>, String), usize> = HashMap::new();
        merged.dry_run = records.iter().any(|record| record.dry_run);
        merged.started = records.first().map(|record| record.started.clone()).unwrap_or_default();
        merged.seconds = lasted(&records);
        for record in records {
            merged.requests = merged.requests.saturating_add(record.requests);
            if merged.options.is_empty() {
                (merged.options, merged.arguments) = (record.options, record.arguments);
            }
            // What else it failed of shows in its images.
            let shows = Totals::of(&record.images).missing() > 0 || !record.unlisted.is_empty();
            if !record.ok && !shows && merged.error.is_none() {
                merged.error = record.error.or_else(|| Some(serde_json::Value::Null));
            }
            for image in record.images {
                let key = (image.source.clone(), image.destination.clone());
                let known = places.get(&key).and_then(|at| merged.images.get_mut(*at));
                match known {
                    Some(known) => *known = image,
                    None => {
                        places.insert(key, merged.images.len());
                        merged.images.push(image);
                    }
                }
            }
            for unlisted in record.unlisted {
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
}

/// From the first beginning to the last end, in seconds.
fn lasted(records: &[Record]) -> f64 {
    let begun = |record: &Record| record.started.parse::<jiff::Timestamp>().ok();
    let Some(first) = records.iter().find_map(begun) else { return 0.0 };
    let ends = records.iter().filter_map(|record| {
        Some(begun(record)?.duration_since(first).as_secs_f64() + record.seconds)
    });
    (ends.fold(0.0, f64::max) * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Bytes, Entry, Outcome, Problem, Unlisted};
    use super::*;

    fn report(started: &str, seconds: f64, images: &[(&str, Outcome)]) -> Record {
        let images = images.iter().map(|(name, outcome)| Entry {
            source: Some(format!("docker://a/{name}")),
            destination: format!("docker://b/{name}"),
            outcome: *outcome,
            bytes: Bytes { read: 1, ..Bytes::default() },
            ..Entry::default()
        });
        let images: Vec<Entry> = images.collect();
        Record {
            started: format!("2026-01-01T00:00:{started}.000Z"),
            seconds,
            requests: 10,
            ok: Totals::of(&images).missing() == 0,
            images,
            ..Record::default()
        }
    }

    #[test]
    fn of_what_was_done_twice_the_later_counts() {
        let first = report("10", 5.0, &[("1", Outcome::Copied), ("2", Outcome::Failed)]);
        let second = report("11", 20.0, &[("3", Outcome::Unchanged), ("4", Outcome::NotBegun)]);
        let again = report("40", 1.0, &[("2", Outcome::Copied), ("4", Outcome::Copied)]);
        let both = Record::merge(vec![first.clone(), second.clone()]);
        assert!(!both.ok);
        assert_eq!((both.totals.images, both.totals.missing(), both.requests), (4, 2, 20));
        assert!((both.seconds - 21.0).abs() < 1e-9, "{}", both.seconds);
        // In whatever order they are named.
        let all = Record::merge(vec![again, first.clone(), second]);
        assert!(all.ok && all.error.is_none());
        assert_eq!((all.totals.copied, all.totals.unchanged, all.totals.bytes.read), (3, 1, 4));
        let names: Vec<_> = all.images.iter().map(|it| &*it.destination).collect();
        assert_eq!(names, ["docker://b/1", "docker://b/2", "docker://b/3", "docker://b/4"]);

        let mut unlisted = first;
        unlisted.images.clear();
        let problem = Problem { class: "network".to_owned(), message: "down".to_owned() };
        let it = Unlisted { source: "docker://a/x".to_owned(), error: problem };
        unlisted.unlisted = vec![it.clone(), it];
        let merged = Record::merge(vec![unlisted.clone()]);
        assert!(!merged.ok && merged.unlisted.len() == 1);
        unlisted.unlisted.clear();
        unlisted.error = Some("it broke off".into());
        assert!(!Record::merge(vec![unlisted]).ok);
    }
}
