//! A list and its instances, lists in lists included.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use skopeo_image::number::wide;
use skopeo_image::{
    Classify as _, Descriptor, Digest, ErrorClass, Instance, InstanceAddition, InstanceEdit, List,
    Platform, RawManifest, Signature, Which,
};
use skopeo_transport::Referrer;
use tracing::{debug, warn};

use crate::commit::{Place, Written};
use crate::error::sentence;
use crate::event::BlobKind;
use crate::plan::{EntryKind, InstancePlan, ListPlan, PlanError, Scope, Surroundings, Within};
use crate::request::{CompressTo, Lists, OtherFormats, Request, SourceSignatures};
use crate::selection::Referrers;
use crate::transfer::{self, Item};
use crate::{End, Error, Event, Job, admit, commit, plan, referrers, single};

/// Lists in lists: one step is seen in the field, more is a trap.
const DEEPEST: usize = 4;

/// Lists in one list, all in all: nobody makes as many.
const MOST: usize = 1000;

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
        let digest = plan::choose(&list, job.around(job.request))
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

/// Copies the list that the source's name leads to, unless `present` is what would be written.
pub(crate) async fn copy_top(
    job: &Job<'_>,
    manifest: RawManifest,
    present: Option<&Digest>,
) -> Result<End, Error> {
    let prepared = prepare(job, manifest, Which::Top, Scope::Top, 0).await?;
    if let Some(end) = if_present(job, &prepared, present).await? {
        return Ok(end);
    }
    let top = prepared.manifest.clone();
    let copy = copy_list(job, prepared, Place::Top, 0);
    Ok(End::Written(referrers::beside(job, &top, copy).await?))
}

/// The end of a copy whose list, as it would be written, is there already.
pub(crate) async fn if_present(
    job: &Job<'_>,
    prepared: &Prepared,
    present: Option<&Digest>,
) -> Result<Option<End>, Error> {
    // What is left out of a list that stays as it is may be missing there.
    if (prepared.plan.kept.is_some() || prepared.plan.left_out.is_empty())
        && !referrers::are_copied(job)
        && let Some(expected) = candidates(job, prepared, &[])?.first()
    {
        return job.if_present(present, expected, &Which::Top).await;
    }
    Ok(None)
}

/// What was written of an instance, and which one it was; `None` for a blob.
type InstanceCopy = Option<(usize, Written)>;

/// A list, and what is to be done with it.
pub(crate) struct Prepared {
    manifest: RawManifest,
    which: Which,
    signatures: Vec<Signature>,
    /// What hangs on it and goes with it.
    pub(crate) hanging: Vec<Referrer>,
    pub(crate) plan: ListPlan,
}

pub(crate) async fn prepare(
    job: &Job<'_>,
    manifest: RawManifest,
    which: Which,
    scope: Scope,
    depth: usize,
) -> Result<Prepared, Error> {
    bounded(job, &manifest, depth)?;
    let signatures = admit::list_signatures(job, &manifest, &which).await?;
    let within = match (&job.request.lists, scope) {
        (Lists::Platforms { .. }, Scope::Top | Scope::Nested) => {
            let list = plan::parse_list(&manifest).map_err(PlanError::from)?;
            look_into(job, &list, depth).await?
        }
        _ => Within::default(),
    };
    let around = job.around(job.request);
    let mut plan = plan::plan_list(&manifest, &signatures, scope, &within, around)?;
    let mut hanging = Vec::new();
    if plan.is_another() {
        referrers::say_of_list(job, &manifest).await?;
    } else {
        hanging = referrers::of(job, job.request, &digest_at(job, &which, &manifest)?).await?;
    }
    if !hanging.is_empty() {
        let around = Surroundings { hanging: true, ..around };
        plan = plan::plan_list(&manifest, &signatures, scope, &within, around)?;
    }
    debug!("{plan}");
    Ok(Prepared { manifest, which, signatures, hanging, plan })
}

/// The digest by which a list is known at the source.
fn digest_at(job: &Job<'_>, which: &Which, manifest: &RawManifest) -> Result<Digest, Error> {
    match which {
        Which::Instance(digest) => Ok(digest.clone()),
        Which::Top => commit::digest_of(job, manifest),
    }
}

/// The platforms in those lists of a list that name none themselves.
fn look_into<'a>(
    job: &'a Job<'_>,
    list: &'a List,
    depth: usize,
) -> BoxFuture<'a, Result<Within, Error>> {
    Box::pin(async move {
        let mut within = Within::default();
        for instance in list.instances() {
            let digest = instance.descriptor.digest.clone();
            if !instance.descriptor.media_type.is_list() || instance.has_platform() {
                continue;
            }
            let manifest = admit::fetch(job, &Which::Instance(digest.clone())).await?;
            bounded(job, &manifest, depth.saturating_add(1))?;
            let list = plan::parse_list(&manifest).map_err(PlanError::from)?;
            let named = list.instances().into_iter().filter(Instance::has_platform);
            let mut platforms: Vec<Platform> = named.filter_map(|it| it.platform).collect();
            let deeper = look_into(job, &list, depth.saturating_add(1)).await?;
            platforms.extend(deeper.0.into_values().flatten());
            within.0.insert(digest, platforms);
        }
        Ok(within)
    })
}

