//! Why a tag was chosen, and why not.

use std::fmt;

/// Why a tag was chosen: every rule that it met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(Vec<String>);

/// Why a tag was not chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// It matches none of these expressions.
    NotMatching(Vec<String>),
    /// It matches this expression.
    Excluded(String),
    /// It is no version, and a range was asked for.
    NoVersion,
    /// It is outside this range.
    OutOfRange(String),
    /// Its image was made at the first of these times, which is before the second.
    TooOld(String, String),
    /// It is not known when its image was made, and that counts.
    UnknownAge,
    /// Others come after it, and only so many are wanted.
    NotNewest(usize),
}

impl Kept {
    pub(super) fn matching(regex: &str) -> Self {
        Self(vec![format!("matches {regex:?}")])
    }

    pub(super) fn in_range(range: &str) -> Self {
        Self(vec![format!("is in the range {range:?}")])
    }

    pub(super) fn since(created: &str, since: &str) -> Self {
        Self(vec![format!("was made at {created}, not before {since}")])
    }

    pub(super) fn newest(newest: usize) -> Self {
        Self(vec![format!("is among the newest {newest}")])
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("is wanted as every tag is");
        }
        f.write_str(&self.0.join(", "))
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMatching(regexes) => {
                f.write_str("does not match ")?;
                for (at, regex) in regexes.iter().enumerate() {
                    let or = if at > 0 { " or " } else { "" };
                    write!(f, "{or}{regex:?}")?;
                }
                Ok(())
            }
            Self::Excluded(regex) => write!(f, "is excluded by {regex:?}"),
            Self::NoVersion => f.write_str("is no version"),
            Self::OutOfRange(range) => write!(f, "is not in the range {range:?}"),
            Self::TooOld(created, since) => write!(f, "was made at {created}, before {since}"),
            Self::UnknownAge => f.write_str("is of unknown age"),
            Self::NotNewest(newest) => write!(f, "is not among the newest {newest}"),
        }
    }
}
