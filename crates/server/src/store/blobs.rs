//! The blobs of a layout. What has a blob's name has its bytes, whoever else writes here.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use bytes::Bytes;
use fs_err::File;
use skopeo_image::manifest::MAX_MANIFEST_SIZE;
use skopeo_image::number::wide;
use skopeo_image::{Digest, Hasher};

use super::beneath::Folder;
use super::bucket::Bucket;
use super::layout::{Layout, again, same_file};
use crate::Durability;
use crate::body::Body;
use crate::content::{Content, part};

/// How much of a file is hashed at once, in bytes.
const PIECE: usize = 256 * 1024;

/// A blob that is here.
#[derive(Debug)]
pub(crate) struct OpenBlob {
    /// In bytes.
    pub(crate) size: u64,
    source: BlobSource,
}

#[derive(Debug)]
enum BlobSource {
    File(File),
    Content(Arc<dyn Content>, Digest),
    Bucket(Arc<Bucket>, Digest),
}

impl OpenBlob {
    /// The bytes from `from` to `to`, the latter not included.
    pub(crate) fn part(self, from: u64, to: u64) -> io::Result<Body> {
        match self.source {
            BlobSource::File(mut file) => {
                if from > 0 {
                    file.seek(SeekFrom::Start(from))?;
                }
                Ok(Body::of_file(file, to.saturating_sub(from)))
            }
            BlobSource::Bucket(bucket, digest) => {
                let stream = bucket.read(&digest, from, to, self.size)?;
                Ok(part(stream, 0, to.saturating_sub(from)))
            }
            BlobSource::Content(content, digest) => {
                let rest = if from == 0 { None } else { content.rest(&digest, from)? };
                Ok(match rest {
                    Some(rest) => part(rest, 0, to.saturating_sub(from)),
                    None => part(content.blob(&digest)?, from, to),
                })
            }
        }
    }
}

impl Layout {
    /// Where blobs of the algorithm of this digest lie.
    pub(super) fn shelf(&self, digest: &Digest) -> Folder {
        self.folder.join("blobs").join(digest.algorithm().as_str())
    }

    /// Opens a blob in a folder; its length in bytes beside it. Links are not followed.
    fn open_blob(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let found = self.shelf(digest).read(digest.hex())?;
        Ok(found.map(|(file, metadata)| (file, metadata.len())))
    }

    /// A blob that is here, in part: its bytes are read when they are taken.
    pub(crate) fn blob(&self, digest: &Digest) -> io::Result<Option<OpenBlob>> {
        if let Some((content, _)) = &self.content {
            let Some(size) = content.size(digest) else { return Ok(None) };
            let source = BlobSource::Content(content.clone(), digest.clone());
            return Ok(Some(OpenBlob { size, source }));
        }
        if let Some(bucket) = &self.bucket {
            let Some(size) = bucket.size(digest)? else { return Ok(None) };
            let source = BlobSource::Bucket(bucket.clone(), digest.clone());
            return Ok(Some(OpenBlob { size, source }));
        }
        let opened = self.open_blob(digest)?;
        Ok(opened.map(|(file, size)| OpenBlob { size, source: BlobSource::File(file) }))
    }

