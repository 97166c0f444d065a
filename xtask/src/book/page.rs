//! A page of Markdown, as far as its links and headings go.

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};
use fs_err as fs;

/// The chapters that SUMMARY.md names, below docs/.
pub(super) fn chapters(docs: &Path) -> Result<Vec<PathBuf>> {
    let summary = fs::read_to_string(docs.join("SUMMARY.md"))?;
    let chapters: Vec<PathBuf> = links(&summary).into_iter().map(PathBuf::from).collect();
    if chapters.is_empty() {
        bail!("SUMMARY.md names no chapter");
    }
    Ok(chapters)
}

/// The JSON schemas below docs/.
pub(super) fn schemas(docs: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in ["", "schemas"] {
        let Ok(entries) = fs::read_dir(docs.join(folder)) else { continue };
        for entry in entries {
            let name = entry?.file_name();
            if name.to_string_lossy().ends_with(".schema.json") {
                found.push(Path::new(folder).join(name));
            }
        }
    }
    Ok(found)
}

/// A path without `..` where it can do without.
pub(super) fn settled(path: &Path) -> PathBuf {
    let mut settled = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if settled.file_name().is_some() => {
                settled.pop();
            }
            part => settled.push(part),
        }
    }
    settled
}

/// Where the links of a page lead, as they are written.
pub(super) fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    with_links(text, |link| {
        found.push(link.to_owned());
        None
    });
    found
}

/// The page with other links: `replace` is asked for each that is not in code.
pub(super) fn with_links(text: &str, mut replace: impl FnMut(&str) -> Option<String>) -> String {
    let mut done = String::with_capacity(text.len());
    for (line, is_code) in lines(text) {
        if is_code {
            done.push_str(line);
            continue;
        }
        let mut rest = line;
        while let Some((before, behind)) = rest.split_once("](") {
            done.push_str(before);
            done.push_str("](");
            rest = behind;
            // A backtick that is open means that this is shown, not followed.
            let begun = line.len() - rest.len();
            let is_shown = line[..begun].matches('`').count() % 2 == 1;
            if let (false, Some((link, behind))) = (is_shown, rest.split_once(')')) {
                done.push_str(&replace(link).unwrap_or_else(|| link.to_owned()));
                done.push(')');
                rest = behind;
            }
        }
        done.push_str(rest);
    }
    done
}

/// The anchors of a page: one for each heading, as GitHub and mdbook make them.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (line, is_code) in lines(text) {
        let heading = line.trim_start_matches('#');
        if is_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor = anchor(heading.trim());
        let same = found.iter().filter(|it| **it == anchor).count();
        found.push(if same == 0 { anchor } else { format!("{anchor}-{same}") });
    }
    found
}

fn anchor(heading: &str) -> String {
    let letters = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_alphanumeric() => letter.to_lowercase().next(),
        _ => None,
    });
    letters.collect()
}

/// The lines with their ends, and whether each belongs to a block of code.
fn lines(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut inside = false;
    text.split_inclusive('\n').map(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        let is_code = inside || is_fence;
        inside ^= is_fence;
        (line, is_code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A page\n[a](b.md) and [c](d.md#e), `[f](g)`\n```\n[h](i)\n# no\n```\n## `--x`: A b\n## A page\n";

    #[test]
    fn links_are_found_and_replaced() {
        assert_eq!(links(PAGE), ["b.md", "d.md#e"]);
        let other = with_links(PAGE, |link| (link == "b.md").then(|| "B".to_owned()));
        assert_eq!(other, PAGE.replacen("b.md", "B", 1));
    }

    #[test]
    fn headings_have_anchors() {
        assert_eq!(anchors(PAGE), ["a-page", "--x-a-b", "a-page-1"]);
    }

    #[test]
    fn paths_are_settled() {
        for (path, expected) in
            [("docs/jobs/../a.md", "docs/a.md"), ("./a/./b", "a/b"), ("../a", "../a")]
        {
            assert_eq!(settled(Path::new(path)), Path::new(expected));
        }
    }
}
