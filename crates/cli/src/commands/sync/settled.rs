//! `--immutable-tags`: tags that never move, so that what is there needs no question.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use skopeo_image::Reference;
use skopeo_sync::select::Filter;
use skopeo_transport::{CollectionKind, ImageName, Options};

use super::goals::{Image, Places};

/// How many repositories are asked for their tags at once.
const LISTINGS: usize = 16;

/// The tags that never move.
#[derive(Clone, Debug, Default)]
pub(crate) struct Immutable(Vec<Filter>);

impl Immutable {
    /// # Errors
    /// If one of them is no regular expression.
    pub(crate) fn new(expressions: &[String]) -> Result<Self> {
        let filters = expressions.iter().map(|it| Filter::new(&[it], &[], None));
        Ok(Self(filters.collect::<Result<_, _>>().context("--immutable-tags")?))
    }

    /// Marks the images whose tag is immutable and at the destination: one listing for each
    /// repository there.
    ///
    /// # Errors
    /// If a destination cannot be asked for its tags.
    pub(super) async fn settle(&self, images: &mut [Image], places: &Places) -> Result<()> {
        let repositories: HashMap<String, &Image> = images
            .iter()
            .filter(|image| self.tag_of(image).is_some())
            .filter_map(|image| Some((repository(&image.to)?, image)))
            .collect();
        let listings: Vec<_> = repositories
            .into_iter()
            .filter_map(|(name, image)| Some(list(name, image, places.options(&image.place)?)))
            .collect();
        let listed: HashMap<String, HashSet<String>> =
            stream::iter(listings).buffer_unordered(LISTINGS).try_collect().await?;
        for image in images {
            let there = repository(&image.to).and_then(|name| listed.get(&name));
            image.settled = match (self.tag_of(image), there) {
                (Some(tag), Some(there)) => there.contains(tag),
                _ => false,
            };
        }
        Ok(())
    }

    /// The tag at a registry, if it is immutable.
    fn tag_of<'a>(&self, image: &'a Image) -> Option<&'a str> {
        let tag = reference(&image.to)?.tag.as_deref()?;
        self.0.iter().any(|filter| filter.judge(tag).is_ok()).then_some(tag)
    }
}

/// The reference of an image in a registry.
fn reference(name: &ImageName) -> Option<&Reference> {
    name.docker_reference().filter(|_| name.transport() == CollectionKind::Docker.as_str())
}

fn repository(name: &ImageName) -> Option<String> {
    Some(reference(name)?.name.to_string())
}

async fn list(
    repository: String,
    image: &Image,
    options: &Options,
) -> Result<(String, HashSet<String>)> {
    let tags = match skopeo_transport::tags(&image.to, options).await {
        Ok(tags) => tags,
        // It will be made.
        Err(error) if error.is_unknown_repository() => Vec::new(),
        Err(error) => {
            let what = format!("Error determining repository tags for repo {repository}");
            return Err(anyhow::Error::from(error).context(what));
        }
    };
    Ok((repository, tags.into_iter().collect()))
}
