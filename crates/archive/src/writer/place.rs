//! Where a finished tar goes.

use std::io;
use std::path::PathBuf;

use tempfile::TempPath;

use super::Existing;
use crate::Stamp;
use crate::error::TarWriteError;

/// Where a finished file goes, and where it is until then.
#[derive(Debug)]
pub(super) struct MemberPlace {
    pub(super) temporary: TempPath,
    pub(super) path: PathBuf,
    pub(super) existing: Existing,
}

impl MemberPlace {
    /// Gives the finished file its name.
    pub(super) fn publish(self) -> Result<(), TarWriteError> {
        let Self { temporary, path, existing } = self;
        let changed = || TarWriteError::Changed(path.display().to_string());
        match existing {
            Existing::Replace(before) if Stamp::at(&path) != Some(before) => {
                return Err(changed());
            }
            Existing::Replace(_) => temporary.persist(&path).map_err(|error| error.error)?,
            Existing::None => {
                temporary.persist_noclobber(&path).map_err(|failed| match failed.error.kind() {
                    io::ErrorKind::AlreadyExists => changed(),
                    _ => failed.error.into(),
                })?;
            }
        }
        if let Some(folder) = path.parent() {
            // What it says may be lost with the power, but nothing that had a name before.
            let _ = fs_err::File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}
