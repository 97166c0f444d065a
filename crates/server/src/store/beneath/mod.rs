//! A folder, what lies beneath it, and nothing else.
//!
//! Others may write into a folder that is served: users of a shared disk, whoever packed what was
//! unpacked there. A symbolic link of theirs must lead this process nowhere, neither to read nor to
//! write nor to remove. So each file is opened, and each name made, moved or removed, by the
//! functions of this module alone. They begin at a handle of the folder and follow no link on the
//! way: `openat2` where the kernel has it (Linux 5.6), else one component after the other. A check
//! before the deed would not do, since a name may be another file by then.

mod root;
mod temporary;
#[cfg(test)]
mod tests;

use std::fs::Metadata;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err::File;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use root::{LOOK, Root, failed, leads_nowhere, one_component};
pub(crate) use temporary::Temporary;

/// How the names of files begin that are not whole yet.
pub(crate) const TEMPORARY: &str = ".new-";

/// What nobody else may write and everybody read, as the original has blobs.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// Folders as `mkdir` makes them.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

/// How often a folder is made again that somebody else removes, since it was empty.
const ATTEMPTS: usize = 100;

/// A folder at or beneath the one that is served. It need not be there.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: Arc<Root>,
    /// Components with `/` between them; empty for the root.
    below: Arc<str>,
}

impl Folder {
    /// The folder at `path`, which is resolved once, links included.
    pub(crate) fn root(path: &Path) -> io::Result<Self> {
        Self::resolved(path, LOOK | OFlags::DIRECTORY)
    }

    /// The same for what need be no folder: beneath a file there is nothing.
    pub(crate) fn anything(path: &Path) -> io::Result<Self> {
        Self::resolved(path, LOOK)
    }

    fn resolved(path: &Path, flags: OFlags) -> io::Result<Self> {
        Ok(Self { root: Arc::new(Root::at(path, flags)?), below: "".into() })
    }

    /// The folder at a relative path from here.
    pub(crate) fn join(&self, below: &str) -> Self {
        Self { root: self.root.clone(), below: self.relative(below).into() }
    }

    /// Whether it is the folder that is served itself.
    pub(crate) fn is_root(&self) -> bool {
        self.below.is_empty()
    }

    /// Its path below the folder that is served.
    pub(crate) fn below(&self) -> &str {
        &self.below
    }

    /// Where it lies, for messages only.
    pub(crate) fn path(&self) -> PathBuf {
        self.path_of("")
    }

    /// What is at `name`; none if nothing is. A link is a link.
    pub(crate) fn look(&self, name: &str) -> io::Result<Option<Metadata>> {
        match self.open(name, LOOK | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(handle) => Ok(Some(std::fs::File::from(handle).metadata()?)),
            Err(errno) if leads_nowhere(errno) => Ok(None),
            Err(errno) => Err(failed("query raw metadata", &self.path_of(name), errno)),
        }
    }

