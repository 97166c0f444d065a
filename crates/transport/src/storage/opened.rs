//! A store that is open, and what a name means in it.

use skopeo_config::{Config, StoreDriver};
use skopeo_image::{Digest, MediaType, Platform, RawManifest, Reference};
use skopeo_storage::{Driver, Image, Store};
use tracing::error;

use super::{StorageError, StorageName};
use crate::Error;

/// Under which key the manifest is that a name leads to.
pub(super) const MANIFEST: &str = "manifest";

/// Under which key the manifest of that digest is.
pub(super) fn manifest_key(digest: &Digest) -> String {
    format!("{MANIFEST}-{digest}")
}

/// Whether the store of a name is there. Opening it would make it.
pub(super) fn is_there(name: &StorageName, config: &Config) -> Result<bool, Error> {
    Ok(config.store(name.spec())?.graph_root.is_dir())
}

/// Opens the store of a name, and says what the name means in it. Waits for the disk.
pub(super) fn open(name: &StorageName, config: &Config) -> Result<(Store, StorageName), Error> {
    let found = config.store(name.spec())?;
    let options = skopeo_storage::Options {
        driver: match found.driver {
            StoreDriver::Overlay => Driver::Overlay,
            StoreDriver::Vfs => Driver::Vfs,
        },
        graph_root: found.graph_root.clone(),
        run_root: found.run_root.clone(),
        image_store: found.image_store.clone(),
        additional_stores: found.additional_stores.clone(),
        transient: found.transient,
        ignore_chown_errors: found.ignore_chown_errors,
        force_mask: found.force_mask,
        mount_program: found.mount_program,
        rootless: found.rootless,
    };
    let store = Store::open(options).map_err(StorageError::Store)?;
    let images = match name.needs_images() {
        true => store.images().map_err(StorageError::Store)?,
        false => Vec::new(),
    };
    let find = |beginning: &str| {
        // A name comes first, but it counts only if it is the id, too.
        if let Some(named) =
            images.iter().find(|image| image.names.iter().any(|it| it == beginning))
        {
            return named.id.starts_with(beginning).then(|| named.id.clone());
        }
        let mut begin = images.iter().filter(|image| image.id.starts_with(beginning));
        let first = begin.next()?;
        begin.all(|other| other.id == first.id).then(|| first.id.clone())
    };
    let settled = name.settle(found, find)?;
    Ok((store, settled))
}

/// The image that a settled name leads to. Waits for the disk.
pub(super) fn resolve(
    store: &Store,
    name: &StorageName,
    platforms: &[Platform],
) -> Result<Image, StorageError> {
    let unknown =
        |error: &skopeo_storage::Error| matches!(error, skopeo_storage::Error::ImageUnknown { .. });
    let image = match (name.id(), name.reference()) {
        (Some(id), _) => {
            let image = store.image(id);
            image.map_err(|source| StorageError::Image {
                id: id.to_owned(),
                source: source.into(),
            })?
        }
        (None, Some(reference)) => {
            let found = match store.image(&reference.to_string()) {
                Ok(image) => Some(image),
                Err(error) if unknown(&error) => by_digest(store, reference, platforms)?,
                Err(error) => return Err(error.into()),
            };
            found.ok_or_else(|| StorageError::NotResolved(name.to_string()))?
        }
        (None, None) => return Err(StorageError::NotResolved(name.to_string())),
    };
    if let Some(reference) = name.reference()
        && !is_of_repository(&image, reference)
    {
        error!("no image matching reference {:?} found", name.to_string());
        return Err(StorageError::OtherName);
    }
    Ok(image)
}

/// The image that has a manifest of the name's digest, and a name of the same repository: the
/// first, unless another came by that very list and is the one of it for our platform.
fn by_digest(
    store: &Store,
    reference: &Reference,
    platforms: &[Platform],
) -> Result<Option<Image>, StorageError> {
    let Some(digest) = &reference.digest else { return Ok(None) };
    let mut found: Option<Image> = None;
    for image in store.images_by_digest(digest)? {
        if is_of_repository(&image, reference)
            && (found.is_none() || is_chosen(store, &image, digest, platforms))
        {
            found = Some(image);
        }
    }
    Ok(found)
}

/// Whether an image has the list of that digest, and is the one that is chosen from it.
fn is_chosen(store: &Store, image: &Image, list: &Digest, platforms: &[Platform]) -> bool {
    let Ok(bytes) = store.image_data(&image.id, &manifest_key(list)) else { return false };
    let manifest = RawManifest::new(None, bytes.into());
    if !manifest.media_type.is_index() {
        return false;
    }
    match manifest.parse() {
        Ok(skopeo_image::Manifest::Index(list)) => {
            list.choose(platforms).is_ok_and(|digest| image.data(&manifest_key(&digest)).is_some())
        }
        _ => false,
    }
}

/// Whether an image has a name in the repository of another.
fn is_of_repository(image: &Image, reference: &Reference) -> bool {
    image
        .names
        .iter()
        .any(|name| Reference::parse_normalized(name).is_ok_and(|name| name.name == reference.name))
}

/// The type of layers that are not packed, in manifests of that type.
pub(super) fn plain_layer(manifest: &MediaType) -> MediaType {
    match *manifest == MediaType::OCI_MANIFEST {
        true => MediaType::OCI_LAYER,
        false => MediaType::DOCKER_LAYER,
    }
}
