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
mod referrers;
mod source;
mod untag;

use std::fmt;

use skopeo_config::signatures::Access;
use skopeo_image::{Digest, Named, PolicyScope, RawManifest, Reference};
use skopeo_registry::Repository;

use crate::name::{Name, NameError};
use crate::{Error, ImageName, Options};

pub use connections::Connections;
pub(crate) use connections::{proxies, tls_details};
pub(crate) use destination::create;
pub use error::{DeletionError, DockerError};
pub(crate) use foreign::elsewhere;
pub use ledger::{KnownBlob, KnownTag, Ledger, OpenUpload};
pub(crate) use source::open;
pub use untag::Untagged;
pub(crate) use untag::{retag, siblings, untag};

use lookaside::Lookaside;

/// What stands at the end of a name that writes an image without a tag.
const UNKNOWN_DIGEST: &str = "@@unknown-digest@@";

/// The name of an image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DockerName {
    /// With a tag or a digest, where it has both with the digest: that decides.
    reference: Reference,
    /// The tag of a name that has a digest, too: what the image is called.
    label: Option<String>,
    /// Neither tag nor digest: the image is to be known by the digest that it will have.
    untagged: bool,
}

impl DockerName {
    /// Parses what stands behind the colon, `//REFERENCE`.
    pub(crate) fn parse(details: &str) -> Result<Self, NameError> {
        let text =
            details.strip_prefix("//").ok_or_else(|| NameError::NoSlashes(details.to_owned()))?;
        let (text, untagged) = match text.strip_suffix(UNKNOWN_DIGEST) {
            Some(text) => (text, true),
            None => (text, false),
        };
        let reference = Reference::parse_normalized(text)?;
        if untagged && !reference.is_name_only() {
            return Err(NameError::UnknownDigestOfKnown(format!("{reference}{UNKNOWN_DIGEST}")));
        }
        let reference = if untagged { reference } else { reference.or_latest() };
        Ok(Self { untagged, ..Self::pinned(reference) })
    }

    /// Parses the name of a repository, `docker://REPOSITORY`, without tag or digest.
    pub(crate) fn parse_repository(text: &str) -> Result<Self, NameError> {
        let reference = text
            .strip_prefix("docker://")
            .ok_or_else(|| NameError::NotARepository(text.to_owned()))?;
        let reference = Reference::parse_normalized(reference)?;
        if !reference.is_name_only() {
            return Err(NameError::TagOrDigestOfRepository);
        }
        Ok(Self::pinned(reference.or_latest()))
    }

    /// Of `NAME:TAG@DIGEST` the digest says which image is meant, as podman has it.
    fn pinned(mut reference: Reference) -> Self {
        let label = if reference.digest.is_some() { reference.tag.take() } else { None };
        Self { reference, label, untagged: false }
    }

    /// What is asked for: `latest` where the user gave neither tag nor digest, the digest where he
    /// gave both.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The tag, also where a digest says which image is meant.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.reference.tag.as_deref().or(self.label.as_deref())
    }

    /// A name for this reference, which has a tag or a digest, or both.
    ///
    /// # Errors
    /// If it has neither.
    pub fn of(reference: Reference) -> Result<Self, NameError> {
        match reference.is_name_only() {
            true => Err(NameError::NeitherTagNorDigest(reference.familiar())),
            false => Ok(Self::pinned(reference)),
        }
    }

    /// The reference as the user gave it.
    fn whole(&self) -> Reference {
        let tag = self.tag().map(str::to_owned);
        Reference { tag, ..self.reference.clone() }
    }

    /// The reference that an image is called by where it is written: by its tag, if it has one.
    fn written(&self) -> Reference {
        match self.tag() {
            Some(_) => Reference { digest: None, ..self.whole() },
            None => self.reference.clone(),
        }
    }

    /// What an image is written under: its tag, also where its digest is said; none for a name
    /// without tag and digest.
    fn written_as(&self) -> Option<&str> {
        self.tag().or_else(|| self.tag_or_digest())
    }

    /// What a registry is asked for; none for a name without tag and digest.
    fn tag_or_digest(&self) -> Option<&str> {
        tag_or_digest(&self.reference)
    }
}

impl Name for DockerName {
    fn transport(&self) -> &'static str {
        "docker"
    }

    fn policy_scope(&self) -> PolicyScope {
        let mut namespaces = scopes(&self.reference.name);
        if self.untagged {
            namespaces.remove(0);
        }
        PolicyScope {
            name: String::new(),
            transport: self.transport(),
            identity: self.reference.to_string(),
            namespaces,
            reference: Some(self.reference.to_string()),
        }
    }

    fn docker_reference(&self) -> Option<&Reference> {
        Some(&self.reference)
    }
}

