//! Signatures on a web server or in a folder, beside the registry.
//!
//! Those of one manifest are `BASE@ALGORITHM=HEX/signature-1` and so on, without gaps.

use std::io;
use std::path::PathBuf;

use futures_util::TryStreamExt;
use skopeo_config::Config;
use skopeo_config::links;
use skopeo_config::signatures::Access;
use skopeo_image::number::wide;
use skopeo_image::{Digest, Reference, Signature};
use skopeo_registry::Repository;
use url::Url;

use crate::invalid_file::InvalidFile;
use crate::signature_error::SignaturesError;
use crate::signature_file::{self, Gathered};
use crate::temporary;
use crate::{Error, files};

/// More signatures of one manifest than this are a server's mistake, or its malice.
const MAX_SIGNATURES: usize = 128;

/// Where the signatures of a repository lie.
#[derive(Debug)]
pub(super) struct Lookaside {
    base: Url,
}

impl Lookaside {
    /// The place for the repository of `reference`, as registries.d says.
    pub(super) fn new(
        config: &Config,
        reference: &Reference,
        access: Access,
    ) -> Result<Self, Error> {
        Ok(Self { base: config.signatures()?.lookaside(reference, access)? })
    }

    /// Reads all signatures of a manifest. `repository` is only the way into the network.
    pub(super) async fn read(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Vec<Signature>, Error> {
        let mut signatures = Gathered::default();
        loop {
            if signatures.len() >= MAX_SIGNATURES {
                return Err(SignaturesError::TooMany(MAX_SIGNATURES).into());
            }
            let url = self.url(digest, signatures.len().saturating_add(1));
            let bytes = match url.scheme() {
                "file" => read_file(&url)?,
                "http" | "https" => read_web(repository, &url).await?,
                _ => return Err(unsupported("reading signature from", &url)),
            };
            let Some(bytes) = bytes else { return Ok(signatures.all()) };
            let size = bytes.len();
            let signature = signature_file::decode(bytes).map_err(|source| {
                SignaturesError::Malformed { path: PathBuf::from(shown(&url)), source }
            })?;
            signatures.add(signature, size)?;
        }
    }

    /// Writes the signatures of a manifest, and removes any others.
    pub(super) fn write(&self, digest: &Digest, signatures: &[Signature]) -> Result<(), Error> {
        if signatures.is_empty() {
            return Ok(());
        }
        for (number, signature) in (1..).zip(signatures) {
            let url = self.url(digest, number);
            let path = self.writable(&url, "writing signature to")?;
            let bytes = signature_file::encode(signature)
                .map_err(|source| SignaturesError::Malformed { path: path.clone(), source })?;
            if let Some(folder) = path.parent() {
                fs_err::create_dir_all(folder)?;
            }
            temporary::replace(&path, &bytes)?;
        }
        self.delete_from(digest, signatures.len().saturating_add(1))
    }

    /// Deletes the signatures of a manifest from that number on, up to the first that is missing.
    pub(super) fn delete_from(&self, digest: &Digest, first: usize) -> Result<(), Error> {
        for number in first.. {
            let url = self.url(digest, number);
            match fs_err::remove_file(self.writable(&url, "deleting signature from")?) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Refuses a place that can only be read.
    pub(super) fn require_writable(&self) -> Result<(), Error> {
        self.writable(&self.base, "writing signature to").map(drop)
    }

    fn url(&self, digest: &Digest, number: usize) -> Url {
        let mut url = self.base.clone();
        let (algorithm, hex) = (digest.algorithm(), digest.hex());
        url.set_path(&format!("{}@{algorithm}={hex}/signature-{number}", self.base.path()));
        url
    }

    fn writable(&self, url: &Url, doing: &'static str) -> Result<PathBuf, Error> {
        match url.scheme() {
            "file" => Ok(links::target(&path_of(url)?)?),
            "http" | "https" => Err(SignaturesError::LookasideReadOnly {
                scheme: url.scheme().to_owned(),
                url: shown(url),
            }
            .into()),
            _ => Err(unsupported(doing, url)),
        }
    }
}

fn read_file(url: &Url) -> Result<Option<Vec<u8>>, Error> {
    match files::read(&path_of(url)?, None, files::MAX_SIGNATURE) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_missing_file() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn read_web(repository: &Repository, url: &Url) -> Result<Option<Vec<u8>>, Error> {
    let reading =
        |source| SignaturesError::LookasideRead { url: shown(url), source: Box::new(source) };
    let download = match repository.foreign_blob(url.as_str(), None, None).await {
        Ok(download) => download,
        Err(error) if error.status() == Some(404) => return Ok(None),
        Err(error) => return Err(reading(super::without_context(error)).into()),
    };
    let mut stream = download.stream;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.try_next().await.map_err(reading)? {
        bytes.extend_from_slice(&piece);
        let (size, limit) = (wide(bytes.len()), files::MAX_SIGNATURE);
        if size > limit {
            return Err(
                InvalidFile::TooLarge { path: PathBuf::from(shown(url)), size, limit }.into()
            );
        }
    }
    Ok(Some(bytes))
}

fn path_of(url: &Url) -> Result<PathBuf, Error> {
    url.to_file_path().map_err(|()| unsupported("using signature storage at", url))
}

/// A URL without the password that may stand in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() && url.set_password(Some("xxxxx")).is_err() {
        return format!("{}:", url.scheme());
    }
    url.to_string()
}

fn unsupported(doing: &'static str, url: &Url) -> Error {
    SignaturesError::LookasideScheme { doing, url: shown(url) }.into()
}
