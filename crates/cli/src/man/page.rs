//! What a page of the manual says, before anybody decides what it looks like.

use super::text::{
    DESCRIPTION, ENVIRONMENT, EXIT, IMAGE_NAMES, YAML, YAML_2, YAML_2_EXAMPLE, YAML_EXAMPLE,
};
use crate::args::command::{Command, Usage};
use crate::args::flag::Flag;
use crate::exit::CLASSES;

/// One page of the manual.
pub(super) struct Page {
    /// What it is called, such as `skopeo-copy`.
    pub(super) name: String,
    /// What its command does, in one line.
    pub(super) short: &'static str,
    /// What follows, in order.
    pub(super) blocks: Vec<Block>,
}

/// A part of a page.
pub(super) enum Block {
    /// The title of what follows.
    Section(String),
    /// The title of what follows, which is about a command below that of the page.
    Subcommand { name: String, synopsis: &'static str },
    /// The command line.
    Synopsis(Vec<Span>),
    /// Paragraphs with an empty line between them.
    Prose(String),
    /// One paragraph after others.
    Paragraph(Vec<Span>),
    /// What one types, or has in a file.
    Example(String),
    /// A term, and the lines that explain it.
    Entry { term: Vec<Span>, lines: Vec<String> },
    /// Other pages.
    Pages(Vec<String>),
}

/// A part of a line.
pub(super) enum Span {
    Plain(String),
    /// To be typed as it is.
    Literal(String),
    /// What something else is typed for.
    Variable(String),
}

/// The pages of the program: its own first, then one for each command.
pub(super) fn pages(root: &Command) -> Vec<Page> {
    let mut pages = vec![program(root)];
    pages.extend(root.commands.iter().filter(|command| has_page(command)).map(command_page));
    pages
}

fn has_page(command: &Command) -> bool {
    command.usage == Usage::Plain && command.visible
}

fn plain(text: &str) -> Span {
    Span::Plain(text.to_owned())
}

fn literal(text: &str) -> Span {
    Span::Literal(text.to_owned())
}

fn variable(text: &str) -> Span {
    Span::Variable(text.to_owned())
}

fn section(title: &str) -> Block {
    Block::Section(title.to_owned())
}

fn prose(text: &str) -> Block {
    Block::Prose(text.to_owned())
}

fn entry(term: impl Into<Vec<Span>>, line: impl Into<String>) -> Block {
    Block::Entry { term: term.into(), lines: vec![line.into()] }
}

fn program(root: &Command) -> Page {
    let mut blocks = vec![
        section("SYNOPSIS"),
        Block::Synopsis(vec![
            literal("skopeo"),
            plain(" ["),
            variable("global options"),
            plain("] "),
            variable("command"),
            plain(" ["),
            variable("command options"),
            plain("]"),
        ]),
        section("DESCRIPTION"),
        prose(DESCRIPTION),
        section("IMAGE NAMES"),
        prose(IMAGE_NAMES),
        section("OPTIONS"),
    ];
    blocks.extend(flags(root.flags.iter().chain(&root.persistent)));
    blocks.push(section("COMMANDS"));
    let visible = root.commands.iter().filter(|command| command.visible);
    blocks.extend(visible.map(|command| entry([literal(command.name)], command.short)));
    blocks.push(section("ENVIRONMENT"));
    blocks.extend(ENVIRONMENT.iter().map(|(name, meaning)| entry([literal(name)], *meaning)));
    blocks.push(section("EXIT STATUS"));
    blocks.extend(EXIT.iter().map(|(code, meaning)| entry([plain(&code.to_string())], *meaning)));
    blocks.push(Block::Paragraph(vec![
        plain("With "),
        literal("--exit-codes detailed"),
        plain(" the code says what kind of error it was:"),
    ]));
    blocks.extend(CLASSES.iter().map(|row| {
        entry([plain(&row.code.to_string())], format!("{}: {}", row.name, row.meaning))
    }));
    blocks.push(section("SEE ALSO"));
    let pages = root.commands.iter().filter(|command| has_page(command)).map(page_name);
    blocks.push(Block::Pages(pages.collect()));
    Page { name: "skopeo".to_owned(), short: root.short, blocks }
}

fn page_name(command: &Command) -> String {
    format!("skopeo-{}", command.name)
}

fn command_page(command: &Command) -> Page {
    let name = page_name(command);
    let mut blocks = vec![
        section("SYNOPSIS"),
        Block::Synopsis(vec![
            literal(&format!("skopeo {}", command.name)),
            plain(&format!(" {}", command.synopsis)),
        ]),
        section("DESCRIPTION"),
    ];
    // A page need not send its reader to itself.
    let own = format!("See {name}(1)");
    let long: Vec<&str> =
        command.long.split("\n\n").filter(|paragraph| !paragraph.starts_with(&own)).collect();
    blocks.push(prose(&long.join("\n\n")));
    if command.name == "sync" {
        blocks.extend([
            section("FILES OF --src yaml"),
            prose(YAML),
            Block::Example(YAML_EXAMPLE.to_owned()),
            prose(YAML_2),
            Block::Example(YAML_2_EXAMPLE.to_owned()),
        ]);
    }
    blocks.push(section("OPTIONS"));
    blocks.extend(flags(command.flags.iter()));
    blocks.push(Block::Paragraph(vec![
        plain("The options of "),
        literal("skopeo"),
        plain("(1) can be given too."),
    ]));
    if !command.commands.is_empty() {
        blocks.push(section("SUBCOMMANDS"));
        let above = format!("skopeo {}", command.name);
        command.commands.iter().for_each(|below| subcommand(&mut blocks, &above, below));
    }
    if !command.examples.is_empty() {
        blocks.push(section("EXAMPLES"));
        blocks.extend(examples(command));
    }
    blocks.push(section("SEE ALSO"));
    blocks.push(Block::Pages(vec!["skopeo".to_owned()]));
    Page { name, short: command.short, blocks }
}

fn examples(command: &Command) -> impl Iterator<Item = Block> {
    command.examples.iter().map(|example| Block::Example((*example).to_owned()))
}

/// A command below another, and those below it.
fn subcommand(blocks: &mut Vec<Block>, above: &str, command: &Command) {
    let name = format!("{above} {}", command.name);
    if command.runs {
        blocks.push(Block::Subcommand { name: name.clone(), synopsis: command.synopsis });
        blocks.push(prose(&command.long));
        blocks.extend(flags(command.flags.iter()));
        blocks.extend(examples(command));
    }
    for below in &command.commands {
        subcommand(blocks, &name, below);
    }
}

fn flags<'a>(flags: impl Iterator<Item = &'a Flag>) -> Vec<Block> {
    let mut flags: Vec<&Flag> = flags.filter(|flag| flag.visible).collect();
    flags.sort_by(|a, b| a.name.cmp(&b.name));
    flags.into_iter().map(flag).collect()
}

fn flag(flag: &Flag) -> Block {
    let mut term = vec![literal(&flag.spelled())];
    if !flag.value_name().is_empty() {
        term.extend([plain(flag.gap()), variable(flag.value_name())]);
    }
    let mut lines = vec![flag.usage.to_owned()];
    lines.extend(flag.default.as_ref().map(|default| format!("(default {default})")));
    Block::Entry { term, lines }
}
