//! The images of a store, and those of a store that is read only.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::loaded::Loaded;
use crate::error::{Error, Result};
use crate::files::{self, Durability};
use crate::image::Image;
use crate::lock::{Access, Held, LockFile};
use crate::records::{self, ImageRecord, Record};

/// A list of images, and what is kept of each beside its layers.
#[derive(Debug)]
pub(crate) struct Images {
    folder: PathBuf,
    lock: LockFile,
    access: Access,
    loaded: Loaded<ImageList>,
    is_swept: AtomicBool,
}

/// Images as they were read, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageList {
    pub(crate) records: Vec<Record<ImageRecord>>,
    told: Vec<Image>,
}

/// Images that nobody else reads or writes.
#[derive(Debug)]
pub(crate) struct ImagesWriting<'a> {
    images: &'a Images,
    held: Held,
    pub(crate) list: ImageList,
}

impl Images {
    pub(crate) fn new(folder: PathBuf, access: Access) -> Self {
        let lock = LockFile::new(folder.join("images.lock"), access);
        Self { folder, lock, access, loaded: Loaded::default(), is_swept: AtomicBool::new(false) }
    }

    /// Makes what others make when they open a store.
    pub(crate) fn make(&self) -> Result<()> {
        files::make_folders(&self.folder, 0o700)?;
        self.lock.make()
    }

    /// The images as they are now.
    pub(crate) fn read(&self) -> Result<Arc<ImageList>> {
        let held = [self.lock.read()?];
        self.load(&held)
    }

    pub(crate) fn write(&self) -> Result<ImagesWriting<'_>> {
        let held = self.lock.write()?;
        let list = ImageList::clone(&*self.load(std::slice::from_ref(&held))?);
        if !self.is_swept.swap(true, Ordering::AcqRel) {
            self.sweep(&list)?;
        }
        Ok(ImagesWriting { images: self, held, list })
    }

    /// Removes what is kept of images that are not listed: whoever wrote it was ended before it was
    /// an image, or while it was deleted.
    fn sweep(&self, list: &ImageList) -> Result<()> {
        files::remove_unfinished(&self.folder, "images.json")?;
        let known: HashSet<&str> = list.told.iter().map(|image| image.id.as_str()).collect();
        for name in files::names(&self.folder)? {
            let is_id = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_id && !known.contains(name.as_str()) {
                files::remove_all(&self.folder.join(name))?;
            }
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.folder.join("images.json")
    }

    fn load(&self, held: &[Held]) -> Result<Arc<ImageList>> {
        let path = self.path();
        self.loaded.get(held, &[&path], || {
            let mut records = records::load(&path)?;
            give_names_once(&mut records);
            let read_only = self.access == Access::ReadOnly;
            let told = records.iter().map(|record| record.known.image(read_only));
            let told = told.collect::<Result<Vec<_>, _>>();
            let told = told.map_err(|what| Error::Invalid { path: path.clone(), what })?;
            Ok(ImageList { records, told })
        })
    }

    /// Where something is kept of an image.
    pub(crate) fn data_path(&self, id: &str, key: &str) -> Result<PathBuf> {
        files::below(&self.data_folder(id)?, &data_name(key))
    }

    /// Where everything is kept of an image.
    pub(crate) fn data_folder(&self, id: &str) -> Result<PathBuf> {
        files::of_id(&self.folder, id)
    }
}

impl ImagesWriting<'_> {
    pub(crate) fn save(&self) -> Result<()> {
        self.held.touch()?;
        records::save(&self.images.path(), self.list.records.iter(), Durability::Synced)
    }

    /// The entry of an image.
    pub(crate) fn entry(&mut self, id: &str) -> Option<&mut ImageRecord> {
        let records = self.list.records.iter_mut().map(|record| &mut record.known);
        records.into_iter().find(|record| record.id == id)
    }

    /// Gives an image a name, which others lose.
    pub(crate) fn name(&mut self, id: &str, name: &str) {
        for Record { known, .. } in &mut self.list.records {
            if known.id == id {
                known.add_name(name);
            } else {
                known.lose_name(name);
            }
        }
    }
}

impl ImageList {
    /// What is told of the images.
    pub(crate) fn images(&self) -> &[Image] {
        &self.told
    }

    /// The image of an id, or of exactly this name.
    pub(crate) fn find(&self, id_or_name: &str) -> Option<&Image> {
        let by_id = self.told.iter().find(|image| image.id == id_or_name);
        let named = |image: &&Image| image.names.iter().any(|name| name == id_or_name);
        by_id.or_else(|| self.told.iter().find(named))
    }
}

/// Of several images with a name, the last keeps it.
fn give_names_once(records: &mut [Record<ImageRecord>]) {
    let mut given = HashSet::new();
    for record in records.iter_mut().rev() {
        let names: Vec<String> = record.known.names.clone();
        record.known.names.retain(|name| !given.contains(name));
        given.extend(names);
    }
}

/// The name of the file in which something is kept.
fn data_name(key: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let is_plain = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() || byte == b'.';
    if key.bytes().all(is_plain) { key.to_owned() } else { format!("={}", STANDARD.encode(key)) }
}

/// Reads what is kept of an image.
pub(crate) fn read_data(path: &Path, id: &str, key: &str) -> Result<Vec<u8>> {
    let found = files::read(path)?;
    found.ok_or_else(|| Error::DataUnknown { id: id.to_owned(), key: key.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_lies_where_others_look_for_it() {
        for (key, name) in [
            ("manifest", "manifest"),
            ("signature-abc", "=c2lnbmF0dXJlLWFiYw=="),
            ("sha256:ab", "=c2hhMjU2OmFi"),
            ("A", "=QQ=="),
        ] {
            assert_eq!(data_name(key), name);
        }
        let images = Images::new(PathBuf::from("/x"), Access::ReadOnly);
        for (id, key) in
            [("..", "manifest"), ("a/b", "manifest"), ("", "manifest"), ("a", ".."), ("a", "")]
        {
            assert!(images.data_path(id, key).is_err(), "{id} {key}");
        }
        assert_eq!(images.data_path("a", "b").unwrap(), Path::new("/x/a/b"));
    }

    #[test]
    fn the_last_of_two_keeps_a_name() {
        let record = |id: &str, names: &[&str]| {
            Record::new(ImageRecord {
                id: id.to_owned(),
                names: names.iter().map(|&name| name.to_owned()).collect(),
                ..ImageRecord::default()
            })
        };
        let mut records = [record("1", &["a", "b"]), record("2", &["b", "c"])];
        give_names_once(&mut records);
        assert_eq!(records[0].known.names, ["a"]);
        assert_eq!(records[1].known.names, ["b", "c"]);
    }
}
