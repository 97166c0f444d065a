//! What is kept of images and layers is read again.

use std::io::{BufReader, Write};

use super::{StagedLayer, Store};
use crate::contents;
use crate::error::{Error, Result, Unreadable};
use crate::files;
use crate::lists::{LayerList, chain, read_data};

impl Store {
    /// Returns what is kept of an image under `key`.
    ///
    /// # Errors
    /// [`Error::ImageUnknown`] or [`Error::DataUnknown`] if there is none; or if it cannot be read.
    pub fn image_data(&self, id: &str, key: &str) -> Result<Vec<u8>> {
        for list in self.0.images.iter().chain(&self.0.additional_images) {
            let known = list.read()?;
            let Some(image) = known.images().iter().find(|image| image.id == id) else { continue };
            if image.data(key).is_none() {
                return Err(Error::DataUnknown { id: id.to_owned(), key: key.to_owned() });
            }
            return read_data(&list.data_path(id, key)?, id, key);
        }
        Err(Error::ImageUnknown { id: id.to_owned() })
    }

    /// Writes the tar of a layer to `out`. Each file is compared with its checksum; whoever calls
    /// hashes all of it, and compares. No lock is held meanwhile. Should somebody delete the layer,
    /// the tar fails.
    ///
    /// # Errors
    /// [`Error::LayerUnknown`] if there is no such layer; if a file of it is missing or changed; or
    /// if `out` fails.
    pub fn layer_tar(&self, id: &str, out: impl Write) -> Result<()> {
        let lists = self.layer_lists()?;
        let lists: Vec<&LayerList> = lists.iter().map(AsRef::as_ref).collect();
        let below = chain(&lists, id)?;
        let roots = self.0.layout.roots(&below)?;
        let recipe = self.find_recipe(id)?;
        let failed = |source| Error::Export { id: id.to_owned(), source };
        let Some(recipe) = recipe else {
            return Err(Error::UnsupportedLayer { id: id.to_owned(), what: Unreadable::NoRecipe });
        };
        contents::export(BufReader::with_capacity(1 << 16, recipe), &roots, out).map_err(failed)
    }

    /// Writes the tar of a layer to `out` that is unpacked, and not in the store yet, onto a copy of
    /// the layer below. Otherwise as [`layer_tar`](Self::layer_tar).
    ///
    /// # Errors
    /// If a file of it is missing or changed; or if `out` fails.
    pub fn staged_tar(&self, staged: &StagedLayer, out: impl Write) -> Result<()> {
        let id = || staged.applied.diff_digest.to_string();
        let Some(recipe) = files::open(&staged.recipe)? else {
            return Err(Error::UnsupportedLayer { id: id(), what: Unreadable::NoRecipe });
        };
        let recipe = BufReader::with_capacity(1 << 16, recipe);
        contents::export(recipe, std::slice::from_ref(&staged.root), out)
            .map_err(|source| Error::Export { id: id(), source })
    }

    /// The recipe of a layer: the store's own, or that of a store that is read only.
    fn find_recipe(&self, id: &str) -> Result<Option<fs_err::File>> {
        files::check_id(id)?;
        let name = format!("{id}.tar-split.gz");
        let places = &self.0.places;
        let own = [places.layers()].into_iter().chain(places.image_layers());
        let additional = self.0.options.additional_stores.iter();
        for folder in own.chain(additional.map(|root| places.lists_in(root, "layers"))) {
            let found = files::open(&folder.join(&name))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
