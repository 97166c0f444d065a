//! The tar that a layout is written to, by one image or by many at the same time.
//!
//! Where images are added to what is there, the file is written anew beside the old one: at first
//! what is new, and at the end what the names that stay need, read from the old file and verified.
//! A blob that an image wishes for is looked for there too, so that it need not be fetched again.

use std::collections::HashMap;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use skopeo_blob::{Blob, Unverified};
use skopeo_image::{Digest, RawManifest};
use tokio::sync::OnceCell;
use tracing::debug;

use super::super::destination::reference;
use super::super::folder::{Folder, LAYOUT};
use super::super::hanging::Hanging;
use super::super::index::{Entry as IndexEntry, Index, Target};
use super::super::reach::Reach;
use super::super::source::Place;
use super::super::{Entry as Wanted, drop_orphans};
use super::source::{Packed, PackedLayout};
use super::{ArchiveName, INDEX, blob_name};
use crate::glance::Sight;
use crate::tar::{Archive, Entry, Existing, Slots, Writer, is_special};
use crate::{Error, How, Options, Stored, files};

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

/// The archive that is there, to which images are added.
#[derive(Debug)]
struct Old {
    archive: Archive,
    index: Arc<Index>,
    place: Packed,
    /// So that of two who write the file anew none loses what the other writes.
    _lock: fs_err::File,
}

/// What the images are called.
#[derive(Debug)]
struct Names {
    index: Index,
    hanging: Vec<Hanging>,
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
    /// A tar for one image, which replaces what is there.
    pub(super) async fn anew(name: &ArchiveName, options: &Options) -> Result<Self, Error> {
        writable(name.resolved())?;
        let packing = Self::new(name, options, Existing::Replace, None, false)?;
        packing.writer().await?;
        Ok(packing)
    }

    /// A tar for many images. Those that are there stay.
    pub(super) async fn added_to(name: &ArchiveName, options: &Options) -> Result<Self, Error> {
        writable(name.resolved())?;
        let (name, options) = (name.clone(), options.clone());
        files::blocking(move || {
            let path = name.resolved();
            let is_there = !is_special(name.path()) && files::size_of(path).is_some();
            let old = if is_there { Old::open(path, &options)? } else { None };
            let existing = if is_there { Existing::Replace } else { Existing::None };
            Self::new(&name, &options, existing, old, true)
        })
        .await
    }

