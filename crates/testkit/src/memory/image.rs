//! Images of any kind, built into a source in memory.

use bytes::Bytes;
use skopeo_image::{Digest, MediaType, RawManifest, Which};

use super::source::FakeSource;

/// Builds images of any kind into a source.
#[derive(Debug)]
pub struct Builder {
    /// The source.
    pub source: FakeSource,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Returns one with nothing in its source.
    pub fn new() -> Self {
        Self { source: FakeSource::default() }
    }

    /// Adds a blob.
    pub fn blob(&mut self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        self.source.blobs.insert(digest.clone(), bytes);
        digest
    }

    /// Returns an image of these layers: their types and bytes.
    pub fn image(&mut self, kind: ImageKind, layers: &[(&MediaType, Bytes)]) -> RawManifest {
        let diff_ids: Vec<String> =
            layers.iter().map(|(_, bytes)| Digest::sha256(&unpacked(bytes)).to_string()).collect();
        let config = serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": layers.iter().map(|_| serde_json::json!({ "created_by": "test" }))
                .collect::<Vec<_>>(),
        });
        let config = serde_json::to_vec(&config).unwrap();
        let config_size = config.len();
        let config = self.blob(config);
        let layers: Vec<_> = layers
            .iter()
            .map(|(media_type, bytes)| {
                let digest = self.blob(bytes.clone());
                serde_json::json!({
                    "mediaType": media_type.as_str(), "size": bytes.len(), "digest": digest,
                })
            })
            .collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": kind.manifest().as_str(),
            "config": {
                "mediaType": kind.config().as_str(), "size": config_size, "digest": config,
            },
            "layers": layers,
        });
        raw(kind.manifest(), &manifest)
    }

    /// Returns an index of these manifests, each for an architecture.
    pub fn index(&mut self, kind: ImageKind, instances: &[(&str, &RawManifest)]) -> RawManifest {
        let entries: Vec<_> = instances
            .iter()
            .map(|(architecture, manifest)| {
                let platform = serde_json::json!({ "architecture": architecture, "os": "linux" });
                (serde_json::json!({ "platform": platform }), *manifest)
            })
            .collect();
        self.list_of(kind, &entries)
    }

    /// Returns an index of these manifests, with what else it says of each.
    pub fn list_of(
        &mut self,
        kind: ImageKind,
        instances: &[(serde_json::Value, &RawManifest)],
    ) -> RawManifest {
        let manifests: Vec<_> = instances
            .iter()
            .map(|(more, manifest)| {
                let digest = manifest.digest().unwrap();
                self.source.manifests.insert(Which::Instance(digest.clone()), (*manifest).clone());
                let mut entry = serde_json::json!({
                    "mediaType": manifest.media_type.as_str(),
                    "size": manifest.bytes.len(),
                    "digest": digest,
                });
                entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                entry
            })
            .collect();
        let media_type = match kind {
            ImageKind::Oci => MediaType::OCI_INDEX,
            ImageKind::Docker => MediaType::DOCKER_LIST,
        };
        let list = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type.as_str(), "manifests": manifests,
        });
        raw(media_type, &list)
    }

    /// Returns the source whose name leads to that manifest.
    pub fn top(mut self, manifest: &RawManifest) -> FakeSource {
        self.source.manifests.insert(Which::Top, manifest.clone());
        self.source
    }
}

/// A kind of image.
#[derive(Clone, Copy, Debug)]
pub enum ImageKind {
    /// As the OCI has it.
    Oci,
    /// As Docker has it, schema 2.
    Docker,
}

impl ImageKind {
    fn manifest(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OCI_MANIFEST,
            Self::Docker => MediaType::DOCKER_MANIFEST,
        }
    }

    fn config(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OCI_CONFIG,
            Self::Docker => MediaType::DOCKER_CONFIG,
        }
    }
}

fn raw(media_type: MediaType, value: &serde_json::Value) -> RawManifest {
    // Not as this program would write it, so that a copy that writes it anew shows.
    let bytes = serde_json::to_vec_pretty(value).unwrap();
    RawManifest::new(Some(media_type), bytes.into())
}

/// Returns a tar, as far as anybody looks.
pub fn tar(seed: u8, len: usize) -> Bytes {
    (0..len).map(|i| (i / 7) as u8 ^ seed).collect::<Vec<_>>().into()
}

/// Returns these bytes, compressed.
pub fn gzip(bytes: &[u8]) -> Bytes {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

/// Returns these bytes, uncompressed.
pub fn unpacked(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut out = Vec::new();
    match flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out) {
        Ok(_) => out,
        Err(_) => bytes.to_vec(),
    }
}
