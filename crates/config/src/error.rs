//! What can go wrong while reading or writing configuration.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use skopeo_image::{Classify, ErrorClass};

/// An error of this machine's configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used.
    #[error("{operation} {}", path.display())]
    File {
        /// What was done, as the system call's name: `open`, `read`, `write`, `mkdir`, `rename`.
        operation: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why it did not work.
        #[source]
        source: Reason,
    },
    /// The context of another error: what was being done.
    #[error("{doing}")]
    While {
        /// In the gerund.
        doing: String,
        /// What went wrong.
        #[source]
        source: Box<Self>,
    },
    /// A file is no TOML, or has a value of a wrong type.
    #[error("{0}")]
    Toml(String),
    /// A file is no JSON, or has a value of a wrong type.
    #[error("unmarshaling JSON at {path:?}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: JsonReason,
    },
    /// A file is no YAML, or has a value of a wrong type.
    #[error("parsing {}: {reason}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// A value is well formed but not allowed.
    #[error("{0}")]
    Invalid(String),
    /// registries.conf forbids this registry.
    #[error("registry {prefix} is blocked in one of {sources}")]
    Blocked {
        /// The prefix of the entry that blocks.
        prefix: String,
        /// The files the configuration came from.
        sources: String,
    },
    /// There is no trust policy.
    #[error("config file not found: no policy.json file found; searched paths: [{}]", quoted(.0))]
    NoPolicy(Vec<PathBuf>),
    /// A credential helper did not do what it was asked.
    #[error("error {action} credentials - err: {status}, out: `{output}`")]
    Helper {
        /// `getting`, `storing`, `erasing` or `listing`.
        action: &'static str,
        /// How the program ended.
        status: String,
        /// What it said.
        output: String,
    },
    /// Several sources of credentials failed.
    #[error("{0}")]
    Several(String),
    /// A link on the way to what is to be written, made by who may not decide where that is.
    #[error(
        "not following the link {}: user {owner} made it in {}, where everybody may make links",
        link.display(),
        folder.display()
    )]
    ForeignLink {
        /// The link.
        link: PathBuf,
        /// The number of the user.
        owner: u32,
        /// The folder that the link is in.
        folder: PathBuf,
    },
    /// A storage driver that this program does not have.
    #[error("storage driver {driver:?} is not supported: this program supports overlay and vfs")]
    StorageDriver {
        /// Its name.
        driver: String,
    },
    /// A store with the folders of several drivers, and nobody has said which is meant.
    #[error(
        "{} contains several valid graphdrivers: {}; Please cleanup or explicitly choose storage \
         driver (-s <DRIVER>)",
        graph_root.display(),
        drivers.join(", ")
    )]
    StorageDrivers {
        /// The folder of the store.
        graph_root: PathBuf,
        /// Their names.
        drivers: Vec<&'static str>,
    },
    /// A file system on which the layers of a store could not be mounted.
    #[error(
        "'overlay' is not supported over {file_system}, a mount_program is required: backing file \
         system is unsupported for this graph driver"
    )]
    BackingFileSystem {
        /// Its name.
        file_system: &'static str,
    },
    /// There are no credentials to remove or show.
    #[error("not logged into {0}")]
    NotLoggedIn(String),
}

