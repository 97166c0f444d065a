//! What can be wrong with a tar.

use std::io;
use std::path::PathBuf;

use skopeo_blob::{FileError, TooMuch};
use skopeo_image::{Classify, Compression, Digest, ErrorClass};

/// Why an archive, or a member of it, could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The file could not be opened; the text names it.
    #[error(transparent)]
    Open(FileError),
    /// What is compressed or comes through a pipe could not be unpacked.
    #[error("unpacking archive {}", archive.display())]
    Unpack {
        /// The archive.
        archive: PathBuf,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// It is no tar, or a broken one, or does not have what it should.
    #[error("reading archive {}", archive.display())]
    Read {
        /// The archive.
        archive: PathBuf,
        /// Why.
        #[source]
        source: Fault,
    },
}

impl Classify for TarError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Open(error)
            | Self::Read { source: Fault::Io(error), .. }
            | Self::Unpack { source: UnpackError::Write { source: error, .. }, .. } => {
                error.class()
            }
            Self::Unpack { source: UnpackError::Read(error), .. } => {
                TooMuch::of(error).map(|_| ErrorClass::InvalidImage)
            }
            Self::Read { .. } | Self::Unpack { .. } => Some(ErrorClass::InvalidImage),
        }
    }
}

impl TarError {
    /// Whether there is no such file at all.
    #[must_use]
    pub fn is_missing_file(&self) -> bool {
        matches!(self, Self::Open(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Why there is no plain tar that could be read in place.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// No more bytes come, or more than may.
    #[error("reading its bytes")]
    Read(#[source] io::Error),
    /// What is packed is broken, or more comes out of it than may.
    #[error("decompressing {compression} data")]
    Corrupt {
        /// The format as it was sniffed.
        compression: Compression,
        /// What the decoder said.
        #[source]
        source: io::Error,
    },
    /// There is no room for what was packed.
    #[error("writing a temporary file in {}", folder.display())]
    Write {
        /// Where it would be.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: FileError,
    },
}

/// What is wrong inside of an archive.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The system gave no more bytes.
    #[error(transparent)]
    Io(FileError),
    /// The first block is no header.
    #[error("not a tar archive")]
    NoTar,
    /// A later one is none.
    #[error("no tar header at byte {offset}, behind member {after:?}")]
    NoHeader {
        /// Where it should be.
        offset: u64,
        /// The member before it.
        after: String,
    },
    /// The archive ends in the middle of a header.
    #[error("the archive is cut off at byte {length}, behind member {after:?}")]
    CutOff {
        /// The length of the archive in bytes.
        length: u64,
        /// The last member that was whole.
        after: String,
    },
    /// The archive ends in the middle of a member.
    #[error("member {name:?} is cut off: it has {size} bytes, of which {there} are there")]
    MemberCutOff {
        /// Its name.
        name: String,
        /// Its length in bytes, as its header has it.
        size: u64,
        /// As much of it as the archive holds.
        there: u64,
    },
    /// A pax header, or a GNU long name, that is malformed or out of measure.
    #[error("the extended header at byte {offset} {reason}")]
    Extension {
        /// Where it is.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name that no file can have.
    #[error("the name of the member at byte {offset} has {length} bytes")]
    LongName {
        /// Where its header is.
        offset: u64,
        /// The length of the name.
        length: usize,
    },
    /// More than is worth the memory.
    #[error("the archive has more than {limit} {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much would be accepted.
        limit: usize,
    },
    /// What should be there is not.
    #[error("there is no member {0:?}")]
    Missing(String),
    /// A name that leads up and away.
    #[error("member {0:?} is outside of the archive")]
    Outside(String),
    /// A file with holes, stored without them.
    #[error("member {0:?} is stored as a sparse file, which is not supported")]
    Sparse(String),
    /// A link that leads to another, and so on.
    #[error("too many links lead on from member {0:?}")]
    Links(String),
    /// A link that leads to where only the file system is.
    #[error("member {name:?} is a link to {target:?}, outside of the archive")]
    LinkOut {
        /// The link.
        name: String,
        /// Where it leads.
        target: String,
    },
    /// A small member that is not.
    #[error("member {name:?} has {size} bytes, more than the {limit} that are accepted")]
    TooLarge {
        /// Its name.
        name: String,
        /// Its length in bytes.
        size: u64,
        /// The longest that is read.
        limit: u64,
    },
}

/// What can go wrong with a tar that is written, or added to.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Half of something went through a pipe, which cannot be taken back.
    #[error("writing to a pipe, which cannot be begun again")]
    PipeBroken(#[source] Box<crate::Error>),
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
    /// An archive that is written anew has not what it should have.
    #[error("taking over blob {digest} from {}: it is broken there", path.display())]
    BrokenArchive {
        /// The archive.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
}

/// What to do about a file that an image cannot be added to.
pub(crate) const NOT_EXTENSIBLE: &str = "images are added to what is there, so that nothing is lost; write to another file, or move \
     this one away before";

impl Classify for ArchiveError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::ArchivePlace { source, .. } => return source.class(),
            Self::PipeBroken(source) => return source.class(),
            Self::NoArchive(_) => ErrorClass::NotFound,
            Self::ArchiveBusy { .. } | Self::ArchiveChanged(_) | Self::NotExtensible { .. } => {
                ErrorClass::Conflict
            }
            Self::BrokenArchive { .. } => ErrorClass::InvalidImage,
            Self::PipeSpent | Self::MemberName(_) => return None,
        })
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotExtensible { .. } => NOT_EXTENSIBLE,
            Self::ArchiveBusy { .. } | Self::ArchiveChanged(_) => {
                "copy again when the other program has ended; what is there now is not touched"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
