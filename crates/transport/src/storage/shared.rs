//! Layers that several images of one run want: one of them unpacks a layer, and whichever gets into
//! its store first takes it along.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use skopeo_image::Digest;
use skopeo_storage::{Below, Claim, StagedLayer, Store, layer_id};

use super::packed::Packed;

/// A store, and a blob.
type Key = (String, Digest);

/// The same, and the layer below it where layers are unpacked onto each other.
type StagedKey = (String, Digest, Option<String>);

/// What a run has unpacked and not put into its stores yet, and what other processes wait for.
#[derive(Debug, Default)]
pub(crate) struct StagedLayers {
    layers: Mutex<HashMap<StagedKey, Weak<Shared>>>,
    claims: Mutex<BTreeSet<Key>>,
    /// Whose turn it is to put an image into a store: who takes a layer has put it there before
    /// anybody else looks for it.
    turn: Mutex<()>,
}

/// A layer that is unpacked.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) packed: Packed,
    /// The digest of its tar.
    pub(super) diff: Digest,
    /// The layer that it was unpacked onto, where layers are unpacked onto each other.
    parent: Option<String>,
    staged: Mutex<Option<StagedLayer>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// A layer that was unpacked onto another, if that makes a difference.
    pub(super) fn new(staged: StagedLayer, packed: Packed, parent: Option<String>) -> Arc<Self> {
        let diff = staged.diff_digest().clone();
        Arc::new(Self { packed, diff, parent, staged: Mutex::new(Some(staged)) })
    }

    /// This layer as one that another is unpacked onto.
    pub(super) fn below(&self) -> Below {
        let below = lock(&self.staged).as_ref().and_then(StagedLayer::below);
        below.unwrap_or_else(|| Below::Layer(layer_id(self.parent.as_deref(), &self.diff)))
    }

    /// Whether no image has taken it into the store yet.
    pub(super) fn is_staged(&self) -> bool {
        lock(&self.staged).is_some()
    }

    /// Writes its tar, as long as it is not in the store; whether it was not.
    pub(super) fn tar(&self, store: &Store, out: impl Write) -> skopeo_storage::Result<bool> {
        match &*lock(&self.staged) {
            Some(staged) => store.staged_tar(staged, out).map(|()| true),
            None => Ok(false),
        }
    }

    /// The layer, unless an image has taken it along; then it is in the store.
    pub(super) fn take(&self) -> Option<StagedLayer> {
        lock(&self.staged).take()
    }
}

impl StagedLayers {
    /// Lets other images have a layer for as long as this one has it.
    pub(super) fn offer(&self, pool: &str, layer: &Arc<Shared>) {
        let mut layers = lock(&self.layers);
        layers.retain(|_, layer| layer.strong_count() > 0);
        let key = (pool.to_owned(), layer.packed.digest.clone(), layer.parent.clone());
        layers.insert(key, Arc::downgrade(layer));
    }

    /// A layer that another image has unpacked, onto that one if that makes a difference.
    pub(super) fn find(
        &self,
        pool: &str,
        blob: &Digest,
        parent: Option<&str>,
    ) -> Option<Arc<Shared>> {
        let key = (pool.to_owned(), blob.clone(), parent.map(str::to_owned));
        lock(&self.layers).get(&key)?.upgrade()
    }

    /// A layer that another image has unpacked, onto whatever.
    pub(super) fn find_elsewhere(&self, pool: &str, blob: &Digest) -> Option<Arc<Shared>> {
        let layers = lock(&self.layers);
        let mut same = layers.iter().filter(|((at, digest, _), _)| at == pool && digest == blob);
        same.find_map(|(_, layer)| layer.upgrade())
    }

    /// Waits until no other image of the run is being put into a store.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    /// Whether all that others may wait for is smaller than this.
    pub(super) fn holds_only_smaller(&self, pool: &str, blob: &Digest) -> bool {
        lock(&self.claims).iter().all(|(at, held)| at != pool || held < blob)
    }
}

/// The right to bring a layer, which all images of the run have to know of: each may have to wait
/// for another.
#[derive(Debug)]
pub(super) struct HeldClaim {
    run: Arc<StagedLayers>,
    key: Key,
    _claim: Claim,
}

impl HeldClaim {
    pub(super) fn new(run: &Arc<StagedLayers>, pool: &str, blob: &Digest, claim: Claim) -> Self {
        let key = (pool.to_owned(), blob.clone());
        lock(&run.claims).insert(key.clone());
        Self { run: run.clone(), key, _claim: claim }
    }
}

impl Drop for HeldClaim {
    fn drop(&mut self) {
        lock(&self.run.claims).remove(&self.key);
    }
}
