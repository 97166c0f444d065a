//! An index and what is wanted of what it names, indexes in an index included.

use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use skopeo_image::{
    Classify as _, Descriptor, Digest, ErrorClass, ImageIndex, Instance, Platform, RawManifest,
    Signature, Which,
};
use skopeo_transport::Referrer;
use tracing::debug;

use super::image::{ImageDecision, decide_image};
use super::{Decision, Position, present, referrers};
use crate::admit;
use crate::assemble;
use crate::error::sentence;
use crate::job::Job;
use crate::plan::{
    self, EntryKind, IndexError, IndexPlan, InstancePlan, PlanError, Scope, Surroundings, Within,
};
use crate::request::{CompressTo, Lists, OtherFormats, Request, SourceSignatures};
use crate::selection::Referrers;
use crate::{Error, SourceError};

/// Indexes in an index: one step is seen in the field, more is a trap.
const DEEPEST: usize = 4;

/// Indexes in one index, all in all: nobody makes as many.
const MOST: usize = 1000;

/// An index to write.
#[derive(Debug)]
pub(crate) struct IndexDecision {
    pub(crate) manifest: RawManifest,
    pub(crate) which: Which,
    pub(crate) position: Position,
    /// Its digest at the source.
    pub(crate) digest: Digest,
    /// The signatures that go with it.
    pub(crate) signatures: Vec<Signature>,
    /// The referrers that go with it.
    pub(crate) referrers: Vec<Referrer>,
    pub(crate) plan: IndexPlan,
    /// How many lists it is in.
    pub(crate) depth: usize,
}

/// An entry of an index that is to be written.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A blob.
    Blob(Descriptor),
    /// An image.
    Image(Box<ImageDecision>),
    /// An index again.
    Index(Box<IndexDecision>),
}

/// The instance that serves best.
pub(super) enum Chosen {
    /// The one that is at the destination, whose manifest nobody has to read.
    Present(Digest),
    /// Another.
    Image(Digest, RawManifest),
}

/// Looks for the instance that serves best, through indexes in an index.
pub(super) async fn choose(
    job: &Job<'_>,
    index: &RawManifest,
    present: Option<&Digest>,
) -> Result<Chosen, Error> {
    let mut index = index.clone();
    for _ in 0..DEEPEST {
        let name = || job.source.name().to_string();
        let digest = plan::choose(&index, job.around(job.request))
            .map_err(|source| Error::Source(SourceError::Choose { name: name(), source }))?;
        if present == Some(&digest) {
            return Ok(Chosen::Present(digest));
        }
        let manifest = admit::fetch(job, &Which::Instance(digest.clone())).await?;
        if !manifest.media_type.is_index() {
            return Ok(Chosen::Image(digest, manifest));
        }
        index = manifest;
    }
    Err(too_deep(admit::digest_of(job, &index)?))
}

/// Decides that nothing is to do where the index, as it would be written, is there already.
pub(super) async fn if_present(
    job: &Job<'_>,
    index: &IndexDecision,
    present: Option<&Digest>,
) -> Result<Option<Decision>, Error> {
    let IndexDecision { manifest, plan, .. } = index;
    // What is left out of an index that stays as it is may be missing there.
    if (plan.kept.is_some() || plan.left_out.is_empty())
        && !referrers::are_copied(job)
        && let Some(expected) = assemble::indexes(plan, manifest, &[], &job.request.host)?.first()
    {
        return present::if_present(job, present, expected, &Which::Top).await;
    }
    Ok(None)
}

/// Plans the index with that manifest, which is at `which` in the source.
pub(super) async fn decide_index(
    job: &Job<'_>,
    manifest: RawManifest,
    which: Which,
    scope: Scope,
    position: Position,
    depth: usize,
) -> Result<IndexDecision, Error> {
    bounded(job, &manifest, depth)?;
    let signatures = admit::index_signatures(job, &manifest, &which).await?;
    let within = match (&job.request.lists, scope) {
        (Lists::Platforms { .. }, Scope::Top | Scope::Nested) => {
            let index = plan::parse_index(&manifest).map_err(PlanError::from)?;
            look_into(job, &index, depth).await?
        }
        _ => Within::default(),
    };
    let around = job.around(job.request);
    let mut plan = plan::plan_index(&manifest, &signatures, scope, &within, around)?;
    let digest = digest_at(job, &which, &manifest)?;
    let mut referrers = Vec::new();
    if plan.is_another() {
        referrers::say_of_index(job, &manifest).await?;
    } else {
        referrers = referrers::referrers_of(job, job.request, &digest).await?;
    }
    if !referrers.is_empty() {
        let around = Surroundings { has_referrers: true, ..around };
        plan = plan::plan_index(&manifest, &signatures, scope, &within, around)?;
    }
    debug!("{plan}");
    Ok(IndexDecision { manifest, which, position, digest, signatures, referrers, plan, depth })
}

