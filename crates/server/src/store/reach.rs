//! What the index of a layout leads to: its manifests, the instances of lists, and what they need.
//!
//! Lists may be nested as deep as whoever wrote the folder wanted, so nothing here calls itself.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, OnceLock};

use skopeo_image::number::narrow;
use skopeo_image::{Digest, MediaType};

use super::facts::Facts;
use super::index::{Entry, Index};
use super::kept::{Count, Said};
use super::layout::{Layout, guard};

/// How deep lists may be nested that are put here, the outermost counted. Images have two levels;
/// nobody needs more than a few.
pub(crate) const MAX_NESTING: usize = 64;

/// How many manifests are read at once where each takes its time.
const WARMED: usize = 64;

/// The largest of those that are, in bytes.
const SMALL: u64 = 64 * 1024;

/// A manifest of a layout, as some descriptor declares it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
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
    pub(crate) manifests: Vec<Found>,
    at: HashMap<Arc<Digest>, usize>,
    /// What refers to each manifest, once somebody has asked.
    referrers: OnceLock<Referrers>,
    /// What all this takes of the memory.
    counted: Count,
}

/// What refers to each manifest.
#[derive(Debug)]
struct Referrers {
    of: HashMap<Digest, Vec<Arc<Digest>>>,
    _counted: Count,
}

/// What a manifest takes in a [`Reach`], in bytes, while lists have room for twice as many.
const MANIFEST: usize = 3 * size_of::<Found>() + 96;

/// What the digest of one takes that is not in the index, in bytes; so does what refers to one.
const DIGEST: usize = 256;

/// What a digest takes in a set, in bytes.
const NEEDED: usize = 192;

impl Reach {
    /// The manifest of this digest.
    pub(crate) fn get(&self, digest: &Digest) -> Option<&Found> {
        self.at.get(digest).and_then(|at| self.manifests.get(*at))
    }
}

impl Found {
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        Some(Self {
            stored: entry.digest()?.clone(),
            public: entry.public_digest()?.clone(),
            media_type: entry.media_type(),
        })
    }

    fn child((digest, media_type): &(Digest, MediaType)) -> Self {
        let digest = Arc::new(digest.clone());
        Self { stored: digest.clone(), public: digest, media_type: media_type.clone() }
    }

    fn may_be_list(&self) -> bool {
        self.media_type.is_list() || self.media_type.is_empty()
    }
}

impl Layout {
    /// What the manifest of this digest says; none if it is missing or not understood.
    pub(crate) fn facts(&self, digest: &Digest) -> io::Result<Option<Arc<Said>>> {
        if let Some(facts) = guard(&self.room.known).get(self.number, digest) {
            return Ok(Some(facts));
        }
        self.read_facts(digest)
    }

