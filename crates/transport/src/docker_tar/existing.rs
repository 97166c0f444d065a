//! What is where an archive is to be written.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skopeo_archive::{Existing, Scratch, Stamp, Writer, is_special};
use skopeo_blob::sniff_bytes;
use skopeo_image::{Compression, Digest, Reference};

use super::DockerTarError;
use super::legacy::REPOSITORIES;
use super::manifest::MANIFEST;
use super::saved::Saved;
use super::{SavedError, SavingError};
use crate::temporary;
use crate::{CommitError, Error, FormatError, files};

/// A place for an archive, and what is there already.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) place: ArchivePlace,
    pub(crate) old: Option<Old>,
}

/// Where an archive goes.
#[derive(Clone, Debug)]
pub(crate) enum ArchivePlace {
    /// Nothing has to be opened any more.
    Open,
    /// To a file, or to what [`is_special`].
    Later { path: PathBuf, existing: Existing, tmpdir: PathBuf },
}

/// An archive that other images are added to.
#[derive(Debug)]
pub(crate) struct Old {
    pub(crate) saved: Arc<Saved>,
    /// Where to look for what is there.
    layers: HashMap<Digest, usize>,
    images: HashMap<Reference, Config>,
}

impl Target {
    /// What is at `path`, which no link leads to.
    pub(crate) fn open(path: &Path, scratch: &Scratch) -> Result<Self, Error> {
        let place = |existing| {
            let (path, tmpdir) = (path.to_owned(), scratch.folder.clone());
            ArchivePlace::Later { path, existing, tmpdir }
        };
        if is_special(path) {
            return Ok(Self { place: place(Existing::None), old: None });
        }
        // Before it is read: who changes it meanwhile is noticed in the end.
        let Some(before) = Stamp::at(path) else {
            return Ok(Self { place: place(Existing::None), old: None });
        };
        let old = Old::open(path, scratch)?;
        Ok(Self { place: place(Existing::Replace(before)), old })
    }
}

impl ArchivePlace {
    /// Begins to write. Waits for the disk, and where the place is a pipe for somebody to read from
    /// it.
    pub(crate) fn create(&self) -> Result<Writer, Error> {
        match self {
            Self::Open => Err(CommitError::NothingToCommit.into()),
            Self::Later { path, tmpdir, .. } if is_special(path) => Ok(Writer::pipe(path, tmpdir)?),
            Self::Later { path, existing, tmpdir } => {
                Ok(Writer::create(temporary::temporary_for(path)?, path, *existing, tmpdir))
            }
        }
    }

    pub(crate) fn is_special(&self) -> bool {
        matches!(self, Self::Later { path, .. } if is_special(path))
    }
}

/// Which image of an archive it is, and the digest of its config.
type Config = (usize, Digest);

impl Old {
    /// The archive at `path`; `None` if there is an empty file.
    fn open(path: &Path, scratch: &Scratch) -> Result<Option<Self>, Error> {
        let file = files::open_to_replace(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(None);
        }
        let mut head = Vec::new();
        (&file).take(10).read_to_end(&mut head)?;
        if sniff_bytes(&head) != Compression::Uncompressed {
            return Err(not_extensible(path, "is compressed"));
        }
        let saved = match Saved::open(path, scratch) {
            Ok(saved) => saved,
            Err(Error::Format(FormatError::DockerTar(DockerTarError::Saved(
                SavedError::Missing(_),
            )))) => {
                return Err(not_extensible(path, "has no manifest.json"));
            }
            Err(error) => return Err(error),
        };
        let known = KnownNames::of(&saved);
        if saved.files().any(|name| !known.has(name)) {
            return Err(not_extensible(path, "has more than images of Docker in it"));
        }
        let (layers, images) = (HashMap::new(), HashMap::new());
        Ok(Some(Self { saved: Arc::new(saved), layers, images }))
    }

    /// Reads the configs of all images, so that what is there can be looked for.
    pub(crate) fn look_into(mut self) -> Result<Self, Error> {
        for (at, item) in self.saved.items().iter().enumerate() {
            let (digest, diff_ids) = self.saved.config(item)?;
            for layer in diff_ids {
                self.layers.entry(layer).or_insert(at);
            }
            for tag in item.tags() {
                if let Ok(tag) = Reference::parse_normalized(tag) {
                    self.images.entry(tag).or_insert_with(|| (at, digest.clone()));
                }
            }
        }
        Ok(self)
    }

    /// The image that has a layer.
    pub(crate) fn has_layer(&self, digest: &Digest) -> Option<usize> {
        self.layers.get(digest).copied()
    }

    /// The image that has a tag, if it has this config.
    pub(crate) fn with(&self, tag: &Reference, config: Option<&Digest>) -> Option<usize> {
        let (at, there) = self.images.get(tag)?;
        config.is_none_or(|config| config == there).then_some(*at)
    }
}

/// The files that belong to the images, and so are kept in one way or another.
struct KnownNames<'a>(BTreeSet<&'a str>);

impl<'a> KnownNames<'a> {
    fn of(saved: &'a Saved) -> Self {
        let items = saved.items().iter();
        let paths = items.flat_map(|item| item.layers().iter().chain([&item.config]));
        Self(paths.map(|path| path.strip_prefix("./").unwrap_or(path)).collect())
    }

    fn has(&self, name: &str) -> bool {
        let legacy = ["VERSION", "json", "layer.tar"];
        [MANIFEST, REPOSITORIES].contains(&name)
            || self.0.contains(name)
            || is_left(name)
            || name.split_once('/').is_some_and(|(_, file)| legacy.contains(&file))
    }
}

/// Whether it is a layer or a config as we write them: where one of many images fails, what has
/// come of it is in the archive without belonging to any.
fn is_left(name: &str) -> bool {
    let digest = name.strip_suffix(".tar").or_else(|| name.strip_suffix(".json"));
    digest.is_some_and(|it| it.len() == 64 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn not_extensible(path: &Path, reason: &'static str) -> Error {
    SavingError::NotExtensible { path: path.display().to_string(), reason }.into()
}
