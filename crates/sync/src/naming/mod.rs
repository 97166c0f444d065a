//! Where each image goes: pure.
//!
//! The names are those of the original, made from texts as it makes them, so that a mirror begun
//! with it is continued; then what its users patched it for.

mod clash;
mod parts;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use skopeo_image::{Classify, ErrorClass, Reference};
use skopeo_transport::CollectionKind;

use parts::Parts;

pub use clash::{Clash, Nested, clash, nested};

/// How an image's name is made of what it is called where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// How much of the source's name is kept.
    pub scope: Scope,
    /// What is taken off in front, in whole parts, with the registry or without it. The last part
    /// stays in any case.
    pub strip_prefix: String,
    /// What is put in front, as parts of their own.
    pub prefix: String,
    /// What is put in front of the last part.
    pub image_prefix: String,
    /// What is put behind each tag, or folder.
    pub suffix: String,
    /// What makes the name instead of all this, but for the suffix.
    pub template: Option<Template>,
}

/// How much of the source's name becomes part of the destination's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The last part; in layouts and archives all of it, so that it can be restored from there.
    #[default]
    Last,
    /// All of it but the registry.
    Path,
    /// All of it.
    Full,
}

/// What an image is called where it comes from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// In a registry.
    Reference(&'a Reference),
    /// In any other collection.
    Label(&'a str),
}

/// What a [`Template`] sees. What is not there is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The host, with its port; a place within a registry has `_` before the port.
    pub registry: String,
    /// The repository without its last part.
    pub path: String,
    /// The last part.
    pub name: String,
    /// The repository as a whole.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The digest, where the image is named by it.
    pub digest: String,
}

/// Makes a label of fields.
#[derive(Clone)]
pub struct Template(Arc<Make>);

type Make = dyn Fn(&Fields) -> Result<String, String> + Send + Sync;

/// Why an image can have no name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamingError {
    /// It would lie somewhere else.
    #[error("naming {origin}: {label:?} would be outside the destination")]
    Escapes {
        /// What it is called where it comes from.
        origin: String,
        /// What it would be called.
        label: String,
    },
    /// Nothing is left, or what no name can have in it.
    #[error("naming {origin}: {label:?} is not a valid name")]
    NoName {
        /// What it is called where it comes from.
        origin: String,
        /// What it would be called.
        label: String,
    },
    /// The template fails; the sentence is its own.
    #[error("naming {origin}: {reason}")]
    Template {
        /// What it is called where it comes from.
        origin: String,
        /// Why.
        reason: String,
    },
}

impl Classify for NamingError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Escapes { .. } | Self::NoName { .. } | Self::Template { .. } => {
                Some(ErrorClass::InvalidInput)
            }
        }
    }
}

impl Naming {
    /// Returns the label of an image in a collection of this kind: its name without the place.
    ///
    /// # Errors
    /// If the label would lead out of the target, or is empty.
    pub fn label(&self, origin: Origin<'_>, kind: CollectionKind) -> Result<String, NamingError> {
        let parts = Parts::of(origin);
        let label = match &self.template {
            Some(template) => {
                let label = (template.0)(&parts.fields(kind));
                let label = label.map_err(|reason| NamingError::Template {
                    origin: parts.to_string(),
                    reason,
                })?;
                parts.with_digest(label.trim())
            }
            None => self.mapped(&parts, kind),
        };
        // A digest takes no suffix: it would be another digest, and none that any image has.
        let suffix = match (parts.digest(), kind) {
            (Some(_), kind) if kind != CollectionKind::Dir => "",
            _ => &self.suffix,
        };
        checked(&parts, &format!("{label}{suffix}"))
    }

    fn mapped(&self, parts: &Parts<'_>, kind: CollectionKind) -> String {
        let bundle = !matches!(kind, CollectionKind::Docker | CollectionKind::Dir);
        let scope = match self.scope {
            Scope::Last if bundle => Scope::Full,
            Scope::Last if !self.strip_prefix.is_empty() => Scope::Path,
            scope => scope,
        };
        let (registry, path) = parts.without(&self.strip_prefix);
        let (above, last) = match path.split_last() {
            Some((last, above)) => (above, last.as_str()),
            None => (path, ""),
        };
        let registry = registry.map(|registry| as_part(registry, kind));
        let mut label: Vec<&str> = split(&self.prefix).collect();
        if scope == Scope::Full {
            label.extend(registry.as_deref());
        }
        if scope != Scope::Last {
            label.extend(above.iter().map(String::as_str));
        }
        let last = format!("{}{last}{}", self.image_prefix, parts.tail);
        label.push(&last);
        label.join("/")
    }
}

impl Origin<'_> {
    /// Returns what images of the same repository have in common: the name without tag and digest.
    #[must_use]
    pub fn repository(self) -> String {
        Parts::of(self).repository()
    }

    /// Returns the tag; nothing if there is none.
    #[must_use]
    pub fn tag(self) -> String {
        Parts::of(self).tag().to_owned()
    }
}

impl Template {
    /// Returns a template that is this function; its error is a whole sentence.
    pub fn new(make: impl Fn(&Fields) -> Result<String, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template")
    }
}

/// The parts of a path that are some.
fn split(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// A registry as it stands within a name: in the middle of a reference is no place for a port.
fn as_part(registry: &str, kind: CollectionKind) -> String {
    if kind == CollectionKind::Docker {
        return registry.replace(['[', ']'], "").replace(':', "_");
    }
    registry.to_owned()
}

/// The label in its shortest form, if it stays where it belongs.
fn checked(parts: &Parts<'_>, label: &str) -> Result<String, NamingError> {
    let origin = || parts.to_string();
    if label.starts_with('/') || label.split('/').any(|part| part == "..") {
        return Err(NamingError::Escapes { origin: origin(), label: label.to_owned() });
    }
    let clean: Vec<&str> = split(label).filter(|part| *part != ".").collect();
    if clean.is_empty() || label.chars().any(char::is_control) {
        return Err(NamingError::NoName { origin: origin(), label: label.to_owned() });
    }
    Ok(clean.join("/"))
}
