//! What a copy would take, found out without changing anything.
//!
//! The same `admit` and `plan` as in a copy; instead of `transfer`, each blob is asked about.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use skopeo_image::number::wide;
use skopeo_image::{Digest, RawManifest, Which};
use skopeo_transport::{How, Probe, Source, Wish};
use skopeo_trust::Policy;
use tokio::sync::OnceCell;

use crate::plan::{InstancePlan, Scope, Surroundings, Wanted};
use crate::transfer::{self, Item};
use crate::{Error, Job, Lists, Request, Session, admit, commit, list, plan, referrers, single};

/// What a copy would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// What would happen.
    pub change: Change,
    /// The digest of what the source's name leads to: of the list, where one image is chosen.
    pub source: Digest,
    /// The digest of what the destination's name leads to now, where that is known.
    pub destination: Option<Digest>,
    /// What would be read from the source.
    pub fetch: Amount,
    /// What would be written to the destination.
    pub send: Amount,
    /// What the destination could take from elsewhere in it.
    pub mount: Amount,
    /// What is there, or will be when it is needed.
    pub present: Amount,
    /// How many requests it would take, if none has to be repeated. Tokens are not counted.
    pub requests: u64,
    /// Whether all sizes are known before: not those of layers that are packed anew.
    pub exact: bool,
}

/// What would happen to the destination's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing is known to be there.
    New,
    /// It leads elsewhere.
    Changed,
    /// It leads to what would be written.
    Unchanged,
}

/// Some blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub blobs: u64,
    /// Their length in bytes, as far as it is known.
    pub bytes: u64,
}

impl Amount {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.blobs = self.blobs.saturating_add(other.blobs);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What the images of a run that have been priced would bring: what one brings, the next finds.
#[derive(Debug, Default)]
pub struct Book {
    /// What was asked already of a room. An answer serves whoever asks for the same.
    asked: Mutex<HashMap<(String, Digest), Answer>>,
    /// What was read of an image, which may go to several places.
    read: Mutex<HashSet<(String, Digest)>>,
    /// The rooms of a pool that a blob will be in.
    coming: Mutex<HashMap<(String, Digest), HashSet<String>>>,
}

/// How a room has a blob, once it has said so.
type Answer = Arc<OnceCell<Option<How>>>;

/// Finds out what [`copy`](crate::copy) would do, after all that has been priced in the same
/// `book`. Nothing is written anywhere; `destination` is only [looked at](skopeo_transport::look).
///
/// # Errors
/// Those of a copy, as far as they show before bytes move.
pub async fn price(
    session: &Session,
    source: &dyn Source,
    destination: &dyn Probe,
    policy: &Policy,
    request: &Request,
    book: &Book,
) -> Result<Price, Error> {
    let job = Job::new(session, source, destination, policy, request);
    let pricing = Pricing {
        book,
        mounts_first: mounts_first(source, destination),
        sum: Mutex::new(Sum { exact: true, ..Sum::default() }),
        seen: Mutex::default(),
        manifests: AtomicU64::new(0),
        job: &job,
    };
    pricing.run().await
}

/// Whether a copy asks for a mount before it asks whether the blob is there.
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

/// One image.
struct Pricing<'a> {
    job: &'a Job<'a>,
    book: &'a Book,
    mounts_first: bool,
    sum: Mutex<Sum>,
    /// The blobs that were counted.
    seen: Mutex<HashSet<Digest>>,
    /// How many manifests a copy would read.
    manifests: AtomicU64,
}

#[derive(Debug, Default)]
struct Sum {
    fetch: Amount,
    send: Amount,
    mount: Amount,
    present: Amount,
    requests: u64,
    exact: bool,
}

impl Sum {
    fn asks(&mut self, requests: u64) {
        self.requests = self.requests.saturating_add(requests);
    }
}

