//! An image of nothing, which takes a tag away from what it leads to: so whatever a registry
//! deletes with the tag, it is that.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use bytes::Bytes;
use serde_json::json;
use skopeo_image::{Digest, MediaType, RawManifest};
use skopeo_registry::Repository;
use tracing::debug;

use super::super::{attachments, digest_of};
use super::{Habit, cannot, is_gone};
use crate::Error;
use crate::registry::DeletionError;

/// What came of moving a tag to a placeholder and deleting that.
pub(super) enum Replaced {
    /// The tag is gone; with what the registry showed of its habits.
    Gone(Option<Habit>),
    /// The registry does not let the tag be moved, as where tags are immutable. Nothing has
    /// changed.
    NotMoved(Error),
}

/// Moves the tag to a manifest of its own and deletes that. If that cannot be, the tag is moved
/// back.
pub(super) async fn replace(
    repository: &Repository,
    tag: &str,
    original: &RawManifest,
    habit: Option<Habit>,
) -> Result<Replaced, Error> {
    let (config, placeholder) = placeholder(tag, &original.media_type);
    let digest = placeholder.digest()?;
    let descriptor = attachments::descriptor(MediaType::default(), &config);
    if let Err(error) = attachments::put(repository, &descriptor, config).await {
        return Ok(Replaced::NotMoved(error));
    }
    match repository.put_manifest(tag, &placeholder).await {
        Ok(_) => {}
        Err(error) if error.status().is_some_and(|status| (400..500).contains(&status)) => {
            return Ok(Replaced::NotMoved(error.into()));
        }
        // It may have come about all the same.
        Err(error) => return Err(move_back(repository, tag, original, &digest, error).await),
    }
    let deleted = match habit {
        // Whoever moves the tag meanwhile keeps it.
        Some(Habit::Refuses | Habit::TakesImage) => {
            repository.delete_manifest(&digest).await.map(|()| habit)
        }
        _ => match repository.delete_tag(tag).await {
            Ok(()) => Ok(None),
            Err(error) if cannot(&error) => {
                debug!("deleting tag {tag}: {error}; its placeholder is deleted");
                repository.delete_manifest(&digest).await.map(|()| Some(Habit::Refuses))
            }
            Err(error) => Err(error),
        },
    };
    match deleted {
        Ok(Some(habit)) => Ok(Replaced::Gone(Some(habit))),
        Ok(None) => Ok(Replaced::Gone(Some(remove(repository, &digest).await?))),
        // The answer may have been lost only.
        Err(_) if is_gone(repository, tag).await => {
            let _ = remove(repository, &digest).await;
            Ok(Replaced::Gone(None))
        }
        Err(error) => Err(move_back(repository, tag, original, &digest, error).await),
    }
}

/// Removes what is left of a placeholder whose tag is deleted, and so tells what goes with a tag.
async fn remove(repository: &Repository, placeholder: &Digest) -> Result<Habit, Error> {
    match repository.head_manifest(placeholder.as_str()).await {
        Ok(_) => {}
        Err(error) if error.status() == Some(404) => return Ok(Habit::TakesImage),
        Err(error) => return Err(error.into()),
    }
    if let Err(error) = repository.delete_manifest(placeholder).await {
        debug!("deleting the placeholder {placeholder}, which has no tag any more: {error}");
    }
    Ok(Habit::TagOnly)
}

/// Moves a tag back from its placeholder, unless somebody else has moved it. Gives back the error
/// to be told.
async fn move_back(
    repository: &Repository,
    tag: &str,
    original: &RawManifest,
    placeholder: &Digest,
    error: skopeo_registry::Error,
) -> Error {
    if digest_of(repository, tag).await.is_ok_and(|now| now != *placeholder) {
        return error.into();
    }
    match repository.put_manifest(tag, original).await {
        Ok(_) => error.into(),
        Err(error) => {
            DeletionError::GivingBack { name: tag.to_owned(), source: Box::new(error) }.into()
        }
    }
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
