//! Names and links as they are looked up.

/// A name as it is looked up: `a/b` for `./a//x/../b` and for `/a/b`. What leads out of the
/// archive's folder begins with `../`.
pub(crate) fn clean(name: &[u8]) -> Vec<u8> {
    let is_absolute = name.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// Where a relative link leads that is called `link`.
pub(super) fn beside(link: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    let path = link.rsplit_once('/').map(|(folder, _)| format!("{folder}/{target}"));
    let clean = clean(path.as_deref().unwrap_or(target).as_bytes());
    String::from_utf8(clean).unwrap_or_default()
}

/// Whether a clean name leads to no place below the folder that the archive is for.
pub(super) fn is_outside(name: &str) -> bool {
    name == ".." || name.starts_with("../") || name.starts_with('/')
}
