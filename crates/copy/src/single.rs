//! One image: admitted, planned, transferred, assembled, written.

use skopeo_image::{RawManifest, Which};
use tracing::debug;

use crate::commit::{Place, Written};
use crate::{Error, Job, admit, commit, plan, transfer};

/// Copies the image with that manifest, which is at `which` in the source.
pub(crate) async fn copy_image(
    job: &Job<'_>,
    manifest: RawManifest,
    which: &Which,
    place: &Place,
) -> Result<Written, Error> {
    let welcome = admit::admit(job, manifest, which).await?;
    let plan = plan::plan_image(&welcome.admitted, welcome.signatures.len(), job.around())?;
    debug!("{plan}");
    let transferred = transfer::transfer(job, &plan).await?;
    let written = commit::write_image(job, &plan, &welcome, transferred, place).await?;
    commit::tell_done(job, welcome.admitted.manifest(), which, &written)?;
    Ok(written)
}
