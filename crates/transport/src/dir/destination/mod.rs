//! Writing `dir:`.
//!
//! What was in the folder stays until the commit and is removed by it: until then the old image is
//! whole, and blobs that are there already need not be written again, be they of the old image or
//! of a copy that was killed.
//!
//! `held` is the folder while it is written to, `probe` looks at one.

mod held;
mod probe;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use skopeo_blob::Blob;
use skopeo_config::links;
use skopeo_image::{Algorithm, Descriptor, Digest, RawManifest, Signature, Which};
use tokio::sync::OnceCell;

use super::DirError;
use super::version::VersionFile;
use super::{DirName, Pool, Version, version, whole};
use crate::options::{DirOptions, Overwrite};
use crate::signature_error::SignaturesError;
use crate::temporary;
use crate::{
    Accepts, CommitError, Destination, Error, How, ImageName, KeptSignatures, LayerForm, Partial,
    Probe, PutManifestError, Role, Stored, Wish, files, signature_file,
};

use held::{Begun, HeldFolder, Shared};
pub(crate) use probe::look;

/// Opens a folder for writing: one that is missing, empty or a `dir:` image already.
pub(crate) fn create(name: &DirName, options: &DirOptions) -> Result<DirDestination, Error> {
    let this = DirDestination::new(name, options, None)?;
    links::check(name.path())?;
    let folder = Path::new(&name.resolved);
    if !folder.exists() {
        files::make_folder(folder).map_err(|source| DirError::Folder {
            path: name.resolved.clone(),
            source: source.into(),
        })?;
    }
    let opened = HeldFolder { version: Some(VersionFile::open(name)?), made: None };
    this.begun.set(Begun::new(name, opened)?).ok();
    Ok(this)
}

/// Prepares to write a folder as one of many in a collection. Nothing is made before something is
/// put; then it is waited for others that write there.
pub(crate) fn create_in(
    pool: &Arc<Pool>,
    name: &DirName,
    options: &DirOptions,
) -> Result<DirDestination, Error> {
    if options.overwrite == Overwrite::Never && whole::has_image(name) {
        return Err(DirError::FolderExists(name.to_string()).into());
    }
    version::check(name)?;
    let shared =
        Shared { pool: pool.clone(), folder: name.path().into(), overwrite: options.overwrite };
    DirDestination::new(name, options, Some(shared))
}