/// Refuses lists in lists without end.
fn bounded(job: &Job<'_>, list: &RawManifest, depth: usize) -> Result<(), Error> {
    if depth >= DEEPEST {
        return Err(too_deep(commit::digest_of(job, list)?));
    }
    if job.lists.fetch_add(1, Ordering::Relaxed) >= MOST {
        return Err(Error::Plan(PlanError::TooMany(commit::digest_of(job, list)?)));
    }
    Ok(())
}

/// Asks the policy about a list where nobody else asks: each image is admitted on its own. Where
/// there is none, the list must be, and for what is no image.
pub(crate) async fn admit(job: &Job<'_>, prepared: &Prepared) -> Result<(), Error> {
    let instances = &prepared.plan.instances;
    if !instances.is_empty() && instances.iter().all(|it| it.kind == EntryKind::Manifest) {
        return Ok(());
    }
    let scope = job.source.name().policy_scope();
    let mut signatures = Vec::new();
    if !job.policy.accepts_unsigned(&scope) {
        let Prepared { manifest, which, .. } = prepared;
        let read = admit::read_signatures(job.source, job.policy, manifest, which).await;
        signatures = read.map_err(|error| Error::ReadSignatures(error.into()))?;
    }
    let admitted = job.policy.admit(&scope, prepared.manifest.clone(), &signatures);
    admitted.map(drop).map_err(Error::Rejected)
}

/// Copies a list with the instances that are asked for.
fn copy_list<'a>(
    job: &'a Job<'_>,
    prepared: Prepared,
    place: Place,
    depth: usize,
) -> BoxFuture<'a, Result<Written, Error>> {
    Box::pin(async move {
        let Prepared { manifest, which, signatures, hanging, plan } = &prepared;
        let of = plan.instances.len();
        job.session.tell(Event::CopyingImages { copied: of, listed: plan.listed });
        admit(job, &prepared).await?;
        let copies: Vec<BoxFuture<'_, Result<InstanceCopy, Error>>> = plan
            .instances
            .iter()
            .enumerate()
            .map(|(at, instance)| copy_instance(job, instance, at, of, depth).boxed())
            .collect();
        let written: Vec<InstanceCopy> =
            stream::iter(copies).buffer_unordered(job.at_once).try_collect().await?;
        let mut written: Vec<(usize, Written)> = written.into_iter().flatten().collect();
        written.sort_unstable_by_key(|(at, _)| *at);
        let candidates = candidates(job, &prepared, &written)?;
        let digest = digest_at(job, which, manifest)?;
        referrers::bring(job, &digest, hanging.clone()).await?;
        let is_frozen = plan.frozen.is_some();
        let list = commit::write_list(job, &candidates, is_frozen, signatures, &place).await?;
        if !plan.left_out.is_empty() {
            job.session.tell(Event::ListNarrowed {
                from: commit::digest_of(job, manifest)?,
                to: list.digest.clone(),
                left_out: plan.left_out.clone(),
                removed: plan.kept.is_some(),
            });
        }
        commit::tell_done(job, manifest, which, &list)?;
        Ok(list)
    })
}

async fn copy_instance(
    job: &Job<'_>,
    instance: &InstancePlan,
    at: usize,
    of: usize,
    depth: usize,
) -> Result<InstanceCopy, Error> {
    let digest = instance.digest.clone();
    let replicates = instance.variant.is_some();
    let entry = read_entry(job, instance).await;
    let entry = entry.map_err(|source| Error::OfList {
        at: at.saturating_add(1),
        of,
        source: Box::new(source),
    })?;
    let Some(manifest) = entry else {
        let brought = copy_blob(job, &instance.descriptor).await;
        return brought.map(|()| None).map_err(|source| {
            let source = Box::new(source);
            Error::OfList { at: at.saturating_add(1), of, source }
        });
    };
    job.session.tell(if replicates {
        Event::ReplicatingImage { digest: digest.clone(), at: at.saturating_add(1), of }
    } else {
        Event::CopyingImage { digest: digest.clone(), at: at.saturating_add(1), of }
    });
    let copied = async {
        let which = Which::Instance(digest.clone());
        let place = Place::List(digest);
        if let Some(variant) = instance.variant {
            let request = replicating(job.request, variant);
            single::copy_image(job, &request, manifest, &which, &place).await
        } else if manifest.media_type.is_list() {
            let prepared =
                prepare(job, manifest, which, instance.scope, depth.saturating_add(1)).await?;
            copy_list(job, prepared, place, depth.saturating_add(1)).await
        } else {
            single::copy_image(job, job.request, manifest, &which, &place).await
        }
    };
    match copied.await {
        Ok(written) => {
            warn_of_size(&instance.descriptor, &written);
            Ok(Some((at, written)))
        }
        Err(source) if replicates => {
            Err(Error::Replicating { at: at.saturating_add(1), of, source: Box::new(source) })
        }
        Err(source) => {
            Err(Error::OfList { at: at.saturating_add(1), of, source: Box::new(source) })
        }
    }
}

