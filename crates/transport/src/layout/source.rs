//! Reading an image of a layout, wherever that lies.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use skopeo_blob::Unverified;
use skopeo_image::{Descriptor, Digest, RawManifest, Which};
use tokio::sync::OnceCell;

use super::blob_store::BlobStore;
use super::folder::Folder;
use super::index::{Index, Target};
use super::name::Wanted;
use super::{LayoutName, referrers};
use crate::{
    Error, Head, ImageName, Options, Referrer, ReferrerSearch, Source, files, manifest, registry,
};

/// Opens an image of a layout in a folder.
pub(crate) fn open(name: &LayoutName, options: &Options) -> Result<LayoutSource, Error> {
    let place = Folder::new(name, &options.layout);
    let index = options.read_cache.indexes.get(&place.index_path(), || place.index())?;
    LayoutSource::new(ImageName::Oci(name.clone()), &name.wanted, place, index, options)
}

/// An image in a layout.
#[derive(Debug)]
pub(crate) struct LayoutSource {
    image: ImageName,
    options: Options,
    place: Arc<dyn BlobStore>,
    index: Arc<Index>,
    top: Target,
    /// The manifests that say their subject themselves, by that subject, once somebody asked.
    by_subject: OnceCell<HashMap<Digest, Vec<Referrer>>>,
}

impl LayoutSource {
    pub(super) fn new(
        image: ImageName,
        wanted: &Wanted,
        place: impl BlobStore + 'static,
        index: Arc<Index>,
        options: &Options,
    ) -> Result<Self, Error> {
        let top = index.entry(index.find(wanted)?)?.descriptor()?;
        Ok(Self {
            image,
            options: options.clone(),
            place: Arc::new(place),
            index,
            top,
            by_subject: OnceCell::new(),
        })
    }
}

#[async_trait]
impl Source for LayoutSource {
    fn name(&self) -> &ImageName {
        &self.image
    }

    async fn head(&self) -> Result<Option<Head>, Error> {
        let Target { digest, media_type } = self.top.clone();
        Ok(Some(Head { digest, media_type: Some(media_type) }))
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
        let bytes = self.place.manifest(digest)?;
        manifest::checked(media_type, bytes, &Which::Instance(digest.clone()))
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        // A layer that need not be distributed may not be here at all.
        if !self.place.has(&blob.digest)
            && let Some(blob) = registry::elsewhere(blob, &self.options).await?
        {
            return Ok(blob);
        }
        self.place.blob(&blob.digest)
    }

    async fn referrers(
        &self,
        subject: &Digest,
        search: ReferrerSearch,
    ) -> Result<Option<Vec<Referrer>>, Error> {
        let (place, index, digest) = (self.place.clone(), self.index.clone(), subject.clone());
        let mut found = files::blocking(move || referrers::named(&*place, &index, &digest)).await?;
        if search != ReferrerSearch::Any {
            let known: HashSet<_> = found.iter().map(|it| it.blob.digest.clone()).collect();
            let by_subject = self.by_subject.get_or_try_init(|| {
                let (place, index) = (self.place.clone(), self.index.clone());
                files::blocking(move || referrers::by_subject(&*place, &index))
            });
            let more = by_subject.await?.get(subject).into_iter().flatten();
            found.extend(more.filter(|it| !known.contains(&it.blob.digest)).cloned());
        }
        Ok(Some(found))
    }

    fn concurrency(&self) -> NonZeroUsize {
        files::CONCURRENCY
    }
}
