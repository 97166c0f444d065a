//! What there is to say about an image without running it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::convert::schema1_config;
use crate::{
    Descriptor, ImageConfig, ImageManifest, Layer, ManifestError, MediaType, Timestamp, go_json,
};

/// What `skopeo inspect` shows of an image. `None` is what Go shows as `null`.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The tag that a schema 1 manifest names; else empty.
    pub tag: String,
    /// When the image was made.
    pub created: Option<Timestamp>,
    /// The version of Docker that made it.
    pub docker_version: String,
    /// Free text by key.
    pub labels: Option<BTreeMap<String, String>>,
    /// The CPU, in Go's words.
    pub architecture: String,
    /// The variant of the CPU.
    pub variant: String,
    /// The operating system, in Go's words.
    pub os: String,
    /// The layers, root first.
    pub layers: Vec<Layer>,
    /// Variables, `NAME=value`.
    pub env: Option<Vec<String>>,
    /// Who made it.
    pub author: String,
}

/// What there is to say about what is no image.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// What kind of artifact it is; where the manifest does not say, the type of its config.
    pub artifact_type: String,
    /// The type of its config; empty where there is none.
    pub config_type: MediaType,
    /// Free text by key.
    pub annotations: BTreeMap<String, String>,
    /// The manifest that it is about.
    pub subject: Option<Descriptor>,
}

impl Summary {
    /// Returns what there is to say where only layers are known.
    #[must_use]
    pub fn of_layers(layers: Vec<Layer>) -> Self {
        Self {
            tag: String::new(),
            created: None,
            docker_version: String::new(),
            labels: None,
            architecture: String::new(),
            variant: String::new(),
            os: String::new(),
            layers,
            env: None,
            author: String::new(),
        }
    }
}

impl ImageManifest {
    /// Returns what there is to say of an artifact; `None` of an image.
    #[must_use]
    pub fn artifact(&self) -> Option<Artifact> {
        let Self::Oci(manifest) = self else { return None };
        if !manifest.is_artifact() {
            return None;
        }
        let config = manifest.config.as_ref();
        let config_type = config.map(|config| config.blob.media_type.clone()).unwrap_or_default();
        let artifact_type = match manifest.artifact_type.as_str() {
            "" => config_type.to_string(),
            named => named.to_owned(),
        };
        Some(Artifact {
            artifact_type,
            config_type,
            annotations: manifest.annotations.clone(),
            subject: self.subject().cloned(),
        })
    }

    /// Returns what there is to say. `config` are the bytes of the config; schema 1 needs none.
    ///
    /// # Errors
    /// If this is an artifact and no image, or the config is missing or unreadable.
    pub fn summary(&self, config: Option<&[u8]>) -> Result<Summary, ManifestError> {
        let config = match self {
            Self::Oci(manifest) => {
                manifest.require_image()?;
                config
            }
            Self::Docker(_) => config,
            Self::Schema1(manifest) => {
                manifest.history.first().map(|entry| entry.v1_compatibility.as_bytes())
            }
        };
        let read: Config = parse(config)?;
        let (labels, env) = read.config.map_or((None, None), |config| (config.labels, config.env));
        let created = match self {
            Self::Oci(_) => read.created,
            // Go's Docker structs have a time, not a pointer to one.
            Self::Docker(_) | Self::Schema1(_) => Some(read.created.unwrap_or_default()),
        };
        let tag = match self {
            Self::Schema1(manifest) => manifest.tag.clone(),
            Self::Oci(_) | Self::Docker(_) => String::new(),
        };
        Ok(Summary {
            tag,
            created,
            docker_version: read.docker_version,
            labels,
            architecture: read.architecture,
            variant: read.variant,
            os: read.os,
            layers: self.layers(),
            env,
            author: read.author,
        })
    }

    /// Returns the config as OCI has it. `config` are its bytes; schema 1 needs none, and knows no
    /// diff ids.
    ///
    /// # Errors
    /// As [`Self::summary`].
    pub fn oci_config(&self, config: Option<&[u8]>) -> Result<ImageConfig, ManifestError> {
        match self {
            Self::Oci(manifest) => {
                manifest.require_image()?;
                parse(config)
            }
            Self::Docker(_) => parse(config),
            Self::Schema1(manifest) => {
                let full = self.layers().iter().filter(|layer| !layer.empty).count();
                let config = schema1_config(manifest, &vec![String::new(); full])
                    .map_err(|error| ManifestError::Schema1(error.to_string()))?;
                parse(Some(&config))
            }
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(config: Option<&[u8]>) -> Result<T, ManifestError> {
    let config = config.ok_or(ManifestError::NoConfig)?;
    go_json::from_slice(config).map_err(ManifestError::Config)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    created: Option<Timestamp>,
    docker_version: String,
    author: String,
    architecture: String,
    variant: String,
    os: String,
    config: Option<Run>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Run {
    labels: Option<BTreeMap<String, String>>,
    env: Option<Vec<String>>,
}
