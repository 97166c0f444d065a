//! Files that are written beside their place and renamed to it, and what is left over of them.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use fs_err::File;
use skopeo_system::{for_all, mode_of};
use tempfile::{NamedTempFile, TempPath};

use crate::{Error, files, partial};

/// A leftover of another process is taken for dead only when it is older than this, so that a file
/// which is just being created is never taken for one.
const DEAD_AFTER: Duration = Duration::from_secs(600);

/// How temporary files are called that lie beside what they are to replace.
pub(crate) const BESIDE: &str = ".skopeo-";

/// Writes a file so that it is there whole or not at all, and is on the disk then. The mode of what
/// it replaces is kept.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temp = beside(path, bytes)?;
    temp.as_file().sync_data()?;
    temp.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// As [`replace`]; the new file is ours alone until it is closed.
pub(crate) fn replace_locked(path: &Path, bytes: &[u8]) -> Result<File, Error> {
    let temp = beside(path, bytes)?;
    temp.as_file().try_lock().map_err(io::Error::from)?;
    temp.as_file().sync_data()?;
    let file = temp.persist(path).map_err(|error| error.error)?;
    Ok(File::from_parts(file, path))
}

/// Whether a file is called as those are that become others.
pub(crate) fn is_temporary(name: &str) -> bool {
    [BESIDE, "dir-put-blob", "oci-put-blob"].iter().any(|prefix| name.starts_with(prefix))
}

fn beside(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, Error> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let old = fs_err::metadata(path).ok();
    let mut builder = tempfile::Builder::new();
    builder.prefix(BESIDE);
    let mode = old.as_ref().map_or_else(|| for_all(0o644), mode_of);
    if let Some(permissions) = mode.clone() {
        builder.permissions(permissions);
    }
    let temp = builder.tempfile_in(folder);
    let mut temp = temp.map_err(|error| {
        // Whoever named the place knows it, and not the file beside it.
        let named = fs_err::OpenOptions::new().write(true).open(path).err();
        named.filter(|named| named.kind() == error.kind()).unwrap_or(error)
    })?;
    temp.write_all(bytes)?;
    if let Some(permissions) = mode.filter(|_| old.is_some()) {
        temp.as_file().set_permissions(permissions)?;
    }
    Ok(temp)
}

/// An empty file beside `path`, on its file system, to be renamed to it. It gets the mode of what
/// it is to replace. What processes left there when they died is removed.
pub(crate) fn temporary_for(path: &Path) -> Result<(TempPath, File), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    if let Err(error) = sweep(folder, BESIDE) {
        tracing::debug!("looking for leftovers: {error}");
    }
    let temp = beside(path, &[])?;
    // Held while we live: this is how others know that the file is no leftover.
    temp.as_file().try_lock().map_err(io::Error::from)?;
    let (file, temp) = temp.into_parts();
    Ok((temp, File::from_parts(file, path)))
}

/// Removes what other processes left in a folder when they died.
pub(crate) fn sweep(folder: &Path, prefix: &str) -> Result<(), Error> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        // It may be gone by now: then somebody else did our work.
        let Ok((file, _)) = files::open(&entry.path(), None) else { continue };
        let is_part = entry.file_name().to_string_lossy().starts_with(partial::PREFIX);
        let lives = if is_part { partial::LIVES } else { DEAD_AFTER };
        let old = file.metadata()?.modified()?.elapsed().is_ok_and(|age| age > lives);
        if old && file.file().try_lock().is_ok() {
            tracing::debug!("removing {}, which an interrupted copy left", entry.path().display());
            let _ = fs_err::remove_file(entry.path());
        }
    }
    Ok(())
}
