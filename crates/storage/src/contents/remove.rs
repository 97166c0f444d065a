//! Removes what is in a folder, however deep it is, and follows no link.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Dir, RenameFlags};
use rustix::io::Errno;

use super::trail::{FOLDER, open, times_of};

/// How deep folders are open at once. What is deeper is moved up first.
const DEEPEST: usize = 100;

/// Removes what has the name, with everything in it. Whether there was something.
pub(super) fn remove(at: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<bool> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) => return Ok(true),
        Err(Errno::NOENT) => return Ok(false),
        // Linux and POSIX differ in what they say of a folder.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    // Most folders that go are empty.
    match rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR) {
        Ok(()) => return Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let folder = open(at, name, FOLDER)?;
    while !clear(&folder, &folder, 0)? {}
    drop(folder);
    rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR)?;
    Ok(true)
}

/// Removes what is in a folder. Whether that was all: `top` may have got more meanwhile.
fn clear(top: &impl AsFd, folder: &impl AsFd, depth: usize) -> rustix::io::Result<bool> {
    let folder = folder.as_fd();
    let mut is_all = true;
    // There may be too many names to keep.
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let entry = entry.file_name();
        if matches!(entry.to_bytes(), b"." | b"..") {
            continue;
        }
        match rustix::fs::unlinkat(folder, entry, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
        match rustix::fs::unlinkat(folder, entry, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        if depth >= DEEPEST {
            lift(folder, entry, top.as_fd())?;
            is_all = false;
            continue;
        }
        let below = open(folder, entry.to_bytes(), FOLDER)?;
        is_all &= clear(top, &below, depth.saturating_add(1))?;
        drop(below);
        rustix::fs::unlinkat(folder, entry, AtFlags::REMOVEDIR)?;
    }
    Ok(is_all)
}

/// Moves a folder up, under a name that is free.
fn lift(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    for number in 0_u32.. {
        let new = format!(".lifted-{number}");
        match rustix::fs::renameat_with(from, name, to, &*new, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST | Errno::NOTEMPTY) => {}
            moved => return moved,
        }
    }
    Err(Errno::EXIST)
}

/// Removes what is below a folder at a clean path, but not what is told to stay, nor the folders
/// on the way there.
pub(super) fn sift(
    folder: BorrowedFd<'_>,
    path: &[u8],
    stays: &dyn Fn(&[u8]) -> bool,
) -> rustix::io::Result<()> {
    for name in names(folder)? {
        let below = match path {
            b"" => name.to_bytes().to_vec(),
            path => [path, b"/", name.to_bytes()].concat(),
        };
        if !stays(&below) {
            remove(folder, name.to_bytes())?;
            continue;
        }
        match open(folder, name.to_bytes(), FOLDER) {
            Ok(inner) => {
                let times = times_of(inner.as_fd())?;
                sift(inner.as_fd(), &below, stays)?;
                rustix::fs::futimens(&inner, &times)?;
            }
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The names in a folder.
pub(super) fn names(folder: BorrowedFd<'_>) -> rustix::io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
