//! What goes: said, or deleted, and what stays is looked for after that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use skopeo_copy::Retry;
use skopeo_image::go::quote;
use skopeo_image::{Classify as _, Digest, ErrorClass};
use skopeo_transport::{Collection, CollectionKind, ImageName};
use tracing::{debug, error, info, warn};

use super::{AT_ONCE, Evaluated};
use crate::observer::SyncEvent;
use crate::outcomes::Outcomes;
use crate::plan::Deletions;
use crate::report::{Deletion, DeletionOutcome};
use crate::{Context as _, Error, Result, retry};

/// What is to go.
#[derive(Default)]
pub(crate) struct Surplus {
    images: Vec<SurplusImage>,
    /// The repositories that it goes from.
    repositories: Vec<RemainingTags>,
    /// How many repositories nothing goes of, and images do not go, as too little is known; it has
    /// been said of each.
    refused: usize,
}

/// An image that is to go.
struct SurplusImage {
    /// The number of its repository.
    repository_tags: usize,
    name: ImageName,
    digest: Digest,
}

/// A repository of which something goes, with what stays.
struct RemainingTags {
    collection: Arc<dyn Collection>,
    place: String,
    is_registry: bool,
    repository: String,
    /// By tag, with what it leads to where that is known.
    tags: BTreeMap<String, Option<Digest>>,
    wanted: HashSet<String>,
}

impl Surplus {
    /// Adds what goes of a repository.
    ///
    /// # Errors
    /// If one of its images can have no name.
    pub(super) async fn add(
        &mut self,
        evaluated: Evaluated<'_>,
        planned: Option<&Deletions>,
        retry: Retry,
    ) -> Result<()> {
        let (repository, place) = (&evaluated.repository_tags.repository, evaluated.place);
        if !evaluated.verdict.unsure.is_empty() {
            let why = evaluated.verdict.unsure.join("; ");
            error!("Not deleting anything of {repository} in {place}: {why}");
            self.refused = self.refused.saturating_add(1);
        }
        for (tag, why) in &evaluated.verdict.kept {
            debug!("{repository}:{tag} in {place} stays: {why}");
        }
        let repository_tags = self.repositories.len();
        let surplus: HashSet<&str> =
            evaluated.verdict.surplus.iter().map(|tag| tag.name.as_str()).collect();
        let asked = evaluated.verdict.surplus.iter().map(async |tag| {
            let name = evaluated.name(&tag.name)?;
            let digest = match &tag.digest {
                Some(digest) => Ok(Some(digest.clone())),
                None => {
                    let ask = async || Ok(evaluated.collection.digest(&name).await?);
                    retry::with(retry, ask).await
                }
            };
            Ok::<_, Error>((name, digest))
        });
        let asked: Vec<_> = asked.collect();
        let asked: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
        for asked in asked {
            let (name, digest) = asked?;
            let digest = match digest {
                Ok(digest) => digest.context("its digest is not known"),
                Err(failure) if failure.class() == Some(ErrorClass::NotFound) => {
                    debug!("{name} has gone meanwhile");
                    continue;
                }
                Err(failure) => Err(failure),
            };
            let wanted = planned.and_then(|planned| planned.digest(&name));
            match (digest, wanted) {
                (Err(failure), _) => {
                    error!("Not deleting {name}: {}", failure.sentence());
                    self.refused = self.refused.saturating_add(1);
                }
                (Ok(digest), Some(wanted)) if digest != *wanted => {
                    error!(
                        "Not deleting {name}: it has moved since it was planned, from {wanted} to \
                         {digest}"
                    );
                    self.refused = self.refused.saturating_add(1);
                }
                (Ok(digest), _) => self.images.push(SurplusImage { repository_tags, name, digest }),
            }
        }
        let has = evaluated.repository_tags.has.iter();
        let stays = has.filter(|tag| !surplus.contains(tag.name.as_str()));
        self.repositories.push(RemainingTags {
            collection: Arc::clone(evaluated.collection),
            place: place.to_string(),
            is_registry: place.kind == CollectionKind::Docker,
            repository: repository.clone(),
            tags: stays.map(|tag| (tag.name.clone(), tag.digest.clone())).collect(),
            wanted: evaluated.repository_tags.wanted.iter().cloned().collect(),
        });
        Ok(())
    }

