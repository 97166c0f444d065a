//! The files of AWS's tools: sections of `key = value`, where an indented line below a key without
//! a value belongs to that key.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Error;
use crate::paths::read_if_there;

/// What stands in one section; a key below another is `OTHER.KEY`.
pub(super) type Section = BTreeMap<String, String>;

/// The sections of a file; none where there is no file.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Section>, Error> {
    let Some(bytes) = read_if_there(path)? else { return Ok(BTreeMap::new()) };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(parse(text)),
        Err(_) => Err(Error::Invalid(format!("{} is not UTF-8", path.display()))),
    }
}

fn parse(text: &str) -> BTreeMap<String, Section> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut current: Option<String> = None;
    let mut above = String::new();
    for line in text.lines() {
        let is_below = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let name = rest.split(']').next().unwrap_or_default();
            // `[profile  x]` is the same as `[profile x]`.
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            sections.entry(name.clone()).or_default();
            current = Some(name);
            above.clear();
            continue;
        }
        let Some(section) = current.as_ref().and_then(|name| sections.get_mut(name)) else {
            continue;
        };
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim().to_lowercase(), value.trim());
        // What stands behind a blank and a `#` is said to nobody.
        let value = value.split(" #").next().unwrap_or_default().trim_end();
        if is_below && !above.is_empty() {
            section.insert(format!("{above}.{key}"), value.to_owned());
        } else {
            above = if value.is_empty() { key.clone() } else { String::new() };
            section.insert(key, value.to_owned());
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read() {
        let text = "x = y\n# no\n[default]\nregion=eu-1 # here\n\n[profile  two]\n\
                    s3 =\n  addressing_style = path\n\tmax = 3\nAWS_Access_Key_Id = AKIA=\n[empty]";
        let sections = parse(text);
        let names: Vec<_> = sections.keys().map(String::as_str).collect();
        assert_eq!(names, ["default", "empty", "profile two"]);
        assert_eq!(sections["default"]["region"], "eu-1");
        let two = &sections["profile two"];
        assert_eq!(two["s3.addressing_style"], "path");
        assert_eq!((two["s3.max"].as_str(), two["aws_access_key_id"].as_str()), ("3", "AKIA="));
    }
}
