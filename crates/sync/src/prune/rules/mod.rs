//! What an exact mirror has too much: pure.
//!
//! Only what the mapping of a run could have written is ever to go, and nothing of a repository of
//! which it is not known what should be there.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::str::FromStr;

use regex::Regex;
use skopeo_image::{Classify, Digest, ErrorClass};

use crate::select::{FilterError, expression};

/// A repository at a destination, as far as a run is concerned with it.
#[derive(Clone, Debug, Default)]
pub struct RepositoryTags {
    /// Its name in the place.
    pub repository: String,
    /// The tags that the run writes.
    pub wanted: BTreeSet<String>,
    /// Who writes there.
    pub writers: BTreeSet<Writer>,
    /// What is there.
    pub has: Vec<Tag>,
}

/// A source whose tags go to a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writer {
    /// All its tags are known: each of them is written with these around it.
    Whole {
        /// What stands before the source's tag.
        before: String,
        /// What stands behind it.
        after: String,
    },
    /// It is not known which tags it has; the sentence says why.
    Unsure(String),
}

/// A tag that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// What it leads to, where that is known.
    pub digest: Option<Digest>,
}

/// What may go.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What stays: expressions that match the tag somewhere, or the repository with it.
    protected: Vec<Regex>,
    /// How much may go at once.
    pub most: Option<Most>,
}

impl Rules {
    /// What matches stays, too.
    ///
    /// # Errors
    /// If it is no expression.
    pub fn protect(&mut self, regex: &str) -> Result<(), FilterError> {
        self.protected.push(expression(regex)?);
        Ok(())
    }

    /// Returns the expressions of what stays.
    pub fn protected(&self) -> impl Iterator<Item = &str> {
        self.protected.iter().map(Regex::as_str)
    }

    /// Whether so many may go of so many that there are.
    ///
    /// # Errors
    /// If they are too many. Then nothing may.
    pub fn allow(&self, surplus: usize, of: usize) -> Result<(), TooMany> {
        match self.most {
            Some(most) if most.is_less_than(surplus, of) => Err(TooMany { surplus, of, most }),
            _ => Ok(()),
        }
    }
}

/// How many tags may go at once: `N` or `P%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// So many.
    Count(usize),
    /// So many of a hundred that there are in the repositories of the run.
    Percent(u8),
}

/// What is to become of a repository's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What goes, in the order in which it was listed.
    pub surplus: Vec<Tag>,
    /// What stays although the run does not write it, and why.
    pub kept: Vec<(String, Kept)>,
    /// Why nothing of it goes; each a sentence.
    pub unsure: Vec<String>,
}

/// Why a tag stays that the run does not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The mapping could not have written it.
    Foreign,
    /// It is protected.
    Protected,
    /// It refers to an image that stays, or of which nothing is known.
    OfKeptImage,
}

/// More would go than may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--delete would remove {surplus} of {of} images, more than --max-delete {most}: nothing was deleted"
)]
pub struct TooMany {
    /// How many would go.
    pub surplus: usize,
    /// Of how many.
    pub of: usize,
    /// How many may.
    pub most: Most,
}

impl Classify for TooMany {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::Conflict)
    }
}

/// Decides what goes; a verdict for each repository_tags.
///
/// # Errors
/// If that is more than may. Then nothing does.
pub fn evaluate(repositories: &[RepositoryTags], rules: &Rules) -> Result<Vec<Verdict>, TooMany> {
    let verdicts: Vec<Verdict> =
        repositories.iter().map(|repository_tags| evaluate_one(repository_tags, rules)).collect();
    let surplus = verdicts.iter().map(|verdict| verdict.surplus.len()).sum();
    rules.allow(
        surplus,
        repositories.iter().map(|repository_tags| repository_tags.has.len()).sum(),
    )?;
    Ok(verdicts)
}

