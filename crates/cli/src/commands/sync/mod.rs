//! `sync --src TRANSPORT --dest TRANSPORT SOURCE DESTINATION`: flags become a request to the crate
//! `sync`, and what comes of it is told.
//!
//! `watch` tells what happens meanwhile (`lines` as the original, `digests` in a file, `estimate` in
//! a table), `summary` the end of it. `request` reads flags. `plan` and `again` take from a file what
//! an earlier run has left: `decided` is what no flag may say then, `lowered` what such a file may
//! not lower. `file` reads the YAML file. `merge` is a command of its own.

mod again;
mod decided;
mod digests;
mod estimate;
mod file;
mod lines;
mod lowered;
pub(crate) mod merge;
mod plan;
mod request;
mod summary;
mod watch;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use skopeo_sync::lockfile::{self, Lock};
use skopeo_sync::report::Record;
use skopeo_sync::{Images, Run, Selection, SyncRequest};
use tracing::{error, warn};

use crate::app::App;
use crate::args::report::Show;
use crate::args::sync::Sync;
use crate::args::value::Values;
use crate::args::{limits, recorded};
use crate::exit::sides::{self, Side};
use crate::exit::{Failure, UsageError, sentence, with_hint};
use crate::report::Report;
use crate::{files, go, logging};

use again::Again;
use plan::StoredPlan;
use watch::Watch;

/// What to do after an interruption.
const GOING_ON: &str = "run the same command again; images that are at their destination already are \
                        not copied again";

/// The flags that a report keeps: what they say is no secret, and needed to do the same again.
const RECORDED: &[&str] = &[
    "all",
    "authfile",
    "dest",
    "dest-authfile",
    "dest-cert-dir",
    "dest-no-creds",
    "dest-tls-verify",
    "format",
    "overwrite",
    "platform",
    "preserve-digests",
    "referrers",
    "remove-list-signatures",
    "remove-signatures",
    "sign-by",
    "sign-by-sigstore",
    "sign-by-sigstore-private-key",
    "sign-passphrase-file",
    "src",
    "src-authfile",
    "src-cert-dir",
    "src-no-creds",
    "src-tls-verify",
    "tls-verify",
    "to",
];

pub(crate) fn run(
    app: &App,
    flags: &Values,
    arguments: &[String],
    report: &Arc<Report>,
) -> Result<()> {
    match flags.text("plan") {
        None => sync(app, flags, arguments, report).map_err(|error| match hint(flags, arguments) {
            Some(hint) => with_hint(error, hint),
            None => error,
        }),
        Some(plan) if arguments.is_empty() && !flags.has("retry-failed") => {
            execute(app, flags, plan.as_ref(), report)
        }
        Some(_) => Err(UsageError("No arguments expected with --plan").into()),
    }
}

/// What may be wrong with the names of a sync that has failed.
fn hint(flags: &Values, arguments: &[String]) -> Option<String> {
    let ends = [("src", "SOURCE"), ("dest", "DESTINATION")];
    ends.into_iter().zip(arguments).find_map(|((flag, what), argument)| {
        let transport = flags.text(flag).unwrap_or_default();
        let rest = argument.strip_prefix(transport)?.strip_prefix(':')?;
        let slashes = if rest.starts_with("//") { "//" } else { "" };
        (!transport.is_empty())
            .then(|| format!("leave {transport}:{slashes} out of {what}: --{flag} says it"))
    })
}

/// Copies what is named, or what an earlier run has left to be copied.
fn sync(app: &App, flags: &Values, arguments: &[String], report: &Arc<Report>) -> Result<()> {
    let again = flags.text("retry-failed");
    let again = again.map(|path| Again::new(path.as_ref(), arguments)).transpose()?;
    if let Some(again) = &again {
        decided::by_report(flags)?;
        again.check(flags)?;
    }
    let recalled = again.as_ref().map(|again| again.flags(flags)).transpose()?;
    let flags = recalled.as_ref().unwrap_or(flags);
    let arguments =
        again.as_ref().map_or_else(|| arguments.to_vec(), |again| again.arguments().to_vec());

    let sync = Sync::new(flags)?;
    let (source, destination) = match &arguments[..] {
        [source, destination] => (source, Some(destination)),
        [source] if sync.src == "yaml" || !sync.to.is_empty() => (source, None),
        _ => return Err(UsageError("Exactly two arguments expected").into()),
    };
    if again.is_some() && sync.mirror.is_some() {
        bail!("--delete cannot be used with --retry-failed, which looks at what failed only");
    }
    if sync.deprecated_tls_verify {
        warn!("'--tls-verify' is deprecated, instead use: --src-tls-verify, --dest-tls-verify");
    }
    for (path, flag) in [(&sync.report, "report"), (&sync.lock, "lock")] {
        path.as_ref().map_or(Ok(()), |path| files::check(path, flag))?;
    }
    let locked = flags.text("locked").map(|path| lock(path.as_ref())).transpose()?;
    let several = [sync.lock.is_some(), locked.is_some(), again.is_some()];
    if several.into_iter().filter(|given| *given).count() > 1 {
        bail!("Only one of --lock, --locked and --retry-failed can be specified");
    }
    let policy = app.policy()?;
    let (from, places) = request::ends(&sync, destination)?;
    sides::set(Side::Any, side(&sync, destination));
    let input = request::input(from, source, places, &sync)?;
    let (source_options, options) = request::options(app, flags, &sync)?;
    input.check(&source_options, &options)?;
    let doing = match destination {
        Some(destination) => format!("syncing {source} to {destination}"),
        None => format!("syncing {source}"),
    };
    let images = match again {
        Some(again) => {
            let resume = again.resume(input);
            again::check_input(&resume, flags, &source_options, &options)?;
            Images::Failed(Box::new(resume))
        }
        None => Images::Selected(Box::new(Selection {
            input,
            naming: sync.naming.clone(),
            choice: sync.choice.clone(),
            chooses: sync.chooses,
            repositories: sync.repositories.clone(),
            shard: sync.shard,
            locked,
        })),
    };
    let request = SyncRequest::new(
        images,
        source_options,
        options,
        policy,
        request::copy_request(app, &sync, report.output())?,
    );
    follow(app, (flags, &arguments), &sync, request, doing, report)
}

