//! A folder, what lies beneath it, and nothing else.
//!
//! Others may write into a folder that is served: users of a shared disk, whoever packed what was
//! unpacked there. A symbolic link of theirs must lead this process nowhere, neither to read nor to
//! write nor to remove. So each file is opened, and each name made, moved or removed, by the
//! functions of this module alone. They begin at a handle of the folder and follow no link on the
//! way: `openat2` where the kernel has it (Linux 5.6), else one component after the other. A check
//! before the deed would not do, since a name may be another file by then.

use std::fs::Metadata;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fs_err::File;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// How the names of files begin that are not whole yet.
pub(crate) const TEMPORARY: &str = ".new-";

/// What nobody else may write and everybody read, as the original has blobs.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// Folders as `mkdir` makes them.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

/// How often a folder is made again that somebody else removes, since it was empty.
const ATTEMPTS: usize = 100;

/// A handle by which names are looked up, and nothing is read.
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// A folder at or beneath the one that is served. It need not be there.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: Arc<Root>,
    /// Components with `/` between them; empty for the root.
    below: Arc<str>,
}

#[derive(Debug)]
struct Root {
    handle: OwnedFd,
    /// For messages.
    path: PathBuf,
    /// Whether `openat2` is not to be had.
    walks: AtomicBool,
}

/// A file that has no name of its own yet. It is removed with this value.
#[derive(Debug)]
pub(crate) struct Temporary {
    folder: Folder,
    name: String,
    file: Option<File>,
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
        let path = fs_err::canonicalize(path)?;
        let handle = rustix::fs::openat(CWD, &path, flags, Mode::empty())
            .map_err(|errno| failed("open file", &path, errno))?;
        let root = Root { handle, path, walks: AtomicBool::new(false) };
        Ok(Self { root: Arc::new(root), below: "".into() })
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

impl Root {
    fn open(&self, below: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let below = if below.is_empty() { "." } else { below };
        if below != "." {
            below.split('/').try_for_each(one_component)?;
        }
        if self.walks.load(Ordering::Relaxed) {
            return self.walk(below, flags, mode);
        }
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.handle, below, flags, mode, resolve) {
                Err(Errno::INTR) => {}
                // An old kernel, or a sandbox that does not know the call.
                Err(Errno::NOSYS) => {
                    self.walks.store(true, Ordering::Relaxed);
                    return self.walk(below, flags, mode);
                }
                Err(Errno::PERM | Errno::AGAIN) => return self.walk(below, flags, mode),
                opened => return opened,
            }
        }
    }

    /// The same without `openat2`: a single component with `O_NOFOLLOW` cannot lead elsewhere.
    fn walk(&self, below: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let (above, name) = below.rsplit_once('/').unwrap_or(("", below));
        let mut above_name: Option<OwnedFd> = None;
        for component in above.split('/').filter(|component| !component.is_empty()) {
            let at = above_name.as_ref().unwrap_or(&self.handle);
            let flags = LOOK | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            above_name = Some(open_component(at, component, flags, Mode::empty())?);
        }
        let at = above_name.as_ref().unwrap_or(&self.handle);
        open_component(at, name, flags | OFlags::NOFOLLOW, mode)
    }
}

fn open_component(
    at: &OwnedFd,
    name: &str,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    loop {
        match rustix::fs::openat(at, name, flags, mode) {
            Err(Errno::INTR) => {}
            opened => return opened,
        }
    }
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
}

impl Temporary {
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

/// Whether this says that there is nothing that could be reached without a link.
fn leads_nowhere(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG)
}

fn one_component(name: &str) -> rustix::io::Result<()> {
    let is_one = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    if is_one { Ok(()) } else { Err(Errno::INVAL) }
}

