//! Blobs of which a part has come, kept for the next copy.
//!
//! A large blob is written to a file that has its digest in its name. What a copy leaves there when
//! it ends too early is the beginning of the blob, or nothing at all: nobody has verified it, so
//! the next copy hashes it with what follows.

use std::fmt;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err::File;
use skopeo_blob::{ByteStream, WriteBack, file};
use skopeo_image::Digest;
use skopeo_image::number::wide;
use skopeo_system::{At as _, Opening as _};

use crate::Error;
use crate::files::{self, Guard};

/// What is less than this is not worth keeping, in bytes.
pub(crate) const WORTH: u64 = 1 << 20;

/// A part that nobody has asked for in this time goes.
pub(crate) const LIVES: Duration = Duration::from_secs(7 * 24 * 3600);

/// How such files are called, before the digest.
pub(crate) const PREFIX: &str = ".skopeo-partial-";

/// The first bytes of a blob, which are at the destination already. They are only claimed.
pub struct Partial {
    /// How many.
    pub size: u64,
    /// These bytes.
    pub bytes: ByteStream,
}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partial").field("size", &self.size).finish_non_exhaustive()
    }
}

/// Where the part of a blob is kept in a folder.
pub(crate) fn path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(format!("{PREFIX}{}-{}", digest.algorithm(), digest.hex()))
}

/// The file that a blob grows in, ours alone. If it does not become the blob it stays, as far as it
/// is worth that.
#[derive(Debug)]
pub(crate) struct PartialFile {
    path: PathBuf,
    file: File,
    size: u64,
    back: WriteBack,
    becomes_blob: bool,
    _guard: Option<Guard>,
}

impl PartialFile {
    /// Opens the file, or makes it; `None` if another copy writes it.
    pub(crate) fn open(path: PathBuf, guard: Option<Guard>) -> Result<Option<Self>, Error> {
        // Neither through a link nor into a pipe.
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.options_mut().made_with(0o600).no_link(false);
        let file = options.open(&path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || file.file().try_lock().is_err() {
            return Ok(None);
        }
        // The name may have gone to another file before the lock was ours: this one may be a blob
        // by now. What has a second name is not ours to write into, and what another user has made
        // could be written to after it has become a blob.
        let is_ours = skopeo_system::owner(&metadata) == skopeo_system::user();
        if !is_ours || skopeo_system::names(&metadata) != 1 || !files::is_at(&file, &path)? {
            return Ok(None);
        }
        let size = file.metadata()?.len();
        let back = WriteBack::from(size);
        Ok(Some(Self { path, file, size, back, becomes_blob: false, _guard: guard }))
    }

    /// How much there is, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What there is.
    pub(crate) fn start(&self) -> Result<ByteStream, Error> {
        let file = Start { file: self.file.file().try_clone()?, at: 0 };
        Ok(file::read(file, self.size))
    }

    /// Forgets all but the first `size` bytes; what is written comes behind them.
    pub(crate) fn keep(&mut self, size: u64) -> Result<(), Error> {
        self.file.set_len(size)?;
        self.file.seek(SeekFrom::Start(size))?;
        self.size = size;
        self.back = WriteBack::from(size);
        Ok(())
    }

    /// Moves it to another folder of the same file system.
    pub(crate) fn take_to(&mut self, path: PathBuf) -> Result<(), Error> {
        fs_err::rename(&self.path, &path)?;
        self.path = path;
        Ok(())
    }

    /// Gives the file, which is the whole blob, its name.
    pub(crate) fn publish(mut self, place: &Path) -> Result<std::fs::File, Error> {
        skopeo_system::set_mode(self.file.file(), 0o644)?;
        fs_err::rename(&self.path, place)?;
        self.becomes_blob = true;
        Ok(self.file.file().try_clone()?)
    }
}

impl Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.size = self.size.saturating_add(wide(written));
        self.back.wrote(self.file.file(), written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.becomes_blob && self.size < WORTH {
            let _ = fs_err::remove_file(&self.path);
        }
    }
}

/// The beginning of a file that grows meanwhile.
struct Start {
    file: std::fs::File,
    at: u64,
}

impl io::Read for Start {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at = self.at.saturating_add(wide(read));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_alone_is_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), &Digest::sha256(b"x"));
        let open = || PartialFile::open(path.clone(), None);
        let mut file = open().unwrap().unwrap();
        assert!(open().unwrap().is_none(), "another copy has it");
        file.write_all(&vec![7; 1 << 20]).unwrap();
        drop(file);
        assert_eq!(open().unwrap().unwrap().size(), 1 << 20);

        let other = folder.path().join("other");
        fs_err::hard_link(&path, &other).unwrap();
        assert!(open().unwrap().is_none(), "it has another name");
        fs_err::remove_file(&other).unwrap();
        let mut file = open().unwrap().unwrap();
        file.keep(10).unwrap();
        drop(file);
        assert!(!path.exists(), "not worth keeping");

        fs_err::write(&other, "important").unwrap();
        fs_err::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(open().is_err());
        assert_eq!(fs_err::read(&other).unwrap(), b"important");
    }
}
