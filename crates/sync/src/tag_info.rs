//! What there is to know of tags: asked for in parallel, and of each digest once.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use skopeo_image::{
    Descriptor, Digest, ImageManifest, Instance, MAX_CONFIG_SIZE, Manifest, MediaType, Platform,
    RawManifest, Reference, Timestamp, Which,
};
use skopeo_transport::{ImageName, Options, Source};
use tokio::sync::OnceCell;
use tracing::debug;

use crate::transports::{Real, Transports};
use crate::{Context as _, Error, Result};

/// How many tags are asked about at once.
const AT_ONCE: usize = 8;

/// What is known of the image that a tag leads to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagInfo {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The type of its manifest.
    pub media_type: MediaType,
    /// When it was made: of a list, the image that is right for this machine, or else its first.
    pub created: Option<Timestamp>,
    /// Bytes of that image's config and layers, as they are sent.
    pub size: Option<u64>,
    /// The platforms that it is for.
    pub platforms: Vec<String>,
}

/// Asks about the tags of one repository.
pub struct TagQuery<'a> {
    transports: &'a dyn Transports,
    repository: &'a Reference,
    options: &'a Options,
    platforms: Vec<Platform>,
    known: Mutex<HashMap<Digest, Arc<OnceCell<TagInfo>>>>,
}

impl fmt::Debug for TagQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TagQuery").field("repository", self.repository).finish_non_exhaustive()
    }
}

impl<'a> TagQuery<'a> {
    /// Returns a reader of this repository; `platforms` are those that serve, best first.
    pub fn new(repository: &'a Reference, options: &'a Options, platforms: Vec<Platform>) -> Self {
        Self { transports: &Real, repository, options, platforms, known: Mutex::default() }
    }

    /// Asks by these ways.
    pub(crate) fn through(self, transports: &'a dyn Transports) -> Self {
        Self { transports, ..self }
    }

    /// Returns what is known of each of these tags, in their order; an error is that of one tag.
    pub async fn all(&self, tags: &[String]) -> Vec<Result<TagInfo>> {
        // Collected first: what borrows in a stream's closure is not `Send`.
        let asked: Vec<_> = tags.iter().map(|tag| self.one(tag)).collect();
        stream::iter(asked).buffered(AT_ONCE).collect().await
    }

    async fn one(&self, tag: &str) -> Result<TagInfo> {
        let name = tagged(self.repository, tag)?;
        let source = self.transports.open(&name, self.options).await?;
        let digest = match source.head().await?.map(|head| head.digest) {
            Some(digest) => digest,
            None => source.manifest(&Which::Top).await?.digest()?,
        };
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(digest.clone()).or_default().clone()
        };
        let facts = cell.get_or_try_init(|| self.read(&*source, digest)).await?;
        Ok(facts.clone())
    }

    async fn read(&self, source: &dyn Source, digest: Digest) -> Result<TagInfo> {
        let top = source.manifest(&Which::Top).await?;
        let (image, mut platforms) = match top.parse()? {
            Manifest::Image(image) => (Some(image), Vec::new()),
            Manifest::Index(list) => {
                let instances = list.instances();
                let platforms = instances.iter().filter_map(real_platform).map(spelled).collect();
                let first = instances.iter().find(|it| real_platform(it).is_some());
                // A build cache has no image.
                let first = first.or_else(|| instances.iter().find(|it| !it.is_blob()));
                let first = first.map(|it| it.descriptor.digest.clone());
                let chosen = list.choose(&self.platforms).ok().or(first);
                let image = match chosen {
                    Some(digest) => image(source.manifest(&Which::Instance(digest)).await?)?,
                    None => None,
                };
                (image, platforms)
            }
        };
        let (mut created, mut size) = (None, None);
        if let Some(image) = &image {
            size = size_of(image);
            match summary(source, image).await {
                Ok((time, platform)) => {
                    created = time;
                    if platforms.is_empty() {
                        platforms.extend(platform);
                    }
                }
                // An artifact has no config that could be read.
                Err(error) => debug!("reading the config of {digest}: {}", error.sentence()),
            }
        }
        Ok(TagInfo { digest, media_type: top.media_type, created, size, platforms })
    }
}

