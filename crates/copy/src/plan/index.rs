//! An index: all of it, some platforms, the system's, or the index only; and what comes to it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use skopeo_image::{
    Compression, Descriptor, Digest, ImageIndex, Instance, Manifest, ManifestError, MediaType,
    Platform, PlatformFilter, RawManifest, Signature,
};

use super::{Frozen, FrozenError, IndexError, PlanError, Surroundings, format, frozen};
use crate::request::{CompressTo, Lists, Others};

/// What is to be done with an index.
#[derive(Clone, Debug)]
pub struct IndexPlan {
    /// The view of its manifest.
    pub index: ImageIndex,
    /// Its manifest's own type.
    pub from: MediaType,
    /// The types to try for it, best first; at least one.
    pub types: Vec<MediaType>,
    /// Why nothing may change, if nothing may.
    pub frozen: Option<Frozen>,
    /// The instances to copy and to replicate, in order.
    pub instances: Vec<InstancePlan>,
    /// How many instances the index has.
    pub listed: usize,
    /// The entries that stay in it, counted from 0, if not all do.
    pub kept: Option<BTreeSet<usize>>,
    /// What the instances that are not copied are for, unless none or all are copied.
    pub left_out: Vec<String>,
}

/// An instance to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstancePlan {
    /// Its digest at the source.
    pub digest: Digest,
    /// Its declared type: an image, or an index again.
    pub media_type: MediaType,
    /// Which part of it, if it is an index.
    pub scope: Scope,
    /// If set, it is copied once more, packed so, and comes into the index beside itself.
    pub variant: Option<CompressTo>,
    /// Whether it is a manifest.
    pub kind: EntryKind,
    /// As the index declares it.
    pub descriptor: Descriptor,
}

/// What an entry of an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A manifest of an image, an artifact or an index.
    Manifest,
    /// A blob, as in the indexes in which BuildKit keeps build caches.
    Blob,
    /// Its type does not tell: what it is shows when it is read.
    Unknown,
}

impl EntryKind {
    fn of(media_type: &MediaType) -> Self {
        if media_type.is_blob() {
            Self::Blob
        } else if media_type.is_empty() || media_type.is_manifest() {
            Self::Manifest
        } else {
            Self::Unknown
        }
    }
}

/// Which part of an index is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What the request says of the source.
    Top,
    /// The same of an index in it, which need not have every platform.
    Nested,
    /// All of an index that is for a platform as a whole.
    Whole,
}

/// What a plan must know of indexes in an index: the platforms in each that names none itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Within(pub(crate) HashMap<Digest, Vec<Platform>>);

/// The digest of the instance that serves best.
pub(crate) fn choose(
    index: &RawManifest,
    around: Surroundings<'_>,
) -> Result<Digest, ManifestError> {
    let index = parse(index)?;
    let wanted = &around.request.platforms;
    let chosen = index.choose(wanted)?;
    if let (Some(other), Some(first)) = (index.other_system(&chosen, wanted), wanted.first()) {
        tracing::warn!("There is no image for {first}: this is the one for {other}");
    }
    Ok(chosen)
}

/// For how many platforms an index has images. What attests images is for none.
pub(crate) fn platforms(index: &RawManifest) -> usize {
    let Ok(index) = parse(index) else { return 0 };
    let instances = index.instances();
    let images = instances.iter().filter(|instance| instance.has_platform());
    images.filter_map(|instance| instance.platform.as_ref()).collect::<HashSet<_>>().len()
}

