//! Docker's schema 1 manifest: layers and history, newest first, and signatures inside.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::guess::{guess, unambiguous};
use super::jws::payload;
use super::{Layer, ManifestError};
use crate::{Descriptor, Digest, MediaType, Timestamp, go_json};

/// A view of a schema 1 manifest: consistent, and with each image ID once.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The repository's path, without its host.
    pub name: String,
    /// The tag.
    pub tag: String,
    /// The CPU, in Go's words.
    pub architecture: String,
    /// The layers, newest first. Never empty.
    pub fs_layers: Vec<Digest>,
    /// What made each layer, newest first; as many as there are layers.
    pub history: Vec<HistoryEntry>,
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// The text of the JSON object; the newest one is the image's config.
    pub v1_compatibility: String,
    /// What that text says.
    pub v1: V1Compatibility,
}

/// What an entry of the history says, in the order of Go's struct.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct V1Compatibility {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The ID of the entry below; empty for the lowest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// A message of whoever made the layer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// When.
    pub created: Timestamp,
    /// How.
    pub container_config: ContainerConfig,
    /// Who.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Whether the layer is empty, and only there to have as many layers as entries.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub throwaway: bool,
}

/// The command that made a layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// The command; joined with spaces it is what others call `created_by`.
    pub cmd: Vec<String>,
}

impl Manifest {
    /// Reads a schema 1 manifest; if it is signed, only what is signed, so that nothing outside
    /// the digest can count.
    ///
    /// # Errors
    /// If the bytes are none, look like another kind too, or their parts do not fit together.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let media_type = MediaType::DOCKER_SCHEMA1_SIGNED;
        let json = |source| ManifestError::Json { media_type: media_type.clone(), source };
        let bytes = match guess(bytes) {
            Some(guessed) if guessed == media_type => Cow::Owned(payload(bytes)?),
            _ => Cow::Borrowed(bytes),
        };
        let read: Wire = go_json::from_slice(&bytes).map_err(json)?;
        if read.schema_version != 1 {
            return Err(ManifestError::SchemaVersion(read.schema_version));
        }
        unambiguous(&bytes, &media_type, &["fsLayers", "history"])?;
        let mut manifest = Self::new(
            read.name,
            read.tag,
            read.architecture,
            read.fs_layers.into_iter().map(|layer| layer.blob_sum).collect(),
            read.history.into_iter().map(|entry| entry.v1_compatibility).collect(),
        )?;
        manifest.drop_repeated_ids()?;
        Ok(manifest)
    }

    /// Returns a manifest of these parts, layers and history newest first.
    ///
    /// # Errors
    /// If there are no layers, not as many entries as layers, or an entry is no JSON object.
    pub fn new(
        name: String,
        tag: String,
        architecture: String,
        fs_layers: Vec<Digest>,
        history: Vec<String>,
    ) -> Result<Self, ManifestError> {
        if fs_layers.len() != history.len() {
            return Err(wrong("length of history not equal to number of layers"));
        }
        if fs_layers.is_empty() {
            return Err(wrong("no FSLayers in manifest"));
        }
        let entry = |(index, v1_compatibility): (usize, String)| {
            let v1 = go_json::from_slice(v1_compatibility.as_bytes())
                .map_err(|source| ManifestError::History { index, source })?;
            Ok(HistoryEntry { v1_compatibility, v1 })
        };
        let history = history.into_iter().enumerate().map(entry).collect::<Result<_, _>>()?;
        Ok(Self { name, tag, architecture, fs_layers, history })
    }

    /// Returns the layers, root first, the empty ones too.
    #[must_use]
    pub fn layers(&self) -> Vec<Layer> {
        let layer = |(digest, entry): (&Digest, &HistoryEntry)| Layer {
            blob: Descriptor::new(MediaType::default(), digest.clone(), None),
            empty: entry.v1.throwaway,
        };
        self.fs_layers.iter().zip(&self.history).rev().map(layer).collect()
    }

    /// Returns the bytes without a signature, as Go writes them.
    ///
    /// # Errors
    /// Never in practice: there is nothing in a view that JSON could not say.
    pub fn to_unsigned(&self) -> Result<Vec<u8>, serde_json::Error> {
        go_json::to_vec(&Wire {
            name: self.name.clone(),
            tag: self.tag.clone(),
            architecture: self.architecture.clone(),
            fs_layers: self
                .fs_layers
                .iter()
                .map(|digest| WireLayer { blob_sum: digest.clone() })
                .collect(),
            history: self
                .history
                .iter()
                .map(|entry| WireHistory { v1_compatibility: entry.v1_compatibility.clone() })
                .collect(),
            schema_version: 1,
        })
    }

    /// Checks that IDs are IDs and each entry's parent is the next entry, and keeps of entries
    /// that repeat an ID one after the other only the oldest.
    fn drop_repeated_ids(&mut self) -> Result<(), ManifestError> {
        for HistoryEntry { v1, .. } in &self.history {
            if !(v1.id.len() == 64 && v1.id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
            {
                return Err(wrong(format!("image ID {:?} is invalid", v1.id)));
            }
        }
        if self.history.last().is_some_and(|entry| !entry.v1.parent.is_empty()) {
            return Err(wrong("Invalid parent ID in the base layer of the image"));
        }
        let (mut seen, mut last) = (HashSet::new(), "");
        for HistoryEntry { v1, .. } in &self.history {
            if v1.id != last && !seen.insert(&v1.id) {
                return Err(wrong(format!("ID {} appears multiple times in manifest", v1.id)));
            }
            last = &v1.id;
        }
        for index in (0..self.history.len().saturating_sub(1)).rev() {
            let Some([HistoryEntry { v1: upper, .. }, HistoryEntry { v1: lower, .. }]) =
                self.history.get(index..).and_then(<[HistoryEntry]>::first_chunk)
            else {
                continue;
            };
            if upper.id == lower.id {
                self.fs_layers.remove(index);
                self.history.remove(index);
            } else if upper.parent != lower.id {
                return Err(wrong(format!(
                    "Invalid parent ID. Expected {}, got {:?}",
                    lower.id, upper.parent
                )));
            }
        }
        Ok(())
    }
}

fn wrong(text: impl Into<String>) -> ManifestError {
    ManifestError::Schema1(text.into())
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    name: String,
    tag: String,
    architecture: String,
    fs_layers: Vec<WireLayer>,
    history: Vec<WireHistory>,
    schema_version: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLayer {
    blob_sum: Digest,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WireHistory {
    v1_compatibility: String,
}
