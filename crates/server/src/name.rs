//! Repository names and tags, checked before they become paths.

use std::fmt;

/// The longest repository name that is taken, in characters (as distribution's).
const MAX_LENGTH: usize = 255;

/// Names of files that an OCI layout needs for itself, so that no repository below it may have
/// them.
const RESERVED: [&str; 3] = ["blobs", "index.json", "oci-layout"];

/// A repository's path: components of lower-case letters and digits, separated by `/`.
///
/// A value of this type is always valid: no component is empty or begins with a dot, so it is safe
/// as a relative path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RepositoryName(Box<str>);

impl RepositoryName {
    /// Checks `text` against the distribution specification's grammar.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let valid = text.len() <= MAX_LENGTH && text.split('/').all(is_component);
        valid.then(|| Self(text.into()))
    }

    /// The nearest valid name to that of a folder; `image` if nothing of it can stay.
    pub(crate) fn of_folder(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let kept: String =
            lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Self::parse(&lower)
            .or_else(|| Self::parse(kept.trim_matches('-')))
            .unwrap_or_else(|| Self("image".into()))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether some component is the name of a layout's own file.
    pub(crate) fn is_reserved(&self) -> bool {
        self.0.split('/').any(|component| RESERVED.contains(&component))
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    alphanumeric(*first)
        && alphanumeric(*last)
        && bytes.split(|b| alphanumeric(*b)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
        })
}

/// Whether `text` may be a tag: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
pub(crate) fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_grammar() {
        for (text, valid) in [
            ("a", true),
            ("library/busybox", true),
            ("a.b/c_d/e__f/g---h/0", true),
            ("docker.io/library/x", true),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("a//b", false),
            ("A", false),
            (".a", false),
            ("a.", false),
            ("..", false),
            ("a/../b", false),
            ("a/./b", false),
            ("a..b", false),
            ("a___b", false),
            ("a._b", false),
            ("a\\b", false),
            ("a\0b", false),
            ("localhost:5000/a", false),
            ("é", false),
        ] {
            assert_eq!(RepositoryName::parse(text).is_some(), valid, "{text:?}");
        }
        assert!(RepositoryName::parse(&"a".repeat(255)).is_some());
        assert!(RepositoryName::parse(&"a".repeat(256)).is_none());
    }

    #[test]
    fn reserved_names_are_those_of_a_layout() {
        for (text, reserved) in
            [("a/blobs", true), ("index.json", true), ("oci-layout/x", true), ("a/blob", false)]
        {
            assert_eq!(RepositoryName::parse(text).unwrap().is_reserved(), reserved, "{text}");
        }
    }

    #[test]
    fn folders_become_names() {
        for (folder, name) in
            [("target", "target"), ("My Images", "my-images"), ("...", "image"), ("a.b", "a.b")]
        {
            assert_eq!(RepositoryName::of_folder(folder).as_str(), name);
        }
    }

    #[test]
    fn tag_grammar() {
        for (text, valid) in [
            ("latest", true),
            ("_A.b-1", true),
            ("", false),
            (".a", false),
            ("-a", false),
            ("a:b", false),
            ("a/b", false),
        ] {
            assert_eq!(is_tag(text), valid, "{text:?}");
        }
        assert!(is_tag(&"a".repeat(128)) && !is_tag(&"a".repeat(129)));
    }
}
