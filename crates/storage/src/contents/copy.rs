//! Copies the files of a layer for one that lies on it: vfs has no other way.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat, XattrFlags};
use rustix::io::Errno;
use skopeo_image::number::narrow;

use super::Result;
use super::dress::{failed, handle};
use super::path::split;
use super::remove::names;
use super::trail::{Trail, open, times};

/// How long an attribute, and the list of their names, can be.
const LONGEST: usize = 1 << 16;

/// How many bytes are copied in one call.
const PIECE: usize = 1 << 30;

/// Copies what is in `from` into `to`, a folder that is there: contents (shared where the file
/// system can do that), names of one file, owners, modes, times, devices, and those attributes that
/// the original copies too. `to` itself becomes like `from`. Devices are left out where the process
/// is root in a user namespace only (`rootless`).
///
/// # Errors
///
/// If a file cannot be read, made, or given what it should have. What was made until then stays.
pub fn copy_tree(from: &Path, to: &Path, rootless: bool) -> Result<()> {
    let open = |path: &Path| {
        let name = path.as_os_str().as_encoded_bytes();
        Trail::new(path).map_err(failed("opening", name))
    };
    let mut copy = Copy {
        from: open(from)?,
        to: open(to)?,
        links: open(to)?,
        rootless,
        clones: true,
        linked: HashMap::new(),
    };
    let mut todo = vec![Vec::new()];
    while let Some(folder) = todo.pop() {
        copy.folder(&folder, &mut todo)?;
    }
    Ok(())
}

struct Copy {
    from: Trail,
    to: Trail,
    links: Trail,
    rootless: bool,
    /// Whether the file system may be able to share contents.
    clones: bool,
    /// The copies of files with several names, until all of their names were met.
    linked: HashMap<(u64, u64), (Vec<u8>, usize)>,
}

impl Copy {
    /// Copies what is in a folder; folders in it are made, and are still to be filled.
    fn folder(&mut self, path: &[u8], todo: &mut Vec<Vec<u8>>) -> Result<()> {
        let wrong = |deed| failed(deed, path);
        let from = self.from.look(path).map_err(wrong("opening"))?;
        let to = self.to.look(path).map_err(wrong("opening"))?;
        for name in names(from).map_err(wrong("reading folder"))? {
            let name = name.to_bytes();
            let below = if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() };
            let wrong = |deed| failed(deed, &below);
            let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW);
            let stat = stat.map_err(wrong("reading"))?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700))
                        .map_err(wrong("making folder"))?;
                    todo.push(below);
                }
                FileType::RegularFile => {
                    if stat.st_nlink > 1
                        && let Some((first, left)) =
                            self.linked.get_mut(&(stat.st_dev, stat.st_ino))
                    {
                        let (folder, old) = split(first);
                        let at = self.links.look(folder).map_err(wrong("finding a name of"))?;
                        rustix::fs::linkat(at, old, to, name, AtFlags::empty())
                            .map_err(wrong("making"))?;
                        *left = left.saturating_sub(1);
                        if *left == 0 {
                            self.linked.remove(&(stat.st_dev, stat.st_ino));
                        }
                        continue;
                    }
                    regular(from, to, name, &stat, &mut self.clones, self.rootless)
                        .map_err(|(deed, errno)| wrong(deed)(errno))?;
                    if stat.st_nlink > 1 {
                        let left =
                            usize::try_from(stat.st_nlink).unwrap_or_default().saturating_sub(1);
                        self.linked.insert((stat.st_dev, stat.st_ino), (below, left));
                    }
                }
                FileType::Symlink => {
                    symlink(from, to, name, &stat).map_err(wrong("making"))?;
                }
                FileType::BlockDevice | FileType::CharacterDevice if self.rootless => {}
                kind => {
                    node(to, name, kind, &stat).map_err(wrong("making"))?;
                }
            }
        }
        // What is in its folders does not change its own times any more.
        let stat = rustix::fs::fstat(from).map_err(wrong("reading"))?;
        attributes(from, to, self.rootless)
            .and_then(|()| rustix::fs::fchown(to, Some(user(&stat)), Some(group(&stat))))
            .and_then(|()| rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode)))
            .and_then(|()| rustix::fs::futimens(to, &times(&stat)))
            .map_err(wrong("finishing"))
    }
}

