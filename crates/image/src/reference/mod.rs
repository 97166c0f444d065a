//! The docker reference: `[domain/]path[:tag][@digest]`, and its normal form.

mod grammar;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use crate::{Digest, DigestError};

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const MAX_NAME: usize = 255;

/// Why a text is no reference. The words are those of the Go library that scripts know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Outside the grammar.
    #[error("invalid reference format")]
    InvalidFormat,
    /// Capitals in the path.
    #[error("invalid reference format: repository name must be lowercase")]
    Uppercase,
    /// More than 255 characters in domain and path.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// 64 hexadecimal digits could be an image ID.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// The part after `@` has the shape of a digest, but is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Valid, but not written in full.
    #[error("repository name must be canonical")]
    NotCanonical,
    /// Outside the grammar of tags.
    #[error("invalid tag format")]
    InvalidTag,
}

/// The name of a repository in full, such as `docker.io/library/centos`.
///
/// A value of this type is always valid and normal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    domain: String,
    path: String,
}

impl Named {
    /// Parses a repository name as users write it: without tag and digest.
    ///
    /// # Errors
    /// If the text is outside the grammar, or has a tag or digest.
    pub fn parse_normalized(text: &str) -> Result<Self, ReferenceError> {
        let reference = Reference::parse_normalized(text)?;
        if !reference.is_name_only() {
            return Err(ReferenceError::InvalidFormat);
        }
        Ok(reference.name)
    }

    /// Returns the host, with its port if it has one.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Returns the repository at that host.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the short form that Docker shows: without `docker.io/` and `library/`.
    #[must_use]
    pub fn familiar(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.to_string();
        }
        match self.path.strip_prefix(OFFICIAL) {
            Some(name) if !name.contains('/') => name.to_owned(),
            _ => self.path.clone(),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)
    }
}

impl FromStr for Named {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse_normalized(text)
    }
}

/// A repository and, where given, which image in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The repository.
    pub name: Named,
    /// The tag. Use [`is_valid_tag`] before setting it.
    pub tag: Option<String>,
    /// The digest of the manifest.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Parses a reference as users write it: `centos:8` is `docker.io/library/centos:8`.
    ///
    /// # Errors
    /// If the text is outside the grammar; see [`ReferenceError`].
    pub fn parse_normalized(text: &str) -> Result<Self, ReferenceError> {
        if grammar::is_identifier(text) {
            return Err(ReferenceError::Identifier(text.to_owned()));
        }
        let (domain, rest, official) = split_domain(text);
        let rest_name = rest.split(':').next().unwrap_or_default();
        if rest_name.to_lowercase() != rest_name {
            return Err(ReferenceError::Uppercase);
        }
        if grammar::domain(domain) != domain.len() {
            return Err(ReferenceError::InvalidFormat);
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) if grammar::is_digest(digest) => (rest, Some(digest)),
            Some(_) => return Err(ReferenceError::InvalidFormat),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) if grammar::is_tag(tag) => (path, Some(tag)),
            Some(_) => return Err(ReferenceError::InvalidFormat),
            None => (rest, None),
        };
        if !grammar::is_path(path) {
            return Err(ReferenceError::InvalidFormat);
        }
        let path = if official { format!("{OFFICIAL}{path}") } else { path.to_owned() };
        if domain.len().saturating_add(1).saturating_add(path.len()) > MAX_NAME {
            return Err(ReferenceError::TooLong);
        }
        Ok(Self {
            name: Named { domain: domain.to_owned(), path },
            tag: tag.map(str::to_owned),
            digest: digest.map(str::parse).transpose()?,
        })
    }

    /// Parses a reference that has to be written in full already.
    ///
    /// # Errors
    /// As [`Self::parse_normalized`], or if the normal form differs from `text`.
    pub fn parse_canonical(text: &str) -> Result<Self, ReferenceError> {
        let reference = Self::parse_normalized(text)?;
        if reference.to_string() != text {
            return Err(ReferenceError::NotCanonical);
        }
        Ok(reference)
    }

    /// Returns the short form that Docker shows, with tag and digest.
    #[must_use]
    pub fn familiar(&self) -> String {
        format!("{}{}", self.name.familiar(), self.suffix())
    }

    /// Returns whether there is neither tag nor digest.
    #[must_use]
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// Returns the same, with the tag `latest` where there is neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.is_name_only() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// Returns the same repository with this tag instead of what tag and digest there were.
    ///
    /// # Errors
    /// If `tag` is outside the grammar.
    pub fn with_tag(name: Named, tag: &str) -> Result<Self, ReferenceError> {
        if !is_valid_tag(tag) {
            return Err(ReferenceError::InvalidTag);
        }
        Ok(Self { name, tag: Some(tag.to_owned()), digest: None })
    }

    /// Returns the same repository with this digest instead of what tag and digest there were.
    #[must_use]
    pub fn with_digest(name: Named, digest: Digest) -> Self {
        Self { name, tag: None, digest: Some(digest) }
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.suffix())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse_normalized(text)
    }
}

impl From<Named> for Reference {
    fn from(name: Named) -> Self {
        Self { name, tag: None, digest: None }
    }
}

/// Returns whether `text` may stand after the colon of a reference.
#[must_use]
pub fn is_valid_tag(text: &str) -> bool {
    grammar::is_tag(text)
}

/// The domain (the default where none is written), the rest, and whether `library/` is implied.
fn split_domain(text: &str) -> (&str, &str, bool) {
    let (domain, rest) = match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (DEFAULT_DOMAIN, text),
    };
    let domain = if domain == LEGACY_DEFAULT_DOMAIN { DEFAULT_DOMAIN } else { domain };
    (domain, rest, domain == DEFAULT_DOMAIN && !rest.contains('/'))
}
