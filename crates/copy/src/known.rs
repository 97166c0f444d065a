//! Equal digests, learnt and verified here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use skopeo_blob::{Encoder, Recode};
use skopeo_image::Digest;

/// What was learnt of blobs in this run. Only what this program computed of verified bytes comes
/// in, never what an image or a registry says.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Learnt>);

#[derive(Debug, Default)]
struct Learnt {
    diff_ids: HashMap<Digest, Digest>,
    recoded: HashMap<(Digest, Option<Encoder>), Made>,
}

/// What a recoding made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// What a manifest has to say of it.
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Returns what a recoding makes, whatever it is made of; `None` inside is a plain tar.
pub(crate) fn made_of(recode: Recode) -> Option<Option<Encoder>> {
    match recode {
        Recode::Keep => None,
        Recode::Decompress { .. } => Some(None),
        Recode::Compress { to } | Recode::Recompress { to, .. } => Some(Some(to)),
    }
}

impl Known {
    /// The digest of what is in `blob`.
    pub(crate) fn diff_id(&self, blob: &Digest) -> Option<Digest> {
        self.learnt().diff_ids.get(blob).cloned()
    }

    pub(crate) fn learn_diff_id(&self, blob: &Digest, diff_id: &Digest) {
        self.learnt().diff_ids.insert(blob.clone(), diff_id.clone());
    }

    /// What `recode` makes of `blob`.
    pub(crate) fn recoded(&self, blob: &Digest, recode: Recode) -> Option<Made> {
        self.learnt().recoded.get(&(blob.clone(), made_of(recode)?)).cloned()
    }

    pub(crate) fn learn_recoded(&self, blob: &Digest, recode: Recode, result: Made) {
        if let Some(made) = made_of(recode) {
            self.learnt().recoded.insert((blob.clone(), made), result);
        }
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        // Every change is one insertion, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
