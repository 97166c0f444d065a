//! Signatures as they are stored beside images. Data only: `trust` judges them.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The forms of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// Simple signing: OpenPGP.
    Simple,
    /// Sigstore, as cosign attaches it.
    Sigstore,
    /// A bundle of sigstore: all that proves a signature, in one document.
    Bundle,
}

/// What the media types of bundles begin with, whatever their version.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// Returns whether a media type is that of some version of sigstore's bundles.
#[must_use]
pub fn is_bundle_type(media_type: &str) -> bool {
    let rest = media_type.strip_prefix(BUNDLE);
    rest.is_some_and(|rest| rest.starts_with(".v") || rest.starts_with('+'))
}

/// One signature of one manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// A simple-signing blob: an OpenPGP message around a JSON payload.
    Simple(Bytes),
    /// A sigstore (cosign) signature: a payload and the annotations that carry the signature; or a
    /// bundle, which is its own payload and has no annotations.
    Sigstore {
        /// The media type of the payload, or of the bundle.
        mime_type: String,
        /// The signed bytes.
        payload: Bytes,
        /// Signature, certificate and log entry, under cosign's keys.
        annotations: BTreeMap<String, String>,
    },
}

impl Signature {
    /// Returns its form.
    #[must_use]
    pub fn kind(&self) -> SignatureKind {
        match self {
            Self::Simple(_) => SignatureKind::Simple,
            Self::Sigstore { mime_type, .. } if is_bundle_type(mime_type) => SignatureKind::Bundle,
            Self::Sigstore { .. } => SignatureKind::Sigstore,
        }
    }
}
