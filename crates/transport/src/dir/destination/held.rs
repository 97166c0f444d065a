//! The folder of an image while it is written to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::info;

use super::DirDestination;
use crate::dir::version::VersionFile;
use crate::dir::{DirError, DirName, Pool};
use crate::options::Overwrite;
use crate::proof::Proofs;
use crate::{Error, FormatError, How, Wish, files, writer};

/// How often a folder that another program writes to is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How often a folder is made that others remove, as it is empty.
const MAX_VANISHED: u32 = 100;

/// What an image has in common with others.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) pool: Arc<Pool>,
    pub(super) folder: Arc<Path>,
    pub(super) overwrite: Overwrite,
}

/// What is there once the folder is written to.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) writer: writer::Writer,
    /// What is known of the blobs in it, where it is not one of many.
    pub(super) proofs: Arc<Proofs>,
    pub(super) opened: Arc<Mutex<HeldFolder>>,
}

impl Begun {
    pub(super) fn new(name: &DirName, opened: HeldFolder) -> Result<Self, Error> {
        let opened = Arc::new(Mutex::new(opened));
        let writer = writer::Writer::new(name.path().to_owned(), "dir-put-blob")?;
        Ok(Self { writer: writer.holding(opened.clone()), proofs: Arc::default(), opened })
    }
}

/// The folder, ours alone until all that write to it have ended.
#[derive(Debug)]
pub(super) struct HeldFolder {
    pub(super) version: Option<VersionFile>,
    /// The folder, if it was made for this image of a collection. It goes with this value if
    /// nothing has come into it.
    pub(super) made: Option<(PathBuf, Arc<Pool>)>,
}

impl Drop for HeldFolder {
    fn drop(&mut self) {
        let Some(version) = self.version.take() else { return };
        let Some((folder, pool)) = &self.made else { return };
        let mut entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
        if entries.all(|entry| entry.file_name() == "version") && version.remove().is_ok() {
            pool.unmake(folder);
        }
    }
}

impl DirDestination {
    /// The folder, made and ours alone.
    pub(super) async fn begun(&self) -> Result<&Begun, Error> {
        let begin = || async {
            let mut told = false;
            let mut vanished = 0_u32;
            loop {
                match self.open_folder() {
                    Err(Error::Format(FormatError::Dir(DirError::FolderBusy(_)))) if !told => {
                        told = true;
                        info!("Waiting for another program to end its work in {}", self.name);
                    }
                    Err(Error::Format(FormatError::Dir(DirError::FolderBusy(_)))) => {}
                    // Who made it, or the one above, found no use for it.
                    Err(error) if error.is_missing_file() && vanished < MAX_VANISHED => {
                        vanished = vanished.saturating_add(1);
                    }
                    opened => return Begun::new(&self.name, opened?),
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        self.begun.get_or_try_init(begin).await
    }

    fn open_folder(&self) -> Result<HeldFolder, Error> {
        let folder = Path::new(&self.name.resolved);
        let missing = folder.ancestors().take_while(|above| !above.exists());
        let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        let is_new = !missing.is_empty();
        let shared = self.shared.as_ref().filter(|_| is_new);
        if let Some(Shared { pool, .. }) = shared {
            pool.make(missing);
        }
        files::make_folder(folder).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::from(source),
            _ => {
                DirError::Folder { path: self.name.resolved.clone(), source: source.into() }.into()
            }
        })?;
        let version = Some(VersionFile::open(&self.name)?);
        let made = shared.map(|shared| (folder.to_owned(), shared.pool.clone()));
        Ok(HeldFolder { version, made })
    }

    /// The blob, if it is in the folder or in that of another image.
    pub(super) async fn reuse_shared(
        &self,
        wish: &Wish<'_>,
        shared: &Shared,
        path: &Path,
        found: Option<(u64, How)>,
    ) -> Result<Option<(u64, How)>, Error> {
        let fresh = shared.overwrite == Overwrite::Always;
        if wish.blob.size.is_none_or(|size| !files::is_wished(size, wish)) {
            return Ok(None);
        }
        let (shared, blob, path) = (shared.clone(), wish.blob.clone(), path.to_owned());
        files::blocking(move || {
            let Shared { pool, folder, .. } = shared;
            if found.is_some() && pool.holds(&blob.digest, &folder, &path, fresh) {
                return Ok(found);
            }
            let linked = pool.link(&blob, &path, fresh)?;
            if linked.is_some() {
                pool.note(&blob.digest, &folder);
            }
            Ok(linked.map(|size| (size, How::Linked)))
        })
        .await
    }
}
