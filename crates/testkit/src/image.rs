//! Images of any shape, the same for the same seed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use fs_err as fs;
use serde_json::{Value, json};
use skopeo_image::manifest::jws;
use skopeo_image::{Compression, Digest, MediaType, Platform, RawManifest};

use crate::registry::Registry;

/// The annotation that holds a layout's reference.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An image, or a list of images, with all its bytes.
#[derive(Clone, Debug)]
pub struct Image {
    manifest: RawManifest,
    platform: Option<Platform>,
    layers: Vec<Layer>,
    config: Option<Bytes>,
    instances: Vec<Self>,
}

/// A layer with its bytes.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Of the bytes as they are stored.
    pub digest: Digest,
    /// Of the tar.
    pub diff_id: Digest,
    /// As they are stored.
    pub bytes: Bytes,
    /// How they are packed.
    pub compression: Compression,
    /// Where they may be had instead: then no registry or folder gets them.
    pub urls: Vec<String>,
}

/// Which family of types an image's manifests have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// OCI.
    #[default]
    Oci,
    /// Docker schema 2.
    Docker,
    /// Docker schema 1, signed (the key proves nothing).
    Schema1Signed,
    /// Docker schema 1 without signatures.
    Schema1,
}

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
}

#[derive(Clone, Debug)]
struct LayerPlan {
    seed: u64,
    compression: Compression,
    url: Option<String>,
}

impl Image {
    /// An image for linux/amd64 in OCI's format, of two gzip layers of 10 kB, unless said
    /// otherwise.
    #[must_use]
    pub fn builder(seed: u64) -> Builder {
        Builder {
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
        }
    }

