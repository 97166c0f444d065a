//! The door for questions: what is at a destination, and what it would take.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use skopeo_image::{Descriptor, Digest, ImageManifest, MediaType, RawManifest, SignatureKind};

use crate::signature_error::SignaturesError;
use crate::{Error, ImageName, KeptSignatures, PutManifestError, Referrer};

/// A place for one image, as far as questions go. No question changes anything there.
///
/// A [`Destination`](crate::Destination) is a probe that can be written to; what
/// [`look`](crate::look) opens is nothing but a probe.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Returns the name that the user gave.
    fn name(&self) -> &ImageName;

    /// Returns what a plan must know.
    fn accepts(&self) -> &Accepts;

    /// Returns the digest that is under the name now, if all that belongs to it is there too.
    /// `None` where that is not cheap to know, or where writing begins with emptying the place.
    async fn present(&self) -> Result<Option<Digest>, Error> {
        Ok(None)
    }

    /// Returns the digest that is under the name now, if that is the image of this manifest in the
    /// form in which it would be written here. `None` where images stay as they are, and
    /// [`present`](Self::present) tells.
    async fn equals(&self, _manifest: &RawManifest) -> Result<Option<Digest>, Error> {
        Ok(None)
    }

    /// Returns how the blob would come to be here if its bytes were not sent. `None` where they
    /// have to be, or where that is not cheap to know.
    async fn holds(&self, _wish: &Wish<'_>) -> Result<Option<How>, Error> {
        Ok(None)
    }

    /// Returns where its blobs lie together with those of other images: what one of them has
    /// brought there, [`reuse`](crate::Destination::reuse) finds for all. `None` where each image
    /// is alone.
    fn pool(&self) -> Option<String> {
        None
    }

    /// Returns whether what one image brings to the pool as this is found there for another.
    fn shares(&self, _role: Role) -> bool {
        true
    }

    /// Returns the part of the pool in which a blob that is there needs nothing more to be had: of
    /// a registry, the repository.
    fn room(&self) -> Option<String> {
        self.pool()
    }

    /// Returns whether what is asked of it goes over the network, one request each.
    fn is_remote(&self) -> bool {
        false
    }

    /// Returns an error if a signature of that form cannot be stored, as far as that is known
    /// before anything is written.
    ///
    /// # Errors
    /// Why not.
    fn keeps_signatures(&self, kind: SignatureKind) -> Result<(), Error> {
        let kept = self.accepts().signatures;
        Ok(kept.require(kind).map_err(SignaturesError::Unsupported)?)
    }

    /// Returns an error if a manifest of that type cannot be stored, as far as that is known before
    /// anything is written.
    ///
    /// # Errors
    /// That of [`put_manifest`](crate::Destination::put_manifest).
    fn keeps_manifest(&self, _media_type: &MediaType) -> Result<(), PutManifestError> {
        Ok(())
    }

    /// Returns an error if the layers of an image cannot be stored, as far as that is known before
    /// anything is written. Each layer has the media type with which it would come: decrypted or
    /// encrypted, if that is asked for.
    ///
    /// # Errors
    /// Which layer cannot be stored, and why.
    fn keeps_layers(&self, _image: &ImageManifest, _layers: &[Descriptor]) -> Result<(), Error> {
        Ok(())
    }

    /// Returns whether an image can have referrers here; `Err` is the sentence to show.
    fn keeps_referrers(&self) -> Result<(), &'static str> {
        Err("images there cannot have referrers")
    }

    /// Returns whether a referrer is here already, and is among the referrers of `subject`.
    async fn has_referrer(&self, _subject: &Digest, _referrer: &Referrer) -> Result<bool, Error> {
        Ok(false)
    }

    /// Returns whether the list, from which the image under the name was chosen, is here too, if it
    /// has to be.
    async fn has_origin(&self, _list: &RawManifest) -> Result<bool, Error> {
        Ok(true)
    }
}

/// What a plan must know of a destination: values only.
#[derive(Clone, Debug)]
pub struct Accepts {
    /// The manifest types it takes, in its order of preference; empty means any.
    pub manifests: Vec<MediaType>,
    /// The form in which it wants layers.
    pub layers: LayerForm,
    /// Which signatures can be stored.
    pub signatures: KeptSignatures,
    /// Whether a foreign layer may stay a list of URLs instead of bytes.
    pub foreign_layers: bool,
    /// Whether a schema 1 manifest must carry our name and tag: the reference to embed.
    pub embedded_name: Option<String>,
    /// The digest in the destination's name: the manifest must have it, so nothing may change.
    pub digest: Option<Digest>,
    /// How many blobs are worth writing at once.
    pub concurrency: NonZeroUsize,
}

/// The form in which a destination wants layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerForm {
    /// As they come.
    AsIs,
    /// Plain tars become gzip.
    Compressed,
    /// Everything becomes a plain tar.
    Uncompressed,
}

/// What is asked of [`Probe::holds`] and [`Destination::reuse`](crate::Destination::reuse).
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The blob as the source's manifest declares it.
    pub blob: &'a Descriptor,
    /// What it is in the image.
    pub role: Role,
    /// The source's name, from where a registry may mount the blob; `None` if it was made here, so
    /// that the source does not have it.
    pub from: Option<&'a ImageName>,
}

/// What a blob is in its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The config, which is small.
    Config,
    /// The layer at this index, counted from 0.
    Layer(usize),
}

/// How a blob came to be at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its bytes were sent.
    Moved,
    /// It was there.
    Present,
    /// The registry took it from another of its repositories.
    Mounted,
    /// Another image in the same folder had it: now both have the same file.
    Linked,
}

/// A destination of which only is known what it accepts: to know what is there, it would have to be
/// opened.
pub(crate) struct Unopened {
    pub(crate) name: ImageName,
    pub(crate) accepts: Accepts,
    pub(crate) keeps: KeepsManifest,
    pub(crate) keeps_layers: KeepsLayers,
    /// Where its blobs will lie together with those of other images, if anywhere.
    pub(crate) pool: Option<String>,
    /// Which of them serve other images.
    pub(crate) shares: fn(Role) -> bool,
}

/// Returns an error if a destination is known to refuse a type of manifests.
pub(crate) type KeepsManifest = fn(&MediaType) -> Result<(), PutManifestError>;

/// Returns an error if a destination is known to refuse the layers of an image.
pub(crate) type KeepsLayers = fn(&ImageManifest, &[Descriptor]) -> Result<(), Error>;

impl Unopened {
    /// Returns a destination that may take any manifest and any layer.
    pub(crate) fn new(name: ImageName, accepts: Accepts) -> Self {
        Self {
            name,
            accepts,
            keeps: |_| Ok(()),
            keeps_layers: |_, _| Ok(()),
            pool: None,
            shares: |_| true,
        }
    }
}

impl Probe for Unopened {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    fn keeps_manifest(&self, media_type: &MediaType) -> Result<(), PutManifestError> {
        (self.keeps)(media_type)
    }

    fn keeps_layers(&self, image: &ImageManifest, layers: &[Descriptor]) -> Result<(), Error> {
        (self.keeps_layers)(image, layers)
    }

    fn pool(&self) -> Option<String> {
        self.pool.clone()
    }

    fn shares(&self, role: Role) -> bool {
        (self.shares)(role)
    }
}
