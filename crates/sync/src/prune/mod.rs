//! What an exact mirror deletes: what the destinations have and the selection has not.
//!
//! `rules` decides, `deletion` deletes, `planned` keeps it in a plan.

mod deletion;
mod planned;
pub mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use skopeo_copy::Retry;
use skopeo_image::{Classify as _, Reference};
use skopeo_transport::{Collection, CollectionKind, ImageName};
use tracing::warn;

use crate::destination::{NamedTarget, Target};
use crate::found::{Finding, Group, Origin, What};
use crate::plan::Deletions;
use crate::task::Targets;
use crate::{Error, Result, retry};
use rules::{RepositoryTags, Rules, Tag, Verdict, Writer, parted, subject};

pub(crate) use deletion::Surplus;

/// A tag by which it shows how tags are named at a destination.
const PROBE: &str = "skopeo-probe-of-tag";

/// How many tags are asked about at once.
const AT_ONCE: usize = 8;

/// What a run writes, by place and repository.
pub(crate) struct Mirror(BTreeMap<(usize, String), RepositoryTags>);

impl Mirror {
    /// # Errors
    /// If nothing can be deleted in one of the places, or an image can have no name there.
    pub(crate) fn new(found: &Finding, places: &Targets) -> Result<Self> {
        for (place, _) in places.collections() {
            if !matches!(
                place.kind,
                CollectionKind::Docker
                    | CollectionKind::Dir
                    | CollectionKind::Oci
                    | CollectionKind::Storage
            ) {
                return Err(Error::refused(format!(
                    "--delete: images cannot be removed from {place}: write a new archive"
                )));
            }
        }
        let mut this = Self(BTreeMap::new());
        let mut unclear: BTreeMap<usize, BTreeSet<Writer>> = BTreeMap::new();
        for group in &found.groups {
            for target in &group.spec.targets {
                if let Some(number) = places.number(&target.place) {
                    this.note(group, target, number)?;
                }
            }
        }
        for (wanted, why) in &found.missing {
            for target in &wanted.spec.targets {
                let Some(number) = places.number(&target.place) else { continue };
                let (name, probe) = match &wanted.what {
                    What::Repository(repository, _) => {
                        (repository.name.to_string(), probe(&Origin::Reference(repository.clone())))
                    }
                    What::Collection(place, _) => (place.to_string(), None),
                };
                let unsure = Writer::Unsure(format!("{name}: {why}"));
                let label =
                    probe.map(|probe| target.naming.label(probe.named(), target.place.kind));
                match label.transpose()?.as_deref().and_then(parted) {
                    Some((repository, _)) => {
                        this.repository_tags(number, repository).writers.insert(unsure);
                    }
                    // It could be any of them.
                    None => _ = unclear.entry(number).or_default().insert(unsure),
                }
            }
        }
        if found.unnamed > 0 {
            let unsure = Writer::Unsure("not all that is meant could be read".to_owned());
            for number in 0..places.collections().len() {
                unclear.entry(number).or_default().insert(unsure.clone());
            }
        }
        for ((number, _), repository_tags) in &mut this.0 {
            repository_tags.writers.extend(unclear.get(number).into_iter().flatten().cloned());
        }
        Ok(this)
    }

    fn note(&mut self, group: &Group, target: &NamedTarget, number: usize) -> Result<()> {
        let mut sources = BTreeSet::new();
        for image in &group.images {
            let label = target.naming.label(image.origin.named(), target.place.kind)?;
            if let Some((repository, tag)) = parted(&label) {
                self.repository_tags(number, repository).wanted.insert(tag.to_owned());
            }
            // Of tags that were named nobody knows which others there are.
            if !group.whole || !sources.insert(image.origin.named().repository()) {
                continue;
            }
            let Some(probe) = probe(&image.origin) else { continue };
            let label = target.naming.label(probe.named(), target.place.kind)?;
            match Writer::of_probe(&label, PROBE) {
                Some((repository, writer)) => {
                    self.repository_tags(number, &repository).writers.insert(writer);
                }
                None => warn!(
                    "--delete: the names of the images of {} do not tell their tags, so nothing of \
                     them is deleted",
                    image.origin.named().repository()
                ),
            }
        }
        Ok(())
    }

    fn repository_tags(&mut self, number: usize, repository: &str) -> &mut RepositoryTags {
        let repository_tags = self.0.entry((number, repository.to_owned())).or_default();
        repository.clone_into(&mut repository_tags.repository);
        repository_tags
    }

    /// Looks at what is there, and decides what goes; of what was planned, if there is a plan.
    ///
    /// # Errors
    /// If more would go than may.
    pub(crate) async fn evaluate(
        self,
        places: &Targets,
        rules: &Rules,
        retry: Retry,
        planned: Option<&Deletions>,
    ) -> Result<Surplus> {
        let mut evaluated = self.repositories(places, rules, retry).await;
        let mut surplus = Surplus::default();
        if let Some(planned) = planned {
            planned.narrow(&mut evaluated)?;
        }
        let count = evaluated.iter().map(|it| it.verdict.surplus.len()).sum();
        let of = evaluated.iter().map(|it| it.repository_tags.has.len()).sum();
        rules.allow(count, of).map_err(|error| Error::Refused {
            class: error.class(),
            sentence: error.to_string(),
            hint: Some("--dry-run shows what would be deleted".to_owned()),
        })?;
        for evaluated in evaluated {
            surplus.add(evaluated, planned, retry).await?;
        }
        Ok(surplus)
    }

