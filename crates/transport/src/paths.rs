//! Paths in names of images: resolved, and widened for policies.

use std::io;
use std::path::Path;

use skopeo_blob::FileError;
use skopeo_image::{Classify, ErrorClass};

/// How many links in a row are followed to what is missing; the kernel's limit.
const MOST_LINKS: usize = 40;

/// Why a path cannot be the path of an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path leads nowhere.
    #[error(transparent)]
    File(FileError),
    /// The path leads to a file whose name is not UTF-8.
    #[error("path {0} is not UTF-8")]
    NotUtf8(String),
    /// The path ends in a name that cannot be the name of a file.
    #[error("Unexpectedly missing special filename component in {0}")]
    SpecialFile(String),
    /// The path has a colon, which the names of its transport cannot have in a path.
    #[error("path {0:?} has a colon, where the path ends in names of images in it")]
    Colon(String),
}

impl Classify for PathError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::File(error) => error.class().or(Some(ErrorClass::InvalidInput)),
            Self::NotUtf8(_) | Self::SpecialFile(_) | Self::Colon(_) => {
                Some(ErrorClass::InvalidInput)
            }
        }
    }
}

impl From<io::Error> for PathError {
    fn from(error: io::Error) -> Self {
        Self::File(error.into())
    }
}

/// Returns an error if a path has a colon: in the names of its transport the path ends there.
pub(crate) fn refuse_colon(path: &str) -> Result<(), PathError> {
    match split_path(path) {
        (_, Some(_)) => Err(PathError::Colon(path.to_owned())),
        (_, None) => Ok(()),
    }
}

/// Returns the path at the beginning of what stands behind the colon, and what follows the next
/// colon. On Windows, the colon behind the letter of a drive belongs to the path.
pub(crate) fn split_path(details: &str) -> (&str, Option<&str>) {
    let from = if cfg!(windows) { drive(details) } else { 0 };
    let colon = details.get(from..).and_then(|rest| rest.find(':'));
    let parts = colon.and_then(|at| details.split_at_checked(at.checked_add(from)?));
    parts.map_or((details, None), |(path, rest)| (path, rest.strip_prefix(':')))
}

/// Returns how long the name of a drive is that a path begins with, as `C:` does before a slash of
/// either kind.
fn drive(path: &str) -> usize {
    match path.as_bytes() {
        [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic() => 2,
        _ => 0,
    }
}

/// The absolute path without links that a path typed by the user leads to. All of it must exist,
/// except that the last part may be missing.
pub(crate) fn resolve(path: &str) -> Result<String, PathError> {
    match fs_err::symlink_metadata(path) {
        Ok(_) => match canonical(path) {
            // A link of the system's to what has no path: a pipe on standard input.
            Err(_) if fs_err::metadata(path).is_ok() => above(path),
            resolved => resolved,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => above(path),
        Err(error) => Err(error.into()),
    }
}

/// The path with all above its last part resolved.
fn above(path: &str) -> Result<String, PathError> {
    let (parent, file) = path
        .rsplit_once(is_slash)
        .map_or(("", path), |(parent, file)| (if parent.is_empty() { "/" } else { parent }, file));
    let parent = canonical(parent)?;
    match file {
        "." | ".." => Err(PathError::SpecialFile(path.to_owned())),
        "" => Ok(parent),
        _ if parent == "/" => Ok(format!("/{file}")),
        _ => Ok(format!("{parent}/{file}")),
    }
}

fn canonical(path: &str) -> Result<String, PathError> {
    let path = Path::new(if path.is_empty() { "." } else { path });
    let path = fs_err::canonicalize(path).map_err(|error| culprit(path, error))?;
    let path = path.into_os_string().into_string();
    let path = path.map_err(|path| PathError::NotUtf8(path.display().to_string()))?;
    Ok(if cfg!(windows) { plain(path) } else { path })
}

/// Returns a path of Windows as users write it: its own form takes no slashes, and is not needed
/// for short ones.
fn plain(path: String) -> String {
    let short = path.strip_prefix(r"\\?\").filter(|short| drive(short) > 0 && short.len() < 250);
    short.map(str::to_owned).unwrap_or(path)
}

/// Returns whether a letter parts folders.
fn is_slash(letter: char) -> bool {
    letter == '/' || cfg!(windows) && letter == '\\'
}

/// The error of the first part of the path that has one: which of them it was is worth knowing. A
/// link that leads nowhere is there; what it leads to is not.
fn culprit(path: &Path, error: io::Error) -> io::Error {
    let Ok(mut path) = std::path::absolute(path) else { return error };
    for _ in 0..MOST_LINKS {
        let mut parts: Vec<&Path> = path.ancestors().collect();
        parts.reverse();
        if let Some(error) = parts.iter().find_map(|part| fs_err::symlink_metadata(part).err()) {
            return error;
        }
        let broken = parts.into_iter().find(|part| !part.exists());
        let leads = broken.and_then(|link| Some(link.parent()?.join(link.read_link().ok()?)));
        let Some(target) = leads else { break };
        path = target;
    }
    error
}

/// All folders above a path except the root, nearest first.
pub(crate) fn parents(path: &str) -> Vec<String> {
    let mut parents = Vec::new();
    let mut path = path;
    while let Some(slash) = path.rfind(is_slash).filter(|slash| *slash > 0) {
        path = &path[..slash];
        parents.push(path.to_owned());
    }
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_of_windows_are_known() {
        for (path, length) in
            [(r"C:\x:y", 2), ("c:/x", 2), ("C:", 0), ("C:x", 0), ("/C:/x", 0), ("", 0), ("1:/x", 0)]
        {
            assert_eq!(drive(path), length, "{path}");
        }
        for (path, shown) in
            [(r"\\?\C:\x", r"C:\x"), (r"\\?\UNC\server\x", r"\\?\UNC\server\x"), (r"C:\x", r"C:\x")]
        {
            assert_eq!(plain(path.to_owned()), shown);
        }
        let long = format!(r"\\?\C:\{}", "x".repeat(300));
        assert_eq!(plain(long.clone()), long);
    }

    #[test]
    fn parents_end_below_the_root() {
        assert_eq!(parents("/a/b/c"), ["/a/b", "/a"]);
        assert_eq!(parents("/a"), [""; 0]);
    }
}
