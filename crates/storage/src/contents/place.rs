//! Makes files of entries, each type in its way, below a root and never beside it.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags, fchmod, fchown, futimens};
use rustix::io::Errno;

use super::dress::{Dress, failed, file_times, folder_times, overridden};
use super::owner::Owner;
use super::path::{self, clean, split};
use super::reader::Entry;
use super::remove::{remove, sift};
use super::trail::{FOLDER, Missing, Times, Trail, open};
use super::{Apply, Error, Result, Whiteouts, error::shown};

/// Makes files below a root.
pub(super) struct LayerFolder<'a> {
    trail: Trail,
    /// The way to what was linked last: it is mostly not where the new names are.
    links: Trail,
    dress: Dress<'a>,
    parents: Parents,
    /// Owner and mode that the layer says the root has.
    root: Option<(u32, u32, u32)>,
}

/// A file to be filled.
pub(super) struct Filling {
    file: std::fs::File,
    owner: Owner,
}

/// Folders on the way that no entry was there for.
struct Parents {
    owner: Option<Owner>,
    /// Their mode, whatever the process would give.
    mode: Option<Mode>,
}

impl Missing for Parents {
    fn make(&mut self, at: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<()> {
        rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o777))?;
        if self.mode.is_none() && self.owner.is_none() {
            return Ok(());
        }
        let folder = open(at, name, FOLDER)?;
        if let Some(owner) = self.owner {
            fchown(&folder, Some(owner.user()), Some(owner.group()))?;
        }
        self.mode.map_or(Ok(()), |mode| fchmod(&folder, mode))
    }
}

impl<'a> LayerFolder<'a> {
    pub(super) fn new(root: &Path, how: &'a Apply<'a>) -> Result<Self> {
        let trail = || {
            Trail::new(root).map_err(|errno| {
                let text = format!("failed to open directory `{}`: {errno}", root.display());
                Error::Io(io::Error::new(io::Error::from(errno).kind(), text))
            })
        };
        let mode = (how.whiteouts == Whiteouts::Remove).then(|| Mode::from_raw_mode(0o755));
        let parents = Parents { owner: Owner::root(how), mode };
        let (trail, links) = (trail()?, trail()?);
        Ok(Self { trail, links, dress: Dress { how }, parents, root: None })
    }

    /// Gives folders their times, and the root what it needs.
    pub(super) fn finish(self) -> Result<()> {
        if self.dress.how.force_mask.is_some() {
            let stat = self.root.unwrap_or((0, 0, 0o755));
            overridden(self.trail.root(), stat, "dir").map_err(failed("finishing", b"/"))?;
        }
        self.trail.leave().map_err(failed("finishing", b"/"))
    }

