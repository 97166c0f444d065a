//! The layers of a store, and those of a store that is read only.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::loaded::Loaded;
use crate::error::{Error, Result};
use crate::files::{self, Durability};
use crate::lock::{Access, Held, LockFile};
use crate::places::Places;
use crate::records::{self, LayerRecord, MountRecord, Record};

/// A list of layers: in one store, by up to three files.
#[derive(Debug)]
pub(crate) struct Layers {
    locks: Vec<LockFile>,
    files: Vec<(Location, PathBuf)>,
    mounts: Option<Mounts>,
    loaded: Loaded<LayerList>,
    is_swept: AtomicBool,
}

/// What is mounted, and its lock.
#[derive(Debug)]
struct Mounts {
    lock: LockFile,
    list: PathBuf,
}

/// In which of the files a layer is listed. It is written back there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Location {
    /// layers.json of the store.
    Stable,
    /// layers.json of where image layers lie if elsewhere.
    ImageStore,
    /// volatile-layers.json.
    Volatile,
}

/// Layers as they were read, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerList {
    entries: Vec<(Location, Record<LayerRecord>)>,
    by_id: HashMap<String, usize>,
}

/// Layers as long as nobody changes them.
#[derive(Debug)]
pub(crate) struct LayersReading {
    _held: Vec<Held>,
    list: Arc<LayerList>,
}

/// Layers that nobody else reads or writes.
#[derive(Debug)]
pub(crate) struct LayersWriting<'a> {
    layers: &'a Layers,
    held: Vec<Held>,
    pub(crate) list: LayerList,
}

impl Layers {
    /// Those of the store itself.
    pub(crate) fn new(places: &Places) -> Self {
        let folders: Vec<PathBuf> =
            [places.layers()].into_iter().chain(places.image_layers()).collect();
        let lock = |folder: &PathBuf| LockFile::new(folder.join("layers.lock"), Access::ReadWrite);
        let list = |folder: PathBuf| folder.join("layers.json");
        let mut files = vec![(Location::Stable, list(places.layers()))];
        files.extend(places.image_layers().map(|folder| (Location::ImageStore, list(folder))));
        let volatile = places.volatile_layers().join("volatile-layers.json");
        files.push((Location::Volatile, volatile));
        let running = places.running_layers();
        Self {
            locks: folders.iter().map(lock).collect(),
            files,
            mounts: Some(Mounts {
                lock: LockFile::new(running.join("mountpoints.lock"), Access::ReadWrite),
                list: running.join("mountpoints.json"),
            }),
            loaded: Loaded::default(),
            is_swept: AtomicBool::new(false),
        }
    }

    /// Those of a store that is read only, listed in `folder`.
    pub(crate) fn read_only(folder: &Path) -> Self {
        Self {
            locks: vec![LockFile::new(folder.join("layers.lock"), Access::ReadOnly)],
            files: vec![
                (Location::Stable, folder.join("layers.json")),
                (Location::Volatile, folder.join("volatile-layers.json")),
            ],
            mounts: None,
            loaded: Loaded::default(),
            is_swept: AtomicBool::new(false),
        }
    }

    /// Where new image layers are listed.
    pub(crate) fn location(&self) -> Location {
        let elsewhere = self.files.iter().any(|(location, _)| *location == Location::ImageStore);
        if elsewhere { Location::ImageStore } else { Location::Stable }
    }

    pub(crate) fn read(&self) -> Result<LayersReading> {
        let held = self.locks.iter().map(LockFile::read).collect::<Result<Vec<_>>>()?;
        let list = self.load(&held)?;
        Ok(LayersReading { _held: held, list })
    }

