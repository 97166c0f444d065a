//! An entry of images.json.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopeo_image::{Digest, Timestamp};

use super::Known;
use crate::image::{Image, ImageData, is_manifest};

/// An entry of images.json, in the order in which its members are written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct ImageRecord {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) names_history: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) layer: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mapped_layers: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) metadata: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) big_data_names: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) big_data_sizes: BTreeMap<String, i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) big_data_digests: BTreeMap<String, String>,
    pub(crate) created: Timestamp,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) flags: BTreeMap<String, Value>,
}

impl Known for ImageRecord {
    const MEMBERS: &'static [&'static str] = &[
        "id",
        "digest",
        "names",
        "names-history",
        "layer",
        "mapped-layers",
        "metadata",
        "big-data-names",
        "big-data-sizes",
        "big-data-digests",
        "created",
        "flags",
    ];
}

impl ImageRecord {
    /// What is told of it.
    ///
    /// # Errors
    /// If a digest of it or of a manifest is none: a text that says what.
    pub(crate) fn image(&self, read_only: bool) -> Result<Image, String> {
        let digest = |what: &str, text: &str| {
            text.parse::<Digest>().map_err(|error| {
                let Self { id, names, .. } = self;
                let names = names.join(" ");
                format!(
                    "computing digests for image with ID {id:?} ([{names}]): validating {what} \
                     {text:?}: {error}"
                )
            })
        };
        let own = match self.digest.as_str() {
            "" => None,
            text => Some(digest("image digest", text)?),
        };
        let mut data = Vec::with_capacity(self.big_data_names.len());
        for key in &self.big_data_names {
            let text = self.big_data_digests.get(key);
            let size = self.big_data_sizes.get(key).and_then(|size| u64::try_from(*size).ok());
            let digest = text.and_then(|text| text.parse().ok());
            data.push(ImageData { key: key.clone(), size, digest });
        }
        // As the original: one digest of a manifest that is none, and nothing is told.
        for (key, text) in self.big_data_digests.iter().filter(|(key, _)| is_manifest(key)) {
            digest(&format!("digest for big data item {key:?}"), text)?;
        }
        let own = own.or_else(|| {
            let manifests = data.iter().filter(|data| is_manifest(&data.key));
            manifests.filter_map(|data| data.digest.clone()).next()
        });
        Ok(Image {
            id: self.id.clone(),
            digest: own,
            names: self.names.clone(),
            names_history: self.names_history.clone(),
            layer: Some(self.layer.clone()).filter(|layer| !layer.is_empty()),
            mapped_layers: self.mapped_layers.clone(),
            metadata: self.metadata.clone(),
            data,
            created: self.created,
            read_only,
        })
    }

    /// Gives it a name: first of all, and noted for ever. As others have it, all names that it has
    /// are noted again then, so that the oldest of them comes first.
    pub(crate) fn add_name(&mut self, name: &str) {
        let put = |list: &mut Vec<String>, name: &str| {
            list.retain(|had| had != name);
            list.insert(0, name.to_owned());
        };
        put(&mut self.names, name);
        for name in &self.names {
            put(&mut self.names_history, name);
        }
    }

    /// Takes a name from it.
    pub(crate) fn lose_name(&mut self, name: &str) {
        self.names.retain(|had| had != name);
    }

    /// Notes what is kept under `key`.
    pub(crate) fn set_data(&mut self, key: &str, size: i64, digest: &Digest) {
        if !self.big_data_names.iter().any(|had| had == key) {
            self.big_data_names.push(key.to_owned());
        }
        self.big_data_sizes.insert(key.to_owned(), size);
        self.big_data_digests.insert(key.to_owned(), digest.to_string());
        if self.digest.is_empty() && is_manifest(key) {
            self.digest = digest.to_string();
        }
    }
}
