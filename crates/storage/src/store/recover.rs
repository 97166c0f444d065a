//! What programs left that were ended in the middle of their work.

use std::sync::atomic::Ordering;

use super::Store;
use crate::error::Result;
use crate::files;
use crate::lists::LayersWriting;
use crate::temporary::{self, Temporary};

/// How often incomplete layers are removed before a list is taken as it is.
const ROUNDS: usize = 3;

impl Store {
    /// Makes the folders of layers at their first use, and removes what was left in them.
    pub(super) fn ready_layers(&self) -> Result<()> {
        let inner = &self.0;
        if !inner.layers_are_ready.load(Ordering::Acquire) {
            // As others do, who look at the driver and the layers under this lock.
            let _held = inner.whole.write()?;
            files::make_folders(&inner.places.running_layers(), 0o700)?;
            files::make_folders(&inner.places.layers(), 0o700)?;
            if let Some(folder) = inner.places.image_layers() {
                files::make_folders(&folder, 0o700)?;
            }
            temporary::recover(&self.recipes_in_work())?;
            for root in inner.layout.temporaries() {
                temporary::recover(&root)?;
            }
            inner.layers_are_ready.store(true, Ordering::Release);
        }
        for _ in 0..ROUNDS {
            if inner.layers.read()?.list().incomplete().is_empty() {
                break;
            }
            // Who makes a layer has the lock for writing until it is complete. So that one is there
            // while we have it means that somebody was ended.
            drop(self.write_layers()?);
        }
        Ok(())
    }

    /// Takes the layers for writing; incomplete ones are gone then.
    pub(super) fn write_layers(&self) -> Result<(LayersWriting<'_>, Vec<Temporary>)> {
        let mut writing = self.0.layers.write()?;
        let mut removed = Vec::new();
        let mut locations = Vec::new();
        for id in writing.list.incomplete() {
            let Some((location, _)) = writing.list.entry(&id) else { continue };
            tracing::warn!("Found incomplete layer {id:?}, deleting it");
            match self.take_layer(&id) {
                Ok(temporaries) => {
                    removed.extend(temporaries);
                    writing.list.remove(&id);
                    locations.push(location);
                }
                Err(error) => tracing::warn!("deleting layer {id:?}: {error}"),
            }
        }
        if !locations.is_empty() {
            writing.save(&locations)?;
        }
        Ok((writing, removed))
    }

    /// Takes the files of a layer away. They are removed when what is returned is dropped, which is
    /// best done without a lock.
    pub(super) fn take_layer(&self, id: &str) -> Result<Vec<Temporary>> {
        let inner = &self.0;
        let mut files = inner.layout.temporary_for(id)?;
        inner.layout.remove(id, &mut files)?;
        let mut beside = Temporary::new(&self.recipes_in_work())?;
        beside.take(&self.recipe(id)?)?;
        beside.take(&files::below(&inner.places.layers(), id)?)?;
        Ok(vec![files, beside])
    }
}