    /// Makes a folder, or takes the one that is there.
    pub(super) fn folder(&mut self, entry: &Entry, path: &[u8]) -> Result<()> {
        let owner = Owner::of(entry, self.dress.how)?;
        let (parent, name) = split(path);
        let wrong = |deed| failed(deed, &entry.name);
        let at = self.enter(parent, &entry.name)?;
        let make = || rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o700));
        let (made, is_replaced) = match make() {
            Err(Errno::EXIST) => match open(at, name, FOLDER) {
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    remove(at, name).map_err(wrong("replacing"))?;
                    (make(), true)
                }
                there => (there.map(drop), false),
            },
            made => (made, false),
        };
        made.map_err(wrong("making folder"))?;
        let folder = open(at, name, FOLDER).map_err(wrong("opening"))?;
        if is_replaced {
            self.links.forget();
        }
        self.dress.open(entry, folder.as_fd(), owner)?;
        let times = Times::Given(folder_times(entry));
        self.trail.push(path, folder, times).map_err(wrong("finishing a folder before"))
    }

    /// The root as an entry has it.
    pub(super) fn root(&mut self, entry: &Entry) -> Result<()> {
        let owner = Owner::of(entry, self.dress.how)?;
        // The folders below it are finished first.
        let root = self.trail.look(b"").map_err(failed("opening", &entry.name))?;
        self.dress.open(entry, root, owner)?;
        self.trail.root_times(folder_times(entry));
        Ok(())
    }

    /// What an entry says of the root where it is not taken.
    pub(super) fn note_root(&mut self, entry: &Entry) -> Result<()> {
        let owner = Owner::of(entry, self.dress.how)?;
        self.root = Some((owner.uid, owner.gid, entry.mode));
        Ok(())
    }

    /// Makes an empty file; it is to be filled and then finished.
    pub(super) fn file(&mut self, entry: &Entry, path: &[u8]) -> Result<Filling> {
        let owner = Owner::of(entry, self.dress.how)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.make(entry, path, |at, name| {
            rustix::fs::openat(at, name, flags, Mode::from_raw_mode(0o600))
        })?;
        Ok(Filling { file: file.into(), owner })
    }

    /// Gives a filled file its mode, its owner and all else.
    pub(super) fn finish_file(&self, entry: &Entry, filling: Filling) -> Result<()> {
        let Filling { file, owner } = filling;
        self.dress.open(entry, file.as_fd(), owner)?;
        futimens(&file, &file_times(entry)).map_err(failed("giving times to", &entry.name))
    }

    /// Makes a symbolic link, whatever it leads to.
    pub(super) fn symlink(&mut self, entry: &Entry, path: &[u8]) -> Result<()> {
        let owner = Owner::of(entry, self.dress.how)?;
        self.make(entry, path, |at, name| rustix::fs::symlinkat(&*entry.link, at, name))?;
        let (parent, name) = split(path);
        let dress = self.dress;
        dress.symlink(entry, self.enter(parent, &entry.name)?, name, owner)
    }

    /// Makes a fifo or a device.
    pub(super) fn node(&mut self, entry: &Entry, path: &[u8]) -> Result<()> {
        let owner = Owner::of(entry, self.dress.how)?;
        let (parent, name) = split(path);
        let kind = match entry.kind {
            b'3' => FileType::CharacterDevice,
            b'4' => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        if kind != FileType::Fifo && self.dress.how.rootless {
            // A user namespace may not make devices; what was there is gone all the same.
            return self.remove(&entry.name, path);
        }
        let number = |number: i64| {
            let number = u32::try_from(number).map_err(|_| Errno::INVAL);
            number.map_err(failed("making a device with this number:", &entry.name))
        };
        let device = rustix::fs::makedev(number(entry.major)?, number(entry.minor)?);
        let mode = Mode::from_raw_mode(entry.mode);
        self.make(entry, path, |at, name| rustix::fs::mknodat(at, name, kind, mode, device))?;
        let dress = self.dress;
        dress.node(entry, self.enter(parent, &entry.name)?, name, Some(owner))
    }

    /// Gives a file one more name.
    pub(super) fn link(&mut self, entry: &Entry, path: &[u8]) -> Result<()> {
        let owner = Owner::of(entry, self.dress.how)?;
        let target = linked(entry)?;
        let (folder, old) = split(&target);
        let (parent, name) = split(path);
        let wrong = |deed| failed(deed, &entry.name);
        let at =
            self.trail.enter(parent, &mut self.parents).map_err(wrong("making the folders of"))?;
        let from = self.links.look(folder).map_err(wrong("finding the target of the link"))?;
        let link = || rustix::fs::linkat(from, old, at, name, AtFlags::empty());
        let mut made = link();
        let is_there = made == Err(Errno::EXIST);
        if is_there {
            remove(at, name).map_err(wrong("replacing"))?;
            made = link();
        }
        made.map_err(wrong("making"))?;
        self.dress.linked(entry, at, name, owner)?;
        if is_there {
            self.links.forget();
        }
        Ok(())
    }

    /// Removes what has a name.
    pub(super) fn remove(&mut self, entry: &[u8], path: &[u8]) -> Result<()> {
        let (folder, name) = split(path);
        let at = self.enter(folder, entry)?;
        remove(at, name).map_err(failed("removing the file that is replaced by", entry))?;
        self.links.forget();
        Ok(())
    }

    /// Makes something of a name; what has it goes.
    fn make<T>(
        &mut self,
        entry: &Entry,
        path: &[u8],
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<T>,
    ) -> Result<T> {
        let (parent, name) = split(path);
        let made = match make(self.enter(parent, &entry.name)?, name) {
            Err(Errno::EXIST) => {
                self.remove(&entry.name, path)?;
                make(self.enter(parent, &entry.name)?, name)
            }
            made => made,
        };
        made.map_err(failed("making", &entry.name))
    }

    /// The folder at a path, to make something in it.
    fn enter(&mut self, folder: &[u8], name: &[u8]) -> Result<BorrowedFd<'_>> {
        self.trail.enter(folder, &mut self.parents).map_err(failed("making the folders of", name))
    }
}

