//! How long files may be.

use std::path::Path;

use super::root;

/// The most lines that a file may have.
const MOST: usize = 450;

/// The files that are longer, and why. A row goes when its file is short enough.
const LONGER: &[(&str, &str)] = &[
    ("crates/registry/src/upload/mod.rs", "an upload in one request, in two and in many"),
    ("crates/registry/tests/it/authorization.rs", "all ways to be let in, with one server"),
    ("crates/registry/tests/it/tls.rs", "all certificates, with one way to make them"),
    ("crates/registry/tests/it/uploads.rs", "all ways to send a blob, with one server"),
    ("crates/trust/tests/it/bundles/mod.rs", "one table of judgements"),
];

/// Returns the files below a folder with how many lines each has.
fn lines(folder: &Path, found: &mut Vec<(String, usize)>) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            lines(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push((name, fs_err::read_to_string(&path).unwrap().lines().count()));
        }
    }
}

#[test]
fn no_file_is_too_long() {
    let mut found = Vec::new();
    for folder in ["crates", "xtask", "fuzz"] {
        lines(&root().join(folder), &mut found);
    }
    assert!(found.len() > 900, "only {} files found", found.len());
    let long: Vec<&(String, usize)> = found.iter().filter(|(_, lines)| *lines > MOST).collect();
    let is_row = |name: &str| LONGER.iter().any(|(row, _)| *row == name);
    let new: Vec<_> = long.iter().filter(|(name, _)| !is_row(name)).collect();
    assert!(new.is_empty(), "these files have more than {MOST} lines: {new:#?}");
    let is_long = |row: &str| long.iter().any(|(name, _)| name == row);
    let short: Vec<_> = LONGER.iter().filter(|(row, _)| !is_long(row)).collect();
    assert!(short.is_empty(), "these files are short now, so their rows go: {short:#?}");
}
