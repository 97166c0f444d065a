//! A store: opened once, asked and written by many threads.

mod claim;
mod commit;
mod delete;
mod images;
mod read;
mod recover;
mod stage;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use skopeo_image::Digest;

use crate::driver::Layout;
use crate::error::{Error, Result};
use crate::files;
use crate::image::Image;
use crate::layer::Layer;
use crate::lists::{Containers, Images, LayerList, Layers};
use crate::lock::{Access, LockFile};
use crate::options::Options;
use crate::places::Places;
use crate::records::LayerRecord;

pub use claim::{Claim, Claimed};
pub use stage::StagedLayer;

/// A store of images. Clones are the same store.
///
/// Every call takes the locks that it needs, and lets go of them before it returns: nothing is held
/// between calls, nor while a layer is read or unpacked. What others change meanwhile is seen at
/// the next call.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    places: Places,
    layout: Layout,
    whole: LockFile,
    /// The layers of the store itself.
    layers: Layers,
    /// Those of stores that are read only.
    additional_layers: Vec<Layers>,
    /// Lists that may be written: new images go into the first.
    images: Vec<Images>,
    /// Those of stores that are read only.
    additional_images: Vec<Images>,
    containers: Containers,
    /// Whether the folders of layers are made, and what was left there is removed.
    layers_are_ready: AtomicBool,
    /// Incomplete layers that cannot be removed. Nobody sees them, and once is enough.
    given_up: Mutex<HashSet<String>>,
}

impl Store {
    /// Opens a store, and makes what is missing of it as podman does.
    ///
    /// # Errors
    /// If its folders cannot be made, or its locks cannot be taken.
    pub fn open(options: Options) -> Result<Self> {
        let places = Places::new(&options);
        for root in places.roots() {
            files::make_folders(root, 0o700)?;
        }
        let whole = LockFile::new(places.whole("storage.lock"), Access::ReadWrite);
        LockFile::new(places.whole("userns.lock"), Access::ReadWrite).make()?;
        let layout = Layout::new(&options, &places);
        {
            let _held = whole.write()?;
            layout.make(options.mount_program)?;
        }
        let images: Vec<Images> =
            places.images().into_iter().map(|it| Images::new(it, Access::ReadWrite)).collect();
        let containers = Containers::new(&places);
        for list in &images {
            list.make()?;
        }
        files::make_folders(&places.containers(), 0o700)?;
        files::make_folders(&places.running_containers(), 0o700)?;
        containers.make()?;
        files::make_folders(&places.locks(), 0o700)?;

        let (mut additional_layers, mut additional_images) = (Vec::new(), Vec::new());
        for root in &options.additional_stores {
            let (images, layers) =
                (places.lists_in(root, "images"), places.lists_in(root, "layers"));
            if has_lock(&images, "images.lock") {
                additional_images.push(Images::new(images, Access::ReadOnly));
            }
            if has_lock(&layers, "layers.lock") {
                additional_layers.push(Layers::read_only(&layers));
            }
        }
        Ok(Self(Arc::new(Inner {
            layers: Layers::new(&places),
            options,
            places,
            layout,
            whole,
            additional_layers,
            images,
            additional_images,
            containers,
            layers_are_ready: AtomicBool::new(false),
            given_up: Mutex::default(),
        })))
    }

    /// Returns what it was opened with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Returns the image of that id, or of exactly that name. The store's own come before those of
    /// stores that are read only.
    ///
    /// # Errors
    /// [`Error::ImageUnknown`] if there is none; or if a list cannot be read.
    pub fn image(&self, id_or_name: &str) -> Result<Image> {
        for list in self.0.images.iter().chain(&self.0.additional_images) {
            if let Some(image) = list.read()?.find(id_or_name) {
                return Ok(image.clone());
            }
        }
        Err(Error::ImageUnknown { id: id_or_name.to_owned() })
    }

    /// Returns all images, the store's own first.
    ///
    /// # Errors
    /// If a list cannot be read.
    pub fn images(&self) -> Result<Vec<Image>> {
        let mut images = Vec::new();
        for list in self.0.images.iter().chain(&self.0.additional_images) {
            images.extend_from_slice(list.read()?.images());
        }
        Ok(images)
    }

    /// Returns the images that have this digest, or a manifest of it.
    ///
    /// # Errors
    /// If a list cannot be read.
    pub fn images_by_digest(&self, digest: &Digest) -> Result<Vec<Image>> {
        let mut images = self.images()?;
        images.retain(|image| image.digests().any(|it| it == digest));
        Ok(images)
    }

    /// Returns a layer; `None` if there is none of that id.
    ///
    /// # Errors
    /// If a list cannot be read.
    pub fn layer(&self, id: &str) -> Result<Option<Layer>> {
        self.layers_where(|record| record.id == id).map(|found| found.into_iter().next())
    }

    /// Returns the layers whose tar has this digest, the store's own first.
    ///
    /// # Errors
    /// If a list cannot be read.
    pub fn layers_by_diff_digest(&self, digest: &Digest) -> Result<Vec<Layer>> {
        self.layers_where(|record| record.diff_digest == digest.as_str())
    }

    /// Returns the layers that came as a blob of this digest, the store's own first.
    ///
    /// # Errors
    /// If a list cannot be read.
    pub fn layers_by_compressed_digest(&self, digest: &Digest) -> Result<Vec<Layer>> {
        self.layers_where(|record| record.compressed_diff_digest == digest.as_str())
    }

    fn layers_where(&self, wanted: impl Fn(&LayerRecord) -> bool) -> Result<Vec<Layer>> {
        let lists = self.layer_lists()?;
        let mut found = Vec::new();
        for (number, list) in lists.iter().enumerate() {
            let layers = list.layers().filter(|record| wanted(record));
            found.extend(layers.map(|record| record.layer(number > 0)));
        }
        Ok(found)
    }

    /// The layers as they are now: the store's own, and those of stores that are read only.
    fn layer_lists(&self) -> Result<Vec<Arc<LayerList>>> {
        let mut lists = vec![self.read_layers()?.release()];
        for layers in &self.0.additional_layers {
            lists.push(layers.read()?.release());
        }
        Ok(lists)
    }
}

/// Whether a list of a store that is read only can be read: who makes such a store makes its locks.
fn has_lock(folder: &Path, lock: &str) -> bool {
    let there = fs_err::symlink_metadata(folder.join(lock)).is_ok();
    if !there {
        tracing::debug!("{} has no {lock} and is ignored", folder.display());
    }
    there
}
