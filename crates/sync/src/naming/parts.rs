//! What an image is called, taken apart.

use std::fmt;

use skopeo_image::Reference;
use skopeo_transport::CollectionKind;

use super::{Fields, Origin, as_part, split};

/// A name in its parts. Only what is a reference in full has a registry.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    registry: Option<String>,
    path: Vec<String>,
    /// Behind the last part: the tag with its colon, or the digest with its at where there is no
    /// tag.
    pub(super) tail: String,
    /// The digest of what has a tag, too: it says which image it is, not what it is called.
    pinned: Option<String>,
    origin: Origin<'a>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(origin: Origin<'a>) -> Self {
        match origin {
            Origin::Reference(reference) => Self::of_reference(reference, origin),
            Origin::Label(label) => match Reference::parse_canonical(label) {
                Ok(reference) if !reference.is_name_only() => {
                    Self::of_reference(&reference, origin)
                }
                _ => Self::of_path(label, origin),
            },
        }
    }

    fn of_reference(reference: &Reference, origin: Origin<'a>) -> Self {
        let (tail, pinned) = match (&reference.tag, &reference.digest) {
            (Some(tag), digest) => (format!(":{tag}"), digest.as_ref().map(ToString::to_string)),
            (None, Some(digest)) => (format!("@{digest}"), None),
            (None, None) => (String::new(), None),
        };
        Self {
            registry: Some(reference.name.domain().to_owned()),
            path: split(reference.name.path()).map(str::to_owned).collect(),
            tail,
            pinned,
            origin,
        }
    }

    fn of_path(label: &str, origin: Origin<'a>) -> Self {
        // A slash in front says that nobody who means well wrote it: it is left to be refused.
        let (root, below) = label.split_at(usize::from(label.starts_with('/')));
        let root = (!root.is_empty()).then(String::new);
        let mut path: Vec<String> = root.into_iter().collect();
        path.extend(split(below).map(str::to_owned));
        let mut tail = String::new();
        if let Some(last) = path.last_mut()
            && let Some(at) = last.find([':', '@']).filter(|at| *at > 0)
        {
            tail = last.split_off(at);
        }
        Self { registry: None, path, tail, pinned: None, origin }
    }

    /// The registry and the path without these parts in front.
    pub(super) fn without(&self, prefix: &str) -> (Option<&str>, &[String]) {
        let registry = self.registry.as_deref();
        let prefix: Vec<&str> = split(prefix).collect();
        let starts = |name: &[&str]| !prefix.is_empty() && name.starts_with(&prefix);
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let full: Vec<&str> = registry.into_iter().chain(path.iter().copied()).collect();
        let (registry, gone) = match registry {
            Some(_) if starts(&full) => (None, prefix.len().saturating_sub(1)),
            registry if starts(&path) => (registry, prefix.len()),
            registry => (registry, 0),
        };
        let gone = gone.min(self.path.len().saturating_sub(1));
        (registry, self.path.get(gone..).unwrap_or_default())
    }

    pub(super) fn repository(&self) -> String {
        let registry = self.registry.as_deref().into_iter();
        registry.chain(self.path.iter().map(String::as_str)).collect::<Vec<_>>().join("/")
    }

    pub(super) fn tag(&self) -> &str {
        self.tail.split('@').next().unwrap_or_default().trim_start_matches(':')
    }

    pub(super) fn digest(&self) -> Option<&str> {
        self.tail.split_once('@').map(|(_, digest)| digest)
    }

    pub(super) fn fields(&self, kind: CollectionKind) -> Fields {
        let (name, above) = match self.path.split_last() {
            Some((name, above)) => (name.clone(), above.join("/")),
            None => (String::new(), String::new()),
        };
        Fields {
            registry: self.registry.as_deref().map(|it| as_part(it, kind)).unwrap_or_default(),
            path: above,
            name,
            repository: self.path.join("/"),
            tag: self.tag().to_owned(),
            digest: self.pinned.as_deref().or_else(|| self.digest()).unwrap_or_default().to_owned(),
        }
    }

    /// What a template made. One that was written for tags ends in an empty one where there is
    /// none; the digest takes its place.
    pub(super) fn with_digest(&self, label: &str) -> String {
        match (label.strip_suffix(':'), self.digest()) {
            (Some(name), Some(digest)) => format!("{name}@{digest}"),
            _ => label.trim_end_matches(':').to_owned(),
        }
    }
}

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Reference(reference) => reference.fmt(f),
            Origin::Label(label) => write!(f, "{label:?}"),
        }
    }
}
