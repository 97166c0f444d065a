//! Referrers of images, as the field's tools make them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;
use skopeo_image::{Compression, Digest, MediaType};

use super::{Image, Layer, descriptor, raw};

impl Image {
    /// Returns a signature of `subject` as notation makes it: an artifact that refers to it.
    #[must_use]
    pub fn notation(subject: &Self, seed: u64) -> Self {
        let envelope = format!("{{\"payload\":\"{}\",\"seed\":{seed}}}", subject.digest());
        Self::referring(
            subject,
            "application/vnd.cncf.notary.signature",
            "application/jose+json",
            &envelope,
            &[("io.cncf.notary.x509chain.thumbprint#S256", "[\"00\"]")],
        )
    }

    /// Returns a list of the parts of `subject`, in SPDX, as oras attaches it.
    #[must_use]
    pub fn spdx(subject: &Self, seed: u64) -> Self {
        let parts = format!("{{\"spdxVersion\":\"SPDX-2.3\",\"seed\":{seed}}}");
        let spdx = "application/spdx+json";
        let created = [("org.opencontainers.image.created", "2024-01-02T03:04:05Z")];
        Self::referring(subject, spdx, spdx, &parts, &created)
    }

    /// Signatures as cosign keeps them under the tag `sha256-HEX.sig`: a layer for each, whose
    /// annotation is the signature.
    #[must_use]
    pub fn cosign(subject: &Self, signatures: &[u64]) -> Self {
        let payloads: Vec<_> = signatures
            .iter()
            .map(|seed| {
                let payload = json!({"critical": {
                    "identity": {"docker-reference": ""},
                    "image": {"docker-manifest-digest": subject.digest().as_str()},
                    "type": "cosign container image signature",
                }, "optional": {"seed": seed}});
                Bytes::from(payload.to_string())
            })
            .collect();
        let config = Bytes::from(
            json!({
                "architecture": "",
                "created": "0001-01-01T00:00:00Z",
                "history": [{"created": "0001-01-01T00:00:00Z"}],
                "os": "",
                "rootfs": {"type": "layers", "diff_ids": payloads.iter()
                    .map(|payload| Digest::sha256(payload).to_string()).collect::<Vec<_>>()},
                "config": {},
            })
            .to_string(),
        );
        let layers: Vec<_> = payloads
            .iter()
            .map(|payload| {
                let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
                let mut layer = descriptor(kind, &Digest::sha256(payload), payload.len());
                layer["annotations"] = json!({"dev.cosignproject.cosign/signature": "MEUCIQ=="});
                layer
            })
            .collect();
        let document = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST.as_str(),
            "config": descriptor(
                MediaType::OCI_CONFIG.as_str(), &Digest::sha256(&config), config.len()),
            "layers": layers,
        });
        Self {
            manifest: raw(MediaType::OCI_MANIFEST, document.to_string()),
            platform: None,
            layers: payloads.into_iter().map(layer).collect(),
            config: Some(config),
            instances: Vec::new(),
            notes: BTreeMap::new(),
        }
    }

    /// An artifact of one blob that refers to `subject`, or to what is only said to be there.
    fn referring(
        subject: &Self,
        artifact_type: &str,
        blob_type: &str,
        blob: &str,
        annotations: &[(&str, &str)],
    ) -> Self {
        let (config, blob) = (Bytes::from_static(b"{}"), Bytes::from(blob.to_owned()));
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
        let empty = MediaType::OCI_EMPTY;
        let about = subject.manifest();
        let document = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST.as_str(),
            "artifactType": artifact_type,
            "config": descriptor(empty.as_str(), &Digest::sha256(&config), config.len()),
            "layers": [descriptor(blob_type, &Digest::sha256(&blob), blob.len())],
            "subject": descriptor(
                about.media_type.as_str(), &subject.digest(), about.bytes.len()),
            "annotations": annotations,
        });
        Self {
            manifest: raw(MediaType::OCI_MANIFEST, document.to_string()),
            platform: None,
            layers: vec![layer(blob)],
            config: Some(config),
            instances: Vec::new(),
            notes: BTreeMap::new(),
        }
    }
}

fn layer(bytes: Bytes) -> Layer {
    Layer {
        digest: Digest::sha256(&bytes),
        diff_id: Digest::sha256(&bytes),
        bytes,
        compression: Compression::Uncompressed,
        urls: Vec::new(),
    }
}