impl Error {
    /// Returns whether a file that was named does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::File { source, .. } => source.0.kind() == io::ErrorKind::NotFound,
            Self::While { source, .. } => source.is_not_found(),
            _ => false,
        }
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::While { source, .. } => source.advice(),
            Self::NoPolicy(_) => Some(
                "write {\"default\": [{\"type\": \"insecureAcceptAnything\"}]} to \
                 ~/.config/containers/policy.json to accept every image, or use --insecure-policy for this command only",
            ),
            Self::StorageDriver { .. } => Some(
                "copy such images with the program that wrote them: use podman save or buildah push to oci-archive:FILE, and then copy this file",
            ),
            Self::StorageDrivers { .. } => Some(
                "set driver in storage.conf or STORAGE_DRIVER=vfs, or name the store as containers-storage:[DRIVER@/FOLDER]NAME; `podman info` shows the driver of podman",
            ),
            Self::BackingFileSystem { .. } => Some(
                "use a store on another file system, such as containers-storage:[overlay@/FOLDER]NAME; \
                 or write mount_program = \"/usr/bin/fuse-overlayfs\" to storage.conf",
            ),
            Self::ForeignLink { .. } => Some(
                "the link may lead to a file that must not be overwritten; use a file in your own folder, or the target of the link",
            ),
            _ => None,
        }
    }

    /// Whether a file or a folder on the way to it may not be read by this user.
    pub(crate) fn is_permission_denied(&self) -> bool {
        match self {
            Self::File { source, .. } => source.0.kind() == io::ErrorKind::PermissionDenied,
            Self::While { source, .. } => source.is_permission_denied(),
            _ => false,
        }
    }

    pub(crate) fn file(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { operation, path: path.to_owned(), source: Reason(source) }
    }

    pub(crate) fn during(self, doing: impl Into<String>) -> Self {
        Self::While { doing: doing.into(), source: Box::new(self) }
    }

    /// The whole chain in one line, for errors that are gathered in a text.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(source) = next {
            text.push_str(": ");
            text.push_str(&source.to_string());
            next = source.source();
        }
        text
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::While { source, .. } => return source.class(),
            Self::Blocked { .. } => ErrorClass::RejectedByPolicy,
            Self::NotLoggedIn(_) => ErrorClass::Unauthorized,
            Self::ForeignLink { .. } => ErrorClass::Denied,
            Self::StorageDriver { .. } | Self::BackingFileSystem { .. } => ErrorClass::Unsupported,
            Self::File { source, .. } if source.0.kind() == io::ErrorKind::StorageFull => {
                ErrorClass::DiskFull
            }
            Self::File { .. }
            | Self::Toml(_)
            | Self::Json { .. }
            | Self::Yaml { .. }
            | Self::Invalid(_)
            | Self::NoPolicy(_)
            | Self::Helper { .. }
            | Self::Several(_)
            | Self::StorageDrivers { .. } => ErrorClass::Configuration,
        })
    }

    fn hint(&self) -> Option<String> {
        self.advice().map(str::to_owned)
    }
}

/// Why the system refused, in the words that C and Go use for it.
#[derive(Debug)]
pub struct Reason(io::Error);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path is in the error around this one; fs_err would say it again.
        let text = self.0.to_string();
        let text = text.rsplit_once("`: ").map_or(text.as_str(), |(_, reason)| reason);
        let Some((said, _)) = text.split_once(" (os error ") else { return f.write_str(text) };
        let mut characters = said.chars();
        if let Some(first) = characters.next() {
            write!(f, "{}", first.to_lowercase())?;
        }
        f.write_str(characters.as_str())
    }
}

impl std::error::Error for Reason {}

/// What is wrong with JSON. Where it ends too early, in Go's words.
pub struct JsonReason(serde_json::Error);

impl fmt::Debug for JsonReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonReason({self})")
    }
}

impl From<serde_json::Error> for JsonReason {
    fn from(error: serde_json::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for JsonReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_eof() {
            return f.write_str("unexpected end of JSON input");
        }
        f.write_str(&without_value(&self.0.to_string()))
    }
}

impl std::error::Error for JsonReason {}

/// `invalid type: string "secret", expected X` as `invalid type: string, expected X`: these files
/// are full of secrets.
fn without_value(text: &str) -> String {
    let told = text.split_once(": ").filter(|(kind, _)| kind.starts_with("invalid "));
    let Some((kind, (found, expected))) =
        told.and_then(|(kind, rest)| Some((kind, rest.rsplit_once(", expected ")?)))
    else {
        return text.to_owned();
    };
    let found = found.split(['"', '`']).next().unwrap_or_default().trim_end();
    format!("{kind}: {found}, expected {expected}")
}

fn quoted(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("{path:?}")).collect::<Vec<_>>().join(" ")
}
