//! `sync --src TRANSPORT --dest TRANSPORT SOURCE DESTINATION`.
//!
//! `input` is what was named, `source` finds what there is to copy in it (`file` and `pairs` read
//! files, `catalog` walks registries, `choose` chooses tags), `goals` gives each image its name at
//! the destination, `work` copies many of them at once, `mirror` finds what is there too much,
//! `digests` and `lines` tell of it. `outcome` is what has come of each; `summary` and `record` say
//! it at the end to people and to programs, `again` and `merge` read it. `lock` pins tags to digests.
//! `settled` knows what needs no question, `price` says what a run would take, `plan` keeps it for
//! another, `state` keeps what was learnt for all of them. `lowered` and `within` hold what plans and
//! reports may ask for, `decided` what nobody else may say then.

mod again;
mod catalog;
mod choose;
mod decided;
mod digests;
mod file;
mod goals;
mod input;
mod lines;
mod lock;
mod lowered;
pub(crate) mod merge;
mod mirror;
mod outcome;
mod pairs;
mod plan;
mod price;
mod record;
mod settled;
mod source;
mod state;
mod summary;
mod within;
mod work;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use skopeo_copy::{Digests, Request, SourceSignatures};
use skopeo_image::{ErrorClass, Platform};
use skopeo_sync::destination::Place;
use skopeo_transport::CollectionKind;
use tracing::{error, warn};

use crate::app::App;
use crate::args::image;
use crate::args::limits;
use crate::args::recorded;
use crate::args::report::{Output, Show};
use crate::args::sync::Sync;
use crate::args::value::Values;
use crate::exit::sides::{self, Side};
use crate::exit::{Classed, Failure, UsageError, sentence, with_hint};
use crate::progress::RunProgress;
use crate::report::Report;
use crate::{files, go, logging, signing};

use again::Again;
use choose::Choosing;
use goals::Places;
use input::Input;
use lock::Lock;
use mirror::Mirror;
use outcome::Outcomes;
use record::{Document, RECORDED};
use source::{Search, SourceKind};
use state::State;
use summary::Totals;

pub(crate) use plan::{Plan, Planned};
pub(crate) use settled::Immutable;

