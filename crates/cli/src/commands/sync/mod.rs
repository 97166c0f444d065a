//! `sync --src TRANSPORT --dest TRANSPORT SOURCE DESTINATION`: flags become a request to the crate
//! `sync`, and what comes of it is told.
//!
//! `request` reads flags, arguments and the YAML file. `earlier` takes from a file what an earlier
//! run has left. `watch` tells what happens meanwhile, `digests` in a file.
//! `merge` is a command of its own.

mod digests;
mod earlier;
pub(crate) mod merge;
mod request;
mod watch;

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use skopeo_sync::Run;
use skopeo_sync::lockfile::{self, Lock};
use skopeo_sync::report::Record;
use tracing::error;

use crate::app::App;
use crate::args::limits;
use crate::args::names;
use crate::args::recorded::Kept;
use crate::args::report::Show;
use crate::args::sync::Sync;
use crate::args::value::Values;
use crate::exit::{Failure, sentence, with_hint};
use crate::report::Report;
use crate::{files, go, logging};

use earlier::EarlierFile;
use watch::Watch;

/// What to do after an interruption.
const GOING_ON: &str =
    "run the same command again; images that are already at the destination are not copied again";

pub(crate) fn run(
    app: &App,
    flags: &Values,
    arguments: &[String],
    report: &Arc<Report>,
) -> Result<()> {
    sync(app, flags, arguments, report).map_err(|error| match hint(flags, arguments) {
        Some(hint) => with_hint(error, hint),
        None => error,
    })
}

/// What may be wrong with the names of a sync that has failed.
fn hint(flags: &Values, arguments: &[String]) -> Option<String> {
    let ends = [(names::SRC, "SOURCE"), (names::DEST, "DESTINATION")];
    ends.into_iter().zip(arguments).find_map(|((flag, what), argument)| {
        let transport = flags.text(flag).unwrap_or_default();
        let rest = argument.strip_prefix(transport)?.strip_prefix(':')?;
        let slashes = if rest.starts_with("//") { "//" } else { "" };
        (!transport.is_empty())
            .then(|| format!("leave {transport}:{slashes} out of {what}: --{flag} already says it"))
    })
}

/// Does what is asked, or what an earlier run has left to be done, and tells what comes of it, in
/// whatever way it ends.
fn sync(app: &App, given: &Values, arguments: &[String], report: &Arc<Report>) -> Result<()> {
    let earlier = EarlierFile::named(given, arguments)?;
    let recalled = earlier.as_ref().map(|earlier| earlier.flags(given)).transpose()?;
    let flags = recalled.as_ref().unwrap_or(given);
    let arguments = earlier.as_ref().map_or(arguments, |file| file.earlier.arguments()).to_vec();
    let sync = Sync::new(flags)?;
    let (request, doing) =
        request::request(app, (flags, &arguments), &sync, earlier, report.output())?;
    let session = skopeo_sync::session(sync.jobs, app.max_connections(), limits::rates(flags)?)
        .with_max_unpacked(app.max_unpacked());

    app.going_on(GOING_ON);
    app.doing(doing);
    let show = Show::new(flags)?;
    if flags.switch(names::QUIET) {
        logging::quiet();
    }
    let digestfile = sync.digestfile.clone().filter(|_| !sync.dry_run);
    let watch = Arc::new(Watch::new(show, report, sync.explain, digestfile));
    let run = Run::new(&request, watch.clone());
    let done = app.run(async {
        tokio::select! {
            done = run.run(&session) => done.map_err(|error| watch.failure_or(error)),
            never = watch.beat() => match never {},
        }
    });
    let done = done.and_then(|pinned| match (&sync.lock, pinned) {
        (Some(path), Some(digests)) => files::replace(path, &lockfile::to_bytes(digests)?),
        _ => Ok(()),
    });
    watch.close();
    let (ok, options) = (done.is_ok(), Kept::Report.record(flags));
    end(app, &sync, &watch, Record { ok, arguments, options, ..run.record() }, done)
}

/// Says what has come of it all.
fn end(app: &App, sync: &Sync, watch: &Watch, mut record: Record, done: Result<()>) -> Result<()> {
    let failed = record.has_failures();
    if watch.wants_table(failed) && (failed || !sync.dry_run) {
        table(&record);
    }
    let Some(path) = &sync.report else { return done };
    let error = done.as_ref().err().map(|error| Failure::new(error, app.exit_codes()));
    record.error = error.map(serde_json::to_value).transpose()?;
    match (done, write(&record, path)) {
        (Ok(()), written) => written,
        (failed, Ok(())) => failed,
        (failed, Err(problem)) => {
            error!("{}", sentence(&problem));
            failed
        }
    }
}

/// Prints the record as a table on stderr, if anything is known. A closed stderr is no failure.
fn table(record: &Record) {
    if !record.images.is_empty() || !record.unlisted.is_empty() {
        let text = format!("\n{record}");
        let _ = io::stderr().write_all(logging::visible(&text).as_bytes());
    }
}

/// Writes a report. If it cannot be written, what was there before is there then.
fn write(record: &Record, path: &Path) -> Result<()> {
    files::replace(path, &record.to_bytes()?)
}

/// Reads the report of a run.
fn record(path: &Path) -> Result<Record> {
    read(path, Record::LONGEST, Record::parse)
}

/// Reads a file of `--lock`.
fn lock(path: &Path) -> Result<Lock> {
    read(path, Lock::LONGEST, Lock::parse)
}

/// Reads a file of at most `limit` bytes that another run has written.
fn read<T>(
    path: &Path,
    limit: usize,
    parse: fn(&[u8], &str) -> skopeo_sync::Result<T>,
) -> Result<T> {
    let file = go::quote(&path.to_string_lossy());
    let bytes = go::read_at_most(path, limit).with_context(|| format!("reading {file}"))?;
    Ok(parse(&bytes, &file)?)
}

/// Reads a file as each of those that are handed from one run to the next, and forgets it.
pub(crate) fn read_as_any(path: &Path) {
    let _ = (lock(path), earlier::plan(path), record(path));
    skopeo_sync::fuzzing::read_cache(path);
}
