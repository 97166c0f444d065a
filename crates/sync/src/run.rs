//! A run: what there is to copy is found, copied, and what is too much deleted.

use std::sync::Arc;

use skopeo_copy::Session;
use skopeo_image::{ErrorClass, Platform};
use tracing::warn;

use crate::cache::Cache;
use crate::destination::Target;
use crate::discover::{Search, Selection};
use crate::lockfile::{self, Digests};
use crate::observer::Observer;
use crate::outcomes::Outcomes;
use crate::plan::{Mirroring, Plan, PlanFile};
use crate::prune::{Mirror, Surplus};
use crate::report::Record;
use crate::request::{Images, SyncRequest};
use crate::resume::Resume;
use crate::schedule::{Done, Work};
use crate::task::{SyncTask, Targets};
use crate::transports::{Real, Transports};
use crate::{Error, Result};

/// A run that may be stopped by dropping its future: what has come of it is known all the same.
pub struct Run<'a> {
    request: &'a SyncRequest,
    outcomes: Arc<Outcomes>,
    transports: Arc<dyn Transports>,
}

/// What there is to do.
struct Prepared {
    tasks: Vec<SyncTask>,
    places: Targets,
    /// The platforms that serve, best first.
    platforms: Vec<Platform>,
    /// In how many sources the images were found.
    sources: usize,
    /// How many sources could not be asked.
    lost: usize,
    prune: Option<Prune>,
}

/// What is too much at the destinations.
struct Prune {
    /// How that was evaluated, for a plan.
    mirroring: Mirroring,
    /// Too much of it is an error that is told only once all was copied.
    surplus: Result<Surplus>,
}

impl<'a> Run<'a> {
    /// Returns a run that has not begun.
    #[must_use]
    pub fn new(request: &'a SyncRequest, observer: Arc<dyn Observer>) -> Self {
        Self::through(Arc::new(Real), request, observer)
    }

    /// A run by these ways, which has not begun.
    pub(crate) fn through(
        transports: Arc<dyn Transports>,
        request: &'a SyncRequest,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { request, outcomes: Arc::new(Outcomes::new(observer)), transports }
    }

    /// Does what is asked. Gives the digests that tags led to, if these are wanted.
    ///
    /// # Errors
    /// If an image could not be copied or deleted, or what is asked makes no sense.
    pub async fn run(&self, session: &Session) -> Result<Option<Digests>> {
        // A dry run changes nothing.
        let cache = self.request.cache.as_ref().filter(|_| !self.request.manner.dry_run);
        let connections = &self.request.source.connections;
        Cache::keep(cache, session, connections, self.work(session)).await
    }

    /// Returns what has come of it so far.
    #[must_use]
    pub fn record(&self) -> Record {
        Record {
            dry_run: self.request.manner.dry_run,
            requests: self.request.source.connections.requests(),
            ..self.outcomes.so_far()
        }
    }

    async fn work(&self, session: &Session) -> Result<Option<Digests>> {
        let SyncRequest { manner, policy, .. } = self.request;
        let transports = &*self.transports;
        let Prepared { mut tasks, places, platforms, sources, lost, prune } =
            self.prepare().await?;
        self.outcomes.expect(&tasks)?;
        let pinned = match self.request.pin && manner.dry_run {
            true => Some(lockfile::asked(&tasks, manner.retry, transports).await?),
            false => None,
        };
        manner.immutable.settle(&mut tasks, &places, transports).await?;
        let work = Work { manner, policy, transports, outcomes: &self.outcomes, session };
        let done = if manner.dry_run {
            warn!("Running in dry-run mode");
            let mut done = work.preview(&tasks)?;
            let (recorded, flagged) = (self.request.recorded.clone(), &self.request.destination);
            let mut plan = Plan::new(recorded, &platforms, &places, flagged);
            plan.delete = prune.as_ref().map(|prune| prune.mirroring.clone());
            let going = prune.as_ref().and_then(|prune| prune.surplus.as_ref().ok());
            work.estimate(&tasks, plan, &self.request.source, (sources, going), &mut done).await?;
            done
        } else {
            work.copy_all(&tasks, &places, sources).await?
        };
        let undeleted = match prune {
            Some(Prune { surplus, .. }) => {
                surplus?.end(manner.dry_run, done.failed, &self.outcomes, manner.retry).await
            }
            None => 0,
        };
        self.outcomes.check()?;
        if done.failed > 0 || lost > 0 || undeleted > 0 {
            return Err(partly(&done));
        }
        if let Images::Failed(resume) = &self.request.images {
            resume.check_unlisted()?;
        }
        let of_run = || lockfile::of_run(&self.outcomes.so_far().images);
        Ok(self.request.pin.then(|| pinned.unwrap_or_else(of_run)))
    }

