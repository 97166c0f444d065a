//! The way through a decision: lists with what they name, and referrers.
//!
//! Who carries a decision out and who estimates it go this way alike; what they do at each step is
//! theirs.

use std::collections::HashSet;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use skopeo_image::{Descriptor, Digest, Links, Manifest, RawManifest, Which};
use skopeo_transport::Referrer;

use crate::admit;
use crate::decide::{
    self, Entry, ImageDecision, IndexDecision, ReferrerDecision, links_of, referrers_of,
};
use crate::event::BlobKind;
use crate::job::Job;
use crate::plan::InstancePlan;
use crate::request::Lists;
use crate::{Error, Event, IndexEvent, ReferrersError, ReferrersEvent};

/// Signatures of lists of parts of images: three steps are seen in the field.
const DEEPEST: usize = 8;

/// What will be known of an entry of an index, with its position; nothing of a blob.
type VisitedEntry<'a, T> = BoxFuture<'a, Result<Option<(usize, T)>, Error>>;

/// Who is led through a decision.
pub(crate) trait Visitor: Sync {
    /// What is known of a manifest once it has been visited.
    type Written: Send;

    fn job(&self) -> &Job<'_>;

    /// Visits an image. It has to visit the image's [`referrers`] itself.
    fn image(
        &self,
        image: ImageDecision,
    ) -> impl Future<Output = Result<Self::Written, Error>> + Send;

    /// Visits an index whose entries, by their positions, and referrers have been visited.
    fn index(
        &self,
        index: &IndexDecision,
        entries: Vec<(usize, Self::Written)>,
    ) -> impl Future<Output = Result<Self::Written, Error>> + Send;

