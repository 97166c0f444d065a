//! Versions as tags write them: semantic versions, leniently read, and constraints on them.
//!
//! The rules are those of Masterminds/semver 3, by which the original's `images-by-semver` goes.

mod constraint;

use std::cmp::Ordering;

pub use constraint::{Constraint, ConstraintError};

/// A version: `1.2.3`, but `v1` and `1.2-rc.1` too. Build metadata counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The first number.
    pub major: u64,
    /// The second one; 0 if it is missing.
    pub minor: u64,
    /// The third one; 0 if it is missing.
    pub patch: u64,
    /// What stands behind the hyphen.
    pub pre: String,
}

impl Version {
    /// Reads a version; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, metadata) = split(text, '+');
        let (numbers, pre) = split(text, '-');
        if metadata.is_some_and(|metadata| !metadata.split('.').all(is_identifier))
            || pre.is_some_and(|pre| !is_prerelease(pre))
        {
            return None;
        }
        let mut numbers = numbers.split('.').map(number);
        let major = numbers.next()??;
        let mut next = || numbers.next().unwrap_or(Some(0));
        let (minor, patch) = (next()?, next()?);
        let pre = pre.unwrap_or_default().to_owned();
        numbers.next().is_none().then_some(Self { major, minor, patch, pre })
    }

    fn numbers(&self) -> (u64, u64, u64) {
        (self.major, self.minor, self.patch)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers().cmp(&other.numbers()).then_with(|| {
            match (self.pre.is_empty(), other.pre.is_empty()) {
                // A release comes after all that led to it.
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                _ => compare_pre(&self.pre, &other.pre),
            }
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Part by part: what is missing comes first, then numbers, then words.
fn compare_pre(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let (a, b) = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (a, b) => (a.unwrap_or_default(), b.unwrap_or_default()),
        };
        let order = match (number(a), number(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (Some(_), None) if !b.is_empty() => Ordering::Less,
            (None, Some(_)) if !a.is_empty() => Ordering::Greater,
            _ => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

/// Digits only, and not too many of them.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Numbers in it have no zeros in front.
fn is_prerelease(pre: &str) -> bool {
    pre.split('.').all(|part| {
        let padded = part.len() > 1
            && part.starts_with('0')
            && part.bytes().all(|byte| byte.is_ascii_digit());
        is_identifier(part) && !padded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_tags_write() {
        for (text, version) in [
            ("1.2.3", Some((1, 2, 3, ""))),
            ("v1", Some((1, 0, 0, ""))),
            ("01.2", Some((1, 2, 0, ""))),
            ("3.11-slim", Some((3, 11, 0, "slim"))),
            ("1.2.3-rc.1+build.5", Some((1, 2, 3, "rc.1"))),
            ("1.2.3+01", Some((1, 2, 3, ""))),
            ("v1.2.3-a-b", Some((1, 2, 3, "a-b"))),
            ("20240131", Some((20_240_131, 0, 0, ""))),
            ("latest", None),
            ("", None),
            ("v", None),
            ("V1", None),
            ("vv1", None),
            ("1.", None),
            (".1", None),
            ("1.2.3.4", None),
            ("1.2.x", None),
            ("1.2-", None),
            ("1.2+", None),
            ("1.2-a..b", None),
            ("1.2-beta.01", None),
            ("1.2-a_b", None),
            ("+1", None),
            ("-1", None),
            ("99999999999999999999", None),
        ] {
            let parsed = Version::parse(text);
            let parsed = parsed.as_ref().map(|it| (it.major, it.minor, it.patch, it.pre.as_str()));
            assert_eq!(parsed, version, "{text}");
        }
    }

    #[test]
    fn versions_are_in_order() {
        let order = [
            "0.0.1",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-rc.9",
            "1.0.0-rc.10",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2",
        ];
        let versions: Vec<Version> =
            order.iter().map(|text| Version::parse(text).unwrap()).collect();
        for (at, version) in versions.iter().enumerate() {
            for (other_at, other) in versions.iter().enumerate() {
                assert_eq!(version.cmp(other), at.cmp(&other_at), "{version:?} {other:?}");
            }
        }
    }
}
