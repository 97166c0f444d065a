//! A layer that is unpacked, and not yet in the store.

use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::PathBuf;

use fs_err::os::unix::fs::OpenOptionsExt as _;
use skopeo_image::Digest;

use super::Store;
use crate::below::Below;
use crate::contents::{self, Applied};
use crate::error::{Error, Result};
use crate::files;
use crate::layer::layer_id;
use crate::temporary::Temporary;

/// A layer that is unpacked, and not yet in the store. It is removed when this is dropped.
#[derive(Debug)]
pub struct StagedLayer {
    pub(super) applied: Applied,
    /// Its files.
    pub(super) root: PathBuf,
    /// Its recipe.
    pub(super) recipe: PathBuf,
    /// What it was unpacked onto, where that makes a difference.
    pub(super) parent: Option<Option<String>>,
    _temporaries: [Temporary; 2],
}

impl StagedLayer {
    /// Returns the digest of its tar.
    #[must_use]
    pub fn diff_digest(&self) -> &Digest {
        &self.applied.diff_digest
    }

    /// Returns the length of its tar in bytes, with what pads it.
    #[must_use]
    pub fn diff_size(&self) -> u64 {
        self.applied.diff_size
    }

    /// Returns this layer as one that another is unpacked onto, while this one is not in the store
    /// yet; `None` where layers are not unpacked [onto each other](Store::stages_onto_parents).
    #[must_use]
    pub fn below(&self) -> Option<Below> {
        let parent = self.parent.as_ref()?;
        let id = layer_id(parent.as_deref(), &self.applied.diff_digest);
        Some(Below::Staged { id, root: self.root.clone() })
    }
}

impl Store {
    /// Returns whether a layer is unpacked onto a copy of the layer below, so that this has to be
    /// in the store, or unpacked, before [`stage`](Self::stage) is called. With overlay any number
    /// of layers can be staged at once, in any order; with vfs those of one image come one after
    /// the other.
    #[must_use]
    pub fn stages_onto_parents(&self) -> bool {
        self.0.layout.copies_parents()
    }

    /// Unpacks a layer beside the store, without a lock: `tar` is read to its end, and is no more
    /// packed. `below` is looked at only if [`stages_onto_parents`](Self::stages_onto_parents).
    ///
    /// # Errors
    /// If the tar cannot be read or is malformed, if its files cannot be made, or if the layer
    /// below is needed and not there.
    pub fn stage(&self, below: &Below, tar: impl Read) -> Result<StagedLayer> {
        self.ready_layers()?;
        let layout = &self.0.layout;
        let (files, root) = layout.stage(below)?;
        let mut beside = Temporary::new(&self.recipes_in_work())?;
        let recipe = beside.addition();
        let mut open = fs_err::OpenOptions::new();
        let file = open.write(true).create_new(true).mode(0o600).open(&recipe)?;
        let mut split = BufWriter::with_capacity(1 << 16, file);
        let applied = contents::apply(
            BufReader::with_capacity(1 << 17, tar),
            &root,
            &mut split,
            layout.how(),
        )
        .map_err(Error::Unpack)?;
        split.flush()?;
        split.get_ref().sync_all()?;
        let parent = layout.copies_parents().then(|| below.id().map(str::to_owned));
        Ok(StagedLayer { applied, root, recipe, parent, _temporaries: [files, beside] })
    }

    /// Where recipes lie that are being written.
    pub(super) fn recipes_in_work(&self) -> PathBuf {
        self.0.places.layers().join("tmp")
    }

    /// Where the recipe of a layer lies.
    pub(super) fn recipe(&self, id: &str) -> Result<PathBuf> {
        files::check_id(id)?;
        Ok(self.0.places.layers().join(format!("{id}.tar-split.gz")))
    }
}
