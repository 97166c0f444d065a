//! What the system said about a file, in the words that Go's users know: `open x: no such file or
//! directory`.

use std::fmt;
use std::io;

use skopeo_image::{Classify, ErrorClass};

/// `fs_err`'s words for what was tried, and Go's.
const VERBS: [(&str, &str); 15] = [
    ("open file", "open"),
    ("create file", "open"),
    ("create directory", "mkdir"),
    ("read directory", "open"),
    ("query resolved metadata", "stat"),
    ("query raw metadata", "lstat"),
    ("canonicalize path", "lstat"),
    ("read symbolic link", "readlink"),
    ("read from file", "read"),
    ("write to file", "write"),
    ("remove file", "remove"),
    ("remove directory", "remove"),
    ("set length of file", "truncate"),
    ("set permissions for file", "chmod"),
    ("sync file", "sync"),
];

/// What the system said about a file. It prints in Go's words: verb, path and reason, as far as it
/// names a path.
///
/// `fs_err` and `tempfile` keep verb and path to themselves, so that they are read off their texts.
/// A text in any other form stays as it is.
#[derive(Debug)]
pub struct FileError(io::Error);

impl FileError {
    /// Returns what kind of error it is.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.0.kind()
    }
}

impl Classify for FileError {
    fn class(&self) -> Option<ErrorClass> {
        match self.0.kind() {
            io::ErrorKind::NotFound => Some(ErrorClass::NotFound),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some(ErrorClass::Denied)
            }
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Some(ErrorClass::DiskFull),
            io::ErrorKind::AlreadyExists | io::ErrorKind::ResourceBusy => {
                Some(ErrorClass::Conflict)
            }
            _ => None,
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_gos_words(&self.0))
    }
}

/// Returns what the system said, as [`FileError`] prints it.
#[must_use]
pub fn in_gos_words(error: &io::Error) -> String {
    let text = error.to_string();
    if error.raw_os_error().is_some() {
        return reason(&text);
    }
    of_fs_err(&text).or_else(|| of_tempfile(&text)).unwrap_or(text)
}

/// The text is all there is to say.
impl std::error::Error for FileError {}

/// "failed to open file `x`: No such file or directory (os error 2)"
fn of_fs_err(text: &str) -> Option<String> {
    let (action, rest) = text.strip_prefix("failed to ")?.split_once(" `")?;
    let (paths, why) = rest.rsplit_once("`: ")?;
    let why = reason(why);
    if let Some((from, to)) = paths.split_once("` to `") {
        let verb = action.split(' ').next().unwrap_or(action);
        return Some(format!("{verb} {from} {to}: {why}"));
    }
    let verb = VERBS.iter().find(|(words, _)| *words == action).map_or(action, |(_, verb)| verb);
    Some(format!("{verb} {paths}: {why}"))
}

/// `Permission denied (os error 13) at path "x"`, which only creating and renaming say.
fn of_tempfile(text: &str) -> Option<String> {
    let (why, path) = text.split_once(" at path \"")?;
    Some(format!("open {}: {}", path.strip_suffix('"')?, reason(why)))
}

/// Lower case, no number.
fn reason(text: &str) -> String {
    let Some((said, _)) = text.split_once(" (os error ") else { return text.to_owned() };
    let mut characters = said.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_fail_in_the_words_of_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::write(path("file"), "").unwrap();
        symlink(path("loop"), path("loop")).unwrap();
        let cases: Vec<(io::Error, &str)> = vec![
            (
                fs_err::File::open(path("none")).unwrap_err(),
                "open @/none: no such file or directory",
            ),
            (fs_err::read(path("none")).unwrap_err(), "open @/none: no such file or directory"),
            (fs_err::read(path("file/x")).unwrap_err(), "open @/file/x: not a directory"),
            (
                fs_err::read(path("loop")).unwrap_err(),
                "open @/loop: too many levels of symbolic links",
            ),
            (fs_err::read(path("")).unwrap_err(), "read @/: is a directory"),
            (fs_err::create_dir(path("file")).unwrap_err(), "mkdir @/file: file exists"),
            (fs_err::read_dir(path("none")).unwrap_err(), "open @/none: no such file or directory"),
            (fs_err::metadata(path("none")).unwrap_err(), "stat @/none: no such file or directory"),
            (
                fs_err::symlink_metadata(path("none")).unwrap_err(),
                "lstat @/none: no such file or directory",
            ),
            (
                fs_err::canonicalize(path("none")).unwrap_err(),
                "lstat @/none: no such file or directory",
            ),
            (
                fs_err::remove_file(path("none")).unwrap_err(),
                "remove @/none: no such file or directory",
            ),
            (
                fs_err::rename(path("none"), path("else")).unwrap_err(),
                "rename @/none @/else: no such file or directory",
            ),
            (
                tempfile::Builder::new()
                    .prefix("t-")
                    .rand_bytes(0)
                    .tempfile_in(path("none"))
                    .unwrap_err(),
                "open @/none/t-: no such file or directory",
            ),
            (io::Error::from_raw_os_error(28), "no space left on device"),
            (io::Error::other("what somebody else said"), "what somebody else said"),
        ];
        for (error, expected) in cases {
            let expected = expected.replace('@', folder.path().to_str().unwrap());
            let text = error.to_string();
            assert_eq!(FileError(error).to_string(), expected, "{text}");
        }
    }
}