/// Whiteouts.
impl LayerFolder<'_> {
    /// Hides a name of the layers below by a device.
    pub(super) fn hide(&mut self, entry: &Entry, folder: &[u8], hidden: &[u8]) -> Result<()> {
        let owner = Owner::of(entry, self.dress.how)?;
        let at = match self.trail.enter(folder, &mut self.parents) {
            // What hides the folder hides what is in it.
            Err(Errno::NOTDIR) => return Ok(()),
            entered => entered.map_err(failed("making the folders of", &entry.name))?,
        };
        rustix::fs::mknodat(at, hidden, FileType::CharacterDevice, Mode::empty(), 0)
            .map_err(failed("making whiteout", &entry.name))?;
        let (user, group) = (Some(owner.user()), Some(owner.group()));
        rustix::fs::chownat(at, hidden, user, group, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| {
            let Owner { uid, gid } = owner;
            Error::Owner { uid, gid, name: shown(&entry.name), source: errno.into() }
        })
    }

    /// Hides all that layers below have in a folder.
    pub(super) fn hide_all(&mut self, entry: &Entry, folder: &[u8]) -> Result<()> {
        let name = match self.dress.how.rootless {
            true => "user.overlay.opaque",
            false => "trusted.overlay.opaque",
        };
        let at = self.enter(folder, &entry.name)?;
        rustix::fs::fsetxattr(at, name, b"y", XattrFlags::empty())
            .map_err(failed("making whiteout", &entry.name))
    }

    /// Removes all that layers below have in a folder, but not what stays, nor the way to it.
    pub(super) fn remove_all(
        &mut self,
        entry: &Entry,
        folder: &[u8],
        stays: &dyn Fn(&[u8]) -> bool,
    ) -> Result<()> {
        let at = self.enter(folder, &entry.name)?;
        sift(at, folder, stays)
            .map_err(failed("removing the files that are hidden by", &entry.name))?;
        self.links.forget();
        Ok(())
    }
}

impl Filling {
    /// Writes what comes next.
    pub(super) fn write(&mut self, entry: &[u8], bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| Error::Entry {
            deed: "writing",
            name: shown(entry),
            source,
        })
    }

    /// Leaves zeros up to here.
    pub(super) fn seek(&mut self, entry: &[u8], offset: u64) -> Result<()> {
        rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Start(offset))
            .map_err(failed("writing", entry))?;
        Ok(())
    }

    /// Says how long it is.
    pub(super) fn set_length(&self, entry: &[u8], length: u64) -> Result<()> {
        rustix::fs::ftruncate(&self.file, length).map_err(failed("writing", entry))
    }
}

/// The path of what is linked by an entry.
fn linked(entry: &Entry) -> Result<Vec<u8>> {
    let target = clean(&entry.link, "").map_err(|_| Error::Outside {
        what: "invalid hardlink",
        name: format!("{} -> {}", shown(&entry.name), shown(&entry.link)),
    })?;
    if target.len() > path::LONGEST {
        return Err(failed("finding the target of the link", &entry.name)(Errno::NAMETOOLONG));
    }
    Ok(target)
}
