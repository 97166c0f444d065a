//! The blobs of all images in a folder, so that what one has the others can link.
//!
//! A file says of itself that it is a blob, by its name; one that lies in an image which this
//! program did not write just now may be damaged. So its bytes are hashed before it is linked for
//! the first time, once in a run: a link must not carry damage from one image into another. What
//! this run has written is known to be right, as long as nobody has touched it since.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use skopeo_archive::Stamp;
use skopeo_image::{Algorithm, Descriptor, Digest};
use tracing::{debug, warn};

use super::{digest_of, file_name};
use crate::partial::{self, PartialFile};
use crate::proof::{Proofs, is_proven};
use crate::temporary;
use crate::{Error, files};

/// How many digests are remembered: some 20 MiB. The blobs beyond are not found, but written.
const MAX_BLOBS: usize = 1 << 18;

/// How many folders are looked into, and how deep.
const MAX_FOLDERS: usize = 1 << 20;
const MAX_DEPTH: usize = 32;

/// How many images are remembered for a blob: any will do, but some may go.
const MAX_HOLDERS: usize = 4;

/// The blobs below a folder. They are looked for when the first is asked for.
#[derive(Debug)]
pub(crate) struct Pool {
    root: PathBuf,
    index: OnceLock<Mutex<Index>>,
    /// What is known of the blobs.
    proofs: Proofs,
    /// The folders that were made for images.
    made: Mutex<HashSet<PathBuf>>,
}

#[derive(Debug, Default)]
struct Index {
    /// The folders of the images that have a blob, the last that got it last.
    blobs: HashMap<[u8; 32], Vec<Arc<Path>>>,
    /// Where a part of a blob was.
    parts: HashMap<[u8; 32], Arc<Path>>,
}

impl Pool {
    pub(crate) fn new(root: &str) -> Self {
        let root = PathBuf::from(if root.is_empty() { "." } else { root });
        let (index, proofs, made) = (OnceLock::new(), Proofs::default(), Mutex::default());
        Self { root, index, proofs, made }
    }

    /// The folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Remembers folders that are going to be made.
    pub(super) fn make(&self, folders: Vec<PathBuf>) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).extend(folders);
    }

    /// Removes an empty folder that was made in vain, and those above it of which that is true.
    pub(super) fn unmake(&self, folder: &Path) {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let mut in_vain = folder.ancestors().take_while(|folder| made.contains(*folder));
        in_vain.all(|folder| fs_err::remove_dir(folder).is_ok());
    }

    /// Whether another image seems to have a blob. Blocks.
    pub(super) fn has(&self, blob: &Descriptor) -> bool {
        let by = key(&blob.digest).and_then(|key| self.index().blobs.get(&key).cloned());
        by.is_some_and(|by| {
            let paths = by.iter().map(|folder| folder.join(file_name(&blob.digest)));
            paths.filter_map(|path| files::plain_size(&path)).any(|size| Some(size) == blob.size)
        })
    }

    /// Makes a blob that another image has appear at `to`, and gives its length. Blocks; and reads
    /// the whole file where nobody has proven it yet, unless only those of this run will do.
    pub(super) fn link(
        &self,
        blob: &Descriptor,
        to: &Path,
        fresh: bool,
    ) -> Result<Option<u64>, Error> {
        let (Some(key), Some(size)) = (key(&blob.digest), blob.size) else { return Ok(None) };
        let Some(by) = self.index().blobs.get(&key).cloned() else { return Ok(None) };
        // One at a time: a new name changes what is known of the file.
        let linked = self.proofs.with(&blob.digest, |proven| {
            let mut to_copy = None;
            // The last first: it is the least likely to be full of links or to go.
            for holder in by.iter().rev() {
                let path = holder.join(file_name(&blob.digest));
                if path == to {
                    continue;
                }
                if files::plain_size(&path) != Some(size) {
                    self.forget(&key, holder);
                    continue;
                }
                let is_known = proven.is_some() && *proven == Stamp::of_file(&path);
                if !is_known && fresh {
                    continue;
                }
                if !is_known && !is_proven(proven, &blob.digest, &path) {
                    warn_of(&path);
                    self.forget(&key, holder);
                    continue;
                }
                let Some(expected) = *proven else { continue };
                match bring(&path, expected, to)? {
                    Brought::Linked(now) => {
                        *proven = Some(now);
                        return Ok(true);
                    }
                    // Full of links, or on another device.
                    Brought::NotLinked => to_copy = Some((path, expected)),
                    Brought::Gone => self.forget(&key, holder),
                }
            }
            let Some((path, expected)) = to_copy else { return Ok(false) };
            copy(&path, expected, to).or_else(|error| {
                debug!("copying {}: {error}", path.display());
                Ok::<_, Error>(false)
            })
        })?;
        Ok(linked.then_some(size))
    }

    /// Whether the file of a blob that an image has, at `path` in its folder, is right. Blocks, and
    /// reads the whole file where nobody has proven it yet, unless only those of this run will do.
    pub(super) fn holds(
        &self,
        digest: &Digest,
        folder: &Arc<Path>,
        path: &Path,
        fresh: bool,
    ) -> bool {
        let is_right = self.proofs.with(digest, |proven| match fresh {
            true => proven.is_some() && *proven == Stamp::of_file(path),
            false => is_proven(proven, digest, path),
        });
        match is_right {
            true => self.note(digest, folder),
            false if !fresh => warn_of(path),
            false => {}
        }
        is_right
    }

    /// Moves the part of a blob that a copy of another image has left to `path`, which is missing.
    pub(super) fn take_part(&self, digest: &Digest, path: PathBuf) {
        let Some(key) = key(digest) else { return };
        let Some(index) = self.index.get() else { return };
        let folder = index.lock().unwrap_or_else(PoisonError::into_inner).parts.remove(&key);
        let Some(from) = folder.map(|folder| partial::path(&folder, digest)) else { return };
        if files::size_of(&from).is_none() || from == path {
            return;
        }
        // Held while it is moved: nobody else may be writing it.
        let taken = PartialFile::open(from, None).and_then(|part| match part {
            Some(mut part) => part.take_to(path),
            None => Ok(()),
        });
        if let Err(error) = taken {
            debug!("reusing the part of a blob: {error}");
        }
    }

    /// Remembers that the file of a blob in an image's folder is right, as this run has written it.
    pub(super) fn add(&self, digest: &Digest, folder: &Arc<Path>) {
        self.proofs.wrote(digest, &folder.join(file_name(digest)));
        self.note(digest, folder);
    }

    /// Remembers that an image has a blob.
    pub(super) fn note(&self, digest: &Digest, folder: &Arc<Path>) {
        // Whoever looks for the first time will find it.
        if let (Some(key), Some(_)) = (key(digest), self.index.get()) {
            self.index().hold(key, folder);
        }
    }

    fn forget(&self, key: &[u8; 32], holder: &Path) {
        if let Some(by) = self.index().blobs.get_mut(key) {
            by.retain(|it| **it != *holder);
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        let index = self.index.get_or_init(|| Mutex::new(Index::of(&self.root)));
        // Every change is one insertion or removal, so a panic elsewhere leaves nothing half done.
        index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// Walks through the folder. What cannot be read is passed over: then blobs are written that
    /// could have been linked.
    fn of(root: &Path) -> Self {
        let mut index = Self::default();
        let mut waiting = vec![(root.to_owned(), 0_usize)];
        let mut seen = 0_usize;
        while let Some((folder, depth)) = waiting.pop() {
            seen = seen.saturating_add(1);
            if seen > MAX_FOLDERS {
                break;
            }
            let Ok(entries) = fs_err::read_dir(&folder) else { continue };
            let folder: Arc<Path> = folder.into();
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() && depth < MAX_DEPTH {
                    waiting.push((entry.path(), depth.saturating_add(1)));
                } else if kind.is_file() {
                    index.file(&folder, &entry.file_name().to_string_lossy());
                }
            }
        }
        debug!("{} holds {} different blobs in images", root.display(), index.blobs.len());
        index
    }

    fn file(&mut self, folder: &Arc<Path>, name: &str) {
        let of_part = name.strip_prefix(partial::PREFIX);
        let of_part = of_part.and_then(|name| name.strip_prefix("sha256-"));
        let Some(key) = digest_of(of_part.unwrap_or(name)).and_then(|digest| key(&digest)) else {
            return;
        };
        if of_part.is_none() {
            self.hold(key, folder);
        } else if self.parts.len() < MAX_BLOBS {
            self.parts.insert(key, folder.clone());
        }
    }

    fn hold(&mut self, key: [u8; 32], folder: &Arc<Path>) {
        if self.blobs.len() >= MAX_BLOBS && !self.blobs.contains_key(&key) {
            return;
        }
        let by = self.blobs.entry(key).or_default();
        by.retain(|it| it != folder);
        if by.len() >= MAX_HOLDERS {
            by.remove(0);
        }
        by.push(folder.clone());
    }
}

