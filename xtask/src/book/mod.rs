//! The manual: docs/ as a book, and whether its links lead somewhere.

mod browser;
mod links;
mod page;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use fs_err as fs;

use crate::shell;
use crate::tools::MDBOOK;

/// Where a link leads that leads out of docs/.
const REPOSITORY: &str = "https://github.com/skopeo-rs/skopeo/blob/main/";

/// Checks links in what is written, builds the book, and says where it is.
pub(crate) fn run() -> Result<()> {
    check_pages()?;
    match build()? {
        Some(book) => {
            println!("{}", book.join("index.html").display());
            look(&book)?.iter().for_each(|picture| println!("{}", picture.display()));
        }
        None => bail!("there is no mdbook, and no pip that installs it: cargo install mdbook"),
    }
    Ok(())
}

/// Checks links in what is written, and builds the book where that can be done.
pub(crate) fn check() -> Result<()> {
    check_pages()?;
    match build()? {
        Some(book) => look(&book).map(drop),
        None => {
            eprintln!("SKIPPED: the book, as there is no mdbook: cargo install mdbook");
            Ok(())
        }
    }
}

/// Pictures of pages, beside the book, where a browser is installed.
fn look(book: &Path) -> Result<Vec<PathBuf>> {
    let pictures = browser::look(book, &book.with_file_name("book-pictures"))?;
    if pictures.is_none() {
        eprintln!("SKIPPED: pictures of the book, as there is no browser (Debian: chromium)");
    }
    Ok(pictures.unwrap_or_default())
}

fn check_pages() -> Result<()> {
    let faults = links::faults(&shell::root())?;
    if !faults.is_empty() {
        bail!("links of the manual:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

/// The book's folder; nothing if no mdbook is to be had.
fn build() -> Result<Option<PathBuf>> {
    let target = shell::target_dir()?;
    let Some(mdbook) = mdbook(&target) else { return Ok(None) };
    let source = target.join("book-source");
    let book = target.join("book");
    for folder in [&source, &book] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
    }
    stage(&shell::root(), &source)?;
    let mut command = Command::new(mdbook);
    command.env("MDBOOK_LOG", "warn").arg("build").arg(&source).arg("--dest-dir").arg(&book);
    shell::run(&mut command)?;
    let faults = links::faults_of_book(&book)?;
    if !faults.is_empty() {
        bail!("links of the book:\n  {}", faults.join("\n  "));
    }
    Ok(Some(book))
}

/// The installed mdbook, or our own; in CI, and where `SKOPEO_BOOK` is set, it is installed if it is not
/// there.
fn mdbook(target: &Path) -> Option<PathBuf> {
    if let Some(there) = MDBOOK.find(target) {
        return Some(there);
    }
    if env::var_os("CI").is_none() && env::var_os("SKOPEO_BOOK").is_none() {
        return None;
    }
    MDBOOK.install(target)
}

/// Copies docs/ to `source`, with links out of it to the repository.
fn stage(root: &Path, source: &Path) -> Result<()> {
    let docs = root.join("docs");
    let chapters = page::chapters(&docs)?;
    fs::create_dir_all(source)?;
    fs::copy(docs.join("book.toml"), source.join("book.toml"))?;
    fs::copy(docs.join("SUMMARY.md"), source.join("SUMMARY.md"))?;
    for chapter in &chapters {
        let text = fs::read_to_string(docs.join(chapter))?;
        let folder = Path::new("docs").join(chapter.parent().context("a chapter is in a folder")?);
        let text = page::with_links(&text, |link| outside(link, &folder, &docs, &chapters));
        let to = source.join(chapter);
        fs::create_dir_all(to.parent().context("a chapter is in a folder")?)?;
        fs::write(to, text)?;
    }
    for schema in page::schemas(&docs)? {
        let to = source.join(&schema);
        fs::create_dir_all(to.parent().context("a schema is in a folder")?)?;
        fs::copy(docs.join(&schema), to)?;
    }
    Ok(())
}

/// What replaces a link of a chapter in `folder` to what is in no book; nothing if it stays.
fn outside(link: &str, folder: &Path, docs: &Path, chapters: &[PathBuf]) -> Option<String> {
    if link.contains("://") || link.starts_with('#') {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, ""), |(path, anchor)| (path, anchor));
    let path = page::settled(&folder.join(path));
    let within = path.strip_prefix("docs").ok();
    let is_chapter = within.is_some_and(|within| chapters.iter().any(|it| it == within));
    let is_schema = within.is_some_and(|within| {
        within.extension().is_some_and(|it| it == "json") && docs.join(within).is_file()
    });
    if is_chapter || is_schema {
        return None;
    }
    let anchor = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
    Some(format!("{REPOSITORY}{}{anchor}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_book_lead_to_the_repository() {
        let chapters = [PathBuf::from("json.md"), PathBuf::from("jobs/copy.md")];
        let docs = shell::root().join("docs");
        for (link, replaced) in [
            ("../json.md#a", None),
            ("copy.md", None),
            ("#here", None),
            ("https://example.com/x", None),
            ("../sync-v2.schema.json", None),
            ("../../deploy/slurm", Some("deploy/slurm")),
            ("../../README.md#measured", Some("README.md#measured")),
            ("../decisions/layers.md", Some("docs/decisions/layers.md")),
        ] {
            let replaced = replaced.map(|path| format!("{REPOSITORY}{path}"));
            assert_eq!(outside(link, Path::new("docs/jobs"), &docs, &chapters), replaced, "{link}");
        }
    }
}
