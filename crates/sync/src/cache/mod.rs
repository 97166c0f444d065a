//! What was learnt, kept between runs.
//!
//! Nothing in it is believed: lists are what their digests say, blobs are only asked to be mounted,
//! uploads are looked for before they are gone on with. So a lost, stale or damaged file costs
//! requests. Where tags of the destination led is the one exception, and only for who asks for it
//! with `--trust-state`.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fs_err::File;
use serde::{Deserialize, Serialize};
use skopeo_copy::{KnownIndexes, Session};
use skopeo_image::Digest;
use skopeo_image::go::quote;
use skopeo_image::number::wide;
use skopeo_transport::{Connections, KnownBlob, KnownTag, OpenUpload};
use tracing::{debug, warn};

use crate::{Context as _, Error, Result};

/// A file to keep what was learnt in, for the next run.
#[derive(Clone, Debug)]
pub struct CacheFile {
    /// What it is called in errors.
    pub name: String,
    /// The file, without links: what is there is replaced.
    pub path: PathBuf,
    /// A file beside it that the run holds locked.
    pub lock: PathBuf,
}

/// The version of the file: what another program wrote is not read.
const VERSION: u32 = 1;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 128 << 20;

/// How many runs an entry stays that none of them had to do with.
const RUNS: u64 = 20;

/// How many bytes of lists, and how many blobs, uploads and tags are kept; the oldest go first.
const MOST_LISTS: usize = 32 << 20;
const MOST_BLOBS: usize = 200_000;
const MOST_TAGS: usize = 200_000;
const MOST_UPLOADS: usize = 1000;

/// Registries throw open uploads away after a while: after that, so do we.
const UPLOADS_LAST: u64 = 7 * 24 * 3600;

/// How often the file is written while the work goes on.
const INTERVAL: Duration = Duration::from_secs(2);

