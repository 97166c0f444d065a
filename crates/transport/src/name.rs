//! Names of images: what the user typed, parsed.

use std::fmt;
use std::io;
use std::path::Path;

use skopeo_blob::FileError;
use skopeo_image::{Classify, ErrorClass, PolicyScope, Reference, ReferenceError};

use crate::atomic::AtomicName;
use crate::dir::DirName;
use crate::docker_tar::{DaemonName, DockerArchiveName};
use crate::layout::{ArchiveName, BucketName, LayoutName};
use crate::registry::DockerName;
use crate::storage::{StorageName, StorageNameError};
use crate::synthetic::{SifName, TarballName};
use crate::table;

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
    /// Parses `transport:details`. Names of places in the file system are resolved to absolute
    /// paths without links here, so their parent folder must exist.
    ///
    /// # Errors
    /// In the original's words, without the name they are about where it does not say it either.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (transport, details) =
            text.split_once(':').ok_or_else(|| NameError::NoTransport(text.to_owned()))?;
        let entry = table::find(transport).ok_or_else(|| NameError::UnknownTransport {
            name: text.to_owned(),
            transport: transport.to_owned(),
        })?;
        let parse = entry.parse.ok_or(NameError::NotBuilt(entry.name))?;
        parse(details)
    }

    /// Parses the name of a repository whose tags are to be listed: `docker://REPOSITORY`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), or if there is a tag or a digest.
    pub fn parse_repository(text: &str) -> Result<Self, NameError> {
        DockerName::parse_repository(text).map(Self::Docker)
    }

    /// The name of the image of this reference, which has a tag or a digest, in its registry.
    ///
    /// # Errors
    /// If it has neither, or both.
    pub fn docker(reference: Reference) -> Result<Self, NameError> {
        DockerName::of(reference).map(Self::Docker)
    }

    /// The reference inside, where the name is one.
    #[must_use]
    pub fn docker_reference(&self) -> Option<&Reference> {
        self.inner().docker_reference()
    }

    /// The name of the transport, without the colon.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        self.inner().transport()
    }

    /// What `policy.json` is asked about.
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

    /// Whether it names something in a registry, where others have tags beside it.
    #[must_use]
    pub fn is_in_registry(&self) -> bool {
        self.docker_name().is_some()
    }

    /// Whether what is written there is our own standard output, so that nothing else may be.
    #[must_use]
    pub fn is_stdout(&self) -> bool {
        self.inner().file().is_some_and(|path| {
            ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|it| Path::new(it) == path)
        })
    }

    /// Whether a copy to it that was cut short leaves there what the next one need not copy.
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

/// Parses what stands behind the colon.
pub(crate) type Parse = fn(&str) -> Result<ImageName, NameError>;

/// What the name of every transport can do. It prints what stands behind the colon.
pub(crate) trait Name: fmt::Display {
    /// What stands before the colon.
    fn transport(&self) -> &'static str;

    /// What `policy.json` is asked about; the name for errors is filled in by [`ImageName`].
    fn policy_scope(&self) -> PolicyScope;

    /// The one file that is written, where that is all there is.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// The docker reference inside, where the name is one or has one.
    fn docker_reference(&self) -> Option<&Reference> {
        None
    }
}