    pub(crate) fn write(&self) -> Result<LayersWriting<'_>> {
        let held = self.locks.iter().map(LockFile::write).collect::<Result<Vec<_>>>()?;
        if !self.is_swept.swap(true, Ordering::AcqRel) {
            self.sweep()?;
        }
        let list = LayerList::clone(&*self.load(&held)?);
        Ok(LayersWriting { layers: self, held, list })
    }

    /// Removes what was about to replace lists and recipes when somebody was ended. In the run root
    /// there are files that are replaced under other locks.
    fn sweep(&self) -> Result<()> {
        for (location, path) in &self.files {
            let Some(folder) = path.parent() else { continue };
            match location {
                Location::Stable | Location::ImageStore => files::remove_unfinished(folder, "")?,
                Location::Volatile => files::remove_unfinished(folder, "volatile-layers.json")?,
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<&Path> {
        self.files.iter().map(|(_, path)| path.as_path()).collect()
    }

    fn load(&self, held: &[Held]) -> Result<Arc<LayerList>> {
        self.loaded.get(held, &self.paths(), || {
            let mut list = LayerList::default();
            for (location, path) in &self.files {
                for record in records::load(path)? {
                    list.add(*location, record);
                }
            }
            Ok(list)
        })
    }
}

impl LayersReading {
    pub(crate) fn list(&self) -> &LayerList {
        &self.list
    }

    /// The list as it was; the lock is let go.
    pub(crate) fn release(self) -> Arc<LayerList> {
        self.list
    }
}

impl LayersWriting<'_> {
    /// Writes the lists of these locations, and what is mounted.
    pub(crate) fn save(&self, locations: &[Location]) -> Result<()> {
        let Some(mounts) = &self.layers.mounts else {
            return Err(Error::ReadOnly { id: String::new() });
        };
        let mounts_held = mounts.lock.write()?;
        for held in &self.held {
            held.touch()?;
        }
        for (location, path) in &self.layers.files {
            if !locations.contains(location) {
                continue;
            }
            let durability = match location {
                Location::Stable | Location::ImageStore => Durability::Synced,
                Location::Volatile => Durability::Volatile,
            };
            let there = self.list.entries.iter().filter(|(of, _)| of == location);
            records::save(path, there.map(|(_, record)| record), durability)?;
        }
        let mounted = mounts.load()?;
        let known =
            mounted.iter().filter(|it| is_mounted(it) && self.list.entry(&it.known.id).is_some());
        mounts_held.touch()?;
        records::save(&mounts.list, known, Durability::Volatile)?;
        self.layers.loaded.put(&self.held, &self.layers.paths(), self.list.clone())
    }

    /// Whether a layer is mounted.
    pub(crate) fn is_mounted(&self, id: &str) -> Result<bool> {
        let Some(mounts) = &self.layers.mounts else { return Ok(false) };
        let _held = mounts.lock.read()?;
        Ok(mounts.load()?.iter().any(|it| it.known.id == id && is_mounted(it)))
    }
}

impl Mounts {
    fn load(&self) -> Result<Vec<Record<MountRecord>>> {
        records::load(&self.list)
    }
}

fn is_mounted(record: &Record<MountRecord>) -> bool {
    record.known.count > 0 && !record.known.path.is_empty()
}

impl LayerList {
    /// Adds a layer, if there is none of its id.
    pub(crate) fn add(&mut self, location: Location, record: Record<LayerRecord>) {
        let id = record.known.id.clone();
        if !self.by_id.contains_key(&id) {
            self.by_id.insert(id, self.entries.len());
            self.entries.push((location, record));
        }
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.entries.retain(|(_, record)| record.known.id != id);
        let ids = self.entries.iter().enumerate();
        self.by_id = ids.map(|(at, (_, record))| (record.known.id.clone(), at)).collect();
    }

    /// What is listed under an id, be it complete or not.
    pub(crate) fn entry(&self, id: &str) -> Option<(Location, &LayerRecord)> {
        let (location, record) = self.entries.get(*self.by_id.get(id)?)?;
        Some((*location, &record.known))
    }

    pub(crate) fn entry_mut(&mut self, id: &str) -> Option<&mut LayerRecord> {
        let (_, record) = self.entries.get_mut(*self.by_id.get(id)?)?;
        Some(&mut record.known)
    }

    /// A layer that is complete.
    pub(crate) fn layer(&self, id: &str) -> Option<&LayerRecord> {
        self.entry(id).map(|(_, record)| record).filter(|record| !record.is_incomplete())
    }

    /// The layers that are complete, in their order.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &LayerRecord> {
        self.entries.iter().map(|(_, record)| &record.known).filter(|it| !it.is_incomplete())
    }

    /// The ids of those that are not.
    pub(crate) fn incomplete(&self) -> Vec<String> {
        let records = self.entries.iter().map(|(_, record)| &record.known);
        records.filter(|it| it.is_incomplete()).map(|it| it.id.clone()).collect()
    }
}

/// The ids of a layer and of those below it, itself first, found in these lists: the first that has
/// one counts.
///
/// # Errors
/// If one of them is missing, or lies on itself.
pub(crate) fn chain(lists: &[&LayerList], id: &str) -> Result<Vec<String>> {
    let mut chain = Vec::new();
    let mut seen = HashSet::new();
    let mut next = Some(id.to_owned());
    while let Some(id) = next {
        if !seen.insert(id.clone()) {
            return Err(Error::Circle { id });
        }
        let Some(record) = lists.iter().find_map(|list| list.layer(&id)) else {
            return Err(Error::LayerUnknown { id });
        };
        next = record.parent().map(str::to_owned);
        chain.push(id);
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(layers: &[(&str, &str)]) -> LayerList {
        let mut list = LayerList::default();
        for (id, parent) in layers {
            let record = LayerRecord {
                id: (*id).to_owned(),
                parent: (*parent).to_owned(),
                ..LayerRecord::default()
            };
            list.add(Location::Stable, Record::new(record));
        }
        list
    }

    #[test]
    fn a_chain_goes_through_all_stores_and_not_in_circles() {
        let main = list(&[("c", "b"), ("x", "y"), ("y", "x"), ("z", "gone")]);
        let other = list(&[("a", ""), ("b", "a"), ("c", "")]);
        let lists = [&main, &other];
        assert_eq!(chain(&lists, "c").unwrap(), ["c", "b", "a"]);
        assert!(matches!(chain(&lists, "x"), Err(Error::Circle { .. })));
        assert!(matches!(chain(&lists, "z"), Err(Error::LayerUnknown { id }) if id == "gone"));
    }

    #[test]
    fn the_first_of_two_with_one_id_counts() {
        let mut both = list(&[("a", ""), ("a", "b")]);
        assert_eq!(both.layers().count(), 1);
        assert_eq!(both.layer("a").unwrap().parent(), None);
        both.remove("a");
        assert!(both.layer("a").is_none());
    }
}
