//! `--digestfile`: the digest and the name of every image that was copied, in the order of the
//! images, whichever of them was through first.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use fs_err::File;
use skopeo_sync::TaskId;
use skopeo_sync::destination::Place;
use skopeo_sync::report::{Entry, Outcome};

use crate::{files, go};

/// The file, and what cannot be written to it yet.
#[derive(Debug)]
pub(super) struct DigestFile {
    file: File,
    /// The number of the image whose line is next.
    next: usize,
    /// Lines of images behind that, empty for what was not copied.
    waiting: BTreeMap<usize, String>,
    /// Lines of images whose place has no name yet.
    held: Vec<(usize, String, String)>,
}

impl DigestFile {
    /// Empties the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = files::create(path).context("Error creating digest file")?;
        Ok(Self { file, next: 0, waiting: BTreeMap::new(), held: Vec::new() })
    }

    /// An image is through. One that was written to an archive is there when the archive is: its
    /// line waits for [`end`](Self::end).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn add(&mut self, task: TaskId, entry: &Entry) -> Result<()> {
        let Entry { outcome, digest, destination, place, .. } = entry;
        let there = matches!(outcome, Outcome::Copied | Outcome::Unchanged);
        let line = digest.as_ref().filter(|_| there);
        let line = line.map(|digest| format!("{digest} {destination}\n")).unwrap_or_default();
        let is_archive = place.parse::<Place>().is_ok_and(|place| place.kind.is_archive());
        if *outcome == Outcome::Copied && is_archive {
            self.held.push((task.number(), place.clone(), line));
            return Ok(());
        }
        self.waiting.insert(task.number(), line);
        self.write()
    }

    /// An image is left out.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn skip(&mut self, task: TaskId) -> Result<()> {
        self.waiting.insert(task.number(), String::new());
        self.write()
    }

    /// The archives are there that `is_published` knows.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn end(&mut self, is_published: impl Fn(&str) -> bool) -> Result<()> {
        for (at, place, line) in std::mem::take(&mut self.held) {
            self.waiting.insert(at, if is_published(&place) { line } else { String::new() });
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        let file = &mut self.file;
        while let Some(line) = self.waiting.remove(&self.next) {
            self.next = self.next.saturating_add(1);
            file.write_all(line.as_bytes()).with_context(|| {
                let path = go::quote(&file.path().to_string_lossy());
                format!("Failed to write digest to file {path}")
            })?;
        }
        Ok(())
    }
}
