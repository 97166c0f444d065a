//! Reading `dir:`.

use std::io;
use std::num::NonZeroUsize;

use async_trait::async_trait;
use skopeo_blob::Unverified;
use skopeo_image::{Descriptor, RawManifest, Signature, Which};

use super::DirError;
use super::{DirName, Version};
use crate::signature_error::SignaturesError;
use crate::signature_file::{self, Gathered};
use crate::{Error, ImageName, Source, files, manifest};

/// Opens a folder. Its `version` may be missing, as in folders made by hand.
pub(crate) fn open(name: &DirName) -> Result<DirSource, Error> {
    match fs_err::read(name.version()) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some(version) = Version::parse(&text) else {
                return Err(DirError::InvalidVersionFile(text).into());
            };
            version.check(&text, name)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(
                DirError::VersionFile { path: name.version(), source: source.into() }.into()
            );
        }
    }
    Ok(DirSource { image: ImageName::Dir(name.clone()), name: name.clone() })
}

/// An image in a folder.
#[derive(Debug)]
pub(crate) struct DirSource {
    image: ImageName,
    name: DirName,
}

#[async_trait]
impl Source for DirSource {
    fn name(&self) -> &ImageName {
        &self.image
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        let bytes = files::read(&self.name.manifest(which), None, files::MAX_MANIFEST)?;
        manifest::checked(None, bytes, which)
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        files::read_blob(&self.name.blob(&blob.digest), None)
    }

    async fn signatures(&self, which: &Which) -> Result<Vec<Signature>, Error> {
        let mut signatures = Gathered::default();
        loop {
            let path = self.name.signature(which, signatures.len());
            match files::read(&path, None, files::MAX_SIGNATURE) {
                Ok(bytes) => {
                    let size = bytes.len();
                    let signature = signature_file::decode(bytes)
                        .map_err(|source| SignaturesError::Malformed { path, source })?;
                    signatures.add(signature, size)?;
                }
                Err(error) if error.is_missing_file() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(signatures.all())
    }

    fn concurrency(&self) -> NonZeroUsize {
        files::CONCURRENCY
    }
}