/// What is in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CacheDocument {
    version: u32,
    /// How many runs have written it.
    run: u64,
    lists: Vec<List>,
    /// By registry and repository, with the last run that saw them there.
    blobs: BTreeMap<String, BTreeMap<String, BTreeMap<Digest, u64>>>,
    uploads: Vec<Upload>,
    /// Where the tags of destinations led: by repository, with its registry, and by tag.
    #[serde(default)]
    tags: BTreeMap<String, BTreeMap<String, Tag>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Tag {
    digest: Digest,
    /// The last run that saw it there, or relied on it.
    run: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct List {
    /// The last run that had to do with it.
    run: u64,
    /// The manifest, which is text.
    manifest: String,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Upload {
    repository: String,
    digest: Digest,
    location: String,
    /// When it was begun, in seconds since 1970.
    begun: u64,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upload({}, {})", self.repository, self.digest)
    }
}

/// The file of a run, and what the run learns.
#[derive(Debug)]
pub(crate) struct Cache {
    path: PathBuf,
    /// What the file is called in errors.
    name: String,
    /// What was in it.
    before: CacheDocument,
    lists: Arc<KnownIndexes>,
    connections: Arc<Connections>,
    written: Mutex<Written>,
    /// No other run writes the file as long as this is open.
    _lock: File,
}

#[derive(Debug, Default)]
struct Written {
    /// When each upload was first seen.
    begun: HashMap<(String, Digest), u64>,
    /// What was written last.
    text: Vec<u8>,
}

impl Cache {
    /// Reads the file, and tells what is in it to those who may use it. `None` if another run has
    /// it: then this one goes without.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn open(
        file: &CacheFile,
        session: &Session,
        connections: &Arc<Connections>,
    ) -> Result<Option<Arc<Self>>> {
        let quoted = quote(&file.name);
        let path = file.path.clone();
        let mut options = fs_err::OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).open(&file.lock)?;
        if lock.file().try_lock().is_err() {
            warn!("The state {quoted} is in use by another sync: going on without it");
            return Ok(None);
        }
        let before = read(&path).unwrap_or_else(|problem| {
            warn!("The state {quoted} cannot be used, and is begun anew: {}", problem.sentence());
            CacheDocument::default()
        });
        for list in &before.lists {
            session.indexes().add(list.manifest.clone().into());
        }
        let blobs = before.blobs.iter().flat_map(|(registry, repositories)| {
            repositories.iter().flat_map(move |(repository, blobs)| {
                blobs.keys().map(move |digest| KnownBlob {
                    registry: registry.clone(),
                    repository: repository.clone(),
                    digest: digest.clone(),
                })
            })
        });
        let now = now();
        let uploads = before.uploads.iter().filter(|it| is_recent(it.begun, now));
        let uploads = uploads.map(|it| OpenUpload {
            repository: it.repository.clone(),
            digest: it.digest.clone(),
            location: it.location.clone(),
        });
        let tags = before.tags.iter().flat_map(|(repository, tags)| {
            tags.iter().map(|(tag, it)| {
                let (repository, tag) = (repository.clone(), tag.clone());
                KnownTag { repository, tag, digest: it.digest.clone() }
            })
        });
        connections.ledger().tell(blobs, uploads, tags);
        let key = |it: &Upload| ((it.repository.clone(), it.digest.clone()), it.begun);
        let begun = before.uploads.iter().map(key).collect();
        let cache = Self {
            path,
            name: file.name.clone(),
            before,
            lists: session.indexes().clone(),
            connections: connections.clone(),
            written: Mutex::new(Written { begun, text: Vec::new() }),
            _lock: lock,
        };
        // Who cannot write it should know that now.
        cache.save()?;
        Ok(Some(Arc::new(cache)))
    }

    /// Does the work, and writes the file meanwhile and at its end.
    ///
    /// # Errors
    /// Those of the work, or if the file cannot be written at the end.
    pub(crate) async fn keep<T>(
        file: Option<&CacheFile>,
        session: &Session,
        connections: &Arc<Connections>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let opened = file.map(|file| Self::open(file, session, connections)).transpose()?;
        let Some(this) = opened.flatten() else { return work.await };
        let mut work = std::pin::pin!(work);
        let done = loop {
            match tokio::time::timeout(INTERVAL, &mut work).await {
                Ok(done) => break done,
                Err(_) => {
                    let this = this.clone();
                    match tokio::task::spawn_blocking(move || this.save()).await {
                        Ok(Ok(())) => {}
                        Ok(Err(problem)) => debug!("writing the state: {}", problem.sentence()),
                        Err(problem) => debug!("writing the state: {problem}"),
                    }
                }
            }
        };
        let saved = this.save();
        let done = done?;
        saved?;
        Ok(done)
    }

    /// Writes the file, if there is anything new.
    fn save(&self) -> Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let document = self.document(&mut written.begun);
        let text = serde_json::to_vec(&document)?;
        if text == written.text {
            return Ok(());
        }
        replace(&self.path, &text)
            .with_context(|| format!("writing state {}", quote(&self.name)))?;
        written.text = text;
        Ok(())
    }

    /// What is known now.
    fn document(&self, begun: &mut HashMap<(String, Digest), u64>) -> CacheDocument {
        let run = self.before.run.saturating_add(1);
        let oldest = run.saturating_sub(RUNS);
        let ledger = self.connections.ledger();

        let seen_before: HashMap<&str, u64> =
            self.before.lists.iter().map(|it| (it.manifest.as_str(), it.run)).collect();
        let mut lists: Vec<List> = Vec::new();
        for (_, bytes, used) in self.lists.all() {
            let Ok(manifest) = String::from_utf8(bytes.to_vec()) else { continue };
            let run = if used { run } else { *seen_before.get(manifest.as_str()).unwrap_or(&0) };
            lists.push(List { run, manifest });
        }
        lists.retain(|list| list.run > oldest || list.run == run);
        lists.sort_by(|a, b| b.run.cmp(&a.run).then_with(|| a.manifest.cmp(&b.manifest)));
        let mut room = MOST_LISTS;
        lists.retain(|list| {
            let fits = list.manifest.len() <= room;
            room = room.saturating_sub(list.manifest.len());
            fits
        });

        let mut known: BTreeMap<(String, Digest), (u64, String)> = BTreeMap::new();
        for (registry, repositories) in &self.before.blobs {
            for (repository, blobs) in repositories {
                let old = blobs.iter().filter(|(digest, seen)| {
                    **seen > oldest && ledger.still_told(registry, digest)
                });
                known.extend(old.map(|(digest, seen)| {
                    ((registry.clone(), digest.clone()), (*seen, repository.clone()))
                }));
            }
        }
        let seen = ledger.blobs().into_iter();
        known.extend(seen.map(|it| ((it.registry, it.digest), (run, it.repository))));
        let mut known: Vec<_> = known.into_iter().collect();
        known.sort_by(|(a, (run_a, _)), (b, (run_b, _))| run_b.cmp(run_a).then_with(|| a.cmp(b)));
        known.truncate(MOST_BLOBS);
        let mut blobs: BTreeMap<String, BTreeMap<String, BTreeMap<Digest, u64>>> = BTreeMap::new();
        for ((registry, digest), (run, repository)) in known {
            let repositories = blobs.entry(registry).or_default();
            repositories.entry(repository).or_default().insert(digest, run);
        }

        let now = now();
        let open = ledger.uploads().into_iter().map(|it| {
            let key = (it.repository.clone(), it.digest.clone());
            let begun = *begun.entry(key).or_insert(now);
            Upload { repository: it.repository, digest: it.digest, location: it.location, begun }
        });
        let mut uploads: Vec<Upload> = open.filter(|it| is_recent(it.begun, now)).collect();
        uploads.sort_by(|a, b| {
            b.begun
                .cmp(&a.begun)
                .then_with(|| (&a.repository, &a.digest).cmp(&(&b.repository, &b.digest)))
        });
        uploads.truncate(MOST_UPLOADS);
        let tags = self.tags(run, oldest);
        CacheDocument { version: VERSION, run, lists, blobs, uploads, tags }
    }

    /// Where tags lead, as this run or one of the last ones has seen.
    fn tags(&self, run: u64, oldest: u64) -> BTreeMap<String, BTreeMap<String, Tag>> {
        let seen_before = |it: &KnownTag| {
            let tag = self.before.tags.get(&it.repository)?.get(&it.tag)?;
            Some(tag.run)
        };
        let known = self.connections.ledger().tags().into_iter();
        let mut known: Vec<(u64, KnownTag)> = known
            .map(|(it, now)| (if now { run } else { seen_before(&it).unwrap_or(0) }, it))
            .filter(|(seen, _)| *seen > oldest)
            .collect();
        known.sort_by(|(run_a, a), (run_b, b)| run_b.cmp(run_a).then_with(|| a.cmp(b)));
        known.truncate(MOST_TAGS);
        let mut tags: BTreeMap<String, BTreeMap<String, Tag>> = BTreeMap::new();
        for (run, KnownTag { repository, tag, digest }) in known {
            tags.entry(repository).or_default().insert(tag, Tag { digest, run });
        }
        tags
    }
}

