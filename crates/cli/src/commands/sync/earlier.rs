//! What an earlier run has left for this one to do: `--plan`, the plan of a dry run; `--retry-failed`,
//! the report of a run of which not all went well. Its file has flags, which count unless this run
//! has others.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value as Json;
use skopeo_image::ErrorClass;
use skopeo_sync::plan::{Mirroring, PlanFile};
use skopeo_sync::report::{Record, Recorded};
use tracing::info;

use super::lowered::Lowered;
use crate::args::handle::{Handle, Prefix};
use crate::args::recorded::{recall, record};
use crate::args::value::Values;
use crate::args::{names, naming, tags};
use crate::exit::{Classed, UsageError};
use crate::go;

/// The flags that a plan keeps, and a report too: they say no secret, and are needed to do the same
/// again. Names, places and platforms are in the plan itself.
const PLANNED: [Handle<()>; 13] = [
    names::CERT_DIR.of(Prefix::Destination).any(),
    names::TLS_VERIFY.of(Prefix::Destination).any(),
    names::FORMAT.any(),
    names::OVERWRITE.any(),
    names::PRESERVE_DIGESTS.any(),
    names::REMOVE_LIST_SIGNATURES.any(),
    names::REMOVE_SIGNATURES.any(),
    names::SIGN_BY.any(),
    names::SIGN_BY_SIGSTORE.any(),
    names::SIGN_BY_SIGSTORE_PRIVATE_KEY.any(),
    names::SIGN_PASSPHRASE_FILE.any(),
    names::CERT_DIR.of(Prefix::Source).any(),
    names::TLS_VERIFY.of(Prefix::Source).any(),
];

/// The flags that only a report keeps.
const REPORTED: [Handle<()>; 12] = [
    names::ALL.any(),
    names::AUTHFILE.any(),
    names::DEST.any(),
    names::AUTHFILE.of(Prefix::Destination).any(),
    names::NO_CREDS.of(Prefix::Destination).any(),
    names::PLATFORM.any(),
    names::REFERRERS.any(),
    names::SRC.any(),
    names::AUTHFILE.of(Prefix::Source).any(),
    names::NO_CREDS.of(Prefix::Source).any(),
    names::TLS_VERIFY.any(),
    names::TO.any(),
];

/// What is taken of the sources, beside the flags that choose tags and make names: no run decides it
/// once more.
const TAKEN: [Handle<()>; 4] =
    [names::ALL.any(), names::PLATFORM.any(), names::REPOS.any(), names::SHARD.any()];

/// Where images come from and go to, and by what digests: all that only a plan says itself.
const PLACED: [Handle<()>; 5] =
    [names::DEST.any(), names::LOCK.any(), names::LOCKED.any(), names::SRC.any(), names::TO.any()];

/// What an earlier run has left, and where that lies.
#[derive(Debug)]
pub(super) struct Earlier {
    pub(super) path: PathBuf,
    pub(super) left: Left,
}

#[derive(Debug)]
pub(super) enum Left {
    /// `--plan`.
    Plan(Box<PlanFile>),
    /// `--retry-failed`.
    Report(Box<Record>),
}

impl Earlier {
    /// Reads what the flags name, if they name something. Says what is taken from it.
    ///
    /// # Errors
    /// If it cannot be read, flags count for nothing beside it, or it lowers what the command line
    /// asks for and that does not say so too.
    pub(super) fn named(given: &Values, arguments: &[String]) -> Result<Option<Self>> {
        let earlier = match (given.text(names::PLAN), given.text(names::RETRY_FAILED)) {
            (None, None) => return Ok(None),
            (Some(_), _) if !arguments.is_empty() || given.has(names::RETRY_FAILED) => {
                return Err(UsageError("No arguments expected with --plan").into());
            }
            (None, Some(_)) if !arguments.is_empty() => {
                return Err(UsageError("No arguments expected with --retry-failed").into());
            }
            (Some(path), _) => {
                undecided(given, &PLACED, "--plan, which decides this")?;
                Self { path: path.into(), left: Left::Plan(Box::new(plan(path.as_ref())?)) }
            }
            (None, Some(path)) => {
                undecided(given, &[], "--retry-failed, whose report decides this")?;
                let report = super::record(path.as_ref())?;
                Self { path: path.into(), left: Left::Report(Box::new(report)) }
            }
        };
        earlier.check(given)?;
        earlier.say();
        Ok(Some(earlier))
    }

    /// The flags of this run, and those of the file where this run has none.
    ///
    /// # Errors
    /// If the file has what no such file has.
    pub(super) fn flags(&self, given: &Values) -> Result<Values> {
        let all = match &self.left {
            Left::Plan(plan) => {
                let flags = &plan.plan().flags;
                recall(given, flags.iter(), &PLANNED, "plan")
            }
            Left::Report(report) => {
                let flags = [&PLANNED[..], &REPORTED].concat();
                recall(given, report.options.iter(), &flags, "report")
            }
        };
        all.with_context(|| go::quote(&self.path.to_string_lossy()))
    }

    /// SOURCE and DESTINATION of then; a plan needs none.
    pub(super) fn arguments(&self) -> &[String] {
        match &self.left {
            Left::Plan(_) => &[],
            Left::Report(report) => &report.arguments,
        }
    }

