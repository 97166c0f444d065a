//! Writing `dir:`.
//!
//! What was in the folder stays until the commit and is removed by it: until then the old image is
//! whole, and blobs that are there already need not be written again, be they of the old image or
//! of a copy that was killed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use fs_err::File;
use rustix::fs::{FlockOperation, flock};
use skopeo_blob::Blob;
use skopeo_image::{Algorithm, Digest, RawManifest, Signature, Which};

use super::{DirName, Version};
use crate::glance::{Glance, Sight};
use crate::options::DirOptions;
use crate::{
    Accepts, Destination, Error, How, ImageName, LayerForm, PutManifestError, Role, Stored, Wish,
    files, signature_file,
};

/// Opens a folder for writing: one that is missing, empty or a `dir:` image already.
pub(crate) fn create(name: &DirName, options: &DirOptions) -> Result<DirDestination, Error> {
    let accepts = accepts(options)?;
    let folder = Path::new(&name.resolved);
    if !folder.exists() {
        files::make_folder(folder).map_err(|source| Error::Folder {
            path: name.resolved.clone(),
            source: source.into(),
        })?;
    }
    let version = VersionFile::open(name)?;
    let writer = files::Writer::new(name.path().to_owned(), "dir-put-blob")?;
    Ok(DirDestination {
        image: ImageName::Dir(name.clone()),
        name: name.clone(),
        accepts,
        version,
        writer,
        pending: Mutex::default(),
    })
}

/// Looks at a folder that an image could be written to.
pub(crate) fn look(name: &DirName, options: &DirOptions) -> Result<Glance<DirName>, Error> {
    let accepts = accepts(options)?;
    Ok(Glance { name: ImageName::Dir(name.clone()), accepts, sight: name.clone() })
}

impl Sight for DirName {
    fn blob_path(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.blob(digest))
    }
}

/// What a folder takes.
fn accepts(options: &DirOptions) -> Result<Accepts, Error> {
    let layers = match (options.compress, options.decompress) {
        (false, false) => LayerForm::AsIs,
        (true, false) => LayerForm::Compressed,
        (false, true) => LayerForm::Uncompressed,
        (true, true) => return Err(Error::CompressAndDecompress),
    };
    Ok(Accepts {
        manifests: Vec::new(),
        layers,
        signatures: Ok(()),
        foreign_layers: false,
        embedded_name: None,
        digest: None,
        concurrency: files::CONCURRENCY,
    })
}

/// A folder that an image is written to.
#[derive(Debug)]
pub(crate) struct DirDestination {
    image: ImageName,
    name: DirName,
    accepts: Accepts,
    version: VersionFile,
    writer: files::Writer,
    pending: Mutex<Pending>,
}

/// What the commit will do.
#[derive(Debug, Default)]
struct Pending {
    signatures: Vec<(Which, Vec<Vec<u8>>)>,
    manifest: Option<RawManifest>,
    /// The files that belong to the image.
    keep: BTreeSet<OsString>,
    beyond_sha256: bool,
}

impl Pending {
    fn keep(&mut self, path: &Path) {
        self.keep.extend(path.file_name().map(OsString::from));
    }

    fn mind(&mut self, algorithm: Algorithm) {
        self.beyond_sha256 |= algorithm != Algorithm::Sha256;
    }

    fn mind_instance(&mut self, which: &Which) {
        if let Which::Instance(digest) = which {
            self.mind(digest.algorithm());
        }
    }
}

impl DirDestination {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Destination for DirDestination {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        let digest = &wish.blob.digest;
        let path = self.name.blob(digest);
        let Some(size) = files::reusable(&path, wish) else { return Ok(None) };
        let mut pending = self.pending();
        pending.keep(&path);
        pending.mind(digest.algorithm());
        Ok(Some(Stored { digest: digest.clone(), size, how: How::Present }))
    }

