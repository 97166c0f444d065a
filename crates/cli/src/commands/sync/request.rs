//! What the flags ask for, in the words of the crate `sync`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use skopeo_blob::FileError;
use skopeo_config::links;
use skopeo_copy::Request;
use skopeo_image::ErrorClass;
use skopeo_sync::config::{SyncFile, World};
use skopeo_sync::destination::Target;
use skopeo_sync::{CacheFile, Earlier, Images, Input, Resume, Selection, SourceKind, SyncRequest};
use skopeo_transport::{CollectionKind, Options};
use tracing::warn;

use super::earlier::EarlierFile;
use crate::app::App;
use crate::args::handle::Prefix;
use crate::args::names;
use crate::args::recorded::{Kept, Lowered};
use crate::args::report::Output;
use crate::args::sync::Sync;
use crate::args::value::Values;
use crate::args::{image, limits, naming};
use crate::commands::copy;
use crate::exit::sides::{self, Side};
use crate::exit::{Classed, UsageError, with_hint};
use crate::{files, go, signing};

/// The longest YAML file that is read, in bytes.
const LONGEST: usize = 64 << 20;

/// What a run is asked for, and in words what it does. `flags` and `arguments` are those of the
/// command line and of what an `earlier` run has left.
///
/// # Errors
/// If flags contradict each other, or a file cannot be read or makes no sense.
pub(super) fn request(
    app: &App,
    (flags, arguments): (&Values, &[String]),
    sync: &Sync,
    earlier: Option<EarlierFile>,
    output: Output,
) -> Result<(SyncRequest, String)> {
    if sync.deprecated_tls_verify {
        warn!("'--tls-verify' is deprecated, instead use: --src-tls-verify, --dest-tls-verify");
    }
    for (path, flag) in [(&sync.report, "report"), (&sync.lock, "lock")] {
        path.as_ref().map_or(Ok(()), |path| files::check(path, flag))?;
    }
    let policy = app.policy()?;
    let (source, destination) = options(app, flags, sync)?;
    let (images, doing) = match earlier {
        Some(EarlierFile { path, earlier: Earlier::Plan(plan) }) => {
            let doing = format!("syncing as planned in {}", path.display());
            (Images::Planned { plan, allow_moved: sync.allow_moved }, doing)
        }
        earlier => named((flags, arguments), sync, earlier, (&source, &destination))?,
    };
    let copy = copy_request(app, sync, output)?;
    let mut request = SyncRequest::new(images, source, destination, policy, copy);
    request.manner.dry_run = sync.dry_run;
    request.manner.keep_going = sync.keep_going;
    request.manner.retry = image::retries(flags);
    request.manner.immutable = sync.immutable.clone();
    request.manner.jobs = sync.jobs;
    request.delete = sync.mirror.clone();
    request.pin = sync.lock.is_some();
    request.cache = sync.state.as_deref().filter(|_| !sync.dry_run).map(cache).transpose()?;
    request.recorded = Kept::Plan.record(flags);
    Ok((request, doing))
}

