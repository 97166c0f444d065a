//! Which digest every tag of a selection led to, and that selection again.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use skopeo_copy::Retry;
use skopeo_image::go::quote;
use skopeo_image::{Digest, Reference, Which, go_json};
use skopeo_transport::ImageName;

use crate::found::{Found, Group, Origin, TagSet};
use crate::report::Entry;
use crate::select::Filter;
use crate::task::SyncTask;
use crate::transports::Transports;
use crate::{Context as _, Error, Result, retry};

/// The version of the file: grows if a field changes its meaning or goes.
const VERSION: u32 = 1;

/// What the file says it is.
const KIND: &str = "skopeo-sync-lock";

/// How many images are asked for their digests at once.
const ASKED: usize = 32;

#[derive(Debug, Serialize, Deserialize)]
struct File {
    kind: String,
    version: u32,
    /// In the order of their names.
    images: Vec<Locked>,
}

/// The beginning of a file: what it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    kind: String,
    version: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Locked {
    /// `docker://REPOSITORY:TAG`.
    source: String,
    digest: Digest,
}

/// The digest that each source's name led to, by these names.
pub type Digests = BTreeMap<String, Digest>;

/// Returns these digests as they are written to a file.
///
/// # Errors
/// If it cannot be JSON.
pub fn to_bytes(images: Digests) -> Result<Vec<u8>> {
    let images = images.into_iter().map(|(source, digest)| Locked { source, digest });
    let file = File { kind: KIND.to_owned(), version: VERSION, images: images.collect() };
    let mut json = go_json::to_vec_indent(&file, "", "    ")?;
    json.push(b'\n');
    Ok(json)
}

/// The digests of a run that went well.
pub(crate) fn of_run(images: &[Entry]) -> Digests {
    let digest = |image: &Entry| Some((image.source.clone()?, image.source_digest.clone()?));
    images.iter().filter_map(digest).collect()
}

/// The digests of a dry run: the sources are asked.
///
/// # Errors
/// If one does not tell.
pub(crate) async fn asked(
    images: &[SyncTask],
    retry: Retry,
    transports: &dyn Transports,
) -> Result<Digests> {
    let digest = |image: &SyncTask| {
        let (name, options) = (image.from.clone(), image.options.clone());
        async move {
            let digest = retry::with(retry, async || {
                let source = transports.open(&name, &options).await?;
                if let Some(head) = source.head().await? {
                    return Ok(head.digest);
                }
                Ok(source.manifest(&Which::Top).await?.digest()?)
            });
            let digest =
                digest.await.with_context(|| format!("asking for the digest of {name}"))?;
            Ok::<_, Error>((name.to_string(), digest))
        }
    };
    let digests: Vec<_> = images.iter().map(digest).collect();
    stream::iter(digests).buffer_unordered(ASKED).try_collect().await
}

/// Refuses what cannot be locked.
///
/// # Errors
/// If an image is in no registry.
pub(crate) fn check(groups: &[Group]) -> Result<()> {
    let images = groups.iter().flat_map(|group| &group.images);
    match images.into_iter().find(|image| matches!(image.origin, Origin::Label(_))) {
        Some(image) => {
            let name = &image.name;
            Err(Error::refused(format!(
                "--lock works for images in registries, and {name} is not in one"
            )))
        }
        None => Ok(()),
    }
}

/// What there is to copy, whatever tags lead to now.
#[derive(Debug)]
pub struct Lock {
    /// As the file is called in errors.
    file: String,
    images: Vec<(Reference, Digest)>,
}

impl Lock {
    /// The longest file that is worth reading, in bytes.
    pub const LONGEST: usize = 1 << 28;

