//! Values of keys, checked as they are read, so that an error knows its line.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use skopeo_image::{Digest, PlatformFilter, is_valid_tag};

use crate::select::Filter;

/// Anything that is written as a text.
#[derive(Clone, Debug)]
pub(super) struct Text<T>(pub(super) T);

/// One or several, which are written as a text or a list of texts.
#[derive(Clone, Debug)]
pub(super) struct Several(pub(super) Vec<String>);

/// A regular expression.
#[derive(Clone, Debug)]
pub(super) struct Expression(pub(super) String);

/// A range of versions.
#[derive(Clone, Debug)]
pub(super) struct Range(pub(super) String);

/// A tag or a digest.
#[derive(Clone, Debug)]
pub(super) struct Tag(pub(super) String);

/// A number of at least one.
#[derive(Clone, Debug)]
pub(super) struct Count(pub(super) NonZeroUsize);

impl<'de, T> Deserialize<'de> for Text<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Filter::new(&[&text], &[], None) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(D::Error::custom(with_source(&error))),
        }
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Filter::new::<&str>(&[], &[], Some(&text)) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(D::Error::custom(with_source(&error))),
        }
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let both = text
            .split_once('@')
            .is_some_and(|(tag, digest)| is_valid_tag(tag) && digest.parse::<Digest>().is_ok());
        if both || is_valid_tag(&text) || text.parse::<Digest>().is_ok() {
            return Ok(Self(text));
        }
        Err(D::Error::custom(format!("{text:?} is neither tag nor digest")))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        let number = usize::try_from(number).ok().and_then(NonZeroUsize::new);
        number.map(Self).ok_or_else(|| D::Error::custom("at least 1 has to be wanted"))
    }
}

impl<'de> Deserialize<'de> for Several {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore("a text or a list of texts")).map(Self)
    }
}

/// Which images of lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platforms {
    /// The one for this machine.
    System,
    /// All of them.
    All,
    /// These.
    These(Vec<PlatformFilter>),
}

impl<'de> Deserialize<'de> for Platforms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = OneOrMore("all, system, or a list of platforms as linux/amd64");
        let texts = deserializer.deserialize_any(words)?;
        match texts.as_slice() {
            [all] if all == "all" => Ok(Self::All),
            [system] if system == "system" => Ok(Self::System),
            [] => Err(D::Error::custom("a list of platforms that has none")),
            several => {
                let platforms = several.iter().map(|text| text.parse::<PlatformFilter>());
                platforms.collect::<Result<_, _>>().map(Self::These).map_err(D::Error::custom)
            }
        }
    }
}

struct OneOrMore(&'static str);

impl<'de> Visitor<'de> for OneOrMore {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Ok(all)
    }
}

/// An error and what it comes from, as one sentence on one line.
fn with_source(error: &dyn std::error::Error) -> String {
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    let source = source.lines().last().unwrap_or_default();
    format!("{error}: {}", source.trim_start_matches("error: "))
}
