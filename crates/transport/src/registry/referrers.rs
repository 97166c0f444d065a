//! The referrers of an image in a registry: what the registry lists, or the tag that stands in for
//! that, and cosign's tags beside it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{try_join, try_join_all};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use skopeo_image::manifest::oci::{Index, OciDescriptor};
use skopeo_image::number::wide;
use skopeo_image::{Descriptor, Digest, Links, MediaType, RawManifest, go_json};
use skopeo_registry::{ListedBy, Repository, referrers_tag};
use tokio::sync::OnceCell;

use super::DockerError;
use super::raw;
use crate::referrer::replaces;
use crate::{CosignTag, Error, FoundBy, PutManifestError, Referrer, ReferrerSearch};

/// How often a list that others write too is written, before who writes more often than we has won.
const TRIES: u32 = 8;

/// How long at least, in milliseconds, after writing such a list it is read again; up to twice as
/// long, and longer where the registry is slow: whoever read it before we wrote it has written it
/// by then.
const PAUSE: u64 = 30;

/// The longest such pause, in milliseconds.
const LONGEST_PAUSE: u64 = 2000;

/// How many such lists are written at once.
const AT_ONCE: usize = 4;

/// Returns the referrers of a manifest.
pub(super) async fn read(
    repository: &Repository,
    subject: &Digest,
    search: ReferrerSearch,
) -> Result<Vec<Referrer>, Error> {
    if search == ReferrerSearch::Listed {
        return listed(repository, subject).await;
    }
    let listed = async {
        match search {
            ReferrerSearch::Listed | ReferrerSearch::All => listed(repository, subject).await,
            ReferrerSearch::Any => any_listed(repository, subject).await,
        }
    };
    // Nobody's answer depends on another's, so that all take one round trip.
    let tags = try_join_all(CosignTag::ALL.into_iter().map(|tag| async move {
        let blob = tagged(repository, &tag.of(subject)).await?;
        Ok(blob.map(|blob| Referrer::tagged(blob, FoundBy::CosignTag(tag))))
    }));
    let (mut found, tags) = try_join(listed, tags).await?;
    found.extend(tags.into_iter().flatten());
    Ok(found)
}

/// The referrers that the registry lists; where it does not list any, the tag with their list.
async fn any_listed(repository: &Repository, subject: &Digest) -> Result<Vec<Referrer>, Error> {
    if let Some(all) = repository.referrers_by_api(subject).await? {
        return Ok(referrers(all, FoundBy::Api));
    }
    let list = tagged(repository, &referrers_tag(subject)).await?;
    Ok(list.map(|list| Referrer::tagged(list, FoundBy::FallbackTag)).into_iter().collect())
}

pub(super) async fn listed(
    repository: &Repository,
    subject: &Digest,
) -> Result<Vec<Referrer>, Error> {
    let Some(answer) = repository.referrers(subject).await? else { return Ok(Vec::new()) };
    let found = match answer.by {
        ListedBy::Api => FoundBy::Api,
        ListedBy::Tag => FoundBy::FallbackTag,
    };
    Ok(referrers(answer.listed, found))
}

fn referrers(listed: Vec<OciDescriptor>, found: FoundBy) -> Vec<Referrer> {
    listed.into_iter().map(|descriptor| Referrer::listed(descriptor, found)).collect()
}

/// What a tag leads to; `None` if there is no such tag.
pub(super) async fn tagged(
    repository: &Repository,
    tag: &str,
) -> Result<Option<Descriptor>, Error> {
    match repository.head_manifest(tag).await {
        Ok(head) => {
            if let Some(digest) = head.digest {
                let media_type = head.media_type.unwrap_or_default();
                return Ok(Some(Descriptor::new(media_type, digest, head.size)));
            }
        }
        Err(error) if error.status() == Some(404) => return Ok(None),
        // The answer to HEAD has no words. GET has, and some registries know only that.
        Err(error) if error.status().is_some() => tracing::debug!("HEAD: {error}"),
        Err(error) => return Err(error.into()),
    }
    let Some(manifest) = read_tag(repository, tag).await? else { return Ok(None) };
    let size = Some(wide(manifest.bytes.len()));
    Ok(Some(Descriptor::new(manifest.media_type.clone(), manifest.digest()?, size)))
}

