//! What can go wrong where images live.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use skopeo_blob::{FileError, StreamError, WriteError};
use skopeo_image::{Digest, ErrorClass, ManifestError, as_a};

use crate::NameError;
use crate::docker_tar::DaemonError;
use crate::synthetic::SifError;

/// An error of a transport.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read, written or moved; the text names it.
    #[error(transparent)]
    Io(FileError),
    /// The folder for an image could not be made.
    #[error("unable to create directory {path:?}")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        #[source]
        source: FileError,
    },
    /// The `version` file of a `dir:` image could not be read.
    #[error("reading version file {path:?}")]
    VersionFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: FileError,
    },
    /// What was found has no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A tar could not be read.
    #[error(transparent)]
    Tar(#[from] crate::TarError),
    /// The bytes to be written did not come, or were not what they should be.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A transport that cannot do what was asked.
    #[error("{operation} not implemented for {transport}: images")]
    Unsupported {
        /// Its name.
        transport: &'static str,
        /// What was asked.
        operation: &'static str,
    },
    /// A transport that images are only read from.
    #[error("\"{0}:\" locations can only be read from, not written to")]
    ReadOnly(&'static str),
    /// A file that an image is to be made of cannot be read.
    #[error("error reading {path:?}")]
    Reading {
        /// The file as it was named.
        path: String,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// A file that is no SIF image.
    #[error("loading SIF file")]
    LoadingSif {
        /// Why.
        #[source]
        source: SifError,
    },
    /// A SIF image that no layer can be made of.
    #[error("converting rootfs from SquashFS to Tarball")]
    ConvertingSif {
        /// Why.
        #[source]
        source: SifError,
    },
    /// A Docker daemon could not be used.
    #[error("{doing}")]
    Daemon {
        /// What for, in the original's words.
        doing: &'static str,
        /// Why.
        #[source]
        source: DaemonError,
    },
    /// An image cannot be written to a daemon under that name.
    #[error(transparent)]
    DaemonDestination(DaemonError),
    /// Nobody has ever spoken of that blob here.
    #[error("no blob with digest {:?} found", .0.as_str())]
    NoSuchBlob(Digest),
    /// A registry refused, or was not reached.
    #[error(transparent)]
    Registry(#[from] skopeo_registry::Error),
    /// What this machine is configured to do is not possible.
    #[error(transparent)]
    Config(#[from] skopeo_config::Error),
    /// A manifest is another than the one asked for.
    #[error("Manifest does not match provided manifest digest {0}")]
    ManifestMismatch(Digest),
    /// A manifest that is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file is longer than anything of its kind should be.
    #[error("reading {}: {size} bytes, more than the {limit} that are accepted", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        size: u64,
        /// The longest that is read.
        limit: u64,
    },
    /// Something that should be a file is a pipe, a device, a folder or a link that leads away.
    #[error("reading {}: {reason}", path.display())]
    NotAFile {
        /// What was to be read.
        path: PathBuf,
        /// What it is.
        reason: &'static str,
    },
    /// A file holds no valid JSON of its kind.
    #[error("parsing {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// A signature file in a form nobody knows.
    #[error("parsing signature {}", path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: crate::signature_file::Malformed,
    },
    /// A part of a copy was called for without what comes before it.
    #[error("committing an image without a manifest")]
    NothingToCommit,

    /// Credentials could not be looked up.
    #[error("getting username and password")]
    Credentials {
        /// Why.
        #[source]
        source: skopeo_config::Error,
    },
    /// A blob was not taken, but may be if it is put again.
    #[error(transparent)]
    UploadAgain(Box<skopeo_registry::Error>),
    /// Configuration left no place to read from.
    #[error("reading an image without any endpoint")]
    NoEndpoint,
    /// Neither the mirrors nor the place itself have the image.
    #[error("(Mirrors also failed: {mirrors}): {primary}")]
    AllEndpoints {
        /// What each mirror said, in brackets.
        mirrors: String,
        /// The place itself.
        primary: String,
        /// What it said.
        #[source]
        source: Box<Self>,
    },
    /// A name without tag and digest names nothing that could be read.
    #[error("reading images from docker: reference {0:?} without a tag or digest is not supported")]
    ReadingUntagged(String),
    /// Nor anything that could be deleted.
    #[error("Docker reference without a tag or digest cannot be deleted")]
    DeletingUntagged,
    /// A name by digest has no tag.
    #[error("a name without a tag has no tag to delete")]
    NoTagToDelete,
    /// A tag leads elsewhere than when it was looked at.
    #[error("deleting tag {0}: it has been moved meanwhile")]
    TagMoved(String),
    /// An image is another one than when it was looked at.
    #[error("deleting {0}: it has been rewritten meanwhile, and stays")]
    Rewritten(String),
    /// The name of an image would lead to another one when that has gone.
    #[error("deleting {0}: the index has that name once more, for another image; both stay")]
    NamedTwice(String),
    /// What went wrong for several at once.
    #[error(transparent)]
    Shared(Arc<Self>),
    /// Deleting a tag could take others with it.
    #[error(
        "deleting tag {reference}: the registry may delete its image with all its tags, and {why}; \
         and the tag cannot be moved away from it: {refused}"
    )]
    WouldTake {
        /// The name.
        reference: String,
        /// What could go.
        why: String,
        /// What the registry said to moving the tag.
        refused: String,
    },
    /// The registry said that it had deleted a tag.
    #[error("deleting tag {0}: the registry still has it")]
    TagStays(String),
    /// Deleting a tag took something else with it, or left the tag elsewhere, and that cannot be
    /// put right.
    #[error("giving back {name}, which the registry took away")]
    GivingBack {
        /// A tag or digest.
        name: String,
        /// Why not.
        #[source]
        source: Box<skopeo_registry::Error>,
    },
    /// What is to be deleted is not there.
    #[error(
        "Unable to delete {0}. Image may not exist or is not stored with a v2 Schema in a v2 \
         registry"
    )]
    NothingToDelete(String),
    /// A manifest could not be deleted.
    #[error("deleting {reference}")]
    Deleting {
        /// Its name.
        reference: String,
        /// Why.
        #[source]
        source: Box<skopeo_registry::Error>,
    },
    /// None of the addresses of a layer that lies elsewhere has it.
    #[error("failed fetching external blob from all urls: {0}")]
    ForeignBlob(String),
    /// A server of signatures that does not end.
    #[error("server provided {0} signatures, assuming that's unreasonable and a server error")]
    TooManySignatures(usize),
    /// More signatures of one manifest than are held in memory.
    #[error(
        "the first {0} signatures take more than 32 MiB (each counts 16 KiB at least): that is too much"
    )]
    SignaturesTooLarge(usize),
    /// A signature could not be fetched.
    #[error("reading signature from {url}")]
    LookasideRead {
        /// Where it should be.
        url: String,
        /// What came instead.
        #[source]
        source: Box<skopeo_registry::Error>,
    },
    /// Signatures on a web server can only be read there.
    #[error(
        "Writing directly to a {scheme} lookaside {url} is not supported. Configure a \
         lookaside-staging: location"
    )]
    LookasideReadOnly {
        /// `http` or `https`.
        scheme: String,
        /// Where they are.
        url: String,
    },
    /// A store of signatures that is neither a folder nor a web server.
    #[error("{doing} {url}: unsupported scheme")]
    LookasideScheme {
        /// What was asked of it.
        doing: &'static str,
        /// Its address.
        url: String,
    },
    /// registries.d does not allow sigstore signatures beside images.
    #[error("writing sigstore attachments is disabled by configuration")]
    AttachmentsDisabled,
    /// The tag of a manifest's signatures leads to something else.
    #[error("unexpected MIME type for sigstore attachment manifest {name}: {:?}", media_type.as_str())]
    AttachmentType {
        /// The name with the tag.
        name: String,
        /// What it is.
        media_type: skopeo_image::MediaType,
    },
    /// The config that comes with signatures cannot be read.
    #[error("parsing sigstore attachment config {digest} in {repository}")]
    AttachmentConfig {
        /// Its digest.
        digest: Digest,
        /// Where it is.
        repository: String,
        /// What the parser said.
        #[source]
        source: skopeo_blob::BoxError,
    },
    /// Something could not be written as JSON.
    #[error("encoding a sigstore attachment")]
    Encode(#[from] serde_json::Error),
    /// A small blob that is not.
    #[error("reading blob {digest}: {size} bytes, more than the {limit} that are accepted")]
    BlobTooLarge {
        /// Its digest.
        digest: Digest,
        /// Its length in bytes, or as much of it as was read.
        size: u64,
        /// The longest that is read.
        limit: u64,
    },

    /// A folder that holds an image, and must not get another.
    #[error("Refusing to overwrite destination directory {0:?}")]
    FolderExists(String),
    /// A folder that is not empty and not ours.
    #[error("not a containers image directory, don't want to overwrite important data")]
    NotImageFolder,
    /// A `version` file that holds something else.
    #[error("invalid version file content: {0:?}")]
    InvalidVersionFile(String),
    /// A `dir:` folder of a later format.
    #[error("unsupported directory transport version {version:?} at {path}")]
    UnsupportedVersion {
        /// The content of its `version` file.
        version: String,
        /// The folder.
        path: String,
    },
    /// Another copy writes there.
    #[error("writing to {0}: another copy is being written there")]
    FolderBusy(String),
    /// Two wishes that contradict each other.
    #[error("Cannot compress and decompress at the same time")]
    CompressAndDecompress,

    /// An archive of `docker save` is broken, or has no such image.
    #[error(transparent)]
    Saved(#[from] crate::docker_tar::SavedError),
    /// Half of something went through a pipe, which cannot be taken back.
    #[error("writing to a pipe, which cannot be begun again")]
    PipeBroken(#[source] Box<Self>),
    /// The same, for what was to follow.
    #[error("writing to a pipe that half of a blob has gone through")]
    PipeSpent,
    /// A name in a tar that has no room where it must stand.
    #[error("writing {0:?} to a tar: the name is too long")]
    MemberName(String),

    /// There is no archive to read.
    #[error("archive file not found: {0:?}")]
    NoArchive(String),
    /// An archive cannot be written there.
    #[error("creating tar file {path:?}")]
    ArchivePlace {
        /// Where it should be.
        path: String,
        /// What the system said.
        #[source]
        source: FileError,
    },
    /// Somebody else writes it.
    #[error(
        "writing to {path}: another program{} is writing it",
        process.map_or_else(String::new, |id| format!(" (process {id})"))
    )]
    ArchiveBusy {
        /// The archive.
        path: String,
        /// The number of its process, if it is known.
        process: Option<u32>,
    },
    /// An archive is no more what it was when it was opened to be added to.
    #[error("writing to {0}: another program has written it meanwhile")]
    ArchiveChanged(String),
    /// A file that an image cannot be added to.
    #[error("oci-archive doesn't support modifying {path}: it {reason}")]
    NotExtensible {
        /// The file.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// A folder of a layout is a link: what is written to it, or deleted, would be elsewhere.
    #[error("writing to a layout: {0} is a link")]
    LinkInLayout(String),
    /// Nothing in the layout has that reference.
    #[error("no descriptor found for reference {0:?}")]
    NoSuchReference(String),
    /// Nothing says which of several images is meant.
    #[error("more than one image in oci, choose an image")]
    MoreThanOneImage,
    /// `@N` beyond the end.
    #[error("index {index} is too large, only {entries} entries available")]
    NoSuchEntry {
        /// The N, counted from 0.
        index: usize,
        /// How many there are.
        entries: usize,
    },
    /// The reference leads to something that is no manifest.
    #[error("reference {reference:?} matches unsupported manifest MIME types {types:?}")]
    UnsupportedEntry {
        /// The reference.
        reference: String,
        /// What it leads to.
        types: Vec<String>,
    },
    /// `@N` names what is there, not what is to come.
    #[error("Destination reference must not contain a manifest index @{0}")]
    IndexInDestination(usize),
    /// An entry whose blobs cannot be known, so that deleting is not safe.
    #[error("unsupported mediaType in index: {0:?}")]
    UnknownEntry(String),
    /// More manifests than are read to find what hangs on one of them.
    #[error("reading the layout: it has more than {0} manifests")]
    TooManyManifests(usize),
    /// A descriptor that cannot be read.
    #[error("parsing a descriptor in the index")]
    BadDescriptor(#[source] serde_json::Error),
    /// A descriptor whose digest is none.
    #[error("unexpected digest reference {text}")]
    BadDigest {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        #[source]
        source: skopeo_image::DigestError,
    },
    /// Signatures for a place that has none.
    #[error("{0}")]
    NoSignatures(&'static str),
    /// A place of many images from which none can be taken away.
    #[error("images cannot be removed from an archive: write a new one")]
    NotDeletable,
    /// Of several places that were written to at once, none is left; each has its own reason.
    #[error("writing to several destinations: all of them failed")]
    NoDestinationLeft,
    /// Others write the list of referrers as often as we do.
    #[error(
        "adding to the list of referrers under tag {tag}: others changed it {tries} times meanwhile"
    )]
    ReferrersTag {
        /// The tag.
        tag: String,
        /// How often it was written.
        tries: u32,
    },
    /// The tag leads to something that has what the new one has not, and the reverse.
    #[error("writing tag {0}: what is there would be lost")]
    WouldLose(String),
    /// An archive that is written anew has not what it should have.
    #[error("taking over blob {digest} from {}: it is broken there", path.display())]
    BrokenArchive {
        /// The archive.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A name that another collection gave.
    #[error("writing {0}: it is no name in this place")]
    OtherCollection(String),
    /// The API of `OpenShift` refused, or was not reached.
    #[error(transparent)]
    Atomic(Box<crate::AtomicError>),
    /// A store of podman refused, or has no such image.
    #[error(transparent)]
    Storage(Box<crate::storage::StorageError>),
    /// A blob was deleted between its reuse and the commit.
    #[error("committing the image: blob {0} has been deleted meanwhile")]
    Vanished(Digest),
}

/// What to do about a file that an image cannot be added to.
pub(crate) const NOT_EXTENSIBLE: &str = "images are added to what is there, so that nothing is lost; write to another file, or move \
     this one away before";

impl Error {
    /// Whether the error is told without what was being done, since the original says no more.
    #[must_use]
    pub fn stands_alone(&self) -> bool {
        matches!(self, Self::FolderExists(_))
    }

    /// Whether a file is missing that was to be opened.
    #[must_use]
    pub fn is_missing_file(&self) -> bool {
        match self {
            Self::Io(error) => error.kind() == io::ErrorKind::NotFound,
            Self::Shared(error) => error.is_missing_file(),
            _ => false,
        }
    }

    /// Whether the place is fine but there is no such image in it.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NoSuchReference(_) => true,
            Self::Atomic(error) => error.class() == ErrorClass::NotFound,
            Self::Storage(error) => error.is_not_found(),
            Self::Registry(error) => error.is_not_found(),
            Self::AllEndpoints { source, .. } => source.is_not_found(),
            Self::Shared(error) => error.is_not_found(),
            _ => false,
        }
    }

    /// Whether a registry says that there is no such repository, asked for its tags.
    #[must_use]
    pub fn is_unknown_repository(&self) -> bool {
        self.registry().is_some_and(|error| error.status() == Some(404))
    }

    /// Whether the same call may do better in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Stream(error) => error.is_transient(),
            Self::Vanished(_)
            | Self::UploadAgain(_)
            | Self::ReferrersTag { .. }
            | Self::ArchiveChanged(_) => true,
            Self::Registry(error) => error.is_transient(),
            Self::Atomic(error) => error.is_transient(),
            Self::Deleting { source, .. } | Self::LookasideRead { source, .. } => {
                source.is_transient()
            }
            Self::AllEndpoints { source, .. } => source.is_transient(),
            Self::Shared(error) => error.is_transient(),
            _ => false,
        }
    }

    /// How often a request was sent that came to nothing. What was tried more than once need not be
    /// tried again soon.
    #[must_use]
    pub fn tried(&self) -> u32 {
        match self {
            Self::Stream(error) => error.tried(),
            Self::Registry(error) => error.tried(),
            Self::UploadAgain(source)
            | Self::Deleting { source, .. }
            | Self::LookasideRead { source, .. } => source.tried(),
            Self::AllEndpoints { source, .. } => source.tried(),
            Self::Shared(error) => error.tried(),
            _ => 1,
        }
    }

    /// What kind of error it is, where that is not the cause's own affair.
    #[must_use]
    pub fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Io(error)
            | Self::Folder { source: error, .. }
            | Self::ArchivePlace { source: error, .. }
            | Self::VersionFile { source: error, .. } => return error.class(),
            Self::Stream(error) => return error.class(),
            Self::Registry(error) => error.class(),
            Self::UploadAgain(error) => error.class(),
            Self::AllEndpoints { source, .. } => return source.class(),
            Self::Shared(error) => return error.class(),
            Self::Config(error) => error.class(),
            Self::Manifest(error) => error.class(),
            Self::Tar(error) => return error.class(),
            Self::Saved(error) => error.class(),
            Self::Storage(error) => error.class(),
            Self::Atomic(error) => error.class(),
            Self::Daemon { source, .. } | Self::DaemonDestination(source) => source.class(),
            Self::LoadingSif { .. } | Self::ConvertingSif { .. } | Self::NoSuchBlob(_) => {
                ErrorClass::InvalidImage
            }
            Self::ReadOnly(_) => ErrorClass::Unsupported,
            Self::Reading { source, .. } => return source.class(),
            Self::ManifestMismatch(_) => ErrorClass::DigestMismatch,
            Self::Unsupported { .. }
            | Self::NotDeletable
            | Self::NoSignatures(_)
            | Self::AttachmentsDisabled => ErrorClass::Unsupported,
            Self::NothingToDelete(_)
            | Self::NoSuchReference(_)
            | Self::NoSuchEntry { .. }
            | Self::NoArchive(_) => ErrorClass::NotFound,
            Self::ReadingUntagged(_)
            | Self::DeletingUntagged
            | Self::NoTagToDelete
            | Self::MoreThanOneImage
            | Self::IndexInDestination(_)
            | Self::CompressAndDecompress => ErrorClass::InvalidInput,
            Self::TagMoved(_)
            | Self::Rewritten(_)
            | Self::NamedTwice(_)
            | Self::WouldTake { .. }
            | Self::TagStays(_)
            | Self::NotImageFolder
            | Self::FolderExists(_)
            | Self::FolderBusy(_)
            | Self::ArchiveBusy { .. }
            | Self::ArchiveChanged(_)
            | Self::NotExtensible { .. }
            | Self::Vanished(_)
            | Self::ReferrersTag { .. }
            | Self::WouldLose(_) => ErrorClass::Conflict,
            Self::TooLarge { .. }
            | Self::LinkInLayout(_)
            | Self::NotAFile { .. }
            | Self::Json { .. }
            | Self::Signature { .. }
            | Self::InvalidVersionFile(_)
            | Self::UnsupportedVersion { .. }
            | Self::UnsupportedEntry { .. }
            | Self::UnknownEntry(_)
            | Self::TooManyManifests(_)
            | Self::BrokenArchive { .. }
            | Self::BadDescriptor(_)
            | Self::BadDigest { .. } => ErrorClass::InvalidImage,
            _ => return None,
        })
    }

    /// What a registry has to do with it, if anything.
    #[must_use]
    pub fn registry(&self) -> Option<&skopeo_registry::Error> {
        match self {
            Self::Registry(error) => Some(error),
            Self::UploadAgain(source)
            | Self::Deleting { source, .. }
            | Self::LookasideRead { source, .. } => Some(source),
            Self::AllEndpoints { source, .. } => source.registry(),
            Self::Shared(error) => error.registry(),
            _ => None,
        }
    }

    /// What the user could do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::MoreThanOneImage => {
                Some("name one as oci:PATH:REFERENCE, or count them as oci:PATH:@0".to_owned())
            }
            Self::NothingToDelete(name) => {
                let (repository, tag) = name.rsplit_once(':').unwrap_or((name, ""));
                let is_tag = !tag.is_empty() && !tag.contains('/') && !name.contains('@');
                is_tag.then(|| {
                    format!("skopeo list-tags docker://{repository} says which tags there are")
                })
            }
            Self::Saved(error) => error.hint().map(str::to_owned),
            Self::Storage(error) => error.hint().map(str::to_owned),
            Self::Atomic(error) => error.hint(),
            Self::Config(error) => error.hint().map(str::to_owned),
            Self::LinkInLayout(_) => {
                Some("for blobs that lie elsewhere there is --dest-shared-blob-dir".to_owned())
            }
            Self::NotExtensible { .. } => Some(NOT_EXTENSIBLE.to_owned()),
            Self::ArchiveBusy { .. } | Self::ArchiveChanged(_) => Some(
                "copy again when the other program has ended; what is there now is not touched"
                    .to_owned(),
            ),
            Self::WouldLose(_) => Some(
                "the destination has signatures or attestations of its own; delete the tag there, \
                 or copy other types only"
                    .to_owned(),
            ),
            Self::Registry(error) => error.hint().map(str::to_owned),
            Self::Daemon { source, .. } => source.hint(),
            Self::UploadAgain(source) | Self::Deleting { source, .. } => {
                source.hint().map(str::to_owned)
            }
            Self::AllEndpoints { source, .. } => source.hint(),
            Self::Shared(error) => error.hint(),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error.into())
    }
}

