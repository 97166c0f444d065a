//! Reading `oci:`.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use skopeo_blob::Unverified;
use skopeo_image::{Descriptor, Digest, RawManifest, Which};

use super::LayoutName;
use super::folder::Folder;
use super::index::{Index, Target};
use crate::{Error, ImageName, Options, Source, files, manifest, registry};

/// Opens an image of a layout.
pub(crate) fn open(name: &LayoutName, options: &Options) -> Result<LayoutSource, Error> {
    let folder = Folder::new(name, &options.layout);
    let index = folder.index()?;
    let top = index.entries()[index.find(&name.entry)?].descriptor()?;
    Ok(LayoutSource {
        image: ImageName::Oci(name.clone()),
        options: options.clone(),
        folder,
        index,
        top,
    })
}

/// An image in a layout.
#[derive(Debug)]
pub(crate) struct LayoutSource {
    image: ImageName,
    options: Options,
    folder: Folder,
    index: Index,
    top: Target,
}

#[async_trait]
impl Source for LayoutSource {
    fn name(&self) -> &ImageName {
        &self.image
    }

    async fn head(&self) -> Result<Option<Digest>, Error> {
        Ok(Some(self.top.digest.clone()))
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        let digest = match which {
            Which::Top => &self.top.digest,
            Which::Instance(digest) => digest,
        };
        let same = |target: &Target| target.digest == *digest;
        let media_type = match which {
            Which::Top => Some(self.top.media_type.clone()),
            Which::Instance(_) => self
                .index
                .entries()
                .iter()
                .filter_map(|entry| entry.descriptor().ok())
                .find(same)
                .map(|target| target.media_type),
        };
        let bytes = self.folder.manifest(digest)?;
        manifest::checked(media_type, bytes, &Which::Instance(digest.clone()))
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        let path = self.folder.blob(&blob.digest);
        // A layer that need not be distributed may not be here at all.
        if files::size_of(&path).is_none()
            && let Some(blob) = registry::elsewhere(&blob.urls, &self.options).await?
        {
            return Ok(blob);
        }
        files::read_blob(&path, Some(&self.folder.blobs()))
    }

    fn concurrency(&self) -> NonZeroUsize {
        files::CONCURRENCY
    }
}
