//! What carrying a decision out would take, found out without changing anything.
//!
//! The decision is that of a copy; instead of bringing a blob, the destination is asked about it.

mod forecast;
mod values;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use skopeo_image::number::wide;
use skopeo_image::{Descriptor, Digest, Links, MediaType, RawManifest, Which};
use skopeo_transport::{How, Probe, Referrer, Role, Source, Wish};
use skopeo_trust::Policy;

use crate::assemble::{self, Assembled, layers_as_declared};
use crate::decide::{self, Decided, Decision, ImageDecision, IndexDecision};
use crate::event::BlobKind;
use crate::item::{Item, ItemKey, TransferredBlob};
use crate::job::Job;
use crate::plan::{Crypt, DiffIds, Wanted};
use crate::request::Request;
use crate::session::Session;
use crate::visit::{self, Visitor};
use crate::{BlobError, Error, WriteError};

pub use forecast::Forecast;
pub use values::{Amount, Change, ImageEstimate};

use forecast::Bytes;

/// Returns what [`copy`](crate::copy) would do, after all that has been estimated with the same
/// `forecast`. Nothing is written anywhere; `destination` is only [looked
/// at](skopeo_transport::look).
///
/// # Errors
/// Those of a copy, as far as they show before bytes move.
pub async fn estimate(
    session: &Session,
    source: &dyn Source,
    destination: &dyn Probe,
    policy: &Policy,
    request: &Request,
    forecast: &Forecast,
) -> Result<ImageEstimate, Error> {
    let job = Job::new(session, source, destination, policy, request);
    decide::require_possible(&job)?;
    let Decided { decision, source: from, present } = decide::decide(&job).await?;
    let estimation = Estimation {
        job: &job,
        forecast,
        mounts_first: mounts_first(source, destination),
        sum: Mutex::new(Sum { exact: true, ..Sum::default() }),
        seen: Mutex::default(),
        configs: Mutex::default(),
    };
    let unchanged = estimation.visit(decision).await?;
    let there = match (unchanged, decide::may_be_same(&job)) {
        (Some(digest), _) => (Change::Unchanged, Some(digest)),
        (None, true) => changed(present),
        (None, false) => changed(decide::under_the_name(&job).await),
    };
    Ok(estimation.end(from, there))
}

/// What happens to a name that leads there, and to something else afterwards.
fn changed(there: Option<Digest>) -> (Change, Option<Digest>) {
    (if there.is_some() { Change::Changed } else { Change::New }, there)
}

/// Returns whether a copy asks for a mount before it asks whether the blob is there.
fn mounts_first(source: &dyn Source, destination: &dyn Probe) -> bool {
    let name =
        |name: &skopeo_transport::ImageName| name.docker_reference().map(|it| it.name.clone());
    match (name(source.name()), name(destination.name())) {
        (Some(from), Some(to)) if source.is_remote() && destination.is_remote() => {
            from.domain() == to.domain() && from.path() != to.path()
        }
        _ => false,
    }
}

/// One image, or one index.
struct Estimation<'a> {
    job: &'a Job<'a>,
    forecast: &'a Forecast,
    mounts_first: bool,
    sum: Mutex<Sum>,
    /// The blobs that were counted.
    seen: Mutex<HashSet<ItemKey>>,
    /// The configs that were read to be known, and how often.
    configs: Mutex<HashMap<ItemKey, usize>>,
}

#[derive(Debug, Default)]
struct Sum {
    fetch: Amount,
    send: Amount,
    mount: Amount,
    present: Amount,
    manifests: u64,
    requests: u64,
    exact: bool,
}

impl Sum {
    fn asks(&mut self, requests: u64) {
        self.requests = self.requests.saturating_add(requests);
    }
}

/// Where the bytes of a blob come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// From the source.
    Source,
    /// They are known: this program makes them, or has read them.
    Known,
}

