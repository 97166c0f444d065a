//! A list and its instances, lists in lists included.

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use skopeo_image::{Digest, InstanceEdit, RawManifest, Which};
use tracing::debug;

use crate::commit::{Place, Written};
use crate::plan::{InstancePlan, ListPlan, PlanError};
use crate::{Error, Event, Job, admit, commit, plan, single};

/// Lists in lists: one step is seen in the field, more is a trap.
const DEEPEST: usize = 4;

/// The instance that serves best.
pub(crate) enum Chosen {
    /// The one that is at the destination, whose manifest nobody has to read.
    Present(Digest),
    /// Another.
    Image(Digest, RawManifest),
}

/// Looks for the instance that serves best, through lists in lists.
pub(crate) async fn choose(
    job: &Job<'_>,
    list: &RawManifest,
    present: Option<&Digest>,
) -> Result<Chosen, Error> {
    let mut list = list.clone();
    for _ in 0..DEEPEST {
        let name = || job.source.name().to_string();
        let digest = plan::choose(&list, job.around())
            .map_err(|source| Error::Choose { name: name(), source })?;
        if present == Some(&digest) {
            return Ok(Chosen::Present(digest));
        }
        let manifest = admit::fetch(job, &Which::Instance(digest.clone())).await?;
        if !manifest.media_type.is_list() {
            return Ok(Chosen::Image(digest, manifest));
        }
        list = manifest;
    }
    Err(too_deep(commit::digest_of(job, &list)?))
}

/// Copies a list with the instances that are asked for.
pub(crate) fn copy_list<'a>(
    job: &'a Job<'_>,
    manifest: RawManifest,
    which: Which,
    place: Place,
    depth: usize,
) -> BoxFuture<'a, Result<Written, Error>> {
    Box::pin(async move {
        if depth >= DEEPEST {
            return Err(too_deep(commit::digest_of(job, &manifest)?));
        }
        let signatures = admit::list_signatures(job, &which).await?;
        let plan = plan::plan_list(&manifest, signatures.len(), job.around())?;
        debug!("{plan}");
        let of = plan.instances.len();
        job.session.tell(Event::CopyingImages { copied: of, listed: plan.listed });
        if of == 0 {
            // Each instance is admitted on its own. Where there is none, the list must be.
            let signatures = job
                .source
                .signatures(&which)
                .await
                .map_err(|error| Error::ReadSignatures(error.into()))?;
            let scope = job.source.name().policy_scope();
            let admitted = job.policy.admit(&scope, manifest.clone(), &signatures);
            admitted.map_err(Error::Rejected)?;
        }
        let copies: Vec<BoxFuture<'_, Result<(usize, Written), Error>>> = plan
            .instances
            .iter()
            .enumerate()
            .map(|(at, instance)| {
                Box::pin(copy_instance(job, instance, at, of, depth)) as BoxFuture<'_, _>
            })
            .collect();
        let mut written: Vec<(usize, Written)> =
            stream::iter(copies).buffer_unordered(job.at_once).try_collect().await?;
        written.sort_unstable_by_key(|(at, _)| *at);
        let candidates = candidates(job, &manifest, &plan, &written)?;
        let is_frozen = plan.frozen.is_some();
        let written = commit::write_list(job, &candidates, is_frozen, &signatures, &place).await?;
        commit::tell_done(job, &manifest, &which, &written)?;
        Ok(written)
    })
}

async fn copy_instance(
    job: &Job<'_>,
    instance: &InstancePlan,
    at: usize,
    of: usize,
    depth: usize,
) -> Result<(usize, Written), Error> {
    let digest = &instance.digest;
    job.session.tell(Event::CopyingImage { digest: digest.clone(), at: at + 1, of });
    let copied = async {
        let which = Which::Instance(digest.clone());
        let place = Place::List(digest.clone());
        let manifest = admit::fetch(job, &which).await?;
        if manifest.media_type.is_list() {
            copy_list(job, manifest, which, place, depth + 1).await
        } else {
            single::copy_image(job, manifest, &which, &place).await
        }
    };
    match copied.await {
        Ok(written) => Ok((at, written)),
        Err(source) => Err(Error::OfList { at: at + 1, of, source: Box::new(source) }),
    }
}

/// The manifests to try for a list, best first. Where no instance changed, the first is the very
/// list of the source.
fn candidates(
    job: &Job<'_>,
    manifest: &RawManifest,
    plan: &ListPlan,
    written: &[(usize, Written)],
) -> Result<Vec<RawManifest>, Error> {
    let mut list = plan.list.clone();
    let changed = written.iter().any(|(at, written)| plan.instances[*at].digest != written.digest);
    if changed {
        if let Some(frozen) = plan.frozen {
            return Err(Error::ListMustNotChange(frozen));
        }
        let edits: Vec<InstanceEdit> = written
            .iter()
            .map(|(at, written)| InstanceEdit {
                old: plan.instances[*at].digest.clone(),
                digest: written.digest.clone(),
                size: written.manifest.bytes.len() as u64,
                media_type: written.manifest.media_type.clone(),
                compressions: written.compressions.clone(),
            })
            .collect();
        list.replace(&edits).map_err(Error::EditList)?;
    }
    plan.types
        .iter()
        .map(|to| {
            if *to == plan.from {
                return Ok(if changed { list.encode() } else { manifest.clone() });
            }
            let converted = list.convert(to, &job.request.host).map_err(Error::EditList)?;
            Ok(converted.encode())
        })
        .collect()
}

fn too_deep(digest: Digest) -> Error {
    Error::Plan(PlanError::TooDeep(digest))
}
