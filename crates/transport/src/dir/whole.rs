//! Whether an image in a folder is whole.

use std::collections::HashMap;
use std::io;

use skopeo_image::{Digest, Manifest, RawManifest, Which};

use super::{DirName, digest_of, file_name};
use crate::temporary;
use crate::{Error, files, manifest};

/// The longest lists that are followed, in manifests.
const MAX_MANIFESTS: usize = 10_000;

/// Returns the digest of the image in the folder, if all that it names is there in its right length
/// and nothing else that a copy makes: neither signatures, which may be others by now, nor what one
/// that was killed has left.
pub(super) fn digest(name: &DirName) -> Result<Option<Digest>, Error> {
    let Some(top) = read(name, &Which::Top)? else { return Ok(None) };
    let mut needed = Needed::default();
    if !needed.follow(name, &top)? || !needed.all_in(name)? {
        return Ok(None);
    }
    Ok(Some(top.digest()?))
}

/// Whether something is in the folder that goes by the name of an image.
pub(super) fn has_image(name: &DirName) -> bool {
    fs_err::symlink_metadata(name.manifest(&Which::Top)).is_ok()
}

fn read(name: &DirName, which: &Which) -> Result<Option<RawManifest>, Error> {
    let path = name.manifest(which);
    if files::plain_size(&path).is_none() {
        return Ok(None);
    }
    match files::read(&path, None, files::MAX_MANIFEST) {
        Ok(bytes) => Ok(manifest::checked(None, bytes, which).ok()),
        Err(error) if error.is_missing_file() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The files that an image needs, with their lengths where they are known.
#[derive(Default)]
struct Needed(HashMap<String, Option<u64>>);

impl Needed {
    /// Adds what a manifest names. `false` if an instance is not there.
    fn follow(&mut self, name: &DirName, top: &RawManifest) -> Result<bool, Error> {
        let mut waiting = vec![top.clone()];
        while let Some(manifest) = waiting.pop() {
            match manifest.parse()? {
                Manifest::Image(image) => {
                    for layer in image.layers() {
                        self.0.insert(file_name(&layer.blob.digest), layer.blob.size);
                    }
                    if let Some(config) = image.config() {
                        self.0.insert(file_name(&config.digest), config.size);
                    }
                }
                Manifest::Index(list) => {
                    for instance in list.instances() {
                        let is_blob = instance.is_blob();
                        let blob = instance.descriptor;
                        if is_blob {
                            self.0.insert(file_name(&blob.digest), blob.size);
                            continue;
                        }
                        let file = format!("{}{MANIFEST}", file_name(&blob.digest));
                        if self.0.insert(file, blob.size).is_some() {
                            continue;
                        }
                        let manifest = read(name, &Which::Instance(blob.digest))?;
                        let Some(manifest) = manifest.filter(|_| self.0.len() < MAX_MANIFESTS)
                        else {
                            return Ok(false);
                        };
                        waiting.push(manifest);
                    }
                }
            }
        }
        Ok(true)
    }

    fn all_in(mut self, name: &DirName) -> Result<bool, Error> {
        for entry in fs_err::read_dir(name.path())? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            let Some(size) = self.0.remove(&file) else {
                if is_of_images(&file) {
                    return Ok(false);
                }
                continue;
            };
            // A link does not count: what it leads to belongs to others.
            let metadata = match entry.metadata() {
                Ok(metadata) if metadata.is_file() => metadata,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => return Ok(false),
            };
            if size.is_some_and(|size| size != metadata.len()) {
                return Ok(false);
            }
        }
        Ok(self.0.is_empty())
    }
}

const MANIFEST: &str = ".manifest.json";

/// Whether a file has a name that is given to blobs, instances, signatures or what becomes one.
pub(super) fn is_of_images(file: &str) -> bool {
    let blob = file.strip_suffix(MANIFEST).unwrap_or(file);
    digest_of(blob).is_some() || is_signature(file) || temporary::is_temporary(file)
}

/// Whether a file is called `signature-N`, or so with a digest before it.
pub(super) fn is_signature(file: &str) -> bool {
    let (of, number) = match file.rsplit_once(".signature-") {
        Some((digest, number)) => (Some(digest), number),
        None => (None, file.strip_prefix("signature-").unwrap_or_default()),
    };
    number.parse::<u32>().is_ok() && of.is_none_or(|digest| digest_of(digest).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_images_is_known_by_its_name() {
        let hex = Digest::sha256(b"").hex().to_owned();
        for (file, expected) in [
            (hex.clone(), true),
            (format!("{hex}.manifest.json"), true),
            (format!("{hex}.signature-12"), true),
            ("signature-1".to_owned(), true),
            (".skopeo-partial-x".to_owned(), true),
            ("signature-of-the-boss.txt".to_owned(), false),
            ("x.signature-1".to_owned(), false),
            ("my-signature-1".to_owned(), false),
            ("notes.manifest.json".to_owned(), false),
            ("README".to_owned(), false),
        ] {
            assert_eq!(is_of_images(&file), expected, "{file}");
        }
    }
}
