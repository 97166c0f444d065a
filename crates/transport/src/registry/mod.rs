//! `docker:`: images in registries.
//!
//! An adapter over the registry client: it knows which endpoint to ask, with which credentials and
//! certificates, and where signatures lie. Reading goes through mirrors; writing, deleting and
//! listing tags go to the place that the name itself says.

mod attachments;
mod bundles;
mod connections;
mod destination;
mod error;
mod foreign;
mod kept;
mod lacking;
mod ledger;
mod lookaside;
mod mirrors;
mod name;
mod referrers;
mod source;
mod untag;

use skopeo_config::signatures::Access;
use skopeo_image::{Digest, RawManifest};
use skopeo_registry::Repository;

use crate::{Error, Options};

pub use connections::Connections;
pub(crate) use connections::{proxies, tls_details};
pub(crate) use destination::create;
pub use error::{DeletionError, DockerError};
pub(crate) use foreign::elsewhere;
pub use ledger::{KnownBlob, KnownTag, Ledger, OpenUpload};
pub(crate) use name::scopes;
pub use name::{DockerName, DockerNameError};
pub(crate) use source::open;
pub use untag::Untagged;
pub(crate) use untag::{retag, siblings, untag};

use lookaside::Lookaside;
use name::{same_registry, tag_or_digest};

/// All tags of a name's repository, in the registry's order.
pub(crate) async fn tags(name: &DockerName, options: &Options) -> Result<Vec<String>, Error> {
    Ok(place(name, options).await?.tags().await?)
}

/// All repositories of a host, in its own order.
pub(crate) async fn repositories(host: &str, options: &Options) -> Result<Vec<String>, Error> {
    let insecure = options.config.registries()?.insecure_host(host)?;
    Ok(options.connections.client(options, host, insecure).await?.catalog().await?)
}

/// The same, and apart from them what can be no tag.
pub(crate) async fn valid_tags(
    name: &DockerName,
    options: &Options,
) -> Result<(Vec<String>, Vec<String>), Error> {
    Ok(place(name, options).await?.valid_tags().await?)
}

/// The digest that a name leads to.
pub(crate) async fn resolve(name: &DockerName, options: &Options) -> Result<Digest, Error> {
    let reference =
        name.tag_or_digest().ok_or_else(|| DockerError::ReadingUntagged(name.to_string()))?;
    digest_of(&place(name, options).await?, reference).await
}

async fn digest_of(repository: &Repository, reference: &str) -> Result<Digest, Error> {
    match repository.head_manifest(reference).await?.digest {
        Some(digest) => Ok(digest),
        // Not every registry says it.
        None => Ok(raw(repository.manifest(reference).await?.manifest).digest()?),
    }
}

/// Deletes the manifest that a name leads to, with every other tag of it and its signatures.
pub(crate) async fn delete(name: &DockerName, options: &Options) -> Result<(), Error> {
    let reference = name.tag_or_digest().ok_or(DeletionError::DeletingUntagged)?;
    let lookaside = Lookaside::new(&options.config, name.reference(), Access::Write)?;
    let repository = place(name, options).await?;
    let deleting = |source| DeletionError::Deleting {
        reference: name.whole().to_string(),
        source: Box::new(without_context(source)),
    };
    let fetched = match repository.manifest(reference).await {
        Err(error) if error.status() == Some(404) => {
            return Err(DeletionError::NothingToDelete(name.whole().to_string()).into());
        }
        fetched => fetched.map_err(deleting)?,
    };
    let digest = raw(fetched.manifest).digest()?;
    mirrors::look_at_tag(name, &repository, &digest, options).await;
    options.connections.ledger().forget_tags(&name.reference.name);
    repository.delete_manifest(&digest).await.map_err(deleting)?;
    lookaside.delete_from(&digest, 1)
}

/// The repository that a name itself leads to, whatever mirrors there are.
async fn place(name: &DockerName, options: &Options) -> Result<Repository, Error> {
    let endpoint = options.config.registries()?.primary(name.reference())?;
    options.connections.repository(options, &endpoint, name.reference()).await
}

/// A manifest as it came from a registry, its type guessed where the registry says nothing useful.
fn raw(manifest: RawManifest) -> RawManifest {
    RawManifest::new(Some(manifest.media_type), manifest.bytes)
}

/// The error without what the client says about why it asked, where we say it ourselves.
fn without_context(error: skopeo_registry::Error) -> skopeo_registry::Error {
    match error {
        skopeo_registry::Error::Doing { source, .. } => *source,
        error => error,
    }
}
