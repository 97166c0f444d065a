//! The referrers of the images of a layout.
//!
//! They are found in two ways: under names made of the digest of their subject, as a registry
//! without the API has tags (`sha256-HEX` names an index of the referrers, `sha256-HEX.sig` and the
//! like are cosign's), and by the `subject` of any manifest that `index.json` leads to. They are
//! written in the first way, which all readers follow.

use std::collections::{BTreeMap, HashMap, HashSet};

use skopeo_image::manifest::oci::{Index as List, Manifest, OciDescriptor};
use skopeo_image::number::wide;
use skopeo_image::{
    Descriptor, Digest, Links, MediaType, RawManifest, Signature, go_json, is_bundle_type,
};
use skopeo_registry::referrers_tag;
use tracing::debug;

use super::LayoutError;
use super::blob_store::BlobStore;
use super::index::{Entry, Index, Target};
use crate::bundles::Carrier;
use crate::referrer::replaces;
use crate::{CommitError, ContentError, CosignTag, Error, FoundBy, Referrer};

/// How many manifests of a layout are read to find out what they are about.
const MOST: usize = 100_000;

/// Returns the referrers under the names made of the digest of their subject.
pub(super) fn named(
    blobs: &dyn BlobStore,
    index: &Index,
    subject: &Digest,
) -> Result<Vec<Referrer>, Error> {
    let referrers = index_of(blobs, index, subject)?;
    let listed = referrers.into_iter().flat_map(|it| it.manifests);
    let mut found: Vec<_> = listed.map(|it| Referrer::listed(it, FoundBy::Layout)).collect();
    for tag in CosignTag::ALL {
        if let Some(entry) = index.by_ref(&tag.of(subject)) {
            found.push(Referrer::tagged(described(entry)?, FoundBy::CosignTag(tag)));
        }
    }
    Ok(found)
}

/// Returns the index of the referrers of a manifest, if there is one.
fn index_of(blobs: &dyn BlobStore, index: &Index, subject: &Digest) -> Result<Option<List>, Error> {
    let Some(entry) = index.by_ref(&referrers_tag(subject)) else { return Ok(None) };
    let target = entry.descriptor()?;
    if target.media_type != MediaType::OCI_INDEX {
        return Err(ContentError::UnknownEntry(target.media_type.to_string()).into());
    }
    let bytes = blobs.manifest(&target.digest)?;
    if Digest::of(target.digest.algorithm(), &bytes) != target.digest {
        return Err(ContentError::ManifestMismatch(target.digest).into());
    }
    Ok(Some(List::parse(&bytes)?))
}

fn described(entry: &Entry) -> Result<Descriptor, Error> {
    let Target { media_type, digest } = entry.descriptor()?;
    Ok(Descriptor::new(media_type, digest, entry.size()))
}

/// Returns the manifests that say their subject themselves, by that subject. A manifest that cannot
/// be read has none.
pub(super) fn by_subject(
    blobs: &dyn BlobStore,
    index: &Index,
) -> Result<HashMap<Digest, Vec<Referrer>>, Error> {
    let mut found: HashMap<Digest, Vec<Referrer>> = HashMap::new();
    let mut waiting: Vec<_> =
        index.entries().iter().rev().filter_map(|entry| entry.descriptor().ok()).collect();
    let mut seen: HashSet<Digest> = HashSet::new();
    while let Some(Target { media_type, digest }) = waiting.pop() {
        if !blobs.has(&digest) || !seen.insert(digest.clone()) {
            continue;
        }
        if seen.len() > MOST {
            return Err(LayoutError::TooManyManifests(MOST).into());
        }
        let bytes = blobs.manifest(&digest)?;
        let manifest = RawManifest::new(Some(media_type), bytes.into());
        let links = match Links::parse(&manifest) {
            Ok(links) => links,
            Err(error) => {
                debug!("reading the subject of {digest}: {error}");
                continue;
            }
        };
        let children = links.manifests.iter().rev().filter(|child| !child.media_type.is_blob());
        waiting.extend(children.map(|child| Target {
            media_type: child.media_type.clone(),
            digest: child.digest.clone(),
        }));
        if let Some(subject) = &links.subject {
            let mut descriptor = links.describe(&manifest)?;
            descriptor.blob.digest = digest;
            let referrer = Referrer::listed(descriptor, FoundBy::Layout);
            found.entry(subject.digest.clone()).or_default().push(referrer);
        }
    }
    Ok(found)
}

