//! Encrypted layers in a program that was built without them: there are no keys, so nothing is encrypted
//! or decrypted, and no code for it is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use skopeo_image::{Classify, Digest, ErrorClass};

use crate::Blob;

/// What the names of all annotations about encryption begin with.
pub const ANNOTATIONS: &str = "org.opencontainers.image.enc";

/// Those for whom layers are encrypted. There can be none.
#[derive(Clone, Debug)]
pub enum Recipients {}

/// What can open the keys of layers. There can be none.
#[derive(Clone, Debug)]
pub enum Keys {}

/// The key of one layer. There can be none.
#[derive(Clone, Debug)]
pub enum LayerKey {}

/// Where the key of an encrypted layer will be. There can be none.
#[derive(Debug)]
pub enum Sealed {}

/// Why a layer could not be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum CryptError {
    /// Nobody can.
    #[error(
        "this build of skopeo lacks the encryption of layers (the feature \"encryption\" of its crate)"
    )]
    NotBuilt,
}

impl Classify for CryptError {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::Unsupported)
    }
}

impl Recipients {
    /// Returns the annotations of a layer that was encrypted with this key.
    ///
    /// # Errors
    /// None: there is no key.
    pub async fn annotate(
        self: &Arc<Self>,
        key: LayerKey,
        _: &Digest,
    ) -> Result<BTreeMap<String, String>, CryptError> {
        match key {}
    }
}

impl Keys {
    /// Returns the key of a layer with these annotations.
    ///
    /// # Errors
    /// None: there are no keys.
    pub async fn open(
        self: &Arc<Self>,
        _: &BTreeMap<String, String>,
    ) -> Result<LayerKey, CryptError> {
        match **self {}
    }
}

impl Sealed {
    /// Waits for the key.
    ///
    /// # Errors
    /// None: there is no key.
    pub async fn key(self) -> Result<LayerKey, CryptError> {
        match self {}
    }
}

/// Encrypts a blob as it passes.
///
/// # Errors
/// Always.
pub fn encrypt(_: Blob) -> Result<(Blob, Sealed), CryptError> {
    Err(CryptError::NotBuilt)
}

/// Decrypts a blob as it passes.
#[must_use]
pub fn decrypt(_: Blob, key: LayerKey) -> Blob {
    match key {}
}
