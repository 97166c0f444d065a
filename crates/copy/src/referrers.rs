//! What hangs on an image, and travels with it.
//!
//! A referrer is opaque: its manifest and blobs are copied as they are, under the admission of the
//! image that it hangs on. What hangs on a manifest is written before that manifest gets a name,
//! so that no name ever leads to an image whose signatures are still on their way.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture, Either};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use skopeo_image::{Digest, Links, Manifest, RawManifest, Which};
use skopeo_transport::{Look, Referrer};
use tracing::{debug, warn};

use crate::event::BlobKind;
use crate::request::{Lists, Request};
use crate::selection::Referrers;
use crate::transfer::{self, Item};
use crate::{Error, Event, Job, admit, commit};

/// Signatures of lists of parts of images: three steps are seen in the field.
const DEEPEST: usize = 8;

/// How many referrers a copy may bring. More than anything has.
const MOST: usize = 10_000;

/// How long a copy that is done waits for the answer whether something was left behind.
const GLANCE: Duration = Duration::from_millis(500);

/// What a copy has seen hanging.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How many, repetitions and what was ignored included.
    count: AtomicUsize,
    /// Each once: what hangs on it has been seen, too.
    digests: Mutex<HashSet<Digest>>,
}

impl Seen {
    fn digests(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether any are to be copied.
pub(crate) fn are_copied(job: &Job<'_>) -> bool {
    matches!(job.request.referrers, Referrers::Copy(_))
}

/// Refuses to copy referrers to where nothing can hang on an image.
pub(crate) fn require_place(job: &Job<'_>) -> Result<(), Error> {
    match job.destination.keeps_referrers() {
        Err(reason) if are_copied(job) => Err(Error::NoPlaceForReferrers {
            destination: job.destination.name().to_string(),
            reason,
        }),
        _ => Ok(()),
    }
}

/// What is to be copied of what hangs on the manifest of that digest.
pub(crate) async fn of(
    job: &Job<'_>,
    request: &Request,
    subject: &Digest,
) -> Result<Vec<Referrer>, Error> {
    let Referrers::Copy(selection) = &request.referrers else { return Ok(Vec::new()) };
    let listed = job.source.referrers(subject, Look::Whole).await;
    let mut listed =
        listed.map_err(|error| Error::ListReferrers(error.into()))?.unwrap_or_default();
    if selection.is_all() {
        return Ok(listed);
    }
    for referrer in &mut listed {
        // Old lists do not say what they list.
        if referrer.artifact_type.is_empty() && referrer.found.tag(subject).is_none() {
            let manifest = fetch(job, subject, referrer).await?;
            referrer.artifact_type = links(job, &manifest)?.artifact_type;
        }
    }
    listed.retain(|referrer| selection.wants(&referrer.artifact_type, referrer.found));
    Ok(listed)
}

/// Brings what hangs on a manifest, with what hangs on that.
pub(crate) async fn bring(
    job: &Job<'_>,
    subject: &Digest,
    referrers: Vec<Referrer>,
) -> Result<(), Error> {
    bring_all(job, subject.clone(), referrers, 0).await
}

/// Brings what hangs on an image that was at the destination already, and on its instances.
pub(crate) async fn complete(job: &Job<'_>, digest: &Digest) -> Result<(), Error> {
    if !are_copied(job) {
        return Ok(());
    }
    let which = Which::Instance(digest.clone());
    let mut top = None;
    if job.request.lists == Lists::All {
        top = Some(admit::fetch(job, &which).await?);
    }
    let mut waiting = vec![(digest.clone(), top)];
    let mut seen = HashSet::new();
    while let Some((digest, manifest)) = waiting.pop() {
        if !seen.insert(digest.clone()) {
            continue;
        }
        bring(job, &digest, of(job, job.request, &digest).await?).await?;
        let Some(manifest) = manifest else { continue };
        let Ok(Manifest::List(list)) = manifest.parse() else { continue };
        for instance in list.instances() {
            let digest = instance.descriptor.digest;
            let manifest = if instance.descriptor.media_type.is_list() {
                Some(admit::fetch(job, &Which::Instance(digest.clone())).await?)
            } else {
                None
            };
            waiting.push((digest, manifest));
        }
    }
    Ok(())
}

fn bring_all<'a>(
    job: &'a Job<'_>,
    subject: Digest,
    referrers: Vec<Referrer>,
    depth: usize,
) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(async move {
        if depth >= DEEPEST && !referrers.is_empty() {
            return Err(Error::ReferrersTooDeep(subject));
        }
        let subject = &subject;
        let work: Vec<BoxFuture<'_, Result<(), Error>>> = referrers
            .into_iter()
            .map(|referrer| {
                let work = async move {
                    let digest = referrer.blob.digest.clone();
                    bring_one(job, subject, referrer, depth).await.map_err(|source| {
                        Error::Referrer {
                            digest,
                            subject: subject.clone(),
                            source: Box::new(source),
                        }
                    })
                };
                work.boxed()
            })
            .collect();
        stream::iter(work).buffer_unordered(job.at_once).try_collect::<Vec<()>>().await?;
        Ok(())
    })
}

