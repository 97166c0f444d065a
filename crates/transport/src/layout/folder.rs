//! A layout in a folder, shared blobs included.

use std::io;
use std::path::{Path, PathBuf};

use fs_err::File;
use skopeo_blob::Unverified;
use skopeo_config::links;
use skopeo_image::number::wide;
use skopeo_image::{Algorithm, Digest};
use skopeo_system::Opening as _;

use super::LayoutName;
use super::blob_store::BlobStore;
use super::index::Index;
use crate::invalid_file::InvalidFile;
use crate::options::LayoutOptions;
use crate::temporary;
use crate::{Error, files, inside};

/// The bytes of the `oci-layout` file.
pub(super) const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

/// The folder of the blobs.
const BLOBS: &str = "blobs";

/// A folder that holds a layout, or will.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    shared: Option<PathBuf>,
}

/// Held while `index.json` is edited.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Folder {
    pub(super) fn new(name: &LayoutName, options: &LayoutOptions) -> Self {
        Self { path: name.path().to_owned(), shared: options.shared_blob_dir.clone() }
    }

    /// What is in the folder `shared`, for a layout that has its blobs there and itself elsewhere.
    pub(super) fn of_blobs(shared: PathBuf) -> Self {
        Self { path: PathBuf::new(), shared: Some(shared) }
    }

    /// Where a blob is read from and written to.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        let folder = match &self.shared {
            Some(shared) => shared.clone(),
            None => self.path.join(BLOBS),
        };
        folder.join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// The length of the blob's file in bytes, if that is a regular one and no link leads to it.
    pub(super) fn plain_size(&self, digest: &Digest) -> Option<u64> {
        inside::plain(self.root(), &self.blob_path(digest)).map(|found| found.len())
    }

    /// Whether the blob's file has just these bytes.
    pub(super) fn holds_bytes(&self, digest: &Digest, bytes: &[u8]) -> bool {
        self.plain_size(digest) == Some(wide(bytes.len()))
            && self.manifest(digest).is_ok_and(|there| there == bytes)
    }

    /// Where a blob would be if it were not in the shared folder.
    pub(super) fn own_blob(&self, digest: &Digest) -> PathBuf {
        self.path.join(BLOBS).join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// What the paths of blobs must not lead out of: the folder that the user named.
    fn root(&self) -> &Path {
        self.shared.as_deref().unwrap_or(&self.path)
    }

    /// Refuses to write where the way is through links that others made, or the layout brought.
    pub(super) fn check_links(&self) -> Result<(), Error> {
        for folder in [Some(&self.path), self.shared.as_ref()].into_iter().flatten() {
            links::check(folder)?;
        }
        let blobs = match self.shared {
            Some(_) => "",
            None => BLOBS,
        };
        let folders = Algorithm::ALL.map(|algorithm| Path::new(blobs).join(algorithm.as_str()));
        inside::refuse_links(
            self.root(),
            folders.iter().map(PathBuf::as_path).chain([blobs.as_ref()]),
        )
    }

    /// What tells the place of the blobs from all others.
    pub(super) fn pool(&self) -> String {
        let place = self.temporary();
        let resolved = fs_err::canonicalize(place).unwrap_or_else(|_| place.to_owned());
        format!("oci:{}", resolved.display())
    }

    /// Makes the folders that a layout must have.
    pub(super) fn make(&self) -> Result<(), Error> {
        self.check_links()?;
        files::make_folder(&self.path.join(BLOBS))?;
        if let Some(shared) = &self.shared {
            files::make_folder(shared)?;
        }
        Ok(())
    }

    /// Where blobs are written before they are whole: on the file system that they go to.
    pub(super) fn temporary(&self) -> &Path {
        self.shared.as_deref().unwrap_or(&self.path)
    }

    /// The index, which must be there.
    pub(super) fn index(&self) -> Result<Index, Error> {
        let path = self.index_path();
        let bytes = files::read(&path, None, files::MAX_INDEX)?;
        Index::parse(bytes).map_err(|source| InvalidFile::Json { path, source }.into())
    }

    /// Waits until nobody else edits the index. The lock ends with the value, or the process.
    pub(super) fn lock(&self) -> Result<Lock, Error> {
        self.check_links()?;
        let path = self.path.join(".lock");
        loop {
            let mut options = fs_err::OpenOptions::new();
            options.write(true).create(true).truncate(false).options_mut().no_link(true);
            let file = options.open(&path)?;
            loop {
                match file.file().lock() {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
            // Who had the lock before may have removed the layout, which was empty: then others
            // lock the file that has the name now.
            if files::is_at(&file, &path)? {
                return Ok(Lock { _file: file });
            }
        }
    }

    /// Puts another index into the place of the old one.
    pub(super) fn replace_index(&self, text: &[u8], _lock: &Lock) -> Result<(), Error> {
        let layout = self.path.join("oci-layout");
        if fs_err::read(&layout).ok().as_deref() != Some(LAYOUT) {
            temporary::replace(&layout, LAYOUT)?;
        }
        temporary::replace(&self.index_path(), text)
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.path.join("index.json")
    }
}

impl BlobStore for Folder {
    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        files::read(&self.blob_path(digest), Some(self.root()), files::MAX_MANIFEST)
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        files::size_of(&self.blob_path(digest))
    }

    fn kept_size(&self, digest: &Digest) -> Option<u64> {
        self.plain_size(digest)
    }

    fn locate(&self, digest: &Digest) -> PathBuf {
        self.blob_path(digest)
    }

    fn blob(&self, digest: &Digest) -> Result<Unverified, Error> {
        files::read_blob(&self.blob_path(digest), Some(self.root()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// How many open files of this process lead to this inode.
    fn opened(inode: u64) -> usize {
        let handles = fs_err::read_dir("/proc/self/fd").unwrap();
        let leads = |entry: io::Result<fs_err::DirEntry>| {
            fs_err::metadata(entry.ok()?.path()).ok().filter(|found| found.ino() == inode)
        };
        handles.filter_map(leads).count()
    }

    #[test]
    fn a_lock_that_was_removed_while_it_was_waited_for_is_none() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder { path: place.path().to_owned(), shared: None };
        let path = place.path().join(".lock");
        let first = folder.lock().unwrap();
        let inode = fs_err::metadata(&path).unwrap().ino();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| folder.lock().unwrap());
            while opened(inode) < 2 {
                std::thread::yield_now();
            }
            fs_err::remove_file(&path).unwrap();
            drop(first);
            let second = waiting.join().unwrap();
            assert!(files::is_at(&second._file, &path).unwrap());
        });
    }
}
