//! Which tags are copied.

use std::collections::{BTreeMap, HashMap, HashSet};

use skopeo_image::{ErrorClass, Platform, Reference, Timestamp};
use skopeo_transport::Options;
use tracing::warn;

use crate::found::Found;
use crate::observer::SyncEvent;
use crate::outcomes::Outcomes;
use crate::select::{Choice, Dropped};
use crate::tag_info::TagQuery;
use crate::transports::Transports;
use crate::{Context as _, Error, Result};

/// The tags of a repository that are meant, in their order.
///
/// # Errors
/// If it has to be known when images were made, and cannot be found out.
pub(super) async fn tags(
    (transports, outcomes, platforms): (&dyn Transports, &Outcomes, &[Platform]),
    repository: &Reference,
    tags: Vec<String>,
    choice: &Choice,
    options: &Options,
) -> Result<Vec<String>> {
    let mut chosen = choice.by_words(tags);
    let mut times: HashMap<String, Option<Timestamp>> = HashMap::new();
    if choice.needs_times() {
        let left: Vec<String> = chosen.kept.iter().map(|(tag, _)| tag.clone()).collect();
        let facts = TagQuery::new(repository, options, platforms.to_vec()).through(transports);
        let facts = facts.all(&left).await;
        for (tag, facts) in left.into_iter().zip(facts) {
            // Which are the newest cannot be told of those that nothing is known of.
            let facts =
                facts.with_context(|| format!("asking when {}:{tag} was made", repository.name))?;
            times.insert(tag, facts.created);
        }
    }
    let now = jiff::Timestamp::now().as_second();
    chosen = choice.by_time(chosen, |tag| times.get(tag).copied().flatten(), now);
    let name = repository.name.to_string();
    outcomes.observe(&SyncEvent::Chosen { repository: &name, chosen: &chosen });
    for (tag, _) in chosen.dropped.iter().filter(|(_, why)| *why == Dropped::UnknownAge) {
        warn!("It is not known when {}:{tag} was made, so it is left out", repository.name);
    }
    Ok(chosen.kept.into_iter().map(|(tag, _)| tag).collect())
}

/// The images of a place that are meant, in their order: of each repository those whose tags
/// are chosen.
///
/// # Errors
/// If it had to be known when images were made.
pub(super) fn held(outcomes: &Outcomes, images: Vec<Found>, choice: &Choice) -> Result<Vec<Found>> {
    if choice.needs_times() {
        return Err(Error::classed(
            ErrorClass::Unsupported,
            "only registries are asked when images were made: --since and --newest without \
             --semver are for them",
        ));
    }
    let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for image in &images {
        let named = image.origin.named();
        tags.entry(named.repository()).or_default().push(named.tag());
    }
    let mut meant: HashMap<String, HashSet<String>> = HashMap::new();
    for (repository, tags) in tags {
        let chosen = choice.by_time(choice.by_words(tags), |_| None, 0);
        outcomes.observe(&SyncEvent::Chosen { repository: &repository, chosen: &chosen });
        meant.insert(repository, chosen.kept.into_iter().map(|(tag, _)| tag).collect());
    }
    let is_meant = |image: &Found| {
        let named = image.origin.named();
        meant.get(&named.repository()).is_some_and(|tags| tags.contains(&named.tag()))
    };
    Ok(images.into_iter().filter(is_meant).collect())
}
