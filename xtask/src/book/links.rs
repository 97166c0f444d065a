//! Whether links lead somewhere: in what is written, and in the book that is made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use fs_err as fs;

use super::page;

/// What is wrong with the links of docs/ and of the pages beside it, a line for each.
pub(super) fn faults(root: &Path) -> Result<Vec<String>> {
    let mut pages = BTreeSet::new();
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        pages.insert(PathBuf::from(name));
    }
    add_pages(root, Path::new("docs"), &mut pages)?;
    let mut faults = Vec::new();
    let chapters = page::chapters(&root.join("docs"))?;
    for page in &pages {
        let text = fs::read_to_string(root.join(page))?;
        for link in page::links(&text) {
            if let Some(fault) = fault(root, page, &text, &link) {
                faults.push(format!("{}: {link}: {fault}", page.display()));
            }
        }
        // What is written for those who work on the program is in no book.
        let within = page.strip_prefix("docs").ok();
        let within = within.filter(|it| !it.starts_with("decisions") && *it != "SUMMARY.md");
        if let Some(within) = within
            && !chapters.iter().any(|chapter| chapter == within)
        {
            faults.push(format!("{}: is not in SUMMARY.md", page.display()));
        }
    }
    Ok(faults)
}

fn add_pages(root: &Path, folder: &Path, pages: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            add_pages(root, &path, pages)?;
        } else if path.extension().is_some_and(|it| it == "md") {
            pages.insert(path);
        }
    }
    Ok(())
}

/// What is wrong with a link of a page. Other sites are not asked.
fn fault(root: &Path, page: &Path, text: &str, link: &str) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (link, None),
    };
    let target = match path.is_empty() {
        true => page.to_owned(),
        false => beside(page, path),
    };
    if !root.join(&target).exists() {
        return Some("is not there");
    }
    let anchor = anchor?;
    let other = match path.is_empty() {
        true => text.to_owned(),
        false => fs::read_to_string(root.join(target)).ok()?,
    };
    let is_there = page::anchors(&other).iter().any(|it| it == anchor);
    (!is_there).then_some("has no such heading")
}

/// What a link of a page leads to.
fn beside(page: &Path, path: &str) -> PathBuf {
    page::settled(&page.parent().map_or_else(|| path.into(), |folder| folder.join(path)))
}

/// What is wrong with the links of the pages of HTML in a book, a line for each.
pub(super) fn faults_of_book(book: &Path) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    read_html(book, Path::new(""), &mut pages)?;
    let mut faults = Vec::new();
    for (page, text) in &pages {
        // The last page is for printing: it has all others, and their links as they were.
        if page.ends_with("print.html") || page.ends_with("toc.html") || page.ends_with("404.html")
        {
            continue;
        }
        for link in attributes(text, "href") {
            if link.contains(':') || link.is_empty() {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path.is_empty() {
                true => page.clone(),
                false => beside(page, path),
            };
            let Some(other) = pages.get(&target) else {
                if !book.join(&target).is_file() {
                    faults.push(format!("{}: {link}: is not there", page.display()));
                }
                continue;
            };
            if !anchor.is_empty() && !attributes(other, "id").any(|id| id == anchor) {
                faults.push(format!("{}: {link}: has no such heading", page.display()));
            }
        }
    }
    Ok(faults)
}

fn read_html(book: &Path, folder: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(book.join(folder)).context("reading the book")? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read_html(book, &path, pages)?;
        } else if path.extension().is_some_and(|it| it == "html") {
            let text = fs::read_to_string(book.join(&path))?;
            pages.insert(path, text);
        }
    }
    Ok(())
}

/// The values of an attribute, wherever it stands.
fn attributes<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let before = format!(" {name}=\"");
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, behind) = rest.split_once(&before)?;
        let (value, behind) = behind.split_once('"')?;
        rest = behind;
        Some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_nowhere_is_named() {
        let tmp = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = tmp.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
            write(name, "[x](docs/a.md#one)\n");
        }
        write("docs/SUMMARY.md", "[a](a.md)\n[b](deep/b.md)\n");
        write("docs/a.md", "# One\n[b](deep/b.md#two) [r](../README.md) [w](https://a.example/)\n");
        write("docs/deep/b.md", "# Two\n[a](../a.md#one) [self](#two)\n");
        write("docs/decisions/c.md", "[a](../a.md)\n");
        assert_eq!(faults(tmp.path()).unwrap(), Vec::<String>::new());
        write("docs/a.md", "# One\n[b](deep/c.md) [b](deep/b.md#three) [self](#four)\n");
        write("docs/lost.md", "");
        assert_eq!(
            faults(tmp.path()).unwrap(),
            [
                "docs/a.md: deep/c.md: is not there",
                "docs/a.md: deep/b.md#three: has no such heading",
                "docs/a.md: #four: has no such heading",
                "docs/lost.md: is not in SUMMARY.md",
            ]
        );
    }

    #[test]
    fn links_of_a_book_lead_somewhere() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("a.html"), "<h1 id=\"one\"><a href=\"b.html#two\">").unwrap();
        fs::write(tmp.path().join("b.html"), "<h1 id=\"two\"><a href=\"a.html\">").unwrap();
        assert_eq!(faults_of_book(tmp.path()).unwrap(), Vec::<String>::new());
        fs::write(tmp.path().join("b.html"), "<a href=\"c.html\"><a href=\"#x\">").unwrap();
        assert_eq!(
            faults_of_book(tmp.path()).unwrap(),
            [
                "a.html: b.html#two: has no such heading",
                "b.html: c.html: is not there",
                "b.html: #x: has no such heading",
            ]
        );
    }
}