impl Estimation<'_> {
    /// Counts what a decision takes; returns what is there if nothing is to be written.
    async fn visit(&self, decision: Decision) -> Result<Option<Digest>, Error> {
        match decision {
            Decision::Present { digest, .. } => {
                visit::present(self, &digest).await?;
                Ok(Some(digest))
            }
            Decision::Image(image) => {
                let is_chosen = image.chosen_from.is_some();
                let visited = self.image(*image).await;
                visited.map(|()| None).map_err(|error| match is_chosen {
                    true => Error::SystemImage(Box::new(error)),
                    false => error,
                })
            }
            Decision::Index(index) => visit::index(self, *index).await.map(|()| None),
        }
    }

    /// The sum of all that was counted.
    fn end(&self, source: Digest, there: (Change, Option<Digest>)) -> ImageEstimate {
        let job = self.job;
        let mut sum = std::mem::take(&mut *lock(&self.sum));
        if job.source.is_remote() {
            sum.asks(job.manifests.load(Ordering::Relaxed));
            sum.asks(u64::from(job.request.heads_first));
        }
        if job.destination.is_remote() {
            sum.asks(u64::from(decide::may_be_same(job)));
            let manifests = sum.manifests;
            sum.asks(manifests);
        }
        let Sum { fetch, send, mount, present, manifests, requests, exact } = sum;
        let (change, destination) = there;
        ImageEstimate {
            change,
            source,
            destination,
            fetch,
            send,
            mount,
            present,
            manifests,
            requests,
            exact,
        }
    }

    async fn blobs(&self, items: &[Item]) -> Result<(), Error> {
        let work: Vec<BoxFuture<'_, Result<(), Error>>> =
            items.iter().map(|item| self.item(item, Origin::Source).boxed()).collect();
        let at_once = self.job.scheduler.at_once().saturating_mul(2);
        stream::iter(work).buffered(at_once).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    /// Counts a blob, once.
    async fn item(&self, item: &Item, origin: Origin) -> Result<(), Error> {
        if !lock(&self.seen).insert(item.key()) {
            return Ok(());
        }
        let (bytes, how) = self.how(item).await?;
        // What is in it must be hashed, although it is there.
        let is_hashed = item.diff_ids == DiffIds::Needed && how != How::Moved;
        if origin == Origin::Source && (how == How::Moved || is_hashed) {
            self.fetch(item);
        }
        let mut sum = lock(&self.sum);
        let amount = Amount::of(item.blob.size);
        sum.exact &= item.blob.size.is_some() && bytes == Bytes::AsTheyAre;
        // HEAD, mount, POST and PUT.
        let asked = match how {
            How::Present => {
                sum.present.add(amount);
                1
            }
            How::Mounted | How::Linked => {
                sum.mount.add(amount);
                if self.mounts_first { 1 } else { 2 }
            }
            How::Moved => {
                sum.send.add(amount);
                if self.mounts_first { 4 } else { 3 }
            }
        };
        if self.job.destination.is_remote() {
            sum.asks(asked);
        }
        Ok(())
    }

    /// Counts that a blob is read from the source to be sent.
    fn fetch(&self, item: &Item) {
        self.read(item, 0);
    }

    /// Counts that a config is read from the source to be known: once for each image that needs it.
    fn fetch_config(&self, config: &Item) {
        let times = {
            let mut configs = lock(&self.configs);
            let times = configs.entry(config.key()).or_default();
            *times = times.saturating_add(1);
            *times
        };
        self.read(config, times);
    }

    /// Counts that a blob is read so many times, which is once for all places that it goes to.
    fn read(&self, item: &Item, times: usize) {
        if self.forecast.reads(self.job.source.name(), item, times) {
            let mut sum = lock(&self.sum);
            sum.fetch.add(Amount::of(item.blob.size));
            sum.asks(u64::from(self.job.source.is_remote()));
        }
    }

    /// Returns with which bytes, and how, a blob would come to the destination.
    async fn how(&self, item: &Item) -> Result<(Bytes, How), Error> {
        let Job { source, destination, scheduler, .. } = self.job;
        let ask = || async {
            if !item.is_usable() {
                return Ok(None);
            }
            let _question = scheduler.question().await;
            let from = Some(source.name());
            let wish = Wish { blob: &item.blob, role: item.role, from };
            destination.holds(&wish).await.map_err(|error| {
                let digest = item.blob.digest.clone();
                Error::Blob(BlobError::Reuse { digest, source: error.into() })
            })
        };
        match (destination.pool(), destination.room()) {
            // What is encrypted is never the same twice.
            _ if item.crypt != Crypt::Keep => Ok((Bytes::Made, How::Moved)),
            (Some(pool), Some(room)) if destination.shares(item.role) => {
                self.forecast.how(&pool, &room, source.name(), item, ask).await
            }
            _ => Ok(match ask().await? {
                Some(how) => (Bytes::AsTheyAre, how),
                None if item.is_kept() => (Bytes::AsTheyAre, How::Moved),
                None => (Bytes::Made, How::Moved),
            }),
        }
    }

    /// Counts the config of an image, and what else is made for its manifest.
    async fn config(&self, image: &ImageDecision) -> Result<(), Error> {
        let plan = &image.plan;
        let source = plan.config.as_ref().map(Item::config);
        if let (Some(config), true) = (&source, plan.keeps_type()) {
            return match &image.config {
                None => self.item(config, Origin::Source).await,
                Some(_) => {
                    self.fetch_config(config);
                    self.item(config, Origin::Known).await
                }
            };
        }
        let mut bytes = None;
        if let Some(config) = &source {
            self.fetch_config(config);
            bytes = match &image.config {
                Some(bytes) => Some(bytes.clone()),
                None => Some(self.job.read_config(&config.blob).await?),
            };
        }
        let Some(made) = made(image, bytes.as_deref()) else {
            // It shows when the layers have been read.
            let mut sum = lock(&self.sum);
            sum.send.add(Amount::of(None));
            sum.exact = false;
            return Ok(());
        };
        for (digest, size, role) in made.blobs {
            let blob = Descriptor::new(MediaType::default(), digest, Some(size));
            self.item(&Item { role, ..Item::config(&blob) }, Origin::Known).await?;
        }
        match source.filter(|_| made.keeps_config) {
            Some(config) => self.item(&config, Origin::Known).await,
            None => Ok(()),
        }
    }

    fn writes_manifest(&self) {
        let mut sum = lock(&self.sum);
        sum.manifests = sum.manifests.saturating_add(1);
    }
}

