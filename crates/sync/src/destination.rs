//! A collection of images, as `TRANSPORT:PLACE`.

use std::fmt;
use std::str::FromStr;

use skopeo_image::Reference;
use skopeo_transport::{CollectionKind, is_bucket, join};

use crate::naming::Naming;

/// A collection of images.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// What it is.
    pub kind: CollectionKind,
    /// Where it is: a registry with or without a path, a folder, a file.
    pub place: String,
}

/// A place to copy to.
#[derive(Clone, Debug)]
pub struct NamedTarget {
    /// Where it is.
    pub place: Target,
    /// How images are named there.
    pub naming: Naming,
}

/// Why a text is no [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// There is no transport that is known for many images.
    #[error(
        "invalid place {0:?}: use docker://, dir:, oci:, oci-archive:, docker-archive: or containers-storage:"
    )]
    Transport(String),
    /// Nothing, or nothing in which a repository could be.
    #[error("invalid place {0:?}: no repository can be there")]
    NoRepository(String),
}

impl Target {
    /// Returns the host of the registry that it is in, if it is in one.
    #[must_use]
    pub fn registry(&self) -> Option<String> {
        let is_registry = self.kind == CollectionKind::Docker;
        let inside = is_registry.then(|| Reference::parse_normalized(&join(&self.place, "x")))?;
        inside.ok().map(|inside| inside.name.domain().to_owned())
    }

    /// Returns what stands behind the transport's colon in the name of an image there.
    #[must_use]
    pub fn reference(&self, label: &str) -> String {
        match self.kind {
            CollectionKind::Docker => format!("//{}", join(&self.place, label)),
            CollectionKind::Storage => format!("{}{label}", self.place),
            // Two slashes that are not one.
            CollectionKind::Oci if is_bucket(&self.place) => format!("{}:{label}", self.place),
            _ => join(&self.place, label),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let transport = text.split_once(':').and_then(|(transport, place)| {
            CollectionKind::parse(transport).map(|kind| (kind, place))
        });
        let Some((kind, place)) = transport else {
            return Err(TargetError::Transport(text.to_owned()));
        };
        let none = || TargetError::NoRepository(text.to_owned());
        let place = match kind {
            CollectionKind::Docker => place.strip_prefix("//").unwrap_or(place),
            _ => place,
        };
        // The usual store has no name.
        let may_be_empty = kind == CollectionKind::Storage;
        if (place.is_empty() && !may_be_empty) || place.chars().any(char::is_control) {
            return Err(none());
        }
        if kind == CollectionKind::Docker {
            Reference::parse_normalized(&join(place, "x")).map_err(|_| none())?;
        }
        Ok(Self { kind, place: place.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slashes = if self.kind == CollectionKind::Docker { "//" } else { "" };
        write!(f, "{}:{slashes}{}", self.kind, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        for (text, printed) in [
            ("docker://registry.internal", "docker://registry.internal"),
            ("docker:registry.internal:5000/m/", "docker://registry.internal:5000/m/"),
            ("docker://user", "docker://user"),
            ("dir:/media/usb", "dir:/media/usb"),
            ("oci:C:d", "oci:C:d"),
            ("oci-archive:a.tar", "oci-archive:a.tar"),
            ("docker-archive:./a.tar", "docker-archive:./a.tar"),
            ("containers-storage:", "containers-storage:"),
            ("containers-storage:[vfs@/s]", "containers-storage:[vfs@/s]"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), printed);
        }
        for text in
            ["", "dir", "dir:", "docker://", "docker://r/x:1", "docker://R/X", "sif:a", "oci:\n"]
        {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
