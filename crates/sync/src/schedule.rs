//! Many images at once.

use std::collections::HashSet;
use std::num::{NonZero, NonZeroUsize};
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use skopeo_copy::fanout::copy_to_all;
use skopeo_copy::{Copied, Limits, Rates, Session};
use skopeo_image::ErrorClass;
use skopeo_image::go::quote;
use skopeo_trust::Policy;
use tracing::{error, info};

use crate::destination::Target;
use crate::observer::SyncEvent;
use crate::outcomes::Outcomes;
use crate::request::Manner;
use crate::task::{SyncTask, Targets, TaskId, is_same};
use crate::transports::Transports;
use crate::{Error, Result, retry};

/// How many images are looked at at once, to find out whether they are there already. That is a
/// question to each side, and costs no more than the way there and back.
const LOOKED_AT: usize = 32;

/// All that the images of a run have in common.
pub(crate) struct Work<'a> {
    pub(crate) manner: &'a Manner,
    pub(crate) policy: &'a Policy,
    pub(crate) transports: &'a dyn Transports,
    pub(crate) outcomes: &'a Arc<Outcomes>,
    /// What all images share.
    pub(crate) session: &'a Session,
}

/// What has come of them.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// How many are there now.
    pub(crate) well: usize,
    /// How many are not; it has been said of each.
    pub(crate) failed: usize,
    /// The kind of failure of all that failed, if it is one.
    pub(crate) class: Option<ErrorClass>,
}

