//! Schema 1, where the config is spread over the history, there and back.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::docker_image::{DockerImage, needs_reencoding};
use super::{ConvertError, Converted, LayerEdit, config_descriptor, layers};
use crate::descriptor::length_of;
use crate::manifest::schema1::{self, ContainerConfig, V1Compatibility};
use crate::manifest::{docker, jws};
use crate::{Descriptor, Digest, History, MediaType, RawManifest, Reference, Timestamp, go_json};

/// An empty tar, packed by gzip, as Docker has always packed it (distribution's
/// manifest/schema1/config_builder.go): the layer of steps that made none.
pub const EMPTY_LAYER: [u8; 32] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x09, 0x6e, 0x88, 0x00, 0xff, 0x62, 0x18, 0x05, 0xa3, 0x60, 0x14,
    0x8c, 0x58, 0x00, 0x08, 0x00, 0x00, 0xff, 0xff, 0x2e, 0xaf, 0xb5, 0xef, 0x00, 0x04, 0x00, 0x00,
];

/// Notes what became of the layers, and under which name the manifest will be.
pub(super) fn update(
    mut manifest: schema1::Manifest,
    edits: Option<&[LayerEdit]>,
    name: Option<&Reference>,
) -> Result<Converted, ConvertError> {
    if let Some(edits) = edits {
        manifest.fs_layers = layers::updated_schema1(manifest.fs_layers.len(), edits)?;
        manifest.fs_layers.reverse();
    }
    if let Some(name) = name {
        name.name.path().clone_into(&mut manifest.name);
        manifest.tag = name.tag.clone().unwrap_or_default();
    }
    let unsigned = manifest.to_unsigned().map_err(ConvertError::Encode)?;
    let bytes = jws::sign(&unsigned)?.into();
    Ok(Converted {
        manifest: RawManifest { media_type: MediaType::DOCKER_SCHEMA1_SIGNED, bytes },
        config: None,
        blobs: Vec::new(),
    })
}

/// A Docker manifest and config. Edits of empty layers, which it does not have, are dropped.
pub(super) fn to_docker(
    from: &schema1::Manifest,
    edits: &mut Option<Vec<LayerEdit>>,
) -> Result<(docker::Manifest, Vec<u8>), ConvertError> {
    let given = edits.take().ok_or(ConvertError::NoLayers)?;
    layers::require_same_count(from.fs_layers.len(), given.len())?;
    let full: Vec<LayerEdit> = from
        .layers()
        .iter()
        .zip(given)
        .filter(|(layer, _)| !layer.empty)
        .map(|(_, edit)| edit)
        .collect();
    let diff_ids: Vec<String> = full
        .iter()
        .map(|edit| edit.diff_id.as_ref().map(ToString::to_string).ok_or(ConvertError::NoLayers))
        .collect::<Result<_, _>>()?;
    let config = config(from, &diff_ids)?;
    let layers = full
        .iter()
        .map(|edit| {
            let media_type = MediaType::DOCKER_LAYER_GZIP;
            Descriptor::new(media_type, edit.digest.clone(), Some(edit.size))
        })
        .collect();
    *edits = Some(full);
    let descriptor = config_descriptor(MediaType::DOCKER_CONFIG, &config);
    Ok((docker::Manifest::new(descriptor, layers), config))
}

/// The Docker config that says what a schema 1 manifest says, with these diff ids, root first.
pub(crate) fn config(
    from: &schema1::Manifest,
    diff_ids: &[String],
) -> Result<Vec<u8>, ConvertError> {
    let top = from.history.first().ok_or(ConvertError::NoConfig)?.v1_compatibility.as_bytes();
    let image: DockerImage = go_json::from_slice(top).map_err(ConvertError::ConfigJson)?;
    let reencoded;
    let top = if needs_reencoding(&image.docker_version) {
        reencoded = go_json::to_vec(&image).map_err(ConvertError::Encode)?;
        &reencoded
    } else {
        top
    };
    let mut fields = raw_fields(top)?;
    for dropped in ["id", "parent", "parent_id", "layer_id", "throwaway", "Size"] {
        fields.remove(dropped);
    }
    let history: Vec<DockerHistory> = from
        .history
        .iter()
        .rev()
        .map(|entry| DockerHistory {
            created: entry.v1.created,
            author: entry.v1.author.clone(),
            created_by: entry.v1.container_config.cmd.join(" "),
            comment: entry.v1.comment.clone(),
            empty_layer: entry.v1.throwaway,
        })
        .collect();
    fields.insert("rootfs".to_owned(), raw(&DockerRootFs { kind: "layers", diff_ids })?);
    fields.insert("history".to_owned(), raw(&history)?);
    go_json::to_vec(&fields).map_err(ConvertError::Encode)
}