/// Copies a regular file; what failed is said by a deed.
fn regular(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &[u8],
    stat: &Stat,
    clones: &mut bool,
    rootless: bool,
) -> Result<(), (&'static str, Errno)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let old = open(from, name, flags).map_err(|errno| ("opening", errno))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let new = rustix::fs::openat(to, name, flags, Mode::from_raw_mode(0o600))
        .map_err(|errno| ("making", errno))?;
    if stat.st_size > 0 {
        contents(&old, &new, stat, clones).map_err(|errno| ("copying", errno))?;
    }
    // A new owner takes away capabilities, and that a program runs as its owner.
    rustix::fs::fchown(&new, Some(user(stat)), Some(group(stat)))
        .and_then(|()| attributes(old.as_fd(), new.as_fd(), rootless))
        .and_then(|()| rustix::fs::fchmod(&new, Mode::from_raw_mode(stat.st_mode)))
        .and_then(|()| rustix::fs::futimens(&new, &times(stat)))
        .map_err(|errno| ("finishing", errno))
}

fn contents(
    from: &OwnedFd,
    to: &OwnedFd,
    stat: &Stat,
    clones: &mut bool,
) -> rustix::io::Result<()> {
    if *clones {
        match rustix::fs::ioctl_ficlone(to, from) {
            Ok(()) => return Ok(()),
            Err(_) => *clones = false,
        }
    }
    let length = u64::try_from(stat.st_size).unwrap_or_default();
    let held = u64::try_from(stat.st_blocks).unwrap_or_default().saturating_mul(512);
    if held >= length {
        return range(from, to, 0, length);
    }
    // There are holes.
    let mut at = 0;
    while at < length {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            start => start?,
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start))?;
        range(from, to, start, end)?;
        at = end;
    }
    rustix::fs::ftruncate(to, length)
}

fn range(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> rustix::io::Result<()> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let left = narrow(end.saturating_sub(read)).min(PIECE);
        let copied =
            rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), left);
        match copied {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                return through(from, to, read, end);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The same through memory.
fn through(from: &OwnedFd, to: &OwnedFd, mut at: u64, end: u64) -> rustix::io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    while at < end {
        let most = narrow(end.saturating_sub(at)).min(buffer.len());
        let read = rustix::io::pread(from, buffer.get_mut(..most).unwrap_or_default(), at)?;
        let mut piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        while !piece.is_empty() {
            let written = rustix::io::pwrite(to, piece, at)?;
            piece = piece.get(written..).unwrap_or_default();
            at = at.saturating_add(u64::try_from(written).unwrap_or_default());
        }
    }
    Ok(())
}

fn symlink(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &[u8],
    stat: &Stat,
) -> rustix::io::Result<()> {
    let link = rustix::fs::readlinkat(from, name, Vec::new())?;
    rustix::fs::symlinkat(&*link, to, name)?;
    let (user, group) = (Some(user(stat)), Some(group(stat)));
    rustix::fs::chownat(to, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

fn node(to: BorrowedFd<'_>, name: &[u8], kind: FileType, stat: &Stat) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = open(to, name, flags)?;
    let (user, group) = (Some(user(stat)), Some(group(stat)));
    rustix::fs::chownat(&file, "", user, group, AtFlags::EMPTY_PATH)?;
    rustix::fs::chmod(handle(&file), mode)?;
    rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

/// Copies the attributes that belong to a layer.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, rootless: bool) -> rustix::io::Result<()> {
    // Nearly no file has any, and those that have them have a few names.
    let mut list = vec![0; 256];
    let length = loop {
        match rustix::fs::flistxattr(from, &mut *list) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
            Err(Errno::RANGE) if list.len() < LONGEST => list.resize(LONGEST, 0),
            length => break length?,
        }
    };
    let mut value = vec![0; LONGEST];
    for name in list.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        let is_copied = name.starts_with(b"user.")
            || name == b"security.capability"
            || (name == b"trusted.overlay.opaque" && !rootless);
        if is_copied {
            let length = rustix::fs::fgetxattr(from, name, &mut *value)?;
            let value = value.get(..length).unwrap_or_default();
            rustix::fs::fsetxattr(to, name, value, XattrFlags::empty())?;
        }
    }
    Ok(())
}

fn user(stat: &Stat) -> rustix::fs::Uid {
    rustix::fs::Uid::from_raw(stat.st_uid)
}

fn group(stat: &Stat) -> rustix::fs::Gid {
    rustix::fs::Gid::from_raw(stat.st_gid)
}
