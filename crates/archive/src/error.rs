//! What can be wrong with a tar, read or written.

use std::io;
use std::path::PathBuf;

use skopeo_blob::{FileError, StreamError, TooMuch, WriteError};
use skopeo_image::{Classify, Compression, ErrorClass};

/// Why an archive, or a member of it, could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// Returns whether there is no such file at all.
    #[must_use]
    pub fn is_missing_file(&self) -> bool {
        matches!(self, Self::Open(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Why there is no plain tar that could be read in place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
#[non_exhaustive]
pub enum Fault {
    /// The system gave no more bytes.
    #[error(transparent)]
    Io(FileError),
    /// The first block is no header.
    #[error("not a tar archive")]
    NoTar,
    /// A later one is none.
    #[error("no tar header at byte {offset}, after member {after:?}")]
    NoHeader {
        /// Where it should be.
        offset: u64,
        /// The member before it.
        after: String,
    },
    /// The archive ends in the middle of a header.
    #[error("the archive is truncated at byte {length}, after member {after:?}")]
    CutOff {
        /// The length of the archive in bytes.
        length: u64,
        /// The last member that was whole.
        after: String,
    },
    /// The archive ends in the middle of a member.
    #[error("member {name:?} is truncated: it should have {size} bytes, but has {there}")]
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
    #[error("member {0:?} does not exist")]
    Missing(String),
    /// A name that leads up and away.
    #[error("member {0:?} is outside of the archive")]
    Outside(String),
    /// A file with holes, stored without them.
    #[error("member {0:?} is stored as a sparse file, which is not supported")]
    Sparse(String),
    /// A link that leads to another, and so on.
    #[error("too many links start at member {0:?}")]
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
    #[error("member {name:?} has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its name.
        name: String,
        /// Its length in bytes.
        size: u64,
        /// The longest that is read.
        limit: u64,
    },
}

/// Why a tar could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarWriteError {
    /// A file could not be written or renamed; the text names it.
    #[error(transparent)]
    Io(FileError),
    /// The bytes to be written did not come, or were not what they should be.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Half of something went through a pipe, which cannot be taken back.
    #[error("writing to a pipe, which cannot be restarted")]
    PipeBroken(#[source] Box<Self>),
    /// The same, for what was to follow.
    #[error("writing to a pipe that already has half of a blob")]
    PipeSpent,
    /// A name that has no room where it must stand.
    #[error("writing {0:?} to a tar: the name is too long")]
    LongName(String),
    /// A tar cannot be written there.
    #[error("creating tar file {path:?}")]
    Place {
        /// Where it should be.
        path: String,
        /// What the system said.
        #[source]
        source: FileError,
    },
    /// A file is no more what it was when it was opened to be added to.
    #[error("writing to {0}: another program has changed it in the meantime")]
    Changed(String),
    /// A tar is ended, and a member of it has not come whole.
    #[error("ending a tar: a part of it is missing")]
    Unfinished,
}

impl Classify for TarWriteError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Io(error) | Self::Place { source: error, .. } => error.class(),
            Self::Stream(error) => error.class(),
            Self::PipeBroken(source) => source.class(),
            Self::Changed(_) => Some(ErrorClass::Conflict),
            Self::PipeSpent | Self::LongName(_) | Self::Unfinished => None,
        }
    }
}

impl From<io::Error> for TarWriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.into())
    }
}

impl From<WriteError> for TarWriteError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stream(error) => Self::Stream(error),
            WriteError::Io(error) => Self::Io(error),
        }
    }
}