/// A schema 1 manifest of a Docker image. IDs are made of digests, as Docker made them.
pub(super) fn of_docker(
    from: &docker::Manifest,
    config: Option<&[u8]>,
    edits: Option<Vec<LayerEdit>>,
    name: Option<&Reference>,
) -> Result<Converted, ConvertError> {
    if let Some(edits) = &edits {
        layers::require_same_count(from.layers.len(), edits.len())?;
    }
    let config = config.ok_or(ConvertError::NoConfig)?;
    let image: ConfigHistory = go_json::from_slice(config).map_err(ConvertError::ConfigJson)?;
    let Some(top) = image.history.last() else {
        return Err(ConvertError::Config(format!(
            "Cannot convert an image with 0 history entries to {}",
            MediaType::DOCKER_SCHEMA1_SIGNED
        )));
    };
    let empty = Digest::sha256(&EMPTY_LAYER);
    let mut full = from.layers.iter().enumerate();
    let (mut blobs, mut entries, mut updates) = (Vec::new(), Vec::new(), Vec::new());
    let (mut id, mut parent) = (String::new(), String::new());
    for step in &image.history {
        let blob = if step.empty_layer {
            blobs = vec![(empty.clone(), Bytes::from_static(&EMPTY_LAYER))];
            updates.push(kept(&empty, length_of(&EMPTY_LAYER)));
            &empty
        } else {
            let (index, layer) = full.next().ok_or_else(|| {
                ConvertError::Config(format!(
                    "Invalid image configuration, needs more than the {} distributed layers",
                    from.layers.len()
                ))
            })?;
            updates.extend(edits.as_ref().and_then(|edits| edits.get(index).cloned()));
            &layer.digest
        };
        parent = std::mem::take(&mut id);
        id = v1_id(&[blob.hex().as_bytes(), parent.as_bytes()]);
        let entry = V1Compatibility {
            id: id.clone(),
            parent: parent.clone(),
            comment: step.comment.clone(),
            created: step.created.unwrap_or_default(),
            container_config: ContainerConfig { cmd: vec![step.created_by.clone()] },
            author: step.author.clone(),
            throwaway: step.empty_layer,
        };
        entries.push((blob.clone(), go_json::to_vec(&entry).map_err(ConvertError::Encode)?));
    }
    if let Some((blob, entry)) = entries.last_mut() {
        let id = v1_id(&[blob.hex().as_bytes(), parent.as_bytes(), config]);
        *entry = top_entry(config, &id, &parent, top.empty_layer)?;
    }
    let (fs_layers, history): (Vec<Digest>, Vec<Vec<u8>>) = entries.into_iter().rev().unzip();
    let history = history.into_iter().map(|entry| String::from_utf8_lossy(&entry).into_owned());
    let manifest = schema1::Manifest::new(
        String::new(),
        String::new(),
        image.architecture,
        fs_layers,
        history.collect(),
    )?;
    let updates = edits.is_some().then_some(updates);
    Ok(Converted { blobs, ..update(manifest, updates.as_deref(), name)? })
}

fn kept(digest: &Digest, size: u64) -> LayerEdit {
    LayerEdit {
        digest: digest.clone(),
        size,
        compression: layers::CompressionEdit::Keep,
        encryption: layers::EncryptionEdit::Keep,
        diff_id: None,
        annotations: None,
        urls: Vec::new(),
    }
}

/// The newest entry of the history: the whole config but what the other entries say.
fn top_entry(
    config: &[u8],
    id: &str,
    parent: &str,
    throwaway: bool,
) -> Result<Vec<u8>, ConvertError> {
    let mut fields = raw_fields(config)?;
    fields.remove("rootfs");
    fields.remove("history");
    fields.insert("id".to_owned(), raw(id)?);
    if !parent.is_empty() {
        fields.insert("parent".to_owned(), raw(parent)?);
    }
    if throwaway {
        fields.insert("throwaway".to_owned(), raw(&true)?);
    }
    go_json::to_vec(&fields).map_err(ConvertError::Encode)
}

fn v1_id(parts: &[&[u8]]) -> String {
    Digest::sha256(&parts.join(&b' ')).hex().to_owned()
}

/// The fields of an object, each value as it is written.
fn raw_fields(bytes: &[u8]) -> Result<BTreeMap<String, Box<RawValue>>, ConvertError> {
    serde_json::from_slice(bytes).map_err(ConvertError::ConfigJson)
}

fn raw<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, ConvertError> {
    let text = go_json::to_vec(value).map_err(ConvertError::Encode)?;
    serde_json::from_slice(&text).map_err(ConvertError::Encode)
}

/// What schema 1 needs of a config.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ConfigHistory {
    architecture: String,
    history: Vec<History>,
}

/// A step as Docker's config writes it: in another order than OCI, and always with a time.
#[derive(Serialize)]
struct DockerHistory {
    created: Timestamp,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    created_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    empty_layer: bool,
}

#[derive(Serialize)]
struct DockerRootFs<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    diff_ids: &'a [String],
}
