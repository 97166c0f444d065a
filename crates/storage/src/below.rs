//! What a layer lies on while it is unpacked.

use std::path::PathBuf;

/// What a layer lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Below {
    /// No layer.
    Nothing,
    /// The layer of that id, which is in the store.
    Layer(String),
    /// A layer that is unpacked, as [`StagedLayer::below`](crate::StagedLayer::below) tells it.
    Staged {
        /// The id that it gets in the store.
        id: String,
        /// The folder of its files.
        root: PathBuf,
    },
}

impl Below {
    /// Returns the id of the layer, if there is one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Nothing => None,
            Self::Layer(id) | Self::Staged { id, .. } => Some(id),
        }
    }
}
