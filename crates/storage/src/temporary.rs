//! Folders in which something is made, or from which it is removed, without a lock of the store.
//!
//! Each has a lock of its own beside it, by which others see that somebody is at work. What nobody
//! has locked was left by who was ended, and goes.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::files;
use crate::lock::{Access, Held, LockFile};

const FOLDER: &str = "temp-dir-";
const LOCK: &str = "lock-";

/// A folder that is ours until this is dropped. It is removed then, with all that is in it.
#[derive(Debug)]
pub(crate) struct Temporary {
    folder: PathBuf,
    lock: PathBuf,
    held: Option<Held>,
    counter: u64,
}

impl Temporary {
    /// Makes one in `root`, which is made if it is missing.
    pub(crate) fn new(root: &Path) -> Result<Self> {
        files::make_folders(root, 0o700)?;
        loop {
            let digits = files::random_digits()?;
            let lock = root.join(format!("{LOCK}{digits}"));
            let folder = root.join(format!("{FOLDER}{digits}"));
            if fs_err::symlink_metadata(&folder).is_ok() {
                continue;
            }
            // Who looks for what was left may have removed the file before we locked it.
            let Some(held) = LockFile::new(lock.clone(), Access::ReadWrite).try_write()? else {
                continue;
            };
            if !held.is_at(&lock) {
                continue;
            }
            let made = Self { folder, lock, held: Some(held), counter: 0 };
            files::make_folders(&made.folder, 0o700)?;
            return Ok(made);
        }
    }

    /// A path at which something may be made that is renamed later.
    pub(crate) fn addition(&mut self) -> PathBuf {
        let path = self.folder.join(format!("{}-addition", self.counter));
        self.counter = self.counter.saturating_add(1);
        path
    }

    /// Takes something away from its place; that it is not there is well.
    pub(crate) fn take(&mut self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let to = self.folder.join(format!("{}-{name}", self.counter));
        self.counter = self.counter.saturating_add(1);
        files::absent_is_none(files::rename(path, &to)).map(drop)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = files::remove_all(&self.folder) {
            // The lock's file stays, so that the next who looks removes the rest.
            tracing::warn!("removing {}: {error}", self.folder.display());
            return;
        }
        // It goes before it is unlocked: who locks it afterwards sees that it has no name.
        let _ = fs_err::remove_file(&self.lock);
        self.held = None;
    }
}

/// Removes what was left in `root` by who was ended.
pub(crate) fn recover(root: &Path) -> Result<()> {
    for name in files::names(root)? {
        let Some(id) = name.strip_prefix(FOLDER).or_else(|| name.strip_prefix(LOCK)) else {
            continue;
        };
        let lock = root.join(format!("{LOCK}{id}"));
        let folder = root.join(format!("{FOLDER}{id}"));
        if fs_err::symlink_metadata(&lock).is_err() && fs_err::symlink_metadata(&folder).is_err() {
            continue; // its other half was there before, and both are gone
        }
        let Ok(Some(held)) = LockFile::new(lock.clone(), Access::ReadWrite).try_write() else {
            continue;
        };
        if held.is_at(&lock) {
            drop(Temporary { folder, lock, held: Some(held), counter: 0 });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path) -> Vec<String> {
        let entries = fs_err::read_dir(root).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_at_work_stays_and_what_was_left_goes() {
        let root = tempfile::tempdir().unwrap();
        let mut working = Temporary::new(root.path()).unwrap();
        fs_err::write(working.addition(), "x").unwrap();
        let left = root.path().join("temp-dir-7");
        fs_err::create_dir_all(left.join("0-addition/below")).unwrap();
        fs_err::write(root.path().join("lock-7"), "").unwrap();
        fs_err::create_dir(root.path().join("temp-dir-8")).unwrap();
        fs_err::write(root.path().join("lock-9"), "").unwrap();
        fs_err::write(root.path().join("unrelated"), "").unwrap();

        recover(root.path()).unwrap();
        assert_eq!(names(root.path()).len(), 3, "{:?}", names(root.path()));
        assert!(working.folder.join("0-addition").exists());
        drop(working);
        assert_eq!(names(root.path()), ["unrelated"]);
    }

    #[test]
    fn what_is_taken_away_is_removed_at_the_end() {
        let root = tempfile::tempdir().unwrap();
        let doomed = root.path().join("doomed");
        fs_err::create_dir_all(doomed.join("deep")).unwrap();
        let mut temporary = Temporary::new(&root.path().join("tempdirs")).unwrap();
        temporary.take(&doomed).unwrap();
        temporary.take(&root.path().join("not there")).unwrap();
        assert!(!doomed.exists());
        assert!(temporary.folder.join("0-doomed/deep").exists());
        drop(temporary);
        assert_eq!(names(&root.path().join("tempdirs")), Vec::<String>::new());
    }
}
