//! Tags that never move, so that what is there needs no question.

use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use skopeo_image::Reference;
use skopeo_transport::{CollectionKind, ImageName, Options};

use crate::select::{Filter, FilterError};
use crate::task::{SyncTask, Targets};
use crate::transports::Transports;
use crate::{Error, Result};

/// How many repositories are asked for their tags at once.
const LISTINGS: usize = 16;

/// The tags that never move.
#[derive(Clone, Debug, Default)]
pub struct Immutable(Vec<Filter>);

impl Immutable {
    /// # Errors
    /// If one of them is no regular expression.
    pub fn new(expressions: &[String]) -> Result<Self, FilterError> {
        let filters = expressions.iter().map(|it| Filter::new(&[it], &[], None));
        Ok(Self(filters.collect::<Result<_, FilterError>>()?))
    }

    /// Marks the images whose tag is immutable and at the destination: one listing for each
    /// repository there.
    ///
    /// # Errors
    /// If a destination cannot be asked for its tags.
    pub(crate) async fn settle(
        &self,
        images: &mut [SyncTask],
        places: &Targets,
        transports: &dyn Transports,
    ) -> Result<()> {
        let repositories: HashMap<String, &SyncTask> = images
            .iter()
            .filter(|image| self.tag_of(image).is_some())
            .filter_map(|image| Some((repository(&image.to)?, image)))
            .collect();
        let listings: Vec<_> = repositories
            .into_iter()
            .filter_map(|(name, image)| {
                Some(list(name, image, places.options(&image.place)?, transports))
            })
            .collect();
        let listed: HashMap<String, HashSet<String>> =
            stream::iter(listings).buffer_unordered(LISTINGS).try_collect().await?;
        for image in images {
            let there = repository(&image.to).and_then(|name| listed.get(&name));
            image.unchanged = match (self.tag_of(image), there) {
                (Some(tag), Some(there)) => there.contains(tag),
                _ => false,
            };
        }
        Ok(())
    }

    /// The tag at a registry, if it is immutable.
    fn tag_of<'a>(&self, image: &'a SyncTask) -> Option<&'a str> {
        let tag = reference(&image.to)?.tag.as_deref()?;
        self.0.iter().any(|filter| filter.evaluate(tag).is_ok()).then_some(tag)
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
    image: &SyncTask,
    options: &Options,
    transports: &dyn Transports,
) -> Result<(String, HashSet<String>)> {
    let tags = match transports.tags(&image.to, options).await {
        Ok(tags) => tags,
        // It will be made.
        Err(error) if error.is_unknown_repository() => Vec::new(),
        Err(error) => {
            let what = format!("Error determining repository tags for repo {repository}");
            return Err(Error::from(error).step(what));
        }
    };
    Ok((repository, tags.into_iter().collect()))
}