    /// Finds out what there is to do.
    async fn prepare(&self) -> Result<Prepared> {
        match &self.request.images {
            Images::Selected(selection) => self.select(selection).await,
            Images::Planned { plan, allow_moved } => self.take(plan, *allow_moved).await,
            Images::Failed(resume) => self.resume(resume).await,
        }
    }

    async fn select(&self, selection: &Selection) -> Result<Prepared> {
        let SyncRequest { source, destination, copy, manner, .. } = self.request;
        let transports = &*self.transports;
        let search = Search {
            transports,
            retry: manner.retry,
            keep_going: manner.keep_going,
            shard: selection.shard,
            platforms: &copy.platforms,
            outcomes: &self.outcomes,
            locked: selection.locked.as_ref(),
        };
        let input = &selection.input;
        let found = input.find(&search, selection, source, &Arc::new(copy.clone())).await?;
        let (sources, lost) = (found.groups.len(), found.failed);
        if let Some(locked) = selection.locked.as_ref().filter(|_| selection.shard.is_none()) {
            locked.check(&found.groups)?;
        }
        if self.request.pin {
            lockfile::check(&found.groups)?;
        }
        let targets = found.groups.iter().flat_map(|group| &group.spec.targets);
        let all = targets.map(|target| &target.place);
        let reaching = |place: &Target| input.reaching(destination, place);
        let places = Targets::open(all, reaching, transports).await?;
        let prune = match &self.request.delete {
            Some(rules) => {
                let mirror = Mirror::new(&found, &places)?;
                let mirroring = mirror.recorded(&places, rules);
                let surplus = mirror.evaluate(&places, rules, manner.retry, None).await;
                Some(Prune { mirroring, surplus })
            }
            None => None,
        };
        let tasks = places.name(found.groups)?;
        Ok(Prepared { tasks, places, platforms: copy.platforms.clone(), sources, lost, prune })
    }

    async fn take(&self, plan: &PlanFile, allow_moved: bool) -> Result<Prepared> {
        let SyncRequest { source, destination, copy, manner, .. } = self.request;
        let platforms = plan.plan().platforms.clone();
        let mut copy = copy.clone();
        copy.platforms.clone_from(&platforms);
        let wanted = plan.places()?;
        let reaching = |place: &Target| plan.reaching(destination, place);
        let places = Targets::open(wanted.iter(), reaching, &*self.transports).await?;
        let tasks = plan.tasks(source, &copy, &places, allow_moved)?;
        let prune = match (&plan.plan().delete, &self.request.delete) {
            (Some(planned), Some(given)) => {
                let rules = &planned.rules(given)?;
                let deletions = plan.deletions(&tasks)?;
                let mirror = Mirror::planned(planned, &places, &tasks)?;
                let mirroring = mirror.recorded(&places, rules);
                let surplus = mirror.evaluate(&places, rules, manner.retry, Some(&deletions)).await;
                Some(Prune { mirroring, surplus })
            }
            (Some(_), None) => {
                warn!("Not deleting the images that the plan deletes: --delete=false");
                None
            }
            (None, _) => None,
        };
        Ok(Prepared { tasks, places, platforms, sources: 1, lost: 0, prune })
    }

    async fn resume(&self, resume: &Resume) -> Result<Prepared> {
        let SyncRequest { source, destination, copy, .. } = self.request;
        let (places, tasks) = resume.tasks(source, destination, copy, &*self.transports).await?;
        let platforms = copy.platforms.clone();
        Ok(Prepared { tasks, places, platforms, sources: 1, lost: 0, prune: None })
    }
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("request", self.request).finish_non_exhaustive()
    }
}

/// The end of a run of which some images failed.
fn partly(done: &Done) -> Error {
    let class = if done.well == 0 { done.class } else { None };
    Error::classed(
        class.unwrap_or(ErrorClass::Partial),
        "Sync failed due to previous reported error(s) for one or more images",
    )
}