    /// Reads what [`to_bytes`] has made; errors call it `file`.
    ///
    /// # Errors
    /// If it is not a lock file.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self> {
        let none = || format!("{file} is no file of --lock");
        // Never as a tree of values: that takes many times the memory.
        let head: Head = serde_json::from_slice(bytes).with_context(none)?;
        match (head.kind.as_str(), head.version) {
            (KIND, version) if version == u64::from(VERSION) => {}
            (KIND, version) if version > 0 => {
                return Err(Error::refused(format!(
                    "{file} is of version {version}, and only {VERSION} is known"
                )));
            }
            _ => return Err(Error::refused(none())),
        }
        let read: File = serde_json::from_slice(bytes).with_context(none)?;
        let images = read.images.into_iter().map(|Locked { source, digest }| {
            let name = source.strip_prefix("docker://").map(Reference::parse_normalized);
            match name {
                Some(Ok(Reference { digest: Some(own), .. })) if own != digest => {
                    Err(Error::refused(format!("{file}: {} is not {digest}", quote(&source))))
                }
                Some(Ok(reference)) if !reference.is_name_only() => Ok((reference, digest)),
                _ => Err(Error::refused(format!(
                    "{file}: {} is no image of a registry",
                    quote(&source)
                ))),
            }
        });
        Ok(Self { images: images.collect::<Result<_>>()?, file: file.to_owned() })
    }

    /// The repositories of a registry in whose names the expression matches somewhere.
    ///
    /// # Errors
    /// If the expression is not valid.
    pub(crate) fn repositories(
        &self,
        host: &str,
        matching: Option<&str>,
    ) -> Result<Vec<Reference>> {
        let filter = Filter::new(matching.as_slice(), &[], None)?;
        let names = self.images.iter().map(|(image, _)| &image.name);
        let names =
            names.filter(|name| name.domain() == host && filter.evaluate(name.path()).is_ok());
        let names: std::collections::BTreeSet<_> = names.cloned().collect();
        Ok(names.into_iter().map(Reference::from).collect())
    }

    /// The images of a repository that are wanted. When they were made is not asked again.
    ///
    /// # Errors
    /// If one that was named is not in the file.
    pub(crate) fn found(&self, repository: &Reference, tags: &TagSet) -> Result<Vec<Found>> {
        let of_it = self.images.iter().filter(|(image, _)| image.name == repository.name);
        let of_it: Vec<_> = of_it.collect();
        let wanted: Vec<&(Reference, Digest)> = match tags {
            TagSet::Named(names) => {
                let find = |name: &Reference| {
                    of_it.iter().copied().find(|(image, _)| image == name).with_context(|| {
                        let file = &self.file;
                        format!("docker://{name} is not in {file}: it has to be locked first")
                    })
                };
                names.iter().map(find).collect::<Result<_>>()?
            }
            TagSet::Listed(choice) => {
                let tags = of_it.iter().filter_map(|(image, _)| image.tag.clone());
                let kept = choice.by_words(tags).kept;
                let kept: std::collections::HashSet<_> = kept.iter().map(|(tag, _)| tag).collect();
                let is_kept =
                    |image: &Reference| image.tag.as_ref().is_some_and(|tag| kept.contains(tag));
                of_it.into_iter().filter(|(image, _)| is_kept(image)).collect()
            }
        };
        let found = wanted.into_iter().map(|(image, digest)| {
            let exactly = Reference::with_digest(image.name.clone(), digest.clone());
            Ok(Found {
                name: ImageName::docker(exactly)?,
                origin: Origin::Reference(image.clone()),
            })
        });
        found.collect()
    }

    /// Refuses to leave out what is in the file.
    ///
    /// # Errors
    /// If an image of the file is not among what was found.
    pub(crate) fn check(&self, groups: &[Group]) -> Result<()> {
        let found = groups.iter().flat_map(|group| &group.images);
        let found: std::collections::HashSet<_> = found
            .filter_map(|image| match &image.origin {
                Origin::Reference(reference) => Some(reference),
                Origin::Label(_) => None,
            })
            .collect();
        match self.images.iter().find(|(image, _)| !found.contains(image)) {
            Some((image, _)) => Err(Error::refused(format!(
                "{} names docker://{image}, which is not among what is to be synced",
                self.file
            ))),
            None => Ok(()),
        }
    }
}
