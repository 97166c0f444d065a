//! The handle of the folder that is served, and how a path below it is opened without a link.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A handle by which names are looked up, and nothing is read.
pub(super) const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

#[derive(Debug)]
pub(super) struct Root {
    handle: OwnedFd,
    /// For messages.
    pub(super) path: PathBuf,
    /// Whether `openat2` is not to be had.
    pub(super) walks: AtomicBool,
}

impl Root {
    /// Opens what is at `path`, which is resolved once, links included.
    pub(super) fn at(path: &Path, flags: OFlags) -> io::Result<Self> {
        let path = fs_err::canonicalize(path)?;
        let handle = rustix::fs::openat(CWD, &path, flags, Mode::empty())
            .map_err(|errno| failed("open file", &path, errno))?;
        Ok(Self { handle, path, walks: AtomicBool::new(false) })
    }

    /// Opens what is at a path below it, and follows no link on the way.
    pub(super) fn open(
        &self,
        below: &str,
        flags: OFlags,
        mode: Mode,
    ) -> rustix::io::Result<OwnedFd> {
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

/// Whether this says that there is nothing that could be reached without a link.
pub(super) fn leads_nowhere(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG)
}

pub(super) fn one_component(name: &str) -> rustix::io::Result<()> {
    let is_one = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    if is_one { Ok(()) } else { Err(Errno::INVAL) }
}

/// An error that names the file, in the form that `fs_err` has.
pub(super) fn failed(verb: &str, path: &Path, errno: Errno) -> io::Error {
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