    /// The simplest image of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::builder(seed).build()
    }

    /// A list of these: a Docker manifest list if the first is Docker's, else an OCI index. Lists
    /// may hold lists.
    #[must_use]
    pub fn list(instances: Vec<Self>) -> Self {
        let docker = instances.first().is_some_and(|first| {
            [MediaType::DOCKER_MANIFEST, MediaType::DOCKER_LIST].contains(&first.media_type())
        });
        let entries: Vec<Value> = instances.iter().map(Self::entry).collect();
        let media_type = if docker { MediaType::DOCKER_LIST } else { MediaType::OCI_INDEX };
        let document = json!({
            "schemaVersion": 2,
            "mediaType": media_type.as_str(),
            "manifests": entries,
        });
        let manifest = raw(media_type, document.to_string());
        Self { manifest, platform: None, layers: Vec::new(), config: None, instances }
    }

    /// A list of `count` images for as many platforms, each with a layer of its own and one that
    /// all share.
    #[must_use]
    pub fn platforms(seed: u64, count: usize) -> Self {
        const PLATFORMS: [(&str, &str, &str); 8] = [
            ("linux", "amd64", ""),
            ("linux", "arm64", "v8"),
            ("linux", "arm", "v7"),
            ("linux", "s390x", ""),
            ("linux", "ppc64le", ""),
            ("linux", "riscv64", ""),
            ("windows", "amd64", ""),
            ("linux", "386", ""),
        ];
        let instance = |number: usize| {
            let (os, architecture, variant) = PLATFORMS[number % PLATFORMS.len()];
            let own = seed.wrapping_mul(1000).wrapping_add(number as u64);
            Self::builder(own)
                .platform(os, architecture, variant)
                .layer_of(seed, Compression::Gzip)
                .layer_of(own, Compression::Gzip)
                .build()
        };
        Self::list((0..count).map(instance).collect())
    }

    /// The manifest, or the list.
    #[must_use]
    pub fn manifest(&self) -> &RawManifest {
        &self.manifest
    }

    /// The manifest's type.
    #[must_use]
    pub fn media_type(&self) -> MediaType {
        self.manifest.media_type.clone()
    }

    /// The digest by which registries know it.
    ///
    /// # Panics
    /// Never, as the manifest is ours.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.manifest.digest().expect("a manifest of our own")
    }

    /// Its layers, root first; none for a list.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The config; none for lists and schema 1.
    #[must_use]
    pub fn config(&self) -> Option<&Bytes> {
        self.config.as_ref()
    }

    /// What a list holds.
    #[must_use]
    pub fn instances(&self) -> &[Self] {
        &self.instances
    }

    /// What it is for; none for a list.
    #[must_use]
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// Every blob of it and of its instances, each once, that is to be stored.
    #[must_use]
    pub fn blobs(&self) -> BTreeMap<Digest, Bytes> {
        let mut blobs = BTreeMap::new();
        blobs.extend(self.config.iter().map(|config| (Digest::sha256(config), config.clone())));
        let stored = self.layers.iter().filter(|layer| layer.urls.is_empty());
        blobs.extend(stored.map(|layer| (layer.digest.clone(), layer.bytes.clone())));
        blobs.extend(self.instances.iter().flat_map(Self::blobs));
        blobs
    }

    /// It and all that is in it, instances before the lists that hold them.
    #[must_use]
    pub fn manifests(&self) -> Vec<&Self> {
        let mut all: Vec<_> = self.instances.iter().flat_map(Self::manifests).collect();
        all.push(self);
        all
    }

    /// Adds it to the OCI layout at `folder`, which is made if it is missing.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn write_oci(&self, folder: &Path, reference: Option<&str>) {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("a folder for blobs");
        fs::write(folder.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").expect("a file");
        for (digest, bytes) in self.blobs() {
            fs::write(blobs.join(digest.hex()), bytes).expect("a file for a blob");
        }
        for image in self.manifests() {
            let bytes = &image.manifest.bytes;
            let place = blobs.join(Digest::sha256(bytes).hex());
            fs::write(place, bytes).expect("a file for a manifest");
        }
        let path = folder.join("index.json");
        let mut index = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).expect("an index of our own"),
            Err(_) => json!({"schemaVersion": 2, "manifests": []}),
        };
        let bytes = &self.manifest.bytes;
        let mut entry = json!({
            "mediaType": self.media_type().as_str(),
            "digest": Digest::sha256(bytes).as_str(),
            "size": bytes.len(),
        });
        if let Some(reference) = reference {
            entry["annotations"] = json!({ REF_NAME: reference });
        }
        index["manifests"].as_array_mut().expect("an array of our own").push(entry);
        fs::write(path, index.to_string()).expect("a file for the index");
    }

    /// Writes it as `dir:` has it.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn write_dir(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder");
        fs::write(folder.join("version"), "Directory Transport Version: 1.1\n").expect("a file");
        for (digest, bytes) in self.blobs() {
            fs::write(folder.join(digest.hex()), bytes).expect("a file for a blob");
        }
        for image in self.manifests() {
            let name = if std::ptr::eq(image, self) {
                "manifest.json".to_owned()
            } else {
                format!("{}.manifest.json", image.digest().hex())
            };
            fs::write(folder.join(name), &image.manifest.bytes).expect("a file for a manifest");
        }
    }

    /// Puts it into a registry under `repository:tag`, or by digest without a tag. No request is
    /// recorded, no fault happens.
    ///
    /// # Panics
    /// If the registry does not take it.
    pub fn push(&self, registry: &Registry, name: &str) {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, ""));
        for (digest, bytes) in self.blobs() {
            registry.put_blob(repository, &digest, bytes);
        }
        for image in self.manifests() {
            let by_digest = image.digest().to_string();
            let top = std::ptr::eq(image, self) && !tag.is_empty();
            let reference = if top { tag } else { &by_digest };
            registry.put_manifest(repository, reference, &image.manifest);
        }
    }

    fn entry(&self) -> Value {
        let mut entry = json!({
            "mediaType": self.media_type().as_str(),
            "digest": self.digest().as_str(),
            "size": self.manifest.bytes.len(),
        });
        if let Some(platform) = &self.platform {
            entry["platform"] = serde_json::to_value(platform).expect("a platform as JSON");
        }
        entry
    }
}

impl Builder {
    /// So many gzip layers, in place of those so far.
    #[must_use]
    pub fn layers(mut self, count: usize) -> Self {
        self.layers.clear();
        (0..count).fold(self, |builder, _| builder.layer(Compression::Gzip))
    }

    /// One more layer.
    #[must_use]
    pub fn layer(self, compression: Compression) -> Self {
        let seed = self.seed.wrapping_mul(0x0100_0000_01b3) ^ (self.layers.len() as u64 + 1);
        self.layer_of(seed, compression)
    }

