//! `sif:`: an image of the root file system in a SIF file, which Apptainer and Singularity run.
//!
//! The squashfs in the file becomes the only layer. The tar is made on its way, twice: once to
//! learn its digest, once for each copy; nothing is unpacked to a disk and no other program is
//! run. The same file always gives the same image.

mod definition;
mod header;

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use skopeo_archive::Region;
use skopeo_archive::squashfs::{self, Extra};
use skopeo_blob::{Blob, BoxError, ByteStream, MaxUnpacked, file};
use skopeo_image::{History, ImageConfig, MediaType, PolicyScope, RunConfig, Timestamp};

use super::{Invented, Layer};
use crate::named::Name;
use crate::paths::{PathError, parents, resolve};
use crate::synthetic::SyntheticError;
use crate::{Error, ImageName, Options, files};

use definition::SCRIPT;
use header::Header;

/// The longest definition file that is read, in bytes.
const LONGEST_DEFINITION: u64 = 4 << 20;

/// The path of a SIF file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SifName {
    path: String,
    resolved: String,
}

impl SifName {
    /// Parses what stands behind the colon, a path.
    pub(crate) fn parse(details: &str) -> Result<Self, PathError> {
        Ok(Self { path: details.to_owned(), resolved: resolve(details)? })
    }
}

impl Name for SifName {
    fn transport(&self) -> &'static str {
        "sif"
    }

    fn policy_scope(&self) -> PolicyScope {
        PolicyScope {
            name: String::new(),
            transport: self.transport(),
            identity: self.resolved.clone(),
            namespaces: parents(&self.resolved),
            reference: None,
        }
    }
}

impl fmt::Display for SifName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// Why a file is no SIF image that can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SifError {
    /// The file is too short.
    #[error("reading global header")]
    Header(#[source] io::Error),
    /// It begins with something else.
    #[error("invalid SIF magic")]
    Magic,
    /// Only version 01 is known.
    #[error("incompatible SIF version")]
    Version,
    /// The table of objects cannot be what it says.
    #[error("reading descriptors: a table of that size is not possible")]
    Descriptors,
    /// The table of objects is not where it should be.
    #[error("reading descriptors")]
    Table(#[source] io::Error),
    /// An object is not where it should be.
    #[error("reading an object")]
    Object(#[source] io::Error),
    /// The file is empty.
    #[error("looking up rootfs from SIF file: no objects in image")]
    NoObjects,
    /// There is no root file system.
    #[error("looking up rootfs from SIF file: object not found")]
    NoSystem,
    /// There are several.
    #[error("looking up rootfs from SIF file: multiple objects found")]
    ManySystems,
    /// The root file system is of another kind.
    #[error("the root file system is not a squashfs, its SIF type is {0}")]
    NotSquashfs(u32),
    /// The definition file is not as such files are.
    #[error("reading lines from SIF definition file object: a line is too long")]
    LongLine,
    /// The definition file is longer than any.
    #[error("reading SIF definition file object: {0} bytes")]
    LongDefinition(u64),
    /// The squashfs is broken.
    #[error("reading the squashfs")]
    Squashfs(#[from] squashfs::Error),
}

/// Reads what a SIF file has, and makes up an image of it.
pub(crate) async fn open(name: &SifName, options: &Options) -> Result<Invented, Error> {
    let path = name.path.clone();
    let (header, system, script) = files::blocking(move || {
        let (file, size) = files::open(Path::new(&path), None)?;
        let file = Region::new(file, size);
        let header = Header::read(&file).map_err(|source| SyntheticError::LoadingSif { source })?;
        let converting = |source| SyntheticError::ConvertingSif { source };
        let script = match header.definition() {
            Some(object) => definition::script(&whole(object)?).map_err(converting)?,
            None => None,
        };
        let system = header.system().map_err(converting)?.clone();
        // What is wrong from the start is told as such, not in the middle of a stream.
        squashfs::check(&system).map_err(|error| converting(error.into()))?;
        Ok((header, system, script))
    })
    .await?;
    let command = script.as_ref().map_or_else(|| "bash".to_owned(), |_| format!("/{SCRIPT}"));
    let extra = script.map(|script| Extra {
        path: SCRIPT,
        mode: 0o755,
        modified: u32::try_from(header.modified).unwrap_or_default(),
        bytes: script,
    });
    let most = options.max_unpacked;
    let supply = move || tar(system.clone(), extra.clone(), most);
    let written = file::write(Blob::unnamed(supply()), io::sink()).await?;
    let layer = Layer {
        media_type: MediaType::OCI_LAYER,
        digest: written.digest.clone(),
        size: written.size,
        diff_id: written.digest,
        bytes: Box::new(supply),
    };
    Invented::new(ImageName::Sif(name.clone()), config(&header, &layer, command), vec![layer])
}

fn tar(system: Region, extra: Option<Extra>, most: MaxUnpacked) -> ByteStream {
    file::generate(move |output: &mut dyn Write| {
        squashfs::write_tar(&system, extra.as_ref(), most, output).map_err(BoxError::from)
    })
}

fn whole(object: &Region) -> Result<Vec<u8>, Error> {
    let converting = |source| SyntheticError::ConvertingSif { source };
    let len = Some(object.len()).filter(|len| *len <= LONGEST_DEFINITION);
    let len = len.and_then(|len| usize::try_from(len).ok());
    let len = len.ok_or_else(|| converting(SifError::LongDefinition(object.len())))?;
    object.bytes(0, len).map_err(|source| converting(SifError::Object(source)).into())
}

fn config(header: &Header, layer: &Layer, command: String) -> ImageConfig {
    let created = Timestamp::from_unix(header.modified, 0).unwrap_or_default();
    let step =
        |created_by: String| History { created: Some(created), created_by, ..History::default() };
    ImageConfig {
        created: Some(created),
        architecture: header.architecture.to_owned(),
        os: "linux".to_owned(),
        config: RunConfig { cmd: Some(vec![command]), ..RunConfig::default() },
        history: vec![
            History {
                comment: format!("imported from SIF, uuid: {}", header.id),
                ..step(format!("/bin/sh -c #(nop) ADD file:{} in /", layer.digest.hex()))
            },
            History { empty_layer: true, ..step("/bin/sh -c #(nop) CMD [\"bash\"]".to_owned()) },
        ],
        ..ImageConfig::default()
    }
}
