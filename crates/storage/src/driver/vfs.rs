//! Layers as folders of everything: each is a whole file system.

use std::path::Path;

use crate::contents::copy_tree;
use crate::error::{Error, Result};
use crate::files;

pub(super) fn make_home(home: &Path) -> Result<()> {
    files::make_folders(&home.join("dir"), 0o700)
}

/// Copies the files of a layer into the folder of one that lies on it.
pub(super) fn copy(id: &str, from: &Path, to: &Path, rootless: bool) -> Result<()> {
    copy_tree(from, to, rootless).map_err(|source| Error::Copy { id: id.to_owned(), source })
}
