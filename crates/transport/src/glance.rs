//! A destination that is only looked at: what a plan must know of it, and what is there.

use std::path::PathBuf;

use async_trait::async_trait;
use skopeo_blob::Blob;
use skopeo_image::{Digest, RawManifest, Signature, Which};

use crate::{
    Accepts, Destination, Error, How, ImageName, PutManifestError, Role, Stored, Wish, files,
};

/// What is looked at.
#[async_trait]
pub(crate) trait Sight: Send + Sync {
    /// As [`Destination::present`].
    async fn present(&self) -> Result<Option<Digest>, Error> {
        Ok(None)
    }

    /// Where a blob lies if it is there.
    fn blob_path(&self, _digest: &Digest) -> Option<PathBuf> {
        None
    }

    /// The length of a blob in bytes, if it is there.
    fn size(&self, digest: &Digest) -> Option<u64> {
        files::plain_size(&self.blob_path(digest)?)
    }

    /// As [`Destination::keeps_referrers`].
    fn keeps_referrers(&self) -> Result<(), &'static str> {
        Err("nothing can hang on an image there")
    }

    /// As [`Destination::pool`].
    fn pool(&self) -> Option<String> {
        None
    }
}

/// A place that nothing is known of, but that it takes what is written to it.
pub(crate) struct Unseen;

impl Sight for Unseen {}

/// The destination of that name, which nothing can be written to.
pub(crate) struct Glance<S> {
    pub(crate) name: ImageName,
    pub(crate) accepts: Accepts,
    pub(crate) sight: S,
}

impl<S> Glance<S> {
    fn refused(&self) -> Error {
        let transport = self.name.transport();
        Error::Unsupported { transport, operation: "Writing to what is only looked at" }
    }
}

#[async_trait]
impl<S: Sight> Destination for Glance<S> {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        self.sight.present().await
    }

    async fn holds(&self, wish: &Wish<'_>) -> Result<Option<How>, Error> {
        let size = self.sight.size(&wish.blob.digest);
        Ok(size.filter(|size| files::is_wished(*size, wish)).map(|_| How::Present))
    }

    fn pool(&self) -> Option<String> {
        self.sight.pool()
    }

    async fn put_blob(&self, _blob: Blob, _role: Role) -> Result<Stored, Error> {
        Err(self.refused())
    }

    async fn put_manifest(
        &self,
        _manifest: &RawManifest,
        _which: &Which,
    ) -> Result<(), PutManifestError> {
        Err(self.refused().into())
    }

    async fn put_signatures(&self, _signatures: &[Signature], _which: &Which) -> Result<(), Error> {
        Err(self.refused())
    }

    fn keeps_referrers(&self) -> Result<(), &'static str> {
        self.sight.keeps_referrers()
    }

    async fn commit(self: Box<Self>, _top: &RawManifest) -> Result<(), Error> {
        Err(self.refused())
    }
}
