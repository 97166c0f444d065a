//! What the flags ask for, in the words of the crate `sync`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use skopeo_config::links;
use skopeo_copy::Request;
use skopeo_image::ErrorClass;
use skopeo_sync::config::SyncFile;
use skopeo_sync::destination::Place;
use skopeo_sync::{CacheFile, Input, Manner, SourceKind};
use skopeo_transport::{CollectionKind, Options};

use super::file;
use crate::app::App;
use crate::args::image;
use crate::args::report::Output;
use crate::args::sync::Sync;
use crate::args::value::Values;
use crate::commands::copy;
use crate::exit::{Classed, UsageError, with_hint};
use crate::{go, signing};

/// What was named as the source.
///
/// # Errors
/// If a file cannot be read or makes no sense, or flags say what cannot be meant with it.
pub(super) fn input(
    kind: SourceKind,
    source: &str,
    places: Vec<Place>,
    sync: &Sync,
) -> Result<Input> {
    let missing = || UsageError("Exactly two arguments expected");
    match kind {
        SourceKind::Yaml => match (file::read(source.as_ref())?, places) {
            (SyncFile::V2(_), _) if sync.names || sync.chooses => bail!(
                "{} is of version 2, and says itself how images are chosen and named",
                go::quote(source)
            ),
            (SyncFile::V2(file), places) => {
                Ok(Input::Pairs { file, name: source.to_owned(), places })
            }
            (SyncFile::V1(_), places) if places.is_empty() => Err(missing().into()),
            (SyncFile::V1(file), places) => Ok(Input::Registries { file, places }),
        },
        _ if places.is_empty() => Err(missing().into()),
        kind => Ok(Input::One { kind, source: source.to_owned(), places }),
    }
}

/// What it takes to read and to write.
///
/// # Errors
/// If flags contradict each other.
pub(super) fn options(app: &App, flags: &Values, sync: &Sync) -> Result<(Arc<Options>, Options)> {
    let source = Arc::new(app.options(&app.image(flags, "src-")?));
    let mut destination = app.options(&app.image(flags, "dest-")?);
    destination.dir.overwrite = sync.overwrite;
    Ok((source, destination))
}

/// How the run goes about it.
pub(super) fn manner(flags: &Values, sync: &Sync) -> Manner {
    Manner {
        dry_run: sync.dry_run,
        keep_going: sync.keep_going,
        retry: image::retries(flags),
        immutable: sync.immutable.clone(),
        jobs: sync.jobs,
    }
}

/// The file of `--state`, and the one that is locked beside it.
///
/// # Errors
/// If they are behind links of somebody else.
pub(super) fn cache(file: &Path) -> Result<CacheFile> {
    let path = links::target(file)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let lock = links::target(PathBuf::from(beside).as_ref())?;
    Ok(CacheFile { name: file.to_string_lossy().into_owned(), path, lock })
}

/// What the two sides are, in the original's order and words.
pub(super) fn ends(sync: &Sync, destination: Option<&String>) -> Result<(SourceKind, Vec<Place>)> {
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
///
/// # Errors
/// If flags contradict each other.
pub(super) fn copy_request(app: &App, sync: &Sync, output: Output) -> Result<Request> {
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
