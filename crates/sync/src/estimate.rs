//! What each image would take.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use skopeo_copy::{Change, Forecast, ImageEstimate, Session};
use skopeo_image::go::quote;
use skopeo_image::number::wide;
use skopeo_transport::Options;
use tracing::{error, info};

use crate::observer::SyncEvent;
use crate::plan::{Estimate, Plan, Planned};
use crate::prune::Surplus;
use crate::schedule::{Done, Work};
use crate::task::SyncTask;
use crate::{Context as _, Result, retry};

/// How many images are priced at once.
const AT_ONCE: usize = 16;

impl Work<'_> {
    /// Prices all images that were found in so many `sources`, and tells of them.
    ///
    /// # Errors
    /// The first failure, unless it was asked to go on; those that follow are counted in `done`.
    pub(crate) async fn estimate(
        &self,
        tasks: &[SyncTask],
        mut plan: Plan,
        flagged: &Options,
        (sources, surplus): (usize, Option<&Surplus>),
        done: &mut Done,
    ) -> Result<()> {
        let session = Session::new(Arc::new(|_| ()));
        let forecast = Forecast::default();
        let prices: Vec<_> =
            tasks.iter().map(|task| self.one_price(&session, task, &forecast)).collect();
        let mut prices = stream::iter(prices).buffered(AT_ONCE).zip(stream::iter(tasks));
        let mut images = Vec::new();
        while let Some((price, task)) = prices.next().await {
            let price = match price {
                Ok(price) => price,
                Err(failure) => {
                    let what = format!("Error pricing ref {}", quote(&task.from.to_string()));
                    self.outcomes.unpriced(task.id, &failure);
                    if !self.manner.keep_going {
                        return Err(failure.step(what));
                    }
                    error!(error = failure.sentence(), "{what}");
                    done.well = done.well.saturating_sub(1);
                    done.fail(self.outcomes.class(&failure));
                    continue;
                }
            };
            say(task, price.as_ref());
            self.outcomes.priced(task.id, price.as_ref());
            let planned = Planned::new(task, price.as_ref(), flagged);
            plan.sum.add(&planned);
            images.push(planned);
        }
        info!("Would have synced {} images from {sources} sources", done.well);
        let deleted: Option<Vec<_>> = surplus.map(|surplus| surplus.names().cloned().collect());
        plan.sum.delete = deleted.as_ref().map_or(0, |deleted| wide(deleted.len()));
        self.outcomes.observe(&SyncEvent::Estimated(&Estimate { plan, images, deleted }));
        self.outcomes.check()
    }

    async fn one_price(
        &self,
        session: &Session,
        task: &SyncTask,
        forecast: &Forecast,
    ) -> Result<Option<ImageEstimate>> {
        if task.unchanged {
            return Ok(None);
        }
        let attempt = async || -> Result<ImageEstimate> {
            let source = self.transports.open(&task.from, &task.options).await;
            let source = source.with_context(|| format!("initializing source {}", task.from))?;
            let destination = task.collection.look(&task.to).await;
            let destination =
                destination.with_context(|| format!("initializing destination {}", task.to))?;
            let (policy, request) = (self.policy, &task.request);
            let price =
                skopeo_copy::estimate(session, &*source, &*destination, policy, request, forecast);
            Ok(price.await?)
        };
        retry::with(self.manner.retry, attempt).await.map(Some)
    }
}

/// Says what would be done with an image.
fn say(task: &SyncTask, price: Option<&ImageEstimate>) {
    let (from, to) = (task.from.to_string(), task.to.to_string());
    let SyncTask { at, of, .. } = task;
    match price.map(|price| price.change) {
        Some(Change::New | Change::Changed) => {
            info!(from, to, "Would have copied image ref {at}/{of}");
        }
        Some(Change::Unchanged) => {
            info!(from, to, "Would have skipped image ref {at}/{of}: it is unchanged");
        }
        None => info!(from, to, "Would have skipped image ref {at}/{of}: its tag never moves"),
    }
}
