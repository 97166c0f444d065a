//! `--lock` and `--locked`: which digest every tag of a selection led to, and that selection again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use skopeo_copy::Retry;
use skopeo_image::{Digest, Reference, Which, go_json};
use skopeo_sync::select::Filter;
use skopeo_transport::ImageName;

use super::goals::Image;
use super::outcome::Entry;
use super::source::{Found, Group, Origin, Tags};
use crate::{files, go, retry};

/// The version of the file: grows if a field changes its meaning or goes.
const VERSION: u32 = 1;

/// What the file says it is.
const KIND: &str = "skopeo-sync-lock";

/// The longest file that is read, in bytes.
const LONGEST: usize = 1 << 28;

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

/// Writes the file.
///
/// # Errors
/// If it cannot be written, or an image is in no registry: nothing else can be asked for a digest.
pub(super) fn write(path: &Path, images: BTreeMap<String, Digest>) -> Result<()> {
    let images = images.into_iter().map(|(source, digest)| Locked { source, digest });
    let file = File { kind: KIND.to_owned(), version: VERSION, images: images.collect() };
    let mut json = go_json::to_vec_indent(&file, "", "    ")?;
    json.push(b'\n');
    files::replace(path, &json)
}

/// The digests of a run that went well.
pub(super) fn of_run(images: &[Entry]) -> BTreeMap<String, Digest> {
    let digest = |image: &Entry| Some((image.source.clone()?, image.source_digest.clone()?));
    images.iter().filter_map(digest).collect()
}

/// The digests of a dry run: the sources are asked.
///
/// # Errors
/// If one does not tell.
pub(super) async fn asked(images: &[Image], retry: Retry) -> Result<BTreeMap<String, Digest>> {
    let digest = |image: &Image| {
        let (name, options) = (image.from.clone(), image.options.clone());
        async move {
            let digest = retry::with(retry, async || {
                let source = skopeo_transport::open(&name, &options).await?;
                if let Some(head) = source.head().await? {
                    return Ok(head.digest);
                }
                Ok(source.manifest(&Which::Top).await?.digest()?)
            });
            let digest =
                digest.await.with_context(|| format!("asking for the digest of {name}"))?;
            anyhow::Ok((name.to_string(), digest))
        }
    };
    let digests: Vec<_> = images.iter().map(digest).collect();
    stream::iter(digests).buffer_unordered(ASKED).try_collect().await
}

/// Refuses what cannot be locked.
///
/// # Errors
/// If an image is in no registry.
pub(super) fn check(groups: &[Group]) -> Result<()> {
    let images = groups.iter().flat_map(|group| &group.images);
    match images.into_iter().find(|image| matches!(image.origin, Origin::Label(_))) {
        Some(image) => bail!("--lock is for images of registries, which {} is not", image.name),
        None => Ok(()),
    }
}

/// The file of `--locked`: what there is to copy, whatever tags lead to now.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    images: Vec<(Reference, Digest)>,
}

impl Lock {
    /// # Errors
    /// If the file cannot be read, or is none of its kind.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = go::quote(&path.to_string_lossy());
        let bytes = go::read_at_most(path, LONGEST).with_context(|| format!("reading {file}"))?;
        let none = || format!("{file} is no file of --lock");
        // Never as a tree of values: that takes many times the memory.
        let head: Head = serde_json::from_slice(&bytes).with_context(none)?;
        match (head.kind.as_str(), head.version) {
            (KIND, version) if version == u64::from(VERSION) => {}
            (KIND, version) if version > 0 => {
                bail!("{file} is of version {version}, and only {VERSION} is known")
            }
            _ => bail!(none()),
        }
        let read: File = serde_json::from_slice(&bytes).with_context(none)?;
        let images = read.images.into_iter().map(|Locked { source, digest }| {
            let name = source.strip_prefix("docker://").map(Reference::parse_normalized);
            match name {
                Some(Ok(Reference { digest: Some(own), .. })) if own != digest => {
                    bail!("{file}: {} is not {digest}", go::quote(&source))
                }
                Some(Ok(reference)) if !reference.is_name_only() => Ok((reference, digest)),
                _ => bail!("{file}: {} is no image of a registry", go::quote(&source)),
            }
        });
        Ok(Self { path: path.to_owned(), images: images.collect::<Result<_>>()? })
    }

    /// The repositories of a registry in whose names the expression matches somewhere.
    ///
    /// # Errors
    /// If the expression is none.
    pub(super) fn repositories(
        &self,
        host: &str,
        matching: Option<&str>,
    ) -> Result<Vec<Reference>> {
        let filter = Filter::new(matching.as_slice(), &[], None)?;
        let names = self.images.iter().map(|(image, _)| &image.name);
        let names = names.filter(|name| name.domain() == host && filter.judge(name.path()).is_ok());
        let names: std::collections::BTreeSet<_> = names.cloned().collect();
        Ok(names.into_iter().map(Reference::from).collect())
    }

    /// The images of a repository that are wanted. When they were made is not asked again.
    ///
    /// # Errors
    /// If one that was named is not in the file.
    pub(super) fn found(&self, repository: &Reference, tags: &Tags) -> Result<Vec<Found>> {
        let of_it = self.images.iter().filter(|(image, _)| image.name == repository.name);
        let of_it: Vec<_> = of_it.collect();
        let wanted: Vec<&(Reference, Digest)> = match tags {
            Tags::Named(names) => {
                let find = |name: &Reference| {
                    of_it.iter().copied().find(|(image, _)| image == name).with_context(|| {
                        let file = go::quote(&self.path.to_string_lossy());
                        format!("docker://{name} is not in {file}: it has to be locked first")
                    })
                };
                names.iter().map(find).collect::<Result<_>>()?
            }
            Tags::Listed(choice) => {
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
    pub(super) fn check(&self, groups: &[Group]) -> Result<()> {
        let found = groups.iter().flat_map(|group| &group.images);
        let found: std::collections::HashSet<_> = found
            .filter_map(|image| match &image.origin {
                Origin::Reference(reference) => Some(reference),
                Origin::Label(_) => None,
            })
            .collect();
        match self.images.iter().find(|(image, _)| !found.contains(image)) {
            Some((image, _)) => bail!(
                "{} names docker://{image}, which is not among what is to be synced",
                go::quote(&self.path.to_string_lossy())
            ),
            None => Ok(()),
        }
    }
}
