//! Making images: how many layers, of what size, packed how, described by which manifests.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use skopeo_image::manifest::jws;
use skopeo_image::{Compression, Digest, MediaType, Platform, RawManifest};

use super::{Format, Image, Layer, compress, descriptor, raw, tar_of};

/// How an image is to be.
#[derive(Clone, Debug)]
pub struct Builder {
    seed: u64,
    layers: Vec<LayerPlan>,
    layer_size: usize,
    format: Format,
    platform: Platform,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    history: bool,
    artifact_type: Option<String>,
    subject: Option<(MediaType, Digest, usize)>,
    name: (String, String),
    attested: Option<Digest>,
    created: String,
}

#[derive(Clone, Debug)]
struct LayerPlan {
    seed: u64,
    compression: Compression,
    url: Option<String>,
}

impl Builder {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            layers: Vec::new(),
            layer_size: 10_000,
            format: Format::Oci,
            platform: Platform::new("linux", "amd64", ""),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            history: true,
            artifact_type: None,
            subject: None,
            name: ("testkit".into(), "latest".into()),
            attested: None,
            created: CREATED.to_owned(),
        }
    }

    /// Has so many gzip layers, in place of those so far.
    #[must_use]
    pub fn layers(mut self, count: usize) -> Self {
        self.layers.clear();
        (0..count).fold(self, |builder, _| builder.layer(Compression::Gzip))
    }

    /// Returns one more layer.
    #[must_use]
    pub fn layer(self, compression: Compression) -> Self {
        let seed = self.seed.wrapping_mul(0x0100_0000_01b3) ^ (self.layers.len() as u64 + 1);
        self.layer_of(seed, compression)
    }

    /// Returns one more layer, of a seed of its own: the same seed, compression and size are the
    /// same layer, in this image and in others.
    #[must_use]
    pub fn layer_of(mut self, seed: u64, compression: Compression) -> Self {
        self.layers.push(LayerPlan { seed, compression, url: None });
        self
    }

    /// Returns one more gzip layer, which need not be distributed and lies at `url`.
    #[must_use]
    pub fn foreign_layer(mut self, url: &str) -> Self {
        let (seed, url) = (self.seed ^ 0xf0e1, Some(url.to_owned()));
        self.layers.push(LayerPlan { seed, compression: Compression::Gzip, url });
        self
    }

    /// Returns how many bytes the file in each layer has.
    #[must_use]
    pub fn layer_size(mut self, bytes: usize) -> Self {
        self.layer_size = bytes;
        self
    }

    /// Returns the family of its types.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Returns what it is for; an empty `variant` is none.
    #[must_use]
    pub fn platform(mut self, os: &str, architecture: &str, variant: &str) -> Self {
        self.platform = Platform::new(os, architecture, variant);
        self
    }

    /// Returns a label in its config.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Returns an annotation of its manifest (OCI).
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Without the history that schema 1 needs.
    #[must_use]
    pub fn no_history(mut self) -> Self {
        self.history = false;
        self
    }

    /// Returns an artifact of this type (OCI): its config is none, its layers are no tars to
    /// clients.
    #[must_use]
    pub fn artifact(mut self, artifact_type: &str) -> Self {
        self.artifact_type = Some(artifact_type.to_owned());
        self
    }

    /// It refers to that image (OCI).
    #[must_use]
    pub fn subject(mut self, image: &Image) -> Self {
        let size = image.manifest.bytes.len();
        self.subject = Some((image.media_type(), image.digest(), size));
        self
    }

    /// It attests that image, in the same list (BuildKit).
    #[must_use]
    pub fn attestation_of(self, image: &Image) -> Self {
        Self { attested: Some(image.digest()), ..self }.platform("unknown", "unknown", "")
    }

    /// Returns the repository and tag that schema 1 embeds.
    #[must_use]
    pub fn named(mut self, repository: &str, tag: &str) -> Self {
        self.name = (repository.to_owned(), tag.to_owned());
        self
    }

    /// When its config says that it was made, in place of the usual time.
    #[must_use]
    pub fn created(mut self, time: &str) -> Self {
        time.clone_into(&mut self.created);
        self
    }

    /// Makes it.
    #[must_use]
    pub fn build(self) -> Image {
        let this = if self.layers.is_empty() { self.layers(2) } else { self };
        let layers: Vec<Layer> = this.layers.iter().map(|plan| this.pack(plan)).collect();
        let (manifest, config) = match this.format {
            Format::Oci | Format::Docker => this.schema2(&layers),
            Format::Schema1 | Format::Schema1Signed => (this.schema1(&layers), None),
        };
        let notes = this.attested.iter().flat_map(|image| {
            [
                ("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned()),
                ("vnd.docker.reference.digest".to_owned(), image.to_string()),
            ]
        });
        Image {
            manifest,
            platform: Some(this.platform),
            layers,
            config,
            instances: Vec::new(),
            notes: notes.collect(),
        }
    }

    fn pack(&self, plan: &LayerPlan) -> Layer {
        let tar = tar_of(plan.seed, self.layer_size);
        let bytes = compress(&tar, plan.compression);
        Layer {
            digest: Digest::sha256(&bytes),
            diff_id: Digest::sha256(&tar),
            bytes,
            compression: plan.compression,
            urls: plan.url.iter().cloned().collect(),
        }
    }

    fn schema2(&self, layers: &[Layer]) -> (RawManifest, Option<Bytes>) {
        let config = match &self.artifact_type {
            Some(_) => Bytes::from_static(b"{}"),
            None => self.config(layers).to_string().into(),
        };
        let docker = self.format == Format::Docker;
        let (media_type, config_type) = match (&self.artifact_type, docker) {
            (Some(_), _) => (MediaType::OCI_MANIFEST, MediaType::OCI_EMPTY),
            (None, true) => (MediaType::DOCKER_MANIFEST, MediaType::DOCKER_CONFIG),
            (None, false) => (MediaType::OCI_MANIFEST, MediaType::OCI_CONFIG),
        };
        let mut document = json!({"schemaVersion": 2, "mediaType": media_type.as_str()});
        if let Some(artifact_type) = &self.artifact_type {
            document["artifactType"] = artifact_type.as_str().into();
        }
        document["config"] =
            descriptor(config_type.as_str(), &Digest::sha256(&config), config.len());
        let layers = layers.iter().map(|layer| {
            let media_type = self.layer_type(layer);
            let mut entry = descriptor(&media_type, &layer.digest, layer.bytes.len());
            if !layer.urls.is_empty() {
                entry["urls"] = json!(layer.urls);
            }
            entry
        });
        document["layers"] = layers.collect();
        if let Some((media_type, digest, size)) = &self.subject {
            document["subject"] = descriptor(media_type.as_str(), digest, *size);
        }
        if !self.annotations.is_empty() {
            document["annotations"] = json!(self.annotations);
        }
        (raw(media_type, document.to_string()), Some(config))
    }

    fn layer_type(&self, layer: &Layer) -> String {
        let foreign = !layer.urls.is_empty();
        if self.artifact_type.is_some() {
            return "application/octet-stream".into();
        }
        if self.attested.is_some() {
            return "application/vnd.in-toto+json".into();
        }
        match (self.format, foreign) {
            (Format::Docker, _) => {
                let kind = if foreign { "foreign.diff" } else { "diff" };
                let end = match layer.compression {
                    Compression::Uncompressed => ".tar",
                    _ => ".tar.gzip",
                };
                format!("application/vnd.docker.image.rootfs.{kind}{end}")
            }
            (_, foreign) => {
                let kind = if foreign { "nondistributable.v1" } else { "v1" };
                let end = match layer.compression {
                    Compression::Gzip => "+gzip",
                    Compression::Zstd => "+zstd",
                    _ => "",
                };
                format!("application/vnd.oci.image.layer.{kind}.tar{end}")
            }
        }
    }

    fn config(&self, layers: &[Layer]) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let mut config = json!({
            "created": self.created,
            "author": "testkit",
            "architecture": self.platform.architecture,
            "os": self.platform.os,
            "config": {"Env": ["PATH=/bin"], "Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        if !self.platform.variant.is_empty() {
            config["variant"] = self.platform.variant.as_str().into();
        }
        if !self.labels.is_empty() {
            config["config"]["Labels"] = json!(self.labels);
        }
        if self.history {
            let mut history: Vec<_> = (0..layers.len())
                .map(|number| json!({"created": CREATED, "created_by": format!("layer {number}")}))
                .collect();
            history.push(json!({"created": CREATED, "created_by": "CMD", "empty_layer": true}));
            config["history"] = history.into();
        }
        config
    }

    fn schema1(&self, layers: &[Layer]) -> RawManifest {
        let id = |number: usize| {
            let text = format!("{} {} {number}", self.seed, self.platform.architecture);
            Digest::sha256(text.as_bytes()).hex().to_owned()
        };
        let mut history: Vec<Value> = (0..layers.len())
            .map(|number| {
                let mut entry = json!({
                    "id": id(number),
                    "created": CREATED,
                    "container_config": {"Cmd": [format!("layer {number}")]},
                });
                if number > 0 {
                    entry["parent"] = id(number - 1).into();
                }
                entry
            })
            .collect();
        if let Some(top) = history.last_mut() {
            top["architecture"] = self.platform.architecture.as_str().into();
            top["os"] = self.platform.os.as_str().into();
            top["author"] = "testkit".into();
            top["config"] = json!({"Env": ["PATH=/bin"], "Cmd": ["/hello"], "Labels": self.labels});
        }
        let history = history.iter().rev().map(|e| json!({"v1Compatibility": e.to_string()}));
        let fs_layers = layers.iter().rev().map(|layer| json!({"blobSum": layer.digest.as_str()}));
        let document = json!({
            "name": self.name.0,
            "tag": self.name.1,
            "architecture": self.platform.architecture,
            "fsLayers": fs_layers.collect::<Vec<_>>(),
            "history": history.collect::<Vec<_>>(),
            "schemaVersion": 1,
        });
        let unsigned = document.to_string();
        if self.format == Format::Schema1 {
            return raw(MediaType::DOCKER_SCHEMA1, unsigned);
        }
        let signed = jws::sign(unsigned.as_bytes()).expect("a document of our own");
        RawManifest { media_type: MediaType::DOCKER_SCHEMA1_SIGNED, bytes: signed.into() }
    }
}

/// When everything here was made.
const CREATED: &str = "2024-01-02T03:04:05Z";
