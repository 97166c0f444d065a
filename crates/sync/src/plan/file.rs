//! Reads the document of a plan.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::deletions::PlannedDeletion;
use super::values::{Plan, Planned};
use crate::{Context as _, Error, Result};

/// The version of the document that a plan is in: grows if a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The longest part of a plan that is about all images, and about one, in bytes.
const LONGEST_HEAD: usize = 16 << 20;
const LONGEST_RESULT: usize = 64 << 10;

/// A plan that was read.
#[derive(Debug)]
pub struct PlanFile {
    pub(super) plan: Plan,
    pub(super) images: Vec<Planned>,
    pub(super) deletions: Vec<PlannedDeletion>,
}

/// The document, as far as a plan is in it.
#[derive(Deserialize)]
struct PlanDocument<'a> {
    version: u32,
    command: String,
    ok: bool,
    #[serde(borrow)]
    plan: Option<&'a RawValue>,
    results: Results,
}

/// The results that are part of a plan.
#[derive(Default)]
struct Results {
    images: Vec<Planned>,
    deletions: Vec<PlannedDeletion>,
}

/// What a result is.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    outcome: String,
}

impl<'de> Deserialize<'de> for Results {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Reading)
    }
}

/// Reads one result after the other, so that other values take no memory.
struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Results;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of results")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Results, A::Error> {
        fn read<'de, T: Deserialize<'de>, E: de::Error>(text: &'de str) -> Result<T, E> {
            serde_json::from_str(text).map_err(E::custom)
        }
        let mut results = Results::default();
        while let Some(one) = list.next_element::<&'de RawValue>()? {
            if one.get().len() > LONGEST_RESULT {
                let most = LONGEST_RESULT >> 10;
                return Err(de::Error::custom(format!("a result is longer than {most} KiB")));
            }
            let Kind { kind, outcome } = read(one.get())?;
            match (kind.as_str(), outcome.as_str()) {
                ("plan", _) => results.images.push(read(one.get())?),
                ("delete", "would-delete") => results.deletions.push(read(one.get())?),
                _ => {}
            }
        }
        Ok(results)
    }
}

impl PlanFile {
    /// The longest plan that is worth reading, in bytes: some hundred thousand images.
    pub const LONGEST: usize = 512 << 20;

    /// Reads what a dry run has written.
    ///
    /// # Errors
    /// If it is no whole plan.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(text).context("it is not UTF-8")?;
        let document: PlanDocument<'_> = serde_json::from_str(text)?;
        let PlanDocument { version, command, ok, plan, results } = document;
        if version != VERSION || command != "sync" {
            return Err(Error::refused("it is not a plan of this version"));
        }
        let Some(plan) = plan else {
            let sentence = "there is no plan in it: --dry-run --output json writes one";
            return Err(Error::refused(sentence));
        };
        if plan.get().len() > LONGEST_HEAD {
            let most = LONGEST_HEAD >> 20;
            return Err(Error::refused(format!(
                "the part about all images is longer than {most} MiB"
            )));
        }
        let plan: Plan = serde_json::from_str(plan.get())?;
        if !ok {
            return Err(Error::refused("it is of a dry run that failed"));
        }
        let Results { images, deletions } = results;
        if !deletions.is_empty() && plan.delete.is_none() {
            return Err(Error::refused("it deletes images, but does not say how they were chosen"));
        }
        Ok(Self { plan, images, deletions })
    }

    /// Returns what its images have in common.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns its images.
    #[must_use]
    pub fn images(&self) -> &[Planned] {
        &self.images
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_plans_are_taken() {
        let plan = r#""plan":{"places":[],"platforms":[],"flags":{"format":"oci"}}"#;
        for (text, sentence) in [
            (format!(r#"{{"version":1,"command":"sync","ok":true,{plan},"results":[]}}"#), ""),
            (
                format!(r#"{{"version":2,"command":"sync","ok":true,{plan},"results":[]}}"#),
                "it is not a plan of this version",
            ),
            (
                format!(r#"{{"version":1,"command":"copy","ok":true,{plan},"results":[]}}"#),
                "it is not a plan of this version",
            ),
            (
                format!(r#"{{"version":1,"command":"sync","ok":false,{plan},"results":[]}}"#),
                "it is of a dry run that failed",
            ),
            (
                r#"{"version":1,"command":"sync","ok":true,"results":[]}"#.to_owned(),
                "there is no plan in it: --dry-run --output json writes one",
            ),
        ] {
            let error = PlanFile::parse(text.as_bytes()).err().map(|error| error.to_string());
            assert_eq!(error.unwrap_or_default(), sentence, "{text}");
        }
    }
}
