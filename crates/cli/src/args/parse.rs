//! From words to an invocation, in the manner of the original's `cobra` and `pflag`: flags may stand
//! anywhere, a flag that needs a value takes the next word whatever it is, `--` ends flags.

use super::command::{Command, nearest};
use super::flag::Flag;
use super::handle::{Handle, Prefix};
use super::names;
use super::value::{Value, Values};
use crate::exit::ParseError;
use crate::go;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Run a command.
    Run(Invocation),
    /// Print the help of the command with this path.
    Help(Vec<&'static str>),
    /// Print the version.
    Version,
}

/// A command with what it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// The names from below the root down to the command.
    pub path: Vec<&'static str>,
    /// Flags of every command.
    pub global: Values,
    /// The command's own flags.
    pub flags: Values,
    /// Everything that is no flag.
    pub arguments: Vec<String>,
    /// Flags of the root alone, given before the command.
    pub root_flags: Values,
}

/// How the names of flags begin that are for one of two images.
const SIDES: [&str; 2] = [Prefix::Source.as_str(), Prefix::Destination.as_str()];

/// Parses the words after the program's name.
///
/// # Errors
///
/// With the original's sentence, if the words make no command.
pub(crate) fn parse(root: &Command, words: &[String]) -> Result<Parsed, ParseError> {
    let mut found = Invocation::default();
    let mut command = root;
    let mut words = words;
    let mut state = Parser { root, found: &mut found, help: false, version: false };
    while let Some((at, next)) = next_command(root, command, words) {
        let (before, rest) = words.split_at_checked(at).unwrap_or_default();
        state.flags(command, before)?;
        state.found.path.push(next.name);
        command = next;
        words = rest.get(1..).unwrap_or_default();
    }
    let arguments = state.flags(command, words)?;
    let (help, version) = (state.help, state.version);
    if help {
        return Ok(Parsed::Help(found.path));
    }
    if version && found.path.is_empty() {
        return Ok(Parsed::Version);
    }
    if !command.runs {
        return Ok(Parsed::Help(found.path));
    }
    if let Some(argument) = arguments.first().filter(|_| !command.takes_arguments) {
        return Err(ParseError::new(format!(
            "unknown command {} for {}",
            go::quote(argument),
            go::quote(&path_of(root, &found.path))
        )));
    }
    if command.name == root.name {
        return Err(match arguments.first() {
            Some(argument) => unknown_command(root, argument),
            None => ParseError::new(format!(
                "Missing command '{0} COMMAND'\nTry '{0} --help' for more information",
                root.name
            )),
        });
    }
    found.arguments = arguments;
    Ok(Parsed::Run(found))
}

/// The command at this path, and its full name.
pub(crate) fn path_of(root: &Command, path: &[&str]) -> String {
    std::iter::once(root.name).chain(path.iter().copied()).collect::<Vec<_>>().join(" ")
}

fn unknown_command(root: &Command, name: &str) -> ParseError {
    let suggestions = root.suggestions(name);
    let meant = if suggestions.is_empty() {
        String::new()
    } else {
        format!("\nDid you mean this?\n\t{}\n\n", suggestions.join("\n\t"))
    };
    ParseError::new(format!(
        "Unrecognized command `{0} {name}`\n{meant}Try '{0} --help' for more information",
        root.name
    ))
}

/// The place of the next command's name among the words, if there is one: words that are flags, or
/// the values of flags, are passed over.
fn next_command<'a>(
    root: &Command,
    command: &'a Command,
    words: &[String],
) -> Option<(usize, &'a Command)> {
    let at = first_argument_at(root, command, words)?;
    let rest = words.get(at..)?;
    let next = command.find(rest.first()?)?;
    // What takes arguments of its own may mean an argument of that name.
    let is_argument =
        command.name != root.name && command.runs && (at > 0 || !is_spelled_out(next, rest));
    (!is_argument).then_some((at, next))
}

/// Whether the words name a command below this one as well, or ask for its help.
fn is_spelled_out(command: &Command, words: &[String]) -> bool {
    let Some(below) = words.get(1) else { return false };
    command.find(below).is_some() || ["--help", "-h"].contains(&below.as_str())
}

fn first_argument_at(root: &Command, command: &Command, words: &[String]) -> Option<usize> {
    let mut in_flag = false;
    for (at, word) in words.iter().enumerate() {
        if word.starts_with("--") && !word.contains('=') {
            in_flag = takes_value(long(root, command, &word[2..]));
        } else if in_flag && is_short_switch(root, command, word) {
            in_flag = false;
        } else if word.starts_with('-') && !word.contains('=') && word.chars().count() == 2 {
            let letter = word.chars().nth(1).unwrap_or_default();
            in_flag = takes_value(short(root, command, letter));
        } else if in_flag {
            in_flag = false;
        } else if word.len() < 2 || !word.starts_with('-') {
            return Some(at);
        }
    }
    None
}

/// Whether the next word belongs to the flag. What is not known yet may take one; `help` is not.
fn takes_value(flag: Option<&Flag>) -> bool {
    flag.is_none_or(|flag| !flag.is_switch() || flag.name == names::HELP.name())
}