    /// Reads what many manifests say where each takes its time.
    fn warm<'a>(&self, digests: impl Iterator<Item = &'a Digest>) -> io::Result<()> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let unknown: Vec<Digest> = {
            let known = guard(&self.room.known);
            digests.filter(|digest| known.get(self.number, digest).is_none()).cloned().collect()
        };
        for some in unknown.chunks(WARMED) {
            for (digest, bytes) in bucket.manifests(some, SMALL)? {
                let Ok(facts) = Facts::parse(&bytes) else { continue };
                let Some(said) = self.room.kept.said(bytes.len(), || Ok(Some(facts)))? else {
                    continue;
                };
                guard(&self.room.known).insert(self.number, digest, Arc::new(said));
            }
        }
        Ok(())
    }

    fn read_facts(&self, digest: &Digest) -> io::Result<Option<Arc<Said>>> {
        let size = self.blob_size(digest)?.map_or(0, narrow);
        let read = || {
            let bytes = self.read_manifest(digest)?;
            Ok(bytes.and_then(|bytes| Facts::parse(&bytes).ok()))
        };
        let Some(said) = self.room.kept.said(size, read)?.map(Arc::new) else { return Ok(None) };
        guard(&self.room.known).insert(self.number, digest.clone(), said.clone());
        Ok(Some(said))
    }

    /// Finds the manifest of this digest: one that the index names, or an instance of a list that
    /// it names. A blob that merely lies here is no manifest.
    pub(crate) fn find(&self, index: &Arc<Index>, digest: &Digest) -> io::Result<Option<Found>> {
        if let Some(found) = index.by_digest(digest).and_then(Found::of) {
            return Ok(Some(found));
        }
        Ok(self.reach(index)?.get(digest).cloned())
    }

    /// Every manifest that the index leads to, each once. It is remembered for as long as the index
    /// stays, so that asking for what is not there costs nothing.
    pub(crate) fn reach(&self, index: &Arc<Index>) -> io::Result<Arc<Reach>> {
        let kept = self.room.kept.reach(self.number, index);
        if let Some(reach) = kept.or_else(|| self.content_reach.get().cloned()) {
            return Ok(reach);
        }
        let followed = self.room.kept.apart(index.size(), || self.follow(index));
        let (reach, is_whole) = followed?;
        let reach = Arc::new(reach);
        // A list that is not here yet may come without the index changing.
        if is_whole && self.content.is_some() {
            return Ok(self.content_reach.get_or_init(|| reach).clone());
        }
        if is_whole {
            self.room.kept.keep_reach(self.number, index, &reach);
        }
        Ok(reach)
    }

    /// The digests of the manifests that refer to this one, in the order in which they are found.
    pub(crate) fn referrers(&self, subject: &Digest) -> io::Result<Vec<Arc<Digest>>> {
        let reach = self.reach(&self.index()?)?;
        if let Some(known) = reach.referrers.get() {
            return Ok(known.of.get(subject).cloned().unwrap_or_default());
        }
        let mut known: HashMap<Digest, Vec<Arc<Digest>>> = HashMap::new();
        let mut counted = self.room.kept.count();
        let mut is_whole = true;
        self.warm(reach.manifests.iter().map(|found| &*found.stored))?;
        for found in &reach.manifests {
            let Some(facts) = self.facts(&found.stored)? else {
                is_whole = false;
                continue;
            };
            if let Some(subject) = &facts.subject {
                counted.add(DIGEST)?;
                known.entry(subject.clone()).or_default().push(found.stored.clone());
            }
        }
        let referrers = known.get(subject).cloned().unwrap_or_default();
        // A manifest that is not here yet may come without the index changing.
        if is_whole {
            let _ = reach.referrers.set(Referrers { of: known, _counted: counted });
        }
        Ok(referrers)
    }

    /// Follows an index; whether all of its lists were there beside it.
    pub(super) fn follow(&self, index: &Index) -> io::Result<(Reach, bool)> {
        self.follow_from(index.entries().iter().filter_map(Found::of))
    }

    fn follow_from(&self, first: impl Iterator<Item = Found>) -> io::Result<(Reach, bool)> {
        let counted = self.room.kept.count();
        let (manifests, at, referrers) = (Vec::new(), HashMap::new(), OnceLock::new());
        let mut reach = Reach { manifests, at, referrers, counted };
        let mut is_whole = true;
        for found in first {
            reach.add(found, 0)?;
        }
        let lists = reach.manifests.iter().filter(|found| found.may_be_list());
        self.warm(lists.map(|found| &*found.stored))?;
        // What is added waits behind what is there, each digest once.
        let mut next = 0_usize;
        while let Some(found) = reach.manifests.get(next) {
            if found.may_be_list() {
                match self.facts(&found.stored)? {
                    Some(facts) => {
                        for child in &facts.children {
                            if reach.get(&child.0).is_none() {
                                reach.add(Found::child(child), DIGEST)?;
                            }
                        }
                    }
                    None => is_whole = false,
                }
            }
            next = next.saturating_add(1);
        }
        Ok((reach, is_whole))
    }

    /// A manifest, its blobs and, for a list, all that is below it: each digest once.
    pub(super) fn below(&self, top: &Found) -> io::Result<Needed> {
        let top = Found { media_type: MediaType::default(), ..top.clone() };
        let (reach, _) = self.follow_from([top].into_iter())?;
        self.with_blobs(&reach)
    }

    /// All manifests and blobs that hang on the index.
    pub(super) fn needed(&self, index: &Index) -> io::Result<Needed> {
        self.room.kept.apart(index.size(), || {
            let (reach, _) = self.follow(index)?;
            self.with_blobs(&reach)
        })
    }

    fn with_blobs(&self, reach: &Reach) -> io::Result<Needed> {
        let mut needed = Needed { digests: HashSet::new(), counted: self.room.kept.count() };
        self.warm(reach.manifests.iter().map(|found| &*found.stored))?;
        for found in &reach.manifests {
            if let Some(facts) = self.facts(&found.stored)? {
                for digest in &facts.blobs {
                    needed.add(digest)?;
                }
            }
            needed.add(&found.stored)?;
        }
        Ok(needed)
    }

    /// Whether a list of these instances is nested no deeper than [`MAX_NESTING`]. Each list below
    /// it is looked at once.
    pub(super) fn is_shallow(&self, children: &[(Digest, MediaType)]) -> io::Result<bool> {
        // How many lists are nested below each list, once that is known.
        let mut known: HashMap<Digest, usize> = HashMap::new();
        let mut counted = self.room.kept.count();
        let mut path = vec![Level::default()];
        loop {
            let deep = path.len();
            let Some(level) = path.last_mut() else { return Ok(true) };
            // Read again rather than kept: lists of many instances, nested deep, are much.
            let facts = match &level.digest {
                Some(digest) => self.facts(digest)?,
                None => None,
            };
            let children = facts.as_ref().map_or(children, |facts| &facts.children);
            let mut below = None;
            while let Some((digest, _)) = children.get(level.next).filter(|_| below.is_none()) {
                level.next = level.next.saturating_add(1);
                if let Some(depth) = known.get(digest) {
                    level.depth = level.depth.max(depth.saturating_add(1));
                } else if self.facts(digest)?.is_some_and(|facts| !facts.children.is_empty()) {
                    below = Some(digest.clone());
                }
            }
            if level.depth.max(usize::from(below.is_some())).saturating_add(deep) > MAX_NESTING {
                return Ok(false);
            }
            if below.is_some() {
                path.push(Level { digest: below, ..Level::default() });
                continue;
            }
            let Level { digest, depth, .. } = path.pop().unwrap_or_default();
            if let Some(digest) = digest {
                counted.add(DIGEST)?;
                known.insert(digest, depth);
            }
            if let Some(above) = path.last_mut() {
                above.depth = above.depth.max(depth.saturating_add(1));
            }
        }
    }
}

impl Reach {
    /// Adds a manifest, unless it is there. `more` is what its digest takes, in bytes.
    fn add(&mut self, found: Found, more: usize) -> io::Result<()> {
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
pub(super) struct Needed {
    digests: HashSet<Digest>,
    counted: Count,
}

impl Needed {
    fn add(&mut self, digest: &Digest) -> io::Result<()> {
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

/// A list on the way down.
#[derive(Debug, Default)]
struct Level {
    /// None for the one that is not here yet.
    digest: Option<Digest>,
    /// How many of its instances have been looked at.
    next: usize,
    /// How many lists are nested below it, as far as it has been looked at.
    depth: usize,
}
