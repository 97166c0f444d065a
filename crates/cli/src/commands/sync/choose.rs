//! Which tags are copied.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use skopeo_image::{ErrorClass, Platform, Reference, Timestamp};
use skopeo_sync::select::{Choice, Chosen, Dropped};
use skopeo_transport::Options;
use tracing::warn;

use super::source::Found;
use crate::commands::facts::Asking;
use crate::exit::Classed;
use crate::logging::visible;

/// How tags are chosen in a run.
#[derive(Clone, Debug)]
pub(super) struct Choosing {
    /// Whether it is said of each tag why it is chosen, or not.
    pub(super) explain: bool,
    /// The platforms that serve, best first: whose image says when a tag was made.
    pub(super) platforms: Vec<Platform>,
}

impl Choosing {
    /// The tags of a repository that are meant, in their order.
    ///
    /// # Errors
    /// If it has to be known when images were made, and cannot be found out.
    pub(super) async fn tags(
        &self,
        repository: &Reference,
        tags: Vec<String>,
        choice: &Choice,
        options: &Options,
    ) -> Result<Vec<String>> {
        let mut chosen = choice.by_words(tags);
        let mut times: HashMap<String, Option<Timestamp>> = HashMap::new();
        if choice.needs_times() {
            let left: Vec<String> = chosen.kept.iter().map(|(tag, _)| tag.clone()).collect();
            let facts = Asking::new(repository, options, self.platforms.clone()).all(&left).await;
            for (tag, facts) in left.into_iter().zip(facts) {
                // Which are the newest cannot be told of those that nothing is known of.
                let facts = facts
                    .with_context(|| format!("asking when {}:{tag} was made", repository.name))?;
                times.insert(tag, facts.created);
            }
        }
        let now = jiff::Timestamp::now().as_second();
        chosen = choice.by_time(chosen, |tag| times.get(tag).copied().flatten(), now);
        if self.explain {
            explain(&repository.name.to_string(), &chosen);
        }
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
    pub(super) fn held(&self, images: Vec<Found>, choice: &Choice) -> Result<Vec<Found>> {
        if choice.needs_times() {
            return Err(Classed {
                class: ErrorClass::Unsupported,
                sentence: "only registries are asked when images were made: --since and --newest \
                           without --semver are for them"
                    .to_owned(),
                hint: None,
            }
            .into());
        }
        if choice.is_all() && !self.explain {
            return Ok(images);
        }
        let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for image in &images {
            let named = image.origin.named();
            tags.entry(named.repository()).or_default().push(named.tag());
        }
        let mut meant: HashMap<String, HashSet<String>> = HashMap::new();
        for (repository, tags) in tags {
            let chosen = choice.by_time(choice.by_words(tags), |_| None, 0);
            if self.explain {
                explain(&repository, &chosen);
            }
            meant.insert(repository, chosen.kept.into_iter().map(|(tag, _)| tag).collect());
        }
        let is_meant = |image: &Found| {
            let named = image.origin.named();
            meant.get(&named.repository()).is_some_and(|tags| tags.contains(&named.tag()))
        };
        Ok(images.into_iter().filter(is_meant).collect())
    }
}

/// A closed stderr is nobody's business.
fn explain(repository: &str, chosen: &Chosen) {
    let mut lines = String::new();
    for (tag, why) in &chosen.kept {
        let _ = writeln!(lines, "{}", visible(&format!("{repository}:{tag}: kept: {why}")));
    }
    for (tag, why) in &chosen.dropped {
        let _ = writeln!(lines, "{}", visible(&format!("{repository}:{tag}: dropped: {why}")));
    }
    let _ = io::stderr().write_all(lines.as_bytes());
}
