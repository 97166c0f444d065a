//! What a file is given beside its contents: owner, mode, times, attributes.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, XattrFlags, fchmod, fchown,
};
use rustix::io::Errno;

use super::owner::Owner;
use super::reader::Entry;
use super::trail::open;
use super::{Apply, Error, Result, error::shown};
use skopeo_archive::header::Time;

/// Where fuse-overlayfs finds what a file should be.
const OVERRIDE: &str = "user.containers.override_stat";

/// Gives files what entries say of them.
#[derive(Clone, Copy)]
pub(super) struct Dress<'a> {
    pub(super) how: &'a Apply<'a>,
}

impl Dress<'_> {
    /// What an open file or folder is given beside its times.
    pub(super) fn open(self, entry: &Entry, file: BorrowedFd<'_>, owner: Owner) -> Result<()> {
        if self.is_owned() {
            let given = fchown(file, Some(owner.user()), Some(owner.group()));
            self.given(entry, owner, given)?;
        }
        // A new owner takes away that a program runs as it: the mode is given afterwards.
        fchmod(file, self.mode(entry)).map_err(failed("giving a mode to", &entry.name))?;
        self.attributes(entry, |name, value| {
            rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
        })?;
        if self.how.force_mask.is_none() {
            return Ok(());
        }
        let kind = match entry.kind {
            b'5' => "dir".into(),
            b'3' => format!("char-{}-{}", entry.major, entry.minor),
            b'4' => format!("block-{}-{}", entry.major, entry.minor),
            b'6' => "pipe".into(),
            _ => "file".to_owned(),
        };
        let stat = (owner.uid, owner.gid, entry.mode);
        overridden(file, stat, &kind).map_err(failed("giving an attribute to", &entry.name))
    }

    /// What a new symbolic link is given. Modes it has none.
    pub(super) fn symlink(
        self,
        entry: &Entry,
        at: BorrowedFd<'_>,
        name: &[u8],
        owner: Owner,
    ) -> Result<()> {
        if self.is_owned() {
            let (user, group) = (Some(owner.user()), Some(owner.group()));
            let given = rustix::fs::chownat(at, name, user, group, AtFlags::SYMLINK_NOFOLLOW);
            self.given(entry, owner, given)?;
        }
        rustix::fs::utimensat(at, name, &link_times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("giving times to", &entry.name))?;
        self.link_attributes(entry, at, name)
    }

    /// What is given to a device or a fifo, which may not be opened for it.
    pub(super) fn node(
        self,
        entry: &Entry,
        at: BorrowedFd<'_>,
        name: &[u8],
        owner: Option<Owner>,
    ) -> Result<()> {
        let wrong = |deed| failed(deed, &entry.name);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(at, name, flags).map_err(wrong("opening"))?;
        if let Some(owner) = owner.filter(|_| self.is_owned()) {
            let (user, group) = (Some(owner.user()), Some(owner.group()));
            let given = rustix::fs::chownat(&file, "", user, group, AtFlags::EMPTY_PATH);
            self.given(entry, owner, given)?;
        }
        // A handle without access can be given a mode by this name only.
        rustix::fs::chmod(handle(&file), self.mode(entry)).map_err(wrong("giving a mode to"))?;
        rustix::fs::utimensat(at, name, &file_times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(wrong("giving times to"))?;
        self.attributes(entry, |key, value| {
            rustix::fs::setxattr(handle(&file), key, value, XattrFlags::empty())
        })
    }

    /// What a file is given that has another name already: what this entry says, which is the same
    /// nearly always.
    pub(super) fn linked(
        self,
        entry: &Entry,
        at: BorrowedFd<'_>,
        name: &[u8],
        owner: Owner,
    ) -> Result<()> {
        let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("opening", &entry.name))?;
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if is_link {
            // One that is given again what it has would lose nothing.
            if self.is_owned() {
                let (user, group) = (Some(owner.user()), Some(owner.group()));
                let given = rustix::fs::chownat(at, name, user, group, AtFlags::SYMLINK_NOFOLLOW);
                self.given(entry, owner, given)?;
            }
            return self.link_attributes(entry, at, name);
        }
        // An owner that is given again takes away capabilities: what is so stays.
        let is_owner = (stat.st_uid, stat.st_gid) == (owner.uid, owner.gid) || !self.is_owned();
        let is_mode = Mode::from_raw_mode(stat.st_mode) == self.mode(entry);
        let is_time = is_modified_at(&stat, &file_times(entry));
        if is_owner && is_mode && is_time && entry.attributes.is_empty() {
            return Ok(());
        }
        self.node(entry, at, name, (!is_owner).then_some(owner))
    }

    /// A mode, or the one that all files have.
    fn mode(self, entry: &Entry) -> Mode {
        Mode::from_raw_mode(self.how.force_mask.unwrap_or(entry.mode))
    }

    /// Whether files are given owners.
    fn is_owned(self) -> bool {
        self.how.force_mask.is_none()
    }

    fn given(self, entry: &Entry, owner: Owner, given: rustix::io::Result<()>) -> Result<()> {
        let Err(errno) = given else { return Ok(()) };
        let Owner { uid, gid } = owner;
        let name = shown(&entry.name);
        if self.how.ignore_chown_errors {
            tracing::warn!("{name} keeps this user as owner: lchown to {uid}:{gid}: {errno}");
            return Ok(());
        }
        Err(Error::Owner { uid, gid, name, source: errno.into() })
    }

    fn link_attributes(self, entry: &Entry, at: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        self.attributes(entry, |key, value| {
            let path = [handle(&at).as_bytes(), b"/", name].concat();
            rustix::fs::lsetxattr(&*path, key, value, XattrFlags::empty())
        })
    }

    fn attributes(
        self,
        entry: &Entry,
        set: impl Fn(&[u8], &[u8]) -> rustix::io::Result<()>,
    ) -> Result<()> {
        for (name, value) in &entry.attributes {
            // The label is the machine's.
            if name == b"security.selinux" {
                continue;
            }
            match set(name, value) {
                Ok(()) => {}
                Err(errno @ (Errno::OPNOTSUPP | Errno::PERM))
                    if errno == Errno::OPNOTSUPP || self.how.rootless =>
                {
                    tracing::warn!(
                        "leaving out attribute {} of {}: {errno}",
                        shown(name),
                        shown(&entry.name)
                    );
                }
                Err(errno) => {
                    let named = [&*entry.name, b" (", name, b")"].concat();
                    return Err(failed("giving an attribute to", &named)(errno));
                }
            }
        }
        Ok(())
    }
}

