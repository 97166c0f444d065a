//! Which repository and tag a reference of a layout is here. Pure.
//!
//! `oci:` takes any text as a reference, and `sync` writes the whole name of an image there, its
//! registry and port included. A port can be no part of a repository's name, so it is written as
//! `sync --scoped` writes it into a registry: `host:5000/team/app:1` is tag `1` of
//! `host_5000/team/app`.

use std::collections::BTreeMap;
use std::io;

use skopeo_image::Digest;

use super::count::Count;
use super::index::Index;
use crate::name::{RepositoryName, is_tag};

/// What one reference is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServedName {
    /// The repository; none if it is that of the layout itself.
    pub(crate) repository: Option<String>,
    /// The tag; none if the reference names a digest.
    pub(crate) tag: Option<String>,
}

/// What all references of an index are here.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The tags of the layout's own repository.
    own: BTreeMap<String, String>,
    /// The references of other repositories, by repository and tag.
    others: BTreeMap<String, BTreeMap<String, String>>,
    /// How a repository is spelled in the references.
    spelled: BTreeMap<String, String>,
    /// Whether something can be had by its digest alone, from the layout's own repository.
    nameless: bool,
    /// The references that no client can ask for, and why.
    pub(crate) refused: Vec<(String, &'static str)>,
    /// What all this takes of the memory, if that is counted.
    _counted: Option<Count>,
}

impl ServedName {
    /// Reads a reference; an error says why no client can ask for it.
    pub(crate) fn of(reference: &str) -> Result<Self, &'static str> {
        let (named, digest) = match reference.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (reference, None),
        };
        if digest.is_some_and(|digest| digest.parse::<Digest>().is_err()) {
            return Err("there is no digest after the @");
        }
        if digest.is_none() && is_tag(named) {
            return Ok(Self { repository: None, tag: Some(named.to_owned()) });
        }
        let (name, tag) = match named.rsplit_once(':') {
            // A colon before the last slash is that of a port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (named, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err("its tag is not valid in a registry");
        }
        if tag.is_none() && digest.is_none() {
            return Err("it has no tag");
        }
        let repository = repository(name).ok_or("its name is not a valid repository name")?;
        Ok(Self { repository: Some(repository), tag: tag.map(str::to_owned) })
    }
}

/// The repository of this name, with the port of its registry as `sync --scoped` writes it.
fn repository(name: &str) -> Option<String> {
    if let Some(name) = RepositoryName::parse(name) {
        return Some(name.to_string());
    }
    let (registry, path) = name.split_once('/')?;
    let registry = registry.replace(['[', ']'], "").replace(':', "_");
    RepositoryName::parse(&format!("{registry}/{path}")).map(|name| name.to_string())
}

/// What a repository takes beside its names, in bytes: the least that a map has, and its places in
/// others.
const REPOSITORY: usize = 1024;

/// What a tag takes beside its name and reference, in bytes.
const TAG: usize = 128;

impl Names {
    /// Reads all references of an index.
    ///
    /// # Errors
    ///
    /// If there is no memory for them.
    pub(crate) fn of(index: &Index, count: Option<Count>) -> io::Result<Self> {
        let mut names = Self::default();
        let mut clashing = Vec::new();
        let mut count = count;
        for entry in index.entries() {
            let Some(reference) = entry.ref_name() else {
                names.nameless = true;
                continue;
            };
            let place = ServedName::of(reference);
            if let Some(count) = &mut count {
                let repository = place.as_ref().ok().and_then(|place| place.repository.as_ref());
                let is_new = repository.is_some_and(|it| !names.others.contains_key(it));
                let (fixed, texts) = if is_new { (REPOSITORY + TAG, 5) } else { (TAG, 2) };
                count.add(reference.len().saturating_mul(texts).saturating_add(fixed))?;
            }
            match place {
                Err(why) => {
                    names.nameless = true;
                    names.refused.push((reference.to_owned(), why));
                }
                Ok(place) => clashing.extend(names.add(place, reference)),
            }
        }
        let why = "another reference has the same name and tag here";
        names.refused.extend(clashing.into_iter().map(|reference| (reference, why)));
        names._counted = count;
        Ok(names)
    }

    /// Adds a reference. The one that is in the way of the other, if one is: what is written as it
    /// is asked for goes first, else what came first.
    fn add(&mut self, place: ServedName, reference: &str) -> Option<String> {
        let ServedName { repository, tag } = place;
        let Some(repository) = repository else {
            return self.own.insert(tag?, reference.to_owned()).map(|_| reference.to_owned());
        };
        let tags = self.others.entry(repository.clone()).or_default();
        let tag = tag?;
        let asked = format!("{repository}:{tag}");
        let name = reference.split('@').next().unwrap_or_default();
        let name = name.strip_suffix(&format!(":{tag}")).unwrap_or(name).to_owned();
        let loser = match tags.get(&tag) {
            Some(there) if reference != asked || *there == asked => Some(reference.to_owned()),
            _ => tags.insert(tag, reference.to_owned()),
        };
        if name == repository {
            self.spelled.insert(repository, name);
        } else {
            self.spelled.entry(repository).or_insert(name);
        }
        loser
    }

