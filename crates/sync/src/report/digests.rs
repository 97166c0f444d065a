//! Lines of digests and names, in the order of the images, whichever of them was through first.

use std::collections::BTreeMap;

use super::entry::{Entry, Outcome};
use crate::destination::Target;
use crate::task::TaskId;

/// The digest and the name of every image that is where it should be, a line each. A line is given
/// out once those of all images before it are.
#[derive(Debug, Default)]
pub struct DigestLines {
    /// The number of the image whose line is next.
    next: usize,
    /// Lines of images behind that, empty for what is not where it should be.
    waiting: BTreeMap<usize, String>,
    /// Lines of images whose place has no name yet.
    held: Vec<(usize, String, String)>,
}

impl DigestLines {
    /// Takes what has come of an image. One that was written to an archive is there when the archive
    /// is: its line waits for [`finish`](Self::finish).
    pub fn add(&mut self, task: TaskId, entry: &Entry) {
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

    /// Leaves an image out.
    pub fn leave_out(&mut self, task: TaskId) {
        self.waiting.insert(task.number(), String::new());
    }

    /// Takes the lines of the archives that `is_published` knows by their place; the others have none.
    pub fn finish(&mut self, is_published: impl Fn(&str) -> bool) {
        for (at, place, line) in std::mem::take(&mut self.held) {
            self.waiting.insert(at, if is_published(&place) { line } else { String::new() });
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
        lines.leave_out(d);
        lines.add(c, &entry("c", "oci-archive:y", Outcome::Copied));
        assert_eq!(lines.next(), None);
        lines.finish(|place| place == "oci-archive:y");
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
        lines.finish(|_| false);
        assert_eq!(lines.count(), 1);
    }
}