    /// How the plan judged what to delete; `None` if it deletes nothing, or there is none.
    pub(super) fn deletions(&self) -> Option<&Mirroring> {
        match &self.left {
            Left::Plan(plan) => plan.plan().delete.as_ref(),
            Left::Report(_) => None,
        }
    }

    /// Refuses what the file lowers of what the command line asks for, unless that says so too.
    fn check(&self, given: &Values) -> Result<()> {
        match &self.left {
            Left::Plan(plan) => {
                let flags = &plan.plan().flags;
                let mut lowered = Lowered::new("plan", &self.path);
                let of = ["its registries", "all sources", "all destinations"];
                lowered.flags(given, |flag| flags.get(flag), of);
                plan.reaches().for_each(|reach| lowered.reach(&reach, given));
                lowered.credentials(given, plan.registries());
                lowered.check(given)?;
                let asked = given.has(names::MAX_DELETE) || given.has(names::PROTECT);
                if plan.plan().delete.is_none() && (asked || given.switch(names::DELETE)) {
                    bail!("the plan was made without --delete, so it has nothing to delete");
                }
                Ok(())
            }
            Left::Report(report) => {
                let mut lowered = Lowered::new("report", &self.path);
                lowered.flags(given, |flag| report.options.get(flag), ["its registries"; 3]);
                lowered.credentials(given, report.registries());
                lowered.check(given)
            }
        }
    }

    fn say(&self) {
        let file = go::quote(&self.path.to_string_lossy());
        match &self.left {
            Left::Plan(plan) => {
                let plan = plan.plan();
                let places: Vec<&str> = plan.places.iter().map(|it| it.place.as_str()).collect();
                let flags = spelled(plan.flags.iter());
                let with = if flags.is_empty() { "" } else { ", with" };
                info!("As planned in {file}, images go to {}{with}{flags}", places.join(", "));
            }
            Left::Report(report) => info!(
                "Again, as {file} says: sync{} {}",
                spelled(report.options.iter()),
                report.arguments.join(" ")
            ),
        }
    }
}

/// What a plan is to keep of these flags.
pub(super) fn planned(flags: &Values) -> serde_json::Map<String, Json> {
    record(flags, &PLANNED).into_iter().collect()
}

/// What a report is to keep of these flags.
pub(super) fn recorded(flags: &Values) -> Recorded {
    record(flags, &[&PLANNED[..], &REPORTED].concat())
}

/// Reads what a dry run has written.
///
/// # Errors
/// If it cannot be read, or is no whole plan.
pub(super) fn plan(path: &Path) -> Result<PlanFile> {
    let what = || format!("reading plan {}", go::quote(&path.to_string_lossy()));
    let text = go::read_at_most(path, PlanFile::LONGEST).with_context(what)?;
    PlanFile::parse(&text).with_context(what)
}

/// Refuses flags that would count for nothing beside a file which has decided that.
fn undecided(given: &Values, more: &[Handle<()>], file: &str) -> Result<()> {
    let (naming, choosing) = (naming::flags(), tags::syncing());
    let rows = naming.iter().chain(&choosing).map(|row| Cow::Borrowed(row.key()));
    let mut keys = rows.chain(TAKEN.iter().chain(more).map(|flag| flag.name()));
    let Some(flag) = keys.find(|key| given.has_key(key)) else { return Ok(()) };
    let sentence = format!("--{flag} cannot be used with {file}");
    Err(Classed { class: ErrorClass::InvalidInput, sentence, hint: None }.into())
}

fn spelled<'a>(flags: impl Iterator<Item = (&'a String, &'a Json)>) -> String {
    let flags = flags.map(|(name, value)| match value {
        Json::String(text) => format!(" --{name}={}", go::quote(text)),
        value => format!(" --{name}={value}"),
    });
    flags.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_plan_give_way_and_have_no_secrets() {
        let mut given = Values::default();
        given.set(names::PRESERVE_DIGESTS, true);
        given.set(names::CREDS.of(Prefix::Destination), "u:secret".to_owned());
        given.set(names::FORMAT, "oci".to_owned());
        let flags = serde_json::to_string(&planned(&given)).unwrap();
        assert!(!flags.contains("secret"));
        let plan = |flags: &str| {
            let plan = format!(r#"{{"places":[],"platforms":[],"flags":{flags}}}"#);
            let text =
                format!(r#"{{"version":1,"command":"sync","ok":true,"plan":{plan},"results":[]}}"#);
            let plan = PlanFile::parse(text.as_bytes()).unwrap();
            Earlier { path: PathBuf::from("p"), left: Left::Plan(Box::new(plan)) }
        };
        let mut now = Values::default();
        now.set(names::PRESERVE_DIGESTS, false);
        let flags = plan(&flags).flags(&now).unwrap();
        assert_eq!(
            (flags.switch(names::PRESERVE_DIGESTS), flags.text(names::FORMAT)),
            (false, Some("oci"))
        );
        for wrong in [r#"{"dest-creds":"u:p"}"#, r#"{"format":true}"#, r#"{"nonsense":true}"#] {
            assert!(plan(wrong).flags(&now).is_err(), "{wrong}");
        }
    }
}