/// Says what a file should be where it is not.
pub(super) fn overridden(
    file: BorrowedFd<'_>,
    (uid, gid, mode): (u32, u32, u32),
    kind: &str,
) -> rustix::io::Result<()> {
    let value = format!("{uid}:{gid}:{mode:04o}:{kind}");
    rustix::fs::fsetxattr(file, OVERRIDE, value.as_bytes(), XattrFlags::empty())
}

/// Nobody read the file before it was written.
pub(super) fn file_times(entry: &Entry) -> Timestamps {
    let accessed = entry.accessed.unwrap_or(entry.modified).max(entry.modified);
    Timestamps { last_access: since_1970(accessed), last_modification: since_1970(entry.modified) }
}

fn link_times(entry: &Entry) -> Timestamps {
    let accessed = entry.accessed.unwrap_or(entry.modified).max(entry.modified);
    Timestamps { last_access: timespec(accessed), last_modification: timespec(entry.modified) }
}

/// Those of folders the original gives last, and as they are in the header.
pub(super) fn folder_times(entry: &Entry) -> Timestamps {
    Timestamps {
        last_access: since_1970(entry.accessed.unwrap_or_default()),
        last_modification: since_1970(entry.modified),
    }
}

/// What the original's clock cannot say is 1970 there: earlier times, and those that nanoseconds
/// since then are too many for.
fn since_1970(time: Time) -> Timespec {
    let is_known = (0..=9_223_372_035).contains(&time.seconds);
    timespec(if is_known { time } else { Time::default() })
}

fn timespec(time: Time) -> Timespec {
    Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() }
}

fn is_modified_at(stat: &Stat, times: &Timestamps) -> bool {
    let Timespec { tv_sec, tv_nsec } = times.last_modification;
    stat.st_mtime == tv_sec && i64::try_from(stat.st_mtime_nsec) == Ok(tv_nsec)
}

/// A name by which the kernel finds what is open.
pub(super) fn handle(file: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// An error that names an entry.
pub(super) fn failed(deed: &'static str, name: &[u8]) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Entry { deed, name: shown(name), source: errno.into() }
}
