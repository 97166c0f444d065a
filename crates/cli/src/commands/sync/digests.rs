//! `--digestfile`: the digest and the name of every image that was copied, in the order of the
//! images, whichever of them was through first.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use fs_err::File;
use skopeo_image::Digest;
use skopeo_sync::destination::Place;
use skopeo_transport::ImageName;

use crate::{files, go};

/// The file, and what cannot be written to it yet.
#[derive(Debug)]
pub(super) struct DigestFile {
    file: Option<File>,
    /// The number of the image whose line is next.
    next: usize,
    /// Lines of images behind that, empty for what was not copied.
    waiting: BTreeMap<usize, String>,
    /// Lines of images whose place has no name yet.
    held: Vec<(usize, Place, String)>,
}

impl DigestFile {
    /// Empties the file, if there is to be one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn create(path: Option<&Path>) -> Result<Self> {
        let file = path.map(files::create).transpose().context("Error creating digest file")?;
        Ok(Self { file, next: 0, waiting: BTreeMap::new(), held: Vec::new() })
    }

    /// An image is through, with a digest if it was copied.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn add(&mut self, at: usize, digest: Option<&Digest>, to: &ImageName) -> Result<()> {
        let line = digest.map(|digest| format!("{digest} {to}\n")).unwrap_or_default();
        self.waiting.insert(at, line);
        self.write()
    }

    /// The same for an image in an archive, which is there when the archive is: its line waits for
    /// [`end`](Self::end).
    pub(super) fn hold(&mut self, at: usize, digest: &Digest, to: &ImageName, place: &Place) {
        self.held.push((at, place.clone(), format!("{digest} {to}\n")));
    }

    /// The archives are there, but for those that `is_lost` knows.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn end(&mut self, is_lost: impl Fn(&Place) -> bool) -> Result<()> {
        for (at, place, line) in std::mem::take(&mut self.held) {
            self.waiting.insert(at, if is_lost(&place) { String::new() } else { line });
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        while let Some(line) = self.waiting.remove(&self.next) {
            self.next += 1;
            file.write_all(line.as_bytes()).with_context(|| {
                let path = go::quote(&file.path().to_string_lossy());
                format!("Failed to write digest to file {path}")
            })?;
        }
        Ok(())
    }
}
