//! An image gets into the store, or gets a name.

use skopeo_image::Digest;

use super::Store;
use crate::error::{Error, Result};
use crate::files::{self, Durability};
use crate::image::{Image, NewImage};
use crate::lists::{Images, Layers};
use crate::records::{ImageRecord, Record};

impl Store {
    /// Puts an image into the store whose layers are there. An image of its id that is there keeps
    /// its date, its digest and its names: what is new of it is added, its notes are replaced.
    ///
    /// It is seen by others when all of it is there, its names too.
    ///
    /// # Errors
    /// [`Error::IdInUse`] if an image of that id has another top layer; [`Error::LayerUnknown`] if
    /// its layer is not there; or if the store cannot be written.
    pub fn put_image(&self, new: &NewImage) -> Result<Image> {
        let inner = &self.0;
        let Some(images) = inner.images.first() else {
            return Err(Error::ReadOnly { id: new.id.clone() });
        };
        files::check_id(&new.id)?;
        // Held until the image is listed, so that nobody deletes the layer as one without a user.
        let layers = self.read_layers()?;
        let additional =
            inner.additional_layers.iter().map(Layers::read).collect::<Result<Vec<_>>>()?;
        if let Some(layer) = &new.layer {
            let mut lists = [&layers].into_iter().chain(&additional).map(|it| it.list());
            if !lists.any(|list| list.layer(layer).is_some()) {
                return Err(Error::LayerUnknown { id: layer.clone() });
            }
        }
        let mut writing = images.write()?;
        if writing.entry(&new.id).is_none() {
            let record = ImageRecord {
                id: new.id.clone(),
                layer: new.layer.clone().unwrap_or_default(),
                created: new.created,
                ..ImageRecord::default()
            };
            writing.list.records.push(Record::new(record));
        }
        let unknown = || Error::ImageUnknown { id: new.id.clone() };
        let record = writing.entry(&new.id).ok_or_else(unknown)?;
        if record.layer != new.layer.clone().unwrap_or_default() {
            return Err(Error::IdInUse { id: new.id.clone() });
        }
        record.metadata.clone_from(&new.metadata);
        let folder = images.data_folder(&new.id)?;
        files::make_folders(&folder, 0o700)?;
        files::remove_unfinished(&folder, "")?;
        for data in &new.data {
            let path = images.data_path(&new.id, &data.key)?;
            files::replace(&path, &data.bytes, 0o600, Durability::Synced)?;
            let size = i64::try_from(data.bytes.len()).unwrap_or(i64::MAX);
            let digest = data.digest.clone().unwrap_or_else(|| Digest::sha256(&data.bytes));
            record.set_data(&data.key, size, &digest);
        }
        let told = record.image(false);
        for name in new.names.iter().rev() {
            writing.name(&new.id, name);
        }
        // Nothing is written that nobody could read again.
        told.map_err(|what| Error::Invalid { path: folder, what })?;
        writing.save()?;
        drop(writing);
        let image = images.read()?.find(&new.id).cloned();
        image.ok_or_else(unknown)
    }

    /// Gives an image names, the first first. Other images lose them.
    ///
    /// # Errors
    /// [`Error::ImageUnknown`] or [`Error::ReadOnly`] if there is none that can be written; or if
    /// the store cannot be written.
    pub fn add_names(&self, id: &str, names: &[String]) -> Result<()> {
        for images in &self.0.images {
            let mut writing = images.write()?;
            if writing.entry(id).is_some() {
                for name in names.iter().rev() {
                    writing.name(id, name);
                }
                return writing.save();
            }
        }
        Err(self.no_own_image(id)?)
    }

    /// Why an image cannot be changed that is not in the store itself.
    pub(super) fn no_own_image(&self, id: &str) -> Result<Error> {
        let has_it = |images: &Images| Ok::<_, Error>(images.read()?.find(id).is_some());
        for images in &self.0.additional_images {
            if has_it(images)? {
                return Ok(Error::ReadOnly { id: id.to_owned() });
            }
        }
        Ok(Error::ImageUnknown { id: id.to_owned() })
    }
}
