//! Pages for `man`.

use std::fmt::Write as _;

use super::page::{Block, Page, Span};

/// The page as its file has it.
pub(super) fn render(page: &Page) -> String {
    let mut text = format!(
        ".TH \"{}\" 1 \"\" \"skopeo {}\" \"\"\n.SH NAME\n{} \\- {}\n",
        page.name.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        escape(&page.name),
        escape(page.short)
    );
    page.blocks.iter().for_each(|block| add(&mut text, block));
    text
}

fn add(text: &mut String, block: &Block) {
    let _ = match block {
        Block::Section(title) => writeln!(text, ".SH {}", escape(title)),
        Block::Subcommand { name, synopsis } => {
            writeln!(text, ".SS {} {}", escape(name), escape(synopsis))
        }
        Block::Synopsis(line) => writeln!(text, "{}", spans(line)),
        Block::Paragraph(line) => writeln!(text, ".PP\n{}", spans(line)),
        Block::Prose(prose) => {
            paragraphs(text, prose);
            Ok(())
        }
        Block::Example(example) => {
            let lines: Vec<String> = example.lines().map(escape).collect();
            writeln!(text, ".PP\n.nf\n{}\n.fi", lines.join("\n"))
        }
        Block::Entry { term, lines } => {
            let lines: Vec<String> = lines.iter().map(|line| escape(line)).collect();
            writeln!(text, ".TP\n{}\n{}", spans(term), lines.join("\n"))
        }
        Block::Pages(names) => {
            let names: Vec<String> =
                names.iter().map(|name| format!("\\fB{}\\fR(1)", escape(name))).collect();
            writeln!(text, "{}", names.join(", "))
        }
    };
}

fn paragraphs(text: &mut String, prose: &str) {
    for (at, paragraph) in prose.split("\n\n").enumerate() {
        if at > 0 {
            text.push_str(".PP\n");
        }
        for line in paragraph.lines() {
            let _ = writeln!(text, "{}", escape(line));
        }
    }
}

fn spans(spans: &[Span]) -> String {
    let spans = spans.iter().map(|span| match span {
        Span::Plain(text) => escape(text),
        Span::Literal(text) => format!("\\fB{}\\fR", escape(text)),
        Span::Variable(text) => format!("\\fI{}\\fR", escape(text)),
    });
    spans.collect()
}

/// The text so that troff prints it as it is.
fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_safe_for_troff() {
        for (text, escaped) in
            [("a-b", "a\\-b"), (".x", "\\&.x"), ("a\\b", "a\\eb"), ("it's", "it\\(aqs")]
        {
            assert_eq!(escape(text), escaped);
        }
    }
}
