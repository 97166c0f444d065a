//! The kinds that values of flags have.

/// What a flag's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `--x`, `--x=false`.
    Switch,
    /// Any text.
    Text,
    /// A signed number, in any of Go's notations.
    Int,
    /// A number that is not negative.
    Uint,
    /// Go's durations: `1h30m`, `250ms`.
    Duration,
    /// A list of texts, comma-separated, repeatable.
    Texts,
    /// A list of texts with commas in them, one at a time.
    Array,
    /// A list of numbers, comma-separated, repeatable.
    Ints,
    /// The name of a digest algorithm.
    Algorithm,
}
