//! Which referrers of an image travel with it.
//!
//! A referrer is opaque: its manifest and blobs are copied as they are, under the admission of the
//! image that it refers to.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use skopeo_image::{Digest, Links, RawManifest, Which};
use skopeo_transport::{Referrer, ReferrerSearch};
use tracing::{debug, warn};

use crate::admit;
use crate::event::NotCopied;
use crate::job::Job;
use crate::request::Request;
use crate::selection::Referrers;
use crate::{Error, Event, ReferrersError, ReferrersEvent, SourceError};

/// How many referrers a copy may bring. More than anything has.
const MOST: usize = 10_000;

/// A referrer that is to be at the destination.
#[derive(Debug)]
pub(crate) struct ReferrerDecision {
    pub(crate) referrer: Referrer,
    /// Its manifest and what that names; `None` if it is there already.
    pub(crate) missing: Option<(RawManifest, Links)>,
    /// Its own referrers.
    pub(crate) referrers: Vec<Referrer>,
}

/// Returns whether any are to be copied.
pub(crate) fn are_copied(job: &Job<'_>) -> bool {
    matches!(job.request.referrers, Referrers::Copy(_))
}

/// Refuses to copy referrers to where an image can have none.
pub(super) fn require_place(job: &Job<'_>) -> Result<(), Error> {
    match job.destination.keeps_referrers() {
        Err(reason) if are_copied(job) => Err(Error::Referrers(ReferrersError::Unsupported {
            destination: job.destination.name().to_string(),
            reason,
        })),
        _ => Ok(()),
    }
}

/// Returns those referrers of the manifest of that digest that are to be copied.
pub(crate) async fn referrers_of(
    job: &Job<'_>,
    request: &Request,
    subject: &Digest,
) -> Result<Vec<Referrer>, Error> {
    let Referrers::Copy(selection) = &request.referrers else { return Ok(Vec::new()) };
    let listed = job.source.referrers(subject, ReferrerSearch::All).await;
    let mut listed = listed
        .map_err(|error| Error::Referrers(ReferrersError::List(error.into())))?
        .unwrap_or_default();
    if selection.is_all() {
        return Ok(listed);
    }
    for referrer in &mut listed {
        // Old lists do not say what they list.
        if referrer.artifact_type.is_empty() && referrer.found.tag(subject).is_none() {
            let manifest = fetch(job, subject, referrer).await?;
            referrer.artifact_type = links_of(job, &manifest)?.artifact_type;
        }
    }
    listed.retain(|referrer| selection.wants(&referrer.artifact_type, referrer.found));
    Ok(listed)
}

/// Decides about one referrer; `None` if nothing is to be done with it.
pub(crate) async fn decide_referrer(
    job: &Job<'_>,
    subject: &Digest,
    referrer: Referrer,
) -> Result<Option<ReferrerDecision>, Error> {
    if job.referrers.count.fetch_add(1, Ordering::Relaxed) >= MOST {
        return Err(Error::Referrers(ReferrersError::TooMany(MOST)));
    }
    let digest = referrer.blob.digest.clone();
    let has_tag = referrer.found.tag(subject).is_some();
    let there = job.destination.has_referrer(subject, &referrer).await;
    let missing = if there.map_err(|error| Error::Referrers(ReferrersError::Find(error.into())))? {
        None
    } else {
        let manifest = fetch(job, subject, &referrer).await?;
        let links = links_of(job, &manifest)?;
        let about = links.subject.as_ref().map(|subject| &subject.digest);
        if !has_tag && about != Some(subject) {
            // At the destination nobody who asks the registry would find it.
            warn!(
                "Ignoring {digest}, which is listed as a referrer of {subject} but does not refer \
                 to it"
            );
            return Ok(None);
        }
        Some((manifest, links))
    };
    // A tag is a name of its own, even of what refers to something else too.
    if !has_tag && !is_new(job, &digest) {
        return Ok(None);
    }
    let referrers = referrers_of(job, job.request, &digest).await?;
    if missing.is_none() {
        debug!("referrer {digest} is there already");
    }
    Ok(Some(ReferrerDecision { referrer, missing, referrers }))
}

fn is_new(job: &Job<'_>, digest: &Digest) -> bool {
    let mut seen = job.referrers.digests.lock().unwrap_or_else(PoisonError::into_inner);
    seen.insert(digest.clone())
}

/// Reads the manifest of a referrer, which is what its digest says whatever the source promises.
async fn fetch(job: &Job<'_>, subject: &Digest, referrer: &Referrer) -> Result<RawManifest, Error> {
    debug!("reading referrer {} of {subject}", referrer.blob.digest);
    admit::fetch(job, &Which::Instance(referrer.blob.digest.clone())).await
}

/// Returns what a manifest of the source names.
pub(crate) fn links_of(job: &Job<'_>, manifest: &RawManifest) -> Result<Links, Error> {
    let name = job.source.name();
    Links::parse(manifest)
        .map_err(|source| Error::Source(SourceError::Manifest { name: name.to_string(), source }))
}

/// Says which referrers has a list of which an image only is copied.
pub(super) async fn say_of_index(job: &Job<'_>, index: &RawManifest) -> Result<(), Error> {
    let digest = admit::digest_of(job, index)?;
    let found = referrers_of(job, job.request, &digest).await?;
    if !found.is_empty() {
        job.session.emit(Event::Referrers(ReferrersEvent::NotCopied {
            digest,
            found,
            why: NotCopied::OfIndex,
        }));
    }
    Ok(())
}