    async fn put_blob(&self, blob: Blob, _role: Role) -> Result<Stored, Error> {
        let (digest, size) = self.writer.put(blob, |digest| self.name.blob(digest)).await?;
        let mut pending = self.pending();
        pending.keep(&self.name.blob(&digest));
        pending.mind(digest.algorithm());
        Ok(Stored { digest, size, how: How::Moved })
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        if *which == Which::Top {
            self.pending().manifest = Some(manifest.clone());
            return Ok(());
        }
        let path = self.name.manifest(which);
        self.writer.put_bytes(&path, &manifest.bytes)?;
        let mut pending = self.pending();
        pending.keep(&path);
        pending.mind_instance(which);
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error> {
        let encoded = signatures.iter().enumerate().map(|(index, signature)| {
            let path = self.name.signature(which, index + 1);
            signature_file::encode(signature).map_err(|source| Error::Signature { path, source })
        });
        let encoded = encoded.collect::<Result<_, _>>()?;
        let mut pending = self.pending();
        pending.mind_instance(which);
        pending.signatures.push((which.clone(), encoded));
        Ok(())
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        self.writer.sync().await?;
        let Self { name, mut version, pending, .. } = *self;
        let top = top.bytes.clone();
        files::blocking(move || {
            let mut pending = pending.into_inner().unwrap_or_else(PoisonError::into_inner);
            if pending.manifest.take().is_none_or(|manifest| manifest.bytes != top) {
                return Err(Error::NothingToCommit);
            }
            version.write(if pending.beyond_sha256 {
                Version::NEWEST
            } else {
                Version::SHA256_ONLY
            })?;
            // The old signatures go first: killed between these steps, an image may lack its
            // signatures, but never has another's.
            remove(&name, |file| file.contains("signature-"))?;
            files::replace(&name.manifest(&Which::Top), &top)?;
            for (which, signatures) in &pending.signatures {
                for (index, bytes) in signatures.iter().enumerate() {
                    let path = name.signature(which, index + 1);
                    files::replace(&path, bytes)?;
                    pending.keep.extend(path.file_name().map(OsString::from));
                }
            }
            pending.keep.extend(["version", "manifest.json"].map(OsString::from));
            remove(&name, |file| !pending.keep.contains(std::ffi::OsStr::new(file)))
        })
        .await
    }
}

/// Removes what has a name for which `gone` holds.
fn remove(name: &DirName, gone: impl Fn(&str) -> bool) -> Result<(), Error> {
    for entry in fs_err::read_dir(name.path())? {
        let entry = entry?;
        if !gone(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs_err::remove_dir_all(entry.path())?;
        } else {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The `version` file, by which a folder is known to be ours. It is written first, so that what a
/// killed copy leaves is still known, and locked while a copy lasts.
#[derive(Debug)]
struct VersionFile {
    file: File,
}

impl VersionFile {
    fn open(name: &DirName) -> Result<Self, Error> {
        let path = name.version();
        let empty = fs_err::read_dir(&name.resolved)?.next().is_none();
        if !empty && !path.exists() {
            return Err(Error::NotImageFolder);
        }
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create_new(empty).options_mut().mode(0o644);
        let file = options.open(&path)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::FolderBusy(name.to_string()));
        }
        let mut this = Self { file };
        if empty {
            this.write(Version::SHA256_ONLY)?;
        } else {
            let text = this.read()?;
            // Killed between making the file and writing it.
            if text.is_empty() && fs_err::read_dir(name.path())?.nth(1).is_none() {
                this.write(Version::SHA256_ONLY)?;
                return Ok(this);
            }
            Version::parse(&text).ok_or(Error::NotImageFolder)?.check(&text, name)?;
        }
        Ok(this)
    }

    fn read(&mut self) -> Result<String, Error> {
        let mut bytes = Vec::new();
        self.file.rewind()?;
        (&mut self.file).take(1024).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn write(&mut self, version: Version) -> Result<(), Error> {
        let text = version.to_string();
        if self.read()? != text {
            self.file.rewind()?;
            self.file.write_all(text.as_bytes())?;
            self.file.set_len(text.len() as u64)?;
        }
        Ok(())
    }
}
