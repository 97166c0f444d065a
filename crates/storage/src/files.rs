//! Files of a store: made as others make them, replaced in one step.

use std::fs::DirBuilder;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use skopeo_image::number;

use crate::contents::remove_tree;
use crate::error::{Error, Result};

/// Whether what is written is on the disk before it gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It is.
    Synced,
    /// It may be lost with the power, as what lies in the run root.
    Volatile,
}

/// What lies beside layers and images in their folders, and is none.
const RESERVED: [&str; 5] = ["l", "tmp", "tempdirs", "staging", "dir"];

/// Joins the id of a layer or an image, from a record, to a folder; it must lead nowhere else.
///
/// # Errors
/// If it is no name of a file, or of one that is something else.
pub(crate) fn of_id(folder: &Path, id: &str) -> Result<PathBuf> {
    check_id(id)?;
    Ok(folder.join(id))
}

/// Joins the name of a file to a folder; it must lead nowhere else.
///
/// # Errors
/// If it is no name of a file.
pub(crate) fn below(folder: &Path, name: &str) -> Result<PathBuf> {
    let is_none = name.is_empty()
        || name == "."
        || name == ".."
        || name.bytes().any(|byte| byte == b'/' || byte == 0);
    if is_none { Err(bad(name)) } else { Ok(folder.join(name)) }
}

/// Looks whether an id from a record can be the name of a folder. Ids are hexadecimal digits;
/// others are taken as long as they cannot be anything else.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_one = !id.is_empty() && id.len() <= 128 && id.bytes().all(is_plain);
    if is_one && !RESERVED.contains(&id) { Ok(()) } else { Err(bad(id)) }
}

fn bad(name: &str) -> Error {
    Error::BadName { name: name.to_owned() }
}

/// Makes a folder with those above it, as far as they are missing.
pub(crate) fn make_folders(path: &Path, mode: u32) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|error| failed("making", path, &error))
}

/// Makes a folder that must not be there yet.
pub(crate) fn make_folder(path: &Path, mode: u32) -> Result<()> {
    let made = DirBuilder::new().mode(mode).create(path);
    made.map_err(|error| failed("making", path, &error))
}

/// An error of the system, with what was done to what.
pub(crate) fn failed(deed: &str, path: &Path, error: &io::Error) -> Error {
    io::Error::new(error.kind(), format!("{deed} {}: {error}", path.display())).into()
}

/// More than anything has that is read at once, in bytes.
const LONGEST: u64 = 512 << 20;

/// What a file has; `None` if there is no such file.
///
/// # Errors
/// As [`open`]; and if it is longer than may be read.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(LONGEST.saturating_add(1)).read_to_end(&mut bytes)?;
    if number::wide(bytes.len()) > LONGEST {
        let what = "it is too long to read".to_owned();
        return Err(Error::Invalid { path: path.to_owned(), what });
    }
    Ok(Some(bytes))
}

/// Opens a file; `None` if there is no such file. A link would lead out of the store, and whoever
/// opens a pipe waits.
///
/// # Errors
/// If it is anything but a file.
pub(crate) fn open(path: &Path) -> Result<Option<fs_err::File>> {
    let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let no_file = || Error::Invalid { path: path.to_owned(), what: "it is not a file".to_owned() };
    let file = match rustix::fs::open(path, how, Mode::empty()) {
        Ok(file) => fs_err::File::from_parts(std::fs::File::from(file), path.to_owned()),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NXIO) => return Err(no_file()),
        Err(error) => return Err(failed("opening", path, &error.into())),
    };
    if file.metadata()?.is_file() { Ok(Some(file)) } else { Err(no_file()) }
}

/// Turns what is not there into `None`.
pub(crate) fn absent_is_none<T>(result: io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How often a name is moved before it is believed that it cannot be.
const ATTEMPTS: u32 = 100;

/// Gives a file or a folder another name in the same file system.
///
/// podman binds the folder of its driver onto itself when it starts, and ends that when it ends. If
/// that comes between the kernel's looks at the two names, one of them is on another mount, and the
/// kernel says that they are in different file systems.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    for _ in 1..ATTEMPTS {
        match fs_err::rename(from, to) {
            Err(error)
                if error.kind() == io::ErrorKind::CrossesDevices
                    && is_one_file_system(from, to) =>
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            renamed => return renamed,
        }
    }
    fs_err::rename(from, to)
}

