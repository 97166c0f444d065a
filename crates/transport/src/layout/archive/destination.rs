//! Writing an image into a layout in a tar.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use skopeo_archive::is_special;
use skopeo_blob::Blob;
use skopeo_image::{Digest, RawManifest, Signature, Which};

use super::super::destination::{accepts, digest_of, entry, reference, require_kept, signed};
use super::super::referrers::PendingReferrers;
use super::ArchiveName;
use super::packing::{Images, Packing};
use crate::probe::Unopened;
use crate::tar::{Hold, place};
use crate::{
    Accepts, CommitError, Destination, Error, How, ImageName, Options, Probe, PutManifestError,
    Referrer, Role, Stored, Wish, files,
};

/// What would be written to an archive, of which nothing is known before it is opened.
pub(crate) fn look(name: &ArchiveName, options: &Options) -> Result<Unopened, Error> {
    reference(name.wanted())?;
    let accepts = accepts(&options.layout);
    Ok(Unopened::new(ImageName::OciArchive(name.clone()), accepts))
}

/// Opens a file, or a pipe, that a layout is to be written to. The images that are there stay.
/// Waits until no other program writes it.
pub(crate) async fn create(
    name: &ArchiveName,
    options: &Options,
) -> Result<ArchiveDestination, Error> {
    reference(name.wanted())?;
    let place = place(name.path())?;
    let hold = Hold::take(&place).await?;
    let packing = Arc::new(Packing::added_to(&place, options, Images::One).await?);
    packing.hold(hold);
    packing.begin().await?;
    ArchiveDestination::new(name, packing, accepts(&options.layout), Rest::Nothing)
}

/// A place in a layout that is being written to a tar.
#[derive(Debug)]
pub(crate) struct ArchiveDestination {
    image: ImageName,
    reference: Option<String>,
    accepts: Accepts,
    packing: Arc<Packing>,
    rest: Rest,
    top: Mutex<Option<RawManifest>>,
    referrers: Mutex<PendingReferrers>,
}

/// What is written to the tar beside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: it ends with the image.
    Nothing,
    /// Others, and somebody else ends it.
    Others,
}

impl ArchiveDestination {
    pub(super) fn new(
        name: &ArchiveName,
        packing: Arc<Packing>,
        mut accepts: Accepts,
        rest: Rest,
    ) -> Result<Self, Error> {
        if is_special(name.path()) {
            // A pipe has one end that could be written to.
            accepts.concurrency = NonZeroUsize::MIN;
        }
        Ok(Self {
            image: ImageName::OciArchive(name.clone()),
            reference: reference(name.wanted())?,
            accepts,
            packing,
            rest,
            top: Mutex::default(),
            referrers: Mutex::default(),
        })
    }

    fn top(&self) -> MutexGuard<'_, Option<RawManifest>> {
        self.top.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn referrers(&self) -> MutexGuard<'_, PendingReferrers> {
        self.referrers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Probe for ArchiveDestination {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        self.packing.present(self.reference.as_deref()).await
    }

    fn pool(&self) -> Option<String> {
        Some(self.packing.pool())
    }

    fn keeps_referrers(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

#[async_trait]
impl Destination for ArchiveDestination {
    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        let digest = &wish.blob.digest;
        let size = self.packing.size(digest).await?.filter(|size| files::is_wished(*size, wish));
        Ok(size.map(|size| Stored { digest: digest.clone(), size, how: How::Present }))
    }

    async fn put_blob(&self, blob: Blob, _role: Role) -> Result<Stored, Error> {
        self.packing.put_blob(blob).await
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        let digest = digest_of(manifest, which)?;
        self.packing.put_manifest(&digest, manifest).await?;
        self.referrers().note(digest, manifest);
        if *which == Which::Top {
            *self.top() = Some(manifest.clone());
        }
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error> {
        if signatures.is_empty() {
            return Ok(());
        }
        require_kept(signatures, &self.accepts)?;
        let subject = signed(which, self.top().as_ref())?;
        let there = self.packing.bundles(&subject)?;
        let carriers = self.referrers().carriers(&subject, signatures, &there)?;
        for carrier in carriers {
            for (blob, bytes) in &carrier.blobs {
                self.packing.put_bytes(&blob.digest, bytes).await?;
            }
            let put = self.put_referrer(&subject, &carrier.referrer, &carrier.manifest).await;
            put.map_err(PutManifestError::into_error)?;
        }
        Ok(())
    }

    async fn put_referrer(
        &self,
        subject: &Digest,
        referrer: &Referrer,
        manifest: &RawManifest,
    ) -> Result<(), PutManifestError> {
        self.put_manifest(manifest, &Which::Instance(referrer.blob.digest.clone())).await?;
        self.referrers().add(subject, referrer, manifest)?;
        Ok(())
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        if self.top().as_ref() != Some(top) {
            return Err(CommitError::NothingToCommit.into());
        }
        let referrers = std::mem::take(&mut *self.referrers());
        self.packing.name(Some(entry(top, self.reference.as_deref())), referrers)?;
        match self.rest {
            Rest::Nothing => self.packing.finish().await,
            Rest::Others => Ok(()),
        }
    }

    async fn commit_referrers(self: Box<Self>) -> Result<(), Error> {
        let referrers = std::mem::take(&mut *self.referrers());
        if referrers.is_empty() {
            return Ok(());
        }
        self.packing.name(None, referrers)
    }
}
