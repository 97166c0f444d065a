//! Reading an image of a layout in a bucket.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use skopeo_blob::Unverified;
use skopeo_image::{Descriptor, Digest, RawManifest, Which};
use tokio::sync::OnceCell;

use super::super::index::{Index, Target};
use super::super::referrers;
use super::contents::{Bucket, unverified};
use super::name::BucketName;
use super::opening::bucket;
use crate::{
    Error, Head, ImageName, Options, Referrer, ReferrerSearch, Source, files, manifest, registry,
};

/// Opens an image of a layout in a bucket.
pub(crate) async fn open(name: &BucketName, options: &Options) -> Result<BucketSource, Error> {
    let bucket = bucket(name.url(), options).await?;
    let index = bucket.index().await?;
    let (_, top) = super::found(&index, name.wanted())?;
    Ok(BucketSource {
        image: ImageName::Bucket(name.clone()),
        options: options.clone(),
        bucket,
        index,
        top,
        by_subject: OnceCell::new(),
    })
}

/// An image in a bucket.
#[derive(Debug)]
pub(crate) struct BucketSource {
    image: ImageName,
    options: Options,
    bucket: Arc<Bucket>,
    index: Arc<Index>,
    top: Target,
    /// The manifests that say their subject themselves, by that subject, once somebody asked.
    by_subject: OnceCell<HashMap<Digest, Vec<Referrer>>>,
}

#[async_trait]
impl Source for BucketSource {
    fn name(&self) -> &ImageName {
        &self.image
    }

    async fn head(&self) -> Result<Option<Head>, Error> {
        let Target { digest, media_type } = self.top.clone();
        Ok(Some(Head { digest, media_type: Some(media_type) }))
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        let (digest, media_type) = match which {
            Which::Top => (&self.top.digest, Some(self.top.media_type.clone())),
            Which::Instance(digest) => {
                let targets = self.index.entries().iter().filter_map(|it| it.descriptor().ok());
                let mut same = targets.filter(|target| target.digest == *digest);
                (digest, same.next().map(|target| target.media_type))
            }
        };
        let bytes = self.bucket.manifest(digest).await?;
        manifest::checked(media_type, bytes, &Which::Instance(digest.clone()))
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        match self.bucket.read(&blob.digest, None).await {
            Ok(reading) => {
                let size = reading.size;
                Ok(unverified(reading, size))
            }
            // A layer that need not be distributed may not be here at all.
            Err(error) if error.is_not_found() => {
                match registry::elsewhere(blob, &self.options).await? {
                    Some(blob) => Ok(blob),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn blob_from(&self, blob: &Descriptor, offset: u64) -> Result<Option<Unverified>, Error> {
        let Some(size) = blob.size.filter(|size| *size > offset) else { return Ok(None) };
        let reading = self.bucket.read(&blob.digest, Some((offset, size))).await?;
        Ok(Some(unverified(reading, size.saturating_sub(offset))))
    }

    async fn referrers(
        &self,
        subject: &Digest,
        search: ReferrerSearch,
    ) -> Result<Option<Vec<Referrer>>, Error> {
        let (bucket, index, digest) = (self.bucket.clone(), self.index.clone(), subject.clone());
        let named = files::blocking(move || referrers::named(&*bucket, &index, &digest));
        let mut found = named.await?;
        if search != ReferrerSearch::Any {
            let known: HashSet<_> = found.iter().map(|it| it.blob.digest.clone()).collect();
            let by_subject = self.by_subject.get_or_try_init(|| async {
                self.bucket.list().await?;
                self.bucket.fetch_manifests(&self.index).await?;
                let (bucket, index) = (self.bucket.clone(), self.index.clone());
                files::blocking(move || referrers::by_subject(&*bucket, &index)).await
            });
            let more = by_subject.await?.get(subject).into_iter().flatten();
            found.extend(more.filter(|it| !known.contains(&it.blob.digest)).cloned());
        }
        Ok(Some(found))
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn concurrency(&self) -> NonZeroUsize {
        files::CONCURRENCY
    }
}