pub(super) async fn read_tag(
    repository: &Repository,
    tag: &str,
) -> Result<Option<RawManifest>, Error> {
    match repository.manifest(tag).await {
        Ok(fetched) => Ok(Some(raw(fetched.manifest))),
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes the referrers of the images of a repository.
#[derive(Debug, Default)]
pub(super) struct ReferrerWriter {
    /// What was listed when it was asked for first.
    known: Mutex<HashMap<Digest, Arc<OnceCell<BTreeSet<Digest>>>>>,
    /// What is still to be added to the lists under tags, by its subject.
    pending: Mutex<HashMap<Digest, Vec<OciDescriptor>>>,
}

impl ReferrerWriter {
    /// Whether a referrer is there and can be found.
    pub(super) async fn has(
        &self,
        repository: &Repository,
        subject: &Digest,
        referrer: &Referrer,
    ) -> Result<bool, Error> {
        let digest = &referrer.blob.digest;
        if let Some(tag) = referrer.found.tag(subject) {
            let there = tagged(repository, &tag).await?;
            return Ok(there.is_some_and(|there| there.digest == *digest));
        }
        let known = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(subject.clone()).or_default().clone()
        };
        let known = known
            .get_or_try_init(|| async {
                let found = listed(repository, subject).await?;
                Ok::<_, Error>(found.into_iter().map(|found| found.blob.digest).collect())
            })
            .await?;
        // A list under a tag may name what was deleted long ago.
        Ok(known.contains(digest) && tagged(repository, digest.as_str()).await?.is_some())
    }

    /// Writes a referrer. Where the registry does not list it, it waits for
    /// [`finish`](Self::finish).
    pub(super) async fn put(
        &self,
        repository: &Repository,
        subject: &Digest,
        referrer: &Referrer,
        manifest: &RawManifest,
    ) -> Result<(), PutManifestError> {
        let digest = manifest.digest().map_err(Error::from)?;
        let links = Links::parse(manifest).map_err(Error::from)?;
        if let Some(tag) = referrer.found.tag(subject) {
            if let Some(there) = read_tag(repository, &tag).await?
                && !replaces(&links, &there, &tag)?
            {
                return Ok(());
            }
            super::destination::put(repository, &tag, manifest).await?;
            return Ok(());
        }
        let listed_for = super::destination::put(repository, digest.as_str(), manifest).await?;
        if listed_for.is_none() && links.subject.is_some() {
            let descriptor = links.describe(manifest).map_err(Error::from)?;
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.entry(subject.clone()).or_default().push(descriptor);
        }
        Ok(())
    }

    /// Adds what waits for it to the lists under tags.
    pub(super) async fn finish(&self, repository: &Repository) -> Result<(), Error> {
        let pending = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *pending)
        };
        let lists: Vec<_> = pending
            .iter()
            .map(|(subject, ours)| add(repository, referrers_tag(subject), ours))
            .collect();
        stream::iter(lists).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        Ok(())
    }
}

/// Adds to the list under a tag. Nothing keeps others from writing it at the same time, so it is
/// read again afterwards, and written again if something of ours is gone.
async fn add(repository: &Repository, tag: String, ours: &[OciDescriptor]) -> Result<(), Error> {
    for _ in 0..TRIES {
        let begun = Instant::now();
        let mut index = match read_tag(repository, &tag).await? {
            Some(there) => Index::parse(&there.bytes)?,
            None => Index::new(Vec::new()),
        };
        let listed: BTreeSet<Digest> =
            index.manifests.iter().map(|it| it.blob.digest.clone()).collect();
        let missing = ours.iter().filter(|it| !listed.contains(&it.blob.digest));
        let missing: Vec<_> = missing.cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        index.manifests.extend(missing);
        let bytes = go_json::to_vec(&index)?;
        let manifest = RawManifest { media_type: MediaType::OCI_INDEX, bytes: bytes.into() };
        repository.put_manifest(&tag, &manifest).await?;
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(LONGEST_PAUSE);
        let pause = took.saturating_mul(2).clamp(PAUSE, LONGEST_PAUSE);
        let range = pause..pause.saturating_mul(2);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(range))).await;
    }
    Err(DockerError::ReferrersTag { tag, tries: TRIES }.into())
}
