//! What hangs on the images of a layout.
//!
//! It is found in two ways: under names made of the digest that it hangs on, as a registry without
//! the API has tags (`sha256-HEX` names a list of what refers to the manifest, `sha256-HEX.sig` and
//! the like are cosign's), and by the `subject` of any manifest that `index.json` leads to. It is
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
use super::index::{Entry, Index, Target};
use super::source::Place;
use crate::bundles::Carrier;
use crate::referrer::replaces;
use crate::{CosignTag, Error, Found, Referrer};

/// How many manifests of a layout are read to find out what they are about.
const MOST: usize = 100_000;

/// Whether a reference is one of the names under which what hangs on an image is found.
pub(super) fn is_name(reference: &str) -> bool {
    subject_tag(reference).is_some()
}

/// The part of such a name that is made of the digest.
pub(super) fn subject_tag(reference: &str) -> Option<&str> {
    let (tag, suffix) = match reference.find('.') {
        Some(at) => reference.split_at(at),
        None => (reference, ""),
    };
    let (algorithm, hex) = tag.split_once('-')?;
    let known = ["", ".sig", ".att", ".sbom"].contains(&suffix)
        && ["sha256", "sha384", "sha512"].contains(&algorithm);
    let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    (known && hex.len() >= 64 && hex.bytes().all(is_hex)).then_some(tag)
}

/// What is under the names made of a digest.
pub(super) fn named(
    place: &dyn Place,
    index: &Index,
    subject: &Digest,
) -> Result<Vec<Referrer>, Error> {
    let list = list(place, index, subject)?;
    let listed = list.into_iter().flat_map(|list| list.manifests);
    let mut found: Vec<_> = listed.map(|it| Referrer::listed(it, Found::Layout)).collect();
    for tag in CosignTag::ALL {
        if let Some(entry) = index.by_ref(&tag.of(subject)) {
            found.push(Referrer::tagged(described(entry)?, Found::CosignTag(tag)));
        }
    }
    Ok(found)
}

/// The list of what refers to a manifest, if there is one.
fn list(place: &dyn Place, index: &Index, subject: &Digest) -> Result<Option<List>, Error> {
    let Some(entry) = index.by_ref(&referrers_tag(subject)) else { return Ok(None) };
    let target = entry.descriptor()?;
    if target.media_type != MediaType::OCI_INDEX {
        return Err(Error::UnknownEntry(target.media_type.to_string()));
    }
    let bytes = place.manifest(&target.digest)?;
    if Digest::of(target.digest.algorithm(), &bytes) != target.digest {
        return Err(Error::ManifestMismatch(target.digest));
    }
    Ok(Some(List::parse(&bytes)?))
}

fn described(entry: &Entry) -> Result<Descriptor, Error> {
    let Target { media_type, digest } = entry.descriptor()?;
    Ok(Descriptor::new(media_type, digest, entry.size()))
}

/// All that says itself what it hangs on, by that. What cannot be read hangs on nothing.
pub(super) fn by_subject(
    place: &dyn Place,
    index: &Index,
) -> Result<HashMap<Digest, Vec<Referrer>>, Error> {
    let mut found: HashMap<Digest, Vec<Referrer>> = HashMap::new();
    let mut waiting: Vec<_> =
        index.entries().iter().rev().filter_map(|entry| entry.descriptor().ok()).collect();
    let mut seen: HashSet<Digest> = HashSet::new();
    while let Some(Target { media_type, digest }) = waiting.pop() {
        if !place.has(&digest) || !seen.insert(digest.clone()) {
            continue;
        }
        if seen.len() > MOST {
            return Err(LayoutError::TooManyManifests(MOST).into());
        }
        let bytes = place.manifest(&digest)?;
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
            let referrer = Referrer::listed(descriptor, Found::Layout);
            found.entry(subject.digest.clone()).or_default().push(referrer);
        }
    }
    Ok(found)
}

/// The bundles that hang on a manifest. What cannot be read is none.
pub(super) fn bundles(
    place: &dyn Place,
    index: &Index,
    subject: &Digest,
) -> Result<HashSet<Digest>, Error> {
    let found = named(place, index, subject)?;
    let found = found.iter().filter(|it| is_bundle_type(&it.artifact_type));
    let manifests = found.filter_map(|it| place.manifest(&it.blob.digest).ok());
    let layers = manifests.filter_map(|bytes| Some(Manifest::parse(&bytes).ok()?.layers)).flatten();
    Ok(layers.map(|it| it.blob.digest).collect())
}

/// What is to be hung on images of a layout when these get their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Hanging {
    /// The manifests that have been put.
    put: BTreeMap<Digest, Descriptor>,
    /// What hangs on a manifest, and what that names.
    held: HashSet<(Digest, Digest)>,
    /// What is to be listed, by what it hangs on.
    listed: BTreeMap<Digest, Vec<OciDescriptor>>,
    /// What is to be under names of cosign's.
    tagged: BTreeMap<String, RawManifest>,
}

impl Hanging {
    /// Notes a manifest that has been put, on which something may be hung.
    pub(super) fn note(&mut self, digest: Digest, manifest: &RawManifest) {
        let size = Some(wide(manifest.bytes.len()));
        let described = Descriptor::new(manifest.media_type.clone(), digest.clone(), size);
        self.put.insert(digest, described);
    }

    /// Returns what bundles need to hang on a manifest that has been put. None of those `there` is
    /// among them, and none that hangs there as a referrer that is copied.
    pub(super) fn carriers(
        &self,
        subject: &Digest,
        bundles: &[Signature],
        there: &HashSet<Digest>,
    ) -> Result<Vec<Carrier>, Error> {
        let described = self.put.get(subject).ok_or(Error::NothingToCommit)?;
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
        place: &dyn Place,
        index: &mut Index,
    ) -> Result<Vec<(Digest, Vec<u8>)>, Error> {
        let mut lists = Vec::new();
        for (subject, ours) in self.listed {
            let mut list = list(place, index, &subject)?.unwrap_or_else(|| List::new(Vec::new()));
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
                let there = RawManifest::new(Some(media_type), place.manifest(&digest)?.into());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_names() {
        let hex = "0123456789abcdef".repeat(4);
        for (name, expected) in [
            (format!("sha256-{hex}"), true),
            (format!("sha256-{hex}.sig"), true),
            (format!("sha256-{hex}.att"), true),
            (format!("sha256-{hex}.sbom"), true),
            (format!("sha512-{hex}"), true),
            (format!("sha256-{hex}.tar"), false),
            (format!("sha256-{hex}.sig.x"), false),
            (format!("sha256-{}", hex.to_uppercase()), false),
            (format!("md5-{hex}"), false),
            ("sha256-0123".to_owned(), false),
            ("latest".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_name(&name), expected, "{name}");
        }
        let digest = Digest::sha256(b"");
        for tag in CosignTag::ALL.map(|tag| tag.of(&digest)) {
            assert_eq!(subject_tag(&tag), Some(referrers_tag(&digest).as_str()));
        }
    }
}
