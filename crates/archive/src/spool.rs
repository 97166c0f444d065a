//! A file that can be read at any place, of whatever the user named.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use skopeo_blob::{MaxUnpacked, sniff_bytes, unpack};
use skopeo_image::Compression;

use crate::error::{Fault, TarError, UnpackError};

/// How much is read, and unpacked, at once, in bytes.
const PIECE: usize = 256 * 1024;

/// Where archives are unpacked, and how far.
#[derive(Clone, Debug)]
pub struct Scratch {
    /// The folder for big temporary files.
    pub folder: PathBuf,
    /// How much may come out of one archive, or of a layer in it.
    pub most: MaxUnpacked,
}

impl Scratch {
    /// Returns one with the usual limit.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), most: MaxUnpacked::default() }
    }
}

/// The file itself if it is a plain tar. Else what it holds, unpacked, in a file without a name in
/// the folder for such files, which is gone with the process.
pub(crate) fn plain(path: &Path, scratch: &Scratch) -> Result<File, TarError> {
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
    tracing::debug!("unpacking {} into {}", path.display(), scratch.folder.display());
    let input = BufReader::with_capacity(PIECE, io::Cursor::new(head).chain(file));
    spool(input, compression, scratch)
        .map_err(|source| TarError::Unpack { archive: path.to_owned(), source })
}

fn spool(
    input: BufReader<impl Read>,
    compression: Compression,
    scratch: &Scratch,
) -> Result<File, UnpackError> {
    let Scratch { folder, most } = scratch;
    let full =
        |error: io::Error| UnpackError::Write { folder: folder.clone(), source: error.into() };
    let broken = |source| match compression {
        Compression::Uncompressed => UnpackError::Read(source),
        compression => UnpackError::Corrupt { compression, source },
    };
    let mut to = tempfile::tempfile_in(folder).map_err(full)?;
    let mut unpacked = unpack(input, compression, *most).map_err(broken)?;
    let mut piece = vec![0; PIECE];
    loop {
        match unpacked.read(&mut piece) {
            Ok(0) => return Ok(to),
            Ok(read) => to.write_all(piece.get(..read).unwrap_or_default()).map_err(full)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(error)),
        }
    }
}
