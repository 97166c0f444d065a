//! Deletions in a plan: exact digests, and what it takes to judge them again.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use skopeo_image::Digest;
use skopeo_sync::destination::Place;
use skopeo_sync::prune::rules::{Rules, Writer, parted};
use skopeo_transport::ImageName;
use tracing::{debug, info, warn};

use super::super::goals::{Image, Places};
use super::super::within::{self, is_inside};
use super::{Judged, Mirror};

/// How deletions were judged, so that they can be once more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Mirroring {
    /// `--max-delete`.
    pub(crate) max_delete: Option<String>,
    /// `--protect`.
    pub(crate) protect: Vec<String>,
    /// Of what something may be deleted.
    repositories: Vec<Repository>,
}

/// A repository at a destination, and how tags are named there.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Repository {
    place: String,
    repository: String,
    tags: Vec<Around>,
}

/// What stands around the source's tags.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Around {
    before: String,
    after: String,
}

/// What a plan deletes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletions(BTreeMap<String, Digest>);

/// One image that a plan deletes.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Deletion {
    image: String,
    digest: Digest,
    #[expect(dead_code, reason = "a deletion without a place is of an older plan")]
    place: String,
}

impl Mirroring {
    /// The rules of the plan, with those of this run: `--protect` of both counts, and `--max-delete`
    /// of this run if it has one.
    ///
    /// # Errors
    /// If the plan has what are no rules.
    pub(crate) fn rules(&self, given: &Rules) -> Result<Rules> {
        let mut rules = given.clone();
        for regex in &self.protect {
            rules.protect(regex).context("--protect of the plan")?;
        }
        if rules.most.is_none()
            && let Some(most) = &self.max_delete
        {
            let most = most.parse().map_err(anyhow::Error::msg);
            rules.most = Some(most.context("--max-delete of the plan")?);
        }
        Ok(rules)
    }
}

impl Mirror {
    /// What it takes to judge again.
    pub(crate) fn recorded(&self, places: &Places, rules: &Rules) -> Mirroring {
        let around = |writer: &Writer| match writer {
            Writer::Whole { before, after } => {
                Some(Around { before: before.clone(), after: after.clone() })
            }
            // Then the run fails, and its plan is not executed.
            Writer::Unsure(_) => None,
        };
        let repositories = self.0.iter().map(|((number, repository), shelf)| Repository {
            place: places.collections()[*number].0.to_string(),
            repository: repository.clone(),
            tags: shelf.writers.iter().filter_map(around).collect(),
        });
        Mirroring {
            max_delete: rules.most.map(|most| most.to_string()),
            protect: rules.protected().map(str::to_owned).collect(),
            repositories: repositories.filter(|it| !it.tags.is_empty()).collect(),
        }
    }

    /// The mirror that a plan is of, which writes these images.
    ///
    /// # Errors
    /// If a repository is outside of the places of the plan.
    pub(crate) fn planned(plan: &Mirroring, places: &Places, images: &[Image]) -> Result<Self> {
        let mut this = Self(BTreeMap::new());
        for Repository { place, repository, tags } in &plan.repositories {
            let parsed: Place = place.parse()?;
            let Some(number) = places.number(&parsed) else {
                bail!("{place} is none of the places of the plan");
            };
            if !is_inside(repository) {
                bail!("{repository:?} leads out of {place}");
            }
            let shelf = this.shelf(number, repository);
            shelf.writers.extend(tags.iter().map(|Around { before, after }| Writer::Whole {
                before: before.clone(),
                after: after.clone(),
            }));
        }
        for image in images {
            let label = within::label(&image.place, &image.to);
            let label = label.as_deref().and_then(parted);
            if let (Some((repository, tag)), Some(number)) = (label, places.number(&image.place))
                && let Some(shelf) = this.0.get_mut(&(number, repository.to_owned()))
            {
                shelf.wanted.insert(tag.to_owned());
            }
        }
        Ok(this)
    }
}

impl Deletions {
    /// # Errors
    /// If the plan deletes what it writes.
    pub(crate) fn new(deletions: Vec<Deletion>, images: &[Image]) -> Result<Self> {
        let all: BTreeMap<_, _> =
            deletions.into_iter().map(|Deletion { image, digest, .. }| (image, digest)).collect();
        if let Some(both) = images.iter().find(|image| all.contains_key(&image.to.to_string())) {
            bail!("{} is both written and deleted", both.to);
        }
        Ok(Self(all))
    }

    /// The digest of the image that is to go under a name.
    pub(super) fn digest(&self, name: &ImageName) -> Option<&Digest> {
        self.0.get(&name.to_string())
    }

    /// Leaves of what would go only what was planned, and says what of that does not.
    ///
    /// # Errors
    /// If an image can have no name.
    pub(super) fn narrow(&self, judged: &mut [Judged<'_>]) -> Result<()> {
        let mut known: HashSet<String> = HashSet::new();
        for judged in judged.iter_mut() {
            let mut left = Vec::new();
            for tag in std::mem::take(&mut judged.verdict.doomed) {
                let name = judged.name(&tag.name)?;
                match self.digest(&name) {
                    Some(_) => left.push(tag),
                    None => debug!("{name} stays: the plan does not delete it"),
                }
                known.insert(name.to_string());
            }
            judged.verdict.doomed = left;
            for (tag, why) in &judged.verdict.kept {
                let name = judged.name(tag)?;
                if self.digest(&name).is_some() {
                    warn!("{name} stays although the plan deletes it: {why}");
                }
                known.insert(name.to_string());
            }
        }
        for name in self.0.keys().filter(|name| !known.contains(*name)) {
            info!(
                "{} is not there any more, so the plan has nothing to delete",
                name.escape_debug()
            );
        }
        Ok(())
    }
}