/// Why a text is no name of an image.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// There is no colon.
    #[error("Invalid image name {0:?}, expected colon-separated transport:reference")]
    NoTransport(String),
    /// Nobody knows what stands before the colon.
    #[error("Invalid image name {name:?}, unknown transport {transport:?}")]
    UnknownTransport {
        /// The whole name.
        name: String,
        /// What stands before its colon.
        transport: String,
    },
    /// The transport exists, but not in this program.
    #[error("The transport \"{0}:\" is not supported in this build")]
    NotBuilt(&'static str),
    /// What should name an image of a stream is no reference.
    #[error("failed to parse image reference {text:?}")]
    AtomicReference {
        /// What stands behind the colon.
        text: String,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// An image of a stream has a tag, and no digest.
    #[error("invalid image reference {0}, expected format: 'hostname/namespace/stream:tag'")]
    AtomicTag(String),
    /// A stream is in a namespace, and in nothing else.
    #[error("invalid image reference: {0}, expected format: 'hostname/namespace/stream:tag'")]
    AtomicPath(String),
    /// The slashes are missing.
    #[error("docker: image reference {0} does not start with //")]
    NoSlashes(String),
    /// What should name a repository names something else.
    #[error("docker: image reference {0} does not start with docker://")]
    NotARepository(String),
    /// A repository has neither.
    #[error("No tag or digest allowed in reference")]
    TagOrDigestOfRepository,
    /// The reference is outside the grammar.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A digest that is not known yet, of something that is named already.
    #[error(
        "docker: image reference {0:?} has unknown digest set but it contains either a tag or digest"
    )]
    UnknownDigestOfKnown(String),
    /// One is needed.
    #[error("Docker reference {0} is not for an unknown digest case; tag or digest is needed")]
    NeitherTagNorDigest(String),
    /// No name of an image in a store of podman.
    #[error(transparent)]
    Storage(StorageNameError),
    /// No place in an object store.
    #[cfg(feature = "object-stores")]
    #[error(transparent)]
    Bucket(#[from] skopeo_objects::UrlError),
    /// The program was built without object stores.
    #[cfg(not(feature = "object-stores"))]
    #[error("{0}")]
    BucketNotBuilt(String),
    /// The path leads nowhere.
    #[error(transparent)]
    Path(FileError),
    /// A file that an image is to be made of cannot be opened.
    #[error("error opening {path:?}")]
    Opening {
        /// The file as it was named.
        path: String,
        /// What the system said.
        #[source]
        source: FileError,
    },
    /// The path leads to where a name has no letters.
    #[error("path {0} is not UTF-8")]
    NotUtf8(String),
    /// The path ends in a name that cannot be one.
    #[error("Unexpectedly missing special filename component in {0}")]
    SpecialFile(String),
    /// A docker archive's name has at least a path.
    #[error("docker-archive reference {0} isn't of the form <path>[:<reference>]")]
    DockerArchive(String),
    /// What follows the path of a docker archive is no reference.
    #[error("docker-archive parsing reference")]
    DockerArchiveReference(#[source] ReferenceError),
    /// Nor one to a digest: archives have no manifests.
    #[error("docker-archive doesn't support digest references: {0}")]
    DockerArchiveDigest(String),
    /// The same, where there is no tag beside it.
    #[error("reference does not include a tag: {0}")]
    NoTag(String),
    /// A daemon's images have sha256 digests for their IDs.
    #[error("Invalid docker-daemon: reference {0}: only digest algorithm sha256 accepted")]
    DaemonId(String),
    /// What looks like the ID of an image but is none.
    #[error(
        "Invalid docker-daemon: reference {0}: The sha256 repository name is reserved for \
         (non-shortened) digest references"
    )]
    DaemonReserved(String),
    /// A name without tag and digest is all images of that name.
    #[error("docker-daemon: reference {0} has neither a tag nor a digest")]
    DaemonNameOnly(String),
    /// Daemons cannot be asked for both at once.
    #[error("docker-daemon: references with both a tag and digest are currently not supported")]
    DaemonTagAndDigest,
    /// A reference inside a layout that the OCI grammar does not have.
    #[error("Invalid image {0}")]
    LayoutReference(String),
    /// A path that the names of its transport cannot have.
    #[error("path {0:?} has a colon, where the path ends in names of images in it")]
    Colon(String),
    /// `@` in a layout's name must be followed by a number.
    #[error("Invalid source index @{text}: not an integer")]
    IndexNotInteger {
        /// What followed.
        text: String,
        /// What is wrong with it.
        #[source]
        source: std::num::ParseIntError,
    },
    /// Counting begins at 0.
    #[error("Invalid source index @{0}: must not be negative")]
    IndexNegative(i64),
}

impl Classify for NameError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotBuilt(transport) => table::find(transport)?.instead.map(str::to_owned),
            Self::NoTransport(text) | Self::UnknownTransport { name: text, .. } => meant(text),
            Self::NoSlashes(text) => {
                let reference = text.trim_start_matches('/');
                is_reference(reference).then(|| format!("write docker://{reference}"))
            }
            Self::NotARepository(text) => {
                let reference = text.strip_prefix("//").unwrap_or(text);
                is_reference(reference).then(|| format!("write docker://{reference}"))
            }
            Self::TagOrDigestOfRepository => Some(
                "leave out the tag or digest: this must be the name of a repository".to_owned(),
            ),
            _ => None,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::NotBuilt(_) => Some(ErrorClass::Unsupported),
            Self::Path(error) => error.class().or(Some(ErrorClass::InvalidInput)),
            Self::Storage(_)
            | Self::NoTransport(_)
            | Self::UnknownTransport { .. }
            | Self::AtomicReference { .. }
            | Self::AtomicTag(_)
            | Self::AtomicPath(_)
            | Self::NoSlashes(_)
            | Self::NotARepository(_)
            | Self::TagOrDigestOfRepository
            | Self::Reference(_)
            | Self::UnknownDigestOfKnown(_)
            | Self::NeitherTagNorDigest(_)
            | Self::Opening { .. }
            | Self::NotUtf8(_)
            | Self::SpecialFile(_)
            | Self::DockerArchive(_)
            | Self::DockerArchiveReference(_)
            | Self::DockerArchiveDigest(_)
            | Self::NoTag(_)
            | Self::DaemonId(_)
            | Self::DaemonReserved(_)
            | Self::DaemonNameOnly(_)
            | Self::DaemonTagAndDigest
            | Self::LayoutReference(_)
            | Self::Colon(_)
            | Self::IndexNotInteger { .. }
            | Self::IndexNegative(_) => Some(ErrorClass::InvalidInput),
            #[cfg(feature = "object-stores")]
            Self::Bucket(_) => Some(ErrorClass::InvalidInput),
            #[cfg(not(feature = "object-stores"))]
            Self::BucketNotBuilt(_) => Some(ErrorClass::Unsupported),
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

