//! What is remembered of manifests.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use skopeo_image::Digest;

use super::count::Count;
use super::parsed_manifest::{OVERHEAD, ParsedManifest};

/// What a manifest says. If it is much, it counts until nobody has it any more.
#[derive(Debug)]
pub(crate) struct CountedManifest {
    parsed: ParsedManifest,
    _counted: Option<Count>,
}

impl CountedManifest {
    /// Keeps what a manifest says, with what it takes.
    pub(super) fn new(parsed: ParsedManifest, counted: Option<Count>) -> Self {
        Self { parsed, _counted: counted }
    }
}

impl Deref for CountedManifest {
    type Target = ParsedManifest;

    fn deref(&self) -> &ParsedManifest {
        &self.parsed
    }
}

/// What is remembered of manifests, in all layouts of a store.
#[derive(Debug)]
pub(crate) struct Known {
    /// How much it may be, in bytes.
    most: usize,
    /// By the number of the layout and the digest of the manifest.
    said: HashMap<(u64, Digest), Arc<CountedManifest>>,
    bytes: usize,
}

impl Known {
    /// Nothing yet, and never more than so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, said: HashMap::new(), bytes: 0 }
    }

    /// What is remembered of a manifest.
    pub(crate) fn get(&self, layout: u64, digest: &Digest) -> Option<Arc<CountedManifest>> {
        self.said.get(&(layout, digest.clone())).cloned()
    }

    /// Remembers what a manifest says, in place of all else if that becomes too much.
    pub(crate) fn insert(&mut self, layout: u64, digest: Digest, said: Arc<CountedManifest>) {
        let size = [said.size(), digest.as_str().len(), OVERHEAD]
            .into_iter()
            .fold(0, usize::saturating_add);
        if self.bytes.saturating_add(size) > self.most {
            *self = Self::new(self.most);
        }
        if size <= self.most && self.said.insert((layout, digest), said).is_none() {
            self.bytes = self.bytes.saturating_add(size);
        }
    }
}
