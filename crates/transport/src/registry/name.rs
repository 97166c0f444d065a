//! The name of an image in a registry.

use std::fmt;

use skopeo_image::{Classify, ErrorClass, Named, PolicyScope, Reference, ReferenceError};

use crate::ImageName;
use crate::named::Name;

/// What stands at the end of a name that writes an image without a tag.
const UNKNOWN_DIGEST: &str = "@@unknown-digest@@";

/// The name of an image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DockerName {
    /// With a tag or a digest, where it has both with the digest: that decides.
    pub(super) reference: Reference,
    /// The tag of a name that has a digest, too: what the image is called.
    pub(super) label: Option<String>,
    /// Neither tag nor digest: the image is to be known by the digest that it will have.
    pub(super) untagged: bool,
}

/// Why a text is not the name of an image in a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerNameError {
    /// The slashes are missing.
    #[error("docker: image reference {0} does not start with //")]
    NoSlashes(String),
    /// The text should name a repository, but it does not begin as such a name.
    #[error("docker: image reference {0} does not start with docker://")]
    NotARepository(String),
    /// The name of a repository has a tag or a digest.
    #[error("No tag or digest allowed in reference")]
    TagOrDigest,
    /// The reference is outside the grammar.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The digest is not known yet, but the name has a tag or a digest.
    #[error(
        "docker: image reference {0:?} has unknown digest set but it contains either a tag or digest"
    )]
    UnknownDigestOfKnown(String),
    /// The name has neither tag nor digest.
    #[error("Docker reference {0} is not for an unknown digest case; tag or digest is needed")]
    NeitherTagNorDigest(String),
}

impl Classify for DockerNameError {
    fn hint(&self) -> Option<String> {
        let (Self::NoSlashes(text) | Self::NotARepository(text)) = self else {
            let hint = "leave out the tag or digest: this must be the name of a repository";
            return matches!(self, Self::TagOrDigest).then(|| hint.to_owned());
        };
        let reference = text.trim_start_matches('/');
        let is_reference = Reference::parse_normalized(reference).is_ok();
        is_reference.then(|| format!("write docker://{reference}"))
    }

    fn class(&self) -> Option<ErrorClass> {
        // Whatever is wrong with it, the user typed it.
        Some(ErrorClass::InvalidInput)
    }
}

impl DockerName {
    /// Parses what stands behind the colon, `//REFERENCE`.
    pub(crate) fn parse(details: &str) -> Result<Self, DockerNameError> {
        let text = details
            .strip_prefix("//")
            .ok_or_else(|| DockerNameError::NoSlashes(details.to_owned()))?;
        let (text, untagged) = match text.strip_suffix(UNKNOWN_DIGEST) {
            Some(text) => (text, true),
            None => (text, false),
        };
        let reference = Reference::parse_normalized(text)?;
        if untagged && !reference.is_name_only() {
            return Err(DockerNameError::UnknownDigestOfKnown(format!(
                "{reference}{UNKNOWN_DIGEST}"
            )));
        }
        let reference = if untagged { reference } else { reference.or_latest() };
        Ok(Self { untagged, ..Self::pinned(reference) })
    }

    /// Parses the name of a repository, `docker://REPOSITORY`, without tag or digest.
    pub(crate) fn parse_repository(text: &str) -> Result<Self, DockerNameError> {
        let reference = text
            .strip_prefix("docker://")
            .ok_or_else(|| DockerNameError::NotARepository(text.to_owned()))?;
        let reference = Reference::parse_normalized(reference)?;
        if !reference.is_name_only() {
            return Err(DockerNameError::TagOrDigest);
        }
        Ok(Self::pinned(reference.or_latest()))
    }

    /// Of `NAME:TAG@DIGEST` the digest says which image is meant, as podman has it.
    fn pinned(mut reference: Reference) -> Self {
        let label = if reference.digest.is_some() { reference.tag.take() } else { None };
        Self { reference, label, untagged: false }
    }

    /// Returns what is asked for: `latest` where the user gave neither tag nor digest, the digest
    /// where he gave both.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Returns the tag, also where a digest says which image is meant.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.reference.tag.as_deref().or(self.label.as_deref())
    }

    /// Returns a name for this reference, which has a tag or a digest, or both.
    ///
    /// # Errors
    /// If it has neither.
    pub fn of(reference: Reference) -> Result<Self, DockerNameError> {
        match reference.is_name_only() {
            true => Err(DockerNameError::NeitherTagNorDigest(reference.familiar())),
            false => Ok(Self::pinned(reference)),
        }
    }

    /// The reference as the user gave it.
    pub(super) fn whole(&self) -> Reference {
        let tag = self.tag().map(str::to_owned);
        Reference { tag, ..self.reference.clone() }
    }

    /// The reference that an image is called by where it is written: by its tag, if it has one.
    pub(super) fn written(&self) -> Reference {
        match self.tag() {
            Some(_) => Reference { digest: None, ..self.whole() },
            None => self.reference.clone(),
        }
    }

    /// What an image is written under: its tag, also where its digest is said; none for a name
    /// without tag and digest.
    pub(super) fn written_as(&self) -> Option<&str> {
        self.tag().or_else(|| self.tag_or_digest())
    }

    /// What a registry is asked for; none for a name without tag and digest.
    pub(super) fn tag_or_digest(&self) -> Option<&str> {
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

pub(super) fn tag_or_digest(reference: &Reference) -> Option<&str> {
    reference.digest.as_ref().map(|digest| digest.as_str()).or(reference.tag.as_deref())
}

/// The name of the same registry's image, if `name` is one.
pub(super) fn same_registry<'a>(name: &'a ImageName, own: &DockerName) -> Option<&'a DockerName> {
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
