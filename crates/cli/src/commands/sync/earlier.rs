//! What an earlier run has left for this one to do: `--plan`, the plan of a dry run; `--retry-failed`,
//! the report of a run of which not all went well. Its file has flags, which count unless this run
//! has others.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value as Json;
use skopeo_sync::Earlier;
use skopeo_sync::plan::PlanFile;
use tracing::info;

use crate::args::names;
use crate::args::recorded::{Kept, Lowered};
use crate::args::value::Values;
use crate::exit::UsageError;
use crate::go;

/// The file of an earlier run.
#[derive(Debug)]
pub(super) struct EarlierFile {
    pub(super) path: PathBuf,
    pub(super) earlier: Earlier,
}

impl EarlierFile {
    /// Reads what the flags name, if they name something. Says what is taken from it.
    ///
    /// # Errors
    /// If it cannot be read, flags count for nothing beside it, or it lowers what the command line
    /// asks for and that does not say so too.
    pub(super) fn named(given: &Values, arguments: &[String]) -> Result<Option<Self>> {
        let (kept, path) = match (given.text(names::PLAN), given.text(names::RETRY_FAILED)) {
            (None, None) => return Ok(None),
            (Some(_), _) if !arguments.is_empty() || given.has(names::RETRY_FAILED) => {
                return Err(UsageError("No arguments expected with --plan").into());
            }
            (None, Some(_)) if !arguments.is_empty() => {
                return Err(UsageError("No arguments expected with --retry-failed").into());
            }
            (Some(path), _) => (Kept::Plan, path),
            (None, Some(path)) => (Kept::Report, path),
        };
        kept.check(given)?;
        let earlier = match kept {
            Kept::Plan => Earlier::Plan(Box::new(plan(path.as_ref())?)),
            Kept::Report => Earlier::Report(Box::new(super::record(path.as_ref())?)),
        };
        Lowered::of(kept, path.as_ref(), &earlier, given).check(given)?;
        if let Earlier::Plan(plan) = &earlier
            && plan.plan().delete.is_none()
            && (given.has(names::MAX_DELETE)
                || given.has(names::PROTECT)
                || given.switch(names::DELETE))
        {
            bail!("the plan was made without --delete, so it has nothing to delete");
        }
        let this = Self { path: path.into(), earlier };
        this.say();
        Ok(Some(this))
    }

    /// The flags of this run, and those of the file where this run has none.
    ///
    /// # Errors
    /// If the file has what no such file has.
    pub(super) fn flags(&self, given: &Values) -> Result<Values> {
        let kept = match &self.earlier {
            Earlier::Report(_) => Kept::Report,
            _ => Kept::Plan,
        };
        let all = kept.recall(given, self.earlier.recorded());
        all.with_context(|| go::quote(&self.path.to_string_lossy()))
    }

    fn say(&self) {
        let file = go::quote(&self.path.to_string_lossy());
        let flags = self.earlier.recorded().iter().map(|(name, value)| match value {
            Json::String(text) => format!(" --{name}={}", go::quote(text)),
            value => format!(" --{name}={value}"),
        });
        let flags: String = flags.collect();
        if let Earlier::Plan(plan) = &self.earlier {
            let places: Vec<&str> = plan.plan().places.iter().map(|it| it.place.as_str()).collect();
            let with = if flags.is_empty() { "" } else { ", with" };
            info!("As planned in {file}, images go to {}{with}{flags}", places.join(", "));
        } else {
            info!("Again, as {file} says: sync{flags} {}", self.earlier.arguments().join(" "));
        }
    }
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
