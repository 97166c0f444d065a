//! What the index of a layout leads to: its manifests, the instances of lists, and what they need.
//!
//! Lists may be nested as deep as whoever wrote the folder wanted, so nothing here calls itself.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, OnceLock};

use skopeo_image::{Digest, MediaType};

use super::facts::Facts;
use super::index::{Entry, Index};
use super::layout::{Layout, guard};

/// How deep lists may be nested that are put here, the outermost counted. Images have two levels;
/// nobody needs more than a few.
pub(crate) const MAX_NESTING: usize = 64;

/// A manifest of a layout, as some descriptor declares it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The digest of the bytes, under which they lie.
    pub(crate) stored: Digest,
    /// The digest by which clients know it.
    pub(crate) public: Digest,
    /// Empty if no descriptor says.
    pub(crate) media_type: MediaType,
}

/// All manifests that an index leads to.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// In the order in which they were found.
    pub(crate) manifests: Vec<Found>,
    at: HashMap<Digest, usize>,
    /// What refers to each manifest, once somebody has asked.
    referrers: OnceLock<HashMap<Digest, Vec<Digest>>>,
}

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
        Self { stored: digest.clone(), public: digest.clone(), media_type: media_type.clone() }
    }

    fn may_be_list(&self) -> bool {
        self.media_type.is_list() || self.media_type.is_empty()
    }
}

impl Layout {
    /// What the manifest of this digest says; none if it is missing or not understood.
    pub(crate) fn facts(&self, digest: &Digest) -> io::Result<Option<Arc<Facts>>> {
        if let Some(facts) = guard(&self.room.known).get(self.number, digest) {
            return Ok(Some(facts));
        }
        let Some(bytes) = self.read_manifest(digest)? else { return Ok(None) };
        let Ok(facts) = Facts::parse(&bytes) else { return Ok(None) };
        let facts = Arc::new(facts);
        guard(&self.room.known).insert(self.number, digest.clone(), facts.clone());
        Ok(Some(facts))
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
        if let Some((of, reach)) = &*guard(&self.reach)
            && Arc::ptr_eq(of, index)
        {
            return Ok(reach.clone());
        }
        let (reach, is_whole) = self.follow(index)?;
        let reach = Arc::new(reach);
        // A list that is not here yet may come without the index changing.
        if is_whole {
            *guard(&self.reach) = Some((index.clone(), reach.clone()));
        }
        Ok(reach)
    }

    /// The digests of the manifests that refer to this one, in the order in which they are found.
    pub(crate) fn referrers(&self, subject: &Digest) -> io::Result<Vec<Digest>> {
        let reach = self.reach(&self.index()?)?;
        if let Some(known) = reach.referrers.get() {
            return Ok(known.get(subject).cloned().unwrap_or_default());
        }
        let mut known: HashMap<Digest, Vec<Digest>> = HashMap::new();
        let mut is_whole = true;
        for found in &reach.manifests {
            let Some(facts) = self.facts(&found.stored)? else {
                is_whole = false;
                continue;
            };
            if let Some(subject) = &facts.subject {
                known.entry(subject.clone()).or_default().push(found.stored.clone());
            }
        }
        let referrers = known.get(subject).cloned().unwrap_or_default();
        // A manifest that is not here yet may come without the index changing.
        if is_whole {
            let _ = reach.referrers.set(known);
        }
        Ok(referrers)
    }

    /// Follows an index; whether all of its lists were there beside it.
    pub(super) fn follow(&self, index: &Index) -> io::Result<(Reach, bool)> {
        self.follow_from(index.entries().iter().filter_map(Found::of).collect())
    }

    fn follow_from(&self, mut waiting: VecDeque<Found>) -> io::Result<(Reach, bool)> {
        let mut reach = Reach::default();
        let mut is_whole = true;
        while let Some(found) = waiting.pop_front() {
            if reach.at.contains_key(&found.stored) {
                continue;
            }
            if found.may_be_list() {
                match self.facts(&found.stored)? {
                    Some(facts) => waiting.extend(facts.children.iter().map(Found::child)),
                    None => is_whole = false,
                }
            }
            let at = reach.manifests.len();
            reach.at.insert(found.stored.clone(), at);
            // Signed schema 1 is known by the digest of what is signed.
            reach.at.entry(found.public.clone()).or_insert(at);
            reach.manifests.push(found);
        }
        Ok((reach, is_whole))
    }

    /// A manifest, its blobs and, for a list, all that is below it: each digest once.
    pub(super) fn below(&self, top: &Found) -> io::Result<Vec<Digest>> {
        let top = Found { media_type: MediaType::default(), ..top.clone() };
        let (reach, _) = self.follow_from([top].into())?;
        Ok(self.with_blobs(&reach)?.into_iter().collect())
    }

    /// All manifests and blobs that hang on the index.
    pub(super) fn needed(&self, index: &Index) -> io::Result<HashSet<Digest>> {
        let (reach, _) = self.follow(index)?;
        self.with_blobs(&reach)
    }

    fn with_blobs(&self, reach: &Reach) -> io::Result<HashSet<Digest>> {
        let mut all = HashSet::new();
        for found in &reach.manifests {
            if let Some(facts) = self.facts(&found.stored)? {
                all.extend(facts.blobs.iter().cloned());
            }
            all.insert(found.stored.clone());
        }
        Ok(all)
    }

    /// Whether a list of these instances is nested no deeper than [`MAX_NESTING`]. Each list below
    /// it is looked at once.
    pub(super) fn is_shallow(&self, children: &[(Digest, MediaType)]) -> io::Result<bool> {
        // How many lists are nested below each list, once that is known.
        let mut known: HashMap<Digest, usize> = HashMap::new();
        let mut path: Vec<Level> = vec![Level::new(None, children)];
        while let Some(level) = path.last_mut() {
            let Some(digest) = level.waiting.pop() else {
                let Level { digest, depth, .. } = path.pop().expect("there is a last level");
                if let Some(digest) = digest {
                    known.insert(digest, depth);
                }
                if let Some(above) = path.last_mut() {
                    above.depth = above.depth.max(depth + 1);
                }
                continue;
            };
            let lists = match known.get(&digest) {
                Some(depth) => depth + 1,
                None => match self.facts(&digest)?.filter(|facts| !facts.children.is_empty()) {
                    Some(facts) => {
                        path.push(Level::new(Some(digest), &facts.children));
                        0
                    }
                    None => 0,
                },
            };
            let deep = path.len();
            if deep + lists > MAX_NESTING {
                return Ok(false);
            }
            if let Some(level) = path.last_mut().filter(|level| level.depth < lists) {
                level.depth = lists;
            }
        }
        Ok(true)
    }
}

/// A list on the way down, and which of its instances are still to be looked at.
struct Level {
    digest: Option<Digest>,
    waiting: Vec<Digest>,
    /// How many lists are nested below it, as far as it has been looked at.
    depth: usize,
}

impl Level {
    fn new(digest: Option<Digest>, children: &[(Digest, MediaType)]) -> Self {
        let waiting = children.iter().map(|(digest, _)| digest.clone()).collect();
        Self { digest, waiting, depth: 0 }
    }
}
