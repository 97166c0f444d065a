//! The reading door.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use skopeo_blob::Unverified;
use skopeo_image::{Descriptor, Digest, MediaType, RawManifest, Signature, Which};

use crate::{Error, ImageName, Referrer, ReferrerSearch};

/// The reading side of one image.
#[async_trait]
pub trait Source: Send + Sync {
    /// Returns the name the user gave. Trust is decided about this, never about what the image
    /// claims.
    fn name(&self) -> &ImageName;

    /// Returns what the name leads to, where it can be had without the manifest itself (a HEAD
    /// request). `None` says nothing; a missing image is an error.
    async fn head(&self) -> Result<Option<Head>, Error> {
        Ok(None)
    }

    /// Returns the manifest. What was asked for by digest has been compared with it.
    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error>;

    /// Returns the bytes of a blob that some manifest of this image names.
    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error>;

    /// Returns the bytes of a blob from `offset` on, which is less than its size, where it can be
    /// read from there; `None` where it cannot, or is not worth it.
    async fn blob_from(
        &self,
        _blob: &Descriptor,
        _offset: u64,
    ) -> Result<Option<Unverified>, Error> {
        Ok(None)
    }

    /// Returns the layers of an image as they can be read here, one for each that its manifest
    /// names; `None` where these are there as they are. Some places keep what was in layers, not
    /// the blobs.
    async fn layers(
        &self,
        _manifest: &RawManifest,
        _which: &Which,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        Ok(None)
    }

    /// Returns the signatures stored beside the manifest.
    async fn signatures(&self, _which: &Which) -> Result<Vec<Signature>, Error> {
        Ok(Vec::new())
    }

    /// Returns the referrers of the manifest of that digest; `None` where no image has referrers.
    /// All of it is only claimed: who reads a manifest that is named here looks what it is about.
    async fn referrers(
        &self,
        _subject: &Digest,
        _search: ReferrerSearch,
    ) -> Result<Option<Vec<Referrer>>, Error> {
        Ok(None)
    }

    /// Returns whether what is asked of it goes over the network, one request each.
    fn is_remote(&self) -> bool {
        false
    }

    /// Returns how many blobs are worth reading at once.
    fn concurrency(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }
}

/// What is known of a manifest that has not been read. Only claimed, never verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its digest.
    pub digest: Digest,
    /// Its type, where that is told.
    pub media_type: Option<MediaType>,
}

impl Head {
    /// Returns whether it is known to be one image, and no list of images.
    #[must_use]
    pub fn is_single(&self) -> bool {
        let single = [MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST];
        self.media_type.as_ref().is_some_and(|it| single.contains(it))
    }
}
