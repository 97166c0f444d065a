//! Paths of names, as Go's `path` has them: the original makes its names with that.

/// Returns the last part of a path, as Go's `path.Base`.
#[must_use]
pub fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match trimmed.rsplit_once('/') {
        Some((_, last)) => last,
        None if path.is_empty() => ".",
        None if trimmed.is_empty() => "/",
        None => trimmed,
    }
}

/// Returns two paths as one, as Go's `path.Join`: joined by one slash, without `.`, `..` and empty
/// parts.
#[must_use]
pub fn join(place: &str, name: &str) -> String {
    let joined = match (place, name) {
        ("", "") => return String::new(),
        ("", name) => name.to_owned(),
        (place, "") => place.to_owned(),
        (place, name) => format!("{place}/{name}"),
    };
    let rooted = joined.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => _ = parts.pop(),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let clean = parts.join("/");
    match (rooted, clean.is_empty()) {
        (true, _) => format!("/{clean}"),
        (false, true) => ".".to_owned(),
        (false, false) => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_as_go_does() {
        for (place, name, expected) in [
            ("a", "b", "a/b"),
            ("a/", "/b", "a/b"),
            ("", "b", "b"),
            ("a/", "", "a"),
            ("", "", ""),
            (".", ".", "."),
            ("/", "..", "/"),
            ("../a", "../../b", "../../b"),
            ("a//b", "./c", "a/b/c"),
        ] {
            assert_eq!(join(place, name), expected);
        }
        for (path, expected) in [("a/b", "b"), ("a/", "a"), ("", "."), ("//", "/"), ("a", "a")] {
            assert_eq!(base(path), expected);
        }
    }
}
