//! Names of a tar as paths below a root.

use super::error::{Error, Result, shown};

/// How long a path may be in bytes, as the kernel has it.
pub(super) const LONGEST: usize = 4095;

/// The path without what says nothing: no `.`, no `..`, no `/` at either end nor two of them.
/// Empty for the root. `what` is said if it leads out of the root.
pub(super) fn clean(name: &[u8], what: &'static str) -> Result<Vec<u8>> {
    let is_absolute = name.starts_with(b"/");
    let mut path = Vec::with_capacity(name.len());
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if path.is_empty() && is_absolute => {}
            b".." if path.is_empty() => return Err(Error::Outside { what, name: shown(name) }),
            b".." => path.truncate(split(&path).0.len()),
            component => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(component);
            }
        }
    }
    Ok(path)
}

/// A clean path as the folder and the name in it.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        None => (b"", path),
        Some(slash) => {
            let (folder, name) = path.split_at_checked(slash).unwrap_or((path, b""));
            (folder, name.strip_prefix(b"/").unwrap_or(name))
        }
    }
}

/// Whether a clean path is another, or a folder above it.
pub(super) fn is_above(path: &[u8], other: &[u8]) -> bool {
    path.is_empty()
        || other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_clean_and_inside() {
        for (name, path) in [
            ("a", "a"),
            ("./a/", "a"),
            ("/a//b/./c/", "a/b/c"),
            ("a/../b", "b"),
            ("a/b/../../c", "c"),
            ("/../a", "a"),
            ("", ""),
            (".", ""),
            ("/", ""),
            ("a/..", ""),
            ("...", "..."),
        ] {
            assert_eq!(clean(name.as_bytes(), "").unwrap(), path.as_bytes(), "{name}");
        }
        for name in ["..", "../a", "a/../../b", "./.."] {
            assert!(clean(name.as_bytes(), "").is_err(), "{name}");
        }
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
        assert!(is_above(b"a", b"a/b") && is_above(b"", b"a") && is_above(b"a", b"a"));
        assert!(!is_above(b"a", b"ab") && !is_above(b"a/b", b"a"));
    }
}
