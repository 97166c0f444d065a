//! Images, as a store tells of them.

use skopeo_image::{Digest, Timestamp};

/// An image of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name in the store.
    pub id: String,
    /// The digest of the first manifest that was stored with it: a list's, if it came by one.
    pub digest: Option<Digest>,
    /// What it is called, the newest first.
    pub names: Vec<String>,
    /// What it has ever been called; of what it is called, the oldest first.
    pub names_history: Vec<String>,
    /// The id of its top layer.
    pub layer: Option<String>,
    /// Layers that are its top layer with other owners.
    pub mapped_layers: Vec<String>,
    /// What its writer noted, as JSON text; empty if nothing.
    pub metadata: String,
    /// What is kept of it beside its layers, in the order in which it was stored.
    pub data: Vec<ImageData>,
    /// When it was made, as its config says, or when it was stored.
    pub created: Timestamp,
    /// Whether it lies in a store that is read only.
    pub read_only: bool,
}

impl Image {
    /// Returns the digests that it may be asked for: its own, and those of its manifests.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        let manifests = self.data.iter().filter(|data| is_manifest(&data.key));
        self.digest.iter().chain(manifests.filter_map(|data| data.digest.as_ref()))
    }

    /// Returns what is kept under `key`.
    #[must_use]
    pub fn data(&self, key: &str) -> Option<&ImageData> {
        self.data.iter().find(|data| data.key == key)
    }
}

/// Something that is kept of an image beside its layers: a manifest, its config, signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageData {
    /// What it is called.
    pub key: String,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Its digest; a manifest's is the one that a registry would tell.
    pub digest: Option<Digest>,
}

/// What is said of an image when it gets into the store.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Its id.
    pub id: String,
    /// The id of its top layer.
    pub layer: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// What its writer notes, as JSON text.
    pub metadata: String,
    /// What is kept of it beside its layers, in order.
    pub data: Vec<NewData>,
    /// What it shall be called, the first first. Other images lose these names.
    pub names: Vec<String>,
}

/// Something that is kept of an image.
#[derive(Clone, Debug)]
pub struct NewData {
    /// What it is called.
    pub key: String,
    /// What it is.
    pub bytes: Vec<u8>,
    /// Its digest, if that is not the sha256 of its bytes, as with signed manifests of schema 1.
    pub digest: Option<Digest>,
}

/// Whether what is kept under `key` is a manifest.
pub(crate) fn is_manifest(key: &str) -> bool {
    key.starts_with("manifest")
}
