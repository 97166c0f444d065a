//! `--retry-failed`: the images of a report that are not where they should be, once more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::Value as Json;
use skopeo_sync::destination::Place;
use skopeo_sync::plan::Access;
use skopeo_sync::report::Record;
use skopeo_sync::{Input, Resume};
use skopeo_transport::Options;
use tracing::info;

use super::RECORDED;
use super::lowered::Lowered;
use crate::args::value::Values;
use crate::args::{self, recorded};
use crate::exit::UsageError;
use crate::go;

/// A run that is to be ended.
#[derive(Debug)]
pub(super) struct Again {
    path: PathBuf,
    record: Record,
}

impl Again {
    /// # Errors
    /// If the report cannot be read, or something else is asked for beside it.
    pub(super) fn new(path: &Path, arguments: &[String]) -> Result<Self> {
        if !arguments.is_empty() {
            return Err(UsageError("No arguments expected with --retry-failed").into());
        }
        Ok(Self { path: path.to_owned(), record: super::record(path)? })
    }

    /// What was given then, and now. What is given now counts.
    ///
    /// # Errors
    /// If the report has what no report has.
    pub(super) fn flags(&self, flags: &Values) -> Result<Values> {
        let tree = args::tree(None);
        let sync = tree.find("sync").context("there is no sync")?;
        let all = recorded::recall(flags, &self.record.options, RECORDED, sync);
        all.with_context(|| self.file())
    }

    /// Refuses what the report lowers of what the command line asks for, unless that says so too, and
    /// says what is taken from the report.
    ///
    /// # Errors
    /// If there is something.
    pub(super) fn check(&self, given: &Values) -> Result<()> {
        let mut lowered = Lowered::new("report", &self.path);
        let recorded = &self.record.options;
        for side in ["", "src-", "dest-"] {
            let flag = format!("{side}tls-verify");
            let verify = recorded.get(&flag).and_then(Json::as_bool);
            if !given.has(&flag) {
                lowered.tls(verify, given, &flag, "its registries");
            }
            for (name, of) in [("authfile", "credentials"), ("cert-dir", "certificates")] {
                let flag = format!("{side}{name}");
                let path = recorded.get(&flag).and_then(Json::as_str);
                if !given.has(&flag) {
                    lowered.path(path, given, &flag, of);
                }
            }
        }
        lowered.signing(|flag| recorded.get(flag).and_then(Json::as_str), given);
        let missing = || self.record.images.iter().filter(|image| image.outcome.is_missing());
        let sources = missing().filter_map(|image| image.source.as_deref());
        lowered.credentials(given, sources, missing().map(|image| image.place.as_str()));
        lowered.check(given)?;
        let flags = recorded.iter().map(|(name, value)| format!(" --{name}={value}"));
        info!(
            "Again, as {} says: sync{} {}",
            self.file(),
            flags.collect::<String>(),
            self.record.arguments.join(" ")
        );
        Ok(())
    }

    /// SOURCE and DESTINATION of then.
    pub(super) fn arguments(&self) -> &[String] {
        &self.record.arguments
    }

    /// The run to be ended, with what was named as its source.
    pub(super) fn resume(self, input: Input) -> Resume {
        Resume { file: self.file(), record: self.record, input }
    }

    fn file(&self) -> String {
        go::quote(&self.path.to_string_lossy())
    }
}

/// Refuses what a file of `--src yaml` lowers of what the command line asks for: only the report
/// names that file. `flags` are those of [`Again::flags`].
///
/// # Errors
/// If there is something.
pub(super) fn check_input(
    resume: &Resume,
    flags: &Values,
    source: &Arc<Options>,
    destination: &Options,
) -> Result<()> {
    let input = &resume.input;
    let hosts: BTreeSet<String> = resume.hosts().collect();
    let places: BTreeSet<&str> = resume.places().collect();
    let file = resume.record.arguments.first().map_or("", String::as_str);
    let mut lowered = Lowered::new("the report's file", Path::new(file));
    for host in &hosts {
        let access = Access::new(&input.reading(source, host), source);
        lowered.access(&access, flags, "src", host);
        lowered.variables(input.variables(host), host);
    }
    for place in places.into_iter().filter_map(|place| place.parse::<Place>().ok()) {
        let access = Access::new(&input.reaching(destination, &place), destination);
        lowered.access(&access, flags, "dest", &place.to_string());
        let host = place.registry().unwrap_or_default();
        lowered.variables(input.variables(&host), &host);
    }
    lowered.check(flags)
}