    /// Opens a file to read. None if it is missing, no plain file, or only a link leads to it.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<(File, Metadata)>> {
        self.plain_file(name, OFlags::RDONLY)
    }

    /// Opens a file to read and write, if it is there.
    pub(crate) fn write(&self, name: &str) -> io::Result<Option<(File, Metadata)>> {
        self.plain_file(name, OFlags::RDWR)
    }

    fn plain_file(&self, name: &str, access: OFlags) -> io::Result<Option<(File, Metadata)>> {
        // Nobody at the other end of a pipe is waited for.
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match self.open(name, flags, Mode::empty()) {
            Ok(handle) => {
                let file = std::fs::File::from(handle);
                let metadata = file.metadata()?;
                let file = File::from_parts(file, self.path_of(name));
                Ok(metadata.is_file().then_some((file, metadata)))
            }
            // A folder or a socket.
            Err(Errno::ISDIR | Errno::NXIO) => Ok(None),
            Err(errno) if leads_nowhere(errno) => Ok(None),
            Err(errno) => Err(failed("open file", &self.path_of(name), errno)),
        }
    }

    /// Makes a file that must not be there yet.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        self.made(name, OFlags::EXCL)
    }

    /// Opens a file to write, which is made if it is missing.
    pub(crate) fn create_or_open(&self, name: &str) -> io::Result<File> {
        self.made(name, OFlags::NONBLOCK)
    }

    fn made(&self, name: &str, more: OFlags) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        let path = self.path_of(name);
        let handle = self
            .open(name, flags, FILE_MODE)
            .map_err(|errno| failed("create file", &path, errno))?;
        let file = std::fs::File::from(handle);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "failed to create file `{}`: the existing file is not a regular file",
                    path.display()
                ),
            ));
        }
        Ok(File::from_parts(file, path))
    }

    /// Makes the folder, and those above it, as far as they are missing.
    pub(crate) fn make(&self) -> io::Result<()> {
        let Err(errno) = self.handle() else { return Ok(()) };
        if errno != Errno::NOENT {
            return Err(failed("create directory", &self.path(), errno));
        }
        let mut attempts = 0_usize;
        let mut ends = self.ends();
        while let Some(end) = ends.next() {
            let folder = Self {
                root: self.root.clone(),
                below: self.below.get(..end).unwrap_or_default().into(),
            };
            match folder.make_one() {
                Ok(()) => {}
                // What was above it has been removed since.
                Err(Errno::NOENT) if attempts < ATTEMPTS => {
                    attempts = attempts.saturating_add(1);
                    ends = self.ends();
                }
                Err(errno) => return Err(failed("create directory", &folder.path(), errno)),
            }
        }
        Ok(())
    }

    /// Where the paths of the folders end that lead here, this one included.
    fn ends(&self) -> impl Iterator<Item = usize> + use<> {
        let slashes = self.below.match_indices('/').map(|(at, _)| at);
        slashes.chain([self.below.len()]).collect::<Vec<_>>().into_iter()
    }

    fn make_one(&self) -> rustix::io::Result<()> {
        let (above, name) = self.below.rsplit_once('/').unwrap_or(("", &self.below));
        let above = self.root.open(above, LOOK | OFlags::DIRECTORY, Mode::empty())?;
        match rustix::fs::mkdirat(above, name, FOLDER_MODE) {
            Err(Errno::EXIST) => Ok(()),
            made => made,
        }
    }

    /// Gives what is at `name` another name, in place of what has that.
    pub(crate) fn rename(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        self.pair(name, to, new, |from, to| rustix::fs::renameat(from, name, to, new))
            .map_err(|errno| failed("rename file", &self.path_of(name), errno))
    }

    /// Gives the file at `name` a second name, which must be free.
    pub(crate) fn link(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        self.pair(name, to, new, |from, to| {
            rustix::fs::linkat(from, name, to, new, AtFlags::empty())
        })
        .map_err(|errno| failed("link file", &self.path_of(name), errno))
    }

    fn pair(
        &self,
        name: &str,
        to: &Self,
        new: &str,
        work: impl FnOnce(OwnedFd, OwnedFd) -> rustix::io::Result<()>,
    ) -> rustix::io::Result<()> {
        one_component(name)?;
        one_component(new)?;
        work(self.handle()?, to.handle()?)
    }

    /// Removes the file at `name`. Whether there was one.
    pub(crate) fn remove(&self, name: &str) -> io::Result<bool> {
        self.unlink(name, AtFlags::empty())
            .map_err(|errno| failed("remove file", &self.path_of(name), errno))
    }

    /// Removes the empty folder at `name`. Whether there was one.
    pub(crate) fn remove_folder(&self, name: &str) -> io::Result<bool> {
        self.unlink(name, AtFlags::REMOVEDIR)
            .map_err(|errno| failed("remove directory", &self.path_of(name), errno))
    }

    fn unlink(&self, name: &str, flags: AtFlags) -> rustix::io::Result<bool> {
        one_component(name)?;
        let removed = self.handle().and_then(|handle| rustix::fs::unlinkat(handle, name, flags));
        match removed {
            Ok(()) => Ok(true),
            Err(errno) if leads_nowhere(errno) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Removes the folder, and those above it, as far as they are empty. Whether this one is gone.
    pub(crate) fn remove_empty(&self) -> bool {
        let mut below = &*self.below;
        while !below.is_empty() {
            let (above, name) = below.rsplit_once('/').unwrap_or(("", below));
            let folder = Self { root: self.root.clone(), below: above.into() };
            if folder.remove_folder(name).is_err() {
                break;
            }
            below = above;
        }
        below.len() < self.below.len()
    }

    /// Names and types of what is in the folder, links as links; nothing if it is not there. Names
    /// that are not UTF-8 are none of ours.
    pub(crate) fn entries(&self) -> io::Result<Vec<(String, FileType)>> {
        let mut found = Vec::new();
        self.each(|name, kind| {
            found.push((name.to_owned(), kind));
            Ok(())
        })?;
        Ok(found)
    }

    /// The same, one after the other: there may be many.
    pub(crate) fn each(
        &self,
        mut visit: impl FnMut(&str, FileType) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(listing) = self.listing()? else { return Ok(()) };
        for entry in listing {
            let entry = entry.map_err(|errno| failed("read directory", &self.path(), errno))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                let Some(metadata) = self.look(name)? else { continue };
                kind = FileType::from_raw_mode(metadata.mode());
            }
            visit(name, kind)?;
        }
        Ok(())
    }

    /// Whether nothing is in the folder, or there is none.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        let Some(listing) = self.listing()? else { return Ok(true) };
        for entry in listing {
            let entry = entry.map_err(|errno| failed("read directory", &self.path(), errno))?;
            if ![&b"."[..], b".."].contains(&entry.file_name().to_bytes()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn listing(&self) -> io::Result<Option<Dir>> {
        let failed = |errno| failed("read directory", &self.path(), errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match self.open("", flags, Mode::empty()) {
            Ok(handle) => Dir::new(handle).map(Some).map_err(failed),
            Err(errno) if leads_nowhere(errno) => Ok(None),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// An empty file in this folder that nobody looks for.
    pub(crate) fn temporary(&self) -> io::Result<Temporary> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::from)?;
        let name = format!("{TEMPORARY}{:016x}", u64::from_be_bytes(random));
        let file = Some(self.create(&name)?);
        Ok(Temporary { folder: self.clone(), name, file })
    }

    /// A handle of the folder itself.
    fn handle(&self) -> rustix::io::Result<OwnedFd> {
        self.open("", LOOK | OFlags::DIRECTORY, Mode::empty())
    }

    fn open(&self, name: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        self.root.open(&self.relative(name), flags, mode)
    }

    fn relative(&self, name: &str) -> String {
        match (&*self.below, name) {
            ("", name) => name.to_owned(),
            (below, "") => below.to_owned(),
            (below, name) => format!("{below}/{name}"),
        }
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.root.path.join(self.relative(name))
    }
}
