//! `sync --src TRANSPORT --dest TRANSPORT SOURCE DESTINATION`.
//!
//! `input` is what was named, `source` finds what there is to copy in it (`file` and `pairs` read
//! files, `catalog` walks registries, `choose` chooses tags), `goals` gives each image its name at
//! the destination, `work` copies many of them at once, `digests` and `lines` tell of it.

mod catalog;
mod choose;
mod digests;
mod file;
mod goals;
mod input;
mod lines;
mod pairs;
mod source;
mod work;

use std::sync::Arc;

use anyhow::{Result, bail};
use skopeo_copy::sync::place::Place;
use skopeo_copy::{Digests, Request, SourceSignatures};
use skopeo_image::{ErrorClass, Platform};
use skopeo_transport::CollectionKind;
use tracing::{info, warn};

use crate::app::App;
use crate::args::image::Retry;
use crate::args::limits;
use crate::args::sync::Sync;
use crate::args::value::Values;
use crate::exit::{Classed, UsageError};
use crate::go;
use crate::report::Report;

use choose::Choosing;
use goals::Places;
use input::Input;
use source::{Search, SourceKind};

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String], report: &Report) -> Result<()> {
    let sync = Sync::new(flags)?;
    let (source, destination) = match arguments {
        [source, destination] => (source, Some(destination)),
        [source] if sync.src == "yaml" || !sync.to.is_empty() => (source, None),
        _ => return Err(UsageError("Exactly two arguments expected").into()),
    };
    if sync.deprecated_tls_verify {
        warn!("'--tls-verify' is deprecated, instead use: --src-tls-verify, --dest-tls-verify");
    }
    let policy = app.policy()?;
    let (from, places) = ends(&sync, destination)?;
    let input = Input::new(from, source, places, &sync)?;
    let source_options = Arc::new(app.options(&app.image(flags, "src-")?));
    let mut options = app.options(&app.image(flags, "dest-")?);
    options.dir.overwrite = sync.overwrite;
    input.check(&source_options, &options)?;
    let request = Arc::new(request(app, &sync)?);
    let retry = Retry::new(flags);
    let choosing = Choosing { explain: sync.explain, platforms: app.platforms() };
    let rates = limits::rates(flags)?;

    app.doing(match destination {
        Some(destination) => format!("syncing {source} to {destination}"),
        None => format!("syncing {source}"),
    });
    app.run(async {
        let search =
            Search { retry, keep_going: sync.keep_going, shard: sync.shard, choosing: &choosing };
        let found = input.find(&search, &sync, &source_options, &request).await?;
        let sources = found.groups.len();
        let places = Places::open(&found.groups, |place| input.reaching(&options, place)).await?;
        let images = places.name(found.groups)?;
        if sync.dry_run {
            warn!("Running in dry-run mode");
        }
        let connections = app.max_connections();
        let work = work::Work { sync: &sync, policy: &policy, retry, report, rates, connections };
        let done = work.run(images).await?;
        if sync.dry_run {
            info!("Would have synced {} images from {sources} sources", done.well);
        } else {
            places.finish().await?;
            info!("Synced {} images from {sources} sources", done.well);
        }
        if done.failed == 0 && found.failed == 0 {
            return Ok(());
        }
        let class = if done.well == 0 { done.class } else { None };
        let sentence = "Sync failed due to previous reported error(s) for one or more images";
        let class = class.unwrap_or(ErrorClass::Partial);
        Err(Classed { class, sentence: sentence.to_owned(), hint: None }.into())
    })
}

/// What the two sides are, in the original's order and words.
fn ends(sync: &Sync, destination: Option<&String>) -> Result<(SourceKind, Vec<Place>)> {
    if sync.src.is_empty() {
        bail!("A source transport must be specified");
    }
    let Some(from) = SourceKind::parse(&sync.src) else {
        bail!("{} is not a valid source transport", go::quote(&sync.src));
    };
    let mut places = Vec::new();
    match destination {
        Some(_) if sync.dest.is_empty() => bail!("A destination transport must be specified"),
        Some(destination) => {
            let Some(kind) = CollectionKind::parse(&sync.dest) else {
                bail!("{} is not a valid destination transport", go::quote(&sync.dest));
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

/// What is asked for every image, in the words of the pipeline.
fn request(app: &App, sync: &Sync) -> Result<Request> {
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
    Ok(request)
}
