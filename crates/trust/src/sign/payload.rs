//! What a signature says: this name is the image with that digest.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use skopeo_image::{Digest, SignatureKind, go_json};

use super::SignError;

/// What the payloads of a form call themselves.
fn name(kind: SignatureKind) -> &'static str {
    match kind {
        SignatureKind::Simple => "atomic container signature",
        SignatureKind::Sigstore | SignatureKind::Bundle => "cosign container image signature",
    }
}

/// The program that signed, as the original calls itself in each form.
fn creator(kind: SignatureKind) -> &'static str {
    match kind {
        SignatureKind::Simple => concat!("atomic ", env!("CARGO_PKG_VERSION")),
        SignatureKind::Sigstore | SignatureKind::Bundle => {
            concat!("containers/image ", env!("CARGO_PKG_VERSION"))
        }
    }
}

/// What is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// Which form.
    pub kind: SignatureKind,
    /// The name, word for word.
    pub reference: &'a str,
    /// The manifest's digest.
    pub digest: &'a Digest,
    /// When, in seconds since 1970.
    pub timestamp: u64,
}

impl<'a> Payload<'a> {
    /// Returns the payload that says now that `reference` is the image with that digest.
    #[must_use]
    pub fn now(kind: SignatureKind, reference: &'a str, digest: &'a Digest) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { kind, reference, digest, timestamp: now.as_secs() }
    }

    /// Returns the bytes that are signed: those of the original, for which compact JSON has one
    /// form.
    ///
    /// # Errors
    /// If there is no name.
    pub fn bytes(&self) -> Result<Vec<u8>, SignError> {
        if self.reference.is_empty() {
            return Err(SignError::Empty);
        }
        let document = PayloadDocument {
            critical: Critical {
                identity: Identity { docker_reference: self.reference },
                image: Image { docker_manifest_digest: self.digest.to_string() },
                kind: name(self.kind),
            },
            optional: Optional { creator: creator(self.kind), timestamp: self.timestamp },
        };
        go_json::to_vec(&document).map_err(|error| SignError::Refused(error.into()))
    }
}

#[derive(Serialize)]
struct PayloadDocument<'a> {
    critical: Critical<'a>,
    optional: Optional,
}

#[derive(Serialize)]
struct Critical<'a> {
    identity: Identity<'a>,
    image: Image,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Identity<'a> {
    docker_reference: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

#[derive(Serialize)]
struct Optional {
    creator: &'static str,
    timestamp: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = env!("CARGO_PKG_VERSION");

    #[test]
    fn payloads_have_the_bytes_of_the_original() {
        let digest = Digest::sha256(b"");
        for (kind, reference, expected) in [
            (
                SignatureKind::Simple,
                "testing/smoketest",
                format!(
                    r#"{{"critical":{{"identity":{{"docker-reference":"testing/smoketest"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"atomic container signature"}},"optional":{{"creator":"atomic {VERSION}","timestamp":7}}}}"#
                ),
            ),
            (
                SignatureKind::Sigstore,
                "docker.io/library/busybox:latest",
                format!(
                    r#"{{"critical":{{"identity":{{"docker-reference":"docker.io/library/busybox:latest"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":{{"creator":"containers/image {VERSION}","timestamp":7}}}}"#
                ),
            ),
        ] {
            let payload = Payload { kind, reference, digest: &digest, timestamp: 7 };
            assert_eq!(String::from_utf8(payload.bytes().unwrap()).unwrap(), expected);
        }
        let strange = Payload {
            kind: SignatureKind::Simple,
            reference: "a<&>\u{2028}\"\u{e9}",
            digest: &digest,
            timestamp: 0,
        };
        let bytes = String::from_utf8(strange.bytes().unwrap()).unwrap();
        assert!(bytes.contains("\"a\\u003c\\u0026\\u003e\\u2028\\\"\u{e9}\""), "{bytes}");
        let empty = Payload { reference: "", ..strange };
        assert_eq!(empty.bytes().unwrap_err().to_string(), "Unexpected empty signature content");
    }
}
