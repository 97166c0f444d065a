//! Splitting a run among machines: which of them a repository belongs to.
//!
//! Each machine decides alone and all decide alike, today and in later versions. For each of the N
//! shards, numbered from 0, the text `skopeo-shard-1\n<number>\n<repository>` is hashed by SHA-256,
//! where the number is decimal and the repository is the source's name in full
//! (`docker.io/library/busybox`, or whatever else the images of a place are told apart by). The
//! shard whose first eight bytes, as a big-endian number, are the greatest has the repository; of
//! two alike, which will never be, the lower number. This is rendezvous hashing: one shard more
//! takes an equal part from each of the others, and nothing else moves.

use std::fmt;
use std::str::FromStr;

use skopeo_image::{Classify, Digest, ErrorClass};

/// The one of so many shards that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 0.
    index: u32,
    /// How many there are.
    count: u32,
}

/// More are not believed to be meant.
const MOST: u32 = 1 << 20;

/// Where Kubernetes says which pod of an Indexed Job it is, from 0.
pub const JOB_INDEX: &str = "JOB_COMPLETION_INDEX";

/// Where whoever writes a manifest says how many shards there are, as Kubernetes does not.
pub const COUNT: &str = "SKOPEO_SHARD_COUNT";

/// Where Slurm says which task of an array it is, from which number on, and how many there are.
pub const TASK: &str = "SLURM_ARRAY_TASK_ID";
const TASK_COUNT: &str = "SLURM_ARRAY_TASK_COUNT";
const TASK_MIN: &str = "SLURM_ARRAY_TASK_MIN";
const TASK_STEP: &str = "SLURM_ARRAY_TASK_STEP";

/// Why a shard is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// Not `K/N`.
    #[error(
        "invalid shard {0:?}: use K/N, where K counts from 1 to N, or auto, or auto/N to take K \
         from the environment"
    )]
    Syntax(String),
    /// No such variable, or nothing that could be one's value.
    #[error("reading the shard from {name}: {value:?} is not the number of a part")]
    Value {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
    },
    /// There is nothing to know it from.
    #[error("taking the shard from the environment: neither {JOB_INDEX} nor {TASK} is set")]
    NoIndex,
    /// There is nothing to know from how many there are.
    #[error("taking the shard from the environment: the number of parts is missing")]
    NoCount,
    /// A shard that is not among those there are.
    #[error("taking the shard from the environment: {name} says {index}, but there are {count}")]
    OutOfRange {
        /// The variable.
        name: &'static str,
        /// Which one, from 0.
        index: u32,
        /// How many there are.
        count: u32,
    },
}

impl Classify for ShardError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Syntax(_)
            | Self::Value { .. }
            | Self::NoIndex
            | Self::NoCount
            | Self::OutOfRange { .. } => Some(ErrorClass::InvalidInput),
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::NoCount)
            .then(|| "use --shard auto/N, or set SKOPEO_SHARD_COUNT".to_owned())
    }
}

impl Shard {
    /// Reads what was asked for: `K/N`, counted from 1, or `auto` or `auto/N`, which looks into the
    /// environment through `variable`.
    ///
    /// # Errors
    /// If that is not valid.
    pub fn parse(
        text: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ShardError> {
        let syntax = || ShardError::Syntax(text.to_owned());
        let (which, count) = match text.split_once('/') {
            Some((which, count)) => (which, Some(number(count).ok_or_else(syntax)?)),
            None => (text, None),
        };
        if count.is_some_and(|count| count == 0 || count > MOST) {
            return Err(syntax());
        }
        if which == "auto" {
            return Self::from_environment(count, variable);
        }
        let (Some(index), Some(count)) = (number(which), count) else { return Err(syntax()) };
        match index.checked_sub(1) {
            Some(index) if index < count => Ok(Self { index, count }),
            _ => Err(syntax()),
        }
    }

    /// Returns what the environment of a job says. A number of shards that is given counts more
    /// than what the environment says of it.
    ///
    /// # Errors
    /// If it does not say enough, or what cannot be.
    pub fn from_environment(
        count: Option<u32>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ShardError> {
        let read = |name: &'static str| -> Result<Option<u32>, ShardError> {
            match variable(name).filter(|value| !value.is_empty()) {
                Some(value) => match number(&value) {
                    Some(number) => Ok(Some(number)),
                    None => Err(ShardError::Value { name, value }),
                },
                None => Ok(None),
            }
        };
        let (name, index, known) = if let Some(index) = read(JOB_INDEX)? {
            (JOB_INDEX, index, None)
        } else if let Some(task) = read(TASK)? {
            let first = read(TASK_MIN)?.unwrap_or_default();
            let step = read(TASK_STEP)?.filter(|step| *step > 0).unwrap_or(1);
            let wrong = || ShardError::Value { name: TASK, value: task.to_string() };
            let above = task.checked_sub(first).filter(|above| above.is_multiple_of(step));
            let index = above.and_then(|above| above.checked_div(step)).ok_or_else(wrong)?;
            (TASK, index, read(TASK_COUNT)?)
        } else {
            return Err(ShardError::NoIndex);
        };
        let count = match (count, read(COUNT)?) {
            (Some(count), _) | (None, Some(count)) => count,
            (None, None) => known.ok_or(ShardError::NoCount)?,
        };
        if index >= count || count > MOST {
            return Err(ShardError::OutOfRange { name, index, count });
        }
        Ok(Self { index, count })
    }

    /// Returns whether a repository, named in full, belongs to this shard.
    #[must_use]
    pub fn has(self, repository: &str) -> bool {
        owner(repository, self.count) == self.index
    }

    /// Returns which one, from 1.
    #[must_use]
    pub fn number(self) -> u32 {
        self.index.saturating_add(1)
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        Self::parse(text, |_| None)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number(), self.count)
    }
}

