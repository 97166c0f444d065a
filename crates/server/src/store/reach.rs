//! What the index of a layout leads to: its manifests, the instances of lists, and what they need.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, OnceLock};

use skopeo_image::{Digest, MediaType};

use super::count::Count;
use super::index::Entry;

/// A manifest of a layout, as some descriptor declares it.
#[derive(Clone, Debug)]
pub(crate) struct ReachedManifest {
    /// The digest of the bytes, under which they lie.
    pub(crate) stored: Arc<Digest>,
    /// The digest by which clients know it.
    pub(crate) public: Arc<Digest>,
    /// Empty if no descriptor says.
    pub(crate) media_type: MediaType,
}

/// All manifests that an index leads to.
#[derive(Debug)]
pub(crate) struct Reach {
    /// In the order in which they were found.
    pub(crate) manifests: Vec<ReachedManifest>,
    at: HashMap<Arc<Digest>, usize>,
    /// What refers to each manifest, once somebody has asked.
    pub(super) referrers: OnceLock<Referrers>,
    /// What all this takes of the memory.
    counted: Count,
}

/// What refers to each manifest.
#[derive(Debug)]
pub(super) struct Referrers {
    of: HashMap<Digest, Vec<Arc<Digest>>>,
    _counted: Count,
}

impl Referrers {
    /// Keeps what refers to each manifest, with what that takes.
    pub(super) fn new(of: HashMap<Digest, Vec<Arc<Digest>>>, counted: Count) -> Self {
        Self { of, _counted: counted }
    }

    /// Returns what refers to a manifest.
    pub(super) fn to(&self, subject: &Digest) -> Vec<Arc<Digest>> {
        self.of.get(subject).cloned().unwrap_or_default()
    }
}

/// What a manifest takes in a [`Reach`], in bytes, while lists have room for twice as many.
const MANIFEST: usize = 3 * size_of::<ReachedManifest>() + 96;

/// What a digest takes in a set, in bytes.
const NEEDED: usize = 192;

impl Reach {
    /// Begins with nothing.
    pub(super) fn new(counted: Count) -> Self {
        let (manifests, at, referrers) = (Vec::new(), HashMap::new(), OnceLock::new());
        Self { manifests, at, referrers, counted }
    }

    /// The manifest of this digest.
    pub(crate) fn get(&self, digest: &Digest) -> Option<&ReachedManifest> {
        self.at.get(digest).and_then(|at| self.manifests.get(*at))
    }
}

impl ReachedManifest {
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        Some(Self {
            stored: entry.digest()?.clone(),
            public: entry.public_digest()?.clone(),
            media_type: entry.media_type(),
        })
    }

    pub(super) fn child((digest, media_type): &(Digest, MediaType)) -> Self {
        let digest = Arc::new(digest.clone());
        Self { stored: digest.clone(), public: digest, media_type: media_type.clone() }
    }

    pub(super) fn may_be_list(&self) -> bool {
        self.media_type.is_index() || self.media_type.is_empty()
    }
}

impl Reach {
    /// Adds a manifest, unless it is there. `more` is what its digest takes, in bytes.
    pub(super) fn add(&mut self, found: ReachedManifest, more: usize) -> io::Result<()> {
        if self.at.contains_key(&found.stored) {
            return Ok(());
        }
        self.counted
            .add(found.media_type.as_str().len().saturating_add(MANIFEST).saturating_add(more))?;
        let at = self.manifests.len();
        self.at.insert(found.stored.clone(), at);
        // Signed schema 1 is known by the digest of what is signed.
        self.at.entry(found.public.clone()).or_insert(at);
        self.manifests.push(found);
        Ok(())
    }
}

/// Digests, each once.
#[derive(Debug)]
pub(super) struct NeededDigests {
    digests: HashSet<Digest>,
    counted: Count,
}

impl NeededDigests {
    /// Begins with nothing.
    pub(super) fn new(counted: Count) -> Self {
        Self { digests: HashSet::new(), counted }
    }

    pub(super) fn add(&mut self, digest: &Digest) -> io::Result<()> {
        if !self.digests.contains(digest) {
            self.counted.add(NEEDED)?;
            self.digests.insert(digest.clone());
        }
        Ok(())
    }

    /// Whether this one is among them.
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.digests.iter()
    }
}
