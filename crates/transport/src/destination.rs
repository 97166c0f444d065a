//! The writing door.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use skopeo_blob::Blob;
use skopeo_image::{
    Compression, Descriptor, Digest, MediaType, RawManifest, Signature, SignatureKind, Which,
};

use crate::{Error, ImageName, Partial, Referrer};

/// The writing side of one image. Nothing is promised to exist before `commit`.
#[async_trait]
pub trait Destination: Send + Sync {
    /// The name the user gave.
    fn name(&self) -> &ImageName;

    /// What a plan must know.
    fn accepts(&self) -> &Accepts;

    /// The digest that is under the name now, if all that hangs on it is there too. `None` where
    /// that is not cheap to know, or where writing begins with emptying the place.
    async fn present(&self) -> Result<Option<Digest>, Error> {
        Ok(None)
    }

    /// Prepares the place: folders are made, locks waited for. Called once it is known that something
    /// has to be written and before anything is; until then nothing may be changed.
    async fn begin(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The blob, if it is here already or can be had without its bytes (mounting, an equivalent
    /// layer, a link to a file).
    async fn reuse(&self, _wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        Ok(None)
    }

    /// The digest that is under the name now, if that is the image of this manifest in the form in
    /// which it would be written here. `None` where images stay as they are, and
    /// [`present`](Self::present) tells.
    async fn equals(&self, _manifest: &RawManifest) -> Result<Option<Digest>, Error> {
        Ok(None)
    }

    /// How the blob would come to be here if its bytes were not sent, found out without changing
    /// anything; `None` where they have to be, or where that is not cheap to know.
    async fn holds(&self, _wish: &Wish<'_>) -> Result<Option<How>, Error> {
        Ok(None)
    }

    /// Where its blobs lie together with those of other images: what one of them has brought
    /// there, [`reuse`](Self::reuse) finds for all. `None` where each image is alone.
    fn pool(&self) -> Option<String> {
        None
    }

    /// The part of the pool in which a blob that is there needs nothing more to be had: of a
    /// registry, the repository.
    fn room(&self) -> Option<String> {
        self.pool()
    }

    /// Whether what is asked of it goes over the network, one request each.
    fn is_remote(&self) -> bool {
        false
    }

    /// The first bytes of a blob, if an earlier copy that ended too soon has left them here. What
    /// is then put may be the blob [behind them](skopeo_blob::Unverified::after), or all of it.
    async fn partial(&self, _blob: &Descriptor) -> Result<Option<Partial>, Error> {
        Ok(None)
    }

    /// Writes a blob. It exists under its digest only if its stream ended well.
    async fn put_blob(&self, blob: Blob, role: Role) -> Result<Stored, Error>;

    /// Writes a manifest, byte for byte.
    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError>;

    /// Writes signatures beside a manifest that has been put.
    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error>;

    /// Whether a signature of that form can be stored, as far as that is known before anything is
    /// written.
    ///
    /// # Errors
    /// Why not.
    fn keeps_signatures(&self, _kind: SignatureKind) -> Result<(), Error> {
        self.accepts().signatures.map_err(Error::NoSignatures)
    }

    /// Whether something can hang on an image here; `Err` is the sentence to show.
    fn keeps_referrers(&self) -> Result<(), &'static str> {
        Err("nothing can hang on an image there")
    }

    /// Whether a referrer is here already, and found by who asks for what hangs on `subject`.
    async fn has_referrer(&self, _subject: &Digest, _referrer: &Referrer) -> Result<bool, Error> {
        Ok(false)
    }

    /// Writes the manifest of a referrer, byte for byte, so that it is found by who asks for what
    /// hangs on `subject`. All that it names has been put; its subject may be put later.
    async fn put_referrer(
        &self,
        _subject: &Digest,
        _referrer: &Referrer,
        _manifest: &RawManifest,
    ) -> Result<(), PutManifestError> {
        Err(Error::Unsupported {
            transport: self.name().transport(),
            operation: "Writing referrers",
        }
        .into())
    }

    /// Whether the list, from which the image under the name was chosen, is here too, if it has to
    /// be.
    async fn has_origin(&self, _list: &RawManifest) -> Result<bool, Error> {
        Ok(true)
    }

    /// Tells from which list the image was chosen that is about to be committed.
    fn tell_origin(&self, _list: &RawManifest) {}

    /// Gives the name to `top`, which has been put.
    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error>;

    /// Ends the writing where the image was here already and only referrers have been put.
    async fn commit_referrers(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }

    /// Undoes what can be undone. Local leftovers go with `Drop`; this is for what needs a request.
    async fn abandon(self: Box<Self>) {}
}

/// What a plan must know of a destination. Facts, no behaviour.
#[derive(Clone, Debug)]
pub struct Accepts {
    /// The manifest types it takes, in its order of preference; empty means any.
    pub manifests: Vec<MediaType>,
    /// The form in which it wants layers.
    pub layers: LayerForm,
    /// Whether signatures can be stored; `Err` is the sentence to show.
    pub signatures: Result<(), &'static str>,
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

/// What is asked of [`Destination::reuse`].
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The blob as the source's manifest declares it.
    pub blob: &'a Descriptor,
    /// What it is in the image.
    pub role: Role,
    /// The source's name: where a registry may mount from, or a folder link from.
    pub from: &'a ImageName,
    /// If set, a blob of another compression is of no use.
    pub compression: Option<Compression>,
}

/// What a blob is in its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The config, which is small.
    Config,
    /// The layer at this index, counted from 0.
    Layer(usize),
}

/// How the destination holds a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name there.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Whether bytes had to move.
    pub how: How,
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

/// Why a manifest was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PutManifestError {
    /// The destination does not take this type; another may do.
    #[error("{media_type} is not accepted by the destination")]
    TypeRejected {
        /// The refused type.
        media_type: MediaType,
        /// What the destination said.
        #[source]
        source: Option<Box<Error>>,
    },
    /// Anything else.
    #[error(transparent)]
    Other(#[from] Error),
}