/// Sha256 only: images of others are rare, and are not shared.
fn key(digest: &Digest) -> Option<[u8; 32]> {
    if digest.algorithm() != Algorithm::Sha256 {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digest.hex().as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

fn warn_of(path: &Path) {
    warn!("{} is damaged: its contents do not match its name", path.display());
}

/// What has come of making a link.
enum Brought {
    /// What the file is now.
    Linked(Stamp),
    NotLinked,
    /// It is another file by now.
    Gone,
}

/// Gives the file `from`, which is what it was when it was proven, the name `to`, too.
fn bring(from: &Path, expected: Stamp, to: &Path) -> Result<Brought, Error> {
    let folder = to.parent().unwrap_or_else(|| Path::new("."));
    if Stamp::of_file(to) == Some(expected) {
        return Ok(Brought::Linked(expected));
    }
    let linked = tempfile::Builder::new().prefix(temporary::BESIDE).make_in(folder, |temporary| {
        fs_err::hard_link(from, temporary)?;
        Ok(())
    });
    // The new name is a change, of the kind that is no change of content.
    let is_same = |path: &Path| Stamp::of_file(path).filter(|now| now.is_renamed(&expected));
    match linked {
        Ok(linked) if is_same(linked.path()).is_none() => Ok(Brought::Gone),
        Ok(linked) => {
            linked.into_temp_path().persist(to).map_err(|error| error.error)?;
            Ok(is_same(to).map_or(Brought::Gone, Brought::Linked))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Brought::Gone),
        Err(error) => {
            debug!("linking {}: {error}", from.display());
            Ok(Brought::NotLinked)
        }
    }
}

/// Copies that file, where it cannot be linked; file systems that can make the two share their
/// blocks. `false` if it is another one by now.
fn copy(from: &Path, expected: Stamp, to: &Path) -> Result<bool, Error> {
    let (mut file, _) = files::open(from, None)?;
    if Stamp::of(&file.metadata()?) != expected {
        return Ok(false);
    }
    let (temporary, mut copy) = temporary::temporary_for(to)?;
    io::copy(file.file_mut(), copy.file_mut())?;
    if Stamp::of(&file.metadata()?) != expected {
        return Ok(false);
    }
    copy.sync_data()?;
    temporary.persist(to).map_err(|error| error.error)?;
    Ok(true)
}