/// Returns the name of the image of that tag.
///
/// # Errors
/// If it is no tag.
pub fn tagged(repository: &Reference, tag: &str) -> Result<ImageName> {
    let reference = Reference { tag: Some(tag.to_owned()), digest: None, ..repository.clone() };
    Ok(ImageName::docker(reference)?)
}

/// Returns the digest that each of these tags leads to at the registry itself, whatever mirrors
/// there are; none for a tag that is gone.
///
/// # Errors
/// The first.
pub async fn digests(
    repository: &Reference,
    options: &Options,
    tags: &[String],
) -> Result<Vec<Option<Digest>>> {
    let ask = async |tag: &String| -> Result<Option<Digest>> {
        match skopeo_transport::resolve(&tagged(repository, tag)?, options).await {
            Ok(digest) => Ok(Some(digest)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    let asked: Vec<_> = tags.iter().map(ask).collect();
    stream::iter(asked).buffered(AT_ONCE).try_collect().await
}

/// Returns the manifests that these manifests of one repository list: what has to stay with them.
///
/// # Errors
/// The first.
pub async fn instances(
    repository: &Reference,
    options: &Options,
    digests: impl IntoIterator<Item = Digest>,
) -> Result<HashSet<Digest>> {
    let ask = async |digest: Digest| -> Result<Vec<Digest>> {
        let name = Reference { tag: None, digest: Some(digest), ..repository.clone() };
        let source = skopeo_transport::open(&ImageName::docker(name)?, options).await?;
        Ok(match source.manifest(&Which::Top).await?.parse()? {
            Manifest::Image(_) => Vec::new(),
            Manifest::Index(list) => {
                list.instances().into_iter().map(|it| it.descriptor.digest).collect()
            }
        })
    };
    let asked: Vec<_> = digests.into_iter().map(ask).collect();
    let found: Vec<Vec<Digest>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

fn image(manifest: RawManifest) -> Result<Option<ImageManifest>> {
    Ok(match manifest.parse()? {
        Manifest::Image(image) => Some(image),
        Manifest::Index(_) => None,
    })
}

/// What an instance is built for; attestations say `unknown`.
fn real_platform(instance: &Instance) -> Option<&Platform> {
    instance.platform.as_ref().filter(|it| it.os != "unknown" || it.architecture != "unknown")
}

fn spelled(platform: &Platform) -> String {
    let parts = [&platform.os, &platform.architecture, &platform.variant];
    let parts: Vec<&str> =
        parts.into_iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
    parts.join("/")
}

/// Bytes of the config and the layers, where the manifest gives all of them.
fn size_of(image: &ImageManifest) -> Option<u64> {
    let layers = image.layers();
    let sizes = layers.iter().map(|layer| layer.blob.size).chain(image.config().map(|it| it.size));
    sizes.into_iter().try_fold(0_u64, |sum, size| sum.checked_add(size?))
}

/// Reads the config of an image.
///
/// # Errors
/// If it cannot be read, is not what its digest says, or is too long.
pub async fn read_config(source: &dyn Source, config: &Descriptor) -> Result<Vec<u8>> {
    let blob = source.blob(config).await?.expect(&config.digest, None);
    let mut stream = blob.into_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(skopeo_transport::Error::from)?);
        if bytes.len() > MAX_CONFIG_SIZE {
            return Err(Error::refused(format!(
                "exceeded maximum allowed size of {MAX_CONFIG_SIZE} bytes"
            )));
        }
    }
    Ok(bytes)
}

async fn summary(
    source: &dyn Source,
    image: &ImageManifest,
) -> Result<(Option<Timestamp>, Option<String>)> {
    let config = match image.config() {
        Some(config) => Some(read_config(source, config).await?),
        None => None,
    };
    let summary = image.summary(config.as_deref()).context("parsing the config")?;
    let platform = Platform::new(&summary.os, &summary.architecture, &summary.variant);
    let created = summary.created.filter(|created| *created != Timestamp::default());
    Ok((created, Some(spelled(&platform)).filter(|text| !text.is_empty())))
}
