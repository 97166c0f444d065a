//! One repository: a layout, and which of its references are the repository's tags.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use skopeo_image::manifest::MAX_MANIFEST_SIZE;
use skopeo_image::number::wide;
use skopeo_image::{Algorithm, Digest, MediaType, RawManifest};

use super::blobs::OpenBlob;
use super::follow::MAX_NESTING;
use super::index::{Entry, Index, PAYLOAD_DIGEST, REF_NAME};
use super::layout::{Hold, Layout};
use super::names::{Names, ServedName, is_made_of_digest};
use super::page::Page;
use super::parsed_manifest::{ParsedManifest, is_manifest_type};
use super::reach::ReachedManifest;
use crate::body::Body;
use crate::error::{ApiError, Code};

/// Manifests of more bytes are read as clients take them.
const SMALL_MANIFEST: u64 = 16 * 1024;

/// A view of a layout.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    /// Where its blobs lie.
    pub(crate) layout: Arc<Layout>,
    /// Whether a reference that is a mere tag is ours.
    plain: bool,
    /// The name for which a reference `name:tag` is ours.
    name: Option<String>,
}

/// By what a manifest is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A tag.
    Tag(String),
    /// A digest.
    Digest(Digest),
}

/// A manifest that may be put, if what it needs is here.
#[derive(Debug)]
pub(crate) struct Checked {
    parsed: ParsedManifest,
    media_type: MediaType,
    /// The digest of the bytes.
    stored: Digest,
    /// The digest by which clients know it.
    public: Digest,
}

impl Checked {
    /// Looks at nothing but the request.
    pub(crate) fn of(
        target: &Target,
        content_type: Option<MediaType>,
        bytes: &Bytes,
    ) -> Result<Self, ApiError> {
        let parsed = ParsedManifest::parse(bytes)
            .map_err(|why| ApiError::new(Code::ManifestInvalid, why))?;
        let media_type = agree(&parsed, content_type)?;
        let algorithm = match target {
            Target::Tag(_) => Algorithm::Sha256,
            Target::Digest(wanted) => wanted.algorithm(),
        };
        let stored = Digest::of(algorithm, bytes);
        // Signed schema 1 is known by the digest of what is signed.
        let manifest = RawManifest::new(Some(media_type.clone()), bytes.clone());
        let public = manifest
            .digest_by(algorithm)
            .map_err(|error| ApiError::new(Code::ManifestInvalid, error.to_string()))?;
        if let Target::Digest(wanted) = target
            && *wanted != public
        {
            let why = format!("manifest has digest {public}, not {wanted}");
            return Err(ApiError::new(Code::DigestInvalid, why));
        }
        Ok(Self { parsed, media_type, stored, public })
    }
}

impl Checked {
    /// Something that must be here before the manifest is.
    pub(crate) fn needed(&self) -> Option<&Digest> {
        let children = self.parsed.children.iter().map(|(digest, _)| digest);
        self.parsed.blobs.iter().chain(children).next()
    }
}

/// A manifest that has been put.
#[derive(Debug)]
pub(crate) struct Put {
    /// The digest by which it can be asked for.
    pub(crate) digest: Digest,
    /// The manifest it refers to.
    pub(crate) subject: Option<Digest>,
}

/// A manifest as it is answered.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// The digest by which clients know it.
    pub(crate) digest: Digest,
    /// As declared, else as guessed.
    pub(crate) media_type: MediaType,
    /// The bytes.
    pub(crate) bytes: ManifestBytes,
}

/// The bytes of a manifest.
#[derive(Debug)]
pub(crate) enum ManifestBytes {
    /// Few.
    Few(Vec<u8>),
    /// More than are held in memory for each client.
    Many(OpenBlob),
}

impl ManifestBytes {
    /// How many there are.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Few(bytes) => wide(bytes.len()),
            Self::Many(blob) => blob.size,
        }
    }

    /// The body of an answer that they are.
    pub(crate) fn into_body(self) -> io::Result<Body> {
        match self {
            Self::Few(bytes) => Ok(Body::of_bytes(bytes)),
            Self::Many(blob) => {
                let size = blob.size;
                blob.part(0, size)
            }
        }
    }
}

impl Repository {
    /// All of a layout in a folder of its own.
    pub(crate) fn whole(layout: Arc<Layout>) -> Self {
        Self { layout, plain: true, name: None }
    }

    /// The repository named after the layout's folder.
    pub(crate) fn base(layout: Arc<Layout>, name: &str) -> Self {
        Self { layout, plain: true, name: Some(name.to_owned()) }
    }

    /// The references `name:tag` of a layout.
    pub(crate) fn named(layout: Arc<Layout>, name: &str) -> Self {
        Self { layout, plain: false, name: Some(name.to_owned()) }
    }

