//! Sigstore signatures: a payload, signed by a key, and as annotations of it whatever proves that.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use skopeo_image::{RawManifest, Reference, Signature, SignatureKind};

use super::fulcio::Certificate;
use super::key::{PrivateKey, Scheme};
use super::rekor::{self, RekorError};
use super::stamp::{self, TimeAuthority};
use super::{Payload, SignError, Signer, bundle, tiled};
use crate::sigstore::stamp::require_of;

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
    /// Which version of the service it is.
    fn version(&self) -> rekor::Version;

    /// Has an entry logged, as [`rekor`] proposes it, and gives the log's answer; none if it has
    /// the entry and does not give it again.
    ///
    /// # Errors
    /// If the log does not take it.
    async fn upload(
        &self,
        entry: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Box<dyn StdError + Send + Sync>>;
}

/// The form in which a signature is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A payload with annotations, as the original and older cosigns have it.
    #[default]
    Attachment,
    /// A bundle with a statement, as cosign 3 has it.
    Bundle,
}

/// Signs with a private key.
#[derive(Debug)]
pub struct Sigstore {
    format: Format,
    key: PrivateKey,
    certificate: Option<Certificate>,
    log: Option<Arc<dyn Log>>,
    times: Option<Arc<dyn TimeAuthority>>,
}

impl Sigstore {
    /// Returns a signer with that key.
    #[must_use]
    pub fn new(key: PrivateKey) -> Self {
        Self { format: Format::default(), key, certificate: None, log: None, times: None }
    }

    /// Returns the same, with a certificate of the key.
    #[must_use]
    pub fn certified(self, certificate: Certificate) -> Self {
        Self { certificate: Some(certificate), ..self }
    }

    /// Returns the same, with signatures in that form.
    #[must_use]
    pub fn in_format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Returns the same, with each signature in a log.
    #[must_use]
    pub fn logged(self, log: Arc<dyn Log>) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Returns the same, with the time of each bundle as that authority signs it. Attachments have
    /// no place for it.
    #[must_use]
    pub fn stamped(self, times: Arc<dyn TimeAuthority>) -> Self {
        Self { times: Some(times), ..self }
    }
}

impl Format {
    /// Returns the form of its signatures.
    #[must_use]
    pub fn kind(self) -> SignatureKind {
        match self {
            Self::Attachment => SignatureKind::Sigstore,
            Self::Bundle => SignatureKind::Bundle,
        }
    }

    /// Returns what is told before each signature.
    #[must_use]
    pub fn doing(self) -> &'static str {
        match self {
            Self::Attachment => "Signing image using a sigstore signature",
            Self::Bundle => "Signing image using a sigstore bundle",
        }
    }
}

impl Sigstore {
    /// By what others find out that the key has signed.
    fn signer_pem(&self) -> Result<String, SignError> {
        match &self.certificate {
            Some(certificate) => Ok(certificate.leaf.clone()),
            None => Ok(self.key.public_pem()?),
        }
    }

    async fn attach(&self, payload: Vec<u8>) -> Result<Signature, SignError> {
        self.scheme()?;
        let signature = self.key.sign(&payload)?;
        let mut annotations = BTreeMap::from([(SIGNATURE.to_owned(), STANDARD.encode(&signature))]);
        if let Some(log) = &self.log {
            let entry = rekor::entry(&payload, &signature, &self.signer_pem()?).map_err(refused)?;
            let answer = log.upload(entry).await.map_err(SignError::Refused)?;
            let answer = answer.ok_or_else(|| refused(RekorError::Known))?;
            let kept = rekor::bundle(&answer, &payload, &signature).map_err(refused)?;
            annotations.insert(BUNDLE.to_owned(), kept);
        }
        if let Some(Certificate { leaf, chain }) = &self.certificate {
            annotations.insert(CERTIFICATE.to_owned(), leaf.clone());
            annotations.insert(CHAIN.to_owned(), chain.clone());
        }
        let payload = payload.into();
        Ok(Signature::Sigstore { mime_type: PAYLOAD_TYPE.to_owned(), payload, annotations })
    }