    fn new(
        name: &ArchiveName,
        options: &Options,
        existing: Existing,
        old: Option<Old>,
        for_many: bool,
    ) -> Result<Self, Error> {
        let is_special = is_special(name.path());
        let path = if is_special { name.path() } else { name.resolved() };
        let (path, tmpdir) = (path.to_owned(), options.tmpdir.clone());
        let index = old.as_ref().map_or_else(Index::new, |old| Index::clone(&old.index));
        let names = Names {
            index,
            hanging: Vec::new(),
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
        })
    }

    /// What tells the place of the blobs from all others.
    pub(super) fn pool(&self) -> String {
        match &self.shared {
            Some(shared) => shared.folder.pool(),
            None => format!("oci-archive:{}", self.aim.path.display()),
        }
    }

    /// The digest that a reference leads to in the file that is there, if that has all it needs.
    pub(super) async fn present(
        self: &Arc<Self>,
        reference: &str,
    ) -> Result<Option<Digest>, Error> {
        let Some(old) = &self.old else { return Ok(None) };
        let Ok(at) = old.index.find(&Wanted::Reference(reference.to_owned())) else {
            return Ok(None);
        };
        let target = old.index.entries()[at].descriptor()?;
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
        if let Some(shared) = &self.shared {
            return Ok(shared.folder.size(digest));
        }
        self.content.size(digest, || self.take_over(digest)).await
    }

    pub(super) async fn put_blob(&self, blob: Blob) -> Result<Stored, Error> {
        if let Some(Shared { folder, writer }) = &self.shared {
            let (digest, size) = writer.put(blob, |digest| folder.blob_path(digest)).await?;
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
        if manifest.media_type.is_list() {
            self.names().lists.insert(digest.clone(), manifest.bytes.to_vec());
        }
        self.put_bytes(digest, &manifest.bytes).await
    }

    /// Gives an image its name, which counts when the tar is finished.
    pub(super) fn name(&self, top: Option<IndexEntry>, hanging: Hanging) -> Result<(), Error> {
        let mut names = self.names();
        names.given = true;
        if let Some(top) = top {
            let digest = top.descriptor()?.digest;
            let old = names.index.put(top).and_then(|old| old.descriptor().ok());
            names.gone.extend(old.filter(|old| old.digest != digest));
        }
        if !hanging.is_empty() {
            names.hanging.push(hanging);
        }
        Ok(())
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
            if self.size(&digest).await?.is_none() {
                return Err(Error::BrokenArchive { path: self.aim.path.clone(), digest });
            }
        }
        if let Some(shared) = &self.shared {
            shared.writer.sync().await?;
        }
        let writer = self.writer().await?;
        let files = [file(INDEX.into(), encoded), file("oci-layout".into(), LAYOUT.into())];
        writer.put(&files).await?;
        writer.finish().await
    }

    /// What the archive comes to.
    fn sum_up(&self) -> Result<Sum, Error> {
        let names = &mut *self.names();
        let mut place = Overlay {
            manifests: std::mem::take(&mut names.lists),
            old: self.old.as_ref().map(|old| &old.place),
        };
        let index = &mut names.index;
        let mut written = Vec::new();
        for hanging in names.hanging.drain(..) {
            let tagged = hanging.tagged().map(|it| (Digest::sha256(&it.bytes), it.bytes.to_vec()));
            let tagged: Vec<_> = tagged.collect();
            let lists = hanging.apply(&place, index)?;
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
        if let Some(old) = self.old.as_ref().filter(|_| self.shared.is_none()) {
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
            Err(Error::Stream(error)) => {
                debug!("taking over {digest} from {}: {error}", self.aim.path.display());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn put_bytes(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        if let Some(Shared { folder, writer }) = &self.shared {
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
                    return Writer::pipe(path, tmpdir);
                }
                Writer::create(path, *existing, tmpdir)
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

impl Old {
    /// The archive at `path`; `None` if there is an empty file.
    fn open(path: &Path, options: &Options) -> Result<Option<Self>, Error> {
        let lock = files::lock_to_replace(path)?;
        if lock.metadata()?.len() == 0 {
            return Ok(None);
        }
        let archive = Archive::open(path, &options.tmpdir)?;
        let PackedLayout { archive, index } = PackedLayout::read(archive)?;
        let place = Packed::new(archive.clone(), &options.layout);
        Ok(Some(Self { archive, index, place, _lock: lock }))
    }
}

/// A place in an archive that is looked at.
pub(crate) struct Seen {
    packing: Arc<Packing>,
    reference: Option<String>,
}

impl Seen {
    pub(super) fn new(packing: Arc<Packing>, entry: &Wanted) -> Result<Self, Error> {
        Ok(Self { packing, reference: reference(entry)? })
    }
}

#[async_trait]
impl Sight for Seen {
    async fn present(&self) -> Result<Option<Digest>, Error> {
        match &self.reference {
            Some(reference) => self.packing.present(reference).await,
            None => Ok(None),
        }
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        match &self.packing.shared {
            Some(shared) => shared.folder.size(digest),
            None => self.packing.old.as_ref()?.place.size(digest),
        }
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
        return Err(Error::ArchivePlace { path: path.display().to_string(), source });
    }
    Ok(())
}

/// A folder of blobs that several layouts share.
#[derive(Debug)]
struct Shared {
    folder: Folder,
    writer: files::Writer,
}

impl Shared {
    fn new(folder: PathBuf) -> Result<Self, Error> {
        files::make_folder(&folder)?;
        let writer = files::Writer::new(folder.clone(), "oci-put-blob")?;
        Ok(Self { folder: Folder::of_blobs(folder), writer })
    }
}

/// What can be read while the archive is being written: what is in memory, and what was there.
#[derive(Debug)]
struct Overlay<'a> {
    manifests: HashMap<Digest, Vec<u8>>,
    old: Option<&'a Packed>,
}

impl Place for Overlay<'_> {
    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        match (self.manifests.get(digest), self.old) {
            (Some(bytes), _) => Ok(bytes.clone()),
            (None, Some(old)) => old.manifest(digest),
            (None, None) => Err(Error::Vanished(digest.clone())),
        }
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        let ours = self.manifests.get(digest).map(|bytes| bytes.len() as u64);
        ours.or_else(|| self.old?.size(digest))
    }

    fn locate(&self, digest: &Digest) -> PathBuf {
        blob_name(digest).into()
    }

    fn blob(&self, digest: &Digest) -> Result<Unverified, Error> {
        Err(Error::Vanished(digest.clone()))
    }
}

fn file(name: String, bytes: Vec<u8>) -> Entry {
    Entry::File { name, bytes }
}
