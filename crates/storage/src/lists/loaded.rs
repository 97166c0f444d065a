//! Whether a list is still what it was when it was read.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::files;
use crate::lock::{Held, Token};

/// A list that was read, until it is another one on disk.
#[derive(Debug)]
pub(crate) struct Loaded<T>(Mutex<Option<(LoadedStamp, Arc<T>)>>);

/// By which a list is recognised: its lock's token, and its files.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LoadedStamp {
    tokens: Vec<Token>,
    files: Vec<Option<Identity>>,
}

/// Device, number, length, and when it was written, in seconds and nanoseconds.
type Identity = (u64, u64, u64, i64, i64);

impl<T> Default for Loaded<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Loaded<T> {
    /// The list, which is read if it is not the one that was read last. The locks are held.
    pub(crate) fn get(
        &self,
        locks: &[Held],
        files: &[&Path],
        read: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>> {
        let seen = LoadedStamp::of(locks, files)?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((earlier, list)) if *earlier == seen => Ok(list.clone()),
            _ => {
                let list = Arc::new(read()?);
                *kept = Some((seen, list.clone()));
                Ok(list)
            }
        }
    }

    /// Takes the list that was just written for the one that is read next. The locks are held.
    pub(crate) fn put(&self, locks: &[Held], files: &[&Path], list: T) -> Result<()> {
        let seen = LoadedStamp::of(locks, files)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((seen, Arc::new(list)));
        Ok(())
    }
}

impl LoadedStamp {
    fn of(locks: &[Held], files: &[&Path]) -> Result<Self> {
        let tokens = locks.iter().map(Held::token).collect::<Result<_>>()?;
        let identity = |path: &&Path| {
            let metadata = files::absent_is_none(fs_err::metadata(path))?;
            Ok(metadata.map(|it| (it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec())))
        };
        Ok(Self { tokens, files: files.iter().map(identity).collect::<Result<_>>()? })
    }
}
