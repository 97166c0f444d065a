//! `man FOLDER`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use fs_err as fs;

use crate::man;

/// Writes the pages for `man` into a folder, which is made if it is not there.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [folder] = arguments else { bail!("Usage: skopeo man FOLDER") };
    let folder = Path::new(folder);
    let write = || -> Result<()> {
        fs::create_dir_all(folder)?;
        for (name, page) in man::pages() {
            fs::write(folder.join(name), page)?;
        }
        Ok(())
    };
    write().context("writing manual pages")
}
