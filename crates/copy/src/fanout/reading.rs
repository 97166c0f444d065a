//! A source that remembers which manifests it has given out.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use skopeo_blob::Unverified;
use skopeo_image::{Descriptor, Digest, RawManifest, Signature, Which};
use skopeo_transport::{Error, Head, ImageName, Referrer, ReferrerSearch, Source};

use crate::KnownIndexes;

/// The manifests that were read: what is written and is one of them, has not been changed.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadManifests {
    digests: Arc<Mutex<HashSet<Digest>>>,
    /// Those that nobody had to read once more.
    lists: Arc<KnownIndexes>,
}

impl ReadManifests {
    pub(super) fn new(lists: Arc<KnownIndexes>) -> Self {
        Self { digests: Arc::default(), lists }
    }

    fn add(&self, manifest: &RawManifest) {
        if let Ok(digest) = manifest.digest() {
            self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        }
    }

    pub(super) fn has(&self, manifest: &RawManifest) -> bool {
        let Ok(digest) = manifest.digest() else { return false };
        let seen = self.digests.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest);
        seen || self.lists.get(&digest).is_some()
    }
}

/// A source whose manifests are remembered.
pub(super) struct Reading<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) seen: ReadManifests,
}

#[async_trait]
impl Source for Reading<'_> {
    fn name(&self) -> &ImageName {
        self.source.name()
    }

    async fn head(&self) -> Result<Option<Head>, Error> {
        self.source.head().await
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        let manifest = self.source.manifest(which).await?;
        self.seen.add(&manifest);
        Ok(manifest)
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        self.source.blob(blob).await
    }

    async fn blob_from(&self, blob: &Descriptor, offset: u64) -> Result<Option<Unverified>, Error> {
        self.source.blob_from(blob, offset).await
    }

    async fn signatures(&self, which: &Which) -> Result<Vec<Signature>, Error> {
        self.source.signatures(which).await
    }

    async fn referrers(
        &self,
        subject: &Digest,
        search: ReferrerSearch,
    ) -> Result<Option<Vec<Referrer>>, Error> {
        self.source.referrers(subject, search).await
    }

    fn is_remote(&self) -> bool {
        self.source.is_remote()
    }

    fn concurrency(&self) -> NonZeroUsize {
        self.source.concurrency()
    }
}