impl Work<'_> {
    /// Copies all images that were found in so many `sources`.
    ///
    /// # Errors
    /// The first failure, unless it was asked to go on.
    pub(crate) async fn copy_all(
        &self,
        tasks: &[SyncTask],
        places: &Targets,
        sources: usize,
    ) -> Result<Done> {
        let done = self.run(tasks).await;
        // What was copied before a failure is there, in archives as anywhere else.
        let ended = self.end(tasks, places).await;
        if let (Err(_), Err(failure)) = (&done, &ended) {
            error!(error = failure.sentence(), "Error finishing what was copied before that");
        }
        let mut done = done?;
        done.lose(ended?);
        info!("Synced {} images from {sources} sources", done.well);
        match self.outcomes.one_of_platforms() {
            0 => {}
            1 => info!("1 of several platforms of 1 image copied; --all copies all"),
            count => info!("1 of several platforms of {count} images copied; --all copies all"),
        }
        Ok(done)
    }

    /// Says of all images that they would be copied, before it is known what that would take.
    ///
    /// # Errors
    /// If who watches wants the run to stop.
    pub(crate) fn preview(&self, tasks: &[SyncTask]) -> Result<Done> {
        self.outcomes.observe(&SyncEvent::Copying);
        tasks.iter().for_each(|task| self.outcomes.well(task.id, None));
        self.outcomes.observe(&SyncEvent::Copied);
        self.outcomes.check()?;
        Ok(Done { well: tasks.len(), ..Done::default() })
    }

    /// Gives their names to what has to be whole for that, and takes back what was said of images
    /// that have none in the end. Gives for each of these why it has none.
    ///
    /// # Errors
    /// The first failure, unless it was asked to go on.
    async fn end(&self, tasks: &[SyncTask], places: &Targets) -> Result<Vec<Option<ErrorClass>>> {
        let unfinished = places.finish().await;
        let is_lost = |place: &Target| unfinished.iter().any(|(lost, _)| is_same(lost, place));
        let mut published = HashSet::new();
        for place in tasks.iter().map(|task| &task.place).filter(|place| !is_lost(place)) {
            if published.insert(place) {
                self.outcomes.observe(&SyncEvent::Published(place));
            }
        }
        let (mut lost, mut stopped) = (Vec::new(), None);
        for (place, failure) in unfinished {
            // However it was written.
            let names = tasks.iter().map(|task| &task.place).filter(|it| is_same(it, place));
            let names: HashSet<String> = names.map(ToString::to_string).collect();
            let count = self.outcomes.unfinished(&names, &failure);
            lost.extend(std::iter::repeat_n(self.outcomes.class(&failure), count));
            if self.manner.keep_going || stopped.is_some() {
                error!(error = failure.sentence(), "Error finishing {place}");
            } else {
                stopped = Some(failure);
            }
        }
        self.outcomes.finished();
        self.outcomes.check()?;
        stopped.map_or(Ok(lost), Err)
    }

    /// Copies all images.
    ///
    /// # Errors
    /// The first failure, which stops all others, unless it was asked to go on.
    async fn run(&self, tasks: &[SyncTask]) -> Result<Done> {
        self.outcomes.observe(&SyncEvent::Copying);
        let done = self.run_groups(tasks).await;
        self.outcomes.observe(&SyncEvent::Copied);
        done
    }

    async fn run_groups(&self, tasks: &[SyncTask]) -> Result<Done> {
        let looked_at = LOOKED_AT.max(jobs(self.manner.jobs).get());
        let mut done = Done::default();
        let mut rest = tasks.chunk_by(SyncTask::is_read_with);
        let mut under_way = FuturesUnordered::new();
        loop {
            let room = looked_at.saturating_sub(under_way.len());
            under_way.extend(
                rest.by_ref()
                    .take(room)
                    .map(|group| async move { (group, self.group(group).await) }),
            );
            let Some((group, results)) = under_way.next().await else { break };
            if let Some(first) = group.first() {
                self.outcomes.end(first.id);
            }
            let mut stopped = None;
            for (task, result) in group.iter().zip(results) {
                match result {
                    Ok(copied) => {
                        match task.unchanged {
                            true => self.outcomes.skipped(task.id),
                            false => self.outcomes.well(task.id, copied.as_ref()),
                        }
                        done.well = done.well.saturating_add(1);
                    }
                    Err(failure) => {
                        self.outcomes.failed(task.id, &failure);
                        let what = what_failed(task, group.len());
                        if self.manner.keep_going {
                            error!(error = failure.sentence(), "{what}");
                            done.fail(self.outcomes.class(&failure));
                        } else {
                            stopped.get_or_insert_with(|| match stands_alone(&failure) {
                                true => failure,
                                false => failure.step(what),
                            });
                        }
                    }
                }
            }
            self.outcomes.check()?;
            if let Some(failure) = stopped {
                return Err(failure);
            }
        }
        Ok(done)
    }

    /// Copies one image to all its places. Each has a result.
    async fn group(&self, group: &[SyncTask]) -> Vec<Result<Option<Copied>>> {
        for task in group {
            let (from, to) = (task.from.to_string(), task.to.to_string());
            let SyncTask { at, of, .. } = task;
            if task.unchanged {
                info!(from, to, "Skipping image ref {at}/{of}: its tag never moves");
                self.outcomes.observe(&SyncEvent::Skipped(task));
            } else {
                info!(from, to, "Copying image ref {at}/{of}");
            }
        }
        let Some(first) = group.first().filter(|first| !first.unchanged) else {
            return group.iter().map(|_| Ok(None)).collect();
        };
        let mut results: Vec<Option<Result<Copied>>> = group.iter().map(|_| None).collect();
        let mut failed = 0;
        let tried = retry::with(self.manner.retry, async || {
            let is_left = |result: &Option<Result<Copied>>| match result {
                None => true,
                Some(Err(failure)) => failure.is_transient(),
                Some(Ok(_)) => false,
            };
            let both = group.iter().zip(&mut results).filter(|(_, result)| is_left(result));
            let (tasks, left): (Vec<&SyncTask>, Vec<_>) = both.unzip();
            for (result, copied) in left.into_iter().zip(self.attempt(first.id, &tasks).await) {
                *result = Some(copied);
            }
            // For whichever of them another try may do, it is for that one.
            let mut again = results.iter_mut().enumerate().filter(|(_, result)| is_left(result));
            match again.next().and_then(|(at, result)| Some((at, result.take()?.err()?))) {
                Some((at, failure)) => {
                    failed = at;
                    Err(failure)
                }
                None => Ok(()),
            }
        });
        if let Err(failure) = tried.await
            && let Some(result) = results.get_mut(failed)
        {
            *result = Some(Err(failure));
        }
        results.into_iter().flatten().map(|result| result.map(Some)).collect()
    }

    async fn attempt(&self, group: TaskId, tasks: &[&SyncTask]) -> Vec<Result<Copied>> {
        self.outcomes.attempt(group, tasks);
        let outcomes = self.outcomes.clone();
        let session = self.session.watched(Arc::new(move |event| outcomes.copying(group, &event)));
        let copied = self.copy(&session, tasks).await;
        let ends = tasks.iter().zip(&copied);
        let ends: Vec<_> = ends.map(|(task, copied)| (*task, copied.as_ref().ok())).collect();
        self.outcomes.observe(&SyncEvent::Attempted { group, ends: &ends });
        copied
    }

    async fn copy(&self, session: &Session, tasks: &[&SyncTask]) -> Vec<Result<Copied>> {
        let Some(SyncTask { from, options, request, .. }) = tasks.first() else {
            return Vec::new();
        };
        let source = match self.transports.open(from, options).await {
            Ok(source) => source,
            Err(error) => {
                let (name, source) = (from.to_string(), error.into());
                let failed = Arc::new(skopeo_copy::Error::Source(skopeo_copy::SourceError::Open {
                    name,
                    source,
                }));
                let failed = || skopeo_copy::Error::Shared(failed.clone()).into();
                return tasks.iter().map(|_| Err(failed())).collect();
            }
        };
        let (mut results, mut doors) = (Vec::new(), Vec::new());
        for task in tasks {
            let door = task.collection.create(&task.to).await;
            results.push(match door {
                Ok(door) => {
                    doors.push(door);
                    None
                }
                Err(error) => {
                    let alone = error.stands_alone();
                    let failed = Error::from(error);
                    Some(match alone {
                        true => failed,
                        false => failed.step(format!("initializing destination {}", task.to)),
                    })
                }
            });
        }
        let copied = copy_to_all(session, &*source, doors, self.policy, request).await;
        let mut copied = copied.into_iter();
        let mut next = || Some(copied.next()?.map_err(Error::from));
        results
            .into_iter()
            .filter_map(|failed| failed.map_or_else(&mut next, |it| Some(Err(it))))
            .collect()
    }
}

