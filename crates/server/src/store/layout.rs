//! One OCI layout in a folder: its index, its blobs, its lock.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fs_err::os::unix::fs::OpenOptionsExt;
use fs_err::{self as fs, File};
use rustix::fs::OFlags;
use skopeo_image::manifest::MAX_MANIFEST_SIZE;
use skopeo_image::{Digest, MediaType};

use super::facts::Facts;
use super::index::{Entry, Index};
use crate::Durability;

/// The file that makes a folder a layout.
pub(crate) const MARKER: &str = "oci-layout";

/// The file on which whoever edits `index.json` holds an exclusive lock; `oci:` does so too.
const LOCK: &str = ".lock";

const INDEX: &str = "index.json";
const MARKER_CONTENT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

/// A file changed so shortly ago may change again without its time showing it.
const TIME_RESOLUTION: Duration = Duration::from_millis(100);

/// How the names of files begin that are not whole yet.
const TEMPORARY: &str = ".new-";

/// What nobody has written to for so long is of no use to anybody.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Of how many manifests it is remembered what they say.
const KNOWN_FACTS: usize = 10_000;

/// How often an index is read again that does not parse, since the original writes it in place.
const TORN_READS: u32 = 5;

/// A layout, and what was read of it.
#[derive(Debug)]
pub(crate) struct Layout {
    path: PathBuf,
    durability: Durability,
    index: Mutex<Option<(Stamp, Arc<Index>)>>,
    facts: Mutex<HashMap<Digest, Arc<Facts>>>,
    tidied: AtomicBool,
}

/// By what a file is known to be unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A manifest of a layout, as some descriptor declares it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The digest of the bytes, under which they lie.
    pub(crate) stored: Digest,
    /// The digest by which clients know it.
    pub(crate) public: Digest,
    /// Empty if no descriptor says.
    pub(crate) media_type: MediaType,
}

impl Layout {
    /// The layout at `path`, if there is one. `path` must be free of symbolic links.
    pub(crate) fn at(path: PathBuf, durability: Durability) -> Option<Self> {
        let marker = fs::symlink_metadata(path.join(MARKER)).ok()?;
        marker.is_file().then(|| Self::unchecked(path, durability))
    }

    /// Makes `path` a layout, if it is none.
    pub(crate) fn create(path: PathBuf, durability: Durability) -> io::Result<Self> {
        fs::create_dir_all(path.join("blobs/sha256"))?;
        let layout = Self::unchecked(path, durability);
        if fs::symlink_metadata(layout.path.join(MARKER)).is_err() {
            let _lock = layout.lock()?;
            if fs::symlink_metadata(layout.path.join(INDEX)).is_err() {
                layout.replace(INDEX, b"{\"schemaVersion\":2,\"manifests\":[]}")?;
            }
            layout.replace(MARKER, MARKER_CONTENT)?;
        }
        Ok(layout)
    }

    fn unchecked(path: PathBuf, durability: Durability) -> Self {
        Self {
            path,
            durability,
            index: Mutex::default(),
            facts: Mutex::default(),
            tidied: AtomicBool::default(),
        }
    }

    /// Removes what servers left here when they were killed, once.
    pub(crate) fn tidy(&self) {
        if self.tidied.swap(true, Ordering::Relaxed) {
            return;
        }
        remove_abandoned(&self.uploads(), "");
        let blobs = ["sha256", "sha384", "sha512"].map(|name| self.path.join("blobs").join(name));
        for folder in blobs.iter().chain([&self.path]) {
            remove_abandoned(folder, TEMPORARY);
        }
    }

