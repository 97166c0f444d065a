//! Reading `docker-archive:`.

use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use skopeo_blob::{Blob, Unverified};
use skopeo_image::number::wide;
use skopeo_image::{Descriptor, RawManifest, Which};
use tokio::sync::OnceCell;

use super::name::Item;
use super::saved::{Saved, SavedImage};
use super::{DockerArchiveName, SavedImageError, SavingError, manifest};
use crate::{Error, ImageName, Options, Source, files};

/// Opens an archive. Which image of it is meant is looked for when its manifest is asked for.
pub(crate) async fn open(
    name: &DockerArchiveName,
    options: &Options,
) -> Result<SavedSource, Error> {
    let (path, options) = (name.path().to_owned(), options.clone());
    let saved = files::blocking(move || {
        options.read_cache.saved.get(&path, || Saved::open(&path, &options.scratch()))
    });
    let saved = saved.await?;
    Ok(SavedSource::new(ImageName::DockerArchive(name.clone()), saved, name.which().clone()))
}

/// An image in an archive.
#[derive(Debug)]
pub(crate) struct SavedSource {
    name: ImageName,
    saved: Arc<Saved>,
    which: Item,
    image: OnceCell<SavedImage>,
}

impl SavedSource {
    pub(crate) fn new(name: ImageName, saved: Arc<Saved>, which: Item) -> Self {
        Self { name, saved, which, image: OnceCell::new() }
    }

    async fn image(&self) -> Result<&SavedImage, Error> {
        self.image
            .get_or_try_init(|| async {
                let at = manifest::choose(self.saved.items(), &self.which)?;
                let saved = self.saved.clone();
                files::blocking(move || saved.image(saved.item(at)?)).await
            })
            .await
    }
}

#[async_trait]
impl Source for SavedSource {
    fn name(&self) -> &ImageName {
        &self.name
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        match which {
            Which::Top => self.image().await?.manifest(),
            Which::Instance(digest) => {
                // A copy may ask for the only image there is by its digest.
                let manifest = self.image().await?.manifest()?;
                if manifest.has_digest(digest)? {
                    return Ok(manifest);
                }
                Err(SavingError::NoLists.into())
            }
        }
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        let image = self.image().await?;
        if blob.digest == image.config_digest {
            let size = wide(image.config.len());
            let stream = Blob::of_bytes(image.config.clone()).into_stream();
            return Ok(Unverified::new(stream, Some(size)));
        }
        let layer = image.layer(&blob.digest)?;
        layer.ok_or_else(|| SavedImageError::UnknownBlob(blob.digest.clone()).into())
    }

    fn concurrency(&self) -> NonZeroUsize {
        files::CONCURRENCY
    }
}
