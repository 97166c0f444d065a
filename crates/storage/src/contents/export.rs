//! Files become the tar again that they were made of.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::OFlags;
use rustix::io::Errno;
use skopeo_image::number::wide;

use super::dress::failed;
use super::path::{clean, split};
use super::recipe::{Crc, Object, Objects};
use super::trail::{Trail, open};
use super::{Error, Result, error::shown};

/// How many bytes of a file are read at once.
const BUFFER: usize = 256 << 10;

/// Writes the tar of a layer again, by its recipe. `roots` are the folders where its files are
/// looked for: its own first, and then those of the layers below it. Each file is compared with its
/// checksum. Whoever calls hashes what was written, and compares it with the digest of the layer:
/// all readers of blobs do that anyway, and hashing twice would be a third of the work.
///
/// # Errors
///
/// If the recipe cannot be read or is malformed, if a file is missing, is none or is not what it
/// was, or if `out` cannot be written.
pub fn export(split: impl Read, roots: &[PathBuf], mut out: impl Write) -> Result<()> {
    let mut objects = Objects::new(split);
    let mut files = Files { roots: roots.iter().map(|path| Root { path, trail: None }).collect() };
    let mut buffer = vec![0; BUFFER].into_boxed_slice();
    while let Some(object) = objects.next()? {
        match object {
            Object::Segment => out.write_all(objects.segment())?,
            Object::File { contents: None, .. } => {}
            Object::File { name, contents: Some((size, crc)) } => {
                let file = files.open(&name)?;
                copy(&file, size, crc, &name, &mut buffer, &mut out)?;
            }
        }
    }
    Ok(out.flush()?)
}

/// Writes the contents of a file, if they are what they were.
fn copy(
    file: &OwnedFd,
    size: u64,
    expected: [u8; 8],
    name: &[u8],
    buffer: &mut [u8],
    out: &mut impl Write,
) -> Result<()> {
    let changed = || Error::Changed { name: shown(name) };
    let mut crc = Crc::new();
    let mut left = size;
    loop {
        let read = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut *buffer))
            .map_err(failed("reading", name))?;
        let piece = buffer.get(..read).unwrap_or_default();
        // A file of another length is another file.
        left = left.checked_sub(wide(read)).ok_or_else(changed)?;
        crc.update(piece);
        let is_short = read < buffer.len();
        if left == 0 && is_short {
            // Before the last piece: what is wrong is not given out whole.
            if crc.finish() != expected {
                return Err(changed());
            }
            return Ok(out.write_all(buffer.get(..read).unwrap_or_default())?);
        }
        if read == 0 {
            return Err(changed());
        }
        out.write_all(piece)?;
    }
}

/// Where files are looked for.
struct Files<'a> {
    roots: Vec<Root<'a>>,
}

struct Root<'a> {
    path: &'a PathBuf,
    /// Opened when it is needed: most files are in the first one.
    trail: Option<Trail>,
}

impl Files<'_> {
    /// The first file of that name.
    fn open(&mut self, name: &[u8]) -> Result<OwnedFd> {
        let path = clean(name, "a path outside of the layer:")?;
        let mut first = Errno::NOENT;
        for (number, root) in self.roots.iter_mut().enumerate() {
            match root.open(&path) {
                Ok(file) => return Ok(file),
                Err(errno) if number == 0 => first = errno,
                Err(_) => {}
            }
        }
        Err(failed("opening", name)(first))
    }
}

impl Root<'_> {
    fn open(&mut self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let trail = match &mut self.trail {
            Some(trail) => trail,
            empty => empty.insert(Trail::new(self.path)?),
        };
        let (folder, name) = split(path);
        // Nobody at the other end of a pipe is waited for.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        open(trail.look(folder)?, name, flags)
    }
}
