//! What there is to copy.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use futures_util::stream::{self, StreamExt as _};
use skopeo_image::Reference;
use skopeo_transport::{CollectionKind, ImageName, Options};
use tracing::{error, info};

use super::file;
use crate::args::image::Retry;
use crate::exit::sentence;
use crate::{go, retry};

/// How many repositories are asked for their tags at once.
const LISTINGS: usize = 16;

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    /// A repository or an image of a registry.
    Docker,
    /// A place that holds images, all of which are meant.
    Held(CollectionKind),
    /// A file that names repositories.
    Yaml,
}

impl SourceKind {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match (text, CollectionKind::parse(text)) {
            ("yaml", _) => Some(Self::Yaml),
            (_, Some(CollectionKind::Docker)) => Some(Self::Docker),
            (_, kind) => kind.map(Self::Held),
        }
    }
}

/// The images of one source: a repository, or a place.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) images: Vec<Found>,
    /// What it takes to read them.
    pub(super) options: Arc<Options>,
}

/// An image that is to be copied.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: ImageName,
    pub(super) origin: Origin,
}

/// What it is called where it comes from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// In a registry.
    Reference(Reference),
    /// In any other place.
    Label(String),
}

/// A repository of which images are wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Without tag and digest.
    pub(super) repository: Reference,
    pub(super) tags: Tags,
    pub(super) options: Arc<Options>,
}

/// Which of them.
#[derive(Debug)]
pub(super) enum Tags {
    /// These, by tag or digest; nobody is asked whether they are there.
    Named(Vec<Reference>),
    /// All that the registry lists and the filter lets through.
    Listed(skopeo_copy::select::Filter),
}

/// What was found.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) groups: Vec<Group>,
    /// How many sources could not be asked; it has been said of each.
    pub(super) failed: usize,
}

/// Finds all the images that are meant.
///
/// # Errors
/// If a source cannot be read, and the others are not to be read all the same.
pub(super) async fn find(
    kind: SourceKind,
    source: &str,
    options: &Arc<Options>,
    retry: Retry,
    keep_going: bool,
) -> Result<Finding> {
    match kind {
        SourceKind::Docker => {
            let wanted = named(source, options)?;
            let group = retry::with(retry, async || list(&wanted).await).await?;
            if group.images.is_empty() {
                bail!("No images to sync found in {}", go::quote(source));
            }
            Ok(Finding { groups: vec![group], failed: 0 })
        }
        SourceKind::Held(kind) => {
            let group = retry::with(retry, async || held(kind, source, options).await).await?;
            if group.images.is_empty() {
                bail!("No images to sync found in {}", go::quote(source));
            }
            Ok(Finding { groups: vec![group], failed: 0 })
        }
        SourceKind::Yaml => {
            let (wanted, failed) = file::read(Path::new(source), options)?;
            let mut finding = all(wanted, retry, keep_going).await?;
            finding.failed += failed;
            Ok(finding)
        }
    }
}

/// What the argument of `--src docker` names.
fn named(source: &str, options: &Arc<Options>) -> Result<Wanted> {
    let reference = Reference::parse_normalized(source).with_context(|| {
        format!(
            "Cannot obtain a valid image reference for transport \"docker\" and reference {}",
            go::quote(source)
        )
    })?;
    let tagged = !reference.is_name_only();
    info!(imagename = source, tagged, "Tag presence check");
    let repository = Reference { tag: None, digest: None, ..reference.clone() };
    let tags = if tagged {
        Tags::Named(vec![reference])
    } else {
        Tags::Listed(skopeo_copy::select::Filter::default())
    };
    Ok(Wanted { repository, tags, options: options.clone() })
}

/// The images of many repositories, in their order.
async fn all(wanted: Vec<Wanted>, retry: Retry, keep_going: bool) -> Result<Finding> {
    let listings = wanted.iter().map(|wanted| retry::with(retry, async || list(wanted).await));
    // Collected first: borrowing closures inside a stream cost its future its `Send`.
    let listings: Vec<_> = listings.collect();
    let mut listings = stream::iter(listings).buffered(LISTINGS).zip(stream::iter(&wanted));
    let (mut groups, mut failed) = (Vec::new(), 0);
    while let Some((listed, wanted)) = listings.next().await {
        match listed {
            Ok(group) if group.images.is_empty() => {
                tracing::warn!(
                    registry = wanted.repository.name.domain(),
                    repo = wanted.repository.name.path(),
                    "No refs to sync found"
                );
            }
            Ok(group) => groups.push(group),
            Err(failure) if keep_going => {
                error!(
                    registry = wanted.repository.name.domain(),
                    repo = wanted.repository.name.path(),
                    "Error processing repo, skipping"
                );
                error!("{}", sentence(&failure));
                failed += 1;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(Finding { groups, failed })
}

/// The images that are wanted of one repository.
async fn list(wanted: &Wanted) -> Result<Group> {
    let references = match &wanted.tags {
        Tags::Named(references) => references.clone(),
        Tags::Listed(filter) => {
            let repository = &wanted.repository;
            let name = repository.name.to_string();
            info!(image = name, "Getting tags");
            let image = ImageName::docker(repository.clone().or_latest())?;
            let tags = skopeo_transport::tags(&image, &wanted.options).await;
            let tags =
                tags.with_context(|| format!("Error determining repository tags for repo {name}"))?;
            let chosen = tags.into_iter().filter(|tag| filter.judge(tag).is_ok());
            let tagged = chosen.map(|tag| Reference::with_tag(repository.name.clone(), &tag));
            tagged.collect::<Result<_, _>>()?
        }
    };
    let images = references.into_iter().map(|reference| {
        let name = ImageName::docker(reference.clone()).with_context(|| {
            format!(
                "Cannot obtain a valid image reference for transport \"docker\" and reference {}",
                go::quote(&reference.to_string())
            )
        })?;
        Ok(Found { name, origin: Origin::Reference(reference) })
    });
    Ok(Group { images: images.collect::<Result<_>>()?, options: wanted.options.clone() })
}

/// The images of a place.
async fn held(kind: CollectionKind, place: &str, options: &Arc<Options>) -> Result<Group> {
    let failed = |error: skopeo_transport::Error| -> Error {
        match Path::new(place).try_exists() {
            Ok(true) => {
                anyhow!(error).context(format!("Error walking the path {}", go::quote(place)))
            }
            _ => anyhow!(error).context("Invalid source directory specified"),
        }
    };
    let held = skopeo_transport::held(kind, place, options).await.map_err(failed)?;
    let images =
        held.into_iter().map(|held| Found { name: held.name, origin: Origin::Label(held.label) });
    Ok(Group { images: images.collect(), options: options.clone() })
}