/// Reads the file, and forgets it.
pub fn read_and_forget(path: &Path) {
    let _ = read(path);
}

/// What is in the file; nothing if it does not exist.
fn read(path: &Path) -> Result<CacheDocument> {
    use std::io::Read as _;
    let metadata = match fs_err::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(CacheDocument::default());
        }
        metadata => metadata?,
    };
    if !metadata.is_file() {
        return Err(Error::refused("it is not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST.saturating_add(1)).read_to_end(&mut text)?;
    if wide(text.len()) > LONGEST {
        return Err(Error::refused(format!("it is longer than {} MiB", LONGEST >> 20)));
    }
    let document: CacheDocument = serde_json::from_slice(&text)?;
    if document.version != VERSION {
        let version = document.version;
        return Err(Error::refused(format!("it is of version {version}, not {VERSION}")));
    }
    Ok(document)
}

/// Writes the file so that it is there whole or not at all, for nobody else to read.
fn replace(path: &Path, text: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    // Made with mode 0600.
    let mut beside = tempfile::Builder::new().prefix(".skopeo-state-").tempfile_in(folder)?;
    beside.write_all(text)?;
    beside.as_file().sync_data()?;
    beside.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn is_recent(begun: u64, now: u64) -> bool {
    // What is of the future is of a wrong clock.
    now.checked_sub(begun).is_some_and(|since| since < UPLOADS_LAST)
}

#[cfg(test)]
mod tests;
