//! The name of an image in a layout, and which descriptor of its index is meant.

use std::fmt;
use std::path::Path;

use skopeo_image::{Classify, ErrorClass, PolicyScope, Reference};
#[cfg(feature = "object-stores")]
use skopeo_objects::UrlError;

use crate::named::Name;
use crate::paths::{PathError, parents, refuse_colon, resolve, split_path};
use crate::source_index::{self, SourceIndexError};

/// The name of an image in a layout, or of a place for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LayoutName {
    pub(super) path: String,
    /// Absolute, and without links.
    pub(super) resolved: String,
    pub(super) wanted: Wanted,
}

/// Which descriptor of the index is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// The only one; when writing, one without a reference.
    Only,
    /// The one annotated with this reference.
    Reference(String),
    /// The one at this place, counted from 0. Only for what is there already.
    Index(usize),
}

/// Why a text is not the name of an image in a layout, be it in a folder, an archive or a bucket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutNameError {
    /// The path cannot be the path of a layout.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The text does not name a place in an object store.
    #[cfg(feature = "object-stores")]
    #[error(transparent)]
    Bucket(#[from] UrlError),
    /// The program was built without object stores.
    #[cfg(not(feature = "object-stores"))]
    #[error("{0}")]
    BucketNotBuilt(String),
    /// The reference is outside the grammar of the OCI image specification.
    #[error("Invalid image {0}")]
    Reference(String),
    /// The text behind `@` is not an index.
    #[error(transparent)]
    Index(#[from] SourceIndexError),
}

impl Classify for LayoutNameError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Path(error) => error.class(),
            Self::Reference(_) | Self::Index(_) => Some(ErrorClass::InvalidInput),
            #[cfg(feature = "object-stores")]
            Self::Bucket(_) => Some(ErrorClass::InvalidInput),
            #[cfg(not(feature = "object-stores"))]
            Self::BucketNotBuilt(_) => Some(ErrorClass::Unsupported),
        }
    }
}

impl LayoutName {
    /// Parses what stands behind the colon: a path up to the next colon, then a reference.
    pub(crate) fn parse(details: &str) -> Result<Self, LayoutNameError> {
        let (path, reference) = split_path(details);
        let reference = reference.unwrap_or_default();
        let wanted = wanted_of(reference)?;
        let resolved = resolve(path)?;
        check(&wanted)?;
        Ok(Self { path: path.to_owned(), resolved, wanted })
    }

    /// The name of one of several images that a place has, or will have.
    pub(crate) fn within(place: &str, label: &str) -> Result<Self, LayoutNameError> {
        refuse_colon(place)?;
        if !is_name(label) {
            return Err(LayoutNameError::Reference(label.to_owned()));
        }
        Self::parse(&format!("{place}:{label}"))
    }

    /// The place itself.
    pub(super) fn of_all(place: &str) -> Result<Self, LayoutNameError> {
        refuse_colon(place)?;
        Self::parse(place)
    }

    /// What tags without a repository are tags of: the last part of the path.
    pub(super) fn home(&self) -> &str {
        Path::new(&self.resolved).file_name().and_then(|name| name.to_str()).unwrap_or("image")
    }

    /// The reference in it, if it has one.
    pub(crate) fn reference(&self) -> Option<&String> {
        match &self.wanted {
            Wanted::Reference(reference) => Some(reference),
            Wanted::Only | Wanted::Index(_) => None,
        }
    }

    /// Returns the folder, as the user named it.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(if self.path.is_empty() { "." } else { &self.path })
    }
}

impl Name for LayoutName {
    fn transport(&self) -> &'static str {
        "oci"
    }

    fn policy_scope(&self) -> PolicyScope {
        // The reference is no part of it: with and without one, a name may mean the same image. The
        // root is the same as any place, so it is no namespace.
        let own = (self.resolved != "/").then(|| self.resolved.clone());
        PolicyScope {
            name: String::new(),
            transport: self.transport(),
            identity: self.resolved.clone(),
            namespaces: own.into_iter().chain(parents(&self.resolved)).collect(),
            reference: None,
        }
    }
}

impl fmt::Display for LayoutName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wanted {
            Wanted::Only => write!(f, "{}:", self.path),
            Wanted::Reference(reference) => write!(f, "{}:{reference}", self.path),
            Wanted::Index(index) => write!(f, "{}:@{index}", self.path),
        }
    }
}

/// Which descriptor is meant by what stands behind the path of a layout.
fn wanted_of(reference: &str) -> Result<Wanted, LayoutNameError> {
    Ok(match reference.strip_prefix('@') {
        None if reference.is_empty() => Wanted::Only,
        None => Wanted::Reference(reference.to_owned()),
        Some(number) => Wanted::Index(source_index::parse(number)?),
    })
}

fn check(wanted: &Wanted) -> Result<(), LayoutNameError> {
    match wanted {
        Wanted::Reference(reference) if !is_name(reference) => {
            Err(LayoutNameError::Reference(reference.clone()))
        }
        _ => Ok(()),
    }
}

/// The same, of a text that has been looked at.
#[cfg(feature = "object-stores")]
pub(super) fn parse_wanted(reference: &str) -> Result<Wanted, LayoutNameError> {
    let wanted = wanted_of(reference)?;
    check(&wanted)?;
    Ok(wanted)
}

/// Whether an image can be called so in a layout. What registries call images is more than the
/// grammar of the specification has.
pub(super) fn is_name(text: &str) -> bool {
    is_reference(text) || Reference::parse_normalized(text).is_ok()
}

/// Whether a text is a reference as the OCI image specification has it for
/// `org.opencontainers.image.ref.name`: alphanumeric runs, joined by one of `-._:@+` or by `--`, in
/// components joined by `/`.
fn is_reference(text: &str) -> bool {
    text.split('/').all(|component| {
        let mut rest = component;
        loop {
            let run = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            if run.len() == rest.len() {
                return false;
            }
            if run.is_empty() {
                return true;
            }
            rest = match run.strip_prefix("--") {
                Some(rest) => rest,
                None if run.starts_with(['-', '.', '_', ':', '@', '+']) => &run[1..],
                None => return false,
            };
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_references() {
        for (text, valid) in [
            ("latest", true),
            ("a", true),
            ("1.2_3:4@5+6-7--8", true),
            ("docker.io/library/centos:7.5.1804", true),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("a//b", false),
            ("-a", false),
            ("a-", false),
            ("a---b", false),
            ("a..b", false),
            ("a b", false),
            ("ä", false),
            ("..", false),
        ] {
            assert_eq!(is_reference(text), valid, "{text:?}");
        }
    }
}
