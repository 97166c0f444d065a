//! Images of any shape, the same for the same seed.

mod attached;
mod builder;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use fs_err as fs;
use serde_json::{Value, json};
use skopeo_image::{Compression, Digest, MediaType, Platform, RawManifest};

use crate::registry::Registry;

pub use builder::Builder;

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
    /// What a list says of it, beside its platform.
    notes: BTreeMap<String, String>,
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

impl Image {
    /// Returns an image for linux/amd64 in OCI's format, of two gzip layers of 10 kB, unless said
    /// otherwise.
    #[must_use]
    pub fn builder(seed: u64) -> Builder {
        Builder::new(seed)
    }

    /// Returns the simplest image of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::builder(seed).build()
    }

    /// Returns a list of these: a Docker manifest list if the first is Docker's, else an OCI index.
    /// Lists may hold lists.
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
        Self {
            manifest,
            platform: None,
            layers: Vec::new(),
            config: None,
            instances,
            notes: BTreeMap::new(),
        }
    }

    /// Returns a list of `count` images for as many platforms, each with a layer of its own and one
    /// that all share.
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

    /// Returns a list of `count` images as [`Self::platforms`] makes, each with what attests it, as
    /// BuildKit makes it.
    #[must_use]
    pub fn attested_platforms(seed: u64, count: usize) -> Self {
        let images = Self::platforms(seed, count).instances;
        let attestation = |(at, image): (usize, &Self)| {
            Self::builder(seed.wrapping_add(77 + at as u64)).layers(1).attestation_of(image).build()
        };
        let attestations: Vec<_> = images.iter().enumerate().map(attestation).collect();
        Self::list(images.into_iter().chain(attestations).collect())
    }

    /// Returns the manifest, or the list.
    #[must_use]
    pub fn manifest(&self) -> &RawManifest {
        &self.manifest
    }

    /// Returns the manifest's type.
    #[must_use]
    pub fn media_type(&self) -> MediaType {
        self.manifest.media_type.clone()
    }

    /// Returns the digest by which registries know it.
    ///
    /// # Panics
    /// Never, as the manifest is ours.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.manifest.digest().expect("a manifest of our own")
    }

    /// Returns its layers, root first; none for a list.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Returns the config; none for lists and schema 1.
    #[must_use]
    pub fn config(&self) -> Option<&Bytes> {
        self.config.as_ref()
    }

    /// Returns what a list holds.
    #[must_use]
    pub fn instances(&self) -> &[Self] {
        &self.instances
    }

    /// Returns what it is for; none for a list.
    #[must_use]
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// Returns every blob of it and of its instances, each once, that is to be stored.
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
        if !self.notes.is_empty() {
            entry["annotations"] = json!(self.notes);
        }
        entry
    }
}

/// Returns a tar with one file of so many bytes, half noise, half text.
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
        Compression::Bzip2 => {
            let mut encoder =
                bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            encoder.write_all(bytes).expect("memory");
            encoder.finish().expect("memory").into()
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
            encoder.write_all(bytes).expect("memory");
            encoder.finish().expect("memory").into()
        }
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
