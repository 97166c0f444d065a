//! Lines of digests and names, in the order of the images, whichever of them was through first.

use std::collections::{BTreeMap, HashSet};

use crate::destination::Target;
use crate::observer::SyncEvent;
use crate::report::{Entry, Outcome};
use crate::task::TaskId;

/// The digest and the name of every image that is where it should be, a line each. A line is given
/// out once those of all images before it are.
#[derive(Debug, Default)]
pub struct DigestLines {
    /// The number of the image whose line is next.
    next: usize,
    /// Lines of images behind that, empty for what is not where it should be.
    waiting: BTreeMap<usize, String>,
    /// Lines of images whose archive has no name yet.
    held: Vec<(usize, String, String)>,
    /// The archives that have their names.
    published: HashSet<String>,
}

impl DigestLines {
    /// Takes an event of the run. An image that was written to an archive is there when the archive
    /// is: its line waits for the end of the run.
    pub fn observe(&mut self, event: &SyncEvent<'_>) {
        match event {
            SyncEvent::Done { task, entry } => self.add(*task, entry),
            SyncEvent::Skipped(task) => {
                self.waiting.insert(task.id().number(), String::new());
            }
            SyncEvent::Published(place) => {
                self.published.insert(place.to_string());
            }
            SyncEvent::Finished => {
                for (at, place, line) in std::mem::take(&mut self.held) {
                    let line = if self.published.contains(&place) { line } else { String::new() };
                    self.waiting.insert(at, line);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, task: TaskId, entry: &Entry) {
        let Entry { outcome, digest, destination, place, .. } = entry;
        let there = matches!(outcome, Outcome::Copied | Outcome::Unchanged);
        let line = digest.as_ref().filter(|_| there);
        let line = line.map(|digest| format!("{digest} {destination}\n")).unwrap_or_default();
        let is_archive = place.parse::<Target>().is_ok_and(|place| place.kind.is_archive());
        if *outcome == Outcome::Copied && is_archive {
            self.held.push((task.number(), place.clone(), line));
        } else {
            self.waiting.insert(task.number(), line);
        }
    }
}

/// Gives the lines out that no other has to come before.
impl Iterator for DigestLines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            let line = self.waiting.remove(&self.next)?;
            self.next = self.next.saturating_add(1);
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use skopeo_image::Digest;

    use super::*;
    use crate::testing::ids;

    #[test]
    fn lines_are_in_the_order_of_the_images() {
        let [a, b, c, d] = ids();
        let digest = Digest::sha256(b"");
        let entry = |name: &str, place: &str, outcome| Entry {
            destination: format!("{place}:{name}"),
            place: place.to_owned(),
            digest: Some(digest.clone()),
            outcome,
            ..Entry::default()
        };
        let mut lines = DigestLines::default();
        lines.add(b, &entry("b", "oci:x", Outcome::Copied));
        assert_eq!(lines.next(), None);
        lines.add(a, &entry("a", "oci:x", Outcome::Failed));
        assert_eq!(lines.by_ref().collect::<Vec<_>>(), [format!("{digest} oci:x:b\n")]);
        lines.add(d, &entry("d", "oci:x", Outcome::Skipped));
        lines.add(c, &entry("c", "oci-archive:y", Outcome::Copied));
        assert_eq!(lines.next(), None);
        lines.observe(&SyncEvent::Published(&"oci-archive:y".parse().unwrap()));
        lines.observe(&SyncEvent::Finished);
        assert_eq!(lines.collect::<Vec<_>>(), [format!("{digest} oci-archive:y:c\n")]);
    }

    #[test]
    fn an_archive_without_a_name_has_no_lines() {
        let [a, b] = ids();
        let mut lines = DigestLines::default();
        let digest = Some(Digest::sha256(b""));
        for (task, place) in [(a, "oci-archive:y"), (b, "dir:z")] {
            let (place, digest) = (place.to_owned(), digest.clone());
            let outcome = Outcome::Copied;
            lines.add(task, &Entry { place, digest, outcome, ..Entry::default() });
        }
        lines.observe(&SyncEvent::Finished);
        assert_eq!(lines.count(), 1);
    }
}
