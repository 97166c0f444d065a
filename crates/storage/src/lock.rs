//! Locks that podman, buildah and CRI-O respect, and the token by which they see who wrote last.
//!
//! They take record locks of POSIX. Ours belong to an open file description: the kernel lets both
//! kinds exclude each other, but ours exclude threads too, and are not lost when something else in
//! this process closes the same file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{Mode, OFlags};
use rustix::process::getpid;

use crate::error::{Error, Result};
use crate::files;

/// The length of a token.
const TOKEN: usize = 64;

/// Where in a token the number of the process is.
const PID: usize = 16;

/// A file by which programs keep out of each other's way.
#[derive(Clone, Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
    access: Access,
}

/// What may be done with a lock's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It is made if it is missing.
    ReadWrite,
    /// It lies in a store that is never written.
    ReadOnly,
}

/// How many may have a lock at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LockKind {
    Shared,
    Exclusive,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    file: File,
    path: PathBuf,
}

/// What a lock's file says: another value means that somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token(Vec<u8>);

impl LockFile {
    pub(crate) fn new(path: PathBuf, access: Access) -> Self {
        Self { path, access }
    }

    /// Makes the file, if it may and must be made.
    pub(crate) fn make(&self) -> Result<()> {
        self.open().map(drop)
    }

    /// Waits until nobody writes.
    pub(crate) fn read(&self) -> Result<Held> {
        self.take(LockKind::Shared)
    }

    /// Waits until nobody else has it.
    pub(crate) fn write(&self) -> Result<Held> {
        self.take(LockKind::Exclusive)
    }

    /// Takes it for writing; `None` if somebody has it.
    pub(crate) fn try_write(&self) -> Result<Option<Held>> {
        let file = self.open()?;
        match apply(&file, LockKind::Exclusive, Waiting::Never) {
            Ok(()) => Ok(Some(Held { file, path: self.path.clone() })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(error) => Err(self.failed(error.into())),
        }
    }

    /// Returns whether this process was the last that said that it wrote.
    pub(crate) fn is_ours(&self) -> Result<bool> {
        let Token(bytes) = Held { file: self.open()?, path: self.path.clone() }.token()?;
        let pid = getpid().as_raw_nonzero().get().to_le_bytes();
        Ok(bytes.get(PID..PID.saturating_add(pid.len())) == Some(&pid[..]))
    }

    fn take(&self, kind: LockKind) -> Result<Held> {
        let file = self.open()?;
        loop {
            match apply(&file, kind, Waiting::AsLongAsItTakes) {
                Ok(()) => return Ok(Held { file, path: self.path.clone() }),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(self.failed(error.into())),
            }
        }
    }

    fn open(&self) -> Result<File> {
        let open = || {
            let (access, mode) = match self.access {
                Access::ReadWrite => (OFlags::RDWR | OFlags::CREATE, Mode::from_raw_mode(0o644)),
                Access::ReadOnly => (OFlags::RDONLY, Mode::empty()),
            };
            // A lock that is a link would be a file elsewhere that becomes ours.
            rustix::fs::open(&self.path, access | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode)
        };
        let opened = match (open(), self.path.parent()) {
            (Err(rustix::io::Errno::NOENT), Some(parent)) if self.access == Access::ReadWrite => {
                files::make_folders(parent, 0o700)?;
                open()
            }
            (opened, _) => opened,
        };
        opened.map(File::from).map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Lock { path: self.path.clone(), source }
    }
}

impl Held {
    /// What it says of the last writer.
    pub(crate) fn token(&self) -> Result<Token> {
        let mut bytes = vec![0; TOKEN];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, skopeo_image::number::wide(filled)) {
                Ok(0) => break,
                Ok(more) => filled = filled.saturating_add(more),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Lock { path: self.path.clone(), source }),
            }
        }
        bytes.truncate(filled);
        Ok(Token(bytes))
    }

    /// Says that we wrote. It is said before anything is written: who is ended in between has made
    /// others read once more for nothing, and not the other way round.
    pub(crate) fn touch(&self) -> Result<()> {
        let Token(bytes) = Token::fresh()?;
        let written = self.file.write_all_at(&bytes, 0);
        written.map_err(|source| Error::Lock { path: self.path.clone(), source })
    }

    /// Whether the file that is locked is still the one of that name.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let Ok(ours) = self.file.metadata() else { return false };
        fs_err::symlink_metadata(path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()))
    }
}

