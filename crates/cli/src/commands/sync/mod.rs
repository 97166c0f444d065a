//! `sync --src TRANSPORT --dest TRANSPORT SOURCE DESTINATION`.
//!
//! `source` finds what there is to copy, `goals` gives each image its name at the destination,
//! `work` copies many of them at once, `digests` and `lines` tell of it.

mod digests;
mod file;
mod goals;
mod lines;
mod source;
mod work;

use std::sync::Arc;

use anyhow::{Result, bail};
use skopeo_copy::{Digests, Lists, Request, SourceSignatures};
use skopeo_image::{ErrorClass, Platform};
use skopeo_transport::CollectionKind;
use tracing::{info, warn};

use crate::app::App;
use crate::args::image::Retry;
use crate::args::sync::Sync;
use crate::args::value::Values;
use crate::exit::{Classed, UsageError};
use crate::go;
use crate::report::Report;

use source::SourceKind;

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String], report: &Report) -> Result<()> {
    let [source, destination] = arguments else {
        return Err(UsageError("Exactly two arguments expected").into());
    };
    let sync = Sync::new(flags)?;
    if sync.deprecated_tls_verify {
        warn!("'--tls-verify' is deprecated, instead use: --src-tls-verify, --dest-tls-verify");
    }
    let policy = app.policy()?;
    let (from, to) = ends(&sync)?;
    let source_options = Arc::new(app.options(&app.image(flags, "src-")?));
    let options = app.options(&app.image(flags, "dest-")?);
    let request = Arc::new(request(app, &sync)?);
    let retry = Retry::new(flags);

    app.doing(format!("syncing {source} to {destination}"));
    app.run(async {
        let found = source::find(from, source, &source_options, retry, sync.keep_going).await?;
        let collection = skopeo_transport::collection(to, destination, &options).await?;
        let sources = found.groups.len();
        let images = goals::name(found.groups, &naming(&sync), to, &*collection)?;
        if sync.dry_run {
            warn!("Running in dry-run mode");
        }
        let work = work::Work {
            sync: &sync,
            policy: &policy,
            request,
            retry,
            collection: &*collection,
            report,
        };
        let done = work.run(images).await?;
        if sync.dry_run {
            info!("Would have synced {} images from {sources} sources", done.well);
        } else {
            collection.finish().await?;
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
fn ends(sync: &Sync) -> Result<(SourceKind, CollectionKind)> {
    if sync.src.is_empty() {
        bail!("A source transport must be specified");
    }
    let Some(from) = SourceKind::parse(&sync.src) else {
        bail!("{} is not a valid source transport", go::quote(&sync.src));
    };
    if sync.dest.is_empty() {
        bail!("A destination transport must be specified");
    }
    let Some(to) = CollectionKind::parse(&sync.dest) else {
        bail!("{} is not a valid destination transport", go::quote(&sync.dest));
    };
    if from == SourceKind::Held(CollectionKind::Dir) && to == CollectionKind::Dir {
        bail!("sync from 'dir' to 'dir' not implemented, consider using rsync instead");
    }
    Ok((from, to))
}

fn naming(sync: &Sync) -> skopeo_copy::sync::names::Naming {
    use skopeo_copy::sync::names::{Naming, Scope};
    Naming {
        scope: if sync.scoped { Scope::Full } else { Scope::Last },
        suffix: sync.suffix.clone(),
        ..Naming::default()
    }
}

/// What is asked for every image, in the words of the pipeline.
fn request(app: &App, sync: &Sync) -> Result<Request> {
    let mut request = Request::new(Platform::host());
    request.platforms = app.platforms();
    request.heads_first = true;
    if sync.all {
        request.lists = Lists::All;
    }
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