/// Plans an index, with which these signatures are to be copied.
pub(crate) fn plan_index(
    manifest: &RawManifest,
    signatures: &[Signature],
    scope: Scope,
    within: &Within,
    around: Surroundings<'_>,
) -> Result<IndexPlan, PlanError> {
    let Surroundings { top, destination, accepts, request, has_referrers, .. } = around;
    if !accepts.manifests.is_empty() && !accepts.manifests.iter().any(MediaType::is_index) {
        return Err(PlanError::Index(IndexError::NoGroups(destination.transport())));
    }
    let index = parse(manifest)?;
    around.require_kept(signatures)?;
    if let Some(digest) = &accepts.digest
        && !manifest.has_digest(digest)?
        && !top.has_digest(digest)?
    {
        return Err(PlanError::Frozen(FrozenError::DestinationDigest));
    }
    let frozen = frozen::frozen(frozen::Subject::Index, signatures.len(), around);
    let all = index.instances();
    let (copied, others) = match (&request.lists, scope) {
        (Lists::IndexOnly, _) => (BTreeSet::new(), Others::Keep),
        (Lists::Platforms { wanted, others }, Scope::Top | Scope::Nested) => {
            if !all.is_empty() && all.iter().all(Instance::is_blob) {
                return Err(index.without_images().into());
            }
            (select(&all, wanted, within, scope)?, *others)
        }
        _ => ((0..all.len()).collect(), Others::Keep),
    };
    let variants = variants(&all, &copied, &request.added);
    let compression = variants.values().flatten().map(|added| added.format).max();
    let from = index.media_type();
    let forced = request.format.map(|format| format.index_type());
    if let (true, Some(to)) = (has_referrers, forced.clone().filter(|to| *to != from)) {
        return Err(frozen::would_change(manifest, format!("converting it to {to}")));
    }
    let types = if forced.is_none() && all.iter().any(Instance::is_blob) {
        // Another kind of index would say of what is no image that it is one of that kind.
        vec![from.clone()]
    } else {
        format::index_types(&from, &accepts.manifests, forced, compression, frozen)?
    };

    let mut instances = Vec::new();
    let mut left_out = Vec::new();
    for (at, instance) in all.iter().enumerate() {
        let Instance { descriptor, .. } = instance;
        if !copied.contains(&at) {
            if let (Others::Remove, Some(frozen)) = (others, frozen) {
                return Err(PlanError::Index(IndexError::Remove {
                    digest: descriptor.digest.clone(),
                    frozen,
                }));
            }
            left_out.push(purpose(instance));
            continue;
        }
        let copy = InstancePlan {
            digest: descriptor.digest.clone(),
            media_type: descriptor.media_type.clone(),
            scope: if instance.has_platform() { Scope::Whole } else { Scope::Nested },
            variant: None,
            kind: EntryKind::of(&descriptor.media_type),
            descriptor: descriptor.clone(),
        };
        let added = variants.get(&at).into_iter().flatten();
        let added: Vec<_> =
            added.map(|it| InstancePlan { variant: Some(*it), ..copy.clone() }).collect();
        if let (Some(frozen), Some(variant)) = (frozen, added.iter().find_map(|it| it.variant)) {
            let (digest, compression) = (copy.digest, variant.format);
            return Err(PlanError::Index(IndexError::Add { digest, compression, frozen }));
        }
        instances.push(copy);
        instances.extend(added);
    }
    let listed = all.len();
    let kept = (others == Others::Remove && copied.len() < listed).then_some(copied);
    if instances.is_empty() {
        left_out.clear();
    }
    Ok(IndexPlan { index, from, types, frozen, instances, listed, kept, left_out })
}

/// The positions of what is asked for: the instances for these platforms, and what attests them.
fn select(
    all: &[Instance],
    wanted: &[PlatformFilter],
    within: &Within,
    scope: Scope,
) -> Result<BTreeSet<usize>, PlanError> {
    let platforms: Vec<&[Platform]> = all
        .iter()
        .map(|instance| match &instance.platform {
            Some(platform) if instance.has_platform() => std::slice::from_ref(platform),
            _ => within.0.get(&instance.descriptor.digest).map_or(&[][..], Vec::as_slice),
        })
        .collect();
    let serves = |filter: &PlatformFilter, platforms: &[Platform]| {
        platforms.iter().any(|platform| filter.matches(platform))
    };
    if scope == Scope::Top
        && let Some(missing) =
            wanted.iter().find(|filter| !platforms.iter().any(|there| serves(filter, there)))
    {
        let there = platforms.iter().flat_map(|there| there.iter().map(Platform::to_string));
        let there = there.collect();
        return Err(PlanError::Index(IndexError::NoPlatform {
            wanted: missing.to_string(),
            there,
        }));
    }
    let is_wanted = |there: &[Platform]| wanted.iter().any(|filter| serves(filter, there));
    let (mut chosen, mut digests) = (BTreeSet::new(), HashSet::new());
    let both = all.iter().zip(&platforms).enumerate();
    for (at, (instance, _)) in both.filter(|(_, (_, there))| is_wanted(there)) {
        chosen.insert(at);
        digests.insert(&instance.descriptor.digest);
    }
    let attests = |instance: &Instance| instance.attested().is_some_and(|it| digests.contains(&it));
    let attestations = all.iter().enumerate().filter(|(_, instance)| attests(instance));
    chosen.extend(attestations.map(|(at, _)| at));
    Ok(chosen)
}