/// The manifest of an entry of a list; `None` if it is a blob.
pub(crate) async fn read_entry(
    job: &Job<'_>,
    entry: &InstancePlan,
) -> Result<Option<RawManifest>, Error> {
    if entry.kind == EntryKind::Blob {
        return Ok(None);
    }
    let fetched = admit::fetch(job, &Which::Instance(entry.digest.clone())).await;
    match (fetched, entry.kind) {
        (Ok(manifest), EntryKind::Unknown) if !manifest.media_type.is_manifest() => Ok(None),
        (Err(error), EntryKind::Unknown) if may_be_blob(&error) => {
            debug!("{} is no manifest: {}", entry.digest, sentence(&error));
            Ok(None)
        }
        (fetched, _) => fetched.map(Some),
    }
}

/// Whether an entry of a list that was asked for as a manifest may be a blob: it is not there, or
/// longer than any manifest.
fn may_be_blob(error: &Error) -> bool {
    if let Error::Instance { source, .. } = error
        && source.is_missing_file()
    {
        return true;
    }
    matches!(error.class(), Some(ErrorClass::NotFound | ErrorClass::InvalidImage))
}

async fn copy_blob(job: &Job<'_>, blob: &Descriptor) -> Result<(), Error> {
    job.begin().await;
    job.writer().begin().await.map_err(|error| Error::Begin(error.into()))?;
    transfer::tell_started(job, &blob.digest, blob.size, BlobKind::Layer);
    job.bring(&Item::config(blob)).await.map(drop)
}

/// Says that a list is wrong about the length of an image in it: strict readers refuse that. Its
/// bytes stay, as its digest is what others know it by.
fn warn_of_size(declared: &Descriptor, written: &Written) {
    let size = wide(written.manifest.bytes.len());
    if let Some(said) = declared.size
        && written.digest == declared.digest
        && said != size
    {
        warn!("the index says that {} has {said} bytes, and it has {size}", declared.digest);
    }
}

/// What is asked where an image is copied once more, packed so. The signatures are of what it was.
pub(crate) fn replicating(request: &Request, variant: CompressTo) -> Request {
    Request {
        compression: Some(CompressTo { others: OtherFormats::Refuse, ..variant }),
        signatures: SourceSignatures::Remove,
        referrers: Referrers::Leave,
        ..request.clone()
    }
}

/// The manifests to try for a list, best first. Where nothing changed, the first is the very list
/// of the source.
fn candidates(
    job: &Job<'_>,
    prepared: &Prepared,
    written: &[(usize, Written)],
) -> Result<Vec<RawManifest>, Error> {
    let Prepared { manifest, plan, .. } = prepared;
    let copied: HashSet<&Digest> = written
        .iter()
        .filter(|(at, _)| plan.instances.get(*at).is_some_and(|it| it.variant.is_none()))
        .map(|(_, written)| &written.digest)
        .collect();
    let mut edits = Vec::new();
    let mut additions = Vec::new();
    for (at, written) in written {
        let Some(instance) = plan.instances.get(*at) else { continue };
        let old = instance.digest.clone();
        let digest = written.digest.clone();
        let size = wide(written.manifest.bytes.len());
        let media_type = written.manifest.media_type.clone();
        let compressions = written.compressions.clone();
        if instance.variant.is_none() {
            edits.push(InstanceEdit { old, digest, size, media_type, compressions });
        } else if !copied.contains(&digest) {
            let like = old;
            additions.push(InstanceAddition { like, digest, size, media_type, compressions });
        }
    }
    let replaced = edits.iter().any(|edit| edit.old != edit.digest);
    let changed = replaced || plan.kept.is_some() || !additions.is_empty();
    if let (true, Some(frozen)) = (changed, plan.frozen) {
        return Err(Error::ListMustNotChange(frozen));
    }
    plan.types
        .iter()
        .map(|to| {
            if *to == plan.from && !changed {
                return Ok(manifest.clone());
            }
            let mut list = plan.list.clone();
            if let Some(kept) = &plan.kept {
                list.retain(kept);
            }
            let mut list = list.convert(to, &job.request.host).map_err(Error::EditList)?;
            if changed {
                // Additions are like what is there under its old digest.
                list.add(&additions).map_err(Error::EditList)?;
                list.replace(&edits).map_err(Error::EditList)?;
            }
            Ok(list.encode())
        })
        .collect()
}

fn too_deep(digest: Digest) -> Error {
    Error::Plan(PlanError::TooDeep(digest))
}
