//! Files of a layout: written whole, and locked.

use std::fs::Metadata;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;

use fs_err::File;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Layout;
use crate::Durability;
use crate::store::beneath::{Folder, Temporary};

/// How often something is tried again that another server has undone meanwhile.
pub(super) const ATTEMPTS: usize = 100;

impl Layout {
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write_whole(&self.folder, name, bytes)
    }

    /// Writes a file that is whole before it is visible.
    pub(in crate::store) fn write_whole(
        &self,
        folder: &Folder,
        name: &str,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.write_temporary(folder, bytes)?.persist(name)
    }

    pub(super) fn write_temporary(&self, folder: &Folder, bytes: &[u8]) -> io::Result<Temporary> {
        let mut temporary = folder.temporary()?;
        temporary.file().write_all(bytes)?;
        self.finish(temporary)
    }

    /// Has a file on the disk that is whole by now.
    pub(super) fn finish(&self, mut temporary: Temporary) -> io::Result<Temporary> {
        if self.durability == Durability::PowerLoss {
            temporary.file().sync_data()?;
        }
        Ok(temporary)
    }
}

/// Does what needs a folder that somebody else may remove in between, since it was empty.
pub(crate) fn again<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..ATTEMPTS {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    work()
}

/// The file with an exclusive lock on it; none if somebody else has that.
pub(crate) fn locked(file: File) -> io::Result<Option<File>> {
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => {
                let error = io::Error::from(errno);
                let text = format!("locking {}: {error}", file.path().display());
                return Err(io::Error::new(error.kind(), text));
            }
        }
    }
}

/// Whether two of these are the same file.
pub(crate) fn same_file(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}