/// What is made for a manifest.
struct Made {
    blobs: Vec<(Digest, u64, Role)>,
    /// Whether the config goes with it as it was.
    keeps_config: bool,
}

/// Returns what is made for the manifest of an image, with its layers as they are declared; `None`
/// if that is not enough to know.
fn made(image: &ImageDecision, config: Option<&[u8]>) -> Option<Made> {
    let plan = &image.plan;
    let layers: Vec<TransferredBlob> = layers_as_declared(plan);
    let to = plan.types.iter().find_map(|to| {
        if assemble::needs_diff_ids(&plan.image, to) {
            return Some(None);
        }
        let original = image.admitted.manifest();
        match assemble::assemble(plan, original, config, &layers, to) {
            // As a copy, which then tries the next.
            Err(Error::Write(WriteError::Convert(error)))
                if error.is_compression_incompatible() =>
            {
                None
            }
            assembled => Some(assembled.ok().map(|assembled| (to, assembled))),
        }
    });
    let (to, assembled) = to??;
    let Assembled::Changed(converted) = assembled else {
        return Some(Made { blobs: Vec::new(), keeps_config: !plan.keeps_type() });
    };
    let keeps_config = converted.config.is_none() && !to.is_schema1() && !plan.keeps_type();
    let layers = converted.blobs.into_iter().map(|(digest, bytes)| (digest, bytes, Role::Layer(0)));
    let config = converted.config.map(|(digest, bytes)| (digest, bytes, Role::Config));
    let blobs = layers.chain(config).map(|(digest, bytes, role)| (digest, wide(bytes.len()), role));
    Some(Made { blobs: blobs.collect(), keeps_config })
}

impl Visitor for Estimation<'_> {
    type Written = ();

    fn job(&self) -> &Job<'_> {
        self.job
    }

    async fn image(&self, image: ImageDecision) -> Result<(), Error> {
        let plan = &image.plan;
        let layers = plan.layers.iter().enumerate();
        let layers = layers.filter(|(_, layer)| layer.wanted != Wanted::Elsewhere);
        let items: Vec<Item> = layers.map(|(at, layer)| Item::layer(plan, at, layer)).collect();
        self.blobs(&items).await?;
        self.config(&image).await?;
        visit::referrers(self, &image.digest, image.referrers.clone()).await?;
        self.writes_manifest();
        Ok(())
    }

    async fn index(&self, _list: &IndexDecision, _entries: Vec<(usize, ())>) -> Result<(), Error> {
        self.writes_manifest();
        Ok(())
    }

    async fn blob(&self, blob: &Descriptor, _kind: BlobKind) -> Result<(), Error> {
        self.item(&Item::config(blob), Origin::Source).await
    }

    async fn linked(&self, _manifest: &RawManifest, _which: &Which) -> Result<(), Error> {
        self.writes_manifest();
        Ok(())
    }

    async fn referrer(
        &self,
        _subject: &Digest,
        _referrer: &Referrer,
        _manifest: &RawManifest,
        _links: &Links,
    ) -> Result<(), Error> {
        self.writes_manifest();
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