/// Whether an error says all by itself, as the original has it.
fn stands_alone(failure: &Error) -> bool {
    matches!(failure, Error::Transport(error) if error.stands_alone())
}

/// Which of the copies of an image to several places failed.
fn what_failed(task: &SyncTask, places: usize) -> String {
    let from = quote(&task.from.to_string());
    if places == 1 {
        return format!("Error copying ref {from}");
    }
    format!("Error copying ref {from} to {}", quote(&task.to.to_string()))
}

impl Done {
    pub(crate) fn fail(&mut self, class: Option<ErrorClass>) {
        self.class = match (self.failed, self.class) {
            (0, _) => class,
            (_, before) => before.filter(|_| before == class),
        };
        self.failed = self.failed.saturating_add(1);
    }

    /// Some that were well have no name after all.
    fn lose(&mut self, lost: Vec<Option<ErrorClass>>) {
        self.well = self.well.saturating_sub(lost.len());
        lost.into_iter().for_each(|class| self.fail(class));
    }
}

/// Returns what all images of a run share: how many of them are on their way at once, and how fast
/// bytes move. Each registry may have so many `connections`.
#[must_use]
pub fn session(
    jobs: Option<NonZeroUsize>,
    connections: Option<NonZeroUsize>,
    rates: Rates,
) -> Session {
    let jobs = self::jobs(jobs);
    let blobs = NonZeroUsize::new(jobs.get().saturating_add(5));
    // Each blob on its way is a connection.
    let limits = Limits::new(Some(jobs), blobs).with_connections(connections);
    Session::limited(Arc::new(|_| ()), &limits).with_rates(rates)
}

