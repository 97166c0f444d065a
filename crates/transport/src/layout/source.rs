//! Reading an image of a layout, wherever that lies.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use skopeo_blob::Unverified;
use skopeo_image::{Descriptor, Digest, RawManifest, Which};
use tokio::sync::OnceCell;

use super::folder::Folder;
use super::index::{Index, Target};
use super::{Entry, LayoutName, hanging};
use crate::{
    Error, Head, ImageName, Options, Referrer, ReferrerSearch, Source, files, manifest, registry,
};

/// Where a layout lies: what reading asks of it.
pub(super) trait Place: fmt::Debug + Send + Sync {
    /// The bytes of a manifest, unverified.
    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, Error>;

    /// The length of a blob in bytes; `None` if it is not there.
    fn size(&self, digest: &Digest) -> Option<u64>;

    /// Whether there is a blob.
    fn has(&self, digest: &Digest) -> bool {
        self.size(digest).is_some()
    }

    /// The same, of what may be kept where it is, under the names that it has: a link that would be
    /// read through does not count.
    fn kept_size(&self, digest: &Digest) -> Option<u64> {
        self.size(digest)
    }

    /// Where a blob is, for errors.
    fn locate(&self, digest: &Digest) -> PathBuf;

    /// The bytes of a blob, which must be there.
    fn blob(&self, digest: &Digest) -> Result<Unverified, Error>;
}

/// Opens an image of a layout in a folder.
pub(crate) fn open(name: &LayoutName, options: &Options) -> Result<LayoutSource, Error> {
    let place = Folder::new(name, &options.layout);
    let index = options.opened.indexes.get(&place.index_path(), || place.index())?;
    LayoutSource::new(ImageName::Oci(name.clone()), &name.entry, place, index, options)
}

/// An image in a layout.
#[derive(Debug)]
pub(crate) struct LayoutSource {
    image: ImageName,
    options: Options,
    place: Arc<dyn Place>,
    index: Arc<Index>,
    top: Target,
    /// What says itself what it hangs on, once somebody asked.
    by_subject: OnceCell<HashMap<Digest, Vec<Referrer>>>,
}

impl LayoutSource {
    pub(super) fn new(
        image: ImageName,
        entry: &Entry,
        place: impl Place + 'static,
        index: Arc<Index>,
        options: &Options,
    ) -> Result<Self, Error> {
        let top = index.entry(index.find(entry)?)?.descriptor()?;
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
        let mut found = files::blocking(move || hanging::named(&*place, &index, &digest)).await?;
        if search != ReferrerSearch::Any {
            let known: HashSet<_> = found.iter().map(|it| it.blob.digest.clone()).collect();
            let by_subject = self.by_subject.get_or_try_init(|| {
                let (place, index) = (self.place.clone(), self.index.clone());
                files::blocking(move || hanging::by_subject(&*place, &index))
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
