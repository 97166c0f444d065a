//! An image leaves the store, and with it the layers that nobody else needs.

use std::collections::HashSet;

use serde_json::Value;

use super::Store;
use crate::error::{Error, Result};
use crate::files;
use crate::image::Image;
use crate::lists::{ContainersReading, LayerList, LayersWriting};
use crate::records::flags;
use crate::temporary::Temporary;

impl Store {
    /// Deletes an image with all its names, and then the layers that nothing else lies on or uses:
    /// their ids are returned, the top one first. Files are removed after all locks are let go.
    ///
    /// # Errors
    /// [`Error::ImageUnknown`] if there is none, [`Error::ReadOnly`] if it lies in a store that is,
    /// [`Error::ImageInUse`] if a container has it; or if the store cannot be written.
    pub fn delete_image(&self, id: &str) -> Result<Vec<String>> {
        let mut removed: Vec<Temporary> = Vec::new();
        let deleted = self.delete_image_into(id, None, &mut removed);
        drop(removed);
        deleted
    }

    /// Takes a name from an image. One that has no other name is deleted as by
    /// [`delete_image`](Self::delete_image).
    ///
    /// # Errors
    /// [`Error::ImageUnknown`] if no image of that id has the name; otherwise as `delete_image`.
    pub fn remove_name(&self, id: &str, name: &str) -> Result<Vec<String>> {
        let mut removed: Vec<Temporary> = Vec::new();
        let deleted = self.delete_image_into(id, Some(name), &mut removed);
        drop(removed);
        deleted
    }

    /// Deletes an image; where a name is given, only that name, unless it is the only one.
    fn delete_image_into(
        &self,
        id: &str,
        name: Option<&str>,
        removed: &mut Vec<Temporary>,
    ) -> Result<Vec<String>> {
        let inner = &self.0;
        self.ready_layers()?;
        let (mut layers, cleaned) = self.write_layers()?;
        removed.extend(cleaned);
        let mut lists = inner.images.iter().map(|it| it.write()).collect::<Result<Vec<_>>>()?;
        let containers = inner.containers.read()?;

        let (mut image, mut others): (Option<Image>, Vec<Image>) = (None, Vec::new());
        for list in &lists {
            for told in list.list.images() {
                if told.id == id { image = Some(told.clone()) } else { others.push(told.clone()) }
            }
        }
        let Some(image) = image else { return Err(self.no_own_image(id)?) };
        if let Some(name) = name {
            if !image.names.iter().any(|it| it == name) {
                return Err(Error::ImageUnknown { id: name.to_owned() });
            }
            if image.names.len() > 1 {
                for list in &mut lists {
                    if let Some(record) = list.entry(id) {
                        record.names.retain(|it| it != name);
                        list.save()?;
                    }
                }
                return Ok(Vec::new());
            }
        }
        if let Some(container) = containers.of_image(id) {
            return Err(Error::ImageInUse { container: container.to_owned() });
        }
        let doomed = unused_layers(&image, &others, &layers.list, &containers);
        for (list, images) in lists.iter_mut().zip(&inner.images) {
            if list.entry(id).is_none() {
                continue;
            }
            let folder = images.data_folder(id)?;
            list.list.records.retain(|record| record.known.id != id);
            list.save()?;
            files::remove_all(&folder)?;
        }
        self.delete_layers(&doomed, &mut layers, removed)?;
        Ok(doomed)
    }

    /// Deletes layers that nobody needs. Should we be ended meanwhile, they are incomplete, and the
    /// next who looks removes the rest.
    fn delete_layers(
        &self,
        ids: &[String],
        layers: &mut LayersWriting<'_>,
        removed: &mut Vec<Temporary>,
    ) -> Result<()> {
        let mut locations = Vec::new();
        for id in ids {
            locations.extend(layers.list.entry(id).map(|(location, _)| location));
            if layers.is_mounted(id)? {
                self.0.layout.unmount(id)?;
            }
        }
        if locations.is_empty() {
            return Ok(());
        }
        for id in ids {
            if let Some(record) = layers.list.entry_mut(id) {
                record.flags.insert(flags::INCOMPLETE.to_owned(), Value::Bool(true));
            }
        }
        layers.save(&locations)?;
        for id in ids {
            removed.extend(self.take_layer(id)?);
            layers.list.remove(id);
        }
        layers.save(&locations)
    }
}

/// The layers of an image that nothing else needs, in the order in which they may be removed.
fn unused_layers(
    image: &Image,
    others: &[Image],
    layers: &LayerList,
    containers: &ContainersReading,
) -> Vec<String> {
    let tops = others.iter().flat_map(|other| other.layer.iter().chain(&other.mapped_layers));
    let used: HashSet<&str> = tops.map(String::as_str).collect();
    let is_free = |id: &str, doomed: &[String]| {
        let mut all = layers.layers();
        layers.layer(id).is_some()
            && files::check_id(id).is_ok()
            && !used.contains(id)
            && !containers.have_layer(id)
            && !all.any(|it| it.parent() == Some(id) && !doomed.contains(&it.id))
    };
    let mut doomed: Vec<String> = Vec::new();
    for mapped in &image.mapped_layers {
        if is_free(mapped, &doomed) {
            doomed.push(mapped.clone());
        }
    }
    let mut next = image.layer.clone();
    while let Some(id) = next.take() {
        if doomed.contains(&id) || !is_free(&id, &doomed) {
            break;
        }
        next = layers.layer(&id).and_then(|record| record.parent()).map(str::to_owned);
        doomed.push(id);
    }
    doomed
}
