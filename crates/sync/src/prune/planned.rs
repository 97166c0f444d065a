//! Deletions of a plan, evaluated once more.

use std::collections::{BTreeMap, HashSet};

use tracing::{debug, info, warn};

use super::rules::{Rules, Writer, parted};
use super::{Evaluated, Mirror};
use crate::destination::Target;
use crate::plan::{Around, Deletions, Mirroring, Repository};
use crate::task::{SyncTask, Targets};
use crate::within::{self, is_inside};
use crate::{Context as _, Error, Result};

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
            let most = most.parse().map_err(|error: String| Error::refused(error));
            rules.most = Some(most.context("--max-delete of the plan")?);
        }
        Ok(rules)
    }
}

impl Mirror {
    /// What it takes to evaluate again.
    pub(crate) fn recorded(&self, places: &Targets, rules: &Rules) -> Mirroring {
        let around = |writer: &Writer| match writer {
            Writer::Whole { before, after } => {
                Some(Around { before: before.clone(), after: after.clone() })
            }
            // Then the run fails, and its plan is not executed.
            Writer::Unsure(_) => None,
        };
        let repositories = self.0.iter().filter_map(|((number, repository), repository_tags)| {
            Some(Repository {
                place: places.collections().get(*number)?.0.to_string(),
                repository: repository.clone(),
                tags: repository_tags.writers.iter().filter_map(around).collect(),
            })
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
    pub(crate) fn planned(plan: &Mirroring, places: &Targets, images: &[SyncTask]) -> Result<Self> {
        let mut this = Self(BTreeMap::new());
        for Repository { place, repository, tags } in &plan.repositories {
            let parsed: Target = place.parse()?;
            let Some(number) = places.number(&parsed) else {
                return Err(Error::refused(format!(
                    "{place} is not one of the places of the plan"
                )));
            };
            if !is_inside(repository) {
                return Err(Error::refused(format!("{repository:?} leads out of {place}")));
            }
            let repository_tags = this.repository_tags(number, repository);
            repository_tags.writers.extend(tags.iter().map(|Around { before, after }| {
                Writer::Whole { before: before.clone(), after: after.clone() }
            }));
        }
        for image in images {
            let label = within::label(&image.place, &image.to);
            let label = label.as_deref().and_then(parted);
            if let (Some((repository, tag)), Some(number)) = (label, places.number(&image.place))
                && let Some(repository_tags) = this.0.get_mut(&(number, repository.to_owned()))
            {
                repository_tags.wanted.insert(tag.to_owned());
            }
        }
        Ok(this)
    }
}

impl Deletions {
    /// Keeps of the surplus only what was planned, and says what of the plan is not in it.
    ///
    /// # Errors
    /// If an image can have no name.
    pub(super) fn narrow(&self, evaluated: &mut [Evaluated<'_>]) -> Result<()> {
        let mut known: HashSet<String> = HashSet::new();
        for evaluated in evaluated.iter_mut() {
            let mut left = Vec::new();
            for tag in std::mem::take(&mut evaluated.verdict.surplus) {
                let name = evaluated.name(&tag.name)?;
                match self.digest(&name) {
                    Some(_) => left.push(tag),
                    None => debug!("{name} stays: the plan does not delete it"),
                }
                known.insert(name.to_string());
            }
            evaluated.verdict.surplus = left;
            for (tag, why) in &evaluated.verdict.kept {
                let name = evaluated.name(tag)?;
                if self.digest(&name).is_some() {
                    warn!("{name} stays although the plan deletes it: {why}");
                }
                known.insert(name.to_string());
            }
        }
        for name in self.names().filter(|name| !known.contains(*name)) {
            info!(
                "{} is not there any more, so the plan has nothing to delete",
                name.escape_debug()
            );
        }
        Ok(())
    }
}
