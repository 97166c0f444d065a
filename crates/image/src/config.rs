//! Image configs: how a container of an image runs, and what the image is made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Timestamp, go_json};

/// The largest config that is read, in bytes (the original's limit).
pub const MAX_CONFIG_SIZE: usize = 4 * 1024 * 1024;

/// A view of an image config, OCI or Docker, with the fields and in the order that OCI has.
///
/// Written as JSON it is what the original makes of a Docker config on the way to OCI: what only
/// Docker has is gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// When the image was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Who made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// The CPU, in Go's words.
    pub architecture: String,
    /// The operating system, in Go's words.
    pub os: String,
    /// The version of the operating system.
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// What the operating system has to offer.
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the CPU.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// How a container runs; left out where nothing at all is said of that. A list or a map that
    /// is there and empty is something.
    #[serde(skip_serializing_if = "RunConfig::is_zero")]
    pub config: RunConfig,
    /// What the layers are, unpacked.
    pub rootfs: RootFs,
    /// How the image was made, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// How a container of the image runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RunConfig {
    /// The user, `name:group`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports such as `80/tcp`.
    #[serde(skip_serializing_if = "none_or_empty_map")]
    pub exposed_ports: Option<BTreeMap<String, Nothing>>,
    /// Variables, `NAME=value`.
    #[serde(skip_serializing_if = "none_or_empty")]
    pub env: Option<Vec<String>>,
    /// The command that is always run.
    #[serde(skip_serializing_if = "none_or_empty")]
    pub entrypoint: Option<Vec<String>>,
    /// The arguments to it, or the command, that may be replaced.
    #[serde(skip_serializing_if = "none_or_empty")]
    pub cmd: Option<Vec<String>>,
    /// Folders kept outside the container.
    #[serde(skip_serializing_if = "none_or_empty_map")]
    pub volumes: Option<BTreeMap<String, Nothing>>,
    /// Where the command starts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Free text by key.
    #[serde(skip_serializing_if = "none_or_empty_map")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The signal that asks it to end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Whether the command is escaped already (Windows).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
}

/// The value of a map that is a set: `{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// What the layers are, unpacked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digests of the layers' tars, root first, as they are written. `None` is Go's `null`.
    pub diff_ids: Option<Vec<String>>,
}

/// One step of how the image was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// By which command.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// By whom.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// A message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl RunConfig {
    /// Whether it is Go's zero value, as `omitzero` asks.
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl ImageConfig {
    /// Reads a config, OCI or Docker.
    ///
    /// # Errors
    /// If the bytes are no JSON object, or a field is not of its type.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        go_json::from_slice(bytes)
    }
}

pub(crate) fn none_or_empty(list: &Option<Vec<String>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

pub(crate) fn none_or_empty_map<V>(map: &Option<BTreeMap<String, V>>) -> bool {
    map.as_ref().is_none_or(BTreeMap::is_empty)
}
