//! One image: admitted, planned, transferred, assembled, written.

use futures_util::future;
use skopeo_image::{ImageManifest, Platform, RawManifest, Which};
use tracing::debug;

use crate::commit::{Place, Written};
use crate::plan::{ImagePlan, PlanError, Surroundings};
use crate::{Error, Job, Lists, Request, admit, commit, plan, referrers, transfer};

/// Copies the image with that manifest, which is at `which` in the source.
pub(crate) async fn copy_image(
    job: &Job<'_>,
    request: &Request,
    manifest: RawManifest,
    which: &Which,
    place: &Place,
) -> Result<Written, Error> {
    let welcome = admit::admit(job, request, manifest, which).await?;
    let digest = match which {
        Which::Instance(digest) => digest.clone(),
        Which::Top => commit::digest_of(job, welcome.admitted.manifest())?,
    };
    let hanging = referrers::of(job, request, &digest).await?;
    let layers = admit::layers(job, welcome.admitted.manifest(), which).await?;
    let (hangs, layers) = (!hanging.is_empty(), layers.as_deref());
    let around = Surroundings { hanging: hangs, layers, ..job.around(request) };
    let plan = plan::plan_image(&welcome.admitted, &welcome.signatures, around)?;
    debug!("{plan}");
    if *which == Which::Top {
        require_platform(job, &plan).await?;
    }
    let bring = referrers::bring(job, &digest, hanging);
    let (transferred, ()) = future::try_join(transfer::transfer(job, &plan), bring).await?;
    let written = commit::write_image(job, &plan, &welcome, transferred, place).await?;
    commit::tell_done(job, welcome.admitted.manifest(), which, &written)?;
    Ok(written)
}

/// Refuses a single image that is for none of the platforms asked for. What is no image is for
/// all.
pub(crate) async fn require_platform(job: &Job<'_>, plan: &ImagePlan) -> Result<(), Error> {
    let Lists::Platforms { wanted, .. } = &job.request.lists else { return Ok(()) };
    if plan.image.is_artifact() {
        return Ok(());
    }
    let config = match &plan.config {
        Some(config) => Some(job.read_config(config).await?),
        None => None,
    };
    let platform = platform(&plan.image, config.as_deref())?;
    if wanted.iter().any(|filter| filter.matches(&platform)) {
        return Ok(());
    }
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let platform = platform.to_string();
    Err(PlanError::OtherPlatform { wanted: wanted.join(","), platform }.into())
}

fn platform(image: &ImageManifest, config: Option<&[u8]>) -> Result<Platform, PlanError> {
    let summary = image.summary(config)?;
    Ok(Platform::new(&summary.os, &summary.architecture, &summary.variant))
}
