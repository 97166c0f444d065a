//! What there is to copy.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use skopeo_copy::Retry;
use skopeo_image::go::quote;
use skopeo_image::{Platform, Reference};
use skopeo_transport::{ImageName, Options};
use tracing::{error, info, warn};

use super::choose;
use crate::destination::Target;
use crate::found::{Finding, Found, Group, Origin, TagSet, Wanted, What};
use crate::lockfile::Lock;
use crate::outcomes::Outcomes;
use crate::select::Choice;
use crate::shard::Shard;
use crate::transports::Transports;
use crate::{Context as _, Error, Result, naming, retry};

/// How many repositories are asked for their tags at once.
const LISTINGS: usize = 16;

/// How images are found.
pub(crate) struct Search<'a> {
    pub(crate) transports: &'a dyn Transports,
    pub(crate) retry: Retry,
    pub(crate) keep_going: bool,
    /// The part of all repositories that is meant.
    pub(crate) shard: Option<Shard>,
    /// The platforms that serve, best first: whose image says when a tag was made.
    pub(crate) platforms: &'a [Platform],
    pub(crate) outcomes: &'a Outcomes,
    /// What there is, if nobody is to be asked.
    pub(crate) locked: Option<&'a Lock>,
}

impl Search<'_> {
    /// The images of the one source that was named; it must have some.
    ///
    /// # Errors
    /// If it cannot be read, or has none.
    pub(crate) async fn one(&self, wanted: Wanted, source: &str) -> Result<Finding> {
        if !self.is_meant(&wanted) {
            return Ok(Finding::default());
        }
        let group = retry::with(self.retry, async || self.list(&wanted).await).await?;
        if group.images.is_empty() && self.shard.is_none() {
            return Err(Error::refused(format!("No images to sync found in {}", quote(source))));
        }
        Ok(Finding { groups: vec![group], ..Finding::default() })
    }

    /// The images of many sources, in their order.
    ///
    /// # Errors
    /// If one cannot be read, and the others are not to be read all the same.
    pub(crate) async fn all(&self, mut wanted: Vec<Wanted>) -> Result<Finding> {
        if self.shard.is_some() {
            warn_of_shared(&wanted);
        }
        wanted.retain(|wanted| self.is_meant(wanted));
        let listings =
            wanted.iter().map(|wanted| retry::with(self.retry, async || self.list(wanted).await));
        // Collected first: borrowing closures inside a stream cost its future its `Send`.
        let listings: Vec<_> = listings.collect();
        let mut listings = stream::iter(listings).buffered(LISTINGS).zip(stream::iter(&wanted));
        let mut finding = Finding::default();
        while let Some((listed, wanted)) = listings.next().await {
            let why = match &listed {
                Ok(group) if group.images.is_empty() => Some("it has nothing to copy".to_owned()),
                Ok(_) => None,
                Err(failure) => Some(failure.sentence()),
            };
            finding.missing.extend(why.map(|why| (wanted.clone(), why)));
            match (listed, &wanted.what) {
                (Ok(group), What::Repository(repository, _)) if group.images.is_empty() => warn!(
                    registry = repository.name.domain(),
                    repo = repository.name.path(),
                    "No refs to sync found"
                ),
                (Ok(group), What::Collection(place, _)) if group.images.is_empty() => {
                    warn!("No images to sync found in {place}");
                }
                (Ok(group), _) => finding.groups.push(group),
                (Err(failure), _) if !self.keep_going => return Err(failure),
                (Err(failure), what) => {
                    self.outcomes.unlisted(what.to_string(), &failure);
                    match what {
                        What::Repository(repository, _) => error!(
                            registry = repository.name.domain(),
                            repo = repository.name.path(),
                            "Error processing repo, skipping"
                        ),
                        What::Collection(place, _) => error!("Error reading {place}, skipping"),
                    }
                    error!("{}", failure.sentence());
                    finding.failed = finding.failed.saturating_add(1);
                }
            }
        }
        Ok(finding)
    }

    /// Whether a source can have images that are meant.
    fn is_meant(&self, wanted: &Wanted) -> bool {
        match (&wanted.what, self.shard) {
            (What::Repository(repository, _), Some(shard)) => {
                shard.has(&repository.name.to_string())
            }
            _ => true,
        }
    }

    /// The images that are wanted of one source.
    async fn list(&self, wanted: &Wanted) -> Result<Group> {
        let images = match (&wanted.what, self.locked) {
            (What::Repository(repository, tags), Some(lock)) => lock.found(repository, tags)?,
            (What::Repository(_, TagSet::Named(references)), None) => found(references.clone())?,
            (What::Repository(repository, TagSet::Listed(choice)), None) => {
                let tags = self.tags(repository, &wanted.options).await?;
                let asked = (self.transports, self.outcomes, self.platforms);
                let tags = choose::tags(asked, repository, tags, choice, &wanted.options).await?;
                let tagged = |tag: &String| Reference::with_tag(repository.name.clone(), tag);
                found(tags.iter().map(tagged).collect::<Result<_, _>>()?)?
            }
            (What::Collection(place, choice), _) => {
                let mut images = self.held(place, &wanted.options).await?;
                images.retain(|image| {
                    self.shard.is_none_or(|shard| shard.has(&image.origin.named().repository()))
                });
                choose::held(self.outcomes, images, choice)?
            }
        };
        let whole = !matches!(wanted.what, What::Repository(_, TagSet::Named(_)));
        Ok(Group { images, whole, options: wanted.options.clone(), spec: wanted.spec.clone() })
    }

    /// All tags of a repository.
    async fn tags(&self, repository: &Reference, options: &Options) -> Result<Vec<String>> {
        let name = repository.name.to_string();
        info!(image = name, "Getting tags");
        let image = ImageName::docker(repository.clone().or_latest())?;
        let tags = self.transports.valid_tags(&image, options).await;
        let (tags, invalid) =
            tags.with_context(|| format!("Error determining repository tags for repo {name}"))?;
        for tag in invalid {
            error!(
                repo = name,
                tag, "Error creating a tagged reference from registry tag list: invalid tag format"
            );
        }
        Ok(tags)
    }

    /// The images of a place.
    async fn held(&self, place: &Target, options: &Options) -> Result<Vec<Found>> {
        let failed = |error: skopeo_transport::Error| -> Error {
            match Path::new(&place.place).try_exists() {
                Ok(true) => Error::from(error)
                    .step(format!("Error walking the path {}", quote(&place.place))),
                _ => Error::from(error).step("Invalid source directory specified"),
            }
        };
        let held = self.transports.held(place, options).await.map_err(failed)?;
        let held = held.into_iter();
        Ok(held.map(|held| Found { name: held.name, origin: Origin::Label(held.label) }).collect())
    }
}

