//! Uploads: files that grow until their digest is proven.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err::os::unix::fs::OpenOptionsExt;
use fs_err::{self as fs, File};
use skopeo_image::{Algorithm, Digest, Hasher};
use tokio::sync::OwnedMutexGuard;

use super::layout::Layout;
use crate::name::RepositoryName;

/// All uploads of a store, by their id.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashMap<String, Arc<Upload>>>);

/// One upload.
#[derive(Debug)]
pub(crate) struct Upload {
    id: String,
    repository: RepositoryName,
    layout: Arc<Layout>,
    path: PathBuf,
    state: Arc<tokio::sync::Mutex<UploadState>>,
}

/// How far an upload has come. Whoever holds it may go on.
#[derive(Debug)]
pub(crate) struct UploadState {
    path: PathBuf,
    size: u64,
    /// The hash so far; none if nobody saw the first bytes (a restarted server).
    hasher: Option<Hasher>,
    algorithm: Algorithm,
}

impl Uploads {
    /// Begins an upload into `layout`.
    pub(crate) fn begin(
        &self,
        repository: &RepositoryName,
        layout: Arc<Layout>,
        algorithm: Algorithm,
    ) -> io::Result<Arc<Upload>> {
        let folder = layout.uploads();
        layout.tidy();
        let id = new_id()?;
        let path = folder.join(&id);
        // Held, lest an upload that ends removes the folder in between.
        let mut uploads = self.lock();
        create(&folder, &path)?;
        let hasher = Some(Hasher::new(algorithm));
        let upload = Upload::new(id, repository.clone(), layout, path, 0, hasher, algorithm);
        uploads.insert(upload.id.clone(), upload.clone());
        Ok(upload)
    }

    /// The upload of this id, also one that another run of the server began.
    pub(crate) fn find(
        &self,
        id: &str,
        repository: &RepositoryName,
        layout: Option<&Arc<Layout>>,
    ) -> Option<Arc<Upload>> {
        if let Some(upload) = self.lock().get(id) {
            return (upload.repository == *repository).then(|| upload.clone());
        }
        let path = layout?.uploads().join(is_id(id).then_some(id)?);
        let found = fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        let upload = Upload::new(
            id.to_owned(),
            repository.clone(),
            layout?.clone(),
            path,
            found.len(),
            None,
            Algorithm::Sha256,
        );
        Some(self.lock().entry(id.to_owned()).or_insert(upload).clone())
    }

    /// Forgets an upload; its file is removed, if it is there still.
    pub(crate) fn end(&self, upload: &Upload) {
        let mut uploads = self.lock();
        uploads.remove(&upload.id);
        if let Err(error) = fs::remove_file(&upload.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("ending an upload: {error}");
        }
        // Stays if another upload is in it.
        let _ = fs::remove_dir(upload.layout.uploads());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Upload>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    fn new(
        id: String,
        repository: RepositoryName,
        layout: Arc<Layout>,
        path: PathBuf,
        size: u64,
        hasher: Option<Hasher>,
        algorithm: Algorithm,
    ) -> Arc<Self> {
        let state = UploadState { path: path.clone(), size, hasher, algorithm };
        let state = Arc::new(tokio::sync::Mutex::new(state));
        Arc::new(Self { id, repository, layout, path, state })
    }

    /// The id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Waits until nobody else goes on with the upload.
    pub(crate) async fn hold(&self) -> OwnedMutexGuard<UploadState> {
        self.state.clone().lock_owned().await
    }

    /// Gives the file its place as a blob, if it has this digest; `false` if it has another.
    pub(crate) fn finish(&self, state: &mut UploadState, digest: &Digest) -> io::Result<bool> {
        if state.digest(digest.algorithm())? != *digest {
            return Ok(false);
        }
        self.layout.adopt_blob(&self.path, digest)?;
        Ok(true)
    }
}

impl UploadState {
    /// How many bytes have come.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Appends to the file: a writer for pieces, each of which counts once it is written.
    pub(crate) fn appender(&mut self) -> io::Result<Appender<'_>> {
        let file = fs::OpenOptions::new().write(true).open(&self.path)?;
        // A piece that was cut off in the middle by a full disk does not count.
        file.set_len(self.size)?;
        let mut file = file;
        file.seek(SeekFrom::Start(self.size))?;
        Ok(Appender { file, state: self })
    }

    fn digest(&self, algorithm: Algorithm) -> io::Result<Digest> {
        if let Some(hasher) = &self.hasher
            && self.algorithm == algorithm
        {
            return Ok(hasher.clone().finish());
        }
        let mut hasher = Hasher::new(algorithm);
        let mut file = File::open(&self.path)?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                read => hasher.update(&buffer[..read]),
            }
        }
    }
}

/// Where the pieces of an upload go.
#[derive(Debug)]
pub(crate) struct Appender<'a> {
    file: File,
    state: &'a mut UploadState,
}

impl Appender<'_> {
    /// Writes and hashes one piece.
    pub(crate) fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.state.size += piece.len() as u64;
        if let Some(hasher) = &mut self.state.hasher {
            hasher.update(piece);
        }
        Ok(())
    }
}

/// Makes an empty file. Another server over the same folder may remove the emptied folder at any
/// moment, so it may take more than one attempt.
fn create(folder: &Path, path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o644);
    for _ in 0..100 {
        match fs::create_dir_all(folder).and_then(|()| options.open(path)) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    fs::create_dir_all(folder).and_then(|()| options.open(path)).map(drop)
}

/// A random id in the form of a version 4 UUID.
fn new_id() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::from)?;
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let hex = u128::from_be_bytes(random);
    let hex = format!("{hex:032x}");
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_file_names() {
        let id = new_id().unwrap();
        assert!(is_id(&id), "{id}");
        assert_ne!(id, new_id().unwrap());
        for text in ["", "..", "../../../../../../../../../../x/passwd", "a"] {
            assert!(!is_id(text), "{text}");
        }
    }
}