impl From<crate::storage::StorageError> for Error {
    fn from(error: crate::storage::StorageError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<crate::AtomicError> for Error {
    fn from(error: crate::AtomicError) -> Self {
        Self::Atomic(error.into())
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stream(error) => Self::Stream(error),
            WriteError::Io(error) => Self::Io(error),
        }
    }
}

/// Returns the kind of one error in a chain of causes, if this crate or one below it has made the
/// error and knows its kind.
#[must_use]
pub fn class_of(error: &(dyn StdError + 'static)) -> Option<ErrorClass> {
    if let Some(error) = as_a::<Error>(error) {
        return error.class();
    }
    None.or_else(|| Some(as_a::<skopeo_registry::Error>(error)?.class()))
        .or_else(|| Some(as_a::<skopeo_registry::WireError>(error)?.class()))
        .or_else(|| Some(as_a::<skopeo_registry::WebError>(error)?.class()))
        .or_else(|| as_a::<StreamError>(error)?.class())
        .or_else(|| as_a::<FileError>(error)?.class())
        .or_else(|| Some(as_a::<skopeo_config::Error>(error)?.class()))
        .or_else(|| Some(as_a::<NameError>(error)?.class()))
        .or_else(|| Some(as_a::<ManifestError>(error)?.class()))
}

/// Returns whether one error in a chain of causes says that the same step may go well in a moment.
#[must_use]
pub fn is_transient(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<Error>().is_some_and(Error::is_transient)
        || error
            .downcast_ref::<skopeo_registry::Error>()
            .is_some_and(skopeo_registry::Error::is_transient)
        || error.downcast_ref::<StreamError>().is_some_and(StreamError::is_transient)
}