    async fn bundle(&self, statement: Vec<u8>) -> Result<Signature, SignError> {
        let signer = match &self.certificate {
            Some(certificate) => bundle::Signer::certified(&certificate.leaf)?,
            None => bundle::Signer::Key(self.key.public_der()?),
        };
        let scheme = self.scheme()?;
        let mut left = TRIES;
        let (envelope, stamp, entry) = loop {
            left = left.saturating_sub(1);
            let envelope = bundle::Envelope::sign(&self.key, scheme, statement.clone())?;
            let stamp = self.stamp(&envelope).await?;
            match self.logged_entry(&envelope, &signer, scheme).await? {
                Logged::Nowhere => break (envelope, stamp, None),
                Logged::As(entry) => break (envelope, stamp, Some(entry)),
                Logged::Before if left > 0 => {}
                Logged::Before => return Err(refused(RekorError::Known)),
            }
        };
        Ok(Signature::Sigstore {
            mime_type: bundle::MEDIA_TYPE.to_owned(),
            payload: bundle::document(&envelope, &signer, entry, stamp).into(),
            annotations: BTreeMap::new(),
        })
    }

    async fn stamp(&self, envelope: &bundle::Envelope) -> Result<Option<Vec<u8>>, SignError> {
        let Some(times) = &self.times else { return Ok(None) };
        let answer = times.stamp(stamp::query(envelope.signature())).await;
        let answer = answer.map_err(SignError::Refused)?;
        let of_it = require_of(&answer, envelope.signature());
        of_it.map_err(|why| SignError::Refused(why.into()))?;
        Ok(Some(answer))
    }

    async fn logged_entry(
        &self,
        envelope: &bundle::Envelope,
        signer: &bundle::Signer,
        scheme: Option<Scheme>,
    ) -> Result<Logged, SignError> {
        let Some(log) = &self.log else { return Ok(Logged::Nowhere) };
        let (message, signature) = (envelope.message(), envelope.signature());
        let tiled =
            scheme.map(|scheme| tiled::Signed { message: &message, signature, signer, scheme });
        let proposed = match &tiled {
            Some(tiled) => tiled.entry(),
            None => {
                rekor::envelope_entry(&envelope.json(), &self.signer_pem()?).map_err(refused)?
            }
        };
        let answer = log.upload(proposed).await.map_err(SignError::Refused)?;
        let Some(answer) = answer else { return Ok(Logged::Before) };
        let entry = match &tiled {
            Some(tiled) => tiled.bundle_entry(&answer),
            None => rekor::bundle_entry(&answer, envelope.payload(), signature),
        };
        entry.map(Logged::As).map_err(refused)
    }

    /// How a log of version 2 wants to have things signed, if there is one.
    fn scheme(&self) -> Result<Option<Scheme>, SignError> {
        let tiled = self.log.as_ref().is_some_and(|log| log.version() == rekor::Version::V2);
        match self.format {
            _ if !tiled => Ok(None),
            Format::Bundle => self.key.scheme().map(Some).map_err(SignError::from),
            Format::Attachment => Err(refused(RekorError::NoPlace)),
        }
    }
}

/// How often something is signed for a log that has the signature already, as when it took what was
/// sent before the connection broke.
const TRIES: u32 = 2;

/// Where a signature is logged.
enum Logged {
    Nowhere,
    As(Value),
    /// The log has it, and does not say how.
    Before,
}

fn refused(error: RekorError) -> SignError {
    SignError::Refused(error.into())
}

#[async_trait]
impl Signer for Sigstore {
    fn kind(&self) -> SignatureKind {
        self.format.kind()
    }

    fn doing(&self) -> &'static str {
        self.format.doing()
    }

    async fn prepare(&self) -> Result<(), SignError> {
        self.scheme().map(drop)
    }

    async fn sign(
        &self,
        manifest: &RawManifest,
        reference: &Reference,
    ) -> Result<Signature, SignError> {
        let (reference, digest) = (reference.to_string(), manifest.digest()?);
        match self.format {
            Format::Attachment => {
                let payload = Payload::now(SignatureKind::Sigstore, &reference, &digest);
                self.attach(payload.bytes()?).await
            }
            Format::Bundle => self.bundle(bundle::statement(&reference, &digest)).await,
        }
    }
}
