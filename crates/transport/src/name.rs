//! Names of images: what the user typed, parsed.

use std::fmt;
use std::path::Path;

use skopeo_image::{Classify, ErrorClass, PolicyScope, Reference};

use crate::atomic::{AtomicName, AtomicNameError};
use crate::dir::DirName;
use crate::docker_tar::{DaemonName, DaemonNameError, DockerArchiveName, DockerArchiveNameError};
use crate::layout::{ArchiveName, BucketName, LayoutName, LayoutNameError};
use crate::named::Name;
use crate::paths::PathError;
use crate::registry::{DockerName, DockerNameError};
use crate::storage::{StorageName, StorageNameError};
use crate::synthetic::{SifName, TarballName, TarballNameError};

/// The name of an image, or of a place for one: `transport:details`.
///
/// Printing gives a name that parses to the same value, as the user typed it where nothing had to
/// be filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageName {
    /// `docker://REFERENCE`.
    Docker(DockerName),
    /// `dir:PATH`.
    Dir(DirName),
    /// `oci:PATH[:REFERENCE]`.
    Oci(LayoutName),
    /// `oci:s3://BUCKET/PREFIX[:REFERENCE]`, and `gs://`, `az://`.
    Bucket(BucketName),
    /// `sif:PATH`.
    Sif(SifName),
    /// `docker-archive:PATH[:REFERENCE]`.
    DockerArchive(DockerArchiveName),
    /// `oci-archive:PATH[:REFERENCE]`.
    OciArchive(ArchiveName),
    /// `docker-daemon:NAME:TAG`, `docker-daemon:sha256:ID`.
    DockerDaemon(DaemonName),
    /// `tarball:FILE[:FILE...]`.
    Tarball(TarballName),
    /// `containers-storage:[STORE]{REFERENCE|@ID}`.
    Storage(StorageName),
    /// `atomic:HOST[:PORT]/NAMESPACE/STREAM:TAG`.
    Atomic(AtomicName),
}

impl ImageName {
    /// Parses the name of a repository whose tags are to be listed: `docker://REPOSITORY`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), or if there is a tag or a digest.
    pub fn parse_repository(text: &str) -> Result<Self, NameError> {
        Ok(Self::Docker(DockerName::parse_repository(text)?))
    }

    /// Returns the name of the image of this reference, which has a tag or a digest, in its
    /// registry.
    ///
    /// # Errors
    /// If it has neither, or both.
    pub fn docker(reference: Reference) -> Result<Self, NameError> {
        Ok(Self::Docker(DockerName::of(reference)?))
    }

    /// Returns the reference inside, where the name is one.
    #[must_use]
    pub fn docker_reference(&self) -> Option<&Reference> {
        self.inner().docker_reference()
    }

    /// Returns the name of the transport, without the colon.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        self.inner().transport()
    }

    /// Returns what `policy.json` is asked about.
    #[must_use]
    pub fn policy_scope(&self) -> PolicyScope {
        PolicyScope { name: self.to_string(), ..self.inner().policy_scope() }
    }

    /// The one match that all names are equal behind.
    fn inner(&self) -> &dyn Name {
        match self {
            Self::Docker(name) => name,
            Self::Dir(name) => name,
            Self::Oci(name) => name,
            Self::Bucket(name) => name,
            Self::Sif(name) => name,
            Self::DockerArchive(name) => name,
            Self::OciArchive(name) => name,
            Self::DockerDaemon(name) => name,
            Self::Tarball(name) => name,
            Self::Storage(name) => name,
            Self::Atomic(name) => name,
        }
    }

    /// Returns whether it names something in a registry, where others have tags beside it.
    #[must_use]
    pub fn is_in_registry(&self) -> bool {
        self.docker_name().is_some()
    }

    /// Returns whether what is written there is our own standard output, so that nothing else may
    /// be.
    #[must_use]
    pub fn is_stdout(&self) -> bool {
        self.inner().file().is_some_and(|path| {
            ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|it| Path::new(it) == path)
        })
    }

    /// Returns whether a copy to it that was cut short leaves there what the next one need not
    /// copy.
    #[must_use]
    pub fn keeps_what_came(&self) -> bool {
        matches!(
            self,
            Self::Docker(_) | Self::Atomic(_) | Self::Dir(_) | Self::Oci(_) | Self::Bucket(_)
        )
    }

    pub(crate) fn docker_name(&self) -> Option<&DockerName> {
        match self {
            Self::Docker(name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport(), self.inner())
    }
}

