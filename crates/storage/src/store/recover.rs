//! What programs left that were ended in the middle of their work.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::Store;
use crate::error::Result;
use crate::files;
use crate::lists::{LayerList, LayersReading, LayersWriting};
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
            for root in inner.layout.temporaries().chain([self.recipes_in_work()]) {
                // It is in nobody's way.
                if let Err(error) = temporary::recover(&root) {
                    tracing::warn!("removing leftovers in {}: {error}", root.display());
                }
            }
            inner.layers_are_ready.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// The layers as long as nobody changes them. Incomplete ones are gone, as far as they can go.
    pub(super) fn read_layers(&self) -> Result<LayersReading> {
        self.ready_layers()?;
        for _ in 0..ROUNDS {
            let reading = self.0.layers.read()?;
            if self.to_clean(reading.list()).is_empty() {
                return Ok(reading);
            }
            // Who makes a layer has the lock for writing until it is complete. So that one is there
            // while we have it means that somebody was ended.
            drop(reading);
            drop(self.write_layers()?);
        }
        self.0.layers.read()
    }

    /// The incomplete layers that are not known to stay.
    fn to_clean(&self, list: &LayerList) -> Vec<String> {
        let mut incomplete = list.incomplete();
        let given_up = self.0.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        incomplete.retain(|id| !given_up.contains(id));
        incomplete
    }

    /// Takes the layers for writing; incomplete ones are gone then.
    pub(super) fn write_layers(&self) -> Result<(LayersWriting<'_>, Vec<Temporary>)> {
        let mut writing = self.0.layers.write()?;
        let mut removed = Vec::new();
        let mut locations = Vec::new();
        for id in self.to_clean(&writing.list) {
            let Some((location, _)) = writing.list.entry(&id) else { continue };
            tracing::warn!("Found incomplete layer {id:?}, deleting it");
            match self.take_layer(&id) {
                Ok(temporaries) => {
                    removed.extend(temporaries);
                    writing.list.remove(&id);
                    locations.push(location);
                }
                Err(error) => {
                    tracing::warn!("deleting layer {id:?}: {error}");
                    self.0.given_up.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                }
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
        beside.take(&files::of_id(&inner.places.layers(), id)?)?;
        Ok(vec![files, beside])
    }
}
