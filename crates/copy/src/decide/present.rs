//! Whether there is nothing to do.

use skopeo_image::{Digest, RawManifest, Which};
use skopeo_transport::{Head, LayerForm};
use tracing::debug;

use super::Decision;
use crate::job::Job;
use crate::request::{Lists, SourceSignatures};
use crate::{Error, SourceError};

/// Returns what the destination's name leads to, if the same there could mean that nothing is to do.
pub(super) async fn present(job: &Job<'_>) -> Option<Digest> {
    if may_be_same(job) { under_the_name(job).await } else { None }
}

/// Returns whether what is written can be what is read.
pub(crate) fn may_be_same(job: &Job<'_>) -> bool {
    !job.request.signing.is_asked()
        && job.request.format.is_none()
        && job.request.compression.is_none()
        && job.request.added.is_empty()
        && job.request.encryption.is_none()
        && job.destination.accepts().layers != LayerForm::Uncompressed
}

/// Returns what the destination's name leads to, as far as that is cheap to know.
pub(crate) async fn under_the_name(job: &Job<'_>) -> Option<Digest> {
    job.destination.present().await.unwrap_or_else(|error| {
        debug!("asking what is at the destination: {error}");
        None
    })
}

/// Returns whether what the source's head says means that all of it is under that digest already.
pub(super) fn is_same(job: &Job<'_>, present: &Digest, head: &Head) -> bool {
    let whole = match job.request.lists {
        Lists::All | Lists::IndexOnly => true,
        Lists::System => head.is_single(),
        // Only the manifest tells what a single image is for.
        Lists::Platforms { .. } => false,
    };
    whole && head.digest == *present
}

/// Returns whether an image that is there need not be copied: the policy wants no signature, and
/// there is none that might be missing there.
pub(super) async fn is_up_to_date(job: &Job<'_>, which: &Which) -> Result<bool, Error> {
    Ok(is_trusted_unsigned(job) && !has_signatures(job, which).await?)
}

pub(super) fn is_trusted_unsigned(job: &Job<'_>) -> bool {
    job.policy.accepts_unsigned(&job.source.name().policy_scope())
}

/// Returns whether there are signatures that are to be copied.
pub(super) async fn has_signatures(job: &Job<'_>, which: &Which) -> Result<bool, Error> {
    if job.request.signatures == SourceSignatures::Remove {
        return Ok(false);
    }
    let signatures = job.source.signatures(which).await;
    let signatures =
        signatures.map_err(|error| Error::Source(SourceError::Signatures(error.into())))?;
    Ok(!signatures.is_empty())
}

/// Returns whether what the destination wants of the index, too, is there.
pub(super) async fn has_origin(job: &Job<'_>, index: &RawManifest) -> bool {
    job.destination.has_origin(index).await.unwrap_or_else(|error| {
        debug!("asking what is at the destination: {error}");
        false
    })
}

/// Decides about a manifest that may be under the destination's name already.
pub(super) async fn if_present(
    job: &Job<'_>,
    present: Option<&Digest>,
    manifest: &RawManifest,
    which: &Which,
) -> Result<Option<Decision>, Error> {
    let Some(digest) = present else { return Ok(None) };
    if !manifest.has_digest(digest).unwrap_or(false) || !is_up_to_date(job, which).await? {
        return Ok(None);
    }
    let (digest, manifest) = (digest.clone(), Some(manifest.clone()));
    Ok(Some(Decision::Present { digest, manifest }))
}

/// Decides about a manifest that may be there in another form: some destinations have manifests of
/// their own.
pub(super) async fn if_equal(
    job: &Job<'_>,
    manifest: &RawManifest,
    which: &Which,
) -> Result<Option<Decision>, Error> {
    let may_be = !job.request.signing.is_asked()
        && job.request.format.is_none()
        && job.request.compression.is_none()
        && job.request.encryption.is_none()
        && is_trusted_unsigned(job);
    if !may_be {
        return Ok(None);
    }
    let equal = job.destination.equals(manifest).await.unwrap_or_else(|error| {
        debug!("asking what is at the destination: {error}");
        None
    });
    let Some(digest) = equal else { return Ok(None) };
    if has_signatures(job, which).await? {
        return Ok(None);
    }
    Ok(Some(Decision::Present { digest, manifest: None }))
}
