//! Rekor's second version, a log in tiles: what is sent to it, and what is kept of its answer.

use aws_lc_rs::digest::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::bundle::Signer;
use super::key::Scheme;
use super::rekor::RekorError;
use crate::sigstore::tiled::{self, Unusable};

/// What is to be logged.
pub(super) struct Signed<'a> {
    /// The bytes that were signed: of an envelope, all that its signature is about.
    pub(super) message: &'a [u8],
    pub(super) signature: &'a [u8],
    pub(super) signer: &'a Signer,
    pub(super) scheme: Scheme,
}

impl Signed<'_> {
    /// The body of the request that it be logged. The log knows only hashes.
    pub(super) fn entry(&self) -> Vec<u8> {
        let signer = json!({"rawBytes": STANDARD.encode(self.signer.der())});
        let kind = match self.signer {
            Signer::Key(_) => "publicKey",
            Signer::Certificate(_) => "x509Certificate",
        };
        let request = json!({
            "digest": STANDARD.encode(digest(self.scheme.hash, self.message)),
            "signature": {
                "content": STANDARD.encode(self.signature),
                "verifier": {kind: signer, "keyDetails": self.scheme.name},
            },
        });
        json!({"hashedRekordRequestV002": request}).to_string().into_bytes()
    }

    /// What a bundle has of the log's answer.
    ///
    /// # Errors
    /// If it is not one whole entry of that signature, with the proof that it is in the log.
    pub(super) fn bundle_entry(&self, answer: &[u8]) -> Result<Value, RekorError> {
        let found = tiled::bundle_entry(answer, self.message, self.signature, self.signer.der());
        found.map_err(|why| match why {
            Unusable::Json(error) => RekorError::Json(error),
            Unusable::Other => RekorError::Other,
            Unusable::Unproven => RekorError::NoProof,
            Unusable::Astray => RekorError::BadProof,
        })
    }
}