async fn bring_one(
    job: &Job<'_>,
    subject: &Digest,
    referrer: Referrer,
    depth: usize,
) -> Result<(), Error> {
    if job.seen.count.fetch_add(1, Ordering::Relaxed) >= MOST {
        return Err(Error::TooManyReferrers(MOST));
    }
    let digest = &referrer.blob.digest;
    let has_tag = referrer.found.tag(subject).is_some();
    let there = job.destination.has_referrer(subject, &referrer).await;
    let missing = if there.map_err(|error| Error::FindReferrer(error.into()))? {
        None
    } else {
        let manifest = fetch(job, subject, &referrer).await?;
        let links = links(job, &manifest)?;
        let about = links.subject.as_ref().map(|subject| &subject.digest);
        if !has_tag && about != Some(subject) {
            // At the destination nobody who asks the registry would find it.
            warn!(
                "Ignoring {digest}, which is listed as a referrer of {subject} but does not refer \
                 to it"
            );
            return Ok(());
        }
        Some((manifest, links))
    };
    // A tag is a name of its own, even of what hangs elsewhere too.
    if !has_tag && !job.seen.digests().insert(digest.clone()) {
        return Ok(());
    }
    let hanging = of(job, job.request, digest).await?;
    bring_all(job, digest.clone(), hanging, depth.saturating_add(1)).await?;
    let Some((manifest, links)) = missing else {
        debug!("referrer {digest} is there already");
        return Ok(());
    };
    job.session.tell(Event::CopyingReferrer {
        digest: digest.clone(),
        subject: subject.clone(),
        artifact_type: links.artifact_type.clone(),
    });
    bring_links(job, &links, 0).await?;
    let put = job.writer().put_referrer(subject, &referrer, &manifest).await;
    put.map_err(|error| Error::WriteManifest(error.into()))?;
    job.session.tell(Event::ReferrerDone {
        digest: digest.clone(),
        subject: subject.clone(),
        artifact_type: links.artifact_type,
    });
    Ok(())
}

/// Brings what a manifest names: blobs, and for a list the manifests in it.
fn bring_links<'a>(
    job: &'a Job<'_>,
    links: &'a Links,
    depth: usize,
) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(async move {
        let mut work: Vec<BoxFuture<'_, Result<(), Error>>> = Vec::new();
        for (at, blob) in links.blobs.iter().enumerate() {
            let kind = if at == 0 { BlobKind::Config } else { BlobKind::Layer };
            if !blob.urls.is_empty() && job.destination.accepts().foreign_layers {
                continue;
            }
            transfer::tell_started(job, &blob.digest, blob.size, kind);
            let item = Item::config(blob);
            work.push(Box::pin(async move { job.bring(&item).await.map(drop) }));
        }
        for child in &links.manifests {
            if child.media_type.is_blob() {
                transfer::tell_started(job, &child.digest, child.size, BlobKind::Layer);
                let item = Item::config(child);
                work.push(Box::pin(async move { job.bring(&item).await.map(drop) }));
                continue;
            }
            work.push(Box::pin(async move {
                if depth >= DEEPEST {
                    return Err(Error::ReferrersTooDeep(child.digest.clone()));
                }
                let which = Which::Instance(child.digest.clone());
                let manifest = admit::fetch(job, &which).await?;
                bring_links(job, &self::links(job, &manifest)?, depth.saturating_add(1)).await?;
                let put = job.writer().put_manifest(&manifest, &which).await;
                put.map_err(|error| Error::WriteManifest(error.into()))
            }));
        }
        stream::iter(work).buffer_unordered(job.at_once).try_collect::<Vec<()>>().await?;
        Ok(())
    })
}

/// The manifest of a referrer, which is what its digest says whatever the source promises.
async fn fetch(job: &Job<'_>, subject: &Digest, referrer: &Referrer) -> Result<RawManifest, Error> {
    debug!("reading referrer {} of {subject}", referrer.blob.digest);
    admit::fetch(job, &Which::Instance(referrer.blob.digest.clone())).await
}

fn links(job: &Job<'_>, manifest: &RawManifest) -> Result<Links, Error> {
    let name = job.source.name();
    Links::parse(manifest).map_err(|source| Error::Manifest { name: name.to_string(), source })
}

/// Says what hangs on a list of which an image only is copied.
pub(crate) async fn say_of_list(job: &Job<'_>, list: &RawManifest) -> Result<(), Error> {
    let digest = commit::digest_of(job, list)?;
    let found = of(job, job.request, &digest).await?;
    if !found.is_empty() {
        job.session.tell(Event::ReferrersLeft { digest, found, why: Left::OfList });
    }
    Ok(())
}

/// Why something that hangs on a manifest was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nobody asked for it.
    NotAsked,
    /// It hangs on a list that is not copied, or not as it is.
    OfList,
}

/// Does `work`, and asks at the same time whether something hangs on the image that is left behind,
/// if that is to be mentioned. The copy does not depend on the answer, and does not wait for it.
pub(crate) async fn beside<T>(
    job: &Job<'_>,
    top: &RawManifest,
    work: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    if job.request.referrers != Referrers::Mention {
        return work.await;
    }
    let Ok(digest) = top.digest() else { return work.await };
    let glance = job.source.referrers(&digest, Look::Glance);
    let (done, found) = match future::select(Box::pin(work), glance).await {
        Either::Left((done, glance)) => {
            let found =
                if done.is_ok() { tokio::time::timeout(GLANCE, glance).await.ok() } else { None };
            (done, found)
        }
        Either::Right((found, work)) => (work.await, Some(found)),
    };
    match found {
        Some(Ok(Some(found))) if done.is_ok() && !found.is_empty() => {
            job.session.tell(Event::ReferrersLeft { digest, found, why: Left::NotAsked });
        }
        Some(Err(error)) => debug!("asking what hangs on {digest}: {error}"),
        _ => {}
    }
    done
}
