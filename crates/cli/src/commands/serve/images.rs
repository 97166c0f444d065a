//! Images in a folder of `dir:` images or in an archive, for `serve`.

use std::collections::HashMap;
use std::{fmt, io};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use serde_json::json;
use skopeo_blob::{Blob, ByteStream};
use skopeo_image::number::wide;
use skopeo_image::{Descriptor, Digest, Links, RawManifest, Which};
use skopeo_server::Content;
use skopeo_transport::{CollectionKind, Held, ImageName, Options, Source};
use tokio::runtime::Handle;

/// The images of a place. Manifests are kept, blobs are read when they are asked for.
pub(super) struct Images {
    index: Vec<u8>,
    manifests: HashMap<Digest, Bytes>,
    /// What is said of each blob, and an image that has it.
    blobs: HashMap<Digest, (Descriptor, usize)>,
    /// The images, open: what it takes to open one must not be had for a request.
    sources: Vec<Box<dyn Source>>,
    runtime: Handle,
}

impl Images {
    /// Reads the manifests of all images in a place of the first of these kinds that it is.
    ///
    /// # Errors
    /// If the place, or an image in it, cannot be read: what is wrong with it as the first kind.
    pub(super) async fn read(
        kinds: &[CollectionKind],
        place: &str,
        options: Options,
    ) -> Result<Self> {
        let mut wrong = None;
        for kind in kinds {
            match skopeo_transport::held(*kind, place, &options).await {
                Ok(held) => return Self::of(held, &options).await,
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
        Err(wrong.map_or_else(|| anyhow!("its format is not known"), Into::into))
    }

    async fn of(held: Vec<Held>, options: &Options) -> Result<Self> {
        let mut images = Self {
            index: Vec::new(),
            manifests: HashMap::new(),
            blobs: HashMap::new(),
            sources: Vec::new(),
            runtime: Handle::current(),
        };
        let mut entries = Vec::new();
        for Held { name, label } in held {
            let top =
                images.add(&name, options).await.with_context(|| format!("reading {name}"))?;
            entries.push(json!({
                "mediaType": top.media_type.as_str(),
                "digest": top.digest()?.as_str(),
                "size": top.bytes.len(),
                "annotations": { "org.opencontainers.image.ref.name": label },
            }));
        }
        images.index = json!({ "schemaVersion": 2, "manifests": entries }).to_string().into_bytes();
        Ok(images)
    }

    /// Reads the manifests of an image, those of a list included as far as they are there.
    async fn add(&mut self, name: &ImageName, options: &Options) -> Result<RawManifest> {
        let source = skopeo_transport::open(name, options).await?;
        let top = source.manifest(&Which::Top).await?;
        let number = self.sources.len();
        let mut waiting = vec![top.clone()];
        while let Some(manifest) = waiting.pop() {
            let digest = manifest.digest()?;
            if self.manifests.insert(digest, manifest.bytes.clone()).is_some() {
                continue;
            }
            let links = Links::parse(&manifest)?;
            for blob in links.blobs {
                self.blobs.entry(blob.digest.clone()).or_insert((blob, number));
            }
            for child in links.manifests {
                if let Some(manifest) = instance(&*source, &child).await {
                    waiting.push(manifest);
                }
            }
        }
        self.sources.push(source);
        Ok(top)
    }
}

/// An instance of a list, if it is there.
async fn instance(source: &dyn Source, child: &Descriptor) -> Option<RawManifest> {
    let manifest = source.manifest(&Which::Instance(child.digest.clone())).await.ok()?;
    Some(RawManifest::new(Some(child.media_type.clone()), manifest.bytes))
}

impl Content for Images {
    fn index(&self) -> Vec<u8> {
        self.index.clone()
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        let manifest = self.manifests.get(digest).map(|bytes| wide(bytes.len()));
        manifest.or_else(|| self.blobs.get(digest)?.0.size)
    }

    fn manifest(&self, digest: &Digest) -> Option<Bytes> {
        self.manifests.get(digest).cloned()
    }

    fn rest(&self, digest: &Digest, from: u64) -> io::Result<Option<ByteStream>> {
        let Some((blob, number)) = self.blobs.get(digest) else { return Ok(None) };
        let source = self.sources.get(*number).ok_or(io::ErrorKind::NotFound)?;
        let rest = self.runtime.block_on(source.blob_from(blob, from)).map_err(io::Error::other)?;
        // Who asks for a part has the others, and compares the digest of all.
        Ok(rest.map(|rest| rest.into_unverified_stream()))
    }

    fn blob(&self, digest: &Digest) -> io::Result<ByteStream> {
        if let Some(manifest) = self.manifests.get(digest) {
            return Ok(Blob::of_bytes(manifest.clone()).into_stream());
        }
        let (blob, number) = self.blobs.get(digest).ok_or(io::ErrorKind::NotFound)?;
        let source = self.sources.get(*number).ok_or(io::ErrorKind::NotFound)?;
        let bytes = self.runtime.block_on(source.blob(blob)).map_err(io::Error::other)?;
        Ok(bytes.expect(&blob.digest, blob.size).into_stream())
    }
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.sources.iter().map(|source| source.name().to_string());
        f.debug_struct("Images").field("names", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}
