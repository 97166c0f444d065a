//! The file of `--src yaml`.

use std::path::Path;

use anyhow::{Context as _, Result};
use skopeo_blob::FileError;
use skopeo_sync::config::{SyncFile, World};

use crate::args::naming;
use crate::go;

/// The longest file that is read, in bytes.
const LONGEST: usize = 64 << 20;

/// Reads a file of either version.
///
/// # Errors
/// If it cannot be read, or says what makes no sense.
pub(super) fn read(path: &Path) -> Result<SyncFile> {
    let file = go::quote(&path.to_string_lossy());
    let text = go::read_at_most(path, LONGEST)?;
    let text = String::from_utf8(text).map_err(|_| {
        FileError::from(std::io::Error::other(format!("{file}: it is no UTF-8, so no YAML")))
    })?;
    let world = World { variable: &|name| std::env::var(name).ok(), template: &naming::template };
    SyncFile::parse(&text, world).with_context(|| format!("Failed to unmarshal {file}"))
}