impl Token {
    /// One that nobody ever had.
    fn fresh() -> Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = u64::try_from(since.as_nanos()).unwrap_or_default();
        let counter = COUNTER.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut bytes = Vec::with_capacity(TOKEN);
        bytes.extend(nanoseconds.to_le_bytes());
        bytes.extend(counter.to_le_bytes());
        bytes.extend(getpid().as_raw_nonzero().get().to_le_bytes());
        let known = bytes.len();
        bytes.resize(TOKEN, 0);
        if let Some(rest) = bytes.get_mut(known..) {
            getrandom::fill(rest).map_err(io::Error::from)?;
        }
        Ok(Self(bytes))
    }
}

/// Whether to wait for those who have a lock.
#[derive(Clone, Copy)]
enum Waiting {
    AsLongAsItTakes,
    Never,
}

fn apply(file: &File, kind: LockKind, waiting: Waiting) -> Result<(), Errno> {
    let kind = match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    };
    let short = |value: libc::c_int| libc::c_short::try_from(value).map_err(|_| Errno::EINVAL);
    let whole = libc::flock {
        l_type: short(kind)?,
        l_whence: short(libc::SEEK_SET)?,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let how = match waiting {
        Waiting::AsLongAsItTakes => FcntlArg::F_OFD_SETLKW(&whole),
        Waiting::Never => FcntlArg::F_OFD_SETLK(&whole),
    };
    fcntl(file, how).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn lock(folder: &tempfile::TempDir) -> LockFile {
        LockFile::new(folder.path().join("below").join("x.lock"), Access::ReadWrite)
    }

    /// Another program that takes a record lock of POSIX, as podman does, and says what came of it.
    fn other(path: &Path, how: &str) -> (Child, String) {
        let script = "import fcntl, sys\n\
             f = open(sys.argv[1], 'r+b' if 'EX' in sys.argv[2] else 'rb')\n\
             try:\n    \
                 fcntl.lockf(f, getattr(fcntl, sys.argv[2]) | fcntl.LOCK_NB)\n    \
                 print('taken', flush=True)\n\
             except OSError:\n    \
                 print('refused', flush=True)\n\
             sys.stdin.readline()\n";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .arg(path)
            .arg(how)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        (child, said.trim().to_owned())
    }

    fn end(mut child: Child) {
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        child.wait().unwrap();
    }

    /// Record locks of POSIX and ours exclude each other, in both directions.
    #[test]
    fn others_and_we_exclude_each_other() {
        if Command::new("python3").arg("-V").output().is_err() {
            println!("skipped: python3 is not installed");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let lock = lock(&folder);
        lock.make().unwrap();
        let cases = [
            // What we hold, what another asks for, what it gets.
            ("write", "LOCK_EX", "refused"),
            ("write", "LOCK_SH", "refused"),
            ("read", "LOCK_EX", "refused"),
            ("read", "LOCK_SH", "taken"),
            ("nothing", "LOCK_EX", "taken"),
        ];
        for (ours, theirs, expected) in cases {
            let held = match ours {
                "write" => Some(lock.write().unwrap()),
                "read" => Some(lock.read().unwrap()),
                _ => None,
            };
            let (child, said) = other(&lock.path, theirs);
            assert_eq!(said, expected, "{ours} {theirs}");
            drop(held);
            if said == "taken" {
                // Now the other way round: nothing that excludes it is given to us.
                assert!(lock.try_write().unwrap().is_none(), "{theirs}");
            }
            end(child);
            assert!(lock.try_write().unwrap().is_some());
        }
    }

    /// Closing the same file elsewhere in this process does not lose the lock.
    #[test]
    fn a_second_descriptor_does_not_lose_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let lock = lock(&folder);
        let held = lock.write().unwrap();
        fs_err::read(&lock.path).unwrap();
        assert!(lock.try_write().unwrap().is_none());
        drop(held);
        assert!(lock.try_write().unwrap().is_some());
    }

    #[test]
    fn tokens_have_the_form_of_the_others_and_are_never_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let lock = lock(&folder);
        let held = lock.write().unwrap();
        assert_eq!(held.token().unwrap(), Token(Vec::new()));
        held.touch().unwrap();
        let first = held.token().unwrap();
        held.touch().unwrap();
        let second = held.token().unwrap();
        assert_ne!(first, second);
        let bytes = fs_err::read(&lock.path).unwrap();
        assert_eq!(bytes.len(), 64);
        assert_eq!(bytes, second.0);
        assert_eq!(bytes[16..20], std::process::id().to_le_bytes());
        let ours = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert!(ours > 1_600_000_000_000_000_000, "{ours}");
    }

    #[test]
    fn a_link_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs_err::write(&elsewhere, "").unwrap();
        let path = folder.path().join("x.lock");
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(LockFile::new(path, Access::ReadWrite).write().is_err());
    }
}
