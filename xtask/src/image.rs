//! Images made on the spot, as OCI layouts (OCI image specification, "Image Layout").

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use skopeo_image::{Algorithm, Digest, Hasher};

/// A folder that is being filled with blobs.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    tagged: Vec<Value>,
}

/// A gzip layer in the layout.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    descriptor: Value,
    diff_id: Digest,
}

impl Layout {
    pub(crate) fn create(root: &Path) -> Result<Self> {
        fs_err::create_dir_all(root.join("blobs/sha256"))?;
        fs_err::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self { root: root.to_owned(), tagged: Vec::new() })
    }

    /// A layer that holds the given files under the given names.
    pub(crate) fn layer_of_files(&self, files: &[(&str, &Path)]) -> Result<Layer> {
        self.layer_of_files_at(Compression::default(), files)
    }

    /// The same, packed so well.
    pub(crate) fn layer_of_files_at(
        &self,
        level: Compression,
        files: &[(&str, &Path)],
    ) -> Result<Layer> {
        self.layer(level, |tar| {
            for (name, path) in files {
                tar.append_path_with_name(path, name)
                    .with_context(|| format!("adding {}", path.display()))?;
            }
            Ok(())
        })
    }

    /// A layer of about `size` bytes that no compressor makes smaller, the same for the same seed.
    #[cfg(feature = "bench")]
    pub(crate) fn layer_of_noise(&self, seed: u64, size: u64) -> Result<Layer> {
        self.layer(Compression::none(), |tar| {
            let mut header = tar::Header::new_gnu();
            header.set_size(size);
            header.set_mode(0o644);
            header.set_cksum();
            let noise = Noise { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 };
            Ok(tar.append_data(&mut header, "noise", io::Read::take(noise, size))?)
        })
    }

    /// A layer of files of up to 8 kB, a hundred in a folder.
    #[cfg(feature = "bench")]
    pub(crate) fn layer_of_small_files(&self, count: u64) -> Result<Layer> {
        self.layer(Compression::default(), |tar| {
            for number in 0..count {
                let size = number * 37 % 8000;
                let mut header = tar::Header::new_gnu();
                header.set_size(size);
                header.set_mode(0o644);
                header.set_mtime(1_700_000_000);
                let name = format!("tree/{}/{number}", number / 100);
                let noise = Noise { state: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 };
                tar.append_data(&mut header, name, io::Read::take(noise, size))?;
            }
            Ok(())
        })
    }

    fn layer(
        &self,
        level: Compression,
        fill: impl FnOnce(&mut tar::Builder<Tee<GzEncoder<Tee<fs_err::File>>>>) -> Result<()>,
    ) -> Result<Layer> {
        let beside = self.root.join("layer.tmp");
        let packed = Tee::new(fs_err::File::create(&beside)?);
        let mut tar = tar::Builder::new(Tee::new(GzEncoder::new(packed, level)));
        fill(&mut tar)?;
        let plain = tar.into_inner()?;
        let diff_id = plain.hasher.finish();
        let packed = plain.inner.finish()?;
        let (digest, size) = (packed.hasher.finish(), packed.length);
        fs_err::rename(&beside, self.blob_path(&digest))?;
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": size});
        Ok(Layer { descriptor, diff_id })
    }

    /// An image for linux on `architecture`; gives its descriptor with the platform in it.
    pub(crate) fn image(&self, architecture: &str, layers: &[Layer]) -> Result<Value> {
        let run = json!({"Cmd": ["/skopeo", "--help"], "Labels": {"made.for": architecture}});
        self.image_that(&run, architecture, "2026-01-01T00:00:00Z", layers)
    }

    /// The same with its own `config`: what is run, and how.
    pub(crate) fn image_that(
        &self,
        run: &Value,
        architecture: &str,
        created: &str,
        layers: &[Layer],
    ) -> Result<Value> {
        let config = json!({
            "created": created,
            "architecture": architecture,
            "os": "linux",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids":
                layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>()},
            "history": layers.iter().map(|_| json!({"created_by": "made on the spot"}))
                .collect::<Vec<_>>(),
        });
        let config = self.put(&config, "application/vnd.oci.image.config.v1+json")?;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config,
            "layers": layers.iter().map(|layer| &layer.descriptor).collect::<Vec<_>>(),
        });
        let mut descriptor = self.put(&manifest, media_type)?;
        descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
        Ok(descriptor)
    }

    /// A manifest that hangs on the one of `subject` and holds `bytes`; gives its descriptor.
    #[cfg(feature = "dist")]
    pub(crate) fn referrer(
        &self,
        subject: &Value,
        artifact_type: &str,
        bytes: &[u8],
    ) -> Result<Value> {
        let empty = self.put_bytes(b"{}", "application/vnd.oci.empty.v1+json")?;
        let content = self.put_bytes(bytes, artifact_type)?;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let mut subject = subject.clone();
        if let Some(fields) = subject.as_object_mut() {
            fields.retain(|name, _| ["mediaType", "digest", "size"].contains(&name.as_str()));
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "artifactType": artifact_type,
            "config": empty,
            "layers": [content],
            "subject": subject,
        });
        let mut descriptor = self.put(&manifest, media_type)?;
        descriptor["artifactType"] = json!(artifact_type);
        Ok(descriptor)
    }

    /// Lists manifests in index.json without a name.
    #[cfg(feature = "dist")]
    pub(crate) fn list(&mut self, descriptors: impl IntoIterator<Item = Value>) -> Result<()> {
        self.tagged.extend(descriptors);
        self.write_index()
    }

    /// A layer of what a tar has.
    #[cfg(feature = "dist")]
    pub(crate) fn layer_of_tar(&self, bytes: &[u8]) -> Result<Layer> {
        self.layer(Compression::best(), |tar| Ok(tar.get_mut().write_all(bytes)?))
    }

    /// An index of images.
    pub(crate) fn index(&self, images: &[Value]) -> Result<Value> {
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": images});
        self.put(&index, media_type)
    }

    /// Gives `descriptor` a name in index.json.
    pub(crate) fn tag(&mut self, name: &str, descriptor: Value) -> Result<()> {
        self.tag_all([(name.to_owned(), descriptor)])
    }

    /// Gives many their names at once.
    pub(crate) fn tag_all(
        &mut self,
        named: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<()> {
        self.tagged.extend(named.into_iter().map(|(name, mut descriptor)| {
            descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
            descriptor
        }));
        self.write_index()
    }

    fn write_index(&self) -> Result<()> {
        let index = json!({"schemaVersion": 2, "manifests": self.tagged});
        Ok(fs_err::write(self.root.join("index.json"), index.to_string())?)
    }

    fn put(&self, value: &Value, media_type: &str) -> Result<Value> {
        self.put_bytes(&serde_json::to_vec(value)?, media_type)
    }

    fn put_bytes(&self, bytes: &[u8], media_type: &str) -> Result<Value> {
        let digest = Digest::sha256(bytes);
        fs_err::write(self.blob_path(&digest), bytes)?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }
}

/// Writes on, and knows the digest and length of all that went through.
struct Tee<W> {
    inner: W,
    hasher: Hasher,
    length: u64,
}

impl<W> Tee<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256), length: 0 }
    }
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The xorshift64* generator: not for secrets, quick, and the same everywhere.
#[cfg(feature = "bench")]
struct Noise {
    state: u64,
}

#[cfg(feature = "bench")]
impl io::Read for Noise {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        for piece in bytes.chunks_mut(8) {
            self.state ^= self.state >> 12;
            self.state ^= self.state << 25;
            self.state ^= self.state >> 27;
            let word = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            piece.copy_from_slice(&word[..piece.len()]);
        }
        Ok(bytes.len())
    }
}
