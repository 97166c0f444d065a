//! The manual: one page for the program and one for each command, from the table of flags.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod markdown;
mod page;
mod text;
mod troff;

use page::Page;

use crate::args;

/// Returns the pages for `man`, each with the name of its file.
#[must_use]
pub fn pages() -> Vec<(String, String)> {
    all(|page| (format!("{}.1", page.name), troff::render(page)))
}

/// Returns the same pages for the book of docs/, in Markdown, each with the name of its file.
#[must_use]
pub fn chapters() -> Vec<(String, String)> {
    all(|page| (format!("{}.md", page.name), markdown::render(page)))
}

fn all(render: impl Fn(&Page) -> (String, String)) -> Vec<(String, String)> {
    page::pages(&args::tree(None)).iter().map(render).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_sends_its_reader_to_itself() {
        for (file, text) in pages() {
            let itself = format!("{}(1)", file.trim_end_matches(".1"));
            let text = text.replace("\\-", "-").replace("\\fR", "").replace("\\fB", "");
            let found = text.lines().find(|line| line.contains(&itself));
            assert_eq!(found, None, "{file}");
        }
    }

    /// What is said of an option ends where the next one, or something else, begins.
    #[test]
    fn no_sentence_runs_into_an_option() {
        for (file, text) in pages() {
            let mut lines = text.lines().peekable();
            while let Some(line) = lines.next() {
                if line != ".TP" {
                    continue;
                }
                let (tag, said) = (lines.next().unwrap(), lines.next().unwrap());
                assert!(!tag.starts_with('.') && !said.starts_with('.'), "{file}: {tag} {said}");
                lines.next_if(|line| line.starts_with("(default "));
                let next = lines.peek().copied().unwrap_or(".");
                assert!(next.starts_with('.'), "{file}: {tag}: {said} | {next}");
            }
        }
    }

    #[test]
    fn the_manual_has_every_transport_command_and_file() {
        let pages = pages();
        let page = |name: &str| {
            let (_, text) = pages.iter().find(|(file, _)| file == name).unwrap();
            text.replace("\\-", "-")
        };
        let main = page("skopeo.1");
        for transport in args::transports() {
            assert!(main.contains(&format!("\n{transport}:")), "{transport}");
        }
        for command in &args::tree(None).commands {
            assert_eq!(
                main.contains(&format!(".TP\n\\fB{}\\fR\n", command.name)),
                command.visible,
                "{}",
                command.name
            );
        }
        let sync = page("skopeo-sync.1");
        for part in ["skopeo sync report merge", "FILES OF", "images-by-semver:", "version: 2"] {
            assert!(sync.contains(part), "{part}");
        }
    }
}
