//! Files below a folder, where no link leads out of it.
//!
//! Layouts come from strangers, and a link in one may lead anywhere. Reading follows links as long
//! as they stay inside, which the kernel sees to for all of the path at once. What is to be kept,
//! or written beside, must be reached without any link.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use fs_err::File;
use skopeo_system::Opening as _;

use crate::Error;
use crate::invalid_file::InvalidFile;

/// Opens a regular file below `root` and gives its length.
pub(crate) fn open(root: &Path, path: &Path) -> Result<(File, u64), Error> {
    let no_file = |reason| InvalidFile::NotAFile { path: path.to_owned(), reason };
    let below = path.strip_prefix(root).map_err(|_| no_file("not in the layout"))?;
    let file = match open_beneath(root, below) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(no_file("a link that leads out of the layout").into()),
        Err(error) => return Err(named(path, error).into()),
    };
    let file = File::from_parts(file, path);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(no_file("not a regular file").into());
    }
    Ok((file, metadata.len()))
}

/// What is known of a regular file that is reached from `root` without any link.
pub(crate) fn plain(root: &Path, path: &Path) -> Option<Metadata> {
    let below = path.strip_prefix(root).ok()?;
    let mut reached = root.to_owned();
    let mut parts = below.iter().peekable();
    while let Some(part) = parts.next() {
        reached.push(part);
        let found = fs_err::symlink_metadata(&reached).ok()?;
        match parts.peek() {
            None => return found.is_file().then_some(found),
            Some(_) if found.is_dir() => {}
            Some(_) => return None,
        }
    }
    None
}

/// Refuses folders below `root` that are links: what is written to them would be elsewhere.
pub(crate) fn refuse_links<'a>(
    root: &Path,
    folders: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Error> {
    for folder in folders.into_iter().filter(|folder| !folder.as_os_str().is_empty()) {
        let path = root.join(folder);
        if fs_err::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            return Err(InvalidFile::Link(path).into());
        }
    }
    Ok(())
}

/// Opens a file below a folder; `None` if a link leads out of that.
#[cfg(target_os = "linux")]
fn open_beneath(root: &Path, below: &Path) -> io::Result<Option<std::fs::File>> {
    use rustix::io::Errno;

    match beneath(root, below) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::XDEV | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(target_os = "linux")]
fn beneath(root: &Path, below: &Path) -> rustix::io::Result<std::fs::File> {
    use rustix::fs::{Mode, OFlags, ResolveFlags};
    use rustix::io::Errno;

    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, folder, Mode::empty())?;
    // NONBLOCK, lest opening a pipe waits for its other end for ever.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&root, below, flags, Mode::empty(), resolve) {
        Ok(file) => return Ok(file.into()),
        // An old kernel, or a sandbox that does not know it.
        Err(Errno::NOSYS | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let mut at = root;
    let mut parts = below.iter().peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        let flags = OFlags::NOFOLLOW | if is_last { flags } else { folder };
        at = rustix::fs::openat(&at, part, flags, Mode::empty()).map_err(|error| match error {
            // So the kernel says that a folder on the way is a link.
            Errno::NOTDIR if !is_last => Errno::LOOP,
            error => error,
        })?;
    }
    Ok(at.into())
}

/// Opens a file below a folder; `None` if a link leads out of that. Who can make links while we look
/// could lead us out: only Linux has a call for both at once.
#[cfg(not(target_os = "linux"))]
fn open_beneath(root: &Path, below: &Path) -> io::Result<Option<std::fs::File>> {
    let path = fs_err::canonicalize(root.join(below))?;
    if !path.starts_with(fs_err::canonicalize(root)?) {
        return Ok(None);
    }
    let mut options = fs_err::OpenOptions::new();
    options.read(true).options_mut().no_link(false);
    Ok(Some(options.open(path)?.into_parts().0))
}

/// The error with the name of the file in it.
fn named(path: &Path, error: io::Error) -> io::Error {
    let mut options = fs_err::OpenOptions::new();
    options.read(true).options_mut().no_link(false);
    options.open(path).err().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_lead_nowhere_else() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().join("root");
        for folder in ["root/a/b", "out"] {
            fs_err::create_dir_all(tmp.path().join(folder)).unwrap();
        }
        for file in ["root/a/b/file", "out/file"] {
            fs_err::write(tmp.path().join(file), file).unwrap();
        }
        for (link, leads) in [
            ("a/b/near", "file"),
            ("a/up", "../a/b"),
            ("a/out", "../../out"),
            ("a/absolute", tmp.path().join("out").to_str().unwrap()),
            ("a/b/far", "../../../out/file"),
        ] {
            symlink(leads, root.join(link)).unwrap();
        }
        for (path, opens, is_plain) in [
            ("a/b/file", true, true),
            ("a/b/near", true, false),
            ("a/up/file", true, false),
            ("a/out/file", false, false),
            ("a/absolute/file", false, false),
            ("a/b/far", false, false),
            ("a/b", false, false),
            ("a/none", false, false),
        ] {
            let path = root.join(path);
            assert_eq!(open(&root, &path).is_ok(), opens, "{}", path.display());
            assert_eq!(plain(&root, &path).is_some(), is_plain, "{}", path.display());
        }
        assert!(open(&root, &root.join("a/none")).unwrap_err().is_missing_file());
        assert!(refuse_links(&root, ["a", "none"].map(Path::new)).is_ok());
        assert!(refuse_links(&root, ["a/out"].map(Path::new)).is_err());
    }
}