    /// Puts the tags on a page, sorted by their bytes.
    pub(crate) fn tags(&self, page: &mut Page) -> io::Result<()> {
        let names = self.layout.names(&self.layout.index()?)?;
        let own = self.plain.then(|| names.own());
        let other = self.name.as_deref().and_then(|name| names.tags(name));
        for tags in own.into_iter().chain(other) {
            for tag in tags.keys() {
                if !page.add(tag)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether tags can be listed: some manifest in a layout of its own, or some reference.
    pub(crate) fn is_known(&self) -> io::Result<bool> {
        let names = self.layout.names(&self.layout.index()?)?;
        let other = self.name.as_deref().and_then(|name| names.tags(name));
        Ok(self.plain && names.has_own() || other.is_some())
    }

    /// Finds a manifest.
    pub(crate) fn find(&self, target: &Target) -> io::Result<Option<ReachedManifest>> {
        let index = self.layout.index()?;
        match target {
            Target::Digest(digest) => self.layout.find(&index, digest),
            Target::Tag(tag) => {
                let names = self.layout.names(&index)?;
                // Signatures are pulled from the repository of their image, by a tag that has no
                // repository in a layout.
                let referrer = names.own().get(tag).filter(|_| is_made_of_digest(tag));
                let references = self.references(&names, tag);
                let entry = references.iter().chain(referrer).find_map(|name| index.by_ref(name));
                Ok(entry.and_then(ReachedManifest::of))
            }
        }
    }

    /// Reads a manifest.
    pub(crate) fn manifest(&self, target: &Target) -> io::Result<Option<Manifest>> {
        let Some(found) = self.find(target)? else { return Ok(None) };
        let (digest, media_type) = (found.public.as_ref().clone(), found.media_type);
        if !media_type.is_empty()
            && let Some(blob) = self.layout.blob(&found.stored)?
            && blob.size > SMALL_MANIFEST
            && blob.size <= wide(MAX_MANIFEST_SIZE)
        {
            return Ok(Some(Manifest { digest, media_type, bytes: ManifestBytes::Many(blob) }));
        }
        let Some(bytes) = self.layout.read_manifest(&found.stored)? else { return Ok(None) };
        let media_type = if media_type.is_empty() {
            let parsed =
                self.layout.room.kept.in_turn(bytes.len(), || ParsedManifest::parse(&bytes))?;
            parsed.map(|parsed| parsed.media_type).unwrap_or_default()
        } else {
            media_type
        };
        Ok(Some(Manifest { digest, media_type, bytes: ManifestBytes::Few(bytes) }))
    }

    /// Stores a manifest whose blobs and instances are here, and gives it its tag.
    pub(crate) fn put(
        &self,
        hold: &Hold,
        target: &Target,
        checked: &Checked,
        bytes: &[u8],
    ) -> Result<Put, ApiError> {
        let Checked { parsed, media_type, stored, public } = checked;
        let signed = (public != stored).then_some((PAYLOAD_DIGEST, public.as_str()));
        let payload: Vec<_> = signed.into_iter().collect();
        let size = wide(bytes.len());
        let edit = |before: &Arc<Index>, index: &mut Index| {
            self.check_whole(before, parsed)?;
            match target {
                Target::Tag(tag) => {
                    let names = self.layout.names(before)?;
                    for name in self.references(&names, tag) {
                        index.remove_ref(&name);
                    }
                    let name = self.reference(&names, tag);
                    let annotations = [&payload[..], &[(REF_NAME, name.as_str())]].concat();
                    index.add(Entry::describing(media_type, stored, size, &annotations));
                }
                Target::Digest(_) if self.layout.find(before, public)?.is_none() => {
                    index.add(Entry::describing(media_type, stored, size, &payload));
                }
                Target::Digest(_) => {}
            }
            self.drop_covered(index, parsed)
        };
        self.layout.edit_after(hold, edit, || {
            if self.layout.blob_size(stored)? != Some(size) {
                self.layout.write_blob(stored, bytes)?;
            }
            Ok(())
        })?;
        Ok(Put { digest: public.clone(), subject: parsed.subject.clone() })
    }

    /// Removes a tag, or a manifest with all its tags and what only it needed. Whether it was here.
    pub(crate) fn delete(&self, hold: &Hold, target: &Target) -> Result<bool, ApiError> {
        let digest = match target {
            Target::Digest(digest) => digest,
            Target::Tag(tag) => {
                return self.layout.edit(hold, |before, index| {
                    let names = self.layout.names(before)?;
                    let names = self.references(&names, tag);
                    Ok(names.iter().filter(|name| index.remove_ref(name)).count() > 0)
                });
            }
        };
        self.layout.edit_and_remove(hold, |before, index| {
            let Some(found) = self.layout.find(before, digest)? else {
                return Ok((false, Vec::new()));
            };
            let ours = |entry: &Entry| {
                let place = entry.ref_name().and_then(|name| ServedName::of(name).ok());
                let other = place.is_some_and(|place| !self.is_ours(&place));
                entry.digest() == Some(&found.stored)
                    && (self.plain && self.name.is_none() || !other)
            };
            let candidates = self.layout.below(&found)?;
            index.remove(ours);
            let needed = self.layout.needed(index)?;
            let goes = candidates.iter().filter(|digest| !needed.contains(digest));
            Ok((true, goes.cloned().collect()))
        })
    }

    /// Removes a blob that no manifest needs. Whether it was here.
    pub(crate) fn delete_blob(&self, hold: &Hold, digest: &Digest) -> Result<bool, ApiError> {
        self.layout.edit_and_remove(hold, |_, index| {
            if self.layout.needed(index)?.contains(digest) {
                return Err(ApiError::new(
                    Code::Unsupported,
                    "a manifest in this repository needs the blob",
                ));
            }
            let is_there = self.layout.blob_size(digest)?.is_some();
            let goes = is_there.then(|| digest.clone()).into_iter().collect();
            Ok((is_there, goes))
        })
    }

    fn is_ours(&self, place: &ServedName) -> bool {
        match &place.repository {
            None => self.plain,
            repository => *repository == self.name,
        }
    }

    /// The references under which a tag is found.
    fn references(&self, names: &Names, tag: &str) -> Vec<String> {
        let own = self.plain.then(|| names.own().get(tag)).flatten();
        let other = self.name.as_deref().and_then(|name| names.tags(name)?.get(tag));
        own.into_iter().chain(other).cloned().collect()
    }

    /// The reference under which a tag is written: the one it has, if it has one.
    fn reference(&self, names: &Names, tag: &str) -> String {
        if let Some(reference) = self.references(names, tag).into_iter().next() {
            return reference;
        }
        match &self.name {
            Some(name) if !self.plain => names.spell(name, tag),
            _ => tag.to_owned(),
        }
    }

    fn check_whole(&self, index: &Arc<Index>, parsed: &ParsedManifest) -> Result<(), ApiError> {
        let missing = |digest: &Digest| ApiError::new(Code::ManifestBlobUnknown, digest.as_str());
        if let Some(digest) = self.layout.missing(&parsed.blobs)? {
            return Err(missing(&digest));
        }
        if parsed.children.is_empty() {
            return Ok(());
        }
        let reach = self.layout.reach(index)?;
        for (digest, _) in &parsed.children {
            let there = reach.get(digest).is_some() && self.layout.blob_size(digest)?.is_some();
            if !there {
                return Err(missing(digest));
            }
        }
        if !self.layout.is_shallow(&parsed.children)? {
            let why =
                format!("indexes may be nested {MAX_NESTING} levels deep; this one is deeper");
            return Err(ApiError::new(Code::ManifestInvalid, why));
        }
        Ok(())
    }

    /// Takes out the bare descriptors of instances that are now found through their list: what
    /// `oci:` writes has none.
    fn drop_covered(&self, index: &mut Index, list: &ParsedManifest) -> Result<(), ApiError> {
        let mut covered = HashSet::new();
        for (digest, _) in &list.children {
            let refers = self.layout.parsed(digest)?.is_some_and(|parsed| parsed.subject.is_some());
            if !refers {
                covered.insert(digest.clone());
            }
        }
        index
            .remove(|entry| entry.is_bare() && entry.digest().is_some_and(|d| covered.contains(d)));
        Ok(())
    }
}

/// The type under which a manifest is kept, where the header and the document agree. There are
/// only those that we know: a browser that is sent another would follow it.
fn agree(parsed: &ParsedManifest, content_type: Option<MediaType>) -> Result<MediaType, ApiError> {
    let refused = |why: String| Err(ApiError::new(Code::ManifestInvalid, why));
    let seen = &parsed.media_type;
    if !is_manifest_type(seen) {
        return refused(format!("mediaType {seen} is not a manifest type"));
    }
    let generic = ["", "application/json", "application/octet-stream"].map(MediaType::from);
    let Some(header) = content_type.filter(|header| !generic.contains(header)) else {
        return Ok(seen.clone());
    };
    if !is_manifest_type(&header) {
        return refused(format!("Content-Type {header} is not a manifest type"));
    }
    if (header.is_index(), header.is_schema1()) != (seen.is_index(), seen.is_schema1()) {
        return refused(format!("Content-Type is {header}, the document is {seen}"));
    }
    Ok(if header.is_schema1() { seen.clone() } else { header })
}