impl From<io::Error> for NameError {
    fn from(error: io::Error) -> Self {
        Self::Path(error.into())
    }
}

/// The path at the beginning of what stands behind the colon, and what follows the next colon. On
/// Windows, the colon behind the letter of a drive belongs to the path.
pub(crate) fn split_path(details: &str) -> (&str, Option<&str>) {
    let from = if cfg!(windows) { drive(details) } else { 0 };
    let colon = details.get(from..).and_then(|rest| rest.find(':'));
    let parts = colon.and_then(|at| details.split_at_checked(at.checked_add(from)?));
    parts.map_or((details, None), |(path, rest)| (path, rest.strip_prefix(':')))
}

/// How long the name of a drive is that a path begins with, as `C:` does before a slash of either kind.
fn drive(path: &str) -> usize {
    match path.as_bytes() {
        [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic() => 2,
        _ => 0,
    }
}

/// The absolute path without links that a path typed by the user leads to. All of it must exist,
/// except that the last part may be missing.
pub(crate) fn resolve(path: &str) -> Result<String, NameError> {
    match fs_err::symlink_metadata(path) {
        Ok(_) => match canonical(path) {
            // A link of the system's to what has no path: a pipe on standard input.
            Err(_) if fs_err::metadata(path).is_ok() => above(path),
            resolved => resolved,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => above(path),
        Err(error) => Err(error.into()),
    }
}

/// The path with all above its last part resolved.
fn above(path: &str) -> Result<String, NameError> {
    let (parent, file) = path
        .rsplit_once(is_slash)
        .map_or(("", path), |(parent, file)| (if parent.is_empty() { "/" } else { parent }, file));
    let parent = canonical(parent)?;
    match file {
        "." | ".." => Err(NameError::SpecialFile(path.to_owned())),
        "" => Ok(parent),
        _ if parent == "/" => Ok(format!("/{file}")),
        _ => Ok(format!("{parent}/{file}")),
    }
}

fn canonical(path: &str) -> Result<String, NameError> {
    let path = Path::new(if path.is_empty() { "." } else { path });
    let path = fs_err::canonicalize(path).map_err(|error| culprit(path, error))?;
    let path = path.into_os_string().into_string();
    let path = path.map_err(|path| NameError::NotUtf8(path.display().to_string()))?;
    Ok(if cfg!(windows) { plain(path) } else { path })
}

/// A path of Windows as users write it: its own form takes no slashes, and is not needed for short ones.
fn plain(path: String) -> String {
    let short = path.strip_prefix(r"\\?\").filter(|short| drive(short) > 0 && short.len() < 250);
    short.map(str::to_owned).unwrap_or(path)
}

/// Whether a letter parts folders.
fn is_slash(letter: char) -> bool {
    letter == '/' || cfg!(windows) && letter == '\\'
}

/// The error of the first part of the path that has one: which of them it was is worth knowing. A
/// link that leads nowhere is there; what it leads to is not.
fn culprit(path: &Path, error: io::Error) -> io::Error {
    let Ok(mut path) = std::path::absolute(path) else { return error };
    for _ in 0..MOST_LINKS {
        let mut parts: Vec<&Path> = path.ancestors().collect();
        parts.reverse();
        if let Some(error) = parts.iter().find_map(|part| fs_err::symlink_metadata(part).err()) {
            return error;
        }
        let broken = parts.into_iter().find(|part| !part.exists());
        let leads = broken.and_then(|link| Some(link.parent()?.join(link.read_link().ok()?)));
        let Some(target) = leads else { break };
        path = target;
    }
    error
}

/// How many links in a row are followed to what is missing; the kernel's limit.
const MOST_LINKS: usize = 40;

/// All folders above a path except the root, nearest first.
pub(crate) fn parents(path: &str) -> Vec<String> {
    let mut parents = Vec::new();
    let mut path = path;
    while let Some(slash) = path.rfind(is_slash).filter(|slash| *slash > 0) {
        path = &path[..slash];
        parents.push(path.to_owned());
    }
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_of_windows_are_known() {
        for (path, length) in
            [(r"C:\x:y", 2), ("c:/x", 2), ("C:", 0), ("C:x", 0), ("/C:/x", 0), ("", 0), ("1:/x", 0)]
        {
            assert_eq!(drive(path), length, "{path}");
        }
        for (path, shown) in
            [(r"\\?\C:\x", r"C:\x"), (r"\\?\UNC\server\x", r"\\?\UNC\server\x"), (r"C:\x", r"C:\x")]
        {
            assert_eq!(plain(path.to_owned()), shown);
        }
        let long = format!(r"\\?\C:\{}", "x".repeat(300));
        assert_eq!(plain(long.clone()), long);
    }

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
        assert_eq!(parents("/a/b/c"), ["/a/b", "/a"]);
        assert_eq!(parents("/a"), [""; 0]);
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
