//! Bundles, as cosign 3 keeps signatures: a statement about an image, signed in an envelope, and
//! what proves that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use skopeo_image::Digest;

use super::SignError;
use super::key::{PrivateKey, Scheme};
use crate::sigstore::statement::{PAYLOAD_TYPE, PREDICATE, STATEMENT, signed_bytes};

/// The media type of the bundles that are written.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Whose a signature is.
pub(super) enum Signer {
    /// Of whoever has the key, whose public part that is (DER).
    Key(Vec<u8>),
    /// Of whoever got this certificate (DER).
    Certificate(Vec<u8>),
}

impl Signer {
    /// Whoever got the certificate in this PEM.
    pub(super) fn certified(text: &str) -> Result<Self, SignError> {
        let block = pem::parse(text).map_err(|error| SignError::Refused(error.into()))?;
        Ok(Self::Certificate(block.into_contents()))
    }

    /// The key or certificate.
    pub(super) fn der(&self) -> &[u8] {
        match self {
            Self::Key(der) | Self::Certificate(der) => der,
        }
    }
}

/// A statement in its envelope (DSSE).
pub(super) struct Envelope {
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// What cosign signs, and beside it the image's name: cosign leaves it out, and who asks for a name
/// would find none.
pub(super) fn statement(reference: &str, digest: &Digest) -> Vec<u8> {
    let digests = json!({digest.algorithm().to_string(): digest.hex()});
    let statement = json!({
        "_type": STATEMENT,
        "subject": [{"name": reference, "digest": digests}],
        "predicateType": PREDICATE,
        "predicate": {},
    });
    statement.to_string().into_bytes()
}

impl Envelope {
    /// Signs a statement, where a log asks for it by its scheme.
    pub(super) fn sign(
        key: &PrivateKey,
        scheme: Option<Scheme>,
        payload: Vec<u8>,
    ) -> Result<Self, SignError> {
        let message = signed_bytes(PAYLOAD_TYPE, &payload);
        let signature = match scheme {
            Some(scheme) => key.sign_by(scheme, &message)?,
            None => key.sign(&message)?,
        };
        Ok(Self { payload, signature })
    }

    /// What the signature is about.
    pub(super) fn message(&self) -> Vec<u8> {
        signed_bytes(PAYLOAD_TYPE, &self.payload)
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    fn value(&self) -> Value {
        json!({
            "payload": STANDARD.encode(&self.payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": STANDARD.encode(&self.signature), "keyid": ""}],
        })
    }

    /// The envelope as a document of its own.
    pub(super) fn json(&self) -> String {
        self.value().to_string()
    }
}

/// The bundle.
pub(super) fn document(
    envelope: &Envelope,
    signer: &Signer,
    entry: Option<Value>,
    stamp: Option<Vec<u8>>,
) -> Vec<u8> {
    let mut material = match signer {
        Signer::Key(der) => json!({"publicKey": {"hint": hint(der)}}),
        Signer::Certificate(der) => json!({"certificate": {"rawBytes": STANDARD.encode(der)}}),
    };
    if let Some(members) = material.as_object_mut() {
        members.extend(entry.map(|entry| ("tlogEntries".to_owned(), json!([entry]))));
        members.extend(stamp.map(|stamp| {
            let stamps = json!([{"signedTimestamp": STANDARD.encode(stamp)}]);
            let name = "timestampVerificationData".to_owned();
            (name, json!({"rfc3161Timestamps": stamps}))
        }));
    }
    let bundle = json!({
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": material,
        "dsseEnvelope": envelope.value(),
    });
    bundle.to_string().into_bytes()
}

/// By what cosign recognizes a key.
fn hint(der: &[u8]) -> String {
    STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der))
}
