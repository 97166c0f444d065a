//! The list of transports, from which help, completion and errors come.

use crate::atomic::AtomicName;
use crate::dir::DirName;
use crate::docker_tar::{DaemonName, DockerArchiveName};
use crate::layout::{ArchiveName, BucketName, LayoutName, bucket};
use crate::name::{ImageName, NameError};
use crate::registry::DockerName;
use crate::storage::{self, StorageName};
use crate::synthetic::{SifName, TarballName};

/// Parses what stands behind the colon.
type Parse = fn(&str) -> Result<ImageName, NameError>;

/// What is known of a transport without opening anything.
#[derive(Clone, Copy, Debug)]
pub struct Transport {
    /// What stands before the colon.
    pub name: &'static str,
    /// What stands behind it, for help.
    pub syntax: &'static str,
    /// Whether it is spoken of: old ones can be named but are not offered.
    pub offered: bool,
    /// Whether images can be read.
    pub reads: bool,
    /// Whether images can be written.
    pub writes: bool,
    /// Whether images can be deleted.
    pub deletes: bool,
    /// Whether images are files of many users, which only root may make, be it root in a user
    /// namespace.
    pub wants_root: bool,
    /// Whether the tags of a place can be listed.
    pub lists_tags: bool,
    /// Parses what stands behind the colon; `None` for what is known but not built.
    pub(crate) parse: Option<Parse>,
    /// For what is not built: why, and what to use instead.
    pub(crate) instead: Option<&'static str>,
}

impl Transport {
    /// Returns whether this program has it.
    #[must_use]
    pub fn is_built(&self) -> bool {
        self.parse.is_some()
    }

    const fn unbuilt(name: &'static str, syntax: &'static str) -> Self {
        Self {
            name,
            syntax,
            offered: true,
            reads: false,
            writes: false,
            deletes: false,
            wants_root: false,
            lists_tags: false,
            parse: None,
            instead: None,
        }
    }
}

/// All transports by name, the unbuilt ones included.
pub static TRANSPORTS: [Transport; 11] = [
    Transport {
        offered: false,
        reads: true,
        writes: true,
        parse: Some(|details| Ok(ImageName::Atomic(AtomicName::parse(details)?))),
        ..Transport::unbuilt("atomic", "HOST[:PORT]/NAMESPACE/STREAM:TAG")
    },
    Transport {
        reads: true,
        writes: true,
        deletes: true,
        wants_root: true,
        parse: if storage::IS_BUILT { Some(parse_storage) } else { None },
        instead: storage::INSTEAD,
        ..Transport::unbuilt("containers-storage", "[STORE]{REFERENCE | @ID}")
    },
    Transport {
        reads: true,
        writes: true,
        parse: Some(|details| Ok(ImageName::Dir(DirName::parse(details)?))),
        ..Transport::unbuilt("dir", "PATH")
    },
    Transport {
        reads: true,
        writes: true,
        deletes: true,
        lists_tags: true,
        parse: Some(|details| Ok(ImageName::Docker(DockerName::parse(details)?))),
        ..Transport::unbuilt("docker", "//REFERENCE")
    },
    Transport {
        reads: true,
        writes: true,
        lists_tags: true,
        parse: Some(|details| Ok(ImageName::DockerArchive(DockerArchiveName::parse(details)?))),
        ..Transport::unbuilt("docker-archive", "PATH[:REFERENCE | :@INDEX]")
    },
    Transport {
        reads: true,
        writes: true,
        parse: Some(|details| Ok(ImageName::DockerDaemon(DaemonName::parse(details)?))),
        ..Transport::unbuilt("docker-daemon", "{REFERENCE | sha256:ID}")
    },
    Transport {
        reads: true,
        writes: true,
        deletes: true,
        lists_tags: true,
        parse: Some(|details| {
            if bucket::is_meant(details) {
                Ok(ImageName::Bucket(BucketName::parse(details)?))
            } else {
                Ok(ImageName::Oci(LayoutName::parse(details)?))
            }
        }),
        ..Transport::unbuilt("oci", "{PATH | BUCKET_URL}[:REFERENCE | :@INDEX]")
    },
    Transport {
        reads: true,
        writes: true,
        lists_tags: true,
        parse: Some(|details| Ok(ImageName::OciArchive(ArchiveName::parse(details)?))),
        ..Transport::unbuilt("oci-archive", "PATH[:REFERENCE | :@INDEX]")
    },
    Transport {
        offered: false,
        instead: Some(
            "skopeo no longer supports it; write the commit to a tar with `ostree export`, and use tarball:FILE",
        ),
        ..Transport::unbuilt("ostree", "REFERENCE[@PATH]")
    },
    Transport {
        reads: true,
        parse: Some(|details| Ok(ImageName::Sif(SifName::parse(details)?))),
        ..Transport::unbuilt("sif", "PATH")
    },
    Transport {
        reads: true,
        parse: Some(|details| Ok(ImageName::Tarball(TarballName::parse(details)?))),
        ..Transport::unbuilt("tarball", "{FILE | -}[:FILE...]")
    },
];

fn parse_storage(details: &str) -> Result<ImageName, NameError> {
    Ok(ImageName::Storage(StorageName::parse(details)?))
}

impl ImageName {
    /// Parses `transport:details`. Names of places in the file system are resolved to absolute
    /// paths without links here, so their parent folder must exist.
    ///
    /// # Errors
    /// In the original's words, without the name they are about where it does not say it either.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (transport, details) =
            text.split_once(':').ok_or_else(|| NameError::NoTransport(text.to_owned()))?;
        let entry = find(transport).ok_or_else(|| NameError::UnknownTransport {
            name: text.to_owned(),
            transport: transport.to_owned(),
        })?;
        let parse = entry
            .parse
            .ok_or(NameError::NotBuilt { transport: entry.name, instead: entry.instead })?;
        parse(details)
    }
}

/// Returns the transports that help and completion offer, by name.
pub fn offered() -> impl Iterator<Item = &'static Transport> {
    TRANSPORTS.iter().filter(|transport| transport.offered && transport.is_built())
}

/// Returns the transport of that name, built or not.
#[must_use]
pub fn find(name: &str) -> Option<&'static Transport> {
    TRANSPORTS.iter().find(|transport| transport.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sorted_and_offers_what_is_built() {
        assert!(TRANSPORTS.is_sorted_by_key(|transport| transport.name));
        assert!(offered().all(|transport| transport.reads && transport.instead.is_none()));
        let gone = find("ostree").unwrap();
        assert!(!gone.is_built() && !gone.offered && gone.instead.is_some());
        let old = find("atomic").unwrap();
        assert!(old.is_built() && !old.offered && old.instead.is_none());
    }
}