/// Decides what goes of one repository, however much that is.
#[must_use]
pub fn evaluate_one(repository_tags: &RepositoryTags, rules: &Rules) -> Verdict {
    let mut verdict = Verdict::default();
    for writer in &repository_tags.writers {
        if let Writer::Unsure(why) = writer {
            verdict.unsure.push(why.clone());
        }
    }
    if !verdict.unsure.is_empty() {
        return verdict;
    }
    let is_protected = |tag: &str| {
        let whole = format!("{}:{tag}", repository_tags.repository);
        rules.protected.iter().any(|regex| regex.is_match(tag) || regex.is_match(&whole))
    };
    let (mut of_images, mut gone) = (Vec::new(), HashSet::new());
    let mut staying = HashSet::new();
    for tag in &repository_tags.has {
        let stays = if repository_tags.wanted.contains(&tag.name) {
            true
        } else if !repository_tags.writers.iter().any(|writer| writer.could_write(&tag.name)) {
            verdict.kept.push((tag.name.clone(), Kept::Foreign));
            true
        } else if is_protected(&tag.name) {
            verdict.kept.push((tag.name.clone(), Kept::Protected));
            true
        } else if let Some(subject) = subject(&tag.name) {
            of_images.push((tag, subject));
            continue;
        } else {
            verdict.surplus.push(tag.clone());
            false
        };
        let set = if stays { &mut staying } else { &mut gone };
        set.extend(tag.digest.clone());
    }
    for (tag, subject) in of_images {
        if gone.contains(&subject) && !staying.contains(&subject) {
            verdict.surplus.push(tag.clone());
        } else {
            verdict.kept.push((tag.name.clone(), Kept::OfKeptImage));
        }
    }
    verdict
}

/// Returns the image that a tag belongs to whose name is made of its digest: `sha256-HEX`, alone or
/// with what cosign puts behind it.
#[must_use]
pub fn subject(tag: &str) -> Option<Digest> {
    let whole = tag.split_once('.').map_or(tag, |(digest, _)| digest);
    let (algorithm, hex) = whole.split_once('-')?;
    format!("{algorithm}:{hex}").parse().ok()
}

impl Writer {
    /// Returns how a source names its tags, read off the label it gave to the tag `probe`; with the
    /// repository. `None` if the tag is no part of the label's tag, so that nobody can tell.
    #[must_use]
    pub fn of_probe(label: &str, probe: &str) -> Option<(String, Self)> {
        let (repository, tag) = parted(label)?;
        let (before, after) = tag.split_once(probe)?;
        let (before, after) = (before.to_owned(), after.to_owned());
        (!repository.contains(probe))
            .then(|| (repository.to_owned(), Self::Whole { before, after }))
    }

    fn could_write(&self, tag: &str) -> bool {
        match self {
            Self::Whole { before, after } => tag
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .is_some_and(|middle| !middle.is_empty()),
            Self::Unsure(_) => false,
        }
    }
}

/// Returns the repository and the tag of a label, if it has a tag.
#[must_use]
pub fn parted(label: &str) -> Option<(&str, &str)> {
    let (repository, tag) = label.rsplit_once(':')?;
    let is_tag = !tag.is_empty() && !tag.contains('/') && !repository.contains('@');
    (is_tag && !repository.is_empty()).then_some((repository, tag))
}

impl Most {
    fn is_less_than(self, surplus: usize, of: usize) -> bool {
        match self {
            Self::Count(most) => surplus > most,
            Self::Percent(most) => {
                // Even of nothing, nothing may go.
                surplus.saturating_mul(100) > of.saturating_mul(usize::from(most))
            }
        }
    }
}

impl FromStr for Most {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => {
                percent.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent)
            }
            None => text.parse().ok().map(Self::Count),
        };
        parsed.ok_or_else(|| format!("{text:?} is neither a number nor a percentage, as 10 or 5%"))
    }
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(most) => write!(f, "{most}"),
            Self::Percent(most) => write!(f, "{most}%"),
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "no tag of the source would be called so",
            Self::Protected => "is protected",
            Self::OfKeptImage => "belongs to an image that is not deleted",
        })
    }
}

#[cfg(test)]
mod tests;
