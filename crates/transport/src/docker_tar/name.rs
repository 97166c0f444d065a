//! The name of an image in a file as `docker save` makes it.

use std::fmt;
use std::path::Path;

use skopeo_image::{PolicyScope, Reference, ReferenceError};

use crate::named::Name;
use crate::paths::{PathError, refuse_colon, split_path};
use crate::source_index::{self, SourceIndexError};

/// The name of an image in a docker archive, or of a place for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DockerArchiveName {
    path: String,
    which: Item,
}

/// Which image of the archive is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    /// The only one; when writing, one without a tag.
    Only,
    /// The one with this tag.
    Tag(Reference),
    /// The one at this place, counted from 0. Only for what is there already.
    Index(usize),
}

/// Why a text is not the name of an image in a docker archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerArchiveNameError {
    /// The text is empty: the name has at least a path.
    #[error("docker-archive reference {0} isn't of the form <path>[:<reference>]")]
    Form(String),
    /// The path has a colon.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The text behind `@` is not an index.
    #[error(transparent)]
    Index(#[from] SourceIndexError),
    /// The text behind the path is not a reference.
    #[error("docker-archive parsing reference")]
    Reference(#[source] ReferenceError),
    /// The reference has a digest. Archives have no manifests.
    #[error("docker-archive doesn't support digest references: {0}")]
    Digest(String),
    /// The reference has a digest and no tag, or it is an index where a tag is needed.
    #[error("reference does not include a tag: {0}")]
    NoTag(String),
}

impl DockerArchiveName {
    /// Parses what stands behind the colon: a path up to the next colon, then a reference.
    pub(crate) fn parse(details: &str) -> Result<Self, DockerArchiveNameError> {
        if details.is_empty() {
            return Err(DockerArchiveNameError::Form(details.to_owned()));
        }
        let (path, text) = split_path(details);
        let which = text.map_or(Ok(Item::Only), Item::parse)?;
        Ok(Self { path: path.to_owned(), which })
    }

    /// The name of one of several images that a file has, or will have.
    pub(crate) fn within(place: &str, label: &str) -> Result<Self, DockerArchiveNameError> {
        refuse_colon(place)?;
        match Item::parse(label)? {
            which @ Item::Tag(_) => Ok(Self { path: place.to_owned(), which }),
            _ => Err(DockerArchiveNameError::NoTag(label.to_owned())),
        }
    }

    /// One of the images that a file has.
    pub(super) fn held(place: &str, which: Item) -> Self {
        Self { path: place.to_owned(), which }
    }

    /// Returns the file, as the user named it.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(&self.path)
    }

    pub(crate) fn which(&self) -> &Item {
        &self.which
    }
}

impl Item {
    fn parse(text: &str) -> Result<Self, DockerArchiveNameError> {
        if let Some(number) = text.strip_prefix('@') {
            return Ok(Self::Index(source_index::parse(number)?));
        }
        let reference =
            Reference::parse_normalized(text).map_err(DockerArchiveNameError::Reference)?;
        let reference = reference.or_latest();
        match (&reference.tag, &reference.digest) {
            (None, _) => Err(DockerArchiveNameError::NoTag(reference.to_string())),
            (_, Some(_)) => Err(DockerArchiveNameError::Digest(reference.to_string())),
            _ => Ok(Self::Tag(reference)),
        }
    }
}

impl Name for DockerArchiveName {
    fn transport(&self) -> &'static str {
        "docker-archive"
    }

    fn policy_scope(&self) -> PolicyScope {
        // Whoever writes the file chooses its path and all names in it: nothing is told apart.
        PolicyScope {
            name: String::new(),
            transport: self.transport(),
            identity: String::new(),
            namespaces: Vec::new(),
            reference: self.docker_reference().map(ToString::to_string),
        }
    }

    fn file(&self) -> Option<&Path> {
        Some(self.path())
    }

    fn docker_reference(&self) -> Option<&Reference> {
        match &self.which {
            Item::Tag(reference) => Some(reference),
            Item::Only | Item::Index(_) => None,
        }
    }
}

impl fmt::Display for DockerArchiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match &self.which {
            Item::Only => Ok(()),
            Item::Tag(reference) => write!(f, ":{reference}"),
            Item::Index(index) => write!(f, ":@{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn parses_and_prints_as_the_original() {
        for (text, printed) in [
            ("/a/b.tar", "/a/b.tar"),
            ("b.tar:busybox", "b.tar:docker.io/library/busybox:latest"),
            ("b.tar:quay.io:5000/a/b:1", "b.tar:quay.io:5000/a/b:1"),
            ("b.tar:@0", "b.tar:@0"),
            ("b.tar:@+7", "b.tar:@7"),
            (":busybox", ":docker.io/library/busybox:latest"),
        ] {
            let name = DockerArchiveName::parse(text).unwrap();
            assert_eq!(name.to_string(), printed);
            assert_eq!(DockerArchiveName::parse(printed).unwrap(), name);
        }
    }

    #[test]
    fn refuses_in_the_originals_words() {
        let digest = format!("busybox@sha256:{}", "0".repeat(64));
        for (text, sentence) in [
            ("", "docker-archive reference  isn't of the form <path>[:<reference>]"),
            ("a:", "docker-archive parsing reference: invalid reference format"),
            (
                "a:UPPER",
                "docker-archive parsing reference: invalid reference format: repository name must \
                 be lowercase",
            ),
            ("a:@-1", "Invalid source index @-1: must not be negative"),
            (&format!("a:{digest}"), "reference does not include a tag: docker.io/library/"),
            (
                &format!("a:{}", digest.replace('@', ":tag@")),
                "docker-archive doesn't support digest references: docker.io/library/busybox:tag@",
            ),
        ] {
            let error = DockerArchiveName::parse(text).unwrap_err();
            let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            let told = format!("{error}{source}");
            assert!(told.starts_with(sentence), "{text}: {told}");
        }
        for text in ["a:@", "a:@x", "a:@1x", "a:@99999999999999999999"] {
            let error = DockerArchiveName::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("Invalid source index @"), "{text}: {error}");
        }
    }
}