/// What a folder takes.
fn accepts(options: &DirOptions) -> Result<Accepts, Error> {
    let layers = match (options.compress, options.decompress) {
        (false, false) => LayerForm::AsIs,
        (true, false) => LayerForm::Compressed,
        (false, true) => LayerForm::Uncompressed,
        (true, true) => return Err(DirError::CompressAndDecompress.into()),
    };
    Ok(Accepts {
        manifests: Vec::new(),
        layers,
        signatures: KeptSignatures::All,
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
    /// Set where it is one of many.
    shared: Option<Shared>,
    begun: OnceCell<Begun>,
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
    fn new(name: &DirName, options: &DirOptions, shared: Option<Shared>) -> Result<Self, Error> {
        Ok(Self {
            image: ImageName::Dir(name.clone()),
            name: name.clone(),
            accepts: accepts(options)?,
            shared,
            begun: OnceCell::new(),
            pending: Mutex::default(),
        })
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Probe for DirDestination {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    /// The image that is in the folder now. A plain folder is always written.
    async fn present(&self) -> Result<Option<Digest>, Error> {
        if self.shared.as_ref().is_none_or(|it| it.overwrite == Overwrite::Always) {
            return Ok(None);
        }
        let name = self.name.clone();
        files::blocking(move || whole::digest(&name)).await
    }

    async fn holds(&self, wish: &Wish<'_>) -> Result<Option<How>, Error> {
        let there = files::plain_size(&self.name.blob(&wish.blob.digest))
            .filter(|size| files::is_wished(*size, wish));
        let Some(Shared { pool, overwrite, .. }) = self.shared.clone() else {
            return Ok(there.map(|_| How::Present));
        };
        if overwrite == Overwrite::Always {
            return Ok(None);
        }
        if there.is_some() {
            return Ok(Some(How::Present));
        }
        if wish.blob.size.is_none_or(|size| !files::is_wished(size, wish)) {
            return Ok(None);
        }
        let blob = wish.blob.clone();
        files::blocking(move || Ok(pool.has(&blob).then_some(How::Linked))).await
    }

    fn room(&self) -> Option<String> {
        self.shared.as_ref().map(|shared| shared.folder.display().to_string())
    }

    fn pool(&self) -> Option<String> {
        let shared = self.shared.as_ref()?;
        Some(format!("dir:{}", shared.pool.root().display()))
    }
}

#[async_trait]
impl Destination for DirDestination {
    async fn begin(&self) -> Result<(), Error> {
        self.begun().await.map(drop)
    }

    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        let begun = self.begun().await?;
        let digest = &wish.blob.digest;
        let path = self.name.blob(digest);
        let found = files::plain_size(&path).filter(|size| files::is_wished(*size, wish));
        let found = found.map(|size| (size, How::Present));
        let found = match (&self.shared, found) {
            (Some(shared), _) => self.reuse_shared(wish, shared, &path, found).await?,
            (None, None) => None,
            (None, Some(found)) => {
                let (proofs, digest, path) = (begun.proofs.clone(), digest.clone(), path.clone());
                let is_right = files::blocking(move || Ok(proofs.holds(&digest, &path)));
                is_right.await?.then_some(found)
            }
        };
        let Some((size, how)) = found else { return Ok(None) };
        let mut pending = self.pending();
        pending.keep(&path);
        pending.mind(digest.algorithm());
        Ok(Some(Stored { digest: digest.clone(), size, how }))
    }

    async fn partial(&self, blob: &Descriptor) -> Result<Option<Partial>, Error> {
        let writer = &self.begun().await?.writer;
        if let Some(partial) = writer.partial(blob)? {
            return Ok(Some(partial));
        }
        let Some(Shared { pool, .. }) = &self.shared else { return Ok(None) };
        pool.take_part(&blob.digest, writer.part_path(&blob.digest));
        writer.partial(blob)
    }

    async fn put_blob(&self, blob: Blob, _role: Role) -> Result<Stored, Error> {
        let begun = self.begun().await?;
        let (digest, size) = begun.writer.put(blob, |digest| self.name.blob(digest)).await?;
        let path = self.name.blob(&digest);
        match &self.shared {
            Some(Shared { pool, folder, .. }) => pool.add(&digest, folder),
            None => begun.proofs.wrote(&digest, &path),
        }
        let mut pending = self.pending();
        pending.keep(&path);
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
        self.begun().await?.writer.put_bytes(&path, &manifest.bytes)?;
        let mut pending = self.pending();
        pending.keep(&path);
        pending.mind_instance(which);
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error> {
        let encoded = signatures.iter().enumerate().map(|(before, signature)| {
            let path = self.name.signature(which, before);
            signature_file::encode(signature)
                .map_err(|source| SignaturesError::Malformed { path, source })
        });
        let encoded = encoded.collect::<Result<_, _>>()?;
        let mut pending = self.pending();
        pending.mind_instance(which);
        pending.signatures.push((which.clone(), encoded));
        Ok(())
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        self.begun().await?.writer.sync().await?;
        let Self { name, begun, pending, shared, .. } = *self;
        let top = top.bytes.clone();
        files::blocking(move || {
            let Some(Begun { opened, .. }) = begun.into_inner() else {
                return Err(CommitError::NothingToCommit.into());
            };
            let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
            let mut pending = pending.into_inner().unwrap_or_else(PoisonError::into_inner);
            if pending.manifest.take().is_none_or(|manifest| manifest.bytes != top) {
                return Err(CommitError::NothingToCommit.into());
            }
            if let Some(version) = &mut opened.version {
                version.write(match pending.beyond_sha256 {
                    true => Version::NEWEST,
                    false => Version::SHA256_ONLY,
                })?;
            }
            // Other images may lie in those of a collection.
            let folders = if shared.is_some() { Folders::Stay } else { Folders::Go };
            // The old signatures go first: killed between these steps, an image may lack its
            // signatures, but never has another's.
            remove(&name, folders, |file| match folders {
                Folders::Go => file.contains("signature-"),
                Folders::Stay => whole::is_signature(file),
            })?;
            temporary::replace(&name.manifest(&Which::Top), &top)?;
            for (which, signatures) in &pending.signatures {
                for (before, bytes) in signatures.iter().enumerate() {
                    let path = name.signature(which, before);
                    temporary::replace(&path, bytes)?;
                    pending.keep.extend(path.file_name().map(OsString::from));
                }
            }
            pending.keep.extend(["version", "manifest.json"].map(OsString::from));
            // What is no part of any image stays where several programs may keep things.
            let is_old = |file: &str| folders == Folders::Go || whole::is_of_images(file);
            remove(&name, folders, |file| {
                !pending.keep.contains(std::ffi::OsStr::new(file)) && is_old(file)
            })
        })
        .await
    }
}

/// What becomes of folders in the folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folders {
    Go,
    Stay,
}

/// Removes what has a name for which `gone` holds.
fn remove(name: &DirName, folders: Folders, gone: impl Fn(&str) -> bool) -> Result<(), Error> {
    for entry in fs_err::read_dir(name.path())? {
        let entry = entry?;
        if !gone(&entry.file_name().to_string_lossy()) {
            continue;
        }
        match (entry.file_type()?.is_dir(), folders) {
            (false, _) => fs_err::remove_file(entry.path())?,
            (true, Folders::Go) => fs_err::remove_dir_all(entry.path())?,
            (true, Folders::Stay) => {}
        }
    }
    Ok(())
}
