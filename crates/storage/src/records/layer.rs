//! An entry of layers.json.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopeo_image::Timestamp;

use super::{Known, empty};
use crate::layer::{Compression, Layer};

/// Flags of layers.
pub(crate) mod flags {
    /// A layer that is being made, or being removed.
    pub(crate) const INCOMPLETE: &str = "incomplete";
}

/// An entry of layers.json, in the order in which its members are written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct LayerRecord {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) names: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) parent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) metadata: String,
    #[serde(rename = "mountlabel", skip_serializing_if = "String::is_empty")]
    pub(crate) mount_label: String,
    pub(crate) created: Timestamp,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) compressed_diff_digest: String,
    #[serde(skip_serializing_if = "empty::number")]
    pub(crate) compressed_size: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) diff_digest: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) toc_digest: String,
    #[serde(skip_serializing_if = "empty::number")]
    pub(crate) diff_size: i64,
    #[serde(skip_serializing_if = "empty::number")]
    pub(crate) compression: i64,
    #[serde(rename = "uidset", skip_serializing_if = "Vec::is_empty")]
    pub(crate) uids: Vec<u32>,
    #[serde(rename = "gidset", skip_serializing_if = "Vec::is_empty")]
    pub(crate) gids: Vec<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) flags: BTreeMap<String, Value>,
    #[serde(rename = "uidmap", skip_serializing_if = "Vec::is_empty")]
    pub(crate) uid_map: Vec<IdMap>,
    #[serde(rename = "gidmap", skip_serializing_if = "Vec::is_empty")]
    pub(crate) gid_map: Vec<IdMap>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) big_data_names: Vec<String>,
}

/// Which ids in a container are which outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct IdMap {
    pub(crate) container_id: i64,
    pub(crate) host_id: i64,
    pub(crate) size: i64,
}

impl Known for LayerRecord {
    const MEMBERS: &'static [&'static str] = &[
        "id",
        "names",
        "parent",
        "metadata",
        "mountlabel",
        "created",
        "compressed-diff-digest",
        "compressed-size",
        "diff-digest",
        "toc-digest",
        "diff-size",
        "compression",
        "uidset",
        "gidset",
        "flags",
        "uidmap",
        "gidmap",
        "big-data-names",
    ];
}

impl LayerRecord {
    pub(crate) fn is_incomplete(&self) -> bool {
        self.flags.get(flags::INCOMPLETE) == Some(&Value::Bool(true))
    }

    pub(crate) fn parent(&self) -> Option<&str> {
        Some(self.parent.as_str()).filter(|parent| !parent.is_empty())
    }

    /// What is told of it. Digests and sizes that are none are told as not known.
    pub(crate) fn layer(&self, read_only: bool) -> Layer {
        let size = |value: i64, digest: &str| {
            u64::try_from(value).ok().filter(|_| value != 0 || !digest.is_empty())
        };
        Layer {
            id: self.id.clone(),
            parent: self.parent().map(str::to_owned),
            diff_digest: self.diff_digest.parse().ok(),
            diff_size: size(self.diff_size, &self.diff_digest),
            compressed_digest: self.compressed_diff_digest.parse().ok(),
            compressed_size: size(self.compressed_size, &self.compressed_diff_digest),
            toc_digest: self.toc_digest.parse().ok(),
            compression: Compression::numbered(self.compression),
            created: self.created,
            read_only,
        }
    }
}
