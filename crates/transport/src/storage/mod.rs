//! `containers-storage:`, the images of podman, buildah and CRI-O.
//!
//! The store itself is the crate `skopeo-storage`; here is what images mean in it: names, manifests
//! by their digests, signatures, and layers that are kept as what was in them.

mod came;
mod commit;
mod destination;
mod error;
mod name;
mod opened;
mod packed;
mod shared;
mod signatures;
mod source;

use skopeo_image::Digest;

use crate::probe::Unopened;
use crate::{CommitError, Destination, Error, ImageName, Options, Probe, Source, files};

pub use error::StorageError;
pub(crate) use name::check_name;
pub use name::{StorageName, StorageNameError};
pub(crate) use shared::StagedLayers;

/// Whether the program has it.
pub(crate) const IS_BUILT: bool = true;

/// What to use instead; it is there.
pub(crate) const INSTEAD: Option<&str> = None;

/// Opens an image of a store.
pub(crate) async fn open(name: &StorageName, options: &Options) -> Result<Box<dyn Source>, Error> {
    Ok(Box::new(source::open(name, options).await?))
}

/// Opens a store for an image to be written.
pub(crate) async fn create(
    name: &StorageName,
    options: &Options,
) -> Result<Box<dyn Destination>, Error> {
    Ok(Box::new(destination::create(name, options).await?))
}

/// Looks at a store that an image could be written to. One that is missing is not made.
pub(crate) async fn look(name: &StorageName, options: &Options) -> Result<Box<dyn Probe>, Error> {
    let (asked, config) = (name.clone(), options.config.clone());
    let found = files::blocking(move || Ok(config.store(asked.spec())?)).await?;
    if found.graph_root.is_dir() {
        return Ok(Box::new(destination::create(name, options).await?));
    }
    let accepts = destination::accepts(name, files::CONCURRENCY);
    let unopened = Unopened::new(ImageName::Storage(name.clone()), accepts);
    let keeps_layers =
        |image: &_, layers: &[_]| Ok(destination::require_unpackable(image, layers)?);
    let pool = Some(destination::pool(found.driver, &found.graph_root));
    Ok(Box::new(Unopened { keeps_layers, pool, shares: destination::shares, ..unopened }))
}

/// What the images of a store are called, each name once, in the order of their names.
pub(crate) async fn labels(any: &StorageName, options: &Options) -> Result<Vec<String>, Error> {
    let (any, config) = (any.clone(), options.config.clone());
    files::blocking(move || {
        let (store, _) = opened::open(&any, &config)?;
        let images = store.images().map_err(StorageError::Store)?;
        let mut labels: Vec<String> = images.into_iter().flat_map(|image| image.names).collect();
        labels.sort_unstable();
        labels.dedup();
        Ok(labels)
    })
    .await
}

/// The names of the images that lie in the store itself; none if there is no store.
pub(crate) async fn own_labels(any: &StorageName, options: &Options) -> Result<Vec<String>, Error> {
    let (any, config) = (any.clone(), options.config.clone());
    files::blocking(move || {
        if !opened::is_there(&any, &config)? {
            return Ok(Vec::new());
        }
        let (store, _) = opened::open(&any, &config)?;
        let images = store.images().map_err(StorageError::Store)?.into_iter();
        Ok(images.filter(|image| !image.read_only).flat_map(|image| image.names).collect())
    })
    .await
}

/// The digest of the manifest of an image, by its name.
pub(crate) async fn digest(name: &StorageName, options: &Options) -> Result<Option<Digest>, Error> {
    let (name, config) = (name.clone(), options.config.clone());
    let platforms = options.storage.platforms.clone();
    files::blocking(move || {
        let (store, name) = opened::open(&name, &config)?;
        let image = opened::resolve(&store, &name, &platforms)?;
        Ok(image.data(opened::MANIFEST).and_then(|data| data.digest.clone()))
    })
    .await
}

/// Takes a name from the image of that digest; one that has no other is deleted, with the layers
/// that nothing else needs.
pub(crate) async fn remove_name(
    name: &StorageName,
    options: &Options,
    expected: &Digest,
) -> Result<(), Error> {
    let (name, config, expected) = (name.clone(), options.config.clone(), expected.clone());
    let platforms = options.storage.platforms.clone();
    files::blocking(move || {
        let (store, settled) = opened::open(&name, &config)?;
        let image = opened::resolve(&store, &settled, &platforms)?;
        let found = image.data(opened::MANIFEST).and_then(|data| data.digest.clone());
        if found.as_ref() != Some(&expected) {
            return Err(CommitError::Rewritten(format!("containers-storage:{name}")).into());
        }
        let reference = settled.reference().map(ToString::to_string).unwrap_or_default();
        let layers = store.remove_name(&image.id, &reference).map_err(StorageError::Store)?;
        tracing::debug!("took {reference:?} from image {:?}, {} layers", image.id, layers.len());
        Ok(())
    })
    .await
}

/// Deletes an image with all its names, and the layers that nothing else needs.
pub(crate) async fn delete(name: &StorageName, options: &Options) -> Result<(), Error> {
    let (name, config) = (name.clone(), options.config.clone());
    let platforms = options.storage.platforms.clone();
    files::blocking(move || {
        let (store, name) = opened::open(&name, &config)?;
        let image = opened::resolve(&store, &name, &platforms)?;
        let layers = store.delete_image(&image.id).map_err(StorageError::Store)?;
        tracing::debug!("deleted image {:?} and {} layers", image.id, layers.len());
        Ok(())
    })
    .await
}
