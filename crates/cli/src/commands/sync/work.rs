//! Copying many images at once.

use std::num::{NonZero, NonZeroUsize};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use skopeo_copy::{Copied, Limits, Rates, Session};
use skopeo_image::ErrorClass;
use skopeo_trust::Policy;
use tracing::{error, info};

use super::digests::DigestFile;
use super::goals::Image;
use super::lines::Lines;
use crate::args::image::Retry;
use crate::args::report::Output;
use crate::args::sync::Sync;
use crate::exit::{class, sentence};
use crate::report::{Copying, Report};
use crate::{go, retry};

/// How many images are looked at at once, to find out whether they are there already. That is a
/// question to each side, and costs no more than the way there and back.
const LOOKED_AT: usize = 32;

/// All that the images of a run have in common.
pub(super) struct Work<'a> {
    pub(super) sync: &'a Sync,
    pub(super) policy: &'a Policy,
    pub(super) retry: Retry,
    pub(super) report: &'a Report,
    pub(super) rates: Rates,
    /// How many connections each registry may have.
    pub(super) connections: Option<NonZeroUsize>,
}

/// What has come of them.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// How many are there now.
    pub(super) well: usize,
    /// How many are not; it has been said of each.
    pub(super) failed: usize,
    /// The kind of failure of all that failed, if it is one.
    pub(super) class: Option<ErrorClass>,
}

impl Work<'_> {
    /// Copies all images.
    ///
    /// # Errors
    /// The first failure, which stops all others, unless it was asked to go on.
    pub(super) async fn run(&self, images: Vec<Image>) -> Result<Done> {
        let jobs = self.sync.jobs.unwrap_or_else(jobs);
        let blobs = NonZeroUsize::new(2 * jobs.get() + 4);
        // Each blob on its way is a connection.
        let blobs = blobs.map(|blobs| self.connections.map_or(blobs, |most| blobs.min(most)));
        let session = Session::limited(Arc::new(|_| ()), &Limits { images: Some(jobs), blobs })
            .with_rates(self.rates.clone());
        let digestfile = self.sync.digestfile.as_deref().filter(|_| !self.sync.dry_run);
        let mut digests = DigestFile::create(digestfile)?;
        let looked_at = LOOKED_AT.max(jobs.get());

        let mut done = Done::default();
        let mut rest = images.iter().enumerate();
        let mut under_way = FuturesUnordered::new();
        loop {
            let room = looked_at - under_way.len();
            under_way.extend(rest.by_ref().take(room).map(|(at, image)| {
                let session = &session;
                async move { (at, image, self.one(session, image).await) }
            }));
            let Some((at, image, result)) = under_way.next().await else { break };
            let digest = match result {
                Ok(copied) => {
                    done.well += 1;
                    copied.map(|copied| copied.digest)
                }
                Err(failure) => {
                    let what = format!("Error copying ref {}", go::quote(&image.from.to_string()));
                    if !self.sync.keep_going {
                        return Err(failure.context(what));
                    }
                    error!(error = sentence(&failure), "{what}");
                    done.fail(class(&failure));
                    None
                }
            };
            digests.add(at, digest.as_ref(), &image.to)?;
        }
        Ok(done)
    }

    /// Copies one image, or says that it would.
    async fn one(&self, session: &Session, image: &Image) -> Result<Option<Copied>> {
        let (from, to) = (image.from.to_string(), image.to.to_string());
        if self.sync.dry_run {
            info!(from, to, "Would have copied image ref {}/{}", image.at, image.of);
            return Ok(None);
        }
        info!(from, to, "Copying image ref {}/{}", image.at, image.of);
        retry::with(self.retry, async || self.attempt(session, image).await).await.map(Some)
    }

    async fn attempt(&self, session: &Session, image: &Image) -> Result<Copied> {
        let lines = Arc::new(Lines::default());
        let copying = Arc::new(Copying::new(&image.from, &image.to));
        let watchers = (lines.clone(), copying.clone());
        let session = session.watched(Arc::new(move |event| {
            watchers.0.tell(&event);
            watchers.1.tell(&event);
        }));
        let copied = self.copy(&session, image).await;
        lines.print(self.report.output());
        if self.report.output() == Output::Json {
            self.report.add(copying.done(copied.as_ref().ok()));
        }
        copied
    }

    async fn copy(&self, session: &Session, image: &Image) -> Result<Copied> {
        let source = skopeo_transport::open(&image.from, &image.options).await;
        let source = source.with_context(|| format!("initializing source {}", image.from))?;
        let destination = image.collection.create(&image.to).await;
        let destination =
            destination.with_context(|| format!("initializing destination {}", image.to))?;
        let request = &image.request;
        Ok(skopeo_copy::copy(session, &*source, destination, self.policy, request).await?)
    }
}

impl Done {
    fn fail(&mut self, class: Option<ErrorClass>) {
        self.class = match (self.failed, self.class) {
            (0, _) => class,
            (_, before) => before.filter(|_| before == class),
        };
        self.failed += 1;
    }
}

/// How many images are on their way at once if nothing else is said: enough to keep the line busy
/// while manifests are written.
fn jobs() -> NonZeroUsize {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    NonZeroUsize::new((2 * processors).clamp(4, 16)).unwrap_or(NonZeroUsize::MIN)
}
