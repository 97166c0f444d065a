//! Deleting a tag and nothing else: what it led to stays, and every other tag of it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use skopeo_image::{Digest, MediaType, RawManifest};
use skopeo_registry::Repository;
use tracing::debug;

use super::{DockerName, attachments, place, raw, without_context};
use crate::{Error, Options};

/// How many tags are asked about at once.
const AT_ONCE: usize = 8;

/// The most tags of a repository that are looked at before one of them is deleted: so that those of
/// the same digest can be given back, should the registry take more than it was asked to.
const WATCHED: usize = 200;

/// How a tag was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untagged {
    /// The registry can.
    ByTag,
    /// It was moved to a manifest made for that, which was deleted.
    ByPlaceholder,
}

/// The digest that a name leads to, and all other tags that lead to it too; no tags where the
/// repository has more than `at_most`.
pub(crate) async fn siblings(
    name: &DockerName,
    options: &Options,
    at_most: usize,
) -> Result<(Digest, Option<Vec<String>>), Error> {
    let digest = match super::resolve(name, options).await {
        Err(Error::Registry(error)) if error.status() == Some(404) => {
            return Err(Error::NothingToDelete(name.reference().to_string()));
        }
        found => found?,
    };
    let repository = place(name, options).await?;
    let own = name.reference().tag.as_deref();
    let siblings = others(&repository, own, &digest, at_most).await?;
    Ok((digest, siblings))
}

/// Deletes a tag. If `expected` is given, only if it leads there.
pub(crate) async fn untag(
    name: &DockerName,
    options: &Options,
    expected: Option<&Digest>,
) -> Result<Untagged, Error> {
    let tag = name.reference().tag.as_deref().ok_or(Error::NoTagToDelete)?;
    let text = name.reference().to_string();
    let repository = place(name, options).await?;
    let deleting = |source| Error::Deleting {
        reference: text.clone(),
        source: Box::new(without_context(source)),
    };
    let fetched = match repository.manifest(tag).await {
        Err(error) if error.status() == Some(404) => return Err(Error::NothingToDelete(text)),
        fetched => fetched.map_err(deleting)?,
    };
    let manifest = raw(fetched.manifest);
    let digest = manifest.digest()?;
    if expected.is_some_and(|expected| *expected != digest) {
        return Err(Error::TagMoved(text));
    }
    let siblings = others(&repository, Some(tag), &digest, WATCHED).await?.unwrap_or_default();
    let how = match repository.delete_tag(tag).await {
        Ok(()) => Untagged::ByTag,
        Err(error) if cannot(&error) => {
            debug!("deleting tag {text}: {error}; a placeholder will do");
            by_placeholder(&repository, tag, &manifest).await.map_err(|error| match error {
                Error::Registry(error) => deleting(error),
                error => error,
            })?;
            Untagged::ByPlaceholder
        }
        Err(error) => return Err(deleting(error)),
    };
    give_back(&repository, &manifest, &digest, &siblings).await?;
    match repository.head_manifest(tag).await {
        Err(error) if error.status() == Some(404) => Ok(how),
        // Somebody else's.
        Ok(head) if head.digest.as_ref().is_some_and(|now| *now != digest) => Ok(how),
        Ok(_) => Err(Error::TagStays(text)),
        Err(error) => Err(deleting(error)),
    }
}

/// Whether a registry says that it deletes no tags. It has just been seen to have this one.
fn cannot(error: &skopeo_registry::Error) -> bool {
    matches!(error.status(), Some(400 | 404 | 405 | 501))
}

/// Moves the tag to a manifest of its own and deletes that. If that cannot be, the tag is moved
/// back.
async fn by_placeholder(
    repository: &Repository,
    tag: &str,
    original: &RawManifest,
) -> Result<(), Error> {
    let (config, placeholder) = placeholder(tag, &original.media_type);
    let digest = placeholder.digest()?;
    let descriptor = attachments::descriptor(MediaType::default(), &config);
    attachments::put(repository, &descriptor, config).await?;
    let moved = async {
        repository.put_manifest(tag, &placeholder).await?;
        repository.delete_manifest(&digest).await
    };
    if let Err(error) = moved.await {
        if let Err(error) = repository.put_manifest(tag, original).await {
            return Err(Error::GivingBack { name: tag.to_owned(), source: Box::new(error) });
        }
        return Err(error.into());
    }
    Ok(())
}

/// An image of nothing that no other image is, in the style of the one it takes the place of.
fn placeholder(tag: &str, style: &MediaType) -> (Bytes, RawManifest) {
    // Every `RandomState` has keys of its own.
    let random = || RandomState::new().build_hasher().finish();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": {
            "placeholder": format!("of the tag {tag}, which is being deleted"),
            "unique": format!("{:016x}{:016x}", random(), random()),
        }},
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    let config = Bytes::from(config.to_string());
    let oci = [MediaType::OCI_MANIFEST, MediaType::OCI_INDEX].contains(style);
    let (manifest_type, config_type) = if oci {
        (MediaType::OCI_MANIFEST, MediaType::OCI_CONFIG)
    } else {
        (MediaType::DOCKER_MANIFEST, MediaType::DOCKER_CONFIG)
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": manifest_type.as_str(),
        "config": {
            "mediaType": config_type.as_str(),
            "size": config.len(),
            "digest": Digest::sha256(&config),
        },
        "layers": [],
    });
    let manifest = RawManifest::new(Some(manifest_type), manifest.to_string().into());
    (config, manifest)
}

/// Puts back what went although only a tag was to go: some registries delete the manifest, and so
/// every tag of it.
async fn give_back(
    repository: &Repository,
    manifest: &RawManifest,
    digest: &Digest,
    siblings: &[String],
) -> Result<(), Error> {
    let names = std::iter::once(digest.as_str()).chain(siblings.iter().map(String::as_str));
    for name in names {
        let failed = |error| Error::GivingBack { name: name.to_owned(), source: Box::new(error) };
        match repository.head_manifest(name).await {
            Ok(_) => {}
            Err(error) if error.status() == Some(404) => {
                debug!("{name} went with the tag and is put back");
                repository.put_manifest(name, manifest).await.map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// The tags other than `own` that lead to a digest; none where there are more than `at_most` to ask
/// about.
async fn others(
    repository: &Repository,
    own: Option<&str>,
    digest: &Digest,
    at_most: usize,
) -> Result<Option<Vec<String>>, Error> {
    let mut tags = repository.tags().await?;
    tags.retain(|tag| Some(tag.as_str()) != own);
    if tags.len() > at_most {
        return Ok(None);
    }
    let ask = async |tag: String| match super::digest_of(repository, &tag).await {
        Ok(found) => Ok((found == *digest).then_some(tag)),
        // It has gone meanwhile.
        Err(Error::Registry(error)) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error),
    };
    let asked: Vec<_> = tags.into_iter().map(ask).collect();
    let found: Vec<Option<String>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    Ok(Some(found.into_iter().flatten().collect()))
}