    /// Where uploads lie until they are whole.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.path.join(".uploads")
    }

    /// Whether the folder is a layout still.
    pub(crate) fn is_there(&self) -> bool {
        self.path.join(MARKER).is_file()
    }

    /// Where a blob lies, or would.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// Opens a blob; its length in bytes beside it. Links are not followed.
    pub(crate) fn open_blob(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let folder = self.path.join("blobs").join(digest.algorithm().as_str());
        for folder in [folder.parent().unwrap_or(&folder), &folder] {
            match fs::symlink_metadata(folder) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let no_follow = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits())
            .expect("flags of open fit its argument");
        let path = folder.join(digest.hex());
        let opened = fs::OpenOptions::new().read(true).custom_flags(no_follow).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) if is_link(&path) => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then_some((file, metadata.len())))
    }

    /// The length of a blob that is here, in bytes.
    pub(crate) fn blob_size(&self, digest: &Digest) -> io::Result<Option<u64>> {
        Ok(self.open_blob(digest)?.map(|(_, size)| size))
    }

    /// The bytes of a manifest; none if it is missing or larger than any manifest may be.
    pub(crate) fn read_manifest(&self, digest: &Digest) -> io::Result<Option<Vec<u8>>> {
        let Some((file, size)) = self.open_blob(digest)? else { return Ok(None) };
        let Some(size) = usize::try_from(size).ok().filter(|size| *size <= MAX_MANIFEST_SIZE)
        else {
            return Ok(None);
        };
        let mut bytes = Vec::with_capacity(size + 1);
        file.take(MAX_MANIFEST_SIZE as u64).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Writes a small blob. It is whole before it is visible.
    pub(crate) fn write_blob(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let target = self.blob_path(digest);
        let folder = target.parent().expect("a blob lies in a folder");
        fs::create_dir_all(folder)?;
        self.write_and_rename(folder, &target, bytes)
    }

    /// Gives the finished file `from`, whose content has been verified, its place.
    pub(crate) fn adopt_blob(&self, from: &Path, digest: &Digest) -> io::Result<()> {
        let target = self.blob_path(digest);
        fs::create_dir_all(target.parent().expect("a blob lies in a folder"))?;
        if self.durability == Durability::PowerLoss {
            File::open(from)?.sync_data()?;
        }
        fs::rename(from, target)
    }

    /// Makes a blob of another layout one of this layout, without a second copy of its bytes where
    /// the file system can. Whether it was there to take.
    pub(crate) fn link_blob(&self, from: &Self, digest: &Digest) -> io::Result<bool> {
        let Some((file, _)) = from.open_blob(digest)? else { return Ok(false) };
        if self.blob_size(digest)?.is_some() {
            return Ok(true);
        }
        let target = self.blob_path(digest);
        let folder = target.parent().expect("a blob lies in a folder");
        fs::create_dir_all(folder)?;
        match fs::hard_link(from.blob_path(digest), &target) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(true),
            Err(_) => {}
        }
        let mut copy = temporary(folder)?;
        io::copy(&mut { file }, copy.as_file_mut())?;
        if self.durability == Durability::PowerLoss {
            copy.as_file().sync_data()?;
        }
        copy.persist(&target)?;
        Ok(true)
    }

    /// Removes a blob. Whether it was there.
    pub(crate) fn remove_blob(&self, digest: &Digest) -> io::Result<bool> {
        if self.blob_size(digest)?.is_none() {
            return Ok(false);
        }
        match fs::remove_file(self.blob_path(digest)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The index as it is now, read again only if the file has changed.
    pub(crate) fn index(&self) -> io::Result<Arc<Index>> {
        let path = self.path.join(INDEX);
        let mut attempt = 0;
        loop {
            let stamp = match fs::metadata(&path) {
                Ok(found) => Stamp::of(&found),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Arc::default());
                }
                Err(error) => return Err(error),
            };
            if let Some((known, index)) = &*guard(&self.index)
                && *known == stamp
            {
                return Ok(index.clone());
            }
            attempt += 1;
            match Index::parse(&fs::read(&path)?) {
                Ok(index) => {
                    let index = Arc::new(index);
                    if stamp.is_settled() {
                        *guard(&self.index) = Some((stamp, index.clone()));
                    }
                    return Ok(index);
                }
                Err(_) if attempt < TORN_READS => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => {
                    let text = format!("parsing {}: {error}", path.display());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
        }
    }

    /// Edits the index under the lock. What `edit` needs to be true of the blobs, it may look at:
    /// who collects garbage holds the same lock.
    pub(crate) fn edit<T, E: From<io::Error>>(
        &self,
        edit: impl FnOnce(&mut Index) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = self.lock()?;
        let before = self.index()?;
        let mut after = Index::clone(&before);
        let result = edit(&mut after)?;
        let bytes = after.encode();
        if bytes != before.encode() {
            self.replace(INDEX, &bytes)?;
        }
        Ok(result)
    }

    /// What the manifest of this digest says; none if it is missing or not understood.
    pub(crate) fn facts(&self, digest: &Digest) -> io::Result<Option<Arc<Facts>>> {
        if let Some(facts) = guard(&self.facts).get(digest) {
            return Ok(Some(facts.clone()));
        }
        let Some(bytes) = self.read_manifest(digest)? else { return Ok(None) };
        let Ok(facts) = Facts::parse(&bytes) else { return Ok(None) };
        let facts = Arc::new(facts);
        let mut known = guard(&self.facts);
        if known.len() >= KNOWN_FACTS {
            known.clear();
        }
        known.insert(digest.clone(), facts.clone());
        Ok(Some(facts))
    }

    /// Finds the manifest of this digest: one that the index names, or an instance of a list that
    /// it names. A blob that merely lies here is no manifest.
    pub(crate) fn find(&self, index: &Index, digest: &Digest) -> io::Result<Option<Found>> {
        if let Some(found) = index.by_digest(digest).and_then(Found::of) {
            return Ok(Some(found));
        }
        let mut result = None;
        self.walk(index, |found| {
            let hit = found.stored == *digest;
            if hit {
                result = Some(found.clone());
            }
            !hit
        })?;
        Ok(result)
    }

    /// Visits every manifest, those that the index names and the instances of lists, each once,
    /// until `visit` says no.
    pub(crate) fn walk(
        &self,
        index: &Index,
        mut visit: impl FnMut(&Found) -> bool,
    ) -> io::Result<()> {
        let mut seen = HashSet::new();
        let mut waiting: Vec<Found> = index.entries().iter().rev().filter_map(Found::of).collect();
        while let Some(found) = waiting.pop() {
            if !seen.insert(found.stored.clone()) {
                continue;
            }
            if !visit(&found) {
                return Ok(());
            }
            let may_be_list = found.media_type.is_list() || found.media_type.is_empty();
            if may_be_list && let Some(facts) = self.facts(&found.stored)? {
                waiting.extend(facts.children.iter().rev().map(|(digest, media_type)| Found {
                    stored: digest.clone(),
                    public: digest.clone(),
                    media_type: media_type.clone(),
                }));
            }
        }
        Ok(())
    }

    /// Waits for the lock, which ends with the returned file or with this process.
    fn lock(&self) -> io::Result<File> {
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path.join(LOCK))?;
        // Of the open file, not of the process: threads exclude each other too.
        loop {
            match file.file().lock() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                locked => return locked.map(|()| file),
            }
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write_and_rename(&self.path, &self.path.join(name), bytes)
    }

    fn write_and_rename(&self, folder: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = temporary(folder)?;
        file.write_all(bytes)?;
        if self.durability == Durability::PowerLoss {
            file.as_file().sync_data()?;
        }
        file.persist(target)?;
        Ok(())
    }
}

impl Found {
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        Some(Self {
            stored: entry.digest()?.clone(),
            public: entry.public_digest()?.clone(),
            media_type: entry.media_type(),
        })
    }
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self) -> bool {
        let (seconds, nanos) = self.changed;
        let changed = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
        let changed = changed.map(|(s, n)| SystemTime::UNIX_EPOCH + Duration::new(s, n));
        changed
            .and_then(|changed| SystemTime::now().duration_since(changed).ok())
            .is_some_and(|age| age > TIME_RESOLUTION)
    }
}

/// A file that nobody sees, with the permissions that the original gives to blobs.
pub(crate) fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
}

fn remove_abandoned(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|then| SystemTime::now().duration_since(then).ok());
        if age.is_some_and(|age| age > ABANDONED) {
            tracing::debug!("removing {}, which nobody went on with", entry.path().display());
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