/// Returns the bundles among the referrers of a manifest. What cannot be read is not one.
pub(super) fn bundles(
    blobs: &dyn BlobStore,
    index: &Index,
    subject: &Digest,
) -> Result<HashSet<Digest>, Error> {
    let found = named(blobs, index, subject)?;
    let found = found.iter().filter(|it| is_bundle_type(&it.artifact_type));
    let manifests = found.filter_map(|it| blobs.manifest(&it.blob.digest).ok());
    let layers = manifests.filter_map(|bytes| Some(Manifest::parse(&bytes).ok()?.layers)).flatten();
    Ok(layers.map(|it| it.blob.digest).collect())
}

/// The referrers that are written to a layout when their subjects get their names.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingReferrers {
    /// The manifests that have been put.
    put: BTreeMap<Digest, Descriptor>,
    /// The subject of each referrer, and a blob that the referrer names.
    held: HashSet<(Digest, Digest)>,
    /// What is to be listed, by its subject.
    listed: BTreeMap<Digest, Vec<OciDescriptor>>,
    /// What is to be under names of cosign's.
    tagged: BTreeMap<String, RawManifest>,
}

impl PendingReferrers {
    /// Notes a manifest that has been put, which may get referrers.
    pub(super) fn note(&mut self, digest: Digest, manifest: &RawManifest) {
        let size = Some(wide(manifest.bytes.len()));
        let described = Descriptor::new(manifest.media_type.clone(), digest.clone(), size);
        self.put.insert(digest, described);
    }

    /// Returns what bundles need to become referrers of a manifest that has been put. None of those
    /// `there` is among them, and none that a copied referrer has.
    pub(super) fn carriers(
        &self,
        subject: &Digest,
        bundles: &[Signature],
        there: &HashSet<Digest>,
    ) -> Result<Vec<Carrier>, Error> {
        let described = self.put.get(subject).ok_or(CommitError::NothingToCommit)?;
        let mut carriers = Vec::new();
        for bundle in bundles {
            let Some(carrier) = Carrier::of(bundle, described)? else { continue };
            let bundle = carrier.bundle();
            let is_held = self.held.contains(&(subject.clone(), bundle.clone()));
            if !is_held && !there.contains(bundle) {
                carriers.push(carrier);
            }
        }
        Ok(carriers)
    }

    /// Adds a referrer, whose manifest has been put.
    pub(super) fn add(
        &mut self,
        subject: &Digest,
        referrer: &Referrer,
        manifest: &RawManifest,
    ) -> Result<(), Error> {
        if let Some(tag) = referrer.found.tag(subject) {
            self.tagged.insert(tag, manifest.clone());
            return Ok(());
        }
        let links = Links::parse(manifest)?;
        self.held.extend(links.blobs.iter().map(|it| (subject.clone(), it.digest.clone())));
        let mut descriptor = links.describe(manifest)?;
        // As it is known: another algorithm may have been used.
        descriptor.blob.digest = referrer.blob.digest.clone();
        self.listed.entry(subject.clone()).or_default().push(descriptor);
        Ok(())
    }

    /// What is to be under names of cosign's.
    pub(super) fn tagged(&self) -> impl Iterator<Item = &RawManifest> {
        self.tagged.values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.tagged.is_empty()
    }

    /// Puts all of it into an index. Gives back the lists that have to be written before it is.
    pub(super) fn apply(
        self,
        blobs: &dyn BlobStore,
        index: &mut Index,
    ) -> Result<Vec<(Digest, Vec<u8>)>, Error> {
        let mut lists = Vec::new();
        for (subject, ours) in self.listed {
            let there = index_of(blobs, index, &subject)?;
            let mut list = there.unwrap_or_else(|| List::new(Vec::new()));
            let there: HashSet<_> =
                list.manifests.iter().map(|it| it.blob.digest.clone()).collect();
            let mut new = ours;
            new.retain(|it| !there.contains(&it.blob.digest));
            if new.is_empty() {
                continue;
            }
            // Which came first is chance.
            new.sort_by(|a, b| a.blob.digest.cmp(&b.blob.digest));
            list.manifests.extend(new);
            let bytes = go_json::to_vec(&list)?;
            let digest = Digest::sha256(&bytes);
            let target = Target { media_type: MediaType::OCI_INDEX, digest: digest.clone() };
            index.put(Entry::new(&target, bytes.len(), Some(&referrers_tag(&subject))));
            lists.push((digest, bytes));
        }
        for (tag, manifest) in self.tagged {
            if let Some(there) = index.by_ref(&tag) {
                let Target { media_type, digest } = there.descriptor()?;
                let there = RawManifest::new(Some(media_type), blobs.manifest(&digest)?.into());
                if !replaces(&Links::parse(&manifest)?, &there, &tag)? {
                    continue;
                }
            }
            let target =
                Target { media_type: manifest.media_type.clone(), digest: manifest.digest()? };
            index.put(Entry::new(&target, manifest.bytes.len(), Some(&tag)));
        }
        Ok(lists)
    }
}
