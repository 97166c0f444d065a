//! Copying many images at once.

use std::collections::HashSet;
use std::num::{NonZero, NonZeroUsize};
use std::sync::Arc;

use anyhow::Result;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use skopeo_copy::tee::copy_to_all;
use skopeo_copy::{Copied, Limits, Outcome, Rates, Retry, Session};
use skopeo_image::ErrorClass;
use skopeo_sync::destination::Place;
use skopeo_transport::Options;
use skopeo_trust::Policy;
use tracing::{error, info, warn};

use super::digests::DigestFile;
use super::goals::{Image, Places, is_same};
use super::lines::Lines;
use super::mirror::Doomed;
use super::outcome::Outcomes;
use super::plan::Plan;
use crate::args::report::Output;
use crate::args::sync::Sync;
use crate::exit::{class, is_transient, sentence};
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
    pub(super) outcomes: &'a Arc<Outcomes>,
    /// What stdout is for.
    pub(super) output: Output,
    /// What all images share.
    pub(super) session: Session,
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
    /// Copies all images that are found in so many `sources`, or says what that would take.
    ///
    /// # Errors
    /// The first failure, unless it was asked to go on.
    pub(super) async fn do_all(
        &self,
        mut images: Vec<Image>,
        places: &Places,
        plan: Plan,
        flagged: &Options,
        (sources, doomed): (usize, Option<&Doomed>),
    ) -> Result<Done> {
        self.sync.immutable.settle(&mut images, places).await?;
        if self.sync.dry_run {
            warn!("Running in dry-run mode");
        }
        let digestfile = self.sync.digestfile.as_deref().filter(|_| !self.sync.dry_run);
        let mut digests = DigestFile::create(digestfile)?;
        let done = tokio::select! {
            done = self.run(&images, &mut digests) => done,
            never = self.outcomes.progress().beat() => match never {},
        };
        // What was copied before a failure is there, in archives as anywhere else.
        let ended = match self.sync.dry_run {
            true => Ok(Vec::new()),
            false => self.end(&images, places, &mut digests).await,
        };
        if let (Err(_), Err(failure)) = (&done, &ended) {
            error!(error = sentence(failure), "Error finishing what was copied before that");
        }
        let mut done = done?;
        done.lose(ended?);
        if self.sync.dry_run {
            self.price(&images, plan, flagged, (sources, doomed), &mut done).await?;
        } else {
            info!("Synced {} images from {sources} sources", done.well);
            match self.outcomes.progress().one_of_platforms() {
                0 => {}
                1 => info!("1 of several platforms of 1 image copied; --all copies all"),
                count => info!("1 of several platforms of {count} images copied; --all copies all"),
            }
        }
        Ok(done)
    }

    /// Gives their names to what has to be whole for that, and takes back what was said of images
    /// that have none in the end. Gives for each of these why it has none.
    ///
    /// # Errors
    /// The first failure, unless it was asked to go on.
    async fn end(
        &self,
        images: &[Image],
        places: &Places,
        digests: &mut DigestFile,
    ) -> Result<Vec<Option<ErrorClass>>> {
        let unfinished = places.finish().await;
        let is_lost = |place: &Place| unfinished.iter().any(|(lost, _)| is_same(lost, place));
        let written = digests.end(is_lost);
        let well = images.iter().map(|image| &image.place).filter(|place| !is_lost(place));
        for place in well.map(ToString::to_string).collect::<HashSet<_>>() {
            self.report.published(&place);
        }
        let (mut lost, mut stopped) = (Vec::new(), None);
        for (place, failure) in unfinished {
            // However it was written.
            let names = images.iter().map(|image| &image.place).filter(|it| is_same(it, place));
            let names: HashSet<String> = names.map(ToString::to_string).collect();
            let count = self.outcomes.unfinished(&names, &failure);
            lost.extend(std::iter::repeat_n(class(&failure), count));
            if self.sync.keep_going || stopped.is_some() {
                error!(error = sentence(&failure), "Error finishing {place}");
            } else {
                stopped = Some(failure);
            }
        }
        self.outcomes.finished();
        written?;
        stopped.map_or(Ok(lost), Err)
    }

    /// Copies all images.
    ///
    /// # Errors
    /// The first failure, which stops all others, unless it was asked to go on.
    async fn run(&self, images: &[Image], digests: &mut DigestFile) -> Result<Done> {
        let looked_at = LOOKED_AT.max(jobs(self.sync).get());

        let mut done = Done::default();
        let (mut rest, mut at) = (images.chunk_by(Image::is_read_with), 0);
        let mut under_way = FuturesUnordered::new();
        loop {
            let room = looked_at - under_way.len();
            under_way.extend(rest.by_ref().take(room).map(|images| {
                let first = at;
                at += images.len();
                async move { (first, images, self.some(first, images).await) }
            }));
            let Some((first, images, results)) = under_way.next().await else { break };
            self.outcomes.end(first);
            let mut stopped = None;
            for ((at, image), result) in (first..).zip(images).zip(results) {
                let copied = match result {
                    Ok(copied) => {
                        match image.settled && !self.sync.dry_run {
                            true => self.outcomes.skipped(at),
                            false => self.outcomes.well(at, copied.as_ref()),
                        }
                        done.well += 1;
                        copied
                    }
                    Err(failure) => {
                        self.outcomes.failed(at, &failure);
                        let what = what_failed(image, images.len());
                        if self.sync.keep_going {
                            error!(error = sentence(&failure), "{what}");
                            done.fail(class(&failure));
                        } else {
                            stopped.get_or_insert_with(|| match stands_alone(&failure) {
                                true => failure,
                                false => failure.context(what),
                            });
                        }
                        None
                    }
                };
                match copied {
                    Some(Copied { digest, outcome: Outcome::Written, .. })
                        if image.place.kind.is_archive() =>
                    {
                        digests.hold(at, &digest, &image.to, &image.place);
                    }
                    copied => {
                        digests.add(at, copied.map(|copied| copied.digest).as_ref(), &image.to)?;
                    }
                }
            }
            if let Some(failure) = stopped {
                return Err(failure);
            }
        }
        Ok(done)
    }

    /// Copies one image to all its places, or says that it would. All have a result; `first` is the
    /// number of the first.
    async fn some(&self, first: usize, images: &[Image]) -> Vec<Result<Option<Copied>>> {
        for image in images {
            let (from, to) = (image.from.to_string(), image.to.to_string());
            if self.sync.dry_run {
                // It is said once it is known whether there is anything to do.
                continue;
            }
            if image.settled {
                info!(
                    from,
                    to, "Skipping image ref {}/{}: its tag never moves", image.at, image.of
                );
                if self.report.output() == Output::Json {
                    let done = Copying::new(&image.from).settled(&image.to);
                    done.into_iter().for_each(|done| self.report.add(done));
                }
            } else {
                info!(from, to, "Copying image ref {}/{}", image.at, image.of);
            }
        }
        if self.sync.dry_run || images[0].settled {
            return images.iter().map(|_| Ok(None)).collect();
        }
        let mut results: Vec<Option<Result<Copied>>> = images.iter().map(|_| None).collect();
        let mut failed = 0;
        let tried = retry::with(self.retry, async || {
            let is_left = |result: &Option<Result<Copied>>| match result {
                None => true,
                Some(Err(failure)) => is_transient(failure),
                Some(Ok(_)) => false,
            };
            let left: Vec<usize> = (0..images.len()).filter(|at| is_left(&results[*at])).collect();
            let places: Vec<&Image> = left.iter().map(|at| &images[*at]).collect();
            self.outcomes.attempt(first, &left);
            for (at, copied) in left.into_iter().zip(self.attempt(first, &places).await) {
                results[at] = Some(copied);
            }
            // For whichever of them another try may do, it is for that one.
            let again = results.iter().position(is_left);
            match again.and_then(|at| Some((at, results[at].take()?.err()?))) {
                Some((at, failure)) => {
                    failed = at;
                    Err(failure)
                }
                None => Ok(()),
            }
        });
        if let Err(failure) = tried.await {
            results[failed] = Some(Err(failure));
        }
        results.into_iter().flatten().map(|result| result.map(Some)).collect()
    }

    async fn attempt(&self, first: usize, images: &[&Image]) -> Vec<Result<Copied>> {
        let lines = Arc::new(Lines::default());
        let copying = Arc::new(Copying::new(&images[0].from));
        let watchers = (lines.clone(), copying.clone(), self.outcomes.clone());
        let session = self.session.watched(Arc::new(move |event| {
            watchers.0.tell(&event);
            watchers.1.tell(&event);
            watchers.2.tell(first, &event);
        }));
        let copied = self.copy(&session, images).await;
        if self.outcomes.progress().wants_lines() {
            lines.print(self.output);
        }
        if self.report.output() == Output::Json {
            let ends = images.iter().zip(&copied);
            let ends = ends.map(|(image, copied)| (&image.to, copied.as_ref().ok()));
            for (image, done) in images.iter().zip(copying.done(ends)) {
                if image.place.kind.is_archive() {
                    self.report.add_held(&image.place.to_string(), done);
                } else {
                    self.report.add(done);
                }
            }
        }
        copied
    }

    async fn copy(&self, session: &Session, images: &[&Image]) -> Vec<Result<Copied>> {
        let Image { from, options, request, .. } = images[0];
        let source = match skopeo_transport::open(from, options).await {
            Ok(source) => source,
            Err(error) => {
                let (name, source) = (from.to_string(), error.into());
                let failed = Arc::new(skopeo_copy::Error::Source { name, source });
                let failed = || skopeo_copy::Error::Shared(failed.clone()).into();
                return images.iter().map(|_| Err(failed())).collect();
            }
        };
        let (mut results, mut doors) = (Vec::new(), Vec::new());
        for image in images {
            let door = image.collection.create(&image.to).await;
            results.push(match door {
                Ok(door) => {
                    doors.push(door);
                    None
                }
                Err(error) => {
                    let alone = error.stands_alone();
                    let failed = anyhow::Error::new(error);
                    Some(match alone {
                        true => failed,
                        false => failed.context(format!("initializing destination {}", image.to)),
                    })
                }
            });
        }
        let copied = copy_to_all(session, &*source, doors, self.policy, request).await;
        let mut copied = copied.into_iter();
        let mut next = || Some(copied.next()?.map_err(anyhow::Error::new));
        results
            .into_iter()
            .filter_map(|failed| failed.map_or_else(&mut next, |it| Some(Err(it))))
            .collect()
    }
}