/// How many images are on their way at once. If nothing is said, enough to keep the line busy while
/// manifests are written.
fn jobs(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    let usual = || {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        NonZeroUsize::new(processors.saturating_mul(2).clamp(16, 32)).unwrap_or(NonZeroUsize::MIN)
    };
    asked.unwrap_or_else(usual)
}

#[cfg(test)]
mod tests {
    use skopeo_copy::Retry;
    use skopeo_transport::{CommitError, Error as TransportError};

    use super::*;
    use crate::report::Outcome;
    use crate::testing::{Memory, tasks};

    const PLACE: &str = "docker://to.example/m";

    /// What has come of a run over these sources, and of each of them, with its attempts.
    async fn copy(
        memory: &Memory,
        sources: &[&str],
        manner: &Manner,
    ) -> (Result<Done>, Vec<(Outcome, u32)>) {
        let outcomes = Arc::new(Outcomes::new(Arc::new(())));
        let tasks = tasks(memory, PLACE, sources);
        outcomes.expect(&tasks).unwrap();
        let session = session(None, None, Rates::default());
        let (policy, session) = (&Policy::insecure(), &session);
        let work = Work { manner, policy, transports: memory, outcomes: &outcomes, session };
        let done = work.copy_all(&tasks, &memory.places(&[PLACE]), 1).await;
        let images = outcomes.so_far().images;
        (done, images.into_iter().map(|it| (it.outcome, it.attempts)).collect())
    }

    #[tokio::test]
    async fn what_fails_stops_the_others_unless_they_are_to_go_on() {
        let memory = Memory::default();
        let digest = memory.push("dir:/there", 1);
        let sources = ["dir:/gone", "dir:/there", "dir:/gone2"];
        let going_on = Manner { keep_going: true, ..Manner::default() };
        let (done, images) = copy(&memory, &sources, &going_on).await;
        let done = done.unwrap();
        assert_eq!((done.well, done.failed, done.class), (1, 2, Some(ErrorClass::NotFound)));
        assert_eq!(images, [(Outcome::Failed, 1), (Outcome::Copied, 1), (Outcome::Failed, 1)]);
        assert_eq!(memory.digest("docker://to.example/m/copy:1"), Some(digest));

        let (done, images) = copy(&memory, &sources[..1], &Manner::default()).await;
        let sentence = done.unwrap_err().sentence();
        assert!(sentence.starts_with("Error copying ref \"dir:/gone\": "), "{sentence}");
        assert_eq!(images, [(Outcome::Failed, 1)]);
    }

    #[tokio::test]
    async fn a_passing_failure_is_tried_again_as_often_as_was_asked() {
        let passing =
            || TransportError::from(CommitError::Vanished(skopeo_image::Digest::sha256(b"")));
        let retry = |times| Manner {
            retry: Retry { times, delay: Some(std::time::Duration::from_nanos(1)) },
            ..Manner::default()
        };
        for (faults, times, expected) in [
            (2, 2, (Outcome::Copied, 3)),
            (2, 1, (Outcome::Failed, 2)),
            (1, 0, (Outcome::Failed, 1)),
        ] {
            let memory = Memory::default();
            memory.push("dir:/a", 1);
            for _ in 0..faults {
                memory.fault("create docker://to.example/m/copy:0", passing());
            }
            let (_, images) = copy(&memory, &["dir:/a"], &retry(times)).await;
            assert_eq!(images, [expected], "{faults} {times}");
        }
        // What does not pass is not tried again.
        let memory = Memory::default();
        let (_, images) = copy(&memory, &["dir:/a"], &retry(3)).await;
        assert_eq!(images, [(Outcome::Failed, 1)]);
    }
}