/// Why a text is not the name of an image: no transport is meant, or the transport refuses the
/// rest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text has no colon.
    #[error("Invalid image name {0:?}, expected colon-separated transport:reference")]
    NoTransport(String),
    /// The text before the colon is not the name of a transport.
    #[error("Invalid image name {name:?}, unknown transport {transport:?}")]
    UnknownTransport {
        /// The whole name.
        name: String,
        /// What stands before its colon.
        transport: String,
    },
    /// The transport exists, but not in this program.
    #[error("The transport \"{transport}:\" is not supported in this build")]
    NotBuilt {
        /// Its name.
        transport: &'static str,
        /// Why, and what to use instead.
        instead: Option<&'static str>,
    },
    /// The text does not name an image in a registry.
    #[error(transparent)]
    Docker(#[from] DockerNameError),
    /// The path cannot be the path of an image.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The text does not name an image in a layout.
    #[error(transparent)]
    Layout(#[from] LayoutNameError),
    /// The text does not name an image in a docker archive.
    #[error(transparent)]
    DockerArchive(#[from] DockerArchiveNameError),
    /// The text does not name an image of a daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonNameError),
    /// The text does not name an image in a store of podman.
    #[error(transparent)]
    Storage(#[from] StorageNameError),
    /// The text does not name an image of a stream.
    #[error(transparent)]
    Atomic(#[from] AtomicNameError),
    /// A file that an image is to be made of cannot be opened.
    #[error(transparent)]
    Tarball(#[from] TarballNameError),
}

impl Classify for NameError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotBuilt { instead, .. } => instead.map(str::to_owned),
            Self::NoTransport(text) | Self::UnknownTransport { name: text, .. } => meant(text),
            Self::Docker(error) => error.hint(),
            _ => None,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::NotBuilt { .. } => Some(ErrorClass::Unsupported),
            Self::Path(error) => error.class(),
            Self::Layout(error) => error.class(),
            Self::NoTransport(_)
            | Self::UnknownTransport { .. }
            | Self::Docker(_)
            | Self::DockerArchive(_)
            | Self::Daemon(_)
            | Self::Storage(_)
            | Self::Atomic(_)
            | Self::Tarball(_) => Some(ErrorClass::InvalidInput),
        }
    }
}

/// What somebody may have meant who named no transport.
fn meant(text: &str) -> Option<String> {
    let schemes = ["https://", "http://"];
    if let Some(reference) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) {
        let reference = reference.trim_start_matches("v2/").trim_end_matches('/');
        return is_reference(reference)
            .then(|| format!("use docker://{reference} for an image in a registry"));
    }
    let path = Path::new(text);
    let is_path = text.starts_with(['/', '.']);
    match fs_err::metadata(path) {
        Ok(found) if found.is_file() => {
            Some(format!("use docker-archive:{text} or oci-archive:{text} for a file"))
        }
        Ok(found) if found.is_dir() && path.join("oci-layout").exists() => {
            Some(format!("use oci:{text} for an OCI layout"))
        }
        Ok(found) if found.is_dir() && path.join("manifest.json").exists() => {
            Some(format!("use dir:{text} for an image in a folder"))
        }
        _ if is_reference(text) => Some(format!(
            "use docker://{text} for an image in a registry, oci:PATH or dir:PATH for one in a folder"
        )),
        _ if is_path => Some(format!("use oci:{text} or dir:{text} for an image in a folder")),
        _ => None,
    }
}

fn is_reference(text: &str) -> bool {
    Reference::parse_normalized(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_in_the_originals_words() {
        for (text, sentence) in [
            (
                "alpine",
                "Invalid image name \"alpine\", expected colon-separated transport:reference",
            ),
            ("", "Invalid image name \"\", expected colon-separated transport:reference"),
            ("nope:x", "Invalid image name \"nope:x\", unknown transport \"nope\""),
            ("ostree:x", "The transport \"ostree:\" is not supported in this build"),
            ("sif:/nope/nope/x", "lstat /nope: no such file or directory"),
            ("dir:/nope/nope/x", "lstat /nope: no such file or directory"),
            ("oci:/tmp:in'valid", "Invalid image in'valid"),
            ("oci:/tmp:@-3", "Invalid source index @-3: must not be negative"),
            ("oci:/tmp:@x", "Invalid source index @x: not an integer"),
            ("oci-archive:/tmp/x:in'valid", "Invalid image in'valid"),
            ("oci-archive:/nope/x.tar", "lstat /nope: no such file or directory"),
        ] {
            assert_eq!(ImageName::parse(text).unwrap_err().to_string(), sentence, "{text}");
        }
    }

    #[test]
    fn prints_what_it_parsed() {
        for (text, printed) in [
            ("dir:/tmp", "dir:/tmp"),
            ("dir:relative", "dir:relative"),
            ("oci:/tmp", "oci:/tmp:"),
            ("oci:/tmp:", "oci:/tmp:"),
            ("oci:/tmp:a/b:c@d--e", "oci:/tmp:a/b:c@d--e"),
            ("oci:./target:centos:7.5.1804", "oci:./target:centos:7.5.1804"),
            ("oci:/tmp:@12", "oci:/tmp:@12"),
            ("oci-archive:/tmp/x.tar", "oci-archive:/tmp/x.tar:"),
            ("oci-archive:/tmp/x.tar:a/b:c", "oci-archive:/tmp/x.tar:a/b:c"),
            ("oci-archive:/tmp/x.tar:@0", "oci-archive:/tmp/x.tar:@0"),
        ] {
            let name = ImageName::parse(text).unwrap();
            assert_eq!(name.to_string(), printed);
            assert_eq!(ImageName::parse(printed).unwrap(), name);
        }
    }

    #[test]
    fn resolves_paths_for_policies() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().canonicalize().unwrap();
        let root = root.to_str().unwrap();
        fs_err::create_dir(tmp.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", tmp.path().join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", tmp.path().join("dangling")).unwrap();

        for (details, resolved) in [
            ("real", Some("real")),
            ("link", Some("real")),
            ("link/../real/./missing", Some("real/missing")),
            ("missing", Some("missing")),
            ("missing/", None),
            ("missing/deeper", None),
            ("dangling", None),
        ] {
            let name = ImageName::parse(&format!("dir:{root}/{details}"));
            let Some(resolved) = resolved else {
                assert!(name.is_err(), "{details}");
                continue;
            };
            let scope = name.unwrap().policy_scope();
            assert_eq!(scope.identity, format!("{root}/{resolved}"), "{details}");
        }
    }

    #[test]
    fn scopes_widen_to_the_root_but_do_not_reach_it() {
        let dir = ImageName::parse("dir:/").unwrap().policy_scope();
        assert_eq!((dir.identity.as_str(), dir.namespaces.len()), ("/", 0));
        // A layout's own folder is both.
        let oci = ImageName::parse("oci:/usr/lib:x").unwrap().policy_scope();
        assert_eq!((oci.transport, oci.identity.as_str()), ("oci", oci.namespaces[0].as_str()));
        let archive = ImageName::parse("oci-archive:/usr/lib:x").unwrap().policy_scope();
        assert_eq!(archive.transport, "oci-archive");
        assert_eq!((&archive.identity, &archive.namespaces), (&oci.identity, &oci.namespaces));
    }
}
