//! An entry of mountpoints.json.

use serde::{Deserialize, Serialize};

use super::Known;

/// An entry of mountpoints.json: a layer that is mounted, where, and how often.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MountRecord {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) count: i64,
}

impl Known for MountRecord {
    const MEMBERS: &'static [&'static str] = &["id", "path", "count"];
}
