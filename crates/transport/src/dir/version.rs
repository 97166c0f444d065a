//! The `version` file, by which a folder is known to be ours. It is written first, so that what a
//! killed copy leaves is still known, and locked while a copy lasts.

use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use fs_err::File;
use skopeo_config::links;
use skopeo_system::Opening as _;

use super::DirError;
use super::{DirName, Version};
use crate::temporary;
use crate::{Error, files};

/// How often it is looked again at a folder that others make and remove meanwhile.
const PATIENCE: usize = 100;

/// Whether an image may be written to the folder: it is missing, empty or a `dir:` image already.
/// Nothing is changed.
pub(super) fn check(name: &DirName) -> Result<(), Error> {
    links::check(name.path())?;
    let mut entries = match fs_err::read_dir(&name.resolved) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    match read(&name.version()) {
        // As it is where a copy was killed between making the file and writing it.
        Ok(text) if text.is_empty() && is_alone(name)? => Ok(()),
        Ok(text) => Version::parse(&text).ok_or(DirError::NotImageFolder)?.check(&text, name),
        Err(error) if error.is_missing_file() => Err(DirError::NotImageFolder.into()),
        Err(error) => Err(error),
    }
}

/// The file, ours alone as long as the value lives.
#[derive(Debug)]
pub(super) struct VersionFile {
    path: PathBuf,
    file: File,
}

impl VersionFile {
    /// Makes or opens the file in a folder that is there. Where another copy holds it the error is
    /// [`DirError::FolderBusy`].
    pub(super) fn open(name: &DirName) -> Result<Self, Error> {
        links::check(name.path())?;
        for _ in 0..PATIENCE {
            if let Some(this) = Self::try_open(name)? {
                return Ok(this);
            }
        }
        Err(DirError::FolderBusy(name.to_string()).into())
    }

    /// `None` if somebody else made, replaced or removed it meanwhile.
    fn try_open(name: &DirName) -> Result<Option<Self>, Error> {
        let path = name.version();
        let empty = fs_err::read_dir(&name.resolved)?.next().is_none();
        if !empty && !path.exists() {
            return Err(DirError::NotImageFolder.into());
        }
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create_new(empty);
        options.options_mut().made_with(0o644).no_link(true);
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) if empty && error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) if !empty && error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if file.file().try_lock().is_err() {
            return Err(DirError::FolderBusy(name.to_string()).into());
        }
        // The name may have gone to another file before the lock was ours.
        if !files::is_at(&file, &path)? {
            return Ok(None);
        }
        let mut this = Self { path, file };
        if empty {
            this.fill()?;
            return Ok(Some(this));
        }
        let text = read(&this.path)?;
        if text.is_empty() && is_alone(name)? {
            this.fill()?;
        } else {
            Version::parse(&text).ok_or(DirError::NotImageFolder)?.check(&text, name)?;
        }
        Ok(Some(this))
    }

    /// Writes the first words into a file that is empty.
    fn fill(&mut self) -> Result<(), Error> {
        self.file.rewind()?;
        Ok(self.file.write_all(Version::SHA256_ONLY.to_string().as_bytes())?)
    }

    /// Puts another version into its place. The file is replaced, as it may have other names.
    pub(super) fn write(&mut self, version: Version) -> Result<(), Error> {
        let text = version.to_string();
        if read(&self.path)? != text {
            self.file = temporary::replace_locked(&self.path, text.as_bytes())?;
        }
        Ok(())
    }

    /// Removes the file. The lock is let go after that.
    pub(super) fn remove(self) -> io::Result<()> {
        fs_err::remove_file(&self.path)
    }
}

pub(super) fn read(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    files::open(path, None)?.0.take(1024).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether the folder has no other file.
fn is_alone(name: &DirName) -> Result<bool, Error> {
    Ok(fs_err::read_dir(&name.resolved)?.nth(1).is_none())
}
