//! Doors for the fuzz targets; nobody else goes through them.

use std::path::Path;

/// Reads a file as each of those that `sync` reads: a lock, a plan, a report, a state.
pub fn read_sync_files(path: &Path) {
    crate::commands::sync::read_as_any(path);
}
