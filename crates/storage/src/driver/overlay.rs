//! Layers as the kernel's overlay has them: each is a folder of what it changes.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, Unreadable};
use crate::files;
use crate::temporary::Temporary;

/// Says `true` in a home whose layers are mounted by a program.
pub(super) const MOUNT_PROGRAM: &str = ".has-mount-program";

/// The letters of short names.
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The length of a short name.
const LINK: usize = 26;

pub(super) fn make_home(home: &Path, mount_program: bool) -> Result<()> {
    files::make_folders(&home.join("l"), 0o755)?;
    if mount_program {
        let path = home.join(MOUNT_PROGRAM);
        if files::read(&path)?.is_none_or(|said| said != b"true") {
            files::replace(&path, b"true", 0o600, files::Durability::Synced)?;
        }
    }
    Ok(())
}

/// The folder that has the files of a layer.
pub(super) fn files(id: &str, folder: &Path) -> Result<PathBuf> {
    let unsupported = |what| Error::UnsupportedLayer { id: id.to_owned(), what };
    if files::absent_is_none(fs_err::symlink_metadata(folder.join("composefs-data")))?.is_some() {
        return Err(unsupported(Unreadable::Composefs));
    }
    let diff = folder.join("diff");
    let found = fs_err::symlink_metadata(&diff)?;
    if found.is_symlink() {
        return Err(unsupported(Unreadable::AdditionalStore));
    }
    Ok(diff)
}

/// The short name of the layer in `folder`.
pub(super) fn link(folder: &Path) -> Result<String> {
    let path = folder.join("link");
    let link = files::read(&path)?.unwrap_or_default();
    let link = String::from_utf8_lossy(&link).into_owned();
    let is_one = !link.is_empty() && link.len() <= 64;
    if is_one && link.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(link)
    } else {
        Err(Error::Invalid { path, what: format!("{link:?} is not a short name of a layer") })
    }
}

/// Makes the folder of a layer on those of `chain`, whose short names are `links`; `diff` becomes
/// its files.
pub(super) fn make(
    home: &Path,
    id: &str,
    chain: &[String],
    links: &[String],
    diff: &Path,
) -> Result<()> {
    let folder = files::of_id(home, id)?;
    files::make_folder(&folder, 0o700)?;
    let owner = fs_err::symlink_metadata(diff)?;
    files::rename(diff, &folder.join("diff"))?;

    // Written first: should we be ended in between, the link is found by it.
    let link = new_link()?;
    write(&folder.join("link"), &link)?;
    files::make_folders(&home.join("l"), 0o755)?;
    let path = home.join("l").join(&link);
    symlink(format!("../{id}/diff"), &path)
        .map_err(|error| files::failed("making", &path, &error))?;

    let mut beside = vec!["work", "merged"];
    if chain.is_empty() {
        beside.push("empty");
    }
    for name in beside {
        let path = folder.join(name);
        files::make_folder(&path, 0o700)?;
        std::os::unix::fs::lchown(&path, Some(owner.uid()), Some(owner.gid()))?;
    }
    if !chain.is_empty() {
        let lower: Vec<String> = links.iter().map(|link| format!("l/{link}")).collect();
        write(&folder.join("lower"), &lower.join(":"))?;
        write(&folder.join("lower-layers"), &chain.join(":"))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs_err::write(path, text)?;
    Ok(fs_err::set_permissions(path, Permissions::from_mode(0o644))?)
}

fn new_link() -> Result<String> {
    let mut random = [0; LINK];
    getrandom::fill(&mut random).map_err(io::Error::from)?;
    let letter = |byte: u8| LETTERS.get(usize::from(byte % 32)).copied().map(char::from);
    Ok(random.into_iter().filter_map(letter).collect())
}

/// Takes away the short name of the layer in `folder`, if it has one that is its own.
pub(super) fn remove_link(home: &Path, folder: &Path, removed: &mut Temporary) -> Result<()> {
    let Ok(link) = link(folder) else { return Ok(()) };
    let path = home.join("l").join(link);
    let Ok(target) = fs_err::read_link(&path) else { return Ok(()) };
    let id = folder.file_name().unwrap_or_default();
    if target == Path::new("..").join(id).join("diff") { removed.take(&path) } else { Ok(()) }
}

pub(super) fn unmount(folder: &Path) -> Result<()> {
    use nix::errno::Errno;
    let merged = folder.join("merged");
    match nix::mount::umount2(&merged, nix::mount::MntFlags::MNT_DETACH) {
        // It was counted, and is not mounted any more.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(error) => Err(files::failed("unmounting", &merged, &error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_random_letters() {
        let (one, other) = (new_link().unwrap(), new_link().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 26);
        assert!(one.bytes().all(|byte| LETTERS.contains(&byte)));
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a");
        fs_err::create_dir_all(&folder).unwrap();
        for hostile in ["../../etc", "", "a/b", "..", "l\n"] {
            fs_err::write(folder.join("link"), hostile).unwrap();
            assert!(link(&folder).is_err(), "{hostile:?}");
        }
        symlink("/etc", folder.join("diff")).unwrap();
        assert!(matches!(files("a", &folder), Err(Error::UnsupportedLayer { .. })));
    }
}
