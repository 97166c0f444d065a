//! Which tags of a repository are meant: by their words, as versions, by age.
//!
//! Pure, and the same for whoever chooses among tags.

use std::fmt;

use regex::{Regex, RegexBuilder};
use skopeo_image::{Constraint, ConstraintError, Timestamp, Version};

/// The most memory that one expression may take, in bytes.
const REGEX_LIMIT: usize = 4 << 20;

/// What a tag must be like to be chosen. Without anything set, every tag is.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    matching: Option<Regex>,
    excluding: Option<Regex>,
    range: Option<(String, Constraint)>,
}

/// Why a filter is none.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// Not a regular expression.
    #[error("parsing the regular expression {text:?}")]
    Regex {
        /// As it was given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: Box<regex::Error>,
    },
    /// Not a range of versions.
    #[error("parsing the range of versions {text:?}")]
    Range {
        /// As it was given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: ConstraintError,
    },
}

/// Why a tag was not chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It does not match this expression.
    NotMatching(String),
    /// It matches this expression.
    Excluded(String),
    /// It is no version, and a range was asked for.
    NoVersion,
    /// It is outside this range.
    OutOfRange(String),
    /// Others come after it, and only so many are wanted.
    NotNewest(usize),
}

/// In which order tags are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As the registry has them.
    #[default]
    AsListed,
    /// By their letters.
    Name,
    /// As versions; what is none comes first.
    Semver,
    /// The oldest image first; what has no time comes before.
    Created,
}

impl Filter {
    /// Regular expressions are those of Go: they may match anywhere in a tag. `range` is a
    /// [`Constraint`].
    ///
    /// # Errors
    /// If one of them is none.
    pub fn new(
        matching: Option<&str>,
        excluding: Option<&str>,
        range: Option<&str>,
    ) -> Result<Self, FilterError> {
        let constraint = |text: &str| match Constraint::parse(text) {
            Ok(constraint) => Ok((text.to_owned(), constraint)),
            Err(source) => Err(FilterError::Range { text: text.to_owned(), source }),
        };
        Ok(Self {
            matching: matching.map(expression).transpose()?,
            excluding: excluding.map(expression).transpose()?,
            range: range.map(constraint).transpose()?,
        })
    }

    /// Whether a tag is chosen.
    ///
    /// # Errors
    /// Why it is not.
    pub fn judge(&self, tag: &str) -> Result<(), Dropped> {
        if let Some(regex) = self.matching.as_ref().filter(|regex| !regex.is_match(tag)) {
            return Err(Dropped::NotMatching(regex.as_str().to_owned()));
        }
        if let Some(regex) = self.excluding.as_ref().filter(|regex| regex.is_match(tag)) {
            return Err(Dropped::Excluded(regex.as_str().to_owned()));
        }
        if let Some((text, constraint)) = &self.range {
            let version = Version::parse(tag).ok_or(Dropped::NoVersion)?;
            if !constraint.allows(&version) {
                return Err(Dropped::OutOfRange(text.clone()));
            }
        }
        Ok(())
    }
}

impl Order {
    /// Sorts tags, each with the time at which its image was made, if that is known.
    pub fn sort(self, tags: &mut [(String, Option<Timestamp>)]) {
        match self {
            Self::AsListed => {}
            Self::Name => tags.sort_by(|(a, _), (b, _)| a.cmp(b)),
            Self::Semver => tags.sort_by_cached_key(|(tag, _)| (Version::parse(tag), tag.clone())),
            Self::Created => tags.sort_by_cached_key(|(tag, created)| {
                (created.map(|created| created.unix()), tag.clone())
            }),
        }
    }
}

/// Takes the first so many out of sorted tags, so that only the last `newest` stay.
pub fn take_older<T>(tags: &mut Vec<T>, newest: usize) -> Vec<T> {
    let older = tags.len().saturating_sub(newest);
    tags.drain(..older).collect()
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMatching(regex) => write!(f, "does not match {regex:?}"),
            Self::Excluded(regex) => write!(f, "is excluded by {regex:?}"),
            Self::NoVersion => f.write_str("is no version"),
            Self::OutOfRange(range) => write!(f, "is not in the range {range:?}"),
            Self::NotNewest(newest) => write!(f, "is not among the newest {newest}"),
        }
    }
}

fn expression(text: &str) -> Result<Regex, FilterError> {
    RegexBuilder::new(&unquoted(text))
        .size_limit(REGEX_LIMIT)
        .build()
        .map_err(|source| FilterError::Regex { text: text.to_owned(), source: Box::new(source) })
}

