//! The tar that a layout is written to, by one image or by many at the same time.
//!
//! Where images are added to what is there, the file is written anew beside the old one: at first
//! what is new, and at the end what the names that stay need, read from the old file and verified.
//! A blob that an image wishes for is looked for there too, so that it need not be fetched again.

use std::collections::{HashMap, HashSet};
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use skopeo_archive::{Entry, Existing, Stamp, TarWriteError, Writer, is_special};
use skopeo_blob::{Blob, Unverified};
use skopeo_image::{Digest, RawManifest};
use tokio::sync::OnceCell;
use tracing::debug;

use super::super::blob_store::BlobStore;
use super::super::destination::{is_right, reference};
use super::super::drop_orphans;
use super::super::folder::{Folder, LAYOUT};
use super::super::index::{Entry as IndexEntry, Index, Target};
use super::super::reach::Reach;
use super::super::referrers::{self, PendingReferrers};
use super::existing::{Old, Overlay};
use super::{ArchiveName, INDEX, blob_name};
use crate::proof::Proofs;
use crate::tar::ArchiveError;
use crate::tar::{Hold, Slots};
use crate::temporary;
use crate::writer;
use crate::{Accepts, Error, How, ImageName, Options, Probe, Stored, Wish, files};

/// A layout that is being written to a tar.
#[derive(Debug)]
pub(crate) struct Packing {
    aim: Aim,
    writer: OnceCell<Writer>,
    old: Option<Old>,
    /// Where blobs go instead.
    shared: Option<Shared>,
    content: Slots,
    names: Mutex<Names>,
    /// While it is written.
    hold: Mutex<Option<Hold>>,
}

/// How many images are written to a tar at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Images {
    One,
    Many,
}

/// Where the tar goes.
#[derive(Clone, Debug)]
struct Aim {
    path: PathBuf,
    existing: Existing,
    is_special: bool,
    for_many: bool,
    tmpdir: PathBuf,
}

/// What the images are called.
#[derive(Debug)]
struct Names {
    index: Index,
    referrers: Vec<PendingReferrers>,
    /// Lists, which lead to further manifests.
    lists: HashMap<Digest, Vec<u8>>,
    /// Images whose names others have got.
    gone: Vec<Target>,
    given: bool,
}

/// What an archive comes to when all images are in it.
struct Sum {
    index: Index,
    /// Those that are still to be written.
    lists: Vec<(Digest, Vec<u8>)>,
    /// The blobs of the old file that stay.
    kept: Vec<Digest>,
}

impl Packing {
    /// A tar at a place that [`place`](crate::tar::place) gave. The images that are there stay.
    /// Nothing is written yet.
    pub(super) async fn added_to(
        place: &Path,
        options: &Options,
        images: Images,
    ) -> Result<Self, Error> {
        let (path, options) = (place.to_owned(), options.clone());
        files::blocking(move || {
            writable(&path)?;
            // Before it is read: who changes it meanwhile is noticed in the end.
            let before = if is_special(&path) { None } else { Stamp::at(&path) };
            let (old, existing) = match before {
                Some(before) => (Old::open(&path, &options)?, Existing::Replace(before)),
                None => (None, Existing::None),
            };
            // What is taken over from the old file must not wait for what has no size yet.
            let for_many = images == Images::Many || old.is_some();
            Self::new(path, &options, existing, old, for_many)
        })
        .await
    }

    /// Opens what is written to, so that it is known early if that cannot be. Where images are
    /// added this is not done before there is one.
    pub(super) async fn begin(&self) -> Result<(), Error> {
        if self.old.is_none() {
            self.writer().await?;
        }
        Ok(())
    }

    /// Keeps others from writing the archive until it has ended.
    pub(super) fn hold(&self, hold: Option<Hold>) {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = hold;
    }

    fn new(
        path: PathBuf,
        options: &Options,
        existing: Existing,
        old: Option<Old>,
        for_many: bool,
    ) -> Result<Self, Error> {
        let (is_special, tmpdir) = (is_special(&path), options.tmpdir.clone());
        let index = old.as_ref().map_or_else(Index::new, |old| Index::clone(&old.index));
        let names = Names {
            index,
            referrers: Vec::new(),
            lists: HashMap::new(),
            gone: Vec::new(),
            given: false,
        };
        Ok(Self {
            aim: Aim { path, existing, is_special, for_many, tmpdir },
            writer: OnceCell::new(),
            old,
            shared: options.layout.shared_blob_dir.clone().map(Shared::new).transpose()?,
            content: Slots::default(),
            names: Mutex::new(names),
            hold: Mutex::default(),
        })
    }

    /// What tells the place of the blobs from all others.
    pub(super) fn pool(&self) -> String {
        match &self.shared {
            Some(shared) => shared.folder.pool(),
            None => format!("oci-archive:{}", self.aim.path.display()),
        }
    }

