//! Tells what happens in a run: to people, to scripts, in files.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};
use skopeo_copy::{Copied, Event};
use skopeo_image::ErrorClass;
use skopeo_sync::plan::Estimate;
use skopeo_sync::report::{Deletion, DeletionOutcome, Entry};
use skopeo_sync::select::Chosen;
use skopeo_sync::{Error, Observer, SyncEvent, SyncTask, TaskId};
use tokio::sync::watch;

use super::digests::DigestFile;
use crate::args::report::{Output, Show};
use crate::exit::class_of;
use crate::logging::visible;
use crate::progress::{End, RunProgress};
use crate::report::{self, Copying, Deleted, Report};

/// Who tells what happens in a run.
pub(super) struct Watch {
    progress: RunProgress,
    report: Arc<Report>,
    /// Whether it is said of each tag why it is chosen, or not.
    explain: bool,
    digestfile: Option<PathBuf>,
    state: Mutex<State>,
    /// Whether images are being copied.
    copying: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// What stdout is for.
    output: Output,
    /// The attempts that are under way, by the first of the images that are read at once.
    attempts: HashMap<TaskId, Copying>,
    digests: Option<DigestFile>,
    /// What went wrong here.
    failure: Option<anyhow::Error>,
}

impl Watch {
    pub(super) fn new(
        show: Show,
        report: &Arc<Report>,
        explain: bool,
        digestfile: Option<PathBuf>,
    ) -> Self {
        Self {
            progress: RunProgress::new(show, report.output()),
            report: report.clone(),
            explain,
            digestfile,
            state: Mutex::default(),
            copying: watch::Sender::new(false),
        }
    }

    /// Says now and then that the run is not dead.
    pub(super) async fn beat(&self) -> Infallible {
        let mut copying = self.copying.subscribe();
        loop {
            // It is never closed: its other end is here.
            let _ = copying.wait_for(|copying| *copying).await;
            tokio::select! {
                never = self.progress.beat() => match never {},
                _ = copying.wait_for(|copying| !*copying) => {}
            }
        }
    }

    /// Leaves the terminal in order.
    pub(super) fn close(&self) {
        self.progress.close();
    }

    /// Whether people want to read at the end what came of it, if something has failed or not.
    pub(super) fn wants_table(&self, failed: bool) -> bool {
        self.progress.wants_table(failed)
    }

    /// What went wrong here, or else that error of the run.
    pub(super) fn failure_or(&self, error: Error) -> anyhow::Error {
        self.state().failure.take().unwrap_or_else(|| error.into())
    }

    fn hear(&self, event: &SyncEvent<'_>) -> Result<()> {
        match event {
            SyncEvent::Chosen { repository, chosen } if self.explain => {
                explain(repository, chosen);
            }
            SyncEvent::Found(tasks) => self.found(tasks)?,
            SyncEvent::Copying => _ = self.copying.send_replace(true),
            SyncEvent::Copied => _ = self.copying.send_replace(false),
            SyncEvent::Skipped(task) => self.skipped(task),
            SyncEvent::Attempt { group, task } => self.attempt(*group, task),
            SyncEvent::Attempted { group, ends } => self.attempted(*group, ends),
            SyncEvent::Ended { group } => self.progress.end(group.number()),
            SyncEvent::Done { entry, .. } => self.progress.count(&end(entry)),
            SyncEvent::Published(place) => self.report.published(&place.to_string()),
            SyncEvent::Lost { entry, .. } => self.progress.count_again(&end(entry)),
            SyncEvent::Estimated(found) => self.estimated(found)?,
            SyncEvent::Deleted(deletion) => self.report.add(deleted(deletion)),
            _ => {}
        }
        match &mut self.state().digests {
            Some(digests) => digests.observe(event),
            None => Ok(()),
        }
    }

