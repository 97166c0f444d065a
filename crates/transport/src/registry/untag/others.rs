//! The other tags of an image.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use skopeo_image::Digest;
use skopeo_registry::Repository;

use super::super::mirrors::look_at_tag;
use super::super::{DockerName, digest_of, place, resolve};
use crate::registry::{DeletionError, DockerError};
use crate::{Error, FormatError, Options};

/// How many tags are asked about at once.
const AT_ONCE: usize = 8;

/// What is known of the other tags of a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// These, and no more.
    Known(Vec<String>),
    /// Too many tags were to be asked about: so many.
    TooMany(usize),
    /// The registry does not tell; a sentence why.
    Unclear(String),
}

/// The digest that a name leads to, and all other tags that lead to it too; no tags where the
/// repository has more than `at_most`.
pub(crate) async fn siblings(
    name: &DockerName,
    options: &Options,
    at_most: usize,
) -> Result<(Digest, Option<Vec<String>>), Error> {
    let digest = match resolve(name, options).await {
        Err(Error::Format(FormatError::Docker(DockerError::Request(error))))
            if error.status() == Some(404) =>
        {
            return Err(DeletionError::NothingToDelete(name.whole().to_string()).into());
        }
        found => found?,
    };
    let repository = place(name, options).await?;
    look_at_tag(name, &repository, &digest, options).await;
    let own = name.tag();
    let mut tags = repository.tags().await?;
    tags.retain(|tag| Some(tag.as_str()) != own);
    if tags.len() > at_most {
        return Ok((digest, None));
    }
    let found = leading_to(&repository, tags, &digest).await?;
    Ok((digest, Some(found.into_iter().filter_map(|(tag, same)| same.then_some(tag)).collect())))
}

/// The tags other than `own` that lead to a digest, as far as a registry tells it for certain.
pub(super) async fn others(
    repository: &Repository,
    own: &str,
    digest: &Digest,
    at_most: usize,
) -> Others {
    let mut tags = match repository.tags().await {
        Ok(tags) => tags,
        Err(error) => return Others::Unclear(crate::chain(&error)),
    };
    let listed = tags.len();
    tags.retain(|tag| tag != own);
    if tags.len() == listed {
        return Others::Unclear(format!("the list of tags is incomplete: {own} is not in it"));
    }
    if tags.len() > at_most {
        return Others::TooMany(tags.len());
    }
    match leading_to(repository, tags, digest).await {
        Ok(found) => {
            Others::Known(found.into_iter().filter_map(|(tag, same)| same.then_some(tag)).collect())
        }
        Err(error) => Others::Unclear(crate::chain(&error)),
    }
}

/// Whether each of these tags leads to a digest; without those that have gone meanwhile.
async fn leading_to(
    repository: &Repository,
    tags: Vec<String>,
    digest: &Digest,
) -> Result<Vec<(String, bool)>, Error> {
    let ask = async |tag: String| match digest_of(repository, &tag).await {
        Ok(found) if found.algorithm() == digest.algorithm() => Ok(Some((tag, found == *digest))),
        // Digests of two kinds cannot be compared, so the manifest itself is read.
        Ok(_) => match repository.manifest(&tag).await {
            Ok(fetched) => {
                let same = Digest::of(digest.algorithm(), &fetched.manifest.bytes) == *digest;
                Ok(Some((tag, same)))
            }
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error.into()),
        },
        // It has gone meanwhile.
        Err(Error::Format(FormatError::Docker(DockerError::Request(error))))
            if error.status() == Some(404) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    };
    let asked: Vec<_> = tags.into_iter().map(ask).collect();
    let found: Vec<_> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}
