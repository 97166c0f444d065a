//! A folder with folders of `dir:` images in it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use skopeo_image::Digest;

use super::CollectionError;
use super::{Collection, Held, base, join};
use crate::dir::{self, DirName, Pool};
use crate::options::DirOptions;
use crate::paths::PathError;
use crate::{Destination, Error, ImageName, NameError, Options, Probe, files};

#[derive(Debug)]
pub(super) struct Folder {
    place: String,
    options: DirOptions,
    pool: Arc<Pool>,
}

impl Folder {
    pub(super) fn new(place: &str, options: &Options) -> Self {
        let pool = Arc::new(Pool::new(place));
        Self { place: place.to_owned(), options: options.dir.clone(), pool }
    }
}

#[async_trait]
impl Collection for Folder {
    fn name(&self, label: &str) -> Result<ImageName, NameError> {
        Ok(ImageName::Dir(DirName::below(&join(&self.place, label))?))
    }

    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        let ImageName::Dir(name) = name else {
            let transport = name.transport();
            return Err(Error::Unsupported { transport, operation: "Writing to a folder" });
        };
        Ok(Box::new(dir::create_in(&self.pool, name, &self.options)?))
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        let path = join(&self.place, repository);
        files::blocking(move || tags(Path::new(&path))).await
    }

    async fn digest(&self, name: &ImageName) -> Result<Option<Digest>, Error> {
        let name = of_folder(name)?;
        files::blocking(move || dir::digest(&name).map(Some)).await
    }

    async fn remove(&self, name: &ImageName, expected: &Digest) -> Result<Vec<String>, Error> {
        let (name, expected) = (of_folder(name)?, expected.clone());
        files::blocking(move || dir::remove(&name, &expected)).await
    }

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Probe>, Error> {
        // Nothing is made before something is put.
        let destination = self.create(name).await?;
        Ok(destination)
    }
}

fn of_folder(name: &ImageName) -> Result<DirName, Error> {
    match name {
        ImageName::Dir(name) => Ok(name.clone()),
        other => Err(CollectionError::OtherCollection(other.to_string()).into()),
    }
}

/// What stands behind the colon in the names of the images beside `path` that begin so.
fn tags(path: &Path) -> Result<Vec<String>, Error> {
    let (Some(folder), Some(last)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let entries = match fs_err::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let start = format!("{}:", last.to_string_lossy());
    let mut tags = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        // A link is not what was written here.
        if let Some(tag) = name.to_str().and_then(|name| name.strip_prefix(&start))
            && entry.file_type()?.is_dir()
            && dir::is_image(&entry.path())
        {
            tags.push(tag.to_owned());
        }
    }
    tags.sort_unstable();
    Ok(tags)
}

/// All `dir:` images in the folder and below it, sorted by name.
pub(super) async fn held(place: &str) -> Result<Vec<Held>, Error> {
    let root = place.to_owned();
    files::blocking(move || {
        fs_err::metadata(&root)?;
        let mut held = Vec::new();
        walk(Path::new(&root), &mut held, &root)?;
        Ok(held)
    })
    .await
}

/// An image is where a `manifest.json` is; below that none is looked for, as in the original.
fn walk(folder: &Path, held: &mut Vec<Held>, root: &str) -> Result<(), Error> {
    let mut entries = fs_err::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs_err::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(&path, held, root)?;
        } else if entry.file_name() == "manifest.json" {
            held.push(image(folder, root)?);
            break;
        }
    }
    Ok(())
}

fn image(folder: &Path, root: &str) -> Result<Held, Error> {
    let not_utf8 = || PathError::NotUtf8(folder.display().to_string());
    let path = join(folder.to_str().ok_or_else(not_utf8)?, "");
    // As in the original: the folder is taken off as it was written, so `./a/` stays part of it.
    let label = match path.strip_prefix(root).unwrap_or(&path).trim_start_matches('/') {
        "" => base(root),
        below => below.trim_start_matches("../"),
    };
    let name = ImageName::parse(&format!("dir:{path}"))?;
    Ok(Held { name, label: label.to_owned() })
}