impl fmt::Display for DockerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "//{}", self.whole().familiar())?;
        if self.untagged { f.write_str(UNKNOWN_DIGEST) } else { Ok(()) }
    }
}

/// The scopes of policies that a repository is in: its name, what is above it, its host, and the
/// domains above that, without its port.
pub(crate) fn scopes(name: &Named) -> Vec<String> {
    let whole = name.to_string();
    let parents = std::iter::successors(Some(whole.as_str()), |name| {
        name.rsplit_once('/').map(|(parent, _)| parent)
    });
    let host = name.domain();
    let host = host.split(':').next().unwrap_or(host);
    let above = std::iter::successors(host.split_once('.'), |(_, rest)| rest.split_once('.'));
    let above = above.map(|(_, domain)| format!("*.{domain}"));
    parents.map(str::to_owned).chain(above).collect()
}

fn tag_or_digest(reference: &Reference) -> Option<&str> {
    reference.digest.as_ref().map(|digest| digest.as_str()).or(reference.tag.as_deref())
}

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

/// The name of the same registry's image, if `name` is one.
fn same_registry<'a>(name: &'a ImageName, own: &DockerName) -> Option<&'a DockerName> {
    let other = name.docker_name()?;
    (other.reference.name.domain() == own.reference.name.domain()).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn parses_as_the_original() {
        for (details, printed) in [
            ("//busybox", Ok("//busybox:latest")),
            ("//docker.io/library/busybox:1", Ok("//busybox:1")),
            ("//reg.example:5000/a/b:t", Ok("//reg.example:5000/a/b:t")),
            ("//x@@unknown-digest@@", Ok("//x@@unknown-digest@@")),
            ("x", Err("docker: image reference x does not start with //")),
            (
                "//x:t@@unknown-digest@@",
                Err(
                    "docker: image reference \"docker.io/library/x:t@@unknown-digest@@\" has unknown \
                 digest set but it contains either a tag or digest",
                ),
            ),
            ("//UP/x", Err("invalid reference format: repository name must be lowercase")),
            ("//", Err("invalid reference format")),
        ] {
            let parsed = DockerName::parse(details);
            match printed {
                Ok(printed) => assert_eq!(parsed.unwrap().to_string(), printed),
                Err(sentence) => assert_eq!(parsed.unwrap_err().to_string(), sentence),
            }
        }
        let text = format!("//x:t@{DIGEST}");
        let both = DockerName::parse(&text).unwrap();
        assert_eq!((both.to_string(), both.tag()), (text, Some("t")));
        assert_eq!(both.reference().to_string(), format!("docker.io/library/x@{DIGEST}"));
        assert_eq!(both.tag_or_digest(), Some(DIGEST));
        assert_eq!(both.written_as(), Some("t"));
        assert_eq!(both.policy_scope().identity, format!("docker.io/library/x@{DIGEST}"));
        assert_eq!(DockerName::of(both.whole()).unwrap(), both);
        assert!(DockerName::parse(&format!("//x@{DIGEST}")).is_ok());
    }

    #[test]
    fn repositories_have_neither_tag_nor_digest() {
        for (text, sentence) in [
            ("docker://x", ""),
            ("docker:x", "docker: image reference docker:x does not start with docker://"),
            ("docker://x:t", "No tag or digest allowed in reference"),
        ] {
            let parsed = DockerName::parse_repository(text);
            let text = parsed.err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(text, sentence);
        }
    }

    #[test]
    fn scopes_widen_to_the_domain() {
        let scope = |details| DockerName::parse(details).unwrap().policy_scope();
        let tagged = scope("//reg.a.example:5000/ns/repo:t");
        assert_eq!(tagged.identity, "reg.a.example:5000/ns/repo:t");
        assert_eq!(
            tagged.namespaces,
            [
                "reg.a.example:5000/ns/repo",
                "reg.a.example:5000/ns",
                "reg.a.example:5000",
                "*.a.example",
                "*.example"
            ]
        );
        let untagged = scope("//localhost/repo@@unknown-digest@@");
        assert_eq!(untagged.identity, "localhost/repo");
        assert_eq!(untagged.namespaces, ["localhost"]);
        assert_eq!(scope("//x").namespaces[1..], ["docker.io/library", "docker.io", "*.io"]);
    }
}