    /// The digest that a reference, or none, leads to in the file that is there, if that has all it
    /// needs.
    pub(super) async fn present(
        self: &Arc<Self>,
        reference: Option<&str>,
    ) -> Result<Option<Digest>, Error> {
        let Some(old) = &self.old else { return Ok(None) };
        let mut entries = old.index.entries().iter();
        let Some(entry) = entries.find(|entry| entry.ref_name() == reference) else {
            return Ok(None);
        };
        let target = entry.descriptor()?;
        let (digest, packing) = (target.digest.clone(), self.clone());
        files::blocking(move || {
            let Some(old) = &packing.old else { return Ok(None) };
            let mut reach = Reach::default();
            let whole = reach.follow(&old.place, target).is_ok() && reach.is_whole(&old.place);
            Ok(whole.then_some(digest))
        })
        .await
    }

    /// The size of a blob that is there, or could be taken over from the old file.
    pub(super) async fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        if let Some(Shared { folder, proofs, .. }) = &self.shared {
            let Some(size) = folder.plain_size(digest) else { return Ok(None) };
            return Ok(is_right(folder, proofs, digest).await?.then_some(size));
        }
        self.content.size(digest, || self.take_over(digest)).await
    }

    pub(super) async fn put_blob(&self, blob: Blob) -> Result<Stored, Error> {
        if let Some(Shared { folder, writer, proofs }) = &self.shared {
            let (digest, size) = writer.put(blob, |digest| folder.blob_path(digest)).await?;
            proofs.wrote(&digest, &folder.blob_path(&digest));
            return Ok(Stored { digest, size, how: How::Moved });
        }
        let (digest, size, is_new) =
            self.content.put(self.writer().await?, blob, blob_name).await?;
        Ok(Stored { digest, size, how: if is_new { How::Moved } else { How::Present } })
    }

    pub(super) async fn put_manifest(
        &self,
        digest: &Digest,
        manifest: &RawManifest,
    ) -> Result<(), Error> {
        if manifest.media_type.is_index() {
            self.names().lists.insert(digest.clone(), manifest.bytes.to_vec());
        }
        self.put_bytes(digest, &manifest.bytes).await
    }

    /// Gives an image its name, which counts when the tar is finished.
    pub(super) fn name(
        &self,
        top: Option<IndexEntry>,
        referrers: PendingReferrers,
    ) -> Result<(), Error> {
        let mut names = self.names();
        names.given = true;
        if let Some(top) = top {
            let digest = top.descriptor()?.digest;
            let old = names.index.put(top).into_iter().filter_map(|old| old.descriptor().ok());
            names.gone.extend(old.filter(|old| old.digest != digest));
        }
        if !referrers.is_empty() {
            names.referrers.push(referrers);
        }
        Ok(())
    }

    /// Returns the bundles among the referrers of a manifest in the file that is there.
    pub(super) fn bundles(&self, subject: &Digest) -> Result<HashSet<Digest>, Error> {
        match &self.old {
            Some(old) => referrers::bundles(&old.place, &old.index, subject),
            None => Ok(HashSet::new()),
        }
    }

    /// Ends the tar and gives it its name. If all is as it was, the old file stays.
    pub(super) async fn finish(self: &Arc<Self>) -> Result<(), Error> {
        if !self.names().given && !self.aim.is_special {
            return Ok(());
        }
        let packing = self.clone();
        let Sum { index, lists, kept } = files::blocking(move || packing.sum_up()).await?;
        let encoded = index.encode();
        if self.old.as_ref().is_some_and(|old| old.index.encode() == encoded) {
            return Ok(());
        }
        for (digest, list) in lists {
            self.put_bytes(&digest, &list).await?;
        }
        for digest in kept {
            if self.content.size(&digest, || self.take_over(&digest)).await?.is_none() {
                return Err(
                    ArchiveError::BrokenArchive { path: self.aim.path.clone(), digest }.into()
                );
            }
        }
        if let Some(shared) = &self.shared {
            shared.writer.sync().await?;
        }
        let writer = self.writer().await?;
        let files = [file(INDEX.into(), encoded), file("oci-layout".into(), LAYOUT.into())];
        writer.put(&files).await?;
        writer.finish().await?;
        self.hold(None);
        Ok(())
    }

    /// What the archive comes to.
    fn sum_up(&self) -> Result<Sum, Error> {
        let names = &mut *self.names();
        let mut place =
            Overlay { manifests: std::mem::take(&mut names.lists), old: self.old.as_ref() };
        let index = &mut names.index;
        let mut written = Vec::new();
        for referrers in names.referrers.drain(..) {
            let tagged =
                referrers.tagged().map(|it| (Digest::sha256(&it.bytes), it.bytes.to_vec()));
            let tagged: Vec<_> = tagged.collect();
            let lists = referrers.apply(&place, index)?;
            place.manifests.extend(tagged);
            place.manifests.extend(lists.iter().cloned());
            written.extend(lists);
        }
        if !names.gone.is_empty() {
            let mut reached = Reach::default();
            for gone in names.gone.drain(..) {
                reached.follow(&place, gone)?;
            }
            drop_orphans(&place, index, &mut reached)?;
        }
        let mut kept = Vec::new();
        if let Some(old) = &self.old {
            let mut reach = Reach::default();
            for entry in index.entries() {
                reach.follow(&place, entry.descriptor()?)?;
            }
            for digest in reach.digests().filter(|digest| !self.content.has(digest)) {
                if let Ok(Some(member)) = old.archive.find(&blob_name(digest)) {
                    kept.push((member.offset, digest.clone()));
                }
            }
        }
        // As they lie, which disks like.
        kept.sort_by_key(|(offset, _)| *offset);
        let kept = kept.into_iter().map(|(_, digest)| digest).collect();
        Ok(Sum { index: index.clone(), lists: written, kept })
    }

    /// Brings a blob from the old file. What is broken there is as good as not there.
    async fn take_over(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let Some(old) = &self.old else { return Ok(None) };
        let Ok(Some(member)) = old.archive.find(&blob_name(digest)) else { return Ok(None) };
        let bytes = Unverified::new(old.archive.stream(member), Some(member.size));
        let blob = bytes.expect(digest, Some(member.size));
        match self.writer().await?.put_blob(blob, |digest| Some(blob_name(digest))).await {
            Ok((_, size)) => Ok(Some(size)),
            Err(TarWriteError::Stream(error)) => {
                debug!("reusing {digest} of {}: {error}", self.aim.path.display());
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a small blob, unless it is there.
    pub(super) async fn put_bytes(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        if let Some(Shared { folder, writer, .. }) = &self.shared {
            if folder.holds_bytes(digest, bytes) {
                return Ok(());
            }
            return writer.put_bytes(&folder.blob_path(digest), bytes);
        }
        self.content.put_bytes(self.writer().await?, digest, bytes, blob_name).await
    }

    async fn writer(&self) -> Result<&Writer, Error> {
        let open = || async {
            let aim = self.aim.clone();
            let writer = files::blocking(move || {
                let Aim { path, existing, is_special, tmpdir, .. } = &aim;
                if *is_special {
                    return Ok(Writer::pipe(path, tmpdir)?);
                }
                Ok(Writer::create(temporary::temporary_for(path)?, path, *existing, tmpdir))
            });
            let writer = writer.await?.with_mode(0o644);
            let writer = if self.aim.for_many { writer.for_many() } else { writer };
            let folders = ["blobs/", "blobs/sha256/"];
            let folders = folders.map(|name| Entry::Folder { name: name.to_owned() });
            writer.put(&folders).await?;
            Ok(writer)
        };
        self.writer.get_or_try_init(open).await
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in an archive that an image could be written to.
pub(crate) struct ArchiveProbe {
    image: ImageName,
    packing: Arc<Packing>,
    reference: Option<String>,
    accepts: Accepts,
}

impl ArchiveProbe {
    pub(super) fn new(
        name: &ArchiveName,
        packing: Arc<Packing>,
        accepts: Accepts,
    ) -> Result<Self, Error> {
        let reference = reference(name.wanted())?;
        Ok(Self { image: ImageName::OciArchive(name.clone()), packing, reference, accepts })
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        match &self.packing.shared {
            Some(shared) => shared.folder.plain_size(digest),
            None => self.packing.old.as_ref()?.place.size(digest),
        }
    }
}

#[async_trait]
impl Probe for ArchiveProbe {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        self.packing.present(self.reference.as_deref()).await
    }

    async fn holds(&self, wish: &Wish<'_>) -> Result<Option<How>, Error> {
        let size = self.size(&wish.blob.digest);
        Ok(size.filter(|size| files::is_wished(*size, wish)).map(|_| How::Present))
    }

    fn keeps_referrers(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn pool(&self) -> Option<String> {
        Some(self.packing.pool())
    }
}

/// Refuses what an archive cannot take the place of.
fn writable(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        let source = IoError::from(ErrorKind::IsADirectory).into();
        return Err(TarWriteError::Place { path: path.display().to_string(), source }.into());
    }
    Ok(())
}

/// A folder of blobs that several layouts share.
#[derive(Debug)]
struct Shared {
    folder: Folder,
    writer: writer::Writer,
    proofs: Arc<Proofs>,
}

impl Shared {
    fn new(path: PathBuf) -> Result<Self, Error> {
        let folder = Folder::of_blobs(path.clone());
        folder.check_links()?;
        files::make_folder(&path)?;
        let writer = writer::Writer::new(path, "oci-put-blob")?;
        Ok(Self { folder, writer, proofs: Arc::default() })
    }
}

fn file(name: String, bytes: Vec<u8>) -> Entry {
    Entry::File { name, bytes }
}
