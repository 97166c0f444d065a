//! Signatures as they are stored beside images. Data only: `trust` judges them.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The forms of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// Simple signing: OpenPGP.
    Simple,
    /// Sigstore.
    Sigstore,
}

/// One signature of one manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// A simple-signing blob: an OpenPGP message around a JSON payload.
    Simple(Bytes),
    /// A sigstore (cosign) signature: a payload and the annotations that carry the signature.
    Sigstore {
        /// The media type of the payload.
        mime_type: String,
        /// The signed bytes.
        payload: Bytes,
        /// Signature, certificate and log entry, under cosign's keys.
        annotations: BTreeMap<String, String>,
    },
}

impl Signature {
    /// Its form.
    #[must_use]
    pub fn kind(&self) -> SignatureKind {
        match self {
            Self::Simple(_) => SignatureKind::Simple,
            Self::Sigstore { .. } => SignatureKind::Sigstore,
        }
    }
}