fn is_short_switch(root: &Command, command: &Command, word: &str) -> bool {
    let mut letters = word.chars();
    letters.next() == Some('-')
        && letters.next().is_some_and(|letter| !takes_value(short(root, command, letter)))
        && letters.next().is_none()
}

fn long<'a>(root: &'a Command, command: &'a Command, name: &str) -> Option<&'a Flag> {
    command.flags.iter().chain(&root.persistent).find(|flag| flag.name == name)
}

fn short<'a>(root: &'a Command, command: &'a Command, letter: char) -> Option<&'a Flag> {
    command.flags.iter().chain(&root.persistent).find(|flag| flag.short == Some(letter))
}

struct Parser<'a> {
    root: &'a Command,
    found: &'a mut Invocation,
    help: bool,
    version: bool,
}

impl Parser<'_> {
    /// Takes the flags of `command` out of the words and gives back the rest.
    fn flags(&mut self, command: &Command, words: &[String]) -> Result<Vec<String>, ParseError> {
        let mut arguments = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                arguments.extend(words.cloned());
                break;
            }
            if let Some(name) = word.strip_prefix("--") {
                self.long(command, word, name, &mut words)?;
            } else if word.len() > 1 && word.starts_with('-') {
                self.short(command, &word[1..], &mut words)?;
            } else {
                arguments.push(word.clone());
            }
        }
        Ok(arguments)
    }

    fn long<'w>(
        &mut self,
        command: &Command,
        word: &str,
        name: &str,
        words: &mut impl Iterator<Item = &'w String>,
    ) -> Result<(), ParseError> {
        if name.starts_with(['-', '=']) {
            return Err(ParseError::new(format!("bad flag syntax: {word}")));
        }
        let (name, joined) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (name, None),
        };
        let Some(flag) = long(self.root, command, name).cloned() else {
            let hint = self.hint_for(command, name);
            return Err(ParseError { message: format!("unknown flag: --{name}"), hint });
        };
        let value = match joined {
            Some(value) => value,
            None => match flag.alone {
                Some(value) => value,
                None => words
                    .next()
                    .ok_or_else(|| ParseError::new(format!("flag needs an argument: --{name}")))?,
            },
        };
        self.set(command, &flag, value)
    }

    /// What somebody may have meant who wrote a flag that the command does not have.
    fn hint_for(&self, command: &Command, name: &str) -> Option<String> {
        let has = |below: &&Command| below.flags.iter().any(|flag| flag.name == name);
        if command.name == self.root.name
            && let Some(below) = self.root.commands.iter().find(has)
        {
            return Some(format!("--{name} is a flag of `{}`", below.name));
        }
        let flags = command.flags.iter().chain(&self.root.persistent);
        let flags = flags.filter(|flag| flag.visible).map(|flag| flag.name.as_str());
        let sides: Vec<&str> = flags
            .clone()
            .filter(|flag| SIDES.iter().any(|side| flag.strip_prefix(side) == Some(name)))
            .collect();
        let bare = SIDES.iter().find_map(|side| name.strip_prefix(side));
        if let Some(flag) = bare.and_then(|bare| flags.clone().find(|flag| *flag == bare)) {
            return Some(format!("did you mean --{flag}?"));
        }
        if !sides.is_empty() {
            return Some(format!("did you mean --{}?", sides.join(" or --")));
        }
        nearest(name, flags).map(|flag| format!("did you mean --{flag}?"))
    }

    fn short<'w>(
        &mut self,
        command: &Command,
        letters: &str,
        words: &mut impl Iterator<Item = &'w String>,
    ) -> Result<(), ParseError> {
        let mut rest = letters;
        while let Some(letter) = rest.chars().next() {
            let shown = rest;
            rest = &rest[letter.len_utf8()..];
            let Some(flag) = short(self.root, command, letter).cloned() else {
                return Err(ParseError::new(format!(
                    "unknown shorthand flag: '{letter}' in -{shown}"
                )));
            };
            if rest.len() > 1 && rest.starts_with('=') {
                return self.set(command, &flag, &rest[1..]);
            }
            if let Some(value) = flag.alone {
                self.set(command, &flag, value)?;
                continue;
            }
            let value = if rest.is_empty() {
                words.next().ok_or_else(|| {
                    ParseError::new(format!("flag needs an argument: '{letter}' in -{shown}"))
                })?
            } else {
                rest
            };
            return self.set(command, &flag, value);
        }
        Ok(())
    }

    fn set(&mut self, command: &Command, flag: &Flag, value: &str) -> Result<(), ParseError> {
        let value = flag.parse(value).map_err(|problem| {
            ParseError::new(format!(
                "invalid argument {} for {} flag: {problem}",
                go::quote(value),
                go::quote(&flag.spelled())
            ))
        })?;
        let own = command.flags.iter().any(|own| own.name == flag.name);
        let is = |name: Handle<bool>| flag.name == name.name();
        if is(names::HELP) {
            self.help = value == Value::Switch(true);
        } else if own && command.name == self.root.name && is(names::VERSION) {
            self.version = value == Value::Switch(true);
        } else {
            let values = match (own, command.name == self.root.name) {
                (false, _) => &mut self.found.global,
                (true, true) => &mut self.found.root_flags,
                (true, false) => &mut self.found.flags,
            };
            values.set_read(flag.key(), value);
        }
        Ok(())
    }
}
