//! `tarball:`: an image whose layers are tars, packed or not, as they lie in files or come from
//! standard input.
//!
//! A regular file is read where it is, once to learn its digests and once for each copy. What can
//! be read only once, standard input and pipes, is put into an unlinked file meanwhile.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err::File;
use skopeo_archive::{Region, Scratch};
use skopeo_blob::{Blob, ByteStream, FileError, diff_id, file, sniff, unpack};
use skopeo_image::{
    Compression, History, ImageConfig, MediaType, Platform, PolicyScope, Timestamp,
};

use super::SyntheticError;
use super::{Invented, Layer};
use crate::named::Name;
use crate::{Error, ImageName, Options, files};

/// The file name that means standard input.
const STDIN: &str = "-";

/// The files of a `tarball:` image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TarballName {
    files: Vec<String>,
}

/// A file that an image is to be made of cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("error opening {path:?}")]
pub struct TarballNameError {
    /// The file, as it was named.
    pub path: String,
    /// What the system said.
    #[source]
    pub source: FileError,
}

impl TarballName {
    /// Parses what stands behind the colon: files, root layer first, with colons between them. All
    /// must be there.
    pub(crate) fn parse(details: &str) -> Result<Self, TarballNameError> {
        let files: Vec<String> = details.split(':').map(str::to_owned).collect();
        for path in files.iter().filter(|path| *path != STDIN) {
            let opening =
                |error: io::Error| TarballNameError { path: path.clone(), source: error.into() };
            // A pipe is opened only to be read: its writer may not come twice.
            if !fs_err::metadata(path).is_ok_and(|found| skopeo_system::is_pipe(&found)) {
                File::open(path).map_err(opening)?;
            }
        }
        Ok(Self { files })
    }
}

impl Name for TarballName {
    fn transport(&self) -> &'static str {
        "tarball"
    }

    fn policy_scope(&self) -> PolicyScope {
        PolicyScope {
            name: String::new(),
            transport: self.transport(),
            identity: String::new(),
            namespaces: Vec::new(),
            reference: None,
        }
    }
}

impl fmt::Display for TarballName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.files.join(":"))
    }
}

/// Reads all the files, and makes up an image of them.
pub(crate) async fn open(name: &TarballName, options: &Options) -> Result<Invented, Error> {
    let scratch = options.scratch();
    let mut layers = Vec::with_capacity(name.files.len());
    let mut history = Vec::with_capacity(name.files.len());
    // The image was created when the last of its files was.
    let mut created: Option<(Time, Timestamp)> = None;
    for path in &name.files {
        let reading =
            |source| SyntheticError::Reading { path: path.clone(), source: Box::new(source) };
        let (layer, time) = read(path, &scratch).await.map_err(reading)?;
        let stamp = Timestamp::from_unix(time.0, time.1).unwrap_or_default();
        if created.is_none_or(|(latest, _)| latest < time) {
            created = Some((time, stamp));
        }
        history.push(History {
            created: Some(stamp),
            created_by: format!("/bin/sh -c #(nop) ADD file:{} in /", layer.diff_id.hex()),
            comment: "imported from tarball".to_owned(),
            ..History::default()
        });
        layers.push(layer);
    }
    let host = Platform::host();
    let config = ImageConfig {
        created: created.map(|(_, stamp)| stamp),
        architecture: host.architecture,
        os: host.os,
        history,
        ..ImageConfig::default()
    };
    Invented::new(ImageName::Tarball(name.clone()), config, layers)
}

/// Seconds and nanoseconds since 1970.
type Time = (i64, u32);

/// What is in a file, and when it was written.
async fn read(path: &str, scratch: &Scratch) -> Result<(Layer, Time), Error> {
    let (held, time) = open_file(path, scratch).await?;
    let blob = Blob::unnamed(stream(&held)).unpacked_within(scratch.most);
    let (compression, blob) = sniff(blob).await?;
    let (blob, diff_id) = diff_id(blob, compression);
    let written = file::write(blob, io::sink()).await?;
    let diff_id = diff_id.get().await?;
    let layer = Layer {
        media_type: media_type(compression),
        digest: written.digest,
        size: written.size,
        diff_id,
        bytes: Box::new(move || stream(&held)),
    };
    Ok((layer, time))
}

fn stream(region: &Region) -> ByteStream {
    file::read(region.reader(), region.len())
}

/// OCI has no types for bzip2 and xz; the original calls them gzip.
fn media_type(compression: Compression) -> MediaType {
    match compression {
        Compression::Uncompressed => MediaType::OCI_LAYER,
        Compression::Zstd | Compression::ZstdChunked => MediaType::OCI_LAYER_ZSTD,
        Compression::Gzip | Compression::Bzip2 | Compression::Xz => MediaType::OCI_LAYER_GZIP,
    }
}

async fn open_file(path: &str, scratch: &Scratch) -> Result<(Region, Time), Error> {
    if path == STDIN {
        return standard_input(scratch).await;
    }
    let place = path.to_owned();
    let (file, metadata) = files::blocking(move || {
        let file = File::open(place)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    })
    .await?;
    let time = since_1970(metadata.modified()?);
    if metadata.is_file() || metadata.is_dir() {
        return Ok((Region::new(file, metadata.len()), time));
    }
    Ok((spool(file, path, scratch).await?, time))
}