/// An error that names the file, in the form that `fs_err` has.
fn failed(verb: &str, path: &Path, errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    let path = path.display();
    let text = match errno {
        Errno::LOOP => format!(
            "failed to {verb} `{path}`: there is a symbolic link; the server follows no links in the folder"
        ),
        _ => format!("failed to {verb} `{path}`: {error}"),
    };
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder and what lies beside it, opened in both ways.
    fn opened(test: impl Fn(&Folder, &Path, &Path)) {
        for walks in [false, true] {
            let place = tempfile::tempdir().unwrap();
            let (inside, outside) = (place.path().join("in"), place.path().join("out"));
            fs_err::create_dir_all(inside.join("a/b")).unwrap();
            fs_err::create_dir_all(outside.join("b")).unwrap();
            fs_err::write(outside.join("secret"), "secret").unwrap();
            let folder = Folder::root(&inside).unwrap();
            folder.root.walks.store(walks, Ordering::Relaxed);
            test(&folder, &inside, &outside);
            assert_eq!(fs_err::read(outside.join("secret")).unwrap(), b"secret");
            assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 2);
            assert_eq!(fs_err::read_dir(outside.join("b")).unwrap().count(), 0);
        }
    }

    #[test]
    fn files_are_made_read_moved_and_removed() {
        opened(|folder, inside, _| {
            let deep = folder.join("x/y").join("z");
            assert!(deep.look("f").unwrap().is_none() && deep.entries().unwrap().is_empty());
            deep.make().unwrap();
            deep.make().unwrap();
            deep.create("f").unwrap().write_all(b"one").unwrap();
            assert_eq!(deep.create("f").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            deep.rename("f", &folder.join("a"), "g").unwrap();
            folder.join("a").link("g", &deep, "h").unwrap();
            let mut text = String::new();
            deep.read("h").unwrap().unwrap().0.read_to_string(&mut text).unwrap();
            assert_eq!(text, "one");
            let mut temporary = deep.temporary().unwrap();
            temporary.file().write_all(b"two").unwrap();
            temporary.persist("h").unwrap();
            drop(deep.temporary().unwrap());
            let names = deep.entries().unwrap();
            assert_eq!(names.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["h"]);
            assert_eq!(fs_err::read(inside.join("a/g")).unwrap(), b"one");
            assert!(deep.remove("h").unwrap() && !deep.remove("h").unwrap());
            assert!(folder.join("x/y").remove_folder("z").unwrap());
            assert!(folder.read("a").unwrap().is_none());
            assert_eq!(folder.look("a").unwrap().map(|it| it.is_dir()), Some(true));
        });
    }

    #[test]
    fn no_link_is_followed_anywhere() {
        opened(|folder, inside, outside| {
            symlink(outside, inside.join("link")).unwrap();
            symlink(outside.join("secret"), inside.join("a/file")).unwrap();
            symlink(outside.join("new"), inside.join("a/dangling")).unwrap();
            symlink("../../out", inside.join("a/up")).unwrap();
            for below in ["link", "a/up", "a/../../out", "..", "/", "link/b"] {
                let through = folder.join(below);
                assert!(through.create("new").is_err(), "{below}");
                assert!(through.create_or_open("secret").is_err(), "{below}");
                assert!(through.temporary().is_err(), "{below}");
                assert!(!matches!(through.read("secret"), Ok(Some(_))), "{below}");
                assert!(!matches!(through.write("secret"), Ok(Some(_))), "{below}");
                assert!(!matches!(through.look("secret"), Ok(Some(_))), "{below}");
                assert!(through.entries().map_or(true, |found| found.is_empty()), "{below}");
                assert!(!through.remove("secret").unwrap_or(false), "{below}");
                assert!(!through.remove_folder("b").unwrap_or(false), "{below}");
                assert!(through.join("c").make().is_err(), "{below}");
                assert!(through.rename("secret", folder, "got").is_err(), "{below}");
                assert!(through.link("secret", folder, "got").is_err(), "{below}");
            }
            let a = folder.join("a");
            for name in ["file", "dangling", "../../out/secret", ".", ".."] {
                assert!(!matches!(a.read(name), Ok(Some(_))), "{name}");
                assert!(!matches!(a.write(name), Ok(Some(_))), "{name}");
                assert!(a.create(name).is_err() && a.create_or_open(name).is_err(), "{name}");
            }
            assert_eq!(a.look("file").unwrap().map(|it| it.is_symlink()), Some(true));
            // The link itself goes, not what it leads to.
            assert!(a.remove("file").unwrap());
            assert!(folder.read("got").unwrap().is_none());
        });
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        opened(|folder, inside, _| {
            let pipe = inside.join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
            let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket")).unwrap();
            for name in ["pipe", "socket", "a"] {
                assert!(folder.read(name).unwrap().is_none(), "{name}");
                assert!(!matches!(folder.write(name), Ok(Some(_))), "{name}");
                assert!(folder.create_or_open(name).is_err(), "{name}");
            }
        });
    }
}
