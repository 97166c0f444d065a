//! An image small enough to look at.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use skopeo_blob::{Blob, Encoder, Recode, Unverified, recode};
use skopeo_image::{Descriptor, Digest, MediaType, RawManifest, Which};
use skopeo_transport::{Destination, Error, How, Role, Source};

/// A config, some layers and the manifest that names them.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) config: Bytes,
    pub(crate) layers: Vec<Bytes>,
    pub(crate) manifest: RawManifest,
}

impl Sample {
    /// An image of its own for each seed; layers are of some hundred KiB.
    pub(crate) fn new(seed: u32) -> Self {
        let config =
            format!("{{\"architecture\":\"amd64\",\"os\":\"linux\",\"author\":\"{seed}\"}}");
        let layer = |n: u32| -> Bytes {
            let len = 200_000 * n + 17;
            (0..len).map(|i| (i.wrapping_mul(seed + n) >> 7) as u8).collect()
        };
        Self::of(config.into(), vec![layer(1), layer(2)])
    }

    /// The same with layers that are gzip, as they should be.
    pub(crate) async fn gzipped(seed: u32) -> Self {
        let plain = Self::new(seed);
        let mut layers = Vec::new();
        for layer in &plain.layers {
            let gzip = Recode::Compress { to: Encoder::Gzip { level: None } };
            let pieces: Vec<Bytes> =
                recode(blob(layer), gzip).into_stream().try_collect().await.unwrap();
            layers.push(pieces.concat().into());
        }
        Self::of(plain.config, layers)
    }

    /// The same with layers that are tars.
    pub(crate) fn of_tars(seed: u32) -> Self {
        let plain = Self::new(seed);
        let tar = |(number, bytes): (usize, &Bytes)| -> Bytes {
            let name = format!("file-{number}");
            skopeo_testkit::Tar::new().folder("etc/").file(&name, bytes).end().into()
        };
        let layers = plain.layers.iter().enumerate().map(tar).collect();
        Self::of(plain.config, layers)
    }

    pub(crate) fn of(config: Bytes, layers: Vec<Bytes>) -> Self {
        let describe = |media_type: &MediaType, bytes: &Bytes| {
            format!(
                "{{\"mediaType\":\"{media_type}\",\"digest\":\"{}\",\"size\":{}}}",
                Digest::sha256(bytes),
                bytes.len()
            )
        };
        let described: Vec<String> =
            layers.iter().map(|layer| describe(&MediaType::OCI_LAYER_GZIP, layer)).collect();
        let text = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"config\":{},\"layers\":[{}]}}",
            MediaType::OCI_MANIFEST,
            describe(&MediaType::OCI_CONFIG, &config),
            described.join(",")
        );
        let manifest = RawManifest { media_type: MediaType::OCI_MANIFEST, bytes: text.into() };
        Self { config, layers, manifest }
    }

    /// An index of images, which must be put as instances.
    pub(crate) fn index(instances: &[Self]) -> RawManifest {
        let instances: Vec<String> = instances
            .iter()
            .map(|sample| {
                format!(
                    "{{\"mediaType\":\"{}\",\"digest\":\"{}\",\"size\":{}}}",
                    MediaType::OCI_MANIFEST,
                    sample.digest(),
                    sample.manifest.bytes.len()
                )
            })
            .collect();
        let text = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[{}]}}",
            MediaType::OCI_INDEX,
            instances.join(",")
        );
        RawManifest { media_type: MediaType::OCI_INDEX, bytes: text.into() }
    }

    /// The same with a manifest in Docker's words.
    pub(crate) fn as_docker(&self) -> Self {
        let text = String::from_utf8_lossy(&self.manifest.bytes)
            .replace(MediaType::OCI_MANIFEST.as_str(), MediaType::DOCKER_MANIFEST.as_str())
            .replace(MediaType::OCI_CONFIG.as_str(), MediaType::DOCKER_CONFIG.as_str())
            .replace(MediaType::OCI_LAYER_GZIP.as_str(), MediaType::DOCKER_LAYER_GZIP.as_str());
        let media_type = MediaType::DOCKER_MANIFEST;
        Self { manifest: RawManifest { media_type, bytes: text.into() }, ..self.clone() }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::sha256(&self.manifest.bytes)
    }

    /// All blobs with their roles, the config last, as a copy puts them.
    pub(crate) fn blobs(&self) -> Vec<(Bytes, Role)> {
        let layers = self.layers.iter().cloned().enumerate();
        let layers = layers.map(|(at, layer)| (layer, Role::Layer(at)));
        layers.chain([(self.config.clone(), Role::Config)]).collect()
    }

    pub(crate) async fn put_blobs(&self, to: &dyn Destination) -> Result<(), Error> {
        for (bytes, role) in self.blobs() {
            let stored = to.put_blob(blob(&bytes), role).await?;
            assert_eq!((stored.digest, stored.size), (Digest::sha256(&bytes), bytes.len() as u64));
            assert!(matches!(stored.how, How::Moved | How::Present));
        }
        Ok(())
    }

    /// Writes all of it and gives it the destination's name.
    pub(crate) async fn put(&self, to: Box<dyn Destination>) -> Result<(), Error> {
        self.put_blobs(&*to).await?;
        to.put_manifest(&self.manifest, &Which::Top).await.unwrap();
        to.commit(&self.manifest).await
    }

    /// Asserts that a source has all of it, byte for byte.
    pub(crate) async fn assert_in(&self, source: &dyn Source, which: &Which) {
        assert_eq!(source.manifest(which).await.unwrap(), self.manifest);
        for (bytes, _) in self.blobs() {
            let read = source.blob(&descriptor(&bytes)).await.unwrap();
            let read = read.expect(&Digest::sha256(&bytes), Some(bytes.len() as u64));
            let pieces: Vec<Bytes> = read.into_stream().try_collect().await.unwrap();
            assert!(pieces.concat() == bytes);
        }
    }
}

pub(crate) fn descriptor(bytes: &Bytes) -> Descriptor {
    Descriptor {
        media_type: MediaType::OCI_LAYER_GZIP,
        digest: Digest::sha256(bytes),
        size: Some(bytes.len() as u64),
        urls: Vec::new(),
        annotations: Default::default(),
    }
}

/// The bytes as a source would give them, in pieces.
pub(crate) fn blob(bytes: &Bytes) -> Blob {
    unverified(bytes).expect(&Digest::sha256(bytes), Some(bytes.len() as u64))
}

pub(crate) fn unverified(bytes: &Bytes) -> Unverified {
    let pieces: Vec<_> =
        bytes.chunks(70_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Unverified::new(stream::iter(pieces).boxed(), Some(bytes.len() as u64))
}