impl Pricing<'_> {
    async fn run(&self) -> Result<Price, Error> {
        let job = self.job;
        referrers::require_place(job)?;
        job.require_signable()?;
        let there = job.there().await;
        let present = there.as_ref().filter(|_| job.may_be_same());
        let head = match job.request.heads_first {
            true => job.source.head().await.ok().flatten(),
            false => None,
        };
        let same = match (present, &head) {
            (Some(digest), Some(head)) if job.is_same(digest, head) => {
                job.require_expected(digest)?;
                job.is_trusted_unsigned() && !job.has_signatures(&Which::Top).await?
            }
            _ => false,
        };
        let (is_present, source) = match head {
            Some(head) if same => (true, head.digest),
            head => {
                let top = job.top_of(head.as_ref().map(|head| &head.digest)).await?;
                self.reads(1);
                (self.image_or_list(top, present).await?, commit::digest_of(job, top)?)
            }
        };
        if is_present && let Some(digest) = present {
            self.referrers_of(digest).await?;
        }
        let mut sum = std::mem::take(&mut *lock(&self.sum));
        if job.source.is_remote() {
            sum.asks(self.manifests.load(Ordering::Relaxed));
        }
        if job.source.is_remote() && job.request.heads_first {
            sum.asks(1);
        }
        if job.destination.is_remote() && job.may_be_same() {
            sum.asks(1);
        }
        let change = match (is_present, &there) {
            (true, _) => Change::Unchanged,
            (false, Some(_)) => Change::Changed,
            (false, None) => Change::New,
        };
        let Sum { fetch, send, mount, present, requests, exact } = sum;
        Ok(Price {
            change,
            source,
            destination: there,
            fetch,
            send,
            mount,
            present,
            requests,
            exact,
        })
    }

    /// Counts what is missing; gives back whether nothing is.
    async fn image_or_list(
        &self,
        top: &RawManifest,
        present: Option<&Digest>,
    ) -> Result<bool, Error> {
        let job = self.job;
        let lists = &job.request.lists;
        if !top.media_type.is_list() || *lists == Lists::System {
            job.require_single()?;
        }
        match (top.media_type.is_list(), lists) {
            (false, _) | (true, Lists::All | Lists::IndexOnly)
                if job.if_present(present, top, &Which::Top).await?.is_some() =>
            {
                return Ok(true);
            }
            (false, _) => self.image(job.request, top.clone(), &Which::Top).await?,
            (true, Lists::System) => {
                let known = present.filter(|_| job.is_trusted_unsigned());
                let (digest, manifest) = match list::choose(job, top, known).await? {
                    list::Chosen::Image(digest, manifest) => (digest, manifest),
                    list::Chosen::Present(digest) => {
                        let which = Which::Instance(digest.clone());
                        if !job.has_signatures(&which).await? {
                            return Ok(true);
                        }
                        (digest, admit::fetch(job, &which).await?)
                    }
                };
                self.reads(1);
                let image = self.image(job.request, manifest, &Which::Instance(digest)).await;
                image.map_err(|error| Error::SystemImage(Box::new(error)))?;
            }
            (true, _) => {
                let manifest = top.clone();
                let prepared = list::prepare(job, manifest, Which::Top, Scope::Top, 0).await?;
                let is_platforms = matches!(lists, Lists::Platforms { .. });
                if is_platforms && list::if_present(job, &prepared, present).await?.is_some() {
                    return Ok(true);
                }
                self.list(prepared, 0).await?;
            }
        }
        Ok(false)
    }

    fn list(&self, prepared: list::Prepared, depth: usize) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            list::admit(self.job, &prepared).await?;
            let of = prepared.plan.instances.len();
            let work: Vec<BoxFuture<'_, Result<(), Error>>> = (prepared.plan.instances.iter())
                .enumerate()
                .map(|(at, instance)| {
                    let work = async move {
                        self.instance(instance, depth).await.map_err(|source| {
                            let source = Box::new(source);
                            Error::OfList { at: at.saturating_add(1), of, source }
                        })
                    };
                    work.boxed()
                })
                .collect();
            let at_once = self.job.at_once;
            stream::iter(work).buffer_unordered(at_once).try_collect::<Vec<()>>().await?;
            self.hanging(&prepared.hanging).await?;
            self.writes(1);
            Ok(())
        })
    }

    async fn instance(&self, instance: &InstancePlan, depth: usize) -> Result<(), Error> {
        let job = self.job;
        let which = Which::Instance(instance.digest.clone());
        let Some(manifest) = list::read_entry(job, instance).await? else {
            return self.blobs(&[Item::config(&instance.descriptor)]).await;
        };
        self.reads(1);
        if let Some(variant) = instance.variant {
            let request = list::replicating(job.request, variant);
            self.image(&request, manifest, &which).await
        } else if manifest.media_type.is_list() {
            let prepared =
                list::prepare(job, manifest, which, instance.scope, depth.saturating_add(1))
                    .await?;
            self.list(prepared, depth.saturating_add(1)).await
        } else {
            self.image(job.request, manifest, &which).await
        }
    }

    async fn image(
        &self,
        request: &Request,
        manifest: RawManifest,
        which: &Which,
    ) -> Result<(), Error> {
        let job = self.job;
        let welcome = admit::admit(job, request, manifest, which).await?;
        let digest = match which {
            Which::Instance(digest) => digest.clone(),
            Which::Top => commit::digest_of(job, welcome.admitted.manifest())?,
        };
        let hanging = referrers::of(job, request, &digest).await?;
        let layers = admit::layers(job, welcome.admitted.manifest(), which).await?;
        let (hangs, layers) = (!hanging.is_empty(), layers.as_deref());
        let around = Surroundings { hanging: hangs, layers, ..job.around(request) };
        let plan = plan::plan_image(&welcome.admitted, &welcome.signatures, around)?;
        if *which == Which::Top {
            single::require_platform(job, &plan).await?;
        }
        let layers = plan.layers.iter().enumerate();
        let layers = layers.filter(|(_, layer)| layer.wanted != Wanted::Elsewhere);
        let mut items: Vec<Item> =
            layers.map(|(at, layer)| transfer::item(&plan, at, layer)).collect();
        items.extend(plan.config.as_ref().map(Item::config));
        if !plan.keeps_type() {
            // The config is made anew.
            lock(&self.sum).exact = false;
        }
        self.blobs(&items).await?;
        self.hanging(&hanging).await?;
        self.writes(1);
        Ok(())
    }

    async fn blobs(&self, items: &[Item]) -> Result<(), Error> {
        let work: Vec<BoxFuture<'_, Result<(), Error>>> =
            items.iter().map(|item| self.blob(item).boxed()).collect();
        stream::iter(work)
            .buffered(self.job.at_once.saturating_mul(2))
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn blob(&self, item: &Item) -> Result<(), Error> {
        if !lock(&self.seen).insert(item.blob.digest.clone()) {
            return Ok(());
        }
        let how = if item.is_usable() { self.how(item).await? } else { None };
        let is_kept = item.is_kept();
        let (source, destination) = (self.job.source.is_remote(), self.job.destination.is_remote());
        let key = (self.job.source.name().to_string(), item.blob.digest.clone());
        let is_first = !matches!(how, None | Some(How::Moved)) || lock(&self.book.read).insert(key);
        let mut sum = lock(&self.sum);
        let amount = Amount { blobs: 1, bytes: item.blob.size.unwrap_or_default() };
        sum.exact &= item.blob.size.is_some();
        // HEAD, mount, POST and PUT; GET.
        let asked = match how {
            Some(How::Present) => {
                sum.present.add(amount);
                1
            }
            Some(How::Mounted | How::Linked) => {
                sum.mount.add(amount);
                if self.mounts_first { 1 } else { 2 }
            }
            Some(How::Moved) | None => {
                if is_first {
                    sum.fetch.add(amount);
                    sum.asks(u64::from(source));
                }
                sum.send.add(amount);
                sum.exact &= is_kept;
                if self.mounts_first { 4 } else { 3 }
            }
        };
        if destination {
            sum.asks(asked);
        }
        Ok(())
    }

    /// How a blob would come to the destination; `None` if by its bytes.
    async fn how(&self, item: &Item) -> Result<Option<How>, Error> {
        let destination = self.job.destination;
        let digest = &item.blob.digest;
        let (pool, room) = (destination.pool(), destination.room());
        let key = |place: &String| (place.clone(), digest.clone());
        if let (Some(pool), Some(room)) = (&pool, &room)
            && lock(&self.book.coming).get(&key(pool)).is_some_and(|rooms| rooms.contains(room))
        {
            return Ok(Some(How::Present));
        }
        let ask = || async {
            let _permit = self.job.checks.acquire().await;
            let from = self.job.source.name();
            let wish = Wish { blob: &item.blob, role: item.role, from, compression: item.only };
            let held = destination.holds(&wish).await;
            held.map_err(|error| Error::Reuse { digest: digest.clone(), source: error.into() })
        };
        let (Some(pool), Some(room)) = (&pool, &room) else { return ask().await };
        let cell = lock(&self.book.asked).entry(key(room)).or_default().clone();
        let held = *cell.get_or_try_init(ask).await?;
        if held == Some(How::Present) {
            return Ok(held);
        }
        let mut coming = lock(&self.book.coming);
        let rooms = coming.entry(key(pool)).or_default();
        let comes = if rooms.contains(room) {
            Some(How::Present)
        } else if rooms.is_empty() {
            held
        } else {
            Some(How::Mounted)
        };
        rooms.insert(room.clone());
        Ok(comes)
    }

    /// What hangs on an image that is there already.
    async fn referrers_of(&self, digest: &Digest) -> Result<(), Error> {
        let hanging = referrers::of(self.job, self.job.request, digest).await?;
        self.hanging(&hanging).await
    }

    /// What hangs on an image counts as manifests: their blobs are small, and known only by reading.
    async fn hanging(&self, hanging: &[skopeo_transport::Referrer]) -> Result<(), Error> {
        if !hanging.is_empty() {
            let many = wide(hanging.len());
            self.reads(many);
            self.writes(many);
            lock(&self.sum).exact = false;
        }
        Ok(())
    }

    fn reads(&self, manifests: u64) {
        self.manifests.fetch_add(manifests, Ordering::Relaxed);
    }

    fn writes(&self, manifests: u64) {
        if self.job.destination.is_remote() {
            lock(&self.sum).asks(manifests);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
