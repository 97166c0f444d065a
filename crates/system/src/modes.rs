//! Who may do what with a file: owners and modes, which Windows has not.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::path::Path;

/// Gives a file this mode. Does nothing on Windows.
///
/// # Errors
/// If the system refuses.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    match for_all(mode) {
        Some(permissions) => file.set_permissions(permissions),
        None => Ok(()),
    }
}

/// Returns a mode as what files are made with; nothing on Windows.
#[cfg(unix)]
#[must_use]
pub fn for_all(mode: u32) -> Option<Permissions> {
    Some(std::os::unix::fs::PermissionsExt::from_mode(mode))
}

/// Returns a mode as what files are made with; nothing on Windows.
#[cfg(windows)]
#[must_use]
pub fn for_all(_: u32) -> Option<Permissions> {
    None
}

/// Returns the mode of what is there as what another file is made with; nothing on Windows.
#[cfg(unix)]
#[must_use]
pub fn mode_of(old: &Metadata) -> Option<Permissions> {
    for_all(std::os::unix::fs::PermissionsExt::mode(&old.permissions()) & 0o777)
}

/// Returns the mode of what is there as what another file is made with; nothing on Windows.
#[cfg(windows)]
#[must_use]
pub fn mode_of(_: &Metadata) -> Option<Permissions> {
    None
}

/// Returns whether a file can be started: of Windows, whether it is a file.
#[cfg(unix)]
#[must_use]
pub fn is_program(found: &Metadata) -> bool {
    let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions());
    found.is_file() && mode & 0o111 != 0
}

/// Returns whether a file can be started: of Windows, whether it is a file.
#[cfg(windows)]
#[must_use]
pub fn is_program(found: &Metadata) -> bool {
    found.is_file()
}

/// Returns whether everybody may make files in a folder, and remove their own only: that it is sticky. On
/// Windows no folder is.
#[cfg(unix)]
#[must_use]
pub fn is_for_everybody(folder: &Metadata) -> bool {
    const STICKY_FOR_ALL: u32 = 0o1002;

    std::os::unix::fs::MetadataExt::mode(folder) & STICKY_FOR_ALL == STICKY_FOR_ALL
}

/// Returns whether everybody may make files in a folder, and remove their own only: that it is sticky. On
/// Windows no folder is.
#[cfg(windows)]
#[must_use]
pub fn is_for_everybody(_: &Metadata) -> bool {
    false
}

/// Returns whether nobody but its owner may write to a file or folder, and he may do all. On Windows each
/// is.
#[cfg(unix)]
#[must_use]
pub fn is_private(found: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(found) & 0o722 == 0o700
}

/// Returns whether nobody but its owner may write to a file or folder, and he may do all. On Windows each
/// is.
#[cfg(windows)]
#[must_use]
pub fn is_private(_: &Metadata) -> bool {
    true
}

/// Makes a folder with those above it, for its owner only. On Windows, for whom the folder above is.
///
/// # Errors
/// If the system refuses.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Returns the number of the user that this process acts for. On Windows that is nobody's, and not 0.
#[cfg(unix)]
#[must_use]
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Returns the number of the user that this process acts for. On Windows that is nobody's, and not 0.
#[cfg(windows)]
#[must_use]
pub fn user() -> u32 {
    1000
}

/// Returns the number of the user whose a file is. On Windows every file is [`user`]'s.
#[cfg(unix)]
#[must_use]
pub fn owner(found: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(found)
}

/// Returns the number of the user whose a file is. On Windows every file is [`user`]'s.
#[cfg(windows)]
#[must_use]
pub fn owner(_: &Metadata) -> u32 {
    user()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn modes_are_given_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs_err::write(&old, "#!").unwrap();
        fs_err::write(&new, "x").unwrap();
        let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
        set_mode(fs_err::File::open(&old).unwrap().file(), 0o750).unwrap();
        assert_eq!(mode(&old), 0o750);
        let found = fs_err::metadata(&old).unwrap();
        assert!(is_program(&found) && owner(&found) == user());
        fs_err::set_permissions(&new, mode_of(&found).unwrap()).unwrap();
        assert_eq!(mode(&new), 0o750);
        set_mode(fs_err::File::open(&new).unwrap().file(), 0o640).unwrap();
        assert!(!is_program(&fs_err::metadata(&new).unwrap()));
        make_private_folder(&folder.path().join("a/b")).unwrap();
        assert_eq!(mode(&folder.path().join("a")), 0o700);
        assert_eq!(mode(&folder.path().join("a/b")), 0o700);
    }
}
