//! Files as all transports in folders read them, with limits.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

use fs_err::File;
use skopeo_blob::{Unverified, file};
use skopeo_image::number::{narrow, wide};
use skopeo_system::Opening as _;

use crate::invalid_file::InvalidFile;
use crate::{Error, inside};

/// The longest manifest that is read, in bytes.
pub(crate) const MAX_MANIFEST: u64 = wide(skopeo_image::manifest::MAX_MANIFEST_SIZE);

/// The longest `index.json` of a layout, in bytes: some hundred thousand images.
pub(crate) const MAX_INDEX: u64 = 64 << 20;

/// The longest signature, in bytes; the original's limit.
pub(crate) const MAX_SIGNATURE: u64 = 4 << 20;

/// How many blobs are worth reading or writing at once. Enough to keep disk and hashing busy.
pub(crate) const CONCURRENCY: std::num::NonZeroUsize = std::num::NonZeroUsize::new(6).unwrap();

/// Opens a regular file and gives its length. Where `inside` is given, the file must be below it,
/// and no link may lead out of that.
pub(crate) fn open(path: &Path, inside: Option<&Path>) -> Result<(File, u64), Error> {
    if let Some(root) = inside {
        return inside::open(root, path);
    }
    let mut options = fs_err::OpenOptions::new();
    options.read(true).options_mut().no_wait();
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(
            InvalidFile::NotAFile { path: path.to_owned(), reason: "not a regular file" }.into()
        );
    }
    Ok((file, metadata.len()))
}

/// Reads a whole regular file that is not longer than `limit` bytes.
pub(crate) fn read(path: &Path, inside: Option<&Path>, limit: u64) -> Result<Vec<u8>, Error> {
    use io::Read;
    let (file, size) = open(path, inside)?;
    let too_large = |size| InvalidFile::TooLarge { path: path.to_owned(), size, limit };
    if size > limit {
        return Err(too_large(size).into());
    }
    let mut bytes = Vec::with_capacity(narrow(size.saturating_add(1)));
    let read = wide(file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?);
    if read > limit { Err(too_large(read).into()) } else { Ok(bytes) }
}

/// Makes a folder with those above it. The error names the one that cannot be made.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    match fs_err::create_dir(path) {
        // Somebody else was quicker.
        Err(_) if path.is_dir() => Ok(()),
        made => made,
    }
}

/// A blob in a regular file.
pub(crate) fn read_blob(path: &Path, inside: Option<&Path>) -> Result<Unverified, Error> {
    let (file, size) = open(path, inside)?;
    Ok(Unverified::new(file::read(file, size), Some(size)))
}

/// The length of a regular file; `None` if there is none.
pub(crate) fn size_of(path: &Path) -> Option<u64> {
    fs_err::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// The length of a regular file that is no link; `None` if there is none.
pub(crate) fn plain_size(path: &Path) -> Option<u64> {
    let found = fs_err::symlink_metadata(path).ok();
    found.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// Whether `path` still leads to this very file.
pub(crate) fn is_at(file: &File, path: &Path) -> Result<bool, Error> {
    Ok(skopeo_system::is_at(file.file(), path)?)
}

/// Opens a file that is to be replaced, by who may write to it.
pub(crate) fn open_to_replace(path: &Path) -> Result<File, Error> {
    Ok(fs_err::OpenOptions::new().read(true).write(true).open(path)?)
}

/// Something that goes when the last who needs it has gone.
pub(crate) type Guard = Arc<dyn Any + Send + Sync>;

/// Runs `work`, which waits for files or locks, on a blocking thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Whether a blob of the right digest and of this length is the one that is wished for.
pub(crate) fn is_wished(size: u64, wish: &crate::Wish<'_>) -> bool {
    wish.blob.size.is_none_or(|wanted| wanted == size)
}
