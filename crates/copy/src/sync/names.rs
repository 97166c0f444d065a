//! Where each image goes: pure.
//!
//! The names are those of the original, made from texts as it makes them, so that a mirror begun
//! with it is continued.

use skopeo_image::Reference;
use skopeo_transport::{base, join};

/// Where the images of a run go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What the user named: a registry with or without a path, or a folder.
    pub place: String,
    /// Which of the two it is.
    pub kind: TargetKind,
    /// How much of the source's name becomes part of the destination's.
    pub scope: Scope,
    /// What is put behind each tag, or folder.
    pub suffix: String,
}

/// What a [`Target`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A registry, or a path in it.
    Registry,
    /// A folder of `dir:` images.
    Folder,
}

/// How much of the source's name becomes part of the destination's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The last part.
    #[default]
    Last,
    /// All of it.
    Full,
}

impl Target {
    /// The name for the image of a registry, without its transport: `PLACE/centos:8`.
    #[must_use]
    pub fn of_reference(&self, reference: &Reference) -> String {
        let name = match self.scope {
            Scope::Full => self.host_as_path(&reference.to_string()),
            Scope::Last => base(&reference.to_string()).to_owned(),
        };
        // A digest takes no suffix: it would be another digest, and none that any image has.
        let suffix = if reference.digest.is_some() && self.kind == TargetKind::Registry {
            ""
        } else {
            &self.suffix
        };
        format!("{}{suffix}", join(&self.place, &name))
    }

    /// The name for the image in `folder`, found below `root`; both as the search has them.
    #[must_use]
    pub fn of_folder(&self, folder: &str, root: &str) -> String {
        let name = match folder.strip_prefix(root).unwrap_or(folder) {
            "" => base(root),
            below => below,
        };
        let name = if self.scope == Scope::Full { name } else { base(name) };
        format!("{}{}", join(&self.place, name), self.suffix)
    }

    /// In the middle of a reference there is no place for a port.
    fn host_as_path(&self, reference: &str) -> String {
        match (self.kind, reference.split_once('/')) {
            (TargetKind::Registry, Some((host, path))) => {
                format!("{}/{path}", host.replace(['[', ']'], "").replace(':', "_"))
            }
            _ => reference.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(place: &str, kind: TargetKind, scope: Scope, suffix: &str) -> Target {
        Target { place: place.to_owned(), kind, scope, suffix: suffix.to_owned() }
    }

    #[test]
    fn names_images_of_registries() {
        use Scope::{Full, Last};
        use TargetKind::{Folder, Registry};
        let digest = format!("sha256:{}", "0".repeat(64));
        let by_digest = format!("quay.io/a/b@{digest}");
        for (reference, place, kind, scope, suffix, expected) in [
            ("busybox:1", "/media/usb", Folder, Last, "", "/media/usb/busybox:1"),
            (
                "busybox:1",
                "/media/usb/",
                Folder,
                Full,
                "",
                "/media/usb/docker.io/library/busybox:1",
            ),
            ("busybox:1", "./usb", Folder, Last, "-x", "usb/busybox:1-x"),
            ("quay.io/a/b:1", "r.example/m", Registry, Last, "", "r.example/m/b:1"),
            ("quay.io/a/b:1", "r.example/m/", Registry, Full, "-x", "r.example/m/quay.io/a/b:1-x"),
            // Not as the original, which makes what is no reference.
            ("h:5000/a/b:1", "r.example", Registry, Full, "", "r.example/h_5000/a/b:1"),
            ("h:5000/a/b:1", "d", Folder, Full, "", "d/h:5000/a/b:1"),
        ] {
            let reference = Reference::parse_normalized(reference).unwrap();
            let target = target(place, kind, scope, suffix);
            assert_eq!(target.of_reference(&reference), expected);
        }
        let reference = Reference::parse_normalized(&by_digest).unwrap();
        let registry = target("r", Registry, Last, "-x").of_reference(&reference);
        assert_eq!(registry, format!("r/b@{digest}"));
        let folder = target("r", Folder, Last, "-x").of_reference(&reference);
        assert_eq!(folder, format!("r/b@{digest}-x"));
    }

    #[test]
    fn names_images_of_folders() {
        use Scope::{Full, Last};
        for (folder, root, scope, expected) in [
            ("/m/a/b:1", "/m", Full, "r/a/b:1"),
            ("/m/a/b:1", "/m/", Full, "r/a/b:1"),
            ("/m/a/b:1", "/m", Last, "r/b:1"),
            ("/m/b:1", "/m/b:1", Full, "r/b:1"), // the image itself
            ("m/b:1", "./m", Full, "r/m/b:1"),   // what a search from there finds is clean
        ] {
            let target = target("r", TargetKind::Registry, scope, "");
            assert_eq!(target.of_folder(folder, root), expected, "{folder} in {root}");
        }
    }
}
