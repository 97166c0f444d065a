//! Which tags of a repository are meant: by their words, as versions, by age.
//!
//! Pure, and the same for whoever chooses among tags.

mod filter;
mod reason;
mod since;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use skopeo_image::{Timestamp, Version};

pub(crate) use filter::expression;
pub use filter::{Filter, FilterError};
pub use reason::{Dropped, Kept};
pub use since::{Since, SinceError};

/// Which tags are wanted: first by their words, then of a certain age, then only the newest.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// What they must be like.
    pub filter: Filter,
    /// When their images must have been made.
    pub since: Option<Since>,
    /// How many of the last in this order are wanted.
    pub newest: Option<usize>,
    /// What the newest are the last in.
    pub order: Order,
}

/// What was chosen, both in the order in which the tags came, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// What is wanted.
    pub kept: Vec<(String, Kept)>,
    /// What is not.
    pub dropped: Vec<(String, Dropped)>,
}

/// In which order tags are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As the registry has them.
    #[default]
    AsListed,
    /// By their letters.
    Name,
    /// As versions; tags that are not versions come first.
    Semver,
    /// The oldest image first; what has no time comes before.
    Created,
}

impl Choice {
    /// Returns the same choice among those that a filter lets through.
    #[must_use]
    pub fn within(mut self, filter: Filter) -> Self {
        self.filter = filter.and(self.filter);
        if self.filter.wants_versions() {
            self.order = Order::Semver;
        }
        self
    }

    /// Returns whether nothing is asked for, so that every tag is wanted.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.filter.is_all() && self.since.is_none() && self.newest.is_none()
    }

    /// Returns whether it has to be known when images were made, which takes requests for each of
    /// them.
    #[must_use]
    pub fn needs_times(&self) -> bool {
        self.since.is_some() || self.newest.is_some() && self.order == Order::Created
    }

    /// Chooses by words and versions alone. [`by_time`](Self::by_time) has to follow.
    #[must_use]
    pub fn by_words(&self, tags: impl IntoIterator<Item = String>) -> Chosen {
        let mut chosen = Chosen::default();
        for tag in tags {
            match self.filter.evaluate(&tag) {
                Ok(why) => chosen.kept.push((tag, why)),
                Err(why) => chosen.dropped.push((tag, why)),
            }
        }
        chosen
    }

    /// Chooses the rest of the way. `created` tells when the image of a tag was made and is asked
    /// only if it [is needed](Self::needs_times); `now` is in seconds since 1970.
    #[must_use]
    pub fn by_time(
        &self,
        mut chosen: Chosen,
        created: impl Fn(&str) -> Option<Timestamp>,
        now: i64,
    ) -> Chosen {
        let created = |tag: &str| if self.needs_times() { created(tag) } else { None };
        let times: Vec<_> = chosen.kept.iter().map(|(tag, _)| created(tag)).collect();
        let mut left = Vec::new();
        for ((tag, why), created) in chosen.kept.into_iter().zip(times) {
            match self.since.as_ref().map(|since| since.evaluate(created, now)) {
                None => left.push((tag, why, created)),
                Some(Ok(recent)) => left.push((tag, why.and(recent), created)),
                Some(Err(old)) => chosen.dropped.push((tag, old)),
            }
        }
        let mut sorted: Vec<_> =
            left.iter().map(|(tag, _, created)| (tag.clone(), *created)).collect();
        self.order.sort(&mut sorted);
        let older = match self.newest {
            Some(newest) => take_older(&mut sorted, newest),
            None => Vec::new(),
        };
        let older: HashSet<&str> = older.iter().map(|(tag, _)| tag.as_str()).collect();
        chosen.kept = Vec::new();
        for (tag, why, _) in left {
            match self.newest {
                Some(newest) if older.contains(tag.as_str()) => {
                    chosen.dropped.push((tag, Dropped::NotNewest(newest)));
                }
                Some(newest) => chosen.kept.push((tag, why.and(Kept::newest(newest)))),
                None => chosen.kept.push((tag, why)),
            }
        }
        chosen
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
