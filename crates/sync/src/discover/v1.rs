//! What a file of version 1 names.

use std::path::Path;
use std::sync::Arc;

use skopeo_image::go::quote;
use skopeo_image::{Digest, Reference};
use skopeo_transport::{Credentials as Known, Options};
use tracing::{error, info, warn};

use crate::config::v1::{Credentials, Registry, SourceFile};
use crate::found::{CopySpec, TagSet, Wanted, What};
use crate::select::{Choice, Filter};
use crate::{Context as _, Error, Result};

/// What a file of version 1 names, and how many of its names are none. `choice` is among the tags
/// that the file lets through.
///
/// # Errors
/// If it says what makes no sense.
pub(crate) fn wanted(
    file: &SourceFile,
    options: &Arc<Options>,
    choice: &Choice,
    spec: &Arc<CopySpec>,
) -> Result<(Vec<Wanted>, usize)> {
    let mut reading = Reading { choice, spec, wanted: Vec::new(), failed: 0 };
    for (host, registry) in &file.registries.0 {
        if registry.is_empty() {
            warn!(registry = host.as_str(), "No images specified for registry");
            continue;
        }
        let options = Arc::new(of_registry(options, registry));
        for (image, tags) in &registry.images.0 {
            reading.add(host, image, &options, tags.as_deref().map_or(Asked::All, Asked::Named));
        }
        for (image, regex) in &registry.images_by_tag_regex.0 {
            let filter = Filter::new(&[regex], &[], None)
                .with_context(|| format!("images-by-tag-regex of {host}/{image}"))?;
            reading.add(host, image, &options, Asked::Chosen(filter));
        }
        for (image, range) in &registry.images_by_semver.0 {
            let filter = Filter::new::<&str>(&[], &[], Some(range))
                .with_context(|| format!("images-by-semver of {host}/{image}"))?;
            reading.add(host, image, &options, Asked::Chosen(filter));
        }
    }
    Ok((reading.wanted, reading.failed))
}

/// What has been read so far.
struct Reading<'a> {
    choice: &'a Choice,
    spec: &'a Arc<CopySpec>,
    wanted: Vec<Wanted>,
    failed: usize,
}

/// What a file asks of one repository.
enum Asked<'a> {
    All,
    Named(&'a [String]),
    Chosen(Filter),
}

impl Reading<'_> {
    fn add(&mut self, registry: &str, image: &str, options: &Arc<Options>, asked: Asked<'_>) {
        let repository = match repository(registry, image) {
            Ok(repository) => repository,
            Err(problem) => {
                error!(registry, repo = image, "Error parsing repository name, skipping");
                error!("{}", problem.sentence());
                self.failed = self.failed.saturating_add(1);
                return;
            }
        };
        info!(registry, repo = image, "Processing repo");
        let tags = match asked {
            Asked::Named(names) if !names.is_empty() => {
                let references: Vec<_> =
                    names.iter().filter_map(|name| reference(&repository, name)).collect();
                let wrong = names.len().saturating_sub(references.len());
                self.failed = self.failed.saturating_add(wrong);
                TagSet::Named(references)
            }
            Asked::All | Asked::Named(_) => TagSet::Listed(Arc::new(self.choice.clone())),
            Asked::Chosen(filter) => TagSet::Listed(Arc::new(self.choice.clone().within(filter))),
        };
        if let TagSet::Listed(_) = tags {
            info!(registry, repo = image, "Querying registry for image tags");
        }
        let (options, spec) = (options.clone(), self.spec.clone());
        self.wanted.push(Wanted { what: What::Repository(repository, tags), options, spec });
    }
}

/// What it takes to reach a host, of which the file may say something.
pub(crate) fn reaching(file: &SourceFile, options: &Options, host: &str) -> Options {
    match file.registries.0.iter().find(|(known, _)| known == host) {
        Some((_, registry)) => of_registry(options, registry),
        None => options.clone(),
    }
}

/// What it takes to reach a registry: what the file does not say, the flags do.
fn of_registry(options: &Options, registry: &Registry) -> Options {
    let Registry { credentials, tls_verify, cert_dir, .. } = registry;
    reached(options, credentials, *tls_verify, cert_dir.as_deref())
}

/// The options with what a file says of a registry.
pub(crate) fn reached(
    options: &Options,
    credentials: &Credentials,
    tls_verify: Option<bool>,
    cert_dir: Option<&Path>,
) -> Options {
    let mut options = options.clone();
    if tls_verify.is_some() {
        options.registry.tls_verify = tls_verify;
    }
    if let Some(folder) = cert_dir {
        options.registry.cert_dir = Some(folder.to_owned());
    }
    if credentials.are_given() {
        let Credentials { username, password, identitytoken } = credentials;
        options.registry.credentials = Some(match identitytoken {
            Some(token) => Known::IdentityToken(token.clone()),
            None => Known::Basic {
                username: username.clone(),
                password: password.clone().unwrap_or_else(|| String::new().into()),
            },
        });
    }
    options
}

fn repository(host: &str, image: &str) -> Result<Reference> {
    let reference = Reference::parse_normalized(&format!("{host}/{image}"))?;
    if !reference.is_name_only() {
        return Err(Error::refused("input names a reference, not a repository"));
    }
    Ok(reference)
}

/// The image of a tag, a digest, or of `TAG@DIGEST`; another text is skipped alone.
pub(crate) fn reference(repository: &Reference, text: &str) -> Option<Reference> {
    let name = repository.name.clone();
    let reference = match text.parse::<Digest>() {
        Ok(digest) => Ok(Reference::with_digest(name, digest)),
        Err(_) => match text.split_once('@') {
            Some((tag, digest)) => Reference::with_tag(name, tag)
                .and_then(|tagged| Ok(Reference { digest: Some(digest.parse()?), ..tagged })),
            None => Reference::with_tag(name, text),
        },
    };
    match reference {
        Ok(reference) => Some(reference),
        Err(problem) => {
            error!("Error parsing ref {}, skipping", quote(text));
            error!("{problem}");
            None
        }
    }
}
