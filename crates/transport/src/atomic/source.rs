//! Reading `atomic:`.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use skopeo_blob::Unverified;
use skopeo_image::{Descriptor, Digest, RawManifest, Signature, Which};
use tokio::sync::OnceCell;

use super::AtomicName;
use super::api::{Api, AtomicError};
use crate::registry::{self, DockerName};
use crate::signature_file::Gathered;
use crate::{Error, Head, ImageName, Options, Source, files};

/// Prepares to read an image. No request is sent yet.
pub(crate) async fn open(name: &AtomicName, options: &Options) -> Result<AtomicSource, Error> {
    Ok(AtomicSource {
        image: ImageName::Atomic(name.clone()),
        api: Api::new(name, options).await?,
        name: name.clone(),
        options: options.clone(),
        found: OnceCell::new(),
    })
}

/// An image of a stream.
pub(crate) struct AtomicSource {
    image: ImageName,
    name: AtomicName,
    api: Api,
    options: Options,
    /// TaggedImage once, so that manifest, signatures and blobs are of one image even if its tag
    /// moves.
    found: OnceCell<TaggedImage>,
}

/// What the tag leads to.
struct TaggedImage {
    /// The image in the registry.
    image: Box<dyn Source>,
    /// What the API knows it by.
    id: String,
}

impl AtomicSource {
    async fn found(&self) -> Result<&TaggedImage, Error> {
        self.found.get_or_try_init(|| self.find()).await
    }

    async fn find(&self) -> Result<TaggedImage, Error> {
        let tagged = self.api.tagged().await?;
        let said = tagged.docker_image_reference;
        // The host is one that only the cluster may know; the user's is the same registry.
        let (_, path) = said.split_once('/').ok_or_else(|| AtomicError::NoSlash(said.clone()))?;
        let host = self.name.reference.name.domain();
        let name = DockerName::parse(&format!("//{host}/{path}"))?;
        let image = Box::new(registry::open(&name, &self.options)?);
        Ok(TaggedImage { image, id: tagged.image })
    }

    async fn image(&self) -> Result<&dyn Source, Error> {
        Ok(&*self.found().await?.image)
    }
}

#[async_trait]
impl Source for AtomicSource {
    fn name(&self) -> &ImageName {
        &self.image
    }

    async fn head(&self) -> Result<Option<Head>, Error> {
        self.image().await?.head().await
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        self.image().await?.manifest(which).await
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        self.image().await?.blob(blob).await
    }

    async fn blob_from(&self, blob: &Descriptor, offset: u64) -> Result<Option<Unverified>, Error> {
        self.image().await?.blob_from(blob, offset).await
    }

    async fn signatures(&self, which: &Which) -> Result<Vec<Signature>, Error> {
        let digest = match which {
            Which::Instance(digest) => digest.clone(),
            Which::Top => {
                let id = &self.found().await?.id;
                // It becomes part of an address.
                id.parse::<Digest>().map_err(|source| {
                    let text = id.chars().take(100).collect::<String>();
                    AtomicError::BadDigest { text: text.escape_debug().to_string(), source }
                })?
            }
        };
        let mut gathered = Gathered::default();
        for kept in self.api.signatures(&digest).await?.into_iter().filter(|it| it.simple) {
            let size = kept.content.len();
            gathered.add(Signature::Simple(kept.content), size)?;
        }
        Ok(gathered.all())
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn concurrency(&self) -> NonZeroUsize {
        files::CONCURRENCY
    }
}