/// What to do after an interruption.
const GOING_ON: &str = "run the same command again; images that are at their destination already are \
                        not copied again";

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String], report: &Report) -> Result<()> {
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

fn sync(app: &App, flags: &Values, arguments: &[String], report: &Report) -> Result<()> {
    let again = flags.text("retry-failed");
    let again = again.map(|path| Again::new(path.as_ref(), arguments)).transpose()?;
    if let Some(again) = &again {
        decided::by_report(flags)?;
        again.check(flags)?;
    }
    let recalled = again.as_ref().map(|again| again.flags(flags)).transpose()?;
    let flags = recalled.as_ref().unwrap_or(flags);
    let arguments = again.as_ref().map_or(arguments, Again::arguments);

    let sync = Sync::new(flags)?;
    let (source, destination) = match arguments {
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
    let locked = flags.text("locked").map(|path| Lock::read(path.as_ref())).transpose()?;
    let several = [sync.lock.is_some(), locked.is_some(), again.is_some()];
    if several.into_iter().filter(|given| *given).count() > 1 {
        bail!("Only one of --lock, --locked and --retry-failed can be specified");
    }
    let policy = app.policy()?;
    let (from, places) = ends(&sync, destination)?;
    sides::set(Side::Any, side(&sync, destination));
    let input = Input::new(from, source, places, &sync)?;
    let source_options = Arc::new(app.options(&app.image(flags, "src-")?));
    let mut options = app.options(&app.image(flags, "dest-")?);
    options.dir.overwrite = sync.overwrite;
    input.check(&source_options, &options)?;
    if let Some(again) = &again {
        again.check_input(flags, &input, &source_options, &options)?;
    }
    let request = Arc::new(request(app, &sync, report.output())?);
    let retry = image::retries(flags);
    let choosing = Choosing { explain: sync.explain, platforms: app.platforms() };
    let session = work::session(&sync, app.max_connections(), limits::rates(flags)?)
        .with_max_unpacked(app.max_unpacked());

    app.going_on(GOING_ON);
    app.doing(match destination {
        Some(destination) => format!("syncing {source} to {destination}"),
        None => format!("syncing {source}"),
    });
    let show = Show::new(flags)?;
    if flags.switch("quiet") {
        logging::quiet();
    }
    let outcomes = Arc::new(Outcomes::new(RunProgress::new(show, report.output())));
    let done = app.run(State::keep(app, &sync, &session, async {
        let (places, images, sources, lost);
        let (mut doomed, mut mirroring) = (None, None);
        if let Some(again) = &again {
            (places, images) = again.images(&input, &source_options, &options, &request).await?;
            (sources, lost) = (1, 0);
        } else {
            let search = Search {
                retry,
                keep_going: sync.keep_going,
                shard: sync.shard,
                choosing: &choosing,
                outcomes: &outcomes,
                locked: locked.as_ref(),
            };
            let found = input.find(&search, &sync, &source_options, &request).await?;
            (sources, lost) = (found.groups.len(), found.failed);
            if let Some(locked) = locked.as_ref().filter(|_| sync.shard.is_none()) {
                locked.check(&found.groups)?;
            }
            if sync.lock.is_some() {
                lock::check(&found.groups)?;
            }
            let goals = found.groups.iter().flat_map(|group| &group.aim.goals);
            let all = goals.map(|goal| &goal.place);
            places = Places::open(all, |place| input.reaching(&options, place)).await?;
            if let Some(rules) = &sync.mirror {
                let mirror = Mirror::new(&found, &places)?;
                mirroring = Some(mirror.recorded(&places, rules));
                doomed = Some(mirror.judge(&places, rules, retry, None).await);
            }
            images = places.name(found.groups)?;
        }
        outcomes.expect(&images);
        let digests = match &sync.lock {
            Some(_) if sync.dry_run => Some(lock::asked(&images, retry).await?),
            _ => None,
        };
        let output = output(report, &images)?;
        let mut plan = Plan::new(flags, &request.platforms, &places, &options);
        plan.delete = mirroring;
        let work = work::Work {
            sync: &sync,
            policy: &policy,
            retry,
            report,
            output,
            outcomes: &outcomes,
            session: session.clone(),
        };
        let going = doomed.as_ref().and_then(|doomed| doomed.as_ref().ok());
        let all = (sources, going);
        let done = work.do_all(images, &places, plan, &source_options, all).await?;
        let undeleted = match doomed {
            Some(doomed) => doomed?.end(&sync, &done, report, &outcomes, retry).await,
            None => 0,
        };
        if done.failed == 0 && lost == 0 && undeleted == 0 {
            if let Some(path) = &sync.lock {
                let digests = digests.unwrap_or_else(|| lock::of_run(&outcomes.so_far().0));
                lock::write(path, digests)?;
            }
            return again.as_ref().map_or(Ok(()), Again::check_unlisted);
        }
        Err(partly(&done))
    }));
    end(app, &sync, (flags, arguments), &outcomes, done)
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
fn execute(app: &App, flags: &Values, path: &Path, report: &Report) -> Result<()> {
    decided::by_plan(flags)?;
    let read = plan::read(path)?;
    read.check(path, flags)?;
    let asked = flags.switch("delete") || flags.has("max-delete") || flags.has("protect");
    if read.plan.delete.is_none() && asked {
        bail!("the plan was made without --delete, so nothing is known that could be deleted");
    }
    read.plan.say(path);
    let flags = &read.plan.flags(flags)?;
    let sync = Sync::new(flags)?;
    let mirroring = match (&read.plan.delete, &sync.mirror) {
        (Some(planned), Some(given)) => Some((planned, planned.rules(given)?)),
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
    let source_options = Arc::new(app.options(&app.image(flags, "src-")?));
    let mut options = app.options(&app.image(flags, "dest-")?);
    options.dir.overwrite = sync.overwrite;
    let mut request = request(app, &sync, report.output())?;
    request.platforms.clone_from(&read.plan.platforms);
    let retry = image::retries(flags);
    let session = work::session(&sync, app.max_connections(), limits::rates(flags)?)
        .with_max_unpacked(app.max_unpacked());

    app.going_on(GOING_ON);
    app.doing(format!("syncing as planned in {}", path.display()));
    let show = Show::new(flags)?;
    if flags.switch("quiet") {
        logging::quiet();
    }
    let outcomes = Arc::new(Outcomes::new(RunProgress::new(show, report.output())));
    let done = app.run(State::keep(app, &sync, &session, async {
        let wanted = read.places()?;
        let places = Places::open(wanted.iter(), |place| read.reaching(&options, place)).await?;
        let images = read.images(&source_options, &request, &places, sync.allow_moved)?;
        outcomes.expect(&images);
        let output = output(report, &images)?;
        let mut plan = Plan::new(flags, &request.platforms, &places, &options);
        let mut doomed = None;
        if let Some((planned, rules)) = &mirroring {
            let deletions = read.deletions(&images)?;
            let mirror = Mirror::planned(planned, &places, &images)?;
            plan.delete = Some(mirror.recorded(&places, rules));
            doomed = Some(mirror.judge(&places, rules, retry, Some(&deletions)).await);
        }
        let work = work::Work {
            sync: &sync,
            policy: &policy,
            retry,
            report,
            output,
            outcomes: &outcomes,
            session: session.clone(),
        };
        let going = doomed.as_ref().and_then(|doomed| doomed.as_ref().ok());
        let all = (1, going);
        let done = work.do_all(images, &places, plan, &source_options, all).await?;
        let undeleted = match doomed {
            Some(doomed) => doomed?.end(&sync, &done, report, &outcomes, retry).await,
            None => 0,
        };
        if done.failed == 0 && undeleted == 0 { Ok(()) } else { Err(partly(&done)) }
    }));
    end(app, &sync, (flags, &[]), &outcomes, done)
}

/// The end of a run of which some images failed.
fn partly(done: &work::Done) -> anyhow::Error {
    let class = if done.well == 0 { done.class } else { None };
    let sentence = "Sync failed due to previous reported error(s) for one or more images";
    let class = class.unwrap_or(ErrorClass::Partial);
    Classed { class, sentence: sentence.to_owned(), hint: None }.into()
}

/// Says what has come of it all, in whatever way it ended.
fn end(
    app: &App,
    sync: &Sync,
    (flags, arguments): (&Values, &[String]),
    outcomes: &Outcomes,
    done: Result<()>,
) -> Result<()> {
    outcomes.progress().close();
    let (images, unlisted) = outcomes.so_far();
    let mut document = Document::new();
    document.ok = done.is_ok();
    document.dry_run = sync.dry_run;
    (document.started, document.seconds) = (outcomes.started(), outcomes.seconds());
    document.requests = app.connections().requests();
    document.arguments = arguments.to_vec();
    document.options = recorded::record(flags, RECORDED);
    document.totals = Totals::of(&images);
    (document.images, document.unlisted) = (images, unlisted);
    let failed = document.totals.failed > 0 || !document.unlisted.is_empty();
    if outcomes.progress().wants_table(failed) && (failed || !sync.dry_run) {
        summary::print(&document);
    }
    let Some(path) = &sync.report else { return done };
    let error = done.as_ref().err().map(|error| Failure::new(error, app.exit_codes()));
    document.error = error.map(serde_json::to_value).transpose()?;
    match (done, document.write(path)) {
        (Ok(()), written) => written,
        (failed, Ok(())) => failed,
        (failed, Err(problem)) => {
            error!("{}", sentence(&problem));
            failed
        }
    }
}

/// What stdout is for. What is written there must be all that is.
fn output(report: &Report, images: &[goals::Image]) -> Result<Output> {
    let to_stdout = images.iter().find(|image| image.to.is_stdout());
    match (report.output(), to_stdout) {
        (Output::Json, Some(image)) => {
            bail!("--output json cannot share standard output with {}", image.to)
        }
        (Output::Text, Some(_)) => Ok(Output::Json),
        (output, None) => Ok(output),
    }
}

/// What the two sides are, in the original's order and words.
fn ends(sync: &Sync, destination: Option<&String>) -> Result<(SourceKind, Vec<Place>)> {
    if sync.src.is_empty() {
        return Err(unspecified("A source transport must be specified", "src", "SOURCE"));
    }
    let Some(from) = SourceKind::parse(&sync.src) else {
        let failure = anyhow!("{} is not a valid source transport", go::quote(&sync.src));
        let hint = "it is docker, registry, dir, oci, oci-archive, docker-archive or yaml";
        return Err(with_hint(failure, hint.to_owned()));
    };
    let mut places = Vec::new();
    match destination {
        Some(_) if sync.dest.is_empty() => {
            let sentence = "A destination transport must be specified";
            return Err(unspecified(sentence, "dest", "DESTINATION"));
        }
        Some(destination) => {
            let Some(kind) = CollectionKind::parse(&sync.dest) else {
                let failure =
                    anyhow!("{} is not a valid destination transport", go::quote(&sync.dest));
                let hint = "it is docker, dir, oci, oci-archive or docker-archive";
                return Err(with_hint(failure, hint.to_owned()));
            };
            places.push(Place { kind, place: destination.clone() });
        }
        None if !sync.dest.is_empty() => {
            bail!("--dest says what DESTINATION is, and there is none");
        }
        None => {}
    }
    for place in &sync.to {
        if places.contains(place) {
            bail!("--to {place} is DESTINATION again");
        }
        places.push(place.clone());
    }
    let to_folder = places.iter().any(|place| place.kind == CollectionKind::Dir);
    if from == SourceKind::Held(CollectionKind::Dir) && to_folder {
        bail!("sync from 'dir' to 'dir' not implemented, consider using rsync instead");
    }
    Ok((from, places))
}

/// Neither flag nor argument says of what kind one of the two sides is.
fn unspecified(sentence: &str, flag: &str, what: &str) -> anyhow::Error {
    let hint =
        format!("--{flag} docker says that {what} is in a registry; sync --help has the others");
    let class = ErrorClass::InvalidInput;
    Classed { class, sentence: sentence.to_owned(), hint: Some(hint) }.into()
}

/// What is asked for every image, in the words of the pipeline.
fn request(app: &App, sync: &Sync, output: Output) -> Result<Request> {
    let mut request = Request::new(Platform::host());
    request.platforms = app.platforms();
    request.heads_first = true;
    request.lists = sync.lists.clone();
    request.format = sync.format.as_deref().map(super::copy::format).transpose()?;
    if sync.preserve_digests {
        request.digests = Digests::Preserve;
    }
    request.signatures = match (sync.remove_signatures, sync.remove_list_signatures) {
        (true, true) => {
            bail!("Only one of --remove-signatures and --remove-list-signatures can be specified")
        }
        (true, false) => SourceSignatures::Remove,
        (false, true) => SourceSignatures::RemoveOfLists,
        (false, false) => SourceSignatures::Keep,
    };
    request.signing = match sync.dry_run {
        true => signing::pretended(sync.sign.clone()),
        false => signing::signing(app, sync.sign.clone(), output)?,
    };
    if let Some(kinds) = &sync.referrers {
        request.referrers = super::copy::chosen_referrers(kinds)?;
    }
    Ok(request)
}

/// Reads a file as each of those that are handed from one run to the next, and forgets it.
pub(crate) fn read_as_any(path: &Path) {
    let _ = (Lock::read(path), plan::read(path), Document::read(path), state::read(path));
}
