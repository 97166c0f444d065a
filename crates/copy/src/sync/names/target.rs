//! A place and how images are named in it, as one text.

use skopeo_image::Reference;
use skopeo_transport::{CollectionKind, base, join};

use super::{Naming, NamingError, Origin, Scope};

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

impl Target {
    /// The name for the image of a registry, without its transport: `PLACE/centos:8`.
    #[must_use]
    pub fn of_reference(&self, reference: &Reference) -> String {
        self.joined(self.label(Origin::Reference(reference)), reference.to_string())
    }

    /// The name for the image in `folder`, found below `root`; both as the search has them.
    #[must_use]
    pub fn of_folder(&self, folder: &str, root: &str) -> String {
        let label = match folder.strip_prefix(root).unwrap_or(folder).trim_start_matches('/') {
            "" => base(root),
            below => below,
        };
        self.joined(self.label(Origin::Label(label)), label.to_owned())
    }

    fn label(&self, origin: Origin<'_>) -> Result<String, NamingError> {
        let kind = match self.kind {
            TargetKind::Registry => CollectionKind::Docker,
            TargetKind::Folder => CollectionKind::Dir,
        };
        let (scope, suffix) = (self.scope, self.suffix.clone());
        Naming { scope, suffix, ..Naming::default() }.label(origin, kind)
    }

    fn joined(&self, label: Result<String, NamingError>, otherwise: String) -> String {
        join(&self.place, &label.unwrap_or(otherwise))
    }
}
