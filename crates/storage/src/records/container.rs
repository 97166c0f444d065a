//! An entry of containers.json. It is only read: by whom images and layers are used.

use serde::{Deserialize, Serialize};

use super::Known;

/// What we ask of an entry of containers.json.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerRecord {
    pub(crate) id: String,
    pub(crate) image: String,
    pub(crate) layer: String,
}

impl Known for ContainerRecord {
    const MEMBERS: &'static [&'static str] = &["id", "image", "layer"];
}
