//! `dir:`: one image in a folder, its files named by their digests.
//!
//! `version` says the format; `manifest.json` is the image, or the list, and
//! `HEX.manifest.json` the instances of the list; a blob's file has the hexadecimal part of its
//! digest as its name; signatures are `signature-1`, `HEX.signature-1` and so on. Where a digest is
//! not sha256, `HEX` is `ALGORITHM-HEX` and the format is 1.2 instead of 1.1.

mod destination;
mod error;
mod pool;
mod removal;
mod source;
mod version;
mod whole;

use std::fmt;
use std::path::{Path, PathBuf};

use skopeo_image::{Algorithm, Digest, PolicyScope, Which};

use crate::Error;
use crate::named::Name;
use crate::paths::{PathError, parents, resolve};

pub(crate) use destination::{create, create_in, look};
pub use error::DirError;
pub(crate) use pool::Pool;
pub(crate) use removal::{digest, is_image, remove};
pub(crate) use source::open;

/// The path of a `dir:` image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DirName {
    path: String,
    resolved: String,
}

impl DirName {
    /// Parses what stands behind the colon, a path.
    pub(crate) fn parse(details: &str) -> Result<Self, PathError> {
        Ok(Self { path: details.to_owned(), resolved: resolve(details)? })
    }

    /// The name of a folder of which those above may be missing, too.
    pub(crate) fn below(path: &str) -> Result<Self, PathError> {
        let there = Path::new(path)
            .ancestors()
            .skip(1)
            .find(|above| above.as_os_str().is_empty() || fs_err::symlink_metadata(above).is_ok());
        let there = there.and_then(Path::to_str).unwrap_or_default();
        let missing = path[there.len()..].trim_start_matches('/');
        let (first, rest) = missing.split_once('/').unwrap_or((missing, ""));
        let first = if there.is_empty() && !path.starts_with('/') {
            first.to_owned()
        } else {
            format!("{}/{first}", there.trim_end_matches('/'))
        };
        let resolved = resolve(&first)?;
        let slash = if rest.is_empty() { "" } else { "/" };
        Ok(Self { path: path.to_owned(), resolved: format!("{resolved}{slash}{rest}") })
    }

    /// Returns the folder, as the user named it.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(if self.path.is_empty() { "." } else { &self.path })
    }

    fn version(&self) -> PathBuf {
        self.path().join("version")
    }

    fn manifest(&self, which: &Which) -> PathBuf {
        self.path().join(match which {
            Which::Top => "manifest.json".to_owned(),
            Which::Instance(digest) => format!("{}.manifest.json", file_name(digest)),
        })
    }

    /// The file of a blob, also used to take it over into another folder.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.path().join(file_name(digest))
    }

    /// The file of a signature before which so many come. Their names count from 1.
    fn signature(&self, which: &Which, before: usize) -> PathBuf {
        let number = before.saturating_add(1);
        self.path().join(match which {
            Which::Top => format!("signature-{number}"),
            Which::Instance(digest) => format!("{}.signature-{number}", file_name(digest)),
        })
    }
}

impl Name for DirName {
    fn transport(&self) -> &'static str {
        "dir"
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

impl fmt::Display for DirName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

fn file_name(digest: &Digest) -> String {
    match digest.algorithm() {
        Algorithm::Sha256 => digest.hex().to_owned(),
        other => format!("{other}-{}", digest.hex()),
    }
}

/// The digest that a file has in its name, if it has one.
fn digest_of(file: &str) -> Option<Digest> {
    let plain = || format!("{}:{file}", Algorithm::Sha256);
    file.split_once('-').map_or_else(plain, |(name, hex)| format!("{name}:{hex}")).parse().ok()
}

/// The format of a folder, from its `version` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    const SHA256_ONLY: Self = Self { major: 1, minor: 1 };
    const NEWEST: Self = Self { major: 1, minor: 2 };

    fn parse(text: &str) -> Option<Self> {
        let numbers = text.strip_prefix("Directory Transport Version: ")?.strip_suffix('\n')?;
        let (major, minor) = numbers.split_once('.')?;
        let version = Self { major: major.parse().ok()?, minor: minor.parse().ok()? };
        // Parsing takes signs and leading zeros; the format does not.
        (version.to_string() == text).then_some(version)
    }

    fn check(self, text: &str, name: &DirName) -> Result<(), Error> {
        if self <= Self::NEWEST {
            return Ok(());
        }
        Err(DirError::UnsupportedVersion { version: text.to_owned(), path: name.resolved.clone() }
            .into())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Directory Transport Version: {}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_strictly() {
        for (text, expected) in [
            ("Directory Transport Version: 1.1\n", Some(Version::SHA256_ONLY)),
            ("Directory Transport Version: 1.2\n", Some(Version::NEWEST)),
            ("Directory Transport Version: 12.0\n", Some(Version { major: 12, minor: 0 })),
            ("Directory Transport Version: 1.1", None),
            ("Directory Transport Version: +1.1\n", None),
            ("Directory Transport Version: 1.01\n", None),
            ("Directory Transport Version: 1.1\n\n", None),
            ("", None),
        ] {
            assert_eq!(Version::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_what_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let root = root.to_str().unwrap();
        for below in ["a", "a/b:1", "a/b/c/d:1"] {
            let path = format!("{root}/{below}");
            assert_eq!(DirName::below(&path).unwrap().resolved, path);
        }
        assert_eq!(DirName::below("/missing/x").unwrap().resolved, "/missing/x");
        let here = std::path::absolute("missing/x").unwrap();
        assert_eq!(Path::new(&DirName::below("missing/x").unwrap().resolved), here);
    }

    #[test]
    fn names_files_by_digest() {
        let name = DirName::parse("/tmp").unwrap();
        let short = Digest::sha256(b"");
        let long = Digest::of(Algorithm::Sha512, b"");
        let file = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(file(name.blob(&short)), short.hex());
        assert_eq!(file(name.blob(&long)), format!("sha512-{}", long.hex()));
        assert_eq!(digest_of(&file(name.blob(&short))), Some(short.clone()));
        assert_eq!(digest_of(&file(name.blob(&long))), Some(long.clone()));
        assert_eq!(digest_of("version"), None);
        let instance = Which::Instance(long.clone());
        assert_eq!(file(name.manifest(&Which::Top)), "manifest.json");
        assert_eq!(file(name.manifest(&instance)), format!("sha512-{}.manifest.json", long.hex()));
        assert_eq!(file(name.signature(&Which::Top, 1)), "signature-2");
        let instance = Which::Instance(short.clone());
        assert_eq!(file(name.signature(&instance, 0)), format!("{}.signature-1", short.hex()));
    }
}
