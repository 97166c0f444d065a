//! Removing an image that is a folder.

use std::path::Path;

use skopeo_image::Which;

use super::DirName;
use super::version::VersionFile;
use crate::Error;

/// Removes an image, unless somebody writes to it. Without its manifest the folder is an image no
/// more: killed before that, nothing has changed; killed after, what is left is found by nobody,
/// and is in nobody's way.
pub(crate) fn remove(name: &DirName) -> Result<(), Error> {
    let _ours = VersionFile::open(name)?;
    let folder = Path::new(&name.resolved);
    fs_err::remove_file(name.manifest(&Which::Top))?;
    let beside = folder.parent().unwrap_or(folder);
    let away = tempfile::Builder::new().prefix(".removed-").tempdir_in(beside)?;
    fs_err::rename(folder, away.path().join("image"))?;
    Ok(away.close()?)
}
