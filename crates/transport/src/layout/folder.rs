//! A layout in a folder, shared blobs included.

use std::io;
use std::path::{Path, PathBuf};

use fs_err::File;
use rustix::fs::{FlockOperation, flock};
use skopeo_blob::Unverified;
use skopeo_image::Digest;

use super::LayoutName;
use super::index::Index;
use super::source::Place;
use crate::options::LayoutOptions;
use crate::{Error, files};

/// The bytes of the `oci-layout` file.
pub(super) const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

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
        self.blobs().join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// Where a blob would be if it were not in the shared folder.
    pub(super) fn own_blob(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// The folder that blobs must not lead out of.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.shared.clone().unwrap_or_else(|| self.path.join("blobs"))
    }

    /// What tells the place of the blobs from all others.
    pub(super) fn pool(&self) -> String {
        let place = self.temporary();
        let resolved = fs_err::canonicalize(place).unwrap_or_else(|_| place.to_owned());
        format!("oci:{}", resolved.display())
    }

    /// Makes the folders that a layout must have.
    pub(super) fn make(&self) -> Result<(), Error> {
        files::make_folder(&self.path.join("blobs"))?;
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
        Index::parse(&bytes).map_err(|source| Error::Json { path, source })
    }

    /// Waits until nobody else edits the index. The lock ends with the value, or the process.
    pub(super) fn lock(&self) -> Result<Lock, Error> {
        let mut options = fs_err::OpenOptions::new();
        let file =
            options.write(true).create(true).truncate(false).open(self.path.join(".lock"))?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    /// Puts another index into the place of the old one.
    pub(super) fn replace_index(&self, text: &[u8], _lock: &Lock) -> Result<(), Error> {
        let layout = self.path.join("oci-layout");
        if fs_err::read(&layout).ok().as_deref() != Some(LAYOUT) {
            files::replace(&layout, LAYOUT)?;
        }
        files::replace(&self.index_path(), text)
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.path.join("index.json")
    }
}

impl Place for Folder {
    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        files::read(&self.blob_path(digest), Some(&self.blobs()), files::MAX_MANIFEST)
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        files::size_of(&self.blob_path(digest))
    }

    fn locate(&self, digest: &Digest) -> PathBuf {
        self.blob_path(digest)
    }

    fn blob(&self, digest: &Digest) -> Result<Unverified, Error> {
        files::read_blob(&self.blob_path(digest), Some(&self.blobs()))
    }
}
