//! Help, in the shape in which the original's framework prints it.

use std::fmt::Write as _;

use super::command::{Command, Usage};
use super::flag::Flag;
use super::kind::Kind;
use crate::exit::CLASSES;
use crate::go;

/// What `--help` prints: what the command is for, then its usage.
pub(crate) fn help(root: &Command, path: &[&str]) -> String {
    let Some(command) = at(root, path) else { return String::new() };
    let codes = if path.is_empty() { exit_codes() } else { String::new() };
    format!("{}\n\n{}{codes}", command.long.trim_end(), usage(root, path))
}

/// What `--exit-codes detailed` means.
fn exit_codes() -> String {
    let mut text = String::from("\nExit codes of --exit-codes detailed:\n");
    for row in CLASSES {
        let _ = writeln!(text, "  {:>3} {:18} {}", row.code, row.name, row.meaning);
    }
    text
}

/// The usage text alone.
pub(crate) fn usage(root: &Command, path: &[&str]) -> String {
    let Some(command) = at(root, path) else { return String::new() };
    let full_name = super::parse::path_of(root, path);
    let indent = if command.usage == Usage::Full { "  " } else { "" };
    let mut text = String::from("Usage:\n");
    if command.runs {
        let line = format!("{indent}{full_name} {}", command.synopsis);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if !command.commands.is_empty() {
        let _ = writeln!(text, "{indent}{full_name} [command]");
    }
    if !command.examples.is_empty() {
        let _ = write!(text, "\nExamples:\n{}\n", command.examples.join("\n"));
    }
    let listed: Vec<&Command> = command.commands.iter().filter(|below| below.visible).collect();
    if !listed.is_empty() {
        text.push_str("\nAvailable Commands:\n");
        let width = listed.iter().map(|below| below.name.len()).max().unwrap_or_default().max(11);
        for below in listed {
            let _ = writeln!(text, "{indent}{:width$} {}", below.name, below.short);
        }
    }
    let own: Vec<&Flag> = if path.is_empty() {
        command.flags.iter().chain(&root.persistent).collect()
    } else {
        command.flags.iter().collect()
    };
    let _ = write!(text, "\nFlags:\n{}", flags(own));
    if command.usage == Usage::Plain {
        text.push('\n');
        return text;
    }
    if !path.is_empty() {
        let _ = write!(text, "\nGlobal Flags:\n{}", flags(root.persistent.iter().collect()));
    }
    if !command.commands.is_empty() {
        let _ = writeln!(
            text,
            "\nUse \"{full_name} [command] --help\" for more information about a command."
        );
    }
    text
}

/// The command at this path.
pub(crate) fn at<'a>(root: &'a Command, path: &[&str]) -> Option<&'a Command> {
    path.iter().try_fold(root, |command, name| command.find(name))
}

/// The visible flags in the order of their names, one a line, their explanations in one column.
fn flags(mut flags: Vec<&Flag>) -> String {
    flags.retain(|flag| flag.visible);
    flags.sort_by(|a, b| a.name.cmp(&b.name));
    let lines: Vec<(String, String)> =
        flags.iter().map(|flag| (spelling(flag), explanation(flag))).collect();
    let width =
        lines.iter().map(|(spelling, _)| spelling.chars().count()).max().unwrap_or_default();
    lines.iter().fold(String::new(), |mut text, (spelling, explanation)| {
        let _ = writeln!(text, "{spelling:width$}   {explanation}");
        text
    })
}

fn spelling(flag: &Flag) -> String {
    let short = flag.short.map_or_else(|| "      ".to_owned(), |short| format!("  -{short}, "));
    format!("{short}--{}{}{}", flag.name, flag.gap(), flag.value_name())
}

fn explanation(flag: &Flag) -> String {
    match &flag.default {
        Some(default) if flag.kind == Kind::Text => {
            format!("{} (default {})", flag.usage, go::quote(default))
        }
        Some(default) => format!("{} (default {default})", flag.usage),
        None => flag.usage.to_owned(),
    }
}