/// Standard input, which is there once for the whole process and may be asked for again: by another
/// part of the name, and when a copy is tried again.
async fn standard_input(scratch: &Scratch) -> Result<(Region, Time), Error> {
    static READ: Mutex<Option<(Region, Time)>> = Mutex::new(None);
    if let Some(read) = &*READ.lock().unwrap_or_else(PoisonError::into_inner) {
        return Ok(read.clone());
    }
    let time = since_1970(SystemTime::now());
    let read = (spool(io::stdin(), STDIN, scratch).await?, time);
    *READ.lock().unwrap_or_else(PoisonError::into_inner) = Some(read.clone());
    Ok(read)
}

/// Puts all that comes into a file without a name, as much as may come.
async fn spool<R: Read + Send + 'static>(
    from: R,
    path: &str,
    scratch: &Scratch,
) -> Result<Region, Error> {
    let temp = File::from_parts(tempfile::tempfile_in(&scratch.folder)?, path);
    let from = unpack(BufReader::new(from), Compression::Uncompressed, scratch.most)?;
    let written = file::write(Blob::unnamed(file::read_to_end(from)), temp).await?;
    Ok(Region::new(written.file, written.size))
}

fn since_1970(time: SystemTime) -> Time {
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs());
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (seconds(after).unwrap_or(i64::MAX), after.subsec_nanos()),
        Err(error) => {
            let before = error.duration();
            let borrowed = i64::from(before.subsec_nanos() > 0);
            let nanos = 1_000_000_000_u32.saturating_sub(before.subsec_nanos()) % 1_000_000_000;
            let seconds = seconds(before).unwrap_or(i64::MAX).saturating_neg();
            (seconds.saturating_sub(borrowed), nanos)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HELLO: [(&str, &[u8], MediaType); 5] = [
        ("plain", b"hello\n", MediaType::OCI_LAYER),
        ("gzip", GZIP, MediaType::OCI_LAYER_GZIP),
        ("xz", XZ, MediaType::OCI_LAYER_GZIP),
        ("bzip2", BZIP2, MediaType::OCI_LAYER_GZIP),
        ("zstd", ZSTD, MediaType::OCI_LAYER_ZSTD),
    ];
    const GZIP: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9,
        0xe7, 0x02, 0x00, 0x20, 0x30, 0x3a, 0x36, 0x06, 0x00, 0x00, 0x00,
    ];
    const XZ: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21,
        0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x05, 0x68, 0x65, 0x6c,
        0x6c, 0x6f, 0x0a, 0x00, 0x00, 0x00, 0xa5, 0x60, 0x97, 0xf1, 0x94, 0xf6, 0xfd, 0xe0, 0x00,
        0x01, 0x1e, 0x06, 0xc1, 0x2f, 0xa4, 0x1d, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00,
        0x00, 0x04, 0x59, 0x5a,
    ];
    const BZIP2: &[u8] = &[
        0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0xc1, 0xc0, 0x80, 0xe2, 0x00,
        0x00, 0x01, 0x41, 0x00, 0x00, 0x10, 0x02, 0x44, 0xa0, 0x00, 0x30, 0xcd, 0x00, 0xc3, 0x46,
        0x29, 0x97, 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, 0xc1, 0xc0, 0x80, 0xe2,
    ];
    const ZSTD: &[u8] = &[
        0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x31, 0x00, 0x00, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x0a,
        0x53, 0x88, 0xbd, 0x91,
    ];

    #[tokio::test]
    async fn knows_what_is_in_every_packing() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes, media_type) in HELLO {
            let path = folder.path().join(name);
            fs_err::write(&path, bytes).unwrap();
            let (layer, _) =
                read(path.to_str().unwrap(), &Scratch::at(folder.path())).await.unwrap();
            assert_eq!(layer.diff_id, skopeo_image::Digest::sha256(b"hello\n"), "{name}");
            assert_eq!(layer.digest, skopeo_image::Digest::sha256(bytes), "{name}");
            assert_eq!((layer.size, layer.media_type), (bytes.len() as u64, media_type), "{name}");
            // The bytes are given as often as they are wanted.
            for _ in 0..2 {
                let blob = skopeo_blob::Unverified::new((layer.bytes)(), None);
                let blob = blob.expect(&layer.digest, Some(layer.size));
                assert_eq!(file::write(blob, Vec::new()).await.unwrap().file, bytes, "{name}");
            }
        }
    }

    #[test]
    fn counts_times_before_1970_too() {
        let second = Duration::from_secs(1);
        for (time, expected) in [
            (UNIX_EPOCH, (0, 0)),
            (UNIX_EPOCH + second * 3 / 2, (1, 500_000_000)),
            (UNIX_EPOCH - second, (-1, 0)),
            (UNIX_EPOCH - second / 4, (-1, 750_000_000)),
        ] {
            assert_eq!(since_1970(time), expected);
        }
    }
}
