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

/// Returns `$XDG_CONFIG_HOME/containers`, or `~/.config/containers`.
#[must_use]
pub fn user_config(environment: &Environment) -> PathBuf {
    environment
        .path(env::XDG_CONFIG_HOME)
        .unwrap_or_else(|| environment.home().join(".config"))
        .join("containers")
}

/// Returns the places of the main file `name`, first wins: the user's, the administrator's, the
/// vendor's.
#[must_use]
pub fn candidates(environment: &Environment, name: &str) -> [PathBuf; 3] {
    [
        user_config(environment).join(name),
        environment.system(ADMIN).join(name),
        environment.system(VENDOR).join(name),
    ]
}

/// Returns the drop-in folders of a configuration, weakest first: `stem.conf.d` with a `suffix` of
/// `.conf`, `stem.d` with none, and those of root or of this user between the system's and the
/// user's own.
///
/// A file in a later folder replaces the file of the same name in an earlier one.
#[must_use]
pub fn drop_in_folders(environment: &Environment, stem: &str, suffix: &str) -> Vec<PathBuf> {
    let mut folders = Vec::with_capacity(7);
    for base in [VENDOR, ADMIN] {
        let base = environment.system(base);
        folders.push(base.join(format!("{stem}{suffix}.d")));
        if environment.uid() == 0 {
            folders.push(base.join(format!("{stem}.rootful{suffix}.d")));
        } else {
            let rootless = base.join(format!("{stem}.rootless{suffix}.d"));
            let user = rootless.join(environment.uid().to_string());
            folders.extend([rootless, user]);
        }
    }
    folders.push(user_config(environment).join(format!("{stem}{suffix}.d")));
    folders
}

/// Returns the drop-in files in `folders`, in the order in which they are merged: by file name.
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

/// A configuration of one main file and drop-ins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search<'a> {
    /// What the files are called, without `.conf`.
    pub(crate) stem: &'static str,
    /// The main file that a flag names.
    pub(crate) explicit: Option<&'a Path>,
    /// The variable that names a file to read instead of all others.
    pub(crate) instead: &'static str,
    /// The variable that names a file to read after all others.
    pub(crate) last: &'static str,
}

/// Calls `merge` for each file that applies, in their order, with the file and what to call it.
///
/// # Errors
///
/// A file that was named does not exist, or `merge` fails.
pub(crate) fn each(
    environment: &Environment,
    search: Search<'_>,
    mut merge: impl FnMut(&Path, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    let Search { stem, explicit, instead, last } = search;
    let named = environment.path(instead);
    let (main, with_drop_ins) = match (explicit, named) {
        (Some(path), _) => (Some(path.to_owned()), true),
        (None, Some(path)) => (Some(path), false),
        (None, None) => (None, true),
    };
    if let Some(path) = main {
        merge(&path, stem)?;
    } else {
        for path in candidates(environment, &format!("{stem}.conf")) {
            match merge(&path, stem) {
                Err(error) if error.is_not_found() => {}
                done => {
                    done?;
                    break;
                }
            }
        }
    }
    if with_drop_ins {
        let files = drop_ins(&drop_in_folders(environment, stem, ".conf"), "conf")
            .map_err(|error| error.during(format!("reading {stem}.conf.d")))?;
        for path in files {
            match merge(&path, &format!("drop-in {stem}")) {
                // Removed since the folder was read.
                Err(error) if error.is_not_found() => {}
                done => done?,
            }
        }
    }
    match environment.path(last) {
        Some(path) => merge(&path, stem),
        None => Ok(()),
    }
}

/// The text of a configuration file.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    let bytes = read(path)?;
    String::from_utf8(bytes).map_err(|_| Error::Toml("toml: the file is not UTF-8".to_owned()))
}

/// The largest file that is read, in bytes: nobody writes one by hand, and what a path leads to may
/// have no end.
const LIMIT: u64 = 16 << 20;

/// More than most files have, in bytes.
const USUAL: usize = 8 << 10;

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
    // Most are read at once: without a capacity they are read in pieces from 32 bytes on.
    let mut bytes = Vec::with_capacity(USUAL);
    fs_err::File::open(path)?.take(LIMIT.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LIMIT) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    /// One rule for all of them, as root and as a user.
    #[test]
    fn where_files_are_searched() {
        let shown = |machine: &Machine, folders: &[PathBuf]| -> Vec<String> {
            let root = machine.root().to_str().unwrap();
            folders.iter().map(|it| it.to_str().unwrap().replace(root, "")).collect()
        };
        let user = Machine::new();
        let moved = Machine::new().var_path("XDG_CONFIG_HOME", "xdg");
        let root = Machine::new().rootful();
        let unshared = Machine::new().rootful().var("_CONTAINERS_ROOTLESS_UID", "7");
        for (machine, config, special) in [
            (&user, "/home/.config", &["rootless SUFFIX.d", "rootless SUFFIX.d/1000"][..]),
            (&moved, "/xdg", &["rootless SUFFIX.d", "rootless SUFFIX.d/1000"]),
            (&root, "/home/.config", &["rootful SUFFIX.d"]),
            (&unshared, "/home/.config", &["rootless SUFFIX.d", "rootless SUFFIX.d/7"]),
        ] {
            for (stem, suffix) in
                [("registries", ".conf"), ("storage", ".conf"), ("registries", ""), ("certs", "")]
            {
                let mut expected = Vec::new();
                for base in ["/usr/share/containers", "/etc/containers"] {
                    expected.push(format!("{base}/{stem}{suffix}.d"));
                    for special in special {
                        let special = special.replace(" SUFFIX", suffix);
                        expected.push(format!("{base}/{stem}.{special}"));
                    }
                }
                expected.push(format!("{config}/containers/{stem}{suffix}.d"));
                let folders = drop_in_folders(&machine.environment(), stem, suffix);
                assert_eq!(shown(machine, &folders), expected);
            }
            let main = candidates(&machine.environment(), "policy.json");
            let expected = [
                format!("{config}/containers/policy.json"),
                "/etc/containers/policy.json".to_owned(),
                "/usr/share/containers/policy.json".to_owned(),
            ];
            assert_eq!(shown(machine, &main), expected);
        }
    }

    #[test]
    fn reads_no_file_without_end() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert!(std::error::Error::source(&error).is_some(), "{error}");
    }
}
