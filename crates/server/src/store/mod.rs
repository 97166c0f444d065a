//! A folder of repositories: one OCI layout for all, or one for each.

mod beneath;
mod blobs;
mod bucket;
mod contents;
mod count;
mod empty;
mod follow;
mod index;
mod kept;
mod keys;
mod known;
mod layout;
mod limits;
mod names;
mod page;
mod parsed_manifest;
mod patience;
mod reach;
mod repository;
mod room;
mod stamp;
mod tidy;
mod upload;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::FileType;
use skopeo_image::number::wide;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use crate::content::Content;
use crate::error::{ApiError, Code};
use crate::memory::Memory;
use crate::name::RepositoryName;
use crate::progress::after;
use crate::refusal::Refusal;
use crate::{BucketOptions, Durability};

use beneath::Folder;
use bucket::Bucket;
use room::Room;

pub use contents::{Contents, NotServed};
pub(crate) use count::Count;
pub(crate) use layout::{Hold, Layout};
pub use limits::StorageLimits;
pub(crate) use page::Page;
pub(crate) use parsed_manifest::{annotations, is_manifest_type};
pub(crate) use repository::{Checked, Repository, Target};
pub(crate) use tidy::keep_tidy;
pub(crate) use upload::{Held, Upload, Uploads};

/// How deep repositories are looked for.
const MAX_DEPTH: usize = 32;

/// What a small file or a folder takes on most disks, in bytes.
const BLOCK: u64 = 4096;

/// How often a repository is made again that another server removes, since it is empty.
const ATTEMPTS: usize = 10;

/// What a folder takes that is to be looked into, beside its path, in bytes.
const FOLDER: usize = 96;

/// Of how many layouts more is remembered than what lies in their folders.
const MOST_LAYOUTS: usize = 10_000;

/// How many layouts are edited at once, each on a thread of its own; more wait. Reading has the
/// other threads.
const EDITORS: usize = 16;

/// The folder that is served.
#[derive(Debug)]
pub(crate) struct Store {
    folder: Folder,
    /// What is served instead of layouts in the folder.
    single: Option<Arc<Layout>>,
    base: RepositoryName,
    durability: Durability,
    limits: StorageLimits,
    room: Arc<Room>,
    layouts: Mutex<HashMap<String, Arc<Layout>>>,
    editors: Semaphore,
    /// What is being uploaded.
    pub(crate) uploads: Uploads,
}

impl Store {
    /// Opens the folder; with `content` it is only where that lies.
    pub(crate) fn open(
        root: &Path,
        content: Option<Arc<dyn Content>>,
        bucket: Option<(BucketOptions, bool)>,
        durability: Durability,
        limits: StorageLimits,
        memory: &Memory,
    ) -> io::Result<Self> {
        let folder = match content.is_some() || bucket.is_some() {
            true => Folder::anything(root)?,
            false => Folder::root(root)?,
        };
        let room = Arc::new(Room::new(&limits, memory));
        let of_content =
            |content| Layout::of_content(folder.clone(), content, room.clone()).map(Arc::new);
        let bucket = bucket.map(|(options, create)| opened(options, create)).transpose()?;
        let path = folder.path();
        let name = path.file_stem().filter(|_| content.is_some()).or_else(|| path.file_name());
        let name = name.unwrap_or_default().to_string_lossy();
        let name = bucket.as_ref().map_or(&*name, |bucket| bucket.name());
        let base = RepositoryName::of_folder(name);
        let single = match bucket {
            Some(bucket) => Some(Arc::new(Layout::of_bucket(folder.clone(), bucket, room.clone()))),
            None => content.map(of_content).transpose()?,
        };
        let store = Self {
            base,
            single,
            folder,
            durability,
            limits,
            room,
            layouts: Mutex::default(),
            editors: Semaphore::new(EDITORS),
            uploads: Uploads::default(),
        };
        store.measure()?;
        Ok(store)
    }

    /// Counts what a request takes of the memory for indexes.
    pub(crate) fn count(&self) -> Count {
        self.room.kept.count()
    }

    /// Parses a manifest of so many bytes when it is its turn.
    ///
    /// # Errors
    ///
    /// If there is no thread for it.
    pub(crate) fn in_turn<T: Send>(
        &self,
        size: usize,
        parse: impl FnOnce() -> T + Send,
    ) -> io::Result<T> {
        self.room.kept.in_turn(size, parse)
    }

    /// Waits until uploads that were given up have been ended at an object store.
    pub(crate) async fn settle(&self) {
        self.uploads.forget_idle(Duration::ZERO);
        if let Some(bucket) = self.single.as_ref().and_then(|layout| layout.bucket.clone()) {
            bucket.settle().await;
        }
    }

    /// Until when a request that comes now waits for a lock.
    pub(crate) fn deadline(&self) -> Instant {
        after(std::time::Instant::now(), self.limits.lock).into()
    }