    /// What there is, and what is to become of it.
    async fn repositories<'a>(
        self,
        places: &'a Targets,
        rules: &Rules,
        retry: Retry,
    ) -> Vec<Evaluated<'a>> {
        let mut evaluated = Vec::new();
        for ((number, _), mut repository_tags) in self.0 {
            let collections = places.collections();
            let Some((place, collection)) = collections.get(number).copied() else { continue };
            let is_unsure = |writer: &Writer| matches!(writer, Writer::Unsure(_));
            if repository_tags.writers.is_empty() {
                continue;
            }
            if !repository_tags.writers.iter().any(is_unsure) {
                match retry::with(retry, async || inventory(&**collection, &repository_tags).await)
                    .await
                {
                    Ok(has) => repository_tags.has = has,
                    Err(failure) => {
                        let unsure = Writer::Unsure(failure.sentence());
                        repository_tags.writers.insert(unsure);
                    }
                }
            }
            let verdict = rules::evaluate_one(&repository_tags, rules);
            evaluated.push(Evaluated { place, collection, repository_tags, verdict });
        }
        evaluated
    }
}

/// A repository at a destination, and what is to become of it.
struct Evaluated<'a> {
    place: &'a Target,
    collection: &'a Arc<dyn Collection>,
    repository_tags: RepositoryTags,
    verdict: Verdict,
}

impl Evaluated<'_> {
    fn name(&self, tag: &str) -> Result<ImageName> {
        Ok(self.collection.name(&format!("{}:{tag}", self.repository_tags.repository))?)
    }
}

/// The same with a tag that no image has.
fn probe(origin: &Origin) -> Option<Origin> {
    Some(match origin {
        Origin::Reference(reference) => {
            Origin::Reference(Reference::with_tag(reference.name.clone(), PROBE).ok()?)
        }
        Origin::Label(label) => {
            let (repository, _) = parted(label)?;
            Origin::Label(format!("{repository}:{PROBE}"))
        }
    })
}

/// The tags of a repository, with what they lead to if that counts.
async fn inventory(
    collection: &dyn Collection,
    repository_tags: &RepositoryTags,
) -> Result<Vec<Tag>> {
    let repository = &repository_tags.repository;
    let tags = collection.tags(repository).await?;
    let hangs = |tag: &String| !repository_tags.wanted.contains(tag) && subject(tag).is_some();
    if !tags.iter().any(hangs) {
        return Ok(tags.into_iter().map(|name| Tag { name, digest: None }).collect());
    }
    let asked = tags.into_iter().map(async |tag| {
        let name = collection.name(&format!("{repository}:{tag}"))?;
        let digest = match collection.digest(&name).await {
            // It has gone meanwhile.
            Err(error) if error.is_not_found() => None,
            digest => digest?,
        };
        Ok::<_, Error>(Tag { name: tag, digest })
    });
    let asked: Vec<_> = asked.collect();
    stream::iter(asked).buffered(AT_ONCE).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcomes::Outcomes;
    use crate::report::Outcome;
    use crate::testing::Memory;

    #[tokio::test]
    async fn only_what_is_too_much_goes_and_only_if_all_else_went_well() {
        let memory = Memory::default();
        for (tag, seed) in [("1", 1), ("2", 2), ("3", 3)] {
            memory.push(&format!("docker://to.example/x:{tag}"), seed);
        }
        let left = || {
            memory.names("docker://to.example/x:").join(" ").replace("docker://to.example/x:", "")
        };
        let places = memory.places(&["docker://to.example"]);
        let retry = Retry::default();
        let evaluate = async |rules: &Rules| {
            let mut mirror = Mirror(BTreeMap::new());
            let repository_tags = mirror.repository_tags(0, "x");
            repository_tags.wanted.insert("1".to_owned());
            repository_tags
                .writers
                .insert(Writer::Whole { before: String::new(), after: String::new() });
            mirror.evaluate(&places, rules, retry, None).await
        };
        let mut rules = Rules::default();
        rules.protect("^3$").unwrap();
        let outcomes = Outcomes::new(Arc::new(()));
        for (dry_run, failed) in [(true, 0), (false, 1)] {
            let surplus = evaluate(&rules).await.unwrap();
            assert_eq!(surplus.names().count(), 1);
            assert_eq!(surplus.end(dry_run, failed, &outcomes, retry).await, 0);
            assert_eq!(left(), "1 2 3");
        }
        let mut few = rules.clone();
        few.most = Some(rules::Most::Count(0));
        let error = evaluate(&few).await.err().unwrap();
        assert!(error.sentence().contains("more than --max-delete 0"), "{}", error.sentence());

        let surplus = evaluate(&rules).await.unwrap();
        assert_eq!(surplus.end(false, 0, &outcomes, retry).await, 0);
        assert_eq!(left(), "1 3");
        let told: Vec<_> = outcomes.so_far().images.iter().map(|it| it.outcome).collect();
        assert_eq!(told, [Outcome::WouldDelete, Outcome::Deleted]);
    }
}