/// Whether an error says all by itself, as the original has it.
fn stands_alone(failure: &anyhow::Error) -> bool {
    failure.downcast_ref::<skopeo_transport::Error>().is_some_and(|error| error.stands_alone())
}

/// Which of the copies of an image to several places failed.
fn what_failed(image: &Image, places: usize) -> String {
    let from = go::quote(&image.from.to_string());
    if places == 1 {
        return format!("Error copying ref {from}");
    }
    format!("Error copying ref {from} to {}", go::quote(&image.to.to_string()))
}

impl Done {
    pub(super) fn fail(&mut self, class: Option<ErrorClass>) {
        self.class = match (self.failed, self.class) {
            (0, _) => class,
            (_, before) => before.filter(|_| before == class),
        };
        self.failed += 1;
    }

    /// Some that were well have no name after all.
    fn lose(&mut self, lost: Vec<Option<ErrorClass>>) {
        self.well = self.well.saturating_sub(lost.len());
        lost.into_iter().for_each(|class| self.fail(class));
    }
}

/// What all images of a run share. Each registry may have so many `connections`.
pub(super) fn session(sync: &Sync, connections: Option<NonZeroUsize>, rates: Rates) -> Session {
    let jobs = jobs(sync);
    let blobs = NonZeroUsize::new(2 * jobs.get() + 4);
    // Each blob on its way is a connection.
    let blobs = blobs.map(|blobs| connections.map_or(blobs, |most| blobs.min(most)));
    let limits = Limits { images: Some(jobs), blobs };
    Session::limited(Arc::new(|_| ()), &limits).with_rates(rates)
}

/// How many images are on their way at once. If nothing is said, enough to keep the line busy while
/// manifests are written.
fn jobs(sync: &Sync) -> NonZeroUsize {
    let usual = || {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        NonZeroUsize::new((2 * processors).clamp(8, 16)).unwrap_or(NonZeroUsize::MIN)
    };
    sync.jobs.unwrap_or_else(usual)
}
