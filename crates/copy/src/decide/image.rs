//! One image: admitted and planned.

use std::fmt;

use bytes::Bytes;
use skopeo_image::{Descriptor, Digest, ImageManifest, Platform, RawManifest, Signature, Which};
use skopeo_transport::Referrer;
use skopeo_trust::Admitted;
use tracing::debug;

use super::{Position, referrers};
use crate::admit::{self, Admission};
use crate::item::TransferredBlob;
use crate::job::Job;
use crate::plan::{self, Crypt, ImagePlan, IndexError, LayerPlan, PlanError, Surroundings, Wanted};
use crate::request::{Lists, Request};
use crate::{Error, WriteError, assemble};

/// An image to write.
pub(crate) struct ImageDecision {
    pub(crate) admitted: Admitted,
    /// The signatures that go with it.
    pub(crate) signatures: Vec<Signature>,
    /// Its digest at the source.
    pub(crate) digest: Digest,
    pub(crate) position: Position,
    pub(crate) plan: ImagePlan,
    /// The referrers that go with it.
    pub(crate) referrers: Vec<Referrer>,
    /// The config, if it has been read already.
    pub(crate) config: Option<Bytes>,
    /// The index that the image was chosen from, if it was.
    pub(crate) chosen_from: Option<RawManifest>,
}

/// Admits and plans the image with that manifest, which is at `which` in the source.
pub(crate) async fn decide_image(
    job: &Job<'_>,
    request: &Request,
    manifest: RawManifest,
    which: Which,
    position: Position,
) -> Result<ImageDecision, Error> {
    let Admission { admitted, signatures } = admit::admit(job, request, manifest, &which).await?;
    let digest = match &which {
        Which::Instance(digest) => digest.clone(),
        Which::Top => admit::digest_of(job, admitted.manifest())?,
    };
    let referrers = referrers::referrers_of(job, request, &digest).await?;
    let layers = admit::layers(job, admitted.manifest(), &which).await?;
    let (has_referrers, layers) = (!referrers.is_empty(), layers.as_deref());
    let around = Surroundings { has_referrers, layers, ..job.around(request) };
    let plan = plan::plan_image(&admitted, &signatures, around)?;
    debug!("{plan}");
    require_accepted(job, &plan)?;
    require_kept_layers(job, &plan)?;
    require_convertible(&plan, admitted.manifest())?;
    let config = match which {
        Which::Top => require_platform(job, &plan).await?,
        Which::Instance(_) => None,
    };
    let chosen_from = None;
    Ok(ImageDecision {
        admitted,
        signatures,
        digest,
        position,
        plan,
        referrers,
        config,
        chosen_from,
    })
}

/// Returns an error if the only type that may be written is one that the destination is known to
/// refuse.
fn require_accepted(job: &Job<'_>, plan: &ImagePlan) -> Result<(), Error> {
    let [only] = &plan.types[..] else { return Ok(()) };
    let kept = job.destination.keeps_manifest(only);
    kept.map_err(|error| Error::Write(WriteError::Manifest(error.into())))
}

/// Returns an error if the destination is known to have no place for a layer, in the form in which
/// it would come.
fn require_kept_layers(job: &Job<'_>, plan: &ImagePlan) -> Result<(), Error> {
    let coming = plan.layers.iter().filter(|layer| layer.wanted != Wanted::Elsewhere);
    let layers: Vec<Descriptor> = coming.map(LayerPlan::coming).collect();
    let kept = job.destination.keeps_layers(&plan.image, &layers);
    kept.map_err(|error| Error::Write(WriteError::Begin(error.into())))
}

/// Returns the error of the conversion to the only type that may be written, where it depends on the
/// manifest alone: nothing is known of layers that change before their bytes have been read.
fn require_convertible(plan: &ImagePlan, manifest: &RawManifest) -> Result<(), Error> {
    let [only] = &plan.types[..] else { return Ok(()) };
    let layers = assemble::layers_as_declared(plan);
    let is_kept = |(layer, declared): (&LayerPlan, &TransferredBlob)| {
        layer.blob.size.is_some() && layer.crypt == Crypt::Keep && !declared.recoded
    };
    let is_certain = plan.layers.iter().zip(&layers).all(is_kept)
        && !assemble::needs_config(&plan.image, only)
        && !assemble::needs_diff_ids(&plan.image, only);
    if is_certain {
        assemble::assemble(plan, manifest, None, &layers, only)?;
    }
    Ok(())
}

/// Refuses a single image that is for none of the platforms asked for; returns its config if that
/// had to be read. What is no image is for all.
async fn require_platform(job: &Job<'_>, plan: &ImagePlan) -> Result<Option<Bytes>, Error> {
    let Lists::Platforms { wanted, .. } = &job.request.lists else { return Ok(None) };
    if plan.image.is_artifact() {
        return Ok(None);
    }
    let config = match &plan.config {
        Some(config) => Some(job.read_config(config).await?),
        None => None,
    };
    let platform = platform(&plan.image, config.as_deref())?;
    if wanted.iter().any(|filter| filter.matches(&platform)) {
        return Ok(config);
    }
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let platform = platform.to_string();
    Err(PlanError::Index(IndexError::OtherPlatform { wanted: wanted.join(","), platform }).into())
}

fn platform(image: &ImageManifest, config: Option<&[u8]>) -> Result<Platform, PlanError> {
    let summary = image.summary(config)?;
    Ok(Platform::new(&summary.os, &summary.architecture, &summary.variant))
}

impl fmt::Debug for ImageDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageDecision").field("plan", &self.plan).finish_non_exhaustive()
    }
}