/// The expression without `\Q...\E`, which Go has: what stands between is meant letter by letter.
fn unquoted(text: &str) -> String {
    let mut unquoted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        unquoted.push_str(before);
        rest = if let Some(quoted) = escape.strip_prefix("\\Q") {
            let (quoted, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            unquoted.push_str(&regex::escape(quoted));
            after
        } else {
            // The backslash and what it is for.
            let end = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
            unquoted.push_str(&escape[..end]);
            &escape[end..]
        };
    }
    unquoted.push_str(rest);
    unquoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_judged_by_their_words() {
        type Words = Option<&'static str>;
        let rows: &[(Words, Words, Words, &str, &str)] = &[
            (None, None, None, "1.0 1.1-rc 2 latest", "1.0 1.1-rc 2 latest"),
            (Some("1"), None, None, "1.0 a1b 2", "1.0 a1b"),
            (Some("^1"), None, None, "1.0 a1b 2", "1.0"),
            (Some("^v?\\d+$"), None, None, "1 v22 1.0 v", "1 v22"),
            (Some("(?i)LATEST|^x"), None, None, "latest x y", "latest x"),
            (Some("\\Q1.0\\E$"), None, None, "1.0 1x0 v1.0", "1.0 v1.0"),
            (Some("\\Q1.0"), None, None, "1.0 1x0", "1.0"),
            (Some("[[:alpha:]]"), None, None, "1.0 1a", "1a"),
            (None, Some("-(rc|beta)"), None, "1.0 1.1-rc 1.2-beta.1", "1.0"),
            (Some("^1"), Some("rc"), Some(">=1.1"), "1.0 1.1 1.2-rc 2.0 1.2", "1.1 1.2"),
            (None, None, Some("~1.2 || ^3"), "1.2 1.2.9 1.3 3.9 4 latest v3", "1.2 1.2.9 3.9 v3"),
            (None, None, Some(">=1-0"), "0.9 1.0-rc 1.1 sha-1", "1.0-rc 1.1"),
        ];
        for (matching, excluding, range, tags, chosen) in rows {
            let filter = Filter::new(*matching, *excluding, *range).unwrap();
            let kept: Vec<&str> = tags.split(' ').filter(|tag| filter.judge(tag).is_ok()).collect();
            assert_eq!(kept.join(" "), *chosen, "{matching:?} {excluding:?} {range:?}");
        }
    }

    #[test]
    fn it_is_said_why_a_tag_is_dropped() {
        let filter = Filter::new(Some("^[0-9l]"), Some("rc"), Some("<2")).unwrap();
        for (tag, why) in [
            ("x", "does not match \"^[0-9l]\""),
            ("1-rc", "is excluded by \"rc\""),
            ("latest", "is no version"),
            ("2.1", "is not in the range \"<2\""),
        ] {
            assert_eq!(filter.judge(tag).unwrap_err().to_string(), why);
        }
        let newest = Dropped::NotNewest(3).to_string();
        assert_eq!(newest, "is not among the newest 3");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let bomb = "((a{100}){100}){100}";
        for (matching, range) in [(Some("("), None), (Some(bomb), None), (None, Some("foo"))] {
            assert!(Filter::new(matching, None, range).is_err(), "{matching:?} {range:?}");
        }
    }

    #[test]
    fn tags_are_sorted() {
        let time = |seconds| Timestamp::from_unix(seconds, 0);
        let tags = [
            ("1.10", time(30)),
            ("1.9", time(10)),
            ("latest", None),
            ("1.10-rc.1", time(20)),
            ("a", time(10)),
        ];
        for (order, expected) in [
            (Order::AsListed, "1.10 1.9 latest 1.10-rc.1 a"),
            (Order::Name, "1.10 1.10-rc.1 1.9 a latest"),
            (Order::Semver, "a latest 1.9 1.10-rc.1 1.10"),
            (Order::Created, "latest 1.9 a 1.10-rc.1 1.10"),
        ] {
            let mut sorted = tags.map(|(tag, created)| (tag.to_owned(), created));
            order.sort(&mut sorted);
            let names: Vec<&str> = sorted.iter().map(|(tag, _)| tag.as_str()).collect();
            assert_eq!(names.join(" "), expected, "{order:?}");
        }
        let mut tags = vec![1, 2, 3];
        assert_eq!((take_older(&mut tags, 2), tags), (vec![1], vec![2, 3]));
        assert_eq!(take_older(&mut vec![1], 5), Vec::<i32>::new());
    }
}
