//! What a plan or a report has decided, so that no flag of this run decides it once more.

use anyhow::Result;
use skopeo_image::ErrorClass;

use crate::args::value::Values;
use crate::args::{naming, tags};
use crate::exit::Classed;

/// What is taken of the sources, beside the flags that choose tags and make names.
const TAKEN: [&str; 4] = ["all", "platform", "repos", "shard"];

/// Where images come from and go to, and by what digests: all that only a plan says itself.
const PLANNED: [&str; 5] = ["dest", "lock", "locked", "src", "to"];

/// Refuses flags that would count for nothing beside `--plan`.
///
/// # Errors
/// If there is one.
pub(super) fn by_plan(given: &Values) -> Result<()> {
    check(given, &PLANNED, "--plan, which has decided it")
}

/// Refuses flags that would count for nothing beside `--retry-failed`.
///
/// # Errors
/// If there is one.
pub(super) fn by_report(given: &Values) -> Result<()> {
    check(given, &[], "--retry-failed, whose report has decided it")
}

fn check(given: &Values, more: &[&str], file: &str) -> Result<()> {
    let naming = naming::flags();
    let choosing = tags::syncing();
    let flags = naming.iter().chain(&choosing).map(|flag| flag.key());
    let mut flags = flags.chain(TAKEN).chain(more.iter().copied());
    let Some(flag) = flags.find(|flag| given.has(flag)) else { return Ok(()) };
    Err(Classed {
        class: ErrorClass::InvalidInput,
        sentence: format!("--{flag} cannot be used with {file}"),
        hint: None,
    }
    .into())
}
