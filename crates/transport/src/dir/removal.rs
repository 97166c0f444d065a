//! Removing an image that is a folder.

use std::io;
use std::path::Path;

use skopeo_image::{Digest, Which};

use super::version::VersionFile;
use super::{DirName, Version, whole};
use crate::{CommitError, Error, files, manifest};

/// Whether a folder holds an image in this format: others have files of that name too.
pub(crate) fn is_image(folder: &Path) -> bool {
    let is_file = |name: &str| {
        fs_err::symlink_metadata(folder.join(name)).is_ok_and(|metadata| metadata.is_file())
    };
    is_file("manifest.json")
        && is_file("version")
        && super::version::read(&folder.join("version"))
            .is_ok_and(|text| Version::parse(&text).is_some())
}

/// The digest of the image in a folder.
pub(crate) fn digest(name: &DirName) -> Result<Digest, Error> {
    let bytes = files::read(&name.manifest(&Which::Top), None, files::MAX_MANIFEST)?;
    Ok(manifest::checked(None, bytes, &Which::Top)?.digest()?)
}

/// Removes the files of an image that is of this digest, unless somebody writes to it, and the
/// folder with them if nothing else is in it. Gives back what else there is: it stays, as files of
/// others and folders do, in which other images may be.
///
/// The manifest goes first, without which the folder is no image: killed before that, nothing has
/// changed; killed after, what is left is in nobody's way. Where the folder stays it is still known
/// as one for images.
pub(crate) fn remove(name: &DirName, expected: &Digest) -> Result<Vec<String>, Error> {
    let ours = VersionFile::open(name)?;
    if digest(name)? != *expected {
        return Err(CommitError::Rewritten(format!("dir:{name}")).into());
    }
    fs_err::remove_file(name.manifest(&Which::Top))?;
    let mut left = Vec::new();
    for entry in fs_err::read_dir(&name.resolved)? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() || !whole::is_of_images(&file) {
            left.push(file);
        } else {
            fs_err::remove_file(entry.path())?;
        }
    }
    left.retain(|file| file != "version");
    left.sort_unstable();
    if !left.is_empty() {
        return Ok(left);
    }
    ours.remove()?;
    match fs_err::remove_dir(&name.resolved) {
        // Somebody has put something there just now.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(left),
        done => Ok(done.map(|()| left)?),
    }
}
