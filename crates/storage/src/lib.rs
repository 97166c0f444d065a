//! The store of podman, buildah and CRI-O on disk: images, layers and the locks that all who use
//! it respect.
//!
//! Blocking and without threads of its own. Knows no registries, no manifests and no copying:
//! what a store keeps of an image is bytes under a key.
//!
//! # Example
//!
//! ```
//! use skopeo_storage::{Driver, Options, Store};
//!
//! # let folder = tempfile::tempdir()?;
//! # let (graph_root, run_root) = (folder.path().join("graph"), folder.path().join("run"));
//! let store = Store::open(Options::new(Driver::Vfs, graph_root, run_root))?;
//! assert!(store.images()?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// What others wrote must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod below;
pub mod contents;
mod driver;
mod error;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod layer;
mod lists;
mod lock;
mod options;
mod places;
mod records;
mod store;
mod temporary;
pub mod userns;

pub use below::Below;
pub use error::{Error, Result, Unreadable};
pub use image::{Image, ImageData, NewData, NewImage};
pub use layer::{Compression, Layer, NewLayer, layer_id};
pub use options::{Driver, Options};
pub use store::{Claim, Claimed, StagedLayer, Store};