/// The digest by which an index is known at the source.
fn digest_at(job: &Job<'_>, which: &Which, manifest: &RawManifest) -> Result<Digest, Error> {
    match which {
        Which::Instance(digest) => Ok(digest.clone()),
        Which::Top => admit::digest_of(job, manifest),
    }
}

/// The platforms in those lists of an index that name none themselves.
fn look_into<'a>(
    job: &'a Job<'_>,
    index: &'a ImageIndex,
    depth: usize,
) -> BoxFuture<'a, Result<Within, Error>> {
    Box::pin(async move {
        let mut within = Within::default();
        for instance in index.instances() {
            let digest = instance.descriptor.digest.clone();
            if !instance.descriptor.media_type.is_index() || instance.has_platform() {
                continue;
            }
            let manifest = admit::fetch(job, &Which::Instance(digest.clone())).await?;
            bounded(job, &manifest, depth.saturating_add(1))?;
            let index = plan::parse_index(&manifest).map_err(PlanError::from)?;
            let named = index.instances().into_iter().filter(Instance::has_platform);
            let mut platforms: Vec<Platform> = named.filter_map(|it| it.platform).collect();
            let deeper = look_into(job, &index, depth.saturating_add(1)).await?;
            platforms.extend(deeper.0.into_values().flatten());
            within.0.insert(digest, platforms);
        }
        Ok(within)
    })
}

/// Refuses indexes in an index without end.
fn bounded(job: &Job<'_>, index: &RawManifest, depth: usize) -> Result<(), Error> {
    if depth >= DEEPEST {
        return Err(too_deep(admit::digest_of(job, index)?));
    }
    if job.lists.fetch_add(1, Ordering::Relaxed) >= MOST {
        return Err(Error::Plan(PlanError::Index(IndexError::TooMany(admit::digest_of(
            job, index,
        )?))));
    }
    Ok(())
}

/// Asks the policy about an index where nobody else asks: each image is admitted on its own. Where
/// there is none, the index must be, and for what is no image.
pub(crate) async fn admit_index(job: &Job<'_>, index: &IndexDecision) -> Result<(), Error> {
    let instances = &index.plan.instances;
    if !instances.is_empty() && instances.iter().all(|it| it.kind == EntryKind::Manifest) {
        return Ok(());
    }
    let scope = job.source.name().policy_scope();
    let mut signatures = Vec::new();
    if !job.policy.accepts_unsigned(&scope) {
        let IndexDecision { manifest, which, .. } = index;
        let read = admit::read_signatures(job.source, job.policy, manifest, which).await;
        signatures = read.map_err(|error| Error::Source(SourceError::Signatures(error.into())))?;
    }
    let admitted = job.policy.admit(&scope, index.manifest.clone(), &signatures);
    admitted.map(drop).map_err(|it| Error::Source(SourceError::Rejected(it)))
}

/// Decides about one of the entries of an index that are to be written. Its manifest is `None` if it is
/// a blob.
pub(crate) async fn decide_entry(
    job: &Job<'_>,
    entry: &InstancePlan,
    manifest: Option<RawManifest>,
    depth: usize,
) -> Result<Entry, Error> {
    let Some(manifest) = manifest else { return Ok(Entry::Blob(entry.descriptor.clone())) };
    let which = Which::Instance(entry.digest.clone());
    let position = Position::InIndex(entry.digest.clone());
    if let Some(variant) = entry.variant {
        let request = replicating(job.request, variant);
        let image = decide_image(job, &request, manifest, which, position).await?;
        Ok(Entry::Image(Box::new(image)))
    } else if manifest.media_type.is_index() {
        let depth = depth.saturating_add(1);
        let index = decide_index(job, manifest, which, entry.scope, position, depth).await?;
        Ok(Entry::Index(Box::new(index)))
    } else {
        let image = decide_image(job, job.request, manifest, which, position).await?;
        Ok(Entry::Image(Box::new(image)))
    }
}

/// The manifest of an entry of an index; `None` if it is a blob.
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

/// Whether an entry of an index that was asked for as a manifest may be a blob: it is not there, or
/// longer than any manifest.
fn may_be_blob(error: &Error) -> bool {
    if let Error::Source(SourceError::Instance { source, .. }) = error
        && source.is_missing_file()
    {
        return true;
    }
    matches!(error.class(), Some(ErrorClass::NotFound | ErrorClass::InvalidImage))
}

/// What is asked where an image is copied once more, packed so. The signatures are of what it was.
fn replicating(request: &Request, variant: CompressTo) -> Request {
    Request {
        compression: Some(CompressTo { others: OtherFormats::Refuse, ..variant }),
        signatures: SourceSignatures::Remove,
        referrers: Referrers::Leave,
        ..request.clone()
    }
}

fn too_deep(digest: Digest) -> Error {
    Error::Plan(PlanError::Index(IndexError::TooDeep(digest)))
}
