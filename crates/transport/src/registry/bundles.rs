//! Writing bundles of sigstore as cosign 3 does: each is the one layer of a manifest that hangs on
//! the image.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use skopeo_image::manifest::oci;
use skopeo_image::{
    Descriptor, Digest, MediaType, RawManifest, Signature, go_json, is_bundle_type,
};
use skopeo_registry::Repository;

use super::attachments::{descriptor, put};
use super::referrers::{self, Shelf};
use crate::{Error, Found, PutManifestError, Referrer};

const EMPTY: &[u8] = b"{}";

/// Hangs bundles on the manifest of that digest, which has been put. One that hangs there already is
/// not written again, whoever wrote it.
pub(super) async fn write(
    repository: &Repository,
    shelf: &Shelf,
    subject: &Digest,
    bundles: &[Signature],
) -> Result<(), Error> {
    let target = referrers::tagged(repository, subject.as_str()).await?;
    let target = target.ok_or(Error::NothingToCommit)?;
    let there = there(repository, subject).await?;
    for bundle in bundles {
        let Signature::Sigstore { mime_type, payload, .. } = bundle else { continue };
        let layer = descriptor(mime_type.as_str().into(), payload);
        if there.contains(&layer.digest) {
            continue;
        }
        put(repository, &layer, payload.clone()).await?;
        let config = descriptor(MediaType::OCI_EMPTY, EMPTY);
        put(repository, &config, Bytes::from_static(EMPTY)).await?;
        let manifest = manifest(config, layer, target.clone(), payload)?;
        let blob = descriptor(MediaType::OCI_MANIFEST, &manifest.bytes);
        let referrer = Referrer { blob, artifact_type: mime_type.clone(), found: Found::Api };
        let hung = shelf.put(repository, subject, &referrer, &manifest).await;
        hung.map_err(|error| match error {
            PutManifestError::Other(error) => error,
            PutManifestError::TypeRejected { media_type, source } => match source {
                Some(error) => *error,
                None => Error::UnknownEntry(media_type.to_string()),
            },
        })?;
    }
    shelf.finish(repository).await
}

/// The bundles that hang there.
async fn there(repository: &Repository, subject: &Digest) -> Result<Vec<Digest>, Error> {
    let mut found = Vec::new();
    for referrer in referrers::listed(repository, subject).await? {
        if !is_bundle_type(&referrer.artifact_type) {
            continue;
        }
        let Some(manifest) = referrers::read_tag(repository, referrer.blob.digest.as_str()).await?
        else {
            continue;
        };
        // What cannot be read is not what is to be written.
        let layers = oci::Manifest::parse(&manifest.bytes).map(|it| it.layers).unwrap_or_default();
        found.extend(layers.into_iter().map(|it| it.blob.digest));
    }
    Ok(found)
}

/// The manifest, which is the same whenever the bundle is.
fn manifest(
    config: Descriptor,
    layer: Descriptor,
    subject: Descriptor,
    payload: &[u8],
) -> Result<RawManifest, Error> {
    let artifact_type = layer.media_type.to_string();
    let mut manifest = oci::Manifest::new(config, vec![layer.into()]);
    manifest.artifact_type = artifact_type;
    manifest.subject = Some(Box::new(subject.into()));
    manifest.annotations = annotations(payload);
    let bytes = go_json::to_vec(&manifest)?.into();
    Ok(RawManifest { media_type: MediaType::OCI_MANIFEST, bytes })
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