    /// The length of a blob that is here, in bytes.
    pub(crate) fn blob_size(&self, digest: &Digest) -> io::Result<Option<u64>> {
        if let Some((content, _)) = &self.content {
            return Ok(content.size(digest));
        }
        if let Some(bucket) = &self.bucket {
            return bucket.size(digest);
        }
        let found = self.shelf(digest).look(digest.hex())?;
        Ok(found.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len()))
    }

    /// One of these blobs that is not here.
    pub(crate) fn missing(&self, digests: &[Digest]) -> io::Result<Option<Digest>> {
        if let Some(bucket) = &self.bucket {
            return bucket.missing(digests);
        }
        for digest in digests {
            if self.blob_size(digest)?.is_none() {
                return Ok(Some(digest.clone()));
            }
        }
        Ok(None)
    }

    /// The bytes of a manifest; none if it is missing or larger than any manifest may be.
    pub(crate) fn read_manifest(&self, digest: &Digest) -> io::Result<Option<Vec<u8>>> {
        if let Some((content, _)) = &self.content {
            return Ok(content.manifest(digest).map(Into::into));
        }
        if let Some(bucket) = &self.bucket {
            return Ok(bucket.manifest(digest)?.map(Into::into));
        }
        let Some((file, size)) = self.open_blob(digest)? else { return Ok(None) };
        let Some(size) = usize::try_from(size).ok().filter(|size| *size <= MAX_MANIFEST_SIZE)
        else {
            return Ok(None);
        };
        let mut bytes = Vec::with_capacity(size.saturating_add(1));
        file.take(wide(MAX_MANIFEST_SIZE)).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Writes a small blob. It is whole before it is visible.
    pub(crate) fn write_blob(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let size = wide(bytes.len());
        self.room.take(size)?;
        if let Some(bucket) = &self.bucket {
            let put = bucket.put(digest, Bytes::copy_from_slice(bytes));
            return put.inspect_err(|_| self.room.give_back(size));
        }
        let shelf = self.shelf(digest);
        let replaced = self.counted(digest);
        let write = || shelf.make().and_then(|()| self.write_whole(&shelf, digest.hex(), bytes));
        let written = again(write);
        self.room.give_back(if written.is_ok() { replaced } else { size });
        written
    }

    /// Gives a file of this layout, which the caller has locked and verified, its place. If anybody
    /// else could write to it, a copy is verified and gets the place instead. `false` if that is
    /// not what it should be.
    pub(crate) fn adopt_blob(
        &self,
        folder: &Folder,
        name: &str,
        file: &File,
        digest: &Digest,
    ) -> io::Result<bool> {
        let shelf = self.shelf(digest);
        let metadata = file.metadata()?;
        if metadata.nlink() != 1 {
            tracing::warn!("{} has other names: copying it", file.path().display());
            self.room.take(metadata.len())?;
            return self.copy_in(&shelf, file, digest);
        }
        if self.durability == Durability::PowerLoss {
            file.sync_data()?;
        }
        let replaced = self.counted(digest);
        again(|| shelf.make().and_then(|()| folder.rename(name, &shelf, digest.hex())))?;
        // Whoever may write to the folder could have put another file under the upload's name. Or
        // somebody has sent the same blob at the same time.
        if !shelf.look(digest.hex())?.is_some_and(|there| same_file(&there, &metadata))
            && !self.is_blob(digest)?
        {
            return self.copy_in(&shelf, file, digest);
        }
        self.room.give_back(replaced);
        Ok(true)
    }

    /// Whether what has a blob's name has its bytes.
    fn is_blob(&self, digest: &Digest) -> io::Result<bool> {
        let Some((file, _)) = self.open_blob(digest)? else { return Ok(false) };
        Ok(digest_of(&file, digest.algorithm())? == *digest)
    }

    /// Copies an open file into a new one that nobody else can have open, hashing what is written.
    fn copy_in(&self, shelf: &Folder, file: &File, digest: &Digest) -> io::Result<bool> {
        use std::io::Write as _;
        let mut copy = again(|| shelf.make().and_then(|()| shelf.temporary()))?;
        let mut hasher = Hasher::new(digest.algorithm());
        each_piece(file, |piece| {
            hasher.update(piece);
            copy.file().write_all(piece)
        })?;
        if hasher.finish() != *digest {
            return Ok(false);
        }
        if self.durability == Durability::PowerLoss {
            copy.file().sync_data()?;
        }
        copy.persist(digest.hex())?;
        Ok(true)
    }

    /// Makes a blob of another layout one of this layout, without a second copy of its bytes where
    /// the file system can. Whether it was there to take.
    pub(crate) fn link_blob(&self, from: &Self, digest: &Digest) -> io::Result<bool> {
        if self.bucket.is_some() {
            return Ok(self.blob_size(digest)?.is_some());
        }
        let Some((file, size)) = from.open_blob(digest)? else { return Ok(false) };
        if self.blob_size(digest)?.is_some() {
            return Ok(true);
        }
        let shelf = self.shelf(digest);
        let link = || from.shelf(digest).link(digest.hex(), &shelf, digest.hex());
        match again(|| shelf.make().and_then(|()| link())) {
            Ok(()) => {
                let ours = shelf.look(digest.hex())?;
                if ours.is_some_and(|it| file.metadata().is_ok_and(|that| same_file(&it, &that))) {
                    return Ok(true);
                }
                // Another file had the name when it was linked, or has it by now.
                if self.is_blob(digest)? {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(true),
            Err(_) => {}
        }
        self.room.take(size)?;
        let copied = self.copy_in(&shelf, &file, digest);
        if !matches!(copied, Ok(true)) {
            self.room.give_back(size);
        }
        copied
    }

    /// Removes a blob. Whether it was there.
    pub(crate) fn remove_blob(&self, digest: &Digest) -> io::Result<bool> {
        if self.blob_size(digest)?.is_none() {
            return Ok(false);
        }
        let freed = self.counted(digest);
        let removed = self.shelf(digest).remove(digest.hex())?;
        if removed {
            self.room.give_back(freed);
        }
        Ok(removed)
    }

    /// How much room comes back if the blob goes: none while it has another name.
    fn counted(&self, digest: &Digest) -> u64 {
        if !self.room.is_limited() {
            return 0;
        }
        let there = self.shelf(digest).look(digest.hex()).ok().flatten();
        there.filter(|there| there.nlink() == 1).map_or(0, |there| there.len())
    }
}

/// The digest of a file's bytes.
pub(super) fn digest_of(file: &File, algorithm: skopeo_image::Algorithm) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    each_piece(file, |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(hasher.finish())
}

fn each_piece(file: &File, mut work: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        match file.file().read_at(&mut buffer, at) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                work(buffer.get(..read).unwrap_or_default())?;
                at = at.saturating_add(wide(read));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
