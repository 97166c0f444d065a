//! What was read already: many images are read from one archive, whose headers need be read only
//! once, and from one layout, whose index is parsed only once.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use skopeo_archive::{Stamp, is_special};

use crate::Error;
use crate::docker_tar::Saved;
use crate::layout::{Buckets, Index, PackedLayout};
use crate::storage::StagedLayers;

/// The archives and indexes that images have been read from with the same
/// [`Options`](crate::Options).
///
/// A file that has changed is read again. What comes through a pipe stays what came first.
#[derive(Debug, Default)]
pub struct ReadCache {
    #[cfg_attr(not(feature = "object-stores"), expect(dead_code, reason = "none is opened"))]
    pub(crate) buckets: Buckets,
    pub(crate) indexes: FileCache<Index>,
    pub(crate) layouts: FileCache<PackedLayout>,
    pub(crate) saved: FileCache<Saved>,
    #[cfg_attr(
        not(all(feature = "storage", target_os = "linux")),
        expect(dead_code, reason = "there are no stores")
    )]
    pub(crate) staged: Arc<StagedLayers>,
}

/// What was made of files, by their paths.
pub(crate) struct FileCache<T>(Mutex<HashMap<PathBuf, CachedFile<T>>>);

/// What the file was when it was opened, and what was made of it.
type CachedFile<T> = (Option<Stamp>, Arc<T>);

impl<T> FileCache<T> {
    /// What `open` makes of the file at `path`, or made of the same file before. Waits for the
    /// disk, and for others who open something.
    pub(crate) fn get(
        &self,
        path: &Path,
        open: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Arc<T>, Error> {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Before it is opened: who changes it then only makes us read it once more.
        let stamp = if is_special(path) { None } else { Stamp::at(path) };
        if let Some((before, opened)) = there.get(path)
            && *before == stamp
        {
            return Ok(opened.clone());
        }
        let opened = Arc::new(open()?);
        there.insert(path.to_owned(), (stamp, opened.clone()));
        Ok(opened)
    }
}

impl<T> Default for FileCache<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> fmt::Debug for FileCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(there.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_only_when_it_changed() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("file");
        let cache = FileCache::default();
        let read = || Ok(*cache.get(&path, || Ok(fs_err::read(&path)?.len()))?);
        let read = || -> Result<usize, Error> { read() };
        assert!(read().is_err());
        fs_err::write(&path, "one").unwrap();
        assert_eq!(read().unwrap(), 3);
        let unread = cache.get(&path, || panic!("it is there")).unwrap();
        assert_eq!(*unread, 3);
        fs_err::write(tmp.path().join("other"), "three").unwrap();
        fs_err::rename(tmp.path().join("other"), &path).unwrap();
        assert_eq!(read().unwrap(), 5);
        fs_err::remove_file(&path).unwrap();
        assert!(read().is_err());
    }
}