    /// The tags of the layout's own repository.
    pub(crate) fn own(&self) -> &BTreeMap<String, String> {
        &self.own
    }

    /// The tags of another repository; none if no reference names it.
    pub(crate) fn tags(&self, repository: &str) -> Option<&BTreeMap<String, String>> {
        self.others.get(repository)
    }

    /// All other repositories.
    pub(crate) fn others(&self) -> impl Iterator<Item = (&String, &BTreeMap<String, String>)> {
        self.others.iter()
    }

    /// Whether there is anything in the layout's own repository.
    pub(crate) fn has_own(&self) -> bool {
        self.nameless || !self.own.is_empty()
    }

    /// The reference that a new tag of a repository gets: as those that are there are spelled.
    pub(crate) fn spell(&self, repository: &str, tag: &str) -> String {
        let name = self.spelled.get(repository).map_or(repository, String::as_str);
        format!("{name}:{tag}")
    }
}

/// Returns whether a tag is one under which referrers of an image are found. In a layout these have
/// no repository in front, whatever the image is called.
pub(crate) fn is_made_of_digest(tag: &str) -> bool {
    let (algorithm, rest) = tag.split_once('-').unwrap_or_default();
    let hex = rest.split('.').next().unwrap_or_default();
    format!("{algorithm}:{hex}").parse::<Digest>().is_ok()
}

#[cfg(test)]
mod tests {
    use skopeo_image::MediaType;

    use super::super::index::{Entry, REF_NAME};
    use super::*;

    fn digest() -> Digest {
        Digest::sha256(b"")
    }

    #[test]
    fn references_become_repositories_and_tags() {
        let by_digest = format!("host:5000/team/app@{}", digest());
        let both = format!("quay.io/app:v1@{}", digest());
        for (reference, expected) in [
            ("latest", Ok((None, Some("latest")))),
            ("centos:7", Ok((Some("centos"), Some("7")))),
            ("docker.io/library/x:1", Ok((Some("docker.io/library/x"), Some("1")))),
            ("host:5000/team/app:1", Ok((Some("host_5000/team/app"), Some("1")))),
            ("localhost:5000/app:1", Ok((Some("localhost_5000/app"), Some("1")))),
            ("127.0.0.1:5000/app:1", Ok((Some("127.0.0.1_5000/app"), Some("1")))),
            (&by_digest, Ok((Some("host_5000/team/app"), None))),
            (&both, Ok((Some("quay.io/app"), Some("v1")))),
            ("host:5000/team/app", Err("it has no tag")),
            ("team/app", Err("it has no tag")),
            ("odd name:1", Err("its name is not a valid repository name")),
            ("Upper/app:1", Err("its name is not a valid repository name")),
            ("[::1]:5000/app:1", Err("its name is not a valid repository name")),
            ("a:b:c", Err("its name is not a valid repository name")),
            ("a/../b:1", Err("its name is not a valid repository name")),
            ("app:-x", Err("its tag is not valid in a registry")),
            ("app:", Err("its tag is not valid in a registry")),
            (":1", Err("its name is not a valid repository name")),
            ("app@sha256:12", Err("there is no digest after the @")),
            ("", Err("it has no tag")),
        ] {
            let place = ServedName::of(reference);
            let place = place.as_ref().map(|it| (it.repository.as_deref(), it.tag.as_deref()));
            assert_eq!(place.map_err(|why| *why), expected, "{reference:?}");
        }
    }

    fn names(references: &[&str]) -> Names {
        let mut index = Index::default();
        for reference in references {
            let digest = Digest::sha256(reference.as_bytes());
            index.add(Entry::describing(
                &MediaType::OCI_MANIFEST,
                &digest,
                1,
                &[(REF_NAME, *reference)],
            ));
        }
        Names::of(&index, None).unwrap()
    }

    #[test]
    fn what_is_written_as_it_is_asked_for_goes_first() {
        for (references, wins, loses) in [
            (["h:5/a:1", "h_5/a:1"], "h_5/a:1", "h:5/a:1"),
            (["h_5/a:1", "h:5/a:1"], "h_5/a:1", "h:5/a:1"),
        ] {
            let names = names(&references);
            assert_eq!(names.tags("h_5/a").unwrap()["1"], wins);
            assert_eq!(names.refused.len(), 1);
            assert_eq!(names.refused[0].0, loses);
        }
    }

    #[test]
    fn new_tags_are_spelled_as_the_old_ones() {
        let names = names(&["h:5/a:1", "quay.io/b:2", "latest"]);
        assert_eq!(names.spell("h_5/a", "2"), "h:5/a:2");
        assert_eq!(names.spell("quay.io/b", "3"), "quay.io/b:3");
        assert_eq!(names.spell("new", "1"), "new:1");
        assert!(names.has_own() && names.own().contains_key("latest"));
    }

    #[test]
    fn tags_of_referrers() {
        let hex = digest().hex().to_owned();
        for (tag, expected) in [
            (format!("sha256-{hex}"), true),
            (format!("sha256-{hex}.sig"), true),
            (format!("sha512-{hex}"), false),
            ("sha256-12.sig".into(), false),
            ("latest".into(), false),
        ] {
            assert_eq!(is_made_of_digest(&tag), expected, "{tag}");
        }
    }
}
