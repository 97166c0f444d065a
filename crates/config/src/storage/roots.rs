//! Where stores are, and who we are to them.

use std::path::{Component, Path, PathBuf};

use tracing::debug;

use crate::{Environment, Error, env};

/// The folder of root's images and layers.
const GRAPH_ROOT: &str = "/var/lib/containers/storage";
/// The folder of what root's store forgets at a restart.
const RUN_ROOT: &str = "/run/containers/storage";
/// The capability that mounts, in the mask of `/proc/self/status`.
const SYS_ADMIN: u64 = 1 << 21;
/// How many users there are where no namespace hides any.
const ALL_USERS: &str = "4294967295";

/// Whether we are no root, or one who may not do what a root may: then attributes of files are
/// written that others may write, and devices are left out.
pub(super) fn is_rootless(environment: &Environment) -> bool {
    environment.uid() != 0
        || environment.has(env::CONTAINERS_USERNS_CONFIGURED)
        || is_confined(environment)
}

/// Whether the usual store is one in the user's home.
pub(super) fn are_per_user(environment: &Environment) -> bool {
    environment.uid() != 0
}

/// Whether a user namespace, or the lack of the right to mount, is around us. What the system does
/// not tell is not so.
fn is_confined(environment: &Environment) -> bool {
    let read = |path| fs_err::read_to_string(environment.system(path)).ok();
    let may_mount = read("/proc/self/status").is_none_or(|status| {
        let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_none_or(|mask| mask & SYS_ADMIN != 0)
    });
    let sees_all = read("/proc/self/uid_map").is_none_or(|map| map.contains(ALL_USERS));
    !may_mount || !sees_all
}

/// The folder of images and layers where no file names one.
pub(super) fn graph_root(environment: &Environment) -> PathBuf {
    if !are_per_user(environment) {
        return environment.system(GRAPH_ROOT);
    }
    let data = environment.path(env::XDG_DATA_HOME);
    data.unwrap_or_else(|| environment.home().join(".local/share")).join("containers/storage")
}

/// The folder of what is gone after a restart where no file names one.
///
/// # Errors
///
/// No folder of the user's own can be had.
pub(super) fn run_root(environment: &Environment) -> Result<PathBuf, Error> {
    if !are_per_user(environment) {
        return Ok(environment.system(RUN_ROOT));
    }
    if let Some(folder) = environment.path(env::XDG_RUNTIME_DIR) {
        let resolved = fs_err::canonicalize(&folder);
        let resolved = resolved.map_err(|error| Error::file("lstat", &folder, error))?;
        return Ok(resolved.join("containers"));
    }
    let uid = environment.uid();
    let user = environment.system("/run/user").join(uid.to_string());
    let temporary = environment.path(env::TMPDIR).unwrap_or_else(|| environment.system("/tmp"));
    let temporary = temporary.join(format!("storage-run-{uid}"));
    for folder in [user, temporary.clone()] {
        if let Err(error) = make_private(&folder) {
            debug!("{error}");
            if folder == temporary {
                return Err(Error::file("mkdir", &temporary, error));
            }
        }
        if is_private(&folder) {
            return Ok(folder.join("containers"));
        }
    }
    Err(Error::Invalid(format!(
        "path {temporary:?} exists and it is not writeable only by the current user"
    )))
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    skopeo_system::make_private_folder(folder)
}

/// Whether a folder is ours, and nobody else may write there.
fn is_private(folder: &Path) -> bool {
    fs_err::symlink_metadata(folder).is_ok_and(|found| {
        skopeo_system::owner(&found) == skopeo_system::user() && skopeo_system::is_private(&found)
    })
}

/// A path of a file with its variables put in, and without links as far as it is there.
pub(super) fn expand(path: &str, environment: &Environment) -> PathBuf {
    let path = path.replace("$UID", &environment.uid().to_string());
    let path = PathBuf::from(with_variables(&path, environment));
    fs_err::canonicalize(&path).unwrap_or_else(|_| clean(&path))
}

/// `$NAME` and `${NAME}` replaced by what the environment says, by nothing if it says nothing.
fn with_variables(text: &str, environment: &Environment) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let (name, after) = match after.strip_prefix('{') {
            // Without its end a bracket is eaten.
            Some(braced) => braced.split_once('}').unwrap_or(("", braced)),
            None => {
                let is_name =
                    |character: char| character.is_ascii_alphanumeric() || character == '_';
                let end = after.find(|character| !is_name(character)).unwrap_or(after.len());
                if end == 0 {
                    result.push('$');
                }
                after.split_at(end)
            }
        };
        if name == "HOME" {
            // Where the variable is missing, too, as programs of the system's may be started.
            result.push_str(&environment.home().to_string_lossy());
        } else if let Some(value) = environment.text(name) {
            result.push_str(&value);
        }
        rest = after;
    }
    result.push_str(rest);
    result
}

/// A path without `.`, `..` and double slashes, by its text alone.
fn clean(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            part => result.push(part),
        }
    }
    result
}
