//! A node of the command tree.

use super::flag::{Flag, Offers};

/// A command: what it is called, what it takes, what help says of it.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// Its name.
    pub name: &'static str,
    /// What follows its name in a usage line.
    pub synopsis: &'static str,
    /// One line, for lists of commands.
    pub short: &'static str,
    /// What its own help begins with.
    pub long: String,
    /// Command lines to imitate.
    pub examples: &'static [&'static str],
    /// Its own flags.
    pub flags: Vec<Flag>,
    /// Flags that every command below it takes too.
    pub persistent: Vec<Flag>,
    /// The commands below it.
    pub commands: Vec<Self>,
    /// Whether lists of commands show it.
    pub visible: bool,
    /// Which of the two shapes of usage text it has.
    pub usage: Usage,
    /// Whether it does anything on its own.
    pub runs: bool,
    /// Whether it takes arguments that are no flags.
    pub takes_arguments: bool,
    /// What a shell may offer as its arguments.
    pub offers: Offers,
}

/// The two shapes of usage text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Of skopeo's own commands: no indent, no global flags.
    Plain,
    /// Of the root and of what the framework of the original adds: indented, with global flags.
    Full,
}

impl Command {
    /// A visible command of the plain shape that takes arguments.
    pub(crate) fn new(name: &'static str, synopsis: &'static str, short: &'static str) -> Self {
        Self {
            name,
            synopsis,
            short,
            long: short.to_owned(),
            examples: &[],
            flags: Vec::new(),
            persistent: Vec::new(),
            commands: Vec::new(),
            visible: true,
            usage: Usage::Plain,
            runs: true,
            takes_arguments: true,
            offers: Offers::Nothing,
        }
    }

    pub(crate) fn long(self, long: impl Into<String>) -> Self {
        Self { long: long.into(), ..self }
    }

    pub(crate) fn examples(self, examples: &'static [&'static str]) -> Self {
        Self { examples, ..self }
    }

    pub(crate) fn flags(mut self, flags: impl IntoIterator<Item = Flag>) -> Self {
        self.flags.extend(flags);
        self
    }

    pub(crate) fn commands(self, commands: impl IntoIterator<Item = Self>) -> Self {
        Self { commands: commands.into_iter().collect(), ..self }
    }

    pub(crate) fn offers(self, offers: Offers) -> Self {
        Self { offers, ..self }
    }

    /// The command below this one with this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Self> {
        self.commands.iter().find(|command| command.name == name)
    }

    /// The visible names below this one that `typed` may have meant: two letters away at most, or
    /// beginning with it.
    pub(crate) fn suggestions(&self, typed: &str) -> Vec<&'static str> {
        let typed = typed.to_lowercase();
        self.commands
            .iter()
            .filter(|command| command.visible && command.name != "help")
            .map(|command| command.name)
            .filter(|name| distance(&typed, name) <= 2 || name.starts_with(&typed))
            .collect()
    }
}

/// The one of these words that `typed` may have been meant to be: the nearest, if it is near.
pub(crate) fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    // A third of the letters may be wrong, and whatever is missing at the end.
    let most = (typed.chars().count() / 3).clamp(1, 3);
    let cost = |word: &str| match word.starts_with(&typed) && typed.len() > 2 {
        true => 1,
        false => distance(&typed, word),
    };
    words
        .map(|word| (cost(word), word))
        .filter(|(cost, _)| *cost <= most)
        .min_by_key(|(cost, word)| (*cost, word.len()))
        .map(|(_, word)| word)
}

/// The number of letters to add, drop, change or exchange with their neighbour to get from one word
/// to the other.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "both places are at most the lengths that the rows are made with"
)]
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                let exchanged =
                    i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
                let exchanged = if exchanged { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(exchanged)
            };
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        let words = ["dest-creds", "dest-tls-verify", "all", "format", "src-tls-verify"];
        for (typed, found) in [
            ("dest-cred", Some("dest-creds")),
            ("formt", Some("format")),
            ("dest-tls", Some("dest-tls-verify")),
            ("src-tsl-verify", Some("src-tls-verify")),
            ("al", Some("all")),
            ("nothing-of-the-kind", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, words.into_iter()), found, "{typed}");
        }
    }

    #[test]
    fn counts_letters() {
        for (from, to, letters) in
            [("kopy", "copy", 1), ("", "ab", 2), ("flaw", "lawn", 2), ("quite", "quiet", 1)]
        {
            assert_eq!(distance(from, to), letters, "{from} {to}");
        }
    }
}