    /// One more layer, of a seed of its own: the same seed, compression and size are the same
    /// layer, in this image and in others.
    #[must_use]
    pub fn layer_of(mut self, seed: u64, compression: Compression) -> Self {
        self.layers.push(LayerPlan { seed, compression, url: None });
        self
    }

    /// One more gzip layer, which need not be distributed and lies at `url`.
    #[must_use]
    pub fn foreign_layer(mut self, url: &str) -> Self {
        let (seed, url) = (self.seed ^ 0xf0e1, Some(url.to_owned()));
        self.layers.push(LayerPlan { seed, compression: Compression::Gzip, url });
        self
    }

    /// How many bytes the file in each layer has.
    #[must_use]
    pub fn layer_size(mut self, bytes: usize) -> Self {
        self.layer_size = bytes;
        self
    }

    /// The family of its types.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// What it is for; an empty `variant` is none.
    #[must_use]
    pub fn platform(mut self, os: &str, architecture: &str, variant: &str) -> Self {
        self.platform = Platform::new(os, architecture, variant);
        self
    }

    /// A label in its config.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// An annotation of its manifest (OCI).
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

    /// An artifact of this type (OCI): its config is none, its layers are no tars to clients.
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

    /// The repository and tag that schema 1 embeds.
    #[must_use]
    pub fn named(mut self, repository: &str, tag: &str) -> Self {
        self.name = (repository.to_owned(), tag.to_owned());
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
        Image { manifest, platform: Some(this.platform), layers, config, instances: Vec::new() }
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
            "created": CREATED,
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

/// A tar with one file of so many bytes, half noise, half text.
#[must_use]
pub fn tar_of(seed: u64, size: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(size + 64);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while content.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
        content.extend_from_slice(b"the same");
    }
    content.truncate(size);
    let mut header = tar::Header::new_ustar();
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_mtime(1_704_164_645);
    let mut builder = tar::Builder::new(Vec::new());
    let name = format!("file-{seed:x}");
    builder.append_data(&mut header, name, content.as_slice()).expect("memory");
    builder.into_inner().expect("memory")
}

/// Packs bytes.
///
/// # Panics
/// For what is read but never written.
#[must_use]
pub fn compress(bytes: &[u8], compression: Compression) -> Bytes {
    match compression {
        Compression::Uncompressed => Bytes::copy_from_slice(bytes),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).expect("memory");
            encoder.finish().expect("memory").into()
        }
        Compression::Zstd => zstd::encode_all(bytes, 3).expect("memory").into(),
        other => panic!("nothing here writes {other}"),
    }
}

fn descriptor(media_type: &str, digest: &Digest, size: usize) -> Value {
    json!({"mediaType": media_type, "digest": digest.as_str(), "size": size})
}

fn raw(media_type: MediaType, document: String) -> RawManifest {
    RawManifest { media_type, bytes: document.into() }
}

#[cfg(test)]
mod tests {
    use skopeo_image::manifest::guess;

    use super::*;

    #[test]
    fn every_shape_is_what_it_says() {
        let list = Image::platforms(1, 3);
        let nested = Image::list(vec![list.clone(), Image::new(9)]);
        let builder = || Image::builder(7);
        for image in [
            Image::new(1),
            builder().format(Format::Docker).build(),
            builder().format(Format::Schema1).build(),
            builder().format(Format::Schema1Signed).layers(3).build(),
            builder().artifact("application/x").subject(&list).build(),
            builder().foreign_layer("http://example.test/layer").layer(Compression::Zstd).build(),
            list,
            nested,
        ] {
            let manifest = image.manifest();
            assert_eq!(guess(&manifest.bytes), Some(image.media_type()), "{manifest:?}");
            manifest.parse().unwrap();
        }
    }

    #[test]
    fn the_same_seed_is_the_same_image() {
        assert_eq!(Image::new(1).digest(), Image::new(1).digest());
        assert_ne!(Image::new(1).digest(), Image::new(2).digest());
        let list = Image::platforms(5, 4);
        assert_eq!(list.manifests().len(), 5);
        let shared = &list.instances()[0].layers()[0].digest;
        assert!(list.instances().iter().all(|image| image.layers()[0].digest == *shared));
        assert_eq!(list.blobs().len(), 1 + 4 + 4); // one shared, one own, one config each
    }
}
