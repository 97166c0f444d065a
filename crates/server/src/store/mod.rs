//! A folder of repositories: one OCI layout for all, or one for each.

mod facts;
mod index;
mod layout;
mod repository;
mod upload;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;

use crate::Durability;
use crate::error::{ApiError, Code};
use crate::name::{RepositoryName, is_tag};

pub(crate) use layout::Layout;
pub(crate) use repository::{Repository, Target};
pub(crate) use upload::{Upload, UploadState, Uploads};

/// How deep repositories are looked for.
const MAX_DEPTH: usize = 32;

/// The folder that is served.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    base: RepositoryName,
    durability: Durability,
    layouts: Mutex<HashMap<PathBuf, Arc<Layout>>>,
    /// What is being uploaded.
    pub(crate) uploads: Uploads,
}

impl Store {
    /// Opens the folder, which is made if it is missing.
    pub(crate) fn open(root: &Path, durability: Durability) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let root = fs::canonicalize(root)?;
        let name = root.file_name().unwrap_or_default().to_string_lossy();
        let base = RepositoryName::of_folder(&name);
        Ok(Self { root, base, durability, layouts: Mutex::default(), uploads: Uploads::default() })
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The repository of this name. In a folder that is itself a layout every name is one, though
    /// it may have no tags.
    pub(crate) fn repository(&self, name: &RepositoryName) -> io::Result<Option<Repository>> {
        if let Some(layout) = self.layout(name.as_str()) {
            return Ok(Some(Repository::whole(layout)));
        }
        if let Some(layout) = self.layout("") {
            return Ok(Some(if *name == self.base {
                Repository::base(layout, name.as_str())
            } else {
                Repository::named(layout, name.as_str())
            }));
        }
        for (at, _) in name.as_str().rmatch_indices('/') {
            let (parent, rest) = (&name.as_str()[..at], &name.as_str()[at + 1..]);
            if let Some(layout) = self.layout(parent) {
                let repository = Repository::named(layout, rest);
                if !repository.tags()?.is_empty() {
                    return Ok(Some(repository));
                }
            }
        }
        Ok(None)
    }

    /// The repository of this name, made if it is missing.
    pub(crate) fn create(&self, name: &RepositoryName) -> Result<Repository, ApiError> {
        if let Some(repository) = self.repository(name)? {
            return Ok(repository);
        }
        let refused = |why: &str| ApiError::new(Code::NameInvalid, format!("{name}: {why}"));
        if name.is_reserved() {
            return Err(refused("a component is the name of a file of the layout"));
        }
        let mut path = self.root.clone();
        for component in name.as_str().split('/') {
            path.push(component);
            match fs::symlink_metadata(&path) {
                Ok(found) if !found.is_dir() => return Err(refused("there is no folder here")),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error.into()),
            }
        }
        Layout::create(self.root.join(name.as_str()), self.durability)?;
        self.repository(name)?.ok_or_else(|| refused("the folder is not there any more"))
    }

    /// The names of all repositories that have something in them, sorted.
    pub(crate) fn names(&self) -> io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        self.collect("", MAX_DEPTH, &mut names)?;
        Ok(names)
    }

    /// Every layout there is, as far as looking for repositories finds it.
    pub(crate) fn layouts(&self) -> io::Result<Vec<Arc<Layout>>> {
        let mut found: Vec<_> = self.layout("").into_iter().collect();
        let names = self.names()?;
        found.extend(names.iter().filter_map(|name| self.layout(name)));
        Ok(found)
    }

    fn collect(&self, path: &str, depth: usize, names: &mut BTreeSet<String>) -> io::Result<()> {
        let layout = self.layout(path);
        if let Some(layout) = &layout {
            let own = if path.is_empty() { self.base.as_str() } else { path };
            for entry in layout.index()?.entries() {
                let tagged = entry.ref_name().and_then(|name| name.rsplit_once(':'));
                let other = tagged
                    .filter(|(name, tag)| is_tag(tag) && RepositoryName::parse(name).is_some());
                names.insert(match other {
                    Some((name, _)) if path.is_empty() => name.to_owned(),
                    Some((name, _)) => format!("{path}/{name}"),
                    None => own.to_owned(),
                });
            }
        }
        if depth == 0 {
            return Ok(());
        }
        for entry in fs::read_dir(self.root.join(path))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let candidate = if path.is_empty() { name } else { format!("{path}/{name}") };
            let usable = RepositoryName::parse(&candidate).is_some_and(|name| !name.is_reserved());
            if usable && entry.file_type()?.is_dir() {
                self.collect(&candidate, depth - 1, names)?;
            }
        }
        Ok(())
    }

    /// The layout at this path below the root. Symbolic links lead nowhere: what is served lies in
    /// the folder.
    fn layout(&self, below: &str) -> Option<Arc<Layout>> {
        let mut path = self.root.clone();
        for component in below.split('/').filter(|component| !component.is_empty()) {
            path.push(component);
            if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
                return None;
            }
        }
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = layouts.get(&path) {
            if layout.is_there() {
                return Some(layout.clone());
            }
            layouts.remove(&path);
        }
        let layout = Arc::new(Layout::at(path.clone(), self.durability)?);
        layouts.insert(path, layout.clone());
        Some(layout)
    }
}