    /// Edits a repository's layout when it is its turn, on a thread that may wait for the disk. One
    /// that was made for nothing goes, if the edit is refused. None if it has gone before.
    pub(crate) async fn edit<T: Send + 'static>(
        self: &Arc<Self>,
        repository: Repository,
        edit: impl FnOnce(&Repository, &Hold) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<Option<T>, ApiError> {
        let deadline = self.deadline();
        let Some(hold) = repository.layout.hold(deadline).await? else { return Ok(None) };
        let permit = timeout_at(deadline, self.editors.acquire()).await;
        let _permit = permit.map_err(|_| patience::busy())?.map_err(io::Error::other)?;
        let store = self.clone();
        let edit = move || {
            let edited = edit(&repository, &hold);
            if edited.is_err() {
                store.remove_if_empty_held(&repository.layout, &hold);
            }
            edited
        };
        spawn_blocking(edit).await.map_err(io::Error::other)?.map(Some)
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
        let slashes = name.as_str().rmatch_indices('/');
        for (parent, rest) in slashes.filter_map(|(at, _)| split_at_slash(name.as_str(), at)) {
            if let Some(layout) = self.layout(parent) {
                let repository = Repository::named(layout, rest);
                if repository.is_known()? {
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
        if name.as_str().split('/').count() > MAX_DEPTH {
            return Err(refused("it has more than 32 components"));
        }
        for (end, _) in name.as_str().match_indices('/').chain([(name.as_str().len(), "")]) {
            match self.folder.look(name.as_str().get(..end).unwrap_or_default())? {
                Some(found) if !found.is_dir() => return Err(refused("there is no such folder")),
                Some(_) => {}
                None => break,
            }
        }
        for _ in 0..ATTEMPTS {
            let size = footprint(name.as_str());
            self.room.take(size)?;
            let folder = self.folder.join(name.as_str());
            let created = Layout::create(folder, self.durability, &self.room);
            if !matches!(created, Ok(true)) {
                self.room.give_back(size);
            }
            created?;
            // Empty as it is, another server may have removed it since.
            if let Some(repository) = self.repository(name)? {
                return Ok(repository);
            }
        }
        Err(refused("the folder is not a layout"))
    }

    /// Puts the names of all repositories that have something in them on a page. A layout that
    /// cannot be read does not hide the others.
    pub(crate) fn names(&self, page: &mut Page) -> io::Result<()> {
        let mut count = self.room.kept.count();
        self.each_layout(Some(&mut count), |path, layout| {
            let named = layout.index().and_then(|index| layout.names(&index));
            let found = match named {
                Ok(found) => found,
                // It would be listed a moment later.
                Err(error) if matches!(Refusal::of(&error), Some(Refusal::Busy)) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::error!("listing repositories in {path:?}: {error}");
                    return Ok(true);
                }
            };
            if found.has_own() {
                page.add(if path.is_empty() { self.base.as_str() } else { path })?;
            }
            for (name, _) in found.others() {
                page.add(&joined(path, name))?;
            }
            Ok(true)
        })
    }

    /// Visits every layout there is, with its path below the folder, until `visit` has enough. What
    /// is to be visited still is added to `count`.
    pub(crate) fn each_layout(
        &self,
        mut count: Option<&mut Count>,
        mut visit: impl FnMut(&str, &Arc<Layout>) -> io::Result<bool>,
    ) -> io::Result<()> {
        if let Some(layout) = &self.single {
            return visit("", layout).map(drop);
        }
        let mut waiting = vec![(String::new(), 0_usize)];
        while let Some((path, depth)) = waiting.pop() {
            if depth < MAX_DEPTH {
                let mut refused = None;
                let looked = self.folder.join(&path).each(|name, kind| {
                    let below = joined(&path, name);
                    let usable =
                        RepositoryName::parse(&below).is_some_and(|name| !name.is_reserved());
                    if !usable || kind != FileType::Directory {
                        return Ok(());
                    }
                    if let Some(count) = count.as_deref_mut() {
                        let counted = count.add(size_of_path(&below));
                        counted.inspect_err(|error| refused = Refusal::of(error))?;
                    }
                    waiting.push((below, depth.saturating_add(1)));
                    Ok(())
                });
                match looked {
                    // What may not be looked into hides nothing else.
                    Err(error) if !path.is_empty() && refused.is_none() => {
                        tracing::warn!("looking for repositories: {error}");
                        continue;
                    }
                    looked => looked?,
                }
            }
            if let Some(layout) = self.layout(&path)
                && !visit(&path, &layout)?
            {
                return Ok(());
            }
            if let Some(count) = count.as_deref_mut() {
                count.give_back(size_of_path(&path));
            }
        }
        Ok(())
    }

    /// The layout at this path below the root. Symbolic links lead nowhere: what is served lies in
    /// the folder.
    fn layout(&self, below: &str) -> Option<Arc<Layout>> {
        if let Some(layout) = &self.single {
            return below.is_empty().then(|| layout.clone());
        }
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = layouts.get(below) {
            if layout.is_there() {
                return Some(layout.clone());
            }
            layouts.remove(below);
        }
        let layout = Layout::at(self.folder.join(below), self.durability, &self.room)?;
        let layout = Arc::new(layout);
        if layouts.len() >= MOST_LAYOUTS {
            layouts.retain(|_, layout| Arc::strong_count(layout) > 1);
        }
        layouts.insert(below.to_owned(), layout.clone());
        Some(layout)
    }
}

/// Returns the layout in a bucket, which must be there if it is not to be made.
fn opened(options: BucketOptions, create: bool) -> io::Result<Arc<Bucket>> {
    let bucket = Bucket::new(options.store, options.upload_memory);
    if !bucket.open(create)? {
        let text = format!("reading {}: there is no OCI layout (no index.json)", bucket.place());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(Arc::new(bucket))
}

/// What a repository counts for beside its blobs, in bytes: blocks of the disk for its files and
/// for each folder. Without this there could be any number of small ones.
fn footprint(path: &str) -> u64 {
    let folders = wide(path.split('/').filter(|name| !name.is_empty()).count());
    if folders == 0 { 0 } else { folders.saturating_add(4).saturating_mul(BLOCK) }
}

/// What stands before and behind the slash that is there.
fn split_at_slash(name: &str, at: usize) -> Option<(&str, &str)> {
    let (parent, rest) = name.split_at_checked(at)?;
    Some((parent, rest.strip_prefix('/')?))
}

/// What a folder takes that is to be looked into, in bytes.
fn size_of_path(path: &str) -> usize {
    path.len().saturating_mul(2).saturating_add(FOLDER)
}

/// The path of what is below a folder.
fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}
