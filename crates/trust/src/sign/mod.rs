//! Signing: what is signed, and who can do it.
//!
//! A [`Signer`] makes one signature of one manifest. What needs a program, a terminal or the network
//! for that is given by others.

mod payload;

use std::error::Error as StdError;
use std::fmt;

use async_trait::async_trait;
use skopeo_image::{ErrorClass, ManifestError, RawManifest, Reference, Signature, SignatureKind};

pub use payload::Payload;

/// Whoever signs manifests.
#[async_trait]
pub trait Signer: fmt::Debug + Send + Sync {
    /// The form of its signatures.
    fn kind(&self) -> SignatureKind;

    /// What is told before each signature, in the original's words.
    fn doing(&self) -> &'static str;

    /// Signs that `reference` is the image with that manifest.
    ///
    /// # Errors
    /// If the manifest has no digest, or the key cannot be used.
    async fn sign(
        &self,
        manifest: &RawManifest,
        reference: &Reference,
    ) -> Result<Signature, SignError>;
}

/// Why a manifest was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// There is nothing to sign.
    #[error("Unexpected empty signature content")]
    Empty,
    /// The manifest has no digest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The key, or whoever keeps it, refused.
    #[error(transparent)]
    Refused(Box<dyn StdError + Send + Sync>),
}

impl SignError {
    /// What kind of error it is, where that is known.
    #[must_use]
    pub fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Empty => Some(ErrorClass::InvalidInput),
            Self::Manifest(error) => Some(error.class()),
            Self::Refused(_) => None,
        }
    }
}
