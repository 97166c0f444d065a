//! What kind of manifest some bytes are.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::go_json::{self, Budget};
use crate::{ManifestError, MediaType};

/// Returns the type that the bytes themselves suggest, if it is a known one.
///
/// A type that came with the bytes is better, but files have none, and some registries' web caches
/// give useless ones.
#[must_use]
pub fn guess(bytes: &[u8]) -> Option<MediaType> {
    let meta: Meta = read(bytes)?;
    let declared = MediaType::from(meta.media_type);
    let types = [
        MediaType::DOCKER_MANIFEST,
        MediaType::DOCKER_LIST,
        MediaType::OCI_MANIFEST,
        MediaType::OCI_INDEX,
    ];
    if let Some(known) = types.into_iter().find(|known| *known == declared) {
        return Some(known);
    }
    match meta.schema_version {
        1 if meta.signatures.is_some() => Some(MediaType::DOCKER_SCHEMA1_SIGNED),
        1 => Some(MediaType::DOCKER_SCHEMA1),
        2 => guess_version_2(bytes),
        _ => None,
    }
}

/// Reads a few members; all others take no memory, so there may be many of them.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    Budget::new(bytes.len(), bytes.len()).read(bytes).ok()
}

/// OCI manifests need not declare their type; what is not an index may be any artifact.
fn guess_version_2(bytes: &[u8]) -> Option<MediaType> {
    let body: WithConfig = read(bytes)?;
    let config = MediaType::from(body.config.media_type);
    if config == MediaType::OCI_CONFIG {
        return Some(MediaType::OCI_MANIFEST);
    }
    if config == MediaType::DOCKER_CONFIG {
        return Some(MediaType::DOCKER_MANIFEST);
    }
    let body: WithManifests = read(bytes)?;
    match (body.manifests.is_empty(), config.is_empty()) {
        (true, _) => Some(MediaType::OCI_MANIFEST),
        (false, true) => Some(MediaType::OCI_INDEX),
        (false, false) => None, // both an index and an artifact
    }
}

/// The known type that `declared` stands for; parameters are ignored.
pub(super) fn known(declared: &MediaType) -> Option<MediaType> {
    let bare = declared.as_str().split(';').next().unwrap_or_default().trim();
    [
        MediaType::OCI_MANIFEST,
        MediaType::OCI_INDEX,
        MediaType::DOCKER_MANIFEST,
        MediaType::DOCKER_LIST,
        MediaType::DOCKER_SCHEMA1,
        MediaType::DOCKER_SCHEMA1_SIGNED,
    ]
    .into_iter()
    .find(|known| known.as_str().eq_ignore_ascii_case(bare))
}

/// Refuses manifests that look like more than one kind: they could mean one image to us and
/// another to the next reader. `allowed` are the telling fields of the kind that was asked for.
pub(super) fn unambiguous(
    bytes: &[u8],
    media_type: &MediaType,
    allowed: &[&str],
) -> Result<(), ManifestError> {
    let found: Telling = go_json::from_slice(bytes)
        .map_err(|source| ManifestError::Json { media_type: media_type.clone(), source })?;
    let fields: Vec<&'static str> = [
        ("config", found.config),
        ("fsLayers", found.fs_layers),
        ("history", found.history),
        ("layers", found.layers),
        ("manifests", found.manifests),
    ]
    .into_iter()
    .filter(|(name, value)| value.is_some() && !allowed.contains(name))
    .map(|(name, _)| name)
    .collect();
    if fields.is_empty() {
        Ok(())
    } else {
        Err(ManifestError::Ambiguous { media_type: media_type.clone(), fields })
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    media_type: String,
    schema_version: i64,
    signatures: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WithConfig {
    config: Typed,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WithManifests {
    manifests: Vec<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Typed {
    media_type: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Telling {
    config: Option<IgnoredAny>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<IgnoredAny>,
    history: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
}
