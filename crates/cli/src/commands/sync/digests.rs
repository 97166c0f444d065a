//! `--digestfile`: the digest and the name of every image that was copied, a line each.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use fs_err::File;
use skopeo_sync::{DigestLines, SyncEvent};

use crate::{files, go};

/// The file, and the lines that cannot be written to it yet.
#[derive(Debug)]
pub(super) struct DigestFile {
    file: File,
    lines: DigestLines,
}

impl DigestFile {
    /// Empties the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = files::create(path).context("Error creating digest file")?;
        Ok(Self { file, lines: DigestLines::default() })
    }

    /// Writes the lines that are ready after this event.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn observe(&mut self, event: &SyncEvent<'_>) -> Result<()> {
        let Self { file, lines } = self;
        lines.observe(event);
        for line in lines {
            file.write_all(line.as_bytes()).with_context(|| {
                let path = go::quote(&file.path().to_string_lossy());
                format!("Failed to write digest to file {path}")
            })?;
        }
        Ok(())
    }
}
