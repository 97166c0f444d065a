//! What `inspect` found, as JSON and as templates see it.

use std::collections::BTreeMap;

use serde::Serialize;
use skopeo_image::{
    Artifact, Descriptor, History, ImageConfig, Layer, RunConfig, Summary, Timestamp,
};

use crate::template::value::Value;

/// What there is to say about an image.
pub(super) struct Output {
    /// The repository, if it is in one.
    pub(super) name: Option<String>,
    pub(super) digest: String,
    pub(super) repo_tags: Vec<String>,
    pub(super) summary: Summary,
    /// What is said only of what is no image.
    pub(super) more: Option<More>,
}

/// What is said only of artifacts, and of lists that hold nothing else.
pub(super) struct More {
    pub(super) mime_type: String,
    pub(super) artifact: Artifact,
    pub(super) manifests: Vec<String>,
}

/// The same in the order and with the names of the original's JSON.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Json<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tag: &'a str,
    digest: &'a str,
    repo_tags: &'a [String],
    created: Option<Timestamp>,
    docker_version: &'a str,
    labels: Option<&'a BTreeMap<String, String>>,
    architecture: &'a str,
    os: &'a str,
    layers: Vec<&'a str>,
    layers_data: Vec<LayerJson<'a>>,
    env: Option<&'a [String]>,
    #[serde(flatten)]
    more: MoreJson<'a>,
}

/// What the original has no word for, since it refuses what is no image.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MoreJson<'a> {
    #[serde(rename = "MIMEType", skip_serializing_if = "str::is_empty")]
    mime_type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    artifact_type: &'a str,
    #[serde(rename = "ConfigMIMEType", skip_serializing_if = "str::is_empty")]
    config_mime_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<LayerJson<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    manifests: &'a [String],
}

impl<'a> MoreJson<'a> {
    fn new(more: &'a More) -> Self {
        let artifact = &more.artifact;
        Self {
            mime_type: &more.mime_type,
            artifact_type: &artifact.artifact_type,
            config_mime_type: artifact.config_type.as_str(),
            annotations: Some(&artifact.annotations).filter(|it| !it.is_empty()),
            subject: artifact.subject.as_ref().map(LayerJson::new),
            manifests: &more.manifests,
        }
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let subject = self.subject.as_ref().map_or(Value::Nothing, LayerJson::value);
        vec![
            ("MIMEType", Value::text(self.mime_type)),
            ("ArtifactType", Value::text(self.artifact_type)),
            ("ConfigMIMEType", Value::text(self.config_mime_type)),
            ("Annotations", Value::labels(self.annotations)),
            ("Subject", subject),
            ("Manifests", Value::texts(Some(self.manifests))),
        ]
    }
}

/// A blob or manifest as another one names it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LayerJson<'a> {
    #[serde(rename = "MIMEType")]
    mime_type: &'a str,
    digest: &'a str,
    /// `null` where nobody says it: the original's -1 would be read as a size.
    size: Option<u64>,
    annotations: Option<&'a BTreeMap<String, String>>,
}

impl<'a> LayerJson<'a> {
    pub(super) fn new(blob: &'a Descriptor) -> Self {
        Self {
            mime_type: blob.media_type.as_str(),
            digest: blob.digest.as_str(),
            size: blob.size,
            annotations: Some(&blob.annotations).filter(|annotations| !annotations.is_empty()),
        }
    }

    fn value(&self) -> Value {
        Value::structure(
            "types.ImageInspectLayer",
            self,
            vec![
                ("MIMEType", Value::text(self.mime_type)),
                ("Digest", Value::digest(self.digest)),
                (
                    "Size",
                    self.size
                        .and_then(|it| i64::try_from(it).ok())
                        .map_or(Value::Nothing, Value::Int),
                ),
                ("Annotations", Value::labels(self.annotations)),
            ],
        )
    }
}

