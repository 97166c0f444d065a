//! The writing door.

use async_trait::async_trait;
use skopeo_blob::Blob;
use skopeo_image::{Descriptor, Digest, MediaType, RawManifest, Signature, Which};

use crate::{ContentError, Error, How, Partial, Probe, Referrer, Role, Wish};

/// The writing side of one image. Nothing is promised to exist before `commit`.
#[async_trait]
pub trait Destination: Probe {
    /// Prepares the destination: folders are made, locks waited for. Called once it is known that
    /// something has to be written and before anything is; until then nothing may be changed.
    async fn begin(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns the blob, if it is here already or can be had without its bytes (mounting, an
    /// equivalent layer, a link to a file).
    async fn reuse(&self, _wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        Ok(None)
    }

    /// Returns the first bytes of a blob, if an earlier copy that ended too soon has left them
    /// here. What is then put may be the blob [behind them](skopeo_blob::Unverified::after), or all
    /// of it.
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

    /// Writes the manifest of a referrer, byte for byte, so that it is found by who asks for what
    /// refers to `subject`. All that it names has been put; its subject may be put later.
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

    /// Remembers the index from which the image was chosen that is about to be committed.
    fn set_origin(&self, _list: &RawManifest) {}

    /// Gives the name to `top`, which has been put.
    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error>;

    /// Ends the writing where the image was here already and only referrers have been put.
    async fn commit_referrers(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }

    /// Undoes what can be undone. Local leftovers go with `Drop`; this is for what needs a request.
    async fn abandon(self: Box<Self>) {}
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

impl PutManifestError {
    /// Returns the error where no other type is to be tried.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Other(error) => error,
            Self::TypeRejected { source: Some(source), .. } => *source,
            Self::TypeRejected { media_type, source: None } => {
                ContentError::UnknownEntry(media_type.to_string()).into()
            }
        }
    }
}
