//! What may come next on a command line.

use crate::args::command::Command;
use crate::args::flag::{Flag, Offers};

/// The candidates, and what the shell is to do with them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Words with what they mean.
    pub(super) candidates: Vec<(String, String)>,
    /// A sum of the constants below, as the original's scripts know them.
    pub(super) directive: u8,
}

/// No space after the word: more is to come.
const NO_SPACE: u8 = 2;
/// Do not offer names of files if there are no candidates.
const NO_FILES: u8 = 4;
/// Offer only folders.
const FOLDERS: u8 = 16;

/// What may stand in place of `last`, after the words `before`.
pub(super) fn answer(root: &Command, before: &[String], last: &str) -> Answer {
    let (command, waiting) = follow(root, before);
    if let Some(flag) = waiting {
        return offer(flag.offers, last, "");
    }
    if let Some(name) = last.strip_prefix("--")
        && let Some((name, value)) = name.split_once('=')
    {
        return match all_flags(root, command).find(|flag| flag.name == name) {
            Some(flag) => offer(flag.offers, value, &format!("--{name}=")),
            None => Answer { directive: NO_FILES, ..Answer::default() },
        };
    }
    if last.starts_with('-') {
        let mut candidates: Vec<_> = all_flags(root, command)
            .filter(|flag| flag.visible)
            .map(|flag| (format!("--{}", flag.name), flag.usage.to_owned()))
            .filter(|(word, _)| word.starts_with(last))
            .collect();
        candidates.sort();
        return Answer { candidates, directive: NO_FILES };
    }
    if !command.commands.is_empty() {
        let hidden_too = command.name != root.name;
        let candidates = command
            .commands
            .iter()
            .filter(|below| (below.visible || hidden_too) && below.name.starts_with(last))
            .map(|below| (below.name.to_owned(), below.short.to_owned()))
            .collect();
        return Answer { candidates, directive: NO_FILES };
    }
    if command.name == "help" {
        return answer(root, &[], last);
    }
    offer(command.offers, last, "")
}

/// The command that the words lead to, and the flag that still waits for its value.
fn follow<'a>(root: &'a Command, words: &[String]) -> (&'a Command, Option<&'a Flag>) {
    let mut command = root;
    let mut waiting = None;
    let mut arguments_only = false;
    for word in words {
        if waiting.take().is_some() || arguments_only {
            continue;
        }
        if word == "--" {
            arguments_only = true;
        } else if let Some(name) = word.strip_prefix("--") {
            waiting = all_flags(root, command).find(|flag| flag.name == name && !flag.is_switch());
        } else if word.starts_with('-') && word.len() > 1 {
            // Of `-abc` only the last can wait for a value in the next word.
            let letter = word.chars().next_back();
            waiting =
                all_flags(root, command).find(|flag| flag.short == letter && !flag.is_switch());
        } else if let Some(next) = command.find(word) {
            command = next;
        }
    }
    (command, waiting)
}

fn all_flags<'a>(root: &'a Command, command: &'a Command) -> impl Iterator<Item = &'a Flag> {
    command.flags.iter().chain(&root.persistent)
}

/// The values on offer that begin with `typed`, each after `prefix`.
fn offer(offers: Offers, typed: &str, prefix: &str) -> Answer {
    let words = |words: &mut dyn Iterator<Item = String>, directive| Answer {
        candidates: words
            .filter(|word| word.starts_with(typed))
            .map(|word| (format!("{prefix}{word}"), String::new()))
            .collect(),
        directive,
    };
    match offers {
        Offers::Nothing => Answer { directive: NO_FILES, ..Answer::default() },
        Offers::Files => Answer::default(),
        Offers::Folders => Answer { directive: FOLDERS, ..Answer::default() },
        Offers::Words(list) => words(&mut list.iter().map(|word| (*word).to_owned()), NO_FILES),
        Offers::Images => match typed.split_once(':') {
            None => words(
                &mut crate::args::transports().iter().map(|name| format!("{name}:")),
                NO_SPACE | NO_FILES,
            ),
            Some(("docker", "")) => {
                words(&mut std::iter::once("docker://".to_owned()), NO_SPACE | NO_FILES)
            }
            Some(("docker", _)) => Answer { directive: NO_SPACE | NO_FILES, ..Answer::default() },
            Some(_) => Answer { directive: NO_SPACE, ..Answer::default() },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> (Vec<String>, u8) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (last, before) = words.split_last().unwrap();
        let answer = answer(&crate::args::tree(None), before, last);
        (answer.candidates.into_iter().map(|(word, _)| word).collect(), answer.directive)
    }

    #[test]
    fn offers_what_may_come_next() {
        for (line, candidates, directive) in [
            ("lo", &["login", "logout"][..], NO_FILES),
            ("--debug ins", &["inspect"], NO_FILES),
            ("completion z", &["zsh"], NO_FILES),
            ("help man", &["man", "manifest-digest"], NO_FILES),
            ("inspect --no", &["--no-creds", "--no-tags"], NO_FILES),
            (
                "inspect --overr",
                &["--override-arch", "--override-os", "--override-variant"],
                NO_FILES,
            ),
            ("copy --multi-arch i", &["index-only"], NO_FILES),
            ("copy --multi-arch=i", &["--multi-arch=index-only"], NO_FILES),
            ("copy -qf v", &["v2s1", "v2s2"], NO_FILES),
            ("copy di", &["dir:"], NO_SPACE | NO_FILES),
            ("copy docker:", &["docker://"], NO_SPACE | NO_FILES),
            ("copy docker://a dir:x", &[], NO_SPACE),
            ("copy --dest-cert-dir ", &[], FOLDERS),
            ("manifest-digest m", &[], 0),
            (
                "copy --sign-by",
                &["--sign-by", "--sign-by-sigstore", "--sign-by-sigstore-private-key"],
                NO_FILES,
            ),
        ] {
            let candidates: Vec<String> =
                candidates.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(ask(line), (candidates, directive), "{line}");
        }
    }
}
