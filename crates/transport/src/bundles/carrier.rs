//! Bundles as cosign 3 keeps them: each is the one layer of a manifest that is a referrer of the
//! image.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use skopeo_image::manifest::oci;
use skopeo_image::number::wide;
use skopeo_image::{Descriptor, Digest, MediaType, RawManifest, Signature, go_json};

use crate::{Error, FoundBy, Referrer};

/// The config of such a manifest, which says nothing.
const EMPTY: &[u8] = b"{}";

/// A manifest that has a bundle for its layer, and what it names.
#[derive(Debug)]
pub(crate) struct Carrier {
    /// Config and layer.
    pub(crate) blobs: [(Descriptor, Bytes); 2],
    pub(crate) manifest: RawManifest,
    pub(crate) referrer: Referrer,
}

impl Carrier {
    /// Returns the carrier of a bundle, which is the same whenever bundle and subject are; `None`
    /// if the signature is no bundle.
    pub(crate) fn of(signature: &Signature, subject: &Descriptor) -> Result<Option<Self>, Error> {
        let Signature::Sigstore { mime_type, payload, .. } = signature else { return Ok(None) };
        let layer = described(mime_type.as_str().into(), payload);
        let config = described(MediaType::OCI_EMPTY, EMPTY);
        let mut manifest = oci::Manifest::new(config.clone(), vec![layer.clone().into()]);
        manifest.artifact_type.clone_from(mime_type);
        manifest.subject = Some(Box::new(subject.clone().into()));
        manifest.annotations = annotations(payload);
        let bytes: Bytes = go_json::to_vec(&manifest)?.into();
        let blob = described(MediaType::OCI_MANIFEST, &bytes);
        Ok(Some(Self {
            blobs: [(config, Bytes::from_static(EMPTY)), (layer, payload.clone())],
            manifest: RawManifest { media_type: MediaType::OCI_MANIFEST, bytes },
            referrer: Referrer { blob, artifact_type: mime_type.clone(), found: FoundBy::Api },
        }))
    }

    /// The digest of the bundle.
    pub(crate) fn bundle(&self) -> &Digest {
        let [_, (layer, _)] = &self.blobs;
        &layer.digest
    }
}

fn described(media_type: MediaType, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::sha256(bytes), Some(wide(bytes.len())))
}

/// What cosign says of a bundle beside it, for those who list and do not read.
fn annotations(bundle: &[u8]) -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Bundle {
        dsse_envelope: Option<Envelope>,
    }
    #[derive(Deserialize)]
    struct Envelope {
        payload: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Statement {
        predicate_type: String,
    }
    let envelope = serde_json::from_slice(bundle).ok().and_then(|it: Bundle| it.dsse_envelope);
    let content = if envelope.is_some() { "dsse-envelope" } else { "message-signature" };
    let predicate = || -> Option<String> {
        let statement = STANDARD.decode(envelope?.payload).ok()?;
        serde_json::from_slice(&statement).ok().map(|it: Statement| it.predicate_type)
    };
    let name = |last: &str| format!("dev.sigstore.bundle.{last}");
    let mut annotations = BTreeMap::from([(name("content"), content.to_owned())]);
    annotations.extend(predicate().map(|kind| (name("predicateType"), kind)));
    annotations
}
