//! Writing bundles of sigstore as cosign 3 does, as referrers of the image.

use skopeo_image::manifest::oci;
use skopeo_image::{Digest, Signature, is_bundle_type};
use skopeo_registry::Repository;

use super::attachments::put;
use super::referrers::{self, ReferrerWriter};
use crate::bundles::Carrier;
use crate::{CommitError, Error, PutManifestError};

/// Writes bundles as referrers of the manifest of that digest, which has been put. One that is
/// there already is not written again, whoever wrote it.
pub(super) async fn write(
    repository: &Repository,
    writer: &ReferrerWriter,
    subject: &Digest,
    bundles: &[Signature],
) -> Result<(), Error> {
    let target = referrers::tagged(repository, subject.as_str()).await?;
    let target = target.ok_or(CommitError::NothingToCommit)?;
    let there = there(repository, subject).await?;
    for bundle in bundles {
        let Some(carrier) = Carrier::of(bundle, &target)? else { continue };
        if there.contains(carrier.bundle()) {
            continue;
        }
        for (blob, bytes) in carrier.blobs {
            put(repository, &blob, bytes).await?;
        }
        let put = writer.put(repository, subject, &carrier.referrer, &carrier.manifest).await;
        put.map_err(PutManifestError::into_error)?;
    }
    writer.finish(repository).await
}

/// Returns the bundles among the referrers.
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
