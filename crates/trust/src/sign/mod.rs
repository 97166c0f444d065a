//! Signing: what is signed, and who can do it.
//!
//! A [`Signer`] makes one signature of one manifest. What needs a program, a terminal or the
//! network for that is given by others.

mod bundle;
pub mod cosign_key;
pub mod fulcio;
mod key;
mod key_error;
mod payload;
pub mod rekor;
mod sigstore;
mod stamp;
mod tiled;

use std::error::Error as StdError;
use std::fmt;

use async_trait::async_trait;
use skopeo_image::{
    Classify, ErrorClass, ManifestError, RawManifest, Reference, Signature, SignatureKind,
};

pub use cosign_key::KeyPair;
pub use key::PrivateKey;
pub use key_error::{DecryptError, KeyError};
pub use payload::Payload;
pub use sigstore::{Format, Log, Sigstore};
pub use stamp::{QUERY_TYPE, REPLY_TYPE, TimeAuthority};

/// Whoever signs manifests.
#[async_trait]
pub trait Signer: fmt::Debug + Send + Sync {
    /// The form of its signatures.
    fn kind(&self) -> SignatureKind;

    /// What is told before each signature, in the original's words.
    fn doing(&self) -> &'static str;

    /// Gets ready, before anything is copied that is to be signed: finds the key, or has it
    /// certified.
    ///
    /// # Errors
    /// If the key cannot be used.
    async fn prepare(&self) -> Result<(), SignError> {
        Ok(())
    }

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
#[non_exhaustive]
pub enum SignError {
    /// There is nothing to sign.
    #[error("Unexpected empty signature content")]
    Empty,
    /// The manifest has no digest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A private key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key, or whoever keeps it, refused.
    #[error(transparent)]
    Refused(Box<dyn StdError + Send + Sync>),
}

impl SignError {
    /// Returns the error of whoever keeps the key, or this one.
    #[must_use]
    pub fn inner(&self) -> &(dyn StdError + 'static) {
        match self {
            Self::Refused(error) => &**error,
            Self::Empty | Self::Manifest(_) | Self::Key(_) => self,
        }
    }
}

impl Classify for SignError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Empty => Some(ErrorClass::InvalidInput),
            Self::Manifest(error) => error.class(),
            Self::Key(_) | Self::Refused(_) => None,
        }
    }
}

/// PEM as Go writes it.
fn pem_text(tag: &str, contents: impl Into<Vec<u8>>) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(tag, contents), config)
}
