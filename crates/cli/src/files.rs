//! Files that programs read, written whole or not at all.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use fs_err::File;
use skopeo_blob::FileError;
use skopeo_config::links;

use crate::go;

/// Puts a file in its place once it is whole. What is no file, as a pipe, is written to.
///
/// # Errors
/// If it cannot be written, or is behind a link of somebody else.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        // Through a link: what it leads to is replaced.
        let path = links::target(path)?;
        if is_special(&path) {
            return Ok(fs_err::write(path, bytes).map_err(FileError::from)?);
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".skopeo-");
        if let Some(permissions) = skopeo_system::for_all(0o666) {
            builder.permissions(permissions); // less what the umask takes
        }
        let mut file = builder.tempfile_in(folder(&path)).map_err(FileError::from)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", go::quote(&path.to_string_lossy())))
}

/// Opens a file to write to it from its beginning; what was in it is gone.
///
/// # Errors
/// If it cannot be opened, or is behind a link of somebody else.
pub(crate) fn create(path: &Path) -> Result<File> {
    let target = links::target(path)?;
    Ok(File::create(target).map_err(FileError::from)?)
}

/// Finds out early, and without touching the file, whether [`replace`] has a chance.
///
/// # Errors
/// If there is no folder that it could be in, a folder is where it should be, or it is behind a link
/// of somebody else.
pub(crate) fn check(path: &Path, flag: &str) -> Result<()> {
    links::check(path).with_context(|| format!("--{flag}"))?;
    let folder = folder(path);
    if !is_special(path) && !folder.is_dir() {
        bail!("--{flag}: the folder {} does not exist", go::quote(&folder.to_string_lossy()));
    }
    if path.is_dir() {
        bail!("--{flag}: {} is a folder", go::quote(&path.to_string_lossy()));
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn is_special(path: &Path) -> bool {
    fs_err::metadata(path).is_ok_and(|known| !known.is_file() && !known.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a"), folder.path().join("link"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for (to, bytes) in [(&path, &b"one"[..]), (&path, b"2"), (&link, b"three")] {
            check(to, "x").unwrap();
            replace(to, bytes).unwrap();
            assert_eq!(fs_err::read(&path).unwrap(), bytes);
        }
        assert!(fs_err::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 2);
        assert!(check(folder.path(), "x").is_err());
        assert!(check(&folder.path().join("none/a"), "x").is_err());
        assert!(replace(&folder.path().join("none/a"), b"").is_err());
        replace(Path::new("/dev/null"), b"gone").unwrap();
    }
}
