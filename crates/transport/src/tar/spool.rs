//! A file that can be read at any place, of whatever the user named.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use skopeo_blob::{sniff_bytes, unpack};
use skopeo_image::Compression;

use super::error::{Fault, TarError, UnpackError};

/// How much is read, and unpacked, at once, in bytes.
const PIECE: usize = 256 * 1024;

/// The file itself if it is a plain tar. Else what it holds, unpacked, in a file without a name in
/// `tmpdir`, which is gone with the process.
pub(super) fn plain(path: &Path, tmpdir: &Path) -> Result<File, TarError> {
    let mut file = fs_err::File::open(path).map_err(|error| TarError::Open(error.into()))?;
    let unreadable = |error: io::Error| TarError::Read {
        archive: path.to_owned(),
        source: Fault::Io(error.into()),
    };
    let mut head = Vec::new();
    (&mut file).take(10).read_to_end(&mut head).map_err(unreadable)?;
    let compression = sniff_bytes(&head);
    if compression == Compression::Uncompressed && file.metadata().map_err(unreadable)?.is_file() {
        return Ok(file.into_parts().0);
    }
    tracing::debug!("unpacking {} into {}", path.display(), tmpdir.display());
    let input = BufReader::with_capacity(PIECE, io::Cursor::new(head).chain(file));
    spool(input, compression, tmpdir)
        .map_err(|source| TarError::Unpack { archive: path.to_owned(), source })
}

fn spool(
    input: BufReader<impl Read>,
    compression: Compression,
    tmpdir: &Path,
) -> Result<File, UnpackError> {
    let full =
        |error: io::Error| UnpackError::Write { folder: tmpdir.to_owned(), source: error.into() };
    let broken = |source| match compression {
        Compression::Uncompressed => UnpackError::Read(source),
        compression => UnpackError::Corrupt { compression, source },
    };
    let mut to = tempfile::tempfile_in(tmpdir).map_err(full)?;
    let mut unpacked = unpack(input, compression).map_err(broken)?;
    let mut piece = vec![0; PIECE];
    loop {
        match unpacked.read(&mut piece) {
            Ok(0) => return Ok(to),
            Ok(read) => to.write_all(&piece[..read]).map_err(full)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(error)),
        }
    }
}
