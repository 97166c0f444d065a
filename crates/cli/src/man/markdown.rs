//! Pages for the book of docs/.

use std::fmt::Write as _;

use super::page::{Block, Page, Span};

/// The page as its file has it.
pub(super) fn render(page: &Page) -> String {
    let mut text = format!("# {}\n\n{}.\n", spaced(&page.name), escape(page.short));
    let mut in_list = false;
    for block in &page.blocks {
        let is_entry = matches!(block, Block::Entry { .. });
        // Entries make one list; all else has an empty line before it.
        if !(is_entry && in_list) {
            text.push('\n');
        }
        in_list = is_entry;
        add(&mut text, block);
    }
    text
}

fn add(text: &mut String, block: &Block) {
    let _ = match block {
        Block::Section(title) => writeln!(text, "## {}", heading(title)),
        Block::Subcommand { name, synopsis } => {
            writeln!(text, "### {name}\n\n```\n{name} {synopsis}\n```")
        }
        Block::Synopsis(line) => writeln!(text, "```\n{}\n```", plain(line)),
        Block::Paragraph(line) => writeln!(text, "{}", spans(line)),
        Block::Prose(prose) => writeln!(text, "{}", escape(prose)),
        Block::Example(example) => writeln!(text, "```\n{example}\n```"),
        Block::Entry { term, lines } => {
            writeln!(text, "- `{}`: {}", plain(term), escape(&lines.join(" ")))
        }
        Block::Pages(names) => {
            let links: Vec<String> =
                names.iter().map(|name| format!("[{}]({name}.md)", spaced(name))).collect();
            writeln!(text, "{}", links.join(", "))
        }
    };
}

/// `skopeo-list-tags` as it is typed.
fn spaced(name: &str) -> String {
    name.replacen("skopeo-", "skopeo ", 1)
}

/// `IMAGE NAMES` as a heading of prose; words in small letters stay.
fn heading(title: &str) -> String {
    let lowered = title.to_lowercase();
    let mut letters = lowered.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn plain(spans: &[Span]) -> String {
    let mut text = String::new();
    for Span::Plain(part) | Span::Literal(part) | Span::Variable(part) in spans {
        text.push_str(part);
    }
    text
}

fn spans(spans: &[Span]) -> String {
    let spans = spans.iter().map(|span| match span {
        Span::Plain(text) => escape(text),
        Span::Literal(text) => format!("`{text}`"),
        Span::Variable(text) => format!("*{}*", escape(text)),
    });
    spans.collect()
}

/// The text so that it is shown as it is. What stands in backticks is code already.
fn escape(text: &str) -> String {
    let parts: Vec<String> = text
        .split('`')
        .enumerate()
        .map(|(at, part)| match at.is_multiple_of(2) {
            true => mask(part),
            false => part.to_owned(),
        })
        .collect();
    // A backtick alone encloses nothing.
    if parts.len().is_multiple_of(2) { mask(text).replace('`', "\\`") } else { parts.join("`") }
}

fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '*' | '_' | '<' | '|' | '[' | ']') {
            masked.push('\\');
        }
        masked.push(letter);
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_it_is() {
        for (text, escaped) in [
            ("*.crt, a_b", "\\*.crt, a\\_b"),
            ("<2 [x](y)", "\\<2 \\[x\\](y)"),
            ("as `docker save a_b` has it", "as `docker save a_b` has it"),
            ("one ` alone*", "one \\` alone\\*"),
        ] {
            assert_eq!(escape(text), escaped);
        }
    }

    #[test]
    fn headings_are_prose() {
        assert_eq!(heading("IMAGE NAMES"), "Image names");
        assert_eq!(heading("FILES OF --src yaml"), "Files of --src yaml");
        assert_eq!(spaced("skopeo-list-tags"), "skopeo list-tags");
    }
}