    /// Looks at what there is to copy. What is written to stdout must be all that is.
    fn found(&self, tasks: &[SyncTask]) -> Result<()> {
        self.progress.expect(tasks.len());
        let to_stdout = tasks.iter().map(SyncTask::destination).find(|it| it.is_stdout());
        let output = match (self.report.output(), to_stdout) {
            (Output::Json, Some(image)) => {
                bail!("--output json cannot share standard output with {image}")
            }
            (Output::Text, Some(_)) => Output::Json,
            (output, None) => output,
        };
        let digests = self.digestfile.as_deref().map(DigestFile::create).transpose()?;
        let mut state = self.state();
        (state.output, state.digests) = (output, digests);
        Ok(())
    }

    fn skipped(&self, task: &SyncTask) {
        if self.report.output() == Output::Json {
            let done = Copying::new(task.source()).unchanged(task.destination());
            done.into_iter().for_each(|done| self.report.add(done));
        }
    }

    fn attempt(&self, group: TaskId, task: &SyncTask) {
        self.state().attempts.entry(group).or_insert_with(|| Copying::new(task.source()));
        let (source, destination) = (task.source().to_string(), task.destination().to_string());
        self.progress.begin(group.number(), &source, &destination);
    }

    fn attempted(&self, group: TaskId, ends: &[(&SyncTask, Option<&Copied>)]) {
        let (attempt, output) = {
            let mut state = self.state();
            (state.attempts.remove(&group), state.output)
        };
        self.progress.attempted(group.number(), output);
        let Some(copying) = attempt.filter(|_| self.report.output() == Output::Json) else {
            return;
        };
        let named = ends.iter().map(|(task, copied)| (task.destination(), *copied));
        for ((task, _), done) in ends.iter().zip(copying.done(named)) {
            if task.place().kind.is_archive() {
                self.report.add_held(&task.place().to_string(), done);
            } else {
                self.report.add(done);
            }
        }
    }

    fn estimated(&self, found: &Estimate) -> Result<()> {
        match self.report.output() {
            Output::Text => self.report.say(&found.to_string())?,
            Output::Json => {
                for planned in &found.images {
                    self.report.add(report::Done::Plan(Box::new(planned.clone())));
                }
                self.report.plan(found.plan.clone());
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch {
    fn observe(&self, event: &SyncEvent<'_>) -> Result<(), Error> {
        self.hear(event).map_err(|failure| {
            let stopped = Error::refused(failure.to_string());
            self.state().failure.get_or_insert(failure);
            stopped
        })
    }

    fn class_of(&self, error: &(dyn StdError + 'static)) -> Option<ErrorClass> {
        class_of(error)
    }

    fn copying(&self, group: TaskId, event: &Event) {
        if let Some(copying) = self.state().attempts.get(&group) {
            copying.observe(event);
        }
        self.progress.observe(group.number(), event);
    }
}

/// Says of each tag why it is chosen, or not. A closed stderr is nobody's business.
fn explain(repository: &str, chosen: &Chosen) {
    let mut lines = String::new();
    for (tag, why) in &chosen.kept {
        let _ = writeln!(lines, "{}", visible(&format!("{repository}:{tag}: kept: {why}")));
    }
    for (tag, why) in &chosen.dropped {
        let _ = writeln!(lines, "{}", visible(&format!("{repository}:{tag}: dropped: {why}")));
    }
    let _ = io::stderr().write_all(lines.as_bytes());
}

fn end(entry: &Entry) -> End<'_> {
    End {
        source: entry.source.as_deref().unwrap_or_default(),
        destination: &entry.destination,
        outcome: entry.outcome.as_str(),
        error: entry.error.as_ref().map(|error| (&*error.class, &*error.message)),
    }
}

fn deleted(deletion: &Deletion) -> report::Done {
    let (outcome, reason) = match &deletion.outcome {
        DeletionOutcome::Deleted => ("deleted", None),
        DeletionOutcome::WouldDelete => ("would-delete", None),
        DeletionOutcome::Failed(reason) => ("failed", Some(reason.clone())),
    };
    let method = if deletion.name.is_in_registry() { "tag" } else { "image" };
    report::Done::Delete(Deleted {
        outcome,
        image: deletion.name.to_string(),
        digest: Some(deletion.digest.clone()),
        method: reason.is_none().then_some(method),
        with: Vec::new(),
        reason,
        place: Some(deletion.place.clone()),
    })
}
