//! Doors for the fuzz targets; nobody else goes through them.

use std::path::Path;

/// Whatever lies in a tar, what is found in it is in it, and under a clean name.
///
/// # Panics
/// If it is not.
pub fn tar_index(bytes: &[u8]) {
    crate::index::check(bytes);
}

/// Plays the story of an archive and of those who write it that `data` tells, in `folder`.
///
/// # Panics
/// If a byte of the tar is another than its name says, or somebody honest failed.
pub fn play_writer(data: &[u8], folder: &Path) {
    crate::writer::lies::play(data, folder);
}
