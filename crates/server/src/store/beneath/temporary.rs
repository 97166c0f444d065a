//! A file that has no name of its own yet.

use std::io;

use fs_err::File;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::Folder;
use super::root::failed;

/// A file that has no name of its own yet. It is removed with this value.
#[derive(Debug)]
pub(crate) struct Temporary {
    pub(super) folder: Folder,
    pub(super) name: String,
    pub(super) file: Option<File>,
}

impl Temporary {
    /// The open file.
    pub(crate) fn file(&mut self) -> &mut File {
        self.file.as_mut().expect("there until it has its name")
    }

    /// Gives the file its name, in place of what has that.
    pub(crate) fn persist(mut self, name: &str) -> io::Result<()> {
        self.folder.rename(&self.name, &self.folder, name)?;
        self.file = None;
        Ok(())
    }

    /// Gives the file its name, if that is free. Whether it was.
    pub(crate) fn persist_new(mut self, name: &str) -> io::Result<bool> {
        let (from, folder) = (&self.name, &self.folder);
        let named = folder.pair(from, folder, name, |here, there| {
            rustix::fs::renameat_with(here, from, there, name, RenameFlags::NOREPLACE)
        });
        match named {
            Ok(()) => {
                self.file = None;
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            // A file system, or a sandbox, that does not know the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP) => {
                let is_free = self.folder.look(name)?.is_none();
                if is_free {
                    self.persist(name)?;
                }
                Ok(is_free)
            }
            Err(errno) => Err(failed("rename file", &self.folder.path_of(from), errno)),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.file.take().is_some()
            && let Err(error) = self.folder.remove(&self.name)
        {
            tracing::warn!("removing partial data: {error}");
        }
    }
}
