//! What is where an archive is to be written.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use skopeo_blob::sniff_bytes;
use skopeo_image::Compression;

use super::SavedError;
use super::legacy::REPOSITORIES;
use super::manifest::MANIFEST;
use super::saved::Saved;
use crate::tar::{Existing, Writer, is_special};
use crate::{Error, files};

/// A place for an archive, and what is there already. Waits for the disk, and where the place is a
/// pipe for somebody to read from it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) writer: Writer,
    pub(crate) old: Option<Old>,
}

/// An archive that another image is added to.
#[derive(Debug)]
pub(crate) struct Old {
    pub(crate) saved: Arc<Saved>,
    /// Locked, so that of two copies none loses what the other writes.
    _lock: fs_err::File,
}

impl Target {
    pub(crate) fn open(path: &Path, tmpdir: &Path) -> Result<Self, Error> {
        if is_special(path) {
            return Ok(Self { writer: Writer::pipe(path, tmpdir)?, old: None });
        }
        // A link stays, and what it leads to is replaced.
        let path = match fs_err::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let writer = Writer::create(path, Existing::None, tmpdir)?;
                return Ok(Self { writer, old: None });
            }
            Err(error) => return Err(error.into()),
        };
        let old = Old::open(&path, tmpdir)?;
        Ok(Self { writer: Writer::create(&path, Existing::Replace, tmpdir)?, old })
    }
}

impl Old {
    /// The archive at `path`; `None` if there is an empty file.
    fn open(path: &Path, tmpdir: &Path) -> Result<Option<Self>, Error> {
        let lock = files::lock_to_replace(path)?;
        if lock.metadata()?.len() == 0 {
            return Ok(None);
        }
        let mut head = Vec::new();
        (&lock).take(10).read_to_end(&mut head)?;
        if sniff_bytes(&head) != Compression::Uncompressed {
            return Err(not_extensible(path, "is compressed"));
        }
        let saved = match Saved::open(path, tmpdir) {
            Ok(saved) => saved,
            Err(Error::Saved(SavedError::Missing(_))) => {
                return Err(not_extensible(path, "has no manifest.json"));
            }
            Err(error) => return Err(error),
        };
        let known = Known::of(&saved);
        if saved.files().any(|name| !known.has(name)) {
            return Err(not_extensible(path, "holds more than docker's images"));
        }
        Ok(Some(Self { saved: Arc::new(saved), _lock: lock }))
    }
}

/// The files that belong to the images, and so are kept in one way or another.
struct Known<'a>(BTreeSet<&'a str>);

impl<'a> Known<'a> {
    fn of(saved: &'a Saved) -> Self {
        let items = saved.items().iter();
        let paths = items.flat_map(|item| item.layers().iter().chain([&item.config]));
        Self(paths.map(|path| path.strip_prefix("./").unwrap_or(path)).collect())
    }

    fn has(&self, name: &str) -> bool {
        let legacy = ["VERSION", "json", "layer.tar"];
        [MANIFEST, REPOSITORIES].contains(&name)
            || self.0.contains(name)
            || name.split_once('/').is_some_and(|(_, file)| legacy.contains(&file))
    }
}

fn not_extensible(path: &Path, reason: &'static str) -> Error {
    SavedError::NotExtensible { path: path.display().to_string(), reason }.into()
}
