//! Follows the index of a layout to all manifests that it leads to.
//!
//! Lists may be nested as deep as whoever wrote the folder wanted, so nothing here calls itself.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use skopeo_image::number::narrow;
use skopeo_image::{Digest, MediaType};

use super::index::Index;
use super::known::CountedManifest;
use super::layout::Layout;
use super::parsed_manifest::ParsedManifest;
use super::reach::{NeededDigests, Reach, ReachedManifest, Referrers};
use super::stamp::guard;

/// How deep lists may be nested that are put here, the outermost counted. Images have two levels;
/// nobody needs more than a few.
pub(crate) const MAX_NESTING: usize = 64;

/// What the digest of one takes that is not in the index, in bytes; so does what refers to one.
const DIGEST: usize = 256;

/// How many manifests are read at once where each takes its time.
const WARMED: usize = 64;

/// The largest of those that are, in bytes.
const SMALL: u64 = 64 * 1024;

impl Layout {
    /// What the manifest of this digest says; none if it is missing or not understood.
    pub(crate) fn parsed(&self, digest: &Digest) -> io::Result<Option<Arc<CountedManifest>>> {
        if let Some(parsed) = guard(&self.room.known).get(self.number, digest) {
            return Ok(Some(parsed));
        }
        self.read_parsed(digest)
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
                let Ok(parsed) = ParsedManifest::parse(&bytes) else { continue };
                let Some(counted) = self.room.kept.counted(bytes.len(), || Ok(Some(parsed)))?
                else {
                    continue;
                };
                guard(&self.room.known).insert(self.number, digest, Arc::new(counted));
            }
        }
        Ok(())
    }

    fn read_parsed(&self, digest: &Digest) -> io::Result<Option<Arc<CountedManifest>>> {
        let size = self.blob_size(digest)?.map_or(0, narrow);
        let read = || {
            let bytes = self.read_manifest(digest)?;
            Ok(bytes.and_then(|bytes| ParsedManifest::parse(&bytes).ok()))
        };
        let Some(counted) = self.room.kept.counted(size, read)?.map(Arc::new) else {
            return Ok(None);
        };
        guard(&self.room.known).insert(self.number, digest.clone(), counted.clone());
        Ok(Some(counted))
    }

    /// Finds the manifest of this digest: one that the index names, or an instance of a list that
    /// it names. A blob that merely lies here is no manifest.
    pub(crate) fn find(
        &self,
        index: &Arc<Index>,
        digest: &Digest,
    ) -> io::Result<Option<ReachedManifest>> {
        if let Some(found) = index.by_digest(digest).and_then(ReachedManifest::of) {
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
            return Ok(known.to(subject));
        }
        let mut known: HashMap<Digest, Vec<Arc<Digest>>> = HashMap::new();
        let mut counted = self.room.kept.count();
        let mut is_whole = true;
        self.warm(reach.manifests.iter().map(|found| &*found.stored))?;
        for found in &reach.manifests {
            let Some(parsed) = self.parsed(&found.stored)? else {
                is_whole = false;
                continue;
            };
            if let Some(subject) = &parsed.subject {
                counted.add(DIGEST)?;
                known.entry(subject.clone()).or_default().push(found.stored.clone());
            }
        }
        let referrers = known.get(subject).cloned().unwrap_or_default();
        // A manifest that is not here yet may come without the index changing.
        if is_whole {
            let _ = reach.referrers.set(Referrers::new(known, counted));
        }
        Ok(referrers)
    }

    /// Follows an index; whether all of its lists were there beside it.
    pub(super) fn follow(&self, index: &Index) -> io::Result<(Reach, bool)> {
        self.follow_from(index.entries().iter().filter_map(ReachedManifest::of))
    }

    fn follow_from(
        &self,
        first: impl Iterator<Item = ReachedManifest>,
    ) -> io::Result<(Reach, bool)> {
        let counted = self.room.kept.count();
        let mut reach = Reach::new(counted);
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
                match self.parsed(&found.stored)? {
                    Some(parsed) => {
                        for child in &parsed.children {
                            if reach.get(&child.0).is_none() {
                                reach.add(ReachedManifest::child(child), DIGEST)?;
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
    pub(super) fn below(&self, top: &ReachedManifest) -> io::Result<NeededDigests> {
        let top = ReachedManifest { media_type: MediaType::default(), ..top.clone() };
        let (reach, _) = self.follow_from([top].into_iter())?;
        self.with_blobs(&reach)
    }

    /// Returns all manifests and blobs that the index leads to.
    pub(super) fn needed(&self, index: &Index) -> io::Result<NeededDigests> {
        self.room.kept.apart(index.size(), || {
            let (reach, _) = self.follow(index)?;
            self.with_blobs(&reach)
        })
    }

    fn with_blobs(&self, reach: &Reach) -> io::Result<NeededDigests> {
        let mut needed = NeededDigests::new(self.room.kept.count());
        self.warm(reach.manifests.iter().map(|found| &*found.stored))?;
        for found in &reach.manifests {
            if let Some(parsed) = self.parsed(&found.stored)? {
                for digest in &parsed.blobs {
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
            let parsed = match &level.digest {
                Some(digest) => self.parsed(digest)?,
                None => None,
            };
            let children = parsed.as_ref().map_or(children, |parsed| &parsed.children);
            let mut below = None;
            while let Some((digest, _)) = children.get(level.next).filter(|_| below.is_none()) {
                level.next = level.next.saturating_add(1);
                if let Some(depth) = known.get(digest) {
                    level.depth = level.depth.max(depth.saturating_add(1));
                } else if self.parsed(digest)?.is_some_and(|parsed| !parsed.children.is_empty()) {
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
