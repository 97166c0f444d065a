//! The licences of what is linked in.
//!
//! cargo-about does the same for more kinds of output; it takes minutes to build, and a table of ours
//! is there anyway, for the SBOM.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use fs_err as fs;

use super::{Target, parts};

/// How the files are called that crates have their licences in.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// A list of all crates of others with their licences, and then each text once.
pub(super) fn text(target: Target) -> Result<String> {
    let mut text =
        String::from("skopeo-rs is licensed under Apache-2.0. It is linked with these crates:\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in parts::read(target)?.iter().filter(|part| !part.is_ours) {
        let _ = writeln!(text, "{}: {}", part.called(), part.license);
        for licence in licences(&part.folder)? {
            texts.entry(licence).or_default().push(part.called());
        }
    }
    let mut texts: Vec<(String, Vec<String>)> = texts.into_iter().collect();
    texts.sort_by(|a, b| a.1.cmp(&b.1));
    for (licence, crates) in texts {
        let _ = write!(text, "\n{}\n{}\n\n{licence}\n", "-".repeat(72), crates.join(", "));
    }
    Ok(text)
}

/// The texts in the folder of a crate, without spaces at their ends.
fn licences(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if NAMES.iter().any(|it| name.starts_with(it)) && entry.file_type()?.is_file() {
            let bytes = fs::read(entry.path())?;
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            found.push(lines.join("\n").trim().to_owned());
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_found_by_their_names() {
        let tmp = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("LICENSE-MIT", "mit  \r\nx\n"),
            ("license.txt", "mit\nx"),
            ("NOTICE", "notice"),
            ("README", "no"),
        ] {
            fs::write(tmp.path().join(name), text).unwrap();
        }
        fs::create_dir(tmp.path().join("LICENSES")).unwrap();
        assert_eq!(licences(tmp.path()).unwrap(), ["mit\nx", "notice"]);
    }
}
