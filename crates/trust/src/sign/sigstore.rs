//! Sigstore signatures: a payload, signed by a key, and as annotations of it whatever proves that.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use skopeo_image::{RawManifest, Reference, Signature, SignatureKind};

use super::fulcio::Certificate;
use super::key::PrivateKey;
use super::{Payload, SignError, Signer};

/// The media type of payloads.
const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// Where the signature is: base64.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Where it is said what the log said.
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
/// Where the certificate of the key is.
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// Where the certificates are by which that is certified.
const CHAIN: &str = "dev.sigstore.cosign/chain";

/// A transparency log.
#[async_trait]
pub trait Log: fmt::Debug + Send + Sync {
    /// Has a signature of a payload logged, which the key or certificate in that PEM has made, and
    /// gives what is kept of the answer.
    ///
    /// # Errors
    /// If the log does not take it.
    async fn upload(
        &self,
        payload: &[u8],
        signature: &[u8],
        pem: &str,
    ) -> Result<String, Box<dyn StdError + Send + Sync>>;
}

/// Signs with a private key.
#[derive(Debug)]
pub struct Sigstore {
    key: PrivateKey,
    certificate: Option<Certificate>,
    log: Option<Arc<dyn Log>>,
}

impl Sigstore {
    /// Signs with that key.
    #[must_use]
    pub fn new(key: PrivateKey) -> Self {
        Self { key, certificate: None, log: None }
    }

    /// The same, with a certificate of the key.
    #[must_use]
    pub fn certified(self, certificate: Certificate) -> Self {
        Self { certificate: Some(certificate), ..self }
    }

    /// The same, with each signature in a log.
    #[must_use]
    pub fn logged(self, log: Arc<dyn Log>) -> Self {
        Self { log: Some(log), ..self }
    }
}

#[async_trait]
impl Signer for Sigstore {
    fn kind(&self) -> SignatureKind {
        SignatureKind::Sigstore
    }

    fn doing(&self) -> &'static str {
        "Signing image using a sigstore signature"
    }

    async fn sign(
        &self,
        manifest: &RawManifest,
        reference: &Reference,
    ) -> Result<Signature, SignError> {
        let (reference, digest) = (reference.to_string(), manifest.digest()?);
        let payload = Payload::now(SignatureKind::Sigstore, &reference, &digest).bytes()?;
        let signature = self.key.sign(&payload)?;
        let mut annotations = BTreeMap::from([(SIGNATURE.to_owned(), STANDARD.encode(&signature))]);
        if let Some(log) = &self.log {
            let pem = match &self.certificate {
                Some(certificate) => certificate.leaf.clone(),
                None => self.key.public_pem()?,
            };
            let bundle = log.upload(&payload, &signature, &pem).await;
            annotations.insert(BUNDLE.to_owned(), bundle.map_err(SignError::Refused)?);
        }
        if let Some(Certificate { leaf, chain }) = &self.certificate {
            annotations.insert(CERTIFICATE.to_owned(), leaf.clone());
            annotations.insert(CHAIN.to_owned(), chain.clone());
        }
        let payload = payload.into();
        Ok(Signature::Sigstore { mime_type: PAYLOAD_TYPE.to_owned(), payload, annotations })
    }
}
