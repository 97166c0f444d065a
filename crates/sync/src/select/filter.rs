//! What a tag must be like.

use regex::{Regex, RegexBuilder};
use skopeo_image::{Constraint, ConstraintError, Version};

use super::{Dropped, Kept};

/// The most memory that one expression may take, in bytes.
const REGEX_LIMIT: usize = 4 << 20;

/// What a tag must be like to be chosen. Without anything set, every tag is.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One of each of these lists must match.
    include: Vec<Vec<Regex>>,
    exclude: Vec<Regex>,
    ranges: Vec<(String, Constraint)>,
}

/// Why a filter is not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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

impl Filter {
    /// Returns a tag must match one of `include`, if there is any, none of `exclude`, and be in
    /// `range`. Regular expressions are those of Go: they may match anywhere in a tag. `range` is a
    /// [`Constraint`].
    ///
    /// # Errors
    /// If one of them is not valid.
    pub fn new<T: AsRef<str>>(
        include: &[T],
        exclude: &[T],
        range: Option<&str>,
    ) -> Result<Self, FilterError> {
        let constraint = |text: &str| match Constraint::parse(text) {
            Ok(constraint) => Ok((text.to_owned(), constraint)),
            Err(source) => Err(FilterError::Range { text: text.to_owned(), source }),
        };
        let expressions = |texts: &[T]| -> Result<Vec<Regex>, FilterError> {
            texts.iter().map(|it| expression(it.as_ref())).collect()
        };
        let include = if include.is_empty() { Vec::new() } else { vec![expressions(include)?] };
        let ranges = range.map(constraint).transpose()?.into_iter().collect();
        Ok(Self { include, exclude: expressions(exclude)?, ranges })
    }

    /// Returns what both choose.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.include.extend(other.include);
        self.exclude.extend(other.exclude);
        self.ranges.extend(other.ranges);
        self
    }

    /// Returns whether tags must be versions.
    #[must_use]
    pub fn wants_versions(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// Returns whether every tag is chosen.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty() && self.ranges.is_empty()
    }

    /// Returns whether a tag is chosen, and by what.
    ///
    /// # Errors
    /// Why it is not.
    pub fn evaluate(&self, tag: &str) -> Result<Kept, Dropped> {
        let mut kept = Kept::default();
        for include in &self.include {
            let Some(regex) = include.iter().find(|regex| regex.is_match(tag)) else {
                let all = include.iter().map(|regex| regex.as_str().to_owned());
                return Err(Dropped::NotMatching(all.collect()));
            };
            kept = kept.and(Kept::matching(regex.as_str()));
        }
        if let Some(regex) = self.exclude.iter().find(|regex| regex.is_match(tag)) {
            return Err(Dropped::Excluded(regex.as_str().to_owned()));
        }
        for (text, constraint) in &self.ranges {
            let version = Version::parse(tag).ok_or(Dropped::NoVersion)?;
            if !constraint.allows(&version) {
                return Err(Dropped::OutOfRange(text.clone()));
            }
            kept = kept.and(Kept::in_range(text));
        }
        Ok(kept)
    }
}

/// Compiles an expression as Go writes it.
///
/// # Errors
/// If it is not valid, or too large.
pub(crate) fn expression(text: &str) -> Result<Regex, FilterError> {
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
