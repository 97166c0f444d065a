//! What can go wrong between a tar and its files.

use std::io;

use skopeo_image::{Classify, ErrorClass};

/// The result of making files of a tar, or a tar of files.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a tar and its files. Names are quoted, and cut if they are long.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stream of the tar failed.
    #[error("reading the layer's tar")]
    Read(#[source] io::Error),
    /// The tar is malformed.
    #[error("reading the layer's tar: {what} after {after}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// The entry before it.
        after: String,
    },
    /// An entry of a type that nobody knows.
    #[error("{name}: unhandled tar header type {kind}")]
    Type {
        /// The entry.
        name: String,
        /// Its type, as a byte.
        kind: u8,
    },
    /// Two entries of one path, the first of which had contents.
    #[error("{name}: duplicates of file paths not supported")]
    Duplicate {
        /// The entry.
        name: String,
    },
    /// An entry, or what it links to, is not below the root.
    #[error("{what} {name}")]
    Outside {
        /// What is wrong.
        what: &'static str,
        /// The entry, and what it leads to.
        name: String,
    },
    /// An entry whose owner has no id on this machine.
    #[error("{name}: {kind} {id} cannot be mapped to a host ID")]
    Id {
        /// The entry.
        name: String,
        /// Whether it is a user or a group.
        kind: &'static str,
        /// The id.
        id: i64,
    },
    /// An entry cannot be made.
    #[error("{deed} {name}")]
    Entry {
        /// What was done.
        deed: &'static str,
        /// The entry.
        name: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An owner cannot be given.
    #[error(
        "potentially insufficient UIDs or GIDs available in user namespace (requested {uid}:{gid} for {name}): Check /etc/subuid and /etc/subgid if configured locally and run \"podman system migrate\": lchown {name}"
    )]
    Owner {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// The entry.
        name: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The recipe cannot be read, written or understood.
    #[error("reading the layer's recipe: {0}")]
    Recipe(String),
    /// A file of the layer is not what it was.
    #[error("file integrity checksum failed for {name}")]
    Changed {
        /// The file.
        name: String,
    },
    /// The recipe, the tar or a folder cannot be read or written. What it is is in the error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Malformed { .. }
            | Self::Type { .. }
            | Self::Duplicate { .. }
            | Self::Outside { .. } => ErrorClass::InvalidImage,
            Self::Id { .. } | Self::Owner { .. } => ErrorClass::Denied,
            Self::Changed { .. } => ErrorClass::DigestMismatch,
            Self::Recipe(_) => ErrorClass::Other,
            Self::Read(source) | Self::Entry { source, .. } | Self::Io(source) => {
                class_of(source.kind())
            }
        })
    }
}

fn class_of(kind: io::ErrorKind) -> ErrorClass {
    match kind {
        io::ErrorKind::PermissionDenied => ErrorClass::Denied,
        io::ErrorKind::NotFound => ErrorClass::NotFound,
        _ => ErrorClass::Other,
    }
}

/// A name for messages: quoted, and not longer than a message may be.
pub(super) fn shown(name: &[u8]) -> String {
    const LONGEST: usize = 256;
    match name.get(..LONGEST) {
        Some(start) if name.len() > LONGEST => {
            format!("{:?}...", String::from_utf8_lossy(start))
        }
        _ => format!("{:?}", String::from_utf8_lossy(name)),
    }
}