    /// Visits a blob that an index or a referrer names.
    fn blob(
        &self,
        blob: &Descriptor,
        kind: BlobKind,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Visits a manifest that a referrer names, and all that it names itself has been visited.
    fn linked(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Visits the manifest of a referrer; all that it names and all its referrers have been visited.
    fn referrer(
        &self,
        subject: &Digest,
        referrer: &Referrer,
        manifest: &RawManifest,
        links: &Links,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Leads through an index. Its entries are visited a few at a time, and those that are copied once more
/// after all others, so that what both bring comes with the image that has it.
pub(crate) fn index<V: Visitor>(
    visitor: &V,
    index: IndexDecision,
) -> BoxFuture<'_, Result<V::Written, Error>> {
    Box::pin(async move {
        let job = visitor.job();
        let of = index.plan.instances.len();
        job.session.emit(Event::Index(IndexEvent::CopyingImages {
            copied: of,
            listed: index.plan.listed,
        }));
        decide::admit_index(job, &index).await?;
        let mut entries: Vec<(usize, V::Written)> = Vec::new();
        for are_variants in [false, true] {
            let visits: Vec<VisitedEntry<'_, V::Written>> =
                (index.plan.instances.iter().enumerate())
                    .filter(|(_, plan)| plan.variant.is_some() == are_variants)
                    .map(|(at, plan)| entry(visitor, plan, (at, of), index.depth).boxed())
                    .collect();
            let visits = stream::iter(visits).buffer_unordered(job.scheduler.at_once());
            let visited: Vec<_> = visits.try_collect().await?;
            entries.extend(visited.into_iter().flatten());
        }
        entries.sort_unstable_by_key(|(at, _)| *at);
        referrers(visitor, &index.digest, index.referrers.clone()).await?;
        visitor.index(&index, entries).await
    })
}

/// Leads through one entry of an index; of a blob nothing is known.
async fn entry<V: Visitor>(
    visitor: &V,
    plan: &InstancePlan,
    (at, of): (usize, usize),
    depth: usize,
) -> Result<Option<(usize, V::Written)>, Error> {
    let job = visitor.job();
    let number = at.saturating_add(1);
    let of_index = |source| Error::OfIndex { at: number, of, source: Box::new(source) };
    let manifest = decide::read_entry(job, plan).await.map_err(of_index)?;
    let (is_manifest, is_variant) = (manifest.is_some(), plan.variant.is_some());
    if is_manifest {
        let digest = plan.digest.clone();
        job.session.emit(match is_variant {
            true => Event::Index(IndexEvent::ReplicatingImage { digest, at: number, of }),
            false => Event::Index(IndexEvent::CopyingImage { digest, at: number, of }),
        });
    }
    let visited = async {
        Ok(match decide::decide_entry(job, plan, manifest, depth).await? {
            Entry::Blob(blob) => {
                visitor.blob(&blob, BlobKind::Layer).await?;
                None
            }
            Entry::Image(image) => Some((at, visitor.image(*image).await?)),
            Entry::Index(nested) => Some((at, index(visitor, *nested).await?)),
        })
    };
    visited.await.map_err(|source| match is_manifest && is_variant {
        true => Error::Replicating { at: number, of, source: Box::new(source) },
        false => of_index(source),
    })
}

/// Leads through the referrers of an image that is at the destination already, and of its
/// instances.
pub(crate) async fn present<V: Visitor>(visitor: &V, digest: &Digest) -> Result<(), Error> {
    let job = visitor.job();
    if !decide::are_copied(job) {
        return Ok(());
    }
    let mut top = None;
    if job.request.lists == Lists::All {
        top = Some(admit::fetch(job, &Which::Instance(digest.clone())).await?);
    }
    let mut waiting = vec![(digest.clone(), top)];
    let mut seen = HashSet::new();
    while let Some((digest, manifest)) = waiting.pop() {
        if !seen.insert(digest.clone()) {
            continue;
        }
        let found = referrers_of(job, job.request, &digest).await?;
        referrers(visitor, &digest, found).await?;
        let Some(manifest) = manifest else { continue };
        let Ok(Manifest::Index(index)) = manifest.parse() else { continue };
        for instance in index.instances() {
            let digest = instance.descriptor.digest;
            let manifest = if instance.descriptor.media_type.is_index() {
                Some(admit::fetch(job, &Which::Instance(digest.clone())).await?)
            } else {
                None
            };
            waiting.push((digest, manifest));
        }
    }
    Ok(())
}

/// Leads through referrers of a manifest, with their own referrers.
pub(crate) async fn referrers<V: Visitor>(
    visitor: &V,
    subject: &Digest,
    referrers: Vec<Referrer>,
) -> Result<(), Error> {
    referrers_at(visitor, subject.clone(), referrers, 0).await
}

fn referrers_at<V: Visitor>(
    visitor: &V,
    subject: Digest,
    referrers: Vec<Referrer>,
    depth: usize,
) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(async move {
        if depth >= DEEPEST && !referrers.is_empty() {
            return Err(Error::Referrers(ReferrersError::TooDeep(subject)));
        }
        let subject = &subject;
        let work: Vec<BoxFuture<'_, Result<(), Error>>> = referrers
            .into_iter()
            .map(|one| {
                let work = async move {
                    let digest = one.blob.digest.clone();
                    referrer(visitor, subject, one, depth).await.map_err(|source| {
                        let (subject, source) = (subject.clone(), Box::new(source));
                        Error::Referrers(ReferrersError::Copy { digest, subject, source })
                    })
                };
                work.boxed()
            })
            .collect();
        let at_once = visitor.job().scheduler.at_once();
        stream::iter(work).buffer_unordered(at_once).try_collect::<Vec<()>>().await?;
        Ok(())
    })
}

async fn referrer<V: Visitor>(
    visitor: &V,
    subject: &Digest,
    referrer: Referrer,
    depth: usize,
) -> Result<(), Error> {
    let job = visitor.job();
    let decided = decide::decide_referrer(job, subject, referrer).await?;
    let Some(ReferrerDecision { referrer, missing, referrers }) = decided else { return Ok(()) };
    let digest = referrer.blob.digest.clone();
    referrers_at(visitor, digest.clone(), referrers, depth.saturating_add(1)).await?;
    let Some((manifest, links)) = missing else { return Ok(()) };
    job.session.emit(Event::Referrers(ReferrersEvent::Copying {
        digest,
        subject: subject.clone(),
        artifact_type: links.artifact_type.clone(),
    }));
    linked(visitor, &links, 0).await?;
    visitor.referrer(subject, &referrer, &manifest, &links).await
}

/// Leads through what a manifest names: blobs, and for an index the manifests in it.
fn linked<'a, V: Visitor>(
    visitor: &'a V,
    links: &'a Links,
    depth: usize,
) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(async move {
        let job = visitor.job();
        let mut work: Vec<BoxFuture<'_, Result<(), Error>>> = Vec::new();
        for (at, blob) in links.blobs.iter().enumerate() {
            let kind = if at == 0 { BlobKind::Config } else { BlobKind::Layer };
            if blob.urls.is_empty() || !job.destination.accepts().foreign_layers {
                work.push(visitor.blob(blob, kind).boxed());
            }
        }
        for child in &links.manifests {
            if child.media_type.is_blob() {
                work.push(visitor.blob(child, BlobKind::Layer).boxed());
                continue;
            }
            work.push(Box::pin(async move {
                if depth >= DEEPEST {
                    return Err(Error::Referrers(ReferrersError::TooDeep(child.digest.clone())));
                }
                let which = Which::Instance(child.digest.clone());
                let manifest = admit::fetch(job, &which).await?;
                linked(visitor, &links_of(job, &manifest)?, depth.saturating_add(1)).await?;
                visitor.linked(&manifest, &which).await
            }));
        }
        let at_once = job.scheduler.at_once();
        stream::iter(work).buffer_unordered(at_once).try_collect::<Vec<()>>().await?;
        Ok(())
    })
}