    /// Returns the names of what would be deleted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ImageName> {
        self.images.iter().map(|excess| &excess.name)
    }

    /// Deletes it, or says in a dry run that it would be. Gives back how much of that failed.
    pub(crate) async fn end(
        self,
        dry_run: bool,
        failed: usize,
        outcomes: &Outcomes,
        retry: Retry,
    ) -> usize {
        match dry_run {
            true => self.preview(outcomes),
            false => self.delete(failed, retry, outcomes).await,
        }
    }

    /// Says what would be deleted. Returns of how many repositories nothing would be.
    fn preview(&self, outcomes: &Outcomes) -> usize {
        for SurplusImage { repository_tags, name, digest } in &self.images {
            info!(image = name.to_string(), "Would have deleted image");
            let Some(RemainingTags { place, .. }) = self.repositories.get(*repository_tags) else {
                continue;
            };
            outcomes.would_delete(place, name, digest.clone());
            report(outcomes, place, name, digest, DeletionOutcome::WouldDelete);
        }
        info!("Would have deleted {} images", self.images.len());
        self.refused
    }

    /// Deletes it, one after the other: what fails does not stop the others. Gives back how many
    /// failed, of how many repositories nothing was deleted, and how much is missing that should
    /// have stayed.
    async fn delete(self, failed: usize, retry: Retry, outcomes: &Outcomes) -> usize {
        if failed > 0 {
            error!("Not deleting anything: not all images could be copied");
            return self.refused;
        }
        let (all, mut failed) = (self.images.len(), 0_usize);
        let mut tried: BTreeMap<usize, HashSet<Digest>> = BTreeMap::new();
        for SurplusImage { repository_tags, name, digest } in self.images {
            info!(image = name.to_string(), "Deleting image");
            tried.entry(repository_tags).or_default().insert(digest.clone());
            let Some(RemainingTags { collection, place, .. }) =
                self.repositories.get(repository_tags)
            else {
                continue;
            };
            let removed = remove(&**collection, &name, &digest, retry).await;
            outcomes.deleted(place, &name, digest.clone(), removed.as_ref().map(|_| ()));
            let outcome = match removed {
                Ok(left) => {
                    if !left.is_empty() {
                        warn!(
                            "{name} is deleted, but its folder stays, as there is more in it: {}",
                            quote(&left.join(", "))
                        );
                    }
                    DeletionOutcome::Deleted
                }
                Err(failure) => {
                    let reason = failure.sentence();
                    error!(error = reason, "Error deleting {}", quote(&name.to_string()));
                    failed = failed.saturating_add(1);
                    DeletionOutcome::Failed(reason)
                }
            };
            report(outcomes, place, &name, &digest, outcome);
        }
        info!("Deleted {} images", all.saturating_sub(failed));
        let written = outcomes.digests();
        for (repository_tags, gone) in tried {
            if let Some(staying) = self.repositories.get(repository_tags) {
                let missing = staying.look(&gone, &written, retry, outcomes).await;
                failed = failed.saturating_add(missing);
            }
        }
        failed.saturating_add(self.refused)
    }
}

/// Removes an image. If another try finds that it is gone, the one before did it.
async fn remove(
    collection: &dyn Collection,
    name: &ImageName,
    digest: &Digest,
    retry: Retry,
) -> Result<Vec<String>> {
    let mut tries = 0_usize;
    retry::with(retry, async || {
        tries = tries.saturating_add(1);
        match collection.remove(name, digest).await.map_err(Error::from) {
            Err(failure) if tries > 1 && failure.class() == Some(ErrorClass::NotFound) => {
                Ok(Vec::new())
            }
            removed => removed,
        }
    })
    .await
}

impl RemainingTags {
    /// Looks whether everything that was to stay is there: a registry may have taken more than it
    /// was asked to. What is missing is put back. Gives back how much is not there, or not known to
    /// be.
    async fn look(
        &self,
        gone: &HashSet<Digest>,
        written: &HashMap<String, Digest>,
        retry: Retry,
        outcomes: &Outcomes,
    ) -> usize {
        // A folder or a layout loses what it is asked to, and no more.
        if !self.is_registry {
            return 0;
        }
        let Self { collection, place, repository, .. } = self;
        let listed = async || Ok(collection.tags(repository).await?);
        let listed: HashSet<String> = match retry::with(retry, listed).await {
            Ok(listed) => listed.into_iter().collect(),
            Err(failure) => {
                error!(
                    "It is not known whether all images of {repository} in {place} are still there: {}",
                    failure.sentence()
                );
                return 1;
            }
        };
        let mut doubtful = Vec::new();
        for tag in
            self.tags.keys().chain(self.wanted.iter().filter(|tag| !self.tags.contains_key(*tag)))
        {
            let Ok(name) = collection.name(&format!("{repository}:{tag}")) else { continue };
            let digest = written.get(&name.to_string()).or_else(|| self.tags.get(tag)?.as_ref());
            let is_wanted = self.wanted.contains(tag);
            let may_be_gone = digest.map_or(is_wanted, |digest| gone.contains(digest));
            if may_be_gone || !listed.contains(tag) {
                doubtful.push((name, digest));
            }
        }
        let asked = doubtful.into_iter().map(async |(name, digest)| {
            let there = retry::with(retry, async || self.ensure(&name, digest).await).await;
            (name, digest, there)
        });
        let asked: Vec<_> = asked.collect();
        let mut missing = 0_usize;
        let mut asked = stream::iter(asked).buffered(AT_ONCE);
        while let Some((name, digest, there)) = asked.next().await {
            match there {
                Ok(false) => {}
                Ok(true) => {
                    warn!("{name} went with a tag that was deleted, and has been put back");
                }
                Err(failure) => {
                    let failure = failure.step(format!("{name} must stay"));
                    error!("{}", failure.sentence());
                    outcomes.lost(place, &name, digest.cloned(), &failure);
                    missing = missing.saturating_add(1);
                }
            }
        }
        missing
    }

    /// Puts an image back if it is missing, and gives back whether it was.
    async fn ensure(&self, name: &ImageName, digest: Option<&Digest>) -> Result<bool> {
        match self.collection.digest(name).await {
            Ok(_) => return Ok(false),
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                return Err(Error::from(error).step("it is not known whether it is there"));
            }
        }
        match digest {
            Some(digest) => {
                let given = self.collection.give_back(name, digest).await;
                given.context("it went with a tag that was deleted, and cannot be put back")
            }
            None => Err(Error::refused("it is gone, and its digest is not known")),
        }
    }
}

fn report(
    outcomes: &Outcomes,
    place: &str,
    name: &ImageName,
    digest: &Digest,
    outcome: DeletionOutcome,
) {
    let (name, digest, place) = (name.clone(), digest.clone(), place.to_owned());
    outcomes.observe(&SyncEvent::Deleted(&Deletion { name, digest, place, outcome }));
}
