//! What a folder has to serve, and what of it cannot be served, for who starts a server.

use std::collections::BTreeMap;
use std::io;

use rustix::fs::FileType;

use super::keys::{INDEX, MARKER};
use super::{MAX_DEPTH, Store, joined};
use crate::name::RepositoryName;

/// The folder in which a layout has its blobs.
const BLOBS: &str = "blobs";

/// Why links are not served.
const LINK: &str = "it is a symbolic link, and links are not followed";

/// What a folder has to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many repositories there are.
    pub repositories: usize,
    /// How many tags they have together.
    pub tags: usize,
    /// The references of layouts that no client can ask for.
    pub references: Vec<NotServed>,
    /// The places where something lies that is not served.
    pub places: Vec<NotServed>,
}

/// What is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotServed {
    /// Its reference, or its path below the folder.
    pub name: String,
    /// Why, as the end of a sentence.
    pub why: String,
}

impl NotServed {
    fn new(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), why: why.into() }
    }
}

impl Store {
    /// Looks through all layouts.
    pub(crate) fn contents(&self) -> io::Result<Contents> {
        let mut contents = Contents::default();
        let mut repositories: BTreeMap<String, usize> = BTreeMap::new();
        self.each_layout(None, |path, layout| {
            let named = layout.index().and_then(|index| layout.names(&index));
            let names = match named {
                Ok(names) => names,
                Err(error) => {
                    contents.places.push(NotServed::new(path, error.to_string()));
                    return Ok(true);
                }
            };
            let mut add = |name, tags: usize| {
                let known: &mut usize = repositories.entry(name).or_default();
                *known = known.saturating_add(tags);
            };
            if names.has_own() {
                let own = if path.is_empty() { self.base.as_str() } else { path };
                add(own.to_owned(), names.own().len());
            }
            for (name, tags) in names.others() {
                add(joined(path, name), tags.len());
            }
            let refused = names.refused.iter().map(|(name, why)| NotServed::new(name, *why));
            contents.references.extend(refused);
            Ok(true)
        })?;
        contents.repositories = repositories.len();
        contents.tags = repositories.values().sum();
        if self.single.is_none() {
            self.look_around(&mut contents.places)?;
        }
        contents.places.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(contents)
    }

    /// Looks for what is not served: links, images of other formats, folders with odd names.
    fn look_around(&self, found: &mut Vec<NotServed>) -> io::Result<()> {
        let mut waiting = vec![(String::new(), 0_usize)];
        while let Some((path, depth)) = waiting.pop() {
            let entries = match self.folder.join(&path).entries() {
                Ok(entries) => entries,
                Err(error) => {
                    found.push(NotServed::new(path, error.to_string()));
                    continue;
                }
            };
            let has = |name: &str| entries.iter().find(|(it, _)| it == name).map(|(_, kind)| *kind);
            if has("manifest.json").is_some() && has("version").is_some() {
                let why = "it is an image of dir:, and there are layouts beside it";
                found.push(NotServed::new(path, why));
                continue;
            }
            let is_layout = has(MARKER).is_some();
            for (name, kind) in &entries {
                let below = joined(&path, name);
                let is_own = is_layout && [MARKER, INDEX, BLOBS].contains(&name.as_str());
                if let Some(why) = self.why_not(&below, *kind, is_own)? {
                    found.push(NotServed::new(below, why));
                } else if is_own && name == BLOBS {
                    let shelves = self.folder.join(&below).entries()?;
                    let links = shelves.iter().filter(|(_, kind)| *kind == FileType::Symlink);
                    found.extend(links.map(|(name, _)| NotServed::new(joined(&below, name), LINK)));
                } else if *kind == FileType::Directory
                    && depth < MAX_DEPTH
                    && !name.starts_with('.')
                {
                    waiting.push((below, depth.saturating_add(1)));
                }
            }
        }
        Ok(())
    }

    /// Why what is at this path is not served, if it looks as if it should be.
    fn why_not(
        &self,
        below: &str,
        kind: FileType,
        is_own: bool,
    ) -> io::Result<Option<&'static str>> {
        let usable = RepositoryName::parse(below).is_some_and(|name| !name.is_reserved());
        if kind == FileType::Symlink {
            let last = below.rsplit('/').next().unwrap_or(below);
            return Ok((is_own || usable || last == MARKER).then_some(LINK));
        }
        let is_layout = kind == FileType::Directory
            && !usable
            && !is_own
            && self.folder.join(below).look(MARKER)?.is_some();
        Ok(is_layout.then_some("its path is not a valid repository name"))
    }
}