fn is_one_file_system(from: &Path, to: &Path) -> bool {
    let device = |path: &Path| fs_err::symlink_metadata(path).ok().map(|found| found.dev());
    to.parent().is_some_and(|folder| device(from).is_some() && device(from) == device(folder))
}

/// Replaces a file by another in one step. Readers see the one or the other.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> Result<()> {
    let (Some(folder), Some(name)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Err(bad(&path.display().to_string()));
    };
    let temporary = folder.join(format!(".tmp-{name}{}", random_digits()?));
    let written =
        write_new(&temporary, bytes, mode, durability).and_then(|()| Ok(rename(&temporary, path)?));
    if written.is_err() {
        // The first error counts.
        let _ = fs_err::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> Result<()> {
    let mut file =
        fs_err::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    if durability == Durability::Synced {
        file.sync_data()?;
    }
    if mode != 0o600 {
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Removes what is left of replacing files of this name, or of any, by who was ended. The lock that
/// who replaces them has to hold is held.
pub(crate) fn remove_unfinished(folder: &Path, name: &str) -> Result<()> {
    let beginning = format!(".tmp-{name}");
    for found in names(folder)? {
        let rest = found.strip_prefix(&beginning).unwrap_or_default();
        if rest.ends_with(|last: char| last.is_ascii_digit()) {
            remove_all(&folder.join(found))?;
        }
    }
    Ok(())
}

/// What lies in a folder, as far as its names are text; nothing if it is not there.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let Some(entries) = absent_is_none(fs_err::read_dir(folder))? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

/// Digits that make a name unlikely to be there.
pub(crate) fn random_digits() -> Result<u32> {
    Ok(getrandom::u32().map_err(io::Error::from)?)
}

/// Removes a file or a folder with all that is in it; that nothing is there is well.
pub(crate) fn remove_all(path: &Path) -> Result<()> {
    Ok(remove_tree(path)?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// How many folders the second name is deep: the kernel is at work on it for longer.
    const DEEP: usize = 300;

    /// Not a test: what the next one starts, in a folder that is bound onto itself all the time.
    #[test]
    #[ignore = "another test starts it"]
    fn move_names_in_the_working_folder() {
        let bound = fs_err::canonicalize(".").unwrap();
        let deep = bound.join(["d"; DEEP].join("/"));
        let (one, other) = (bound.join("x"), deep.join("x"));
        let mut crossed = 0;
        for _ in 0..20_000 {
            // What is about the bare call shows that there is something to mend.
            match fs_err::rename(&one, &other) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                    crossed += 1;
                    rename(&one, &other).unwrap();
                }
                Err(error) => panic!("{error}"),
            }
            rename(&other, &one).unwrap();
        }
        println!("crossed {crossed} times");
    }

    /// podman binds the folder of its driver onto itself, and lets it go, while names are moved.
    #[test]
    fn names_are_moved_while_their_folder_is_bound() {
        let script = "import ctypes, os, sys, time\n\
             c = ctypes.CDLL(None)\n\
             bound = sys.argv[1].encode()\n\
             child = os.fork()\n\
             if child == 0:\n    \
                 parent = os.getppid()\n    \
                 while os.getppid() == parent:\n        \
                     c.mount(bound, bound, None, 4096, None)\n        \
                     c.umount2(bound, 2)\n    \
                 os._exit(0)\n\
             os.chdir(sys.argv[1])\n\
             os.execv(sys.argv[2], sys.argv[2:])\n";
        let may_mount = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "python3", "-c", "pass"])
            .output();
        if !may_mount.is_ok_and(|run| run.status.success()) {
            println!("skipped: nothing can be mounted here");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(folder.path().join(["d"; DEEP].join("/"))).unwrap();
        fs_err::write(folder.path().join("x"), "").unwrap();
        let run = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "python3", "-c", script])
            .arg(folder.path())
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("files::tests::move_names_in_the_working_folder")
            .output()
            .unwrap();
        let said = [run.stdout, run.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(run.status.success(), "{said}");
        println!("{said}");
    }
}