/// The images that arguments and flags name, or those of them that a report says are missing.
fn named(
    (flags, arguments): (&Values, &[String]),
    sync: &Sync,
    earlier: Option<EarlierFile>,
    (source_options, options): (&Arc<Options>, &Options),
) -> Result<(Images, String)> {
    let (source, destination) = match arguments {
        [source, destination] => (source, Some(destination)),
        [source] if sync.src == "yaml" || !sync.to.is_empty() => (source, None),
        _ => return Err(UsageError("Exactly two arguments expected").into()),
    };
    if earlier.is_some() && sync.mirror.is_some() {
        bail!("--delete cannot be used with --retry-failed, which only copies failed images");
    }
    let locked = flags.text(names::LOCKED).map(|path| super::lock(path.as_ref())).transpose()?;
    let several = [sync.lock.is_some(), locked.is_some(), earlier.is_some()];
    if several.into_iter().filter(|given| *given).count() > 1 {
        bail!("Only one of --lock, --locked and --retry-failed can be specified");
    }
    let (from, places) = ends(sync, destination)?;
    sides::set(Side::Any, side(sync, destination));
    let input = input(from, source, places, sync)?;
    input.check(source_options, options)?;
    let doing = match destination {
        Some(destination) => format!("syncing {source} to {destination}"),
        None => format!("syncing {source}"),
    };
    let images = match earlier {
        Some(EarlierFile { path, earlier: Earlier::Report(record) }) => {
            let file = go::quote(&path.to_string_lossy());
            let resume = Resume { file, record: *record, input };
            // Only the report names the file of `--src yaml`.
            let mut lowered = Lowered::new("the report's file", Path::new(source));
            let reaches = resume.reaches(source_options, options);
            reaches.iter().for_each(|reach| lowered.reach(reach, flags));
            lowered.check(flags)?;
            Images::Failed(Box::new(resume))
        }
        _ => {
            let mut selection = Selection::new(input);
            selection.naming = sync.naming.clone();
            selection.choice = sync.choice.clone();
            selection.chooses = sync.chooses;
            selection.repositories = sync.repositories.clone();
            selection.shard = sync.shard;
            selection.locked = locked;
            Images::Selected(Box::new(selection))
        }
    };
    Ok((images, doing))
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

/// What was named as the source.
///
/// # Errors
/// If a file cannot be read or makes no sense, or flags say what cannot be meant with it.
fn input(kind: SourceKind, source: &str, places: Vec<Target>, sync: &Sync) -> Result<Input> {
    let missing = || UsageError("Exactly two arguments expected");
    match kind {
        SourceKind::Yaml => match (yaml(source.as_ref())?, places) {
            (SyncFile::V2(_), _) if sync.names || sync.chooses => bail!(
                "{} has version 2, so the selection and the names of images are in the file",
                go::quote(source)
            ),
            (SyncFile::V2(file), places) => {
                Ok(Input::Mappings { file, name: source.to_owned(), places })
            }
            (SyncFile::V1(_), places) if places.is_empty() => Err(missing().into()),
            (SyncFile::V1(file), places) => Ok(Input::Registries { file, places }),
        },
        _ if places.is_empty() => Err(missing().into()),
        kind => Ok(Input::One { kind, source: source.to_owned(), places }),
    }
}

/// Reads a YAML file of either version.
///
/// # Errors
/// If it cannot be read, or says what makes no sense.
fn yaml(path: &Path) -> Result<SyncFile> {
    let file = go::quote(&path.to_string_lossy());
    let text = go::read_at_most(path, LONGEST)?;
    let text = String::from_utf8(text).map_err(|_| {
        FileError::from(std::io::Error::other(format!(
            "{file}: it is not UTF-8, so it is not YAML"
        )))
    })?;
    let world = World { variable: &|name| std::env::var(name).ok(), template: &naming::template };
    SyncFile::parse(&text, world).with_context(|| format!("Failed to unmarshal {file}"))
}

/// What it takes to read and to write.
///
/// # Errors
/// If flags contradict each other.
fn options(app: &App, flags: &Values, sync: &Sync) -> Result<(Arc<Options>, Options)> {
    let mut source = app.options(&app.image(flags, Prefix::Source)?);
    let mut destination = app.options(&app.image(flags, Prefix::Destination)?);
    destination.dir.overwrite = sync.overwrite;
    destination.registry.trusts_ledger = sync.trusts_state;
    // Of both, since they share a client if they are one registry.
    source.registry.blob_connections = limits::blob_connections(flags);
    destination.registry.blob_connections = limits::blob_connections(flags);
    Ok((Arc::new(source), destination))
}

/// The file of `--state`, and the one that is locked beside it.
///
/// # Errors
/// If they are behind links of somebody else.
fn cache(file: &Path) -> Result<CacheFile> {
    let path = links::target(file)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let lock = links::target(PathBuf::from(beside).as_ref())?;
    Ok(CacheFile { name: file.to_string_lossy().into_owned(), path, lock })
}

/// What the two sides are, in the original's order and words.
fn ends(sync: &Sync, destination: Option<&String>) -> Result<(SourceKind, Vec<Target>)> {
    if sync.src.is_empty() {
        return Err(unspecified("A source transport must be specified", "src", "SOURCE"));
    }
    let Some(from) = SourceKind::parse(&sync.src) else {
        let failure = anyhow!("{} is not a valid source transport", go::quote(&sync.src));
        let hint = "it is docker, registry, dir, oci, oci-archive, docker-archive, \
                    containers-storage or yaml";
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
                let hint =
                    "it is docker, dir, oci, oci-archive, docker-archive or containers-storage";
                return Err(with_hint(failure, hint.to_owned()));
            };
            places.push(Target { kind, place: destination.clone() });
        }
        None if !sync.dest.is_empty() => {
            bail!("--dest needs a DESTINATION, but there is none");
        }
        None => {}
    }
    for place in &sync.to {
        if places.contains(place) {
            bail!("--to {place} is the same as DESTINATION");
        }
        places.push(place.clone());
    }
    Ok((from, places))
}

/// Neither flag nor argument says of what kind one of the two sides is.
fn unspecified(sentence: &str, flag: &str, what: &str) -> anyhow::Error {
    let hint = format!(
        "use --{flag} docker if {what} is in a registry; sync --help lists the other transports"
    );
    let class = ErrorClass::InvalidInput;
    Classed { class, sentence: sentence.to_owned(), hint: Some(hint) }.into()
}

/// What is asked for every image, in the words of the pipeline.
///
/// # Errors
/// If flags contradict each other.
fn copy_request(app: &App, sync: &Sync, output: Output) -> Result<Request> {
    let mut request = copy::shared_request(app, &sync.asked, sync.lists.clone())?;
    request.heads_first = true;
    request.signing = match sync.dry_run {
        true => signing::pretended(sync.sign.clone())?,
        false => signing::signing(app, sync.sign.clone(), output)?,
    };
    if let Some(kinds) = &sync.referrers {
        request.referrers = copy::chosen_referrers(kinds)?;
    }
    Ok(request)
}
