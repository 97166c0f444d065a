//! The name of an image that a daemon has.

use std::fmt;

use skopeo_image::{Algorithm, Digest, PolicyScope, Reference, ReferenceError};

use crate::named::Name;
use crate::registry::scopes;

/// The name that only image IDs begin with.
const RESERVED: &str = "sha256";

/// What a daemon knows an image by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DaemonName {
    /// The digest of its config.
    Id(Digest),
    /// A name with either a tag or a digest.
    Reference(Reference),
}

/// Why a text is not the name of an image of a daemon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonNameError {
    /// The text is neither an ID nor a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The ID is not a sha256 digest.
    #[error("Invalid docker-daemon: reference {0}: only digest algorithm sha256 accepted")]
    Algorithm(String),
    /// The text looks like an ID, but it is not one.
    #[error(
        "Invalid docker-daemon: reference {0}: The sha256 repository name is reserved for \
         (non-shortened) digest references"
    )]
    Reserved(String),
    /// The name has neither tag nor digest: it is all images of that name.
    #[error("docker-daemon: reference {0} has neither a tag nor a digest")]
    NameOnly(String),
    /// The name has both.
    #[error("docker-daemon: references with both a tag and digest are currently not supported")]
    TagAndDigest,
}

impl DaemonName {
    /// Parses what stands behind the colon: `sha256:ID`, or a reference with a tag or a digest.
    pub(crate) fn parse(details: &str) -> Result<Self, DaemonNameError> {
        if let Ok(id) = details.parse::<Digest>() {
            if id.algorithm() != Algorithm::Sha256 {
                return Err(DaemonNameError::Algorithm(details.to_owned()));
            }
            return Ok(Self::Id(id));
        }
        let reference = Reference::parse_normalized(details)?;
        if reference.name.familiar() == RESERVED {
            return Err(DaemonNameError::Reserved(details.to_owned()));
        }
        match (&reference.tag, &reference.digest) {
            (None, None) => Err(DaemonNameError::NameOnly(reference.familiar())),
            (Some(_), Some(_)) => Err(DaemonNameError::TagAndDigest),
            _ => Ok(Self::Reference(reference)),
        }
    }

    /// The name and tag that an image can be given: IDs and digests follow from it.
    pub(crate) fn tagged(&self) -> Option<&Reference> {
        match self {
            Self::Reference(reference) => Some(reference).filter(|it| it.tag.is_some()),
            Self::Id(_) => None,
        }
    }
}

impl Name for DaemonName {
    fn transport(&self) -> &'static str {
        "docker-daemon"
    }

    fn policy_scope(&self) -> PolicyScope {
        let reference = self.docker_reference();
        let text = reference.map(ToString::to_string);
        PolicyScope {
            name: String::new(),
            transport: self.transport(),
            // What is named by its ID is nobody's in particular.
            identity: text.clone().unwrap_or_default(),
            namespaces: reference.map(|it| scopes(&it.name)).unwrap_or_default(),
            reference: text,
        }
    }

    fn docker_reference(&self) -> Option<&Reference> {
        match self {
            Self::Reference(reference) => Some(reference),
            Self::Id(_) => None,
        }
    }
}

impl fmt::Display for DaemonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => fmt::Display::fmt(id, f),
            Self::Reference(reference) => f.write_str(&reference.familiar()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_names_one_image() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (text, expected) in [
            ("busybox:1", Ok("busybox:1")),
            ("docker.io/library/busybox:1", Ok("busybox:1")),
            ("r.example:5000/a/b:1", Ok("r.example:5000/a/b:1")),
            ("busybox", Err("docker-daemon: reference busybox has neither a tag nor a digest")),
            ("", Err("invalid reference format")),
            ("UPPER:x", Err("invalid reference format: repository name must be lowercase")),
            (
                "sha256:abc",
                Err("Invalid docker-daemon: reference sha256:abc: The sha256 repository name is \
                     reserved for (non-shortened) digest references"),
            ),
        ] {
            let got = DaemonName::parse(text).map(|name| name.to_string());
            let got = got.as_deref().map_err(ToString::to_string);
            assert_eq!(got, expected.map_err(str::to_owned), "{text}");
        }
        let id = DaemonName::parse(&format!("sha256:{hex}")).unwrap();
        assert_eq!(id.policy_scope().identity, "");
        assert!(id.tagged().is_none());
        assert!(DaemonName::parse(hex).is_err());
        let digested = DaemonName::parse(&format!("a@sha256:{hex}")).unwrap();
        assert!(digested.tagged().is_none());
        let both = DaemonName::parse(&format!("a:1@sha256:{hex}")).unwrap_err().to_string();
        let sentence = "docker-daemon: references with both a tag and digest are currently not \
                        supported";
        assert_eq!(both, sentence);
        let long = DaemonName::parse(&format!("sha512:{hex}{hex}")).unwrap_err().to_string();
        assert!(long.ends_with("only digest algorithm sha256 accepted"), "{long}");
        let scope = DaemonName::parse("a/b:1").unwrap().policy_scope();
        assert_eq!(scope.identity, "docker.io/a/b:1");
        assert_eq!(scope.namespaces, ["docker.io/a/b", "docker.io/a", "docker.io", "*.io"]);
    }
}