/// The shard, from 0, that has the repository.
fn owner(repository: &str, count: u32) -> u32 {
    let weight = |index: &u32| {
        let digest = Digest::sha256(format!("skopeo-shard-1\n{index}\n{repository}").as_bytes());
        // Hexadecimal digits are in the order of the numbers they write.
        let first: [u8; 16] = digest.hex().as_bytes().first_chunk().copied().unwrap_or_default();
        (first, std::cmp::Reverse(*index))
    };
    (0..count).max_by_key(weight).unwrap_or_default()
}

/// A decimal number, without sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shards(count: u32) -> impl Iterator<Item = Shard> {
        (0..count).map(move |index| Shard { index, count })
    }

    #[test]
    fn shards_are_read() {
        for (text, expected) in [("1/3", (0, 3)), ("3/3", (2, 3)), ("1/1", (0, 1))] {
            let shard: Shard = text.parse().unwrap();
            assert_eq!((shard.index, shard.count), expected);
            assert_eq!(shard.to_string(), text);
        }
        for text in ["", "/", "1", "0/3", "4/3", "1/0", "-1/3", "+1/3", "1/x", "1/2/3", "1/9999999"]
        {
            let error = text.parse::<Shard>().unwrap_err();
            assert!(matches!(error, ShardError::Syntax(_)), "{text}: {error}");
        }
    }

    #[test]
    fn jobs_say_which_shard_they_are() {
        let slurm = "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=1";
        let rows = [
            ("auto/5", "JOB_COMPLETION_INDEX=0".to_owned(), Ok("1/5")),
            ("auto", "JOB_COMPLETION_INDEX=4 SKOPEO_SHARD_COUNT=5".to_owned(), Ok("5/5")),
            ("auto/6", "JOB_COMPLETION_INDEX=4 SKOPEO_SHARD_COUNT=5".to_owned(), Ok("5/6")),
            ("auto", format!("{slurm} SLURM_ARRAY_TASK_STEP=2"), Ok("4/4")),
            ("auto/9", slurm.to_owned(), Ok("7/9")),
            ("auto", "SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_COUNT=1".to_owned(), Ok("1/1")),
            ("auto", slurm.to_owned(), Err("SLURM_ARRAY_TASK_ID says 6, but there are 4")),
            ("auto", format!("{slurm} SLURM_ARRAY_TASK_STEP=4"), Err("\"7\" is not the number")),
            ("auto/5", "JOB_COMPLETION_INDEX=5".to_owned(), Err("says 5, but there are 5")),
            ("auto/5", "JOB_COMPLETION_INDEX=x".to_owned(), Err("\"x\" is not the number")),
            ("auto", "JOB_COMPLETION_INDEX=1".to_owned(), Err("number of parts is missing")),
            ("auto/5", "JOB_COMPLETION_INDEX=".to_owned(), Err("neither")),
        ];
        for (text, environment, expected) in rows {
            let variable = |name: &str| {
                let mut pairs = environment.split(' ').filter_map(|pair| pair.split_once('='));
                pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
            };
            match (Shard::parse(text, variable), expected) {
                (Ok(shard), Ok(expected)) => assert_eq!(shard.to_string(), expected),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (other, expected) => panic!("{text} {environment}: {other:?}, not {expected:?}"),
            }
        }
    }

    /// What one version decides another one must decide too.
    #[test]
    fn shards_never_change() {
        let of = |repository| [2, 3, 10, 64].map(|count| owner(repository, count));
        for (repository, owners) in [
            ("docker.io/library/busybox", [1, 1, 7, 61]),
            ("quay.io/coreos/etcd", [1, 1, 4, 47]),
            ("registry.example.com:5000/a/b/c", [0, 2, 9, 46]),
        ] {
            assert_eq!(of(repository), owners, "{repository}");
        }
    }

    #[test]
    fn one_shard_more_takes_its_part_and_moves_nothing_else() {
        let repositories: Vec<_> =
            (0..4_000).map(|at| format!("registry.example/a/{at}")).collect();
        for count in [1, 2, 5, 11] {
            let mut moved = 0_u32;
            for repository in &repositories {
                let (before, after) = (owner(repository, count), owner(repository, count + 1));
                if before != after {
                    assert_eq!(after, count, "moved only to the new one");
                    moved += 1;
                }
            }
            let expected = 4_000 / (count + 1);
            assert!(moved.abs_diff(expected) < expected / 5, "{moved} of 4000 to {count} and one");
        }
    }

    proptest! {
        #[test]
        fn every_repository_is_in_one_shard(repository in "[a-z0-9./:-]{1,30}", count in 1_u32..40) {
            prop_assert_eq!(shards(count).filter(|shard| shard.has(&repository)).count(), 1);
        }
    }
}