/// Says which repositories of several become one: whether their tags clash is seen only where both
/// are in one shard.
fn warn_of_shared(wanted: &[Wanted]) {
    let mut taken: HashMap<(&Target, String), String> = HashMap::new();
    for wanted in wanted {
        let What::Repository(repository, _) = &wanted.what else { continue };
        let name = repository.name.to_string();
        let image = repository.clone().or_latest();
        for target in &wanted.spec.targets {
            let label = target.naming.label(naming::Origin::Reference(&image), target.place.kind);
            // What has no name is an error that is told later.
            let Ok(label) = label else { continue };
            match taken.get(&(&target.place, label.clone())) {
                Some(first) if *first != name => warn!(
                    "{first} and {name} become one repository in {}, and no shard may see both: \
                     whether their tags clash is not known",
                    target.place
                ),
                Some(_) => {}
                None => _ = taken.insert((&target.place, label), name.clone()),
            }
        }
    }
}

/// What the argument of `--src docker` names.
///
/// # Errors
/// If that is nothing that can be.
pub(crate) fn named(source: &str, choice: &Arc<Choice>) -> Result<What> {
    let reference = Reference::parse_normalized(source).with_context(|| {
        format!(
            "Cannot obtain a valid image reference for transport \"docker\" and reference {}",
            quote(source)
        )
    })?;
    let tagged = !reference.is_name_only();
    info!(imagename = source, tagged, "Tag presence check");
    let repository = Reference { tag: None, digest: None, ..reference.clone() };
    let tags = if tagged { TagSet::Named(vec![reference]) } else { TagSet::Listed(choice.clone()) };
    Ok(What::Repository(repository, tags))
}

fn found(references: Vec<Reference>) -> Result<Vec<Found>> {
    let found = references.into_iter().map(|reference| {
        let name = ImageName::docker(reference.clone()).with_context(|| {
            format!(
                "Cannot obtain a valid image reference for transport \"docker\" and reference {}",
                quote(&reference.to_string())
            )
        })?;
        Ok(Found { name, origin: Origin::Reference(reference) })
    });
    found.collect()
}
