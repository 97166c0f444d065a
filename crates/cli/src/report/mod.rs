//! What a command has done, as one JSON document on stdout: `--output json`.
//!
//! One envelope for all commands; what each of them did to each thing is a [`Done`].
//! docs/json.md explains the fields.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod copied;
mod done;

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use skopeo_image::go_json;
use skopeo_sync::plan::Plan;

use crate::app::App;
use crate::args::report::Output;
use crate::args::value::Values;
use crate::exit::{Failure, print};
use crate::logging;

pub(crate) use copied::Copying;
pub(crate) use done::{Deleted, Done};

/// The version of the document: grows if a field changes its meaning or goes.
const VERSION: u32 = skopeo_sync::plan::VERSION;

/// What a command has done so far.
#[derive(Debug)]
pub(crate) struct Report {
    output: Output,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    attempts: u32,
    results: Vec<Done>,
    /// Which of them count only when a place is published: as they are until then.
    held: Vec<(usize, String, Done)>,
    plan: Option<Plan>,
}

#[derive(Serialize)]
struct ReportDocument<'a> {
    version: u32,
    command: &'static str,
    ok: bool,
    started: String,
    seconds: f64,
    attempts: u32,
    requests: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a Plan>,
    results: &'a [Done],
    warnings: Vec<String>,
    error: Option<Failure>,
}

/// Runs a command, and prints the document where one is wanted, whether the command did well or
/// not.
///
/// # Errors
/// What the command says, or if stdout cannot be written.
pub(crate) fn deliver(
    app: &App,
    flags: &Values,
    command: &'static str,
    run: impl FnOnce(&Arc<Report>) -> Result<()>,
) -> Result<()> {
    let report = Arc::new(Report { output: Output::new(flags)?, state: Mutex::default() });
    if report.output == Output::Text {
        return run(&report);
    }
    logging::keep_warnings();
    let started = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let begun = Instant::now();
    let done = run(&report).map_err(|error| app.asked_wrongly(error));
    let state = report.state();
    let document = ReportDocument {
        version: VERSION,
        command,
        ok: done.is_ok(),
        started,
        seconds: seconds(begun),
        attempts: state.attempts.max(1),
        requests: app.connections().requests(),
        plan: state.plan.as_ref(),
        results: &state.results,
        warnings: logging::kept_warnings(),
        error: done.as_ref().err().map(|error| Failure::new(error, app.exit_codes())),
    };
    let mut json = go_json::to_vec_indent(&document, "", "    ")?;
    json.push(b'\n');
    let printed = print(json);
    done?;
    Ok(printed?)
}

/// Prints a sentence for people: on stdout, unless that is for something else.
///
/// # Errors
/// If stdout cannot be written.
pub(crate) fn say(output: Output, text: &str) -> Result<()> {
    match output {
        Output::Text => Ok(print(text)?),
        Output::Json => {
            let _ = io::stderr().write_all(text.as_bytes());
            Ok(())
        }
    }
}

impl Report {
    /// What stdout is for.
    pub(crate) fn output(&self) -> Output {
        self.output
    }

    /// Prints a sentence for people: on stdout, unless that is for the document.
    pub(crate) fn say(&self, text: &str) -> Result<()> {
        say(self.output, text)
    }

    /// The whole is tried, once more perhaps: what an earlier attempt came to does not count.
    pub(crate) fn attempt(&self) {
        let mut state = self.state();
        state.attempts = state.attempts.saturating_add(1);
        state.results.clear();
        state.held.clear();
    }

    /// Something was done.
    pub(crate) fn add(&self, done: Done) {
        self.state().results.push(done);
    }

    /// Something was done that is in vain unless its place, an archive, is
    /// [published](Self::published): until then it has failed.
    pub(crate) fn add_held(&self, place: &str, done: Done) {
        let mut state = self.state();
        let at = state.results.len();
        state.results.push(done.unpublished());
        state.held.push((at, place.to_owned(), done));
    }

    /// A place has its name now: what was done there is done.
    pub(crate) fn published(&self, place: &str) {
        let mut state = self.state();
        for (at, held, done) in std::mem::take(&mut state.held) {
            if held != place {
                state.held.push((at, held, done));
            } else if let Some(result) = state.results.get_mut(at) {
                *result = done;
            }
        }
    }

    /// What the results are a plan of.
    pub(crate) fn plan(&self, plan: Plan) {
        self.state().plan = Some(plan);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long ago that was, to the millisecond.
fn seconds(begun: Instant) -> f64 {
    (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
}
