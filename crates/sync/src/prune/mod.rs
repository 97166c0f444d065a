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

use crate::destination::{Goal, Place};
use crate::found::{Finding, Group, Origin, What};
use crate::plan::Deletions;
use crate::task::Places;
use crate::{Error, Result, retry};
use rules::{Rules, Shelf, Tag, Verdict, Writer, parted, subject};

pub(crate) use deletion::Doomed;

/// A tag by which it shows how tags are named at a destination.
const PROBE: &str = "skopeo-probe-of-tag";

/// How many tags are asked about at once.
const AT_ONCE: usize = 8;

/// What a run writes, by place and repository.
pub(crate) struct Mirror(BTreeMap<(usize, String), Shelf>);

impl Mirror {
    /// # Errors
    /// If nothing can be deleted in one of the places, or an image can have no name there.
    pub(crate) fn new(found: &Finding, places: &Places) -> Result<Self> {
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
            for goal in &group.aim.goals {
                if let Some(number) = places.number(&goal.place) {
                    this.note(group, goal, number)?;
                }
            }
        }
        for (wanted, why) in &found.missing {
            for goal in &wanted.aim.goals {
                let Some(number) = places.number(&goal.place) else { continue };
                let (name, probe) = match &wanted.what {
                    What::Repository(repository, _) => {
                        (repository.name.to_string(), probe(&Origin::Reference(repository.clone())))
                    }
                    What::Place(place, _) => (place.to_string(), None),
                };
                let unsure = Writer::Unsure(format!("{name}: {why}"));
                let label = probe.map(|probe| goal.naming.label(probe.named(), goal.place.kind));
                match label.transpose()?.as_deref().and_then(parted) {
                    Some((repository, _)) => {
                        this.shelf(number, repository).writers.insert(unsure);
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
        for ((number, _), shelf) in &mut this.0 {
            shelf.writers.extend(unclear.get(number).into_iter().flatten().cloned());
        }
        Ok(this)
    }

    fn note(&mut self, group: &Group, goal: &Goal, number: usize) -> Result<()> {
        let mut sources = BTreeSet::new();
        for image in &group.images {
            let label = goal.naming.label(image.origin.named(), goal.place.kind)?;
            if let Some((repository, tag)) = parted(&label) {
                self.shelf(number, repository).wanted.insert(tag.to_owned());
            }
            // Of tags that were named nobody knows which others there are.
            if !group.whole || !sources.insert(image.origin.named().repository()) {
                continue;
            }
            let Some(probe) = probe(&image.origin) else { continue };
            let label = goal.naming.label(probe.named(), goal.place.kind)?;
            match Writer::of_probe(&label, PROBE) {
                Some((repository, writer)) => {
                    self.shelf(number, &repository).writers.insert(writer);
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

    fn shelf(&mut self, number: usize, repository: &str) -> &mut Shelf {
        let shelf = self.0.entry((number, repository.to_owned())).or_default();
        repository.clone_into(&mut shelf.repository);
        shelf
    }

    /// Looks at what is there, and decides what goes; of what was planned, if there is a plan.
    ///
    /// # Errors
    /// If more would go than may.
    pub(crate) async fn judge(
        self,
        places: &Places,
        rules: &Rules,
        retry: Retry,
        planned: Option<&Deletions>,
    ) -> Result<Doomed> {
        let mut judged = self.shelves(places, rules, retry).await;
        let mut doomed = Doomed::default();
        if let Some(planned) = planned {
            planned.narrow(&mut judged)?;
        }
        let count = judged.iter().map(|it| it.verdict.doomed.len()).sum();
        let of = judged.iter().map(|it| it.shelf.has.len()).sum();
        rules.allow(count, of).map_err(|error| Error::Refused {
            class: error.class(),
            sentence: error.to_string(),
            hint: Some("--dry-run says what would go".to_owned()),
        })?;
        for judged in judged {
            doomed.add(judged, planned, retry).await?;
        }
        Ok(doomed)
    }

    /// What there is, and what is to become of it.
    async fn shelves<'a>(self, places: &'a Places, rules: &Rules, retry: Retry) -> Vec<Judged<'a>> {
        let mut judged = Vec::new();
        for ((number, _), mut shelf) in self.0 {
            let collections = places.collections();
            let Some((place, collection)) = collections.get(number).copied() else { continue };
            let is_unsure = |writer: &Writer| matches!(writer, Writer::Unsure(_));
            if shelf.writers.is_empty() {
                continue;
            }
            if !shelf.writers.iter().any(is_unsure) {
                match retry::with(retry, async || inventory(&**collection, &shelf).await).await {
                    Ok(has) => shelf.has = has,
                    Err(failure) => {
                        let unsure = Writer::Unsure(failure.sentence());
                        shelf.writers.insert(unsure);
                    }
                }
            }
            let verdict = rules::judge_shelf(&shelf, rules);
            judged.push(Judged { place, collection, shelf, verdict });
        }
        judged
    }
}

/// A repository at a destination, and what is to become of it.
struct Judged<'a> {
    place: &'a Place,
    collection: &'a Arc<dyn Collection>,
    shelf: Shelf,
    verdict: Verdict,
}

impl Judged<'_> {
    fn name(&self, tag: &str) -> Result<ImageName> {
        Ok(self.collection.name(&format!("{}:{tag}", self.shelf.repository))?)
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
async fn inventory(collection: &dyn Collection, shelf: &Shelf) -> Result<Vec<Tag>> {
    let repository = &shelf.repository;
    let tags = collection.tags(repository).await?;
    let hangs = |tag: &String| !shelf.wanted.contains(tag) && subject(tag).is_some();
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
        let judge = async |rules: &Rules| {
            let mut mirror = Mirror(BTreeMap::new());
            let shelf = mirror.shelf(0, "x");
            shelf.wanted.insert("1".to_owned());
            shelf.writers.insert(Writer::Whole { before: String::new(), after: String::new() });
            mirror.judge(&places, rules, retry, None).await
        };
        let mut rules = Rules::default();
        rules.protect("^3$").unwrap();
        let outcomes = Outcomes::new(Arc::new(()));
        for (dry_run, failed) in [(true, 0), (false, 1)] {
            let doomed = judge(&rules).await.unwrap();
            assert_eq!(doomed.names().count(), 1);
            assert_eq!(doomed.end(dry_run, failed, &outcomes, retry).await, 0);
            assert_eq!(left(), "1 2 3");
        }
        let mut few = rules.clone();
        few.most = Some(rules::Most::Count(0));
        let error = judge(&few).await.err().unwrap();
        assert!(error.sentence().contains("more than --max-delete 0"), "{}", error.sentence());

        let doomed = judge(&rules).await.unwrap();
        assert_eq!(doomed.end(false, 0, &outcomes, retry).await, 0);
        assert_eq!(left(), "1 3");
        let told: Vec<_> = outcomes.so_far().images.iter().map(|it| it.outcome).collect();
        assert_eq!(told, [Outcome::WouldDelete, Outcome::Deleted]);
    }
}
