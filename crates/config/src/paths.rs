//! Where files may lie, root and rootless, and which of them are read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::env;
use crate::{Environment, Error};

/// The folder of the distribution's own files.
const VENDOR: &str = "/usr/share/containers";
/// The folder of the administrator's files.
const ADMIN: &str = "/etc/containers";

/// `$XDG_CONFIG_HOME/containers`, or `~/.config/containers`.
#[must_use]
pub fn user_config(environment: &Environment) -> PathBuf {
    environment
        .path(env::XDG_CONFIG_HOME)
        .unwrap_or_else(|| environment.home().join(".config"))
        .join("containers")
}

/// The places of the main file `name`, first wins: the user's, the administrator's, the vendor's.
#[must_use]
pub fn candidates(environment: &Environment, name: &str) -> [PathBuf; 3] {
    [
        user_config(environment).join(name),
        environment.system(ADMIN).join(name),
        environment.system(VENDOR).join(name),
    ]
}

/// The drop-in folders of `stem.extension`, weakest first.
///
/// A file in a later folder replaces the file of the same name in an earlier one.
#[must_use]
pub fn drop_in_folders(environment: &Environment, stem: &str, extension: &str) -> Vec<PathBuf> {
    let mut folders = Vec::with_capacity(7);
    for base in [VENDOR, ADMIN] {
        let base = environment.system(base);
        folders.push(base.join(format!("{stem}.{extension}.d")));
        if environment.uid() == 0 {
            folders.push(base.join(format!("{stem}.rootful.{extension}.d")));
        } else {
            let rootless = base.join(format!("{stem}.rootless.{extension}.d"));
            let user = rootless.join(environment.uid().to_string());
            folders.extend([rootless, user]);
        }
    }
    folders.push(user_config(environment).join(format!("{stem}.{extension}.d")));
    folders
}

/// The drop-in files in `folders`, in the order in which they are merged: by file name.
///
/// # Errors
///
/// A folder that exists cannot be read.
pub fn drop_ins(folders: &[PathBuf], extension: &str) -> Result<Vec<PathBuf>, Error> {
    let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for folder in folders {
        let entries = match fs_err::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::file("open", folder, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| Error::file("read", folder, error))?;
            let path = entry.path();
            // A link counts as what it leads to: Kubernetes mounts every file as a link.
            if path.extension().is_some_and(|found| found == extension) && path.is_file() {
                files.insert(entry.file_name(), path);
            }
        }
    }
    Ok(files.into_values().collect())
}

/// The largest file that is read, in bytes: nobody writes one by hand, and what a path leads to may
/// have no end.
const LIMIT: u64 = 16 << 20;

/// The bytes of a file, or none if there is no such file.
///
/// # Errors
///
/// The file exists but cannot be read.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match bounded(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("open", path, error)),
    }
}

/// The bytes of a file that has to be there.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    bounded(path).map_err(|error| Error::file("open", path, error))
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.take(LIMIT.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LIMIT) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_no_file_without_end() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert!(std::error::Error::source(&error).is_some(), "{error}");
    }
}