/// What is to be added for each of the images that are copied: the first for a platform that has
/// no image packed so yet.
fn variants(
    all: &[Instance],
    copied: &BTreeSet<usize>,
    added: &[CompressTo],
) -> HashMap<usize, Vec<CompressTo>> {
    let images: Vec<(usize, &Instance)> = copied
        .iter()
        .filter_map(|at| Some((*at, all.get(*at)?)))
        .filter(|(_, instance)| {
            !instance.descriptor.media_type.is_index()
                && !instance.is_blob()
                && instance.artifact_type.is_none()
                && instance.attested().is_none()
                && (instance.platform.is_none() || instance.has_platform())
        })
        .collect();
    let mut there: HashMap<Option<Platform>, HashSet<Compression>> = HashMap::new();
    for (_, instance) in &images {
        let compression = if instance.is_zstd() { Compression::Zstd } else { Compression::Gzip };
        there.entry(key(instance)).or_default().insert(compression);
    }
    let mut variants: HashMap<usize, Vec<CompressTo>> = HashMap::new();
    for (at, instance) in images {
        let there = there.entry(key(instance)).or_default();
        for added in added {
            // An index does not tell one kind of zstd from the other.
            let noted = match added.format {
                Compression::ZstdChunked => Compression::Zstd,
                other => other,
            };
            if there.insert(noted) {
                variants.entry(at).or_default().push(*added);
            }
        }
    }
    variants
}

/// What makes two instances variants of each other.
fn key(instance: &Instance) -> Option<Platform> {
    let mut platform = instance.platform.clone()?;
    platform.os_features.sort();
    platform.features.sort();
    Some(platform)
}

/// What an instance is for, in words.
fn purpose(instance: &Instance) -> String {
    match &instance.platform {
        _ if instance.attested().is_some() => "attestations".to_owned(),
        Some(platform) if instance.has_platform() => platform.to_string(),
        _ => instance.descriptor.digest.to_string(),
    }
}

pub(crate) fn parse(manifest: &RawManifest) -> Result<ImageIndex, ManifestError> {
    match manifest.parse()? {
        Manifest::Index(index) => Ok(index),
        Manifest::Image(image) => Err(ManifestError::NotAnIndex(image.media_type().to_string())),
    }
}

impl IndexPlan {
    /// Whether the index that is written is another one than the source's, since it was asked for.
    pub(crate) fn is_another(&self) -> bool {
        self.kept.is_some() || self.instances.iter().any(|instance| instance.variant.is_some())
    }
}

impl fmt::Display for IndexPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "list {}, {} of {} instances", self.from, self.instances.len(), self.listed)?;
        if let Some(frozen) = self.frozen {
            writeln!(f, "  frozen: {frozen}")?;
        }
        for (at, to) in self.types.iter().enumerate() {
            let verb = if *to == self.from { "keep" } else { "convert to" };
            writeln!(f, "  {} {verb} {to}", if at == 0 { "first" } else { "then" })?;
        }
        for instance in &self.instances {
            let short = &instance.digest.hex()[..8];
            match instance.variant {
                None if instance.kind == EntryKind::Blob => {
                    writeln!(f, "  blob {short} {}", instance.media_type)?;
                }
                None => writeln!(f, "  instance {short} {}", instance.media_type)?,
                Some(variant) => writeln!(f, "  add {short} packed as {}", variant.format)?,
            }
        }
        for left_out in &self.left_out {
            let verb = if self.kept.is_some() { "remove" } else { "leave out" };
            writeln!(f, "  {verb} {left_out}")?;
        }
        Ok(())
    }
}