/// Where what hints say of the destination's flags is meant.
fn side(sync: &Sync, destination: Option<&String>) -> Side {
    match destination {
        Some(destination) if sync.dest == "docker" => {
            Side::Registry(destination.split('/').next().unwrap_or_default().to_owned())
        }
        Some(_) => Side::Local,
        None => Side::Any,
    }
}

/// Does what was planned.
fn execute(app: &App, flags: &Values, path: &Path, report: &Arc<Report>) -> Result<()> {
    decided::by_plan(flags)?;
    let stored = StoredPlan::read(path)?;
    stored.check(flags)?;
    let planned = stored.deletions();
    let asked = flags.switch("delete") || flags.has("max-delete") || flags.has("protect");
    if planned.is_none() && asked {
        bail!("the plan was made without --delete, so nothing is known that could be deleted");
    }
    stored.say();
    let flags = &stored.flags(flags)?;
    let sync = Sync::new(flags)?;
    let delete = match (planned, &sync.mirror) {
        (Some(planned), Some(given)) => Some(planned.rules(given)?),
        (Some(_), None) => {
            warn!("Not deleting what the plan deletes: --delete=false");
            None
        }
        (None, _) => None,
    };
    if let Some(path) = &sync.report {
        files::check(path, "report")?;
    }
    let policy = app.policy()?;
    let (source_options, options) = request::options(app, flags, &sync)?;
    let copy = request::copy_request(app, &sync, report.output())?;
    let images =
        Images::Planned { plan: Box::new(stored.into_plan()), allow_moved: sync.allow_moved };
    let mut request = SyncRequest::new(images, source_options, options, policy, copy);
    request.delete = delete;
    let doing = format!("syncing as planned in {}", path.display());
    follow(app, (flags, &[]), &sync, request, doing, report)
}

/// Does what is asked, and tells what comes of it, in whatever way it ends.
fn follow(
    app: &App,
    (flags, arguments): (&Values, &[String]),
    sync: &Sync,
    mut request: SyncRequest,
    doing: String,
    report: &Arc<Report>,
) -> Result<()> {
    request.manner = request::manner(flags, sync);
    if request.delete.is_none() && matches!(request.images, Images::Selected(_)) {
        request.delete.clone_from(&sync.mirror);
    }
    request.pin = sync.lock.is_some() && matches!(request.images, Images::Selected(_));
    request.recorded = plan::kept(flags);
    let rates = limits::rates(flags)?;
    let session = skopeo_sync::session(sync.jobs, app.max_connections(), rates)
        .with_max_unpacked(app.max_unpacked());

    app.going_on(GOING_ON);
    app.doing(doing);
    let show = Show::new(flags)?;
    if flags.switch("quiet") {
        logging::quiet();
    }
    let digestfile = sync.digestfile.clone().filter(|_| !sync.dry_run);
    let watch = Arc::new(Watch::new(show, report, sync.explain, digestfile));
    request.cache =
        sync.state.as_deref().filter(|_| !sync.dry_run).map(request::cache).transpose()?;
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
    end(app, sync, (flags, arguments), (run.record(), &watch), done)
}

/// Says what has come of it all.
fn end(
    app: &App,
    sync: &Sync,
    (flags, arguments): (&Values, &[String]),
    (mut record, watch): (Record, &Watch),
    done: Result<()>,
) -> Result<()> {
    record.ok = done.is_ok();
    record.arguments = arguments.to_vec();
    record.options = recorded::record(flags, RECORDED);
    let failed = record.totals.failed > 0 || !record.unlisted.is_empty();
    if watch.wants_table(failed) && (failed || !sync.dry_run) {
        summary::print(&record);
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

/// Writes a report. If it cannot be written, what was there before is there then.
fn write(record: &Record, path: &Path) -> Result<()> {
    files::replace(path, &record.to_bytes()?)
}

/// Reads the report of a run.
fn record(path: &Path) -> Result<Record> {
    let file = go::quote(&path.to_string_lossy());
    let bytes =
        go::read_at_most(path, Record::LONGEST).with_context(|| format!("reading {file}"))?;
    Ok(Record::parse(&bytes, &file)?)
}

/// Reads a file of `--lock`.
fn lock(path: &Path) -> Result<Lock> {
    let file = go::quote(&path.to_string_lossy());
    let bytes = go::read_at_most(path, Lock::LONGEST).with_context(|| format!("reading {file}"))?;
    Ok(Lock::parse(&bytes, &file)?)
}

/// Reads a file as each of those that are handed from one run to the next, and forgets it.
pub(crate) fn read_as_any(path: &Path) {
    let _ = (lock(path), StoredPlan::read(path), record(path));
    skopeo_sync::fuzzing::read_cache(path);
}
