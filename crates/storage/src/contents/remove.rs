//! Removes what is in a folder, however deep it is, and follows no link.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, RenameFlags};
use rustix::io::Errno;

use super::trail::{FOLDER, open, times_of};

/// How deep folders are open at once. What is deeper is moved up first.
const DEEPEST: usize = 100;

/// Removes what is at a path, with everything in it; that nothing is there is well. Unlike the
/// standard library it holds few folders open, however deep a layer has made them.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let removed = remove(CWD, path.as_os_str().as_encoded_bytes());
    removed.map(drop).map_err(|errno| {
        let error = io::Error::from(errno);
        let text = format!("failed to remove `{}`: {error}", path.display());
        io::Error::new(error.kind(), text)
    })
}

/// Removes what has the name, with everything in it. Whether there was something.
pub(super) fn remove(at: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<bool> {
    match unlink(at, name) {
        Err(Errno::NOENT) => return Ok(false),
        Err(Errno::NOTEMPTY) => {}
        removed => return removed.map(|()| true),
    }
    let folder = match open(at, name, FOLDER) {
        Err(Errno::NOENT) => return Ok(true),
        folder => folder?,
    };
    while !clear(&folder, &folder, 0)? {}
    drop(folder);
    unlink(at, name).map(|()| true)
}

/// Removes a file, or a folder if it is empty; else that says so.
fn unlink<P: rustix::path::Arg + Copy>(at: BorrowedFd<'_>, name: P) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        // Linux and POSIX differ in what they say of a folder.
        Err(errno @ (Errno::ISDIR | Errno::PERM)) => {
            match rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR) {
                Err(Errno::EXIST) => Err(Errno::NOTEMPTY),
                Err(Errno::NOTDIR) => Err(errno),
                removed => removed,
            }
        }
        removed => removed,
    }
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
        match unlink(folder, entry) {
            // Somebody else removes it too.
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::NOTEMPTY) => {}
            Err(errno) => return Err(errno),
        }
        if depth >= DEEPEST {
            lift(folder, entry, top.as_fd())?;
            is_all = false;
            continue;
        }
        let below = match open(folder, entry.to_bytes(), FOLDER) {
            Err(Errno::NOENT) => continue,
            below => below?,
        };
        is_all &= clear(top, &below, depth.saturating_add(1))?;
        drop(below);
        match unlink(folder, entry) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn trees_of_any_depth_go_and_links_lead_nowhere() {
        let place = tempfile::tempdir().unwrap();
        let kept = place.path().join("kept");
        fs_err::create_dir(&kept).unwrap();
        fs_err::write(kept.join("file"), "x").unwrap();
        let top = place.path().join("top");
        fs_err::create_dir(&top).unwrap();
        // Longer than a path may be: each part is moved into the next.
        for _ in 0..5 {
            let deep = place.path().join("d/".repeat(700));
            fs_err::create_dir_all(&deep).unwrap();
            symlink(&kept, deep.join("link")).unwrap();
            fs_err::write(deep.join("file"), "x").unwrap();
            fs_err::rename(&top, deep.join("top")).unwrap();
            fs_err::rename(place.path().join("d"), &top).unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(!top.exists());
        remove_tree(&top).unwrap();
        let link = place.path().join("link");
        symlink(&kept, &link).unwrap();
        remove_tree(&link).unwrap();
        assert!(fs_err::symlink_metadata(link).is_err());
        assert_eq!(fs_err::read_to_string(kept.join("file")).unwrap(), "x");
        let error = remove_tree(&kept.join("file/x")).unwrap_err().to_string();
        assert!(
            error.starts_with("failed to remove `") && error.contains("Not a directory"),
            "{error}"
        );
    }
}
