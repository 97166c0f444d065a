//! Ways through a folder that foreign names make, none of which leads out of it.
//!
//! A path is gone component by component, and no link is followed by the kernel: what a name was a
//! moment ago does not matter. Links that a layer has on the way to its files are followed here, as
//! they would be if the folder were `/`. The folders on the way to the last file stay open, so that
//! a file is one call to open however deep it lies.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::path::is_above;

/// How many folders are kept open, at most.
const OPEN: usize = 64;

/// How many links are followed on the way to one file, as in the kernel.
const LINKS: usize = 40;

/// A folder to look names up in.
pub(super) const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

/// A folder, and the way to the last name that was looked up in it.
pub(super) struct Trail {
    root: Level,
    /// The last way. What `levels` are, is its beginnings.
    way: Vec<u8>,
    levels: Vec<Level>,
}

struct Level {
    /// How much of `way` leads here.
    length: usize,
    folder: OwnedFd,
    times: Times,
}

/// What becomes of a folder's times when the way leaves it.
#[derive(Clone, Debug)]
pub(super) enum Times {
    /// What is made in it counts.
    Left,
    /// Those it had must be looked up before something is made in it.
    Kept,
    /// They are these.
    Given(Timestamps),
}

/// What to do about folders that are missing on the way.
pub(super) trait Missing {
    /// Makes a folder.
    fn make(&mut self, at: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<()>;
}

/// They stay missing.
pub(super) struct Fail;

impl Missing for Fail {
    fn make(&mut self, _: BorrowedFd<'_>, _: &[u8]) -> rustix::io::Result<()> {
        Err(Errno::NOENT)
    }
}

impl Trail {
    /// `path` may be reached by links.
    pub(super) fn new(path: &Path) -> rustix::io::Result<Self> {
        let folder =
            rustix::fs::openat(CWD, path, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty())?;
        let root = Level { length: 0, folder, times: Times::Left };
        Ok(Self { root, way: Vec::new(), levels: Vec::new() })
    }

    /// The folder itself.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.folder.as_fd()
    }

    /// What times the folder itself has at the end.
    pub(super) fn root_times(&mut self, times: Timestamps) {
        self.root.times = Times::Given(times);
    }

    /// The folder at a clean path, to look for a name in it.
    pub(super) fn look(&mut self, path: &[u8]) -> rustix::io::Result<BorrowedFd<'_>> {
        self.go(path, &mut Fail)?;
        Ok(self.top().folder.as_fd())
    }

    /// The folder at a clean path, to make a name in it: its times, if it had some, are the same
    /// when the way leaves it.
    pub(super) fn enter(
        &mut self,
        path: &[u8],
        missing: &mut dyn Missing,
    ) -> rustix::io::Result<BorrowedFd<'_>> {
        self.go(path, missing)?;
        let level = self.levels.last_mut().unwrap_or(&mut self.root);
        if matches!(level.times, Times::Kept) {
            level.times = Times::Given(times_of(level.folder.as_fd())?);
        }
        Ok(level.folder.as_fd())
    }

    /// Goes into a folder below the last that was entered.
    pub(super) fn push(
        &mut self,
        path: &[u8],
        folder: OwnedFd,
        times: Times,
    ) -> rustix::io::Result<()> {
        if self.levels.len() >= OPEN {
            // Those below are made in turn: nothing is made in this one until it is entered again.
            let level = self.levels.remove(self.levels.len().saturating_sub(1));
            level.leave()?;
        }
        self.way.clear();
        self.way.extend_from_slice(path);
        self.levels.push(Level { length: path.len(), folder, times });
        Ok(())
    }

    /// Forgets the way, since folders on it may be gone. Not for one that has times to give.
    pub(super) fn forget(&mut self) {
        self.levels.clear();
    }

    /// Leaves all folders.
    pub(super) fn leave(mut self) -> rustix::io::Result<()> {
        while let Some(level) = self.levels.pop() {
            level.leave()?;
        }
        self.root.leave()
    }

    fn top(&self) -> &Level {
        self.levels.last().unwrap_or(&self.root)
    }

    fn go(&mut self, path: &[u8], missing: &mut dyn Missing) -> rustix::io::Result<()> {
        while let Some(level) = self.levels.last() {
            let way = self.way.get(..level.length).unwrap_or_default();
            if is_above(way, path) {
                break;
            }
            if let Some(level) = self.levels.pop() {
                level.leave()?;
            }
        }
        loop {
            let gone = self.top().length;
            let rest = path.get(gone..).unwrap_or_default();
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            let Some(name) = rest.split(|byte| *byte == b'/').next().filter(|it| !it.is_empty())
            else {
                return Ok(());
            };
            let length = path.len().saturating_sub(rest.len()).saturating_add(name.len());
            let way = path.get(..length).unwrap_or_default();
            let at = self.top().folder.as_fd();
            let (folder, times) = match open(at, name, FOLDER) {
                Ok(folder) => (folder, Times::Kept),
                Err(Errno::NOENT) => {
                    missing.make(at, name)?;
                    (open(at, name, FOLDER)?, Times::Left)
                }
                Err(Errno::NOTDIR | Errno::LOOP) => (self.follow(way)?, Times::Kept),
                Err(errno) => return Err(errno),
            };
            self.push(way, folder, times)?;
        }
    }

    /// The folder at a path with links on it, each taken as if the root were `/`.
    fn follow(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let backwards = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec).collect()
        };
        let mut todo = backwards(path);
        let mut way: Vec<OwnedFd> = Vec::new();
        let mut links = 0_usize;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        while let Some(name) = todo.pop() {
            if matches!(&*name, b"" | b".") {
                continue;
            }
            if *name == *b".." {
                way.pop();
                continue;
            }
            let at = way.last().map_or_else(|| self.root(), AsFd::as_fd);
            match open(at, &name, flags) {
                Ok(folder) if way.len() < OPEN.saturating_mul(4) => way.push(folder),
                Ok(_) => return Err(Errno::NAMETOOLONG),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let link = match rustix::fs::readlinkat(at, &*name, Vec::new()) {
                        Err(Errno::INVAL) => return Err(Errno::NOTDIR),
                        link => link?.into_bytes(),
                    };
                    links = links.saturating_add(1);
                    if links > LINKS {
                        return Err(Errno::LOOP);
                    }
                    if link.starts_with(b"/") {
                        way.clear();
                    }
                    todo.extend(backwards(&link));
                }
                Err(errno) => return Err(errno),
            }
        }
        let at = way.last().map_or_else(|| self.root(), AsFd::as_fd);
        open(at, b".", FOLDER)
    }
}

impl Level {
    fn leave(self) -> rustix::io::Result<()> {
        match self.times {
            Times::Given(times) => rustix::fs::futimens(&self.folder, &times),
            Times::Left | Times::Kept => Ok(()),
        }
    }
}

/// The times of what is open.
pub(super) fn times_of(file: BorrowedFd<'_>) -> rustix::io::Result<Timestamps> {
    Ok(times(&rustix::fs::fstat(file)?))
}

/// Times as they can be given.
pub(super) fn times(stat: &Stat) -> Timestamps {
    let moment = |tv_sec, nanoseconds: u64| Timespec {
        tv_sec,
        tv_nsec: nanoseconds.try_into().unwrap_or_default(),
    };
    Timestamps {
        last_access: moment(stat.st_atime, stat.st_atime_nsec),
        last_modification: moment(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Opens one component.
pub(super) fn open(at: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    loop {
        match rustix::fs::openat(at, name, flags, Mode::empty()) {
            Err(Errno::INTR) => {}
            opened => return opened,
        }
    }
}