impl Output {
    pub(super) fn json(&self) -> Json<'_> {
        let summary = &self.summary;
        Json {
            name: self.name.as_deref().unwrap_or_default(),
            tag: &summary.tag,
            digest: &self.digest,
            repo_tags: &self.repo_tags,
            created: summary.created,
            docker_version: &summary.docker_version,
            labels: summary.labels.as_ref(),
            architecture: &summary.architecture,
            os: &summary.os,
            layers: summary.layers.iter().map(|layer| layer.blob.digest.as_str()).collect(),
            layers_data: summary.layers.iter().map(of_layer).collect(),
            env: summary.env.as_deref(),
            more: self.more.as_ref().map(MoreJson::new).unwrap_or_default(),
        }
    }

    pub(super) fn value(&self) -> Value {
        let json = self.json();
        let layers = json.layers.iter().map(|layer| Value::text(layer));
        let mut fields = vec![
            ("Name", Value::text(json.name)),
            ("Tag", Value::text(json.tag)),
            ("Digest", Value::digest(json.digest)),
            ("RepoTags", Value::texts(Some(json.repo_tags))),
            ("Created", Value::Time(json.created)),
            ("DockerVersion", Value::text(json.docker_version)),
            ("Labels", Value::labels(json.labels)),
            ("Architecture", Value::text(json.architecture)),
            ("Os", Value::text(json.os)),
            ("Layers", Value::list(layers, "[]string")),
            (
                "LayersData",
                Value::list(
                    json.layers_data.iter().map(LayerJson::value),
                    "[]types.ImageInspectLayer",
                ),
            ),
            ("Env", Value::texts(json.env)),
        ];
        if self.more.is_some() {
            fields.extend(json.more.fields());
        }
        Value::structure("interface {}", &json, fields)
    }
}

fn of_layer(layer: &Layer) -> LayerJson<'_> {
    LayerJson::new(&layer.blob)
}

/// A config as templates see it.
pub(super) fn config(config: &ImageConfig) -> Value {
    let features = Value::texts(Some(&config.os_features));
    let platform = vec![
        ("Architecture", Value::text(&config.architecture)),
        ("OS", Value::text(&config.os)),
        ("OSVersion", Value::text(&config.os_version)),
        ("OSFeatures", features),
        ("Variant", Value::text(&config.variant)),
    ];
    let platform_json = serde_json::json!({
        "architecture": config.architecture,
        "os": config.os,
    });
    let rootfs = vec![
        ("Type", Value::text(&config.rootfs.kind)),
        (
            "DiffIDs",
            Value::list_or_nil(
                config
                    .rootfs
                    .diff_ids
                    .as_ref()
                    .map(|digests| digests.iter().map(|digest| Value::digest(digest))),
                "[]digest.Digest",
            ),
        ),
    ];
    Value::structure(
        "interface {}",
        config,
        vec![
            ("Created", Value::Time(config.created)),
            ("Author", Value::text(&config.author)),
            ("Platform", Value::structure("v1.Platform", &platform_json, platform)),
            ("Config", run_config(&config.config)),
            ("RootFS", Value::structure("v1.RootFS", &config.rootfs, rootfs)),
            ("History", Value::list(config.history.iter().map(history), "[]v1.History")),
        ],
    )
}

fn run_config(config: &RunConfig) -> Value {
    let set = |keys: Option<&BTreeMap<String, skopeo_image::Nothing>>| {
        let empty = || Value::structure("struct {}", &skopeo_image::Nothing {}, Vec::new());
        let keys = keys.map(|keys| keys.keys().map(|key| (key.clone(), empty())));
        Value::map_or_nil(keys, "map[string]struct {}")
    };
    Value::structure(
        "v1.ImageConfig",
        config,
        vec![
            ("User", Value::text(&config.user)),
            ("ExposedPorts", set(config.exposed_ports.as_ref())),
            ("Env", Value::texts(config.env.as_deref())),
            ("Entrypoint", Value::texts(config.entrypoint.as_deref())),
            ("Cmd", Value::texts(config.cmd.as_deref())),
            ("Volumes", set(config.volumes.as_ref())),
            ("WorkingDir", Value::text(&config.working_dir)),
            ("Labels", Value::labels(config.labels.as_ref())),
            ("StopSignal", Value::text(&config.stop_signal)),
            ("ArgsEscaped", Value::Bool(config.args_escaped)),
        ],
    )
}

fn history(entry: &History) -> Value {
    Value::structure(
        "v1.History",
        entry,
        vec![
            ("Created", Value::Time(entry.created)),
            ("CreatedBy", Value::text(&entry.created_by)),
            ("Author", Value::text(&entry.author)),
            ("Comment", Value::text(&entry.comment)),
            ("EmptyLayer", Value::Bool(entry.empty_layer)),
        ],
    )
}
