//! Tars byte by byte, right and wrong, and what becomes of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use skopeo_image::Digest;
use skopeo_storage::contents::{Applied, Apply, Error, Whiteouts, apply, export};
use skopeo_testkit::Tar;
pub(crate) use skopeo_testkit::tar::{Member, octal, summed};
use tempfile::TempDir;

use crate::support::is_root;

/// As a root applies a layer of overlay.
pub(crate) const OVERLAY: Apply<'static> = Apply {
    whiteouts: Whiteouts::Overlay,
    rootless: false,
    ignore_chown_errors: false,
    force_mask: None,
    uid_map: &[],
    gid_map: &[],
};

/// As a root applies a layer of vfs.
pub(crate) const VFS: Apply<'static> = Apply { whiteouts: Whiteouts::Remove, ..OVERLAY };

pub(crate) fn member(kind: u8, name: &str) -> Member {
    Member::new(kind, name)
}

pub(crate) fn file(name: &str, contents: &str) -> Member {
    Member::file(name, contents)
}

pub(crate) fn folder(name: &str) -> Member {
    member(b'5', name)
}

pub(crate) fn link(kind: u8, name: &str, to: &str) -> Member {
    Member { link: to.into(), ..member(kind, name) }
}

/// An extended header of these records, as bytes.
pub(crate) fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    Member::extended(records).bytes()
}

/// The same as a member.
pub(crate) fn extended(records: &[(&str, &[u8])]) -> Member {
    Member::extended(records)
}

/// A tar of members, with its end.
pub(crate) fn tar(members: &[Member]) -> Vec<u8> {
    members.iter().fold(Tar::new(), Tar::member).end()
}

/// A layer and what lies beside it.
pub(crate) struct Layer {
    pub(crate) place: TempDir,
    pub(crate) root: PathBuf,
    pub(crate) split: Vec<u8>,
}

impl Layer {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        fs_err::create_dir(&root).unwrap();
        Self { place, root, split: Vec::new() }
    }

    /// Who is not root gives files no owners.
    pub(crate) fn apply(&mut self, tar: &[u8], how: &Apply<'_>) -> Result<Applied, Error> {
        let ignore_chown_errors = how.ignore_chown_errors || !is_root();
        self.apply_strictly(tar, &Apply { ignore_chown_errors, ..*how })
    }

    pub(crate) fn apply_strictly(&mut self, tar: &[u8], how: &Apply<'_>) -> Result<Applied, Error> {
        self.split.clear();
        apply(tar, &self.root, &mut self.split, how)
    }

    pub(crate) fn export(&self) -> Result<(Digest, Vec<u8>), Error> {
        let mut tar = Vec::new();
        export(&*self.split, std::slice::from_ref(&self.root), &mut tar)?;
        Ok((Digest::sha256(&tar), tar))
    }

    /// Applies a tar and sees that it comes out again.
    pub(crate) fn takes(&mut self, tar: &[u8], how: &Apply<'_>) -> Applied {
        let applied = self.apply(tar, how).unwrap();
        assert_eq!(
            (&applied.diff_digest, applied.diff_size),
            (&Digest::sha256(tar), tar.len() as u64)
        );
        let (digest, again) = self.export().unwrap();
        assert!(again == tar, "another tar came out: {} bytes of {}", again.len(), tar.len());
        assert_eq!(digest, applied.diff_digest);
        applied
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    pub(crate) fn text(&self, below: &str) -> String {
        fs_err::read_to_string(self.path(below)).unwrap()
    }

    /// The recipe as text.
    pub(crate) fn recipe(&self) -> String {
        let mut text = String::new();
        let mut unpacked = flate2::read::GzDecoder::new(&*self.split);
        std::io::Read::read_to_string(&mut unpacked, &mut text).unwrap();
        text
    }
}

/// Each file below a folder with all that is to be known of it; folders have no size, and the root
/// has no line.
pub(crate) fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list(root, root, &mut lines);
    lines.sort();
    lines
}

fn list(root: &Path, folder: &Path, lines: &mut Vec<String>) {
    use std::os::unix::fs::MetadataExt;
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stat = fs_err::symlink_metadata(&path).unwrap();
        let mut line = format!(
            "{} {:o} {}:{} {}.{:09} {}:{}",
            path.strip_prefix(root).unwrap().display(),
            stat.mode(),
            stat.uid(),
            stat.gid(),
            stat.mtime(),
            stat.mtime_nsec(),
            stat.rdev() >> 8,
            stat.rdev() & 255,
        );
        if stat.is_symlink() {
            write!(line, " -> {}", fs_err::read_link(&path).unwrap().display()).unwrap();
        }
        if stat.is_file() {
            let digest = Digest::sha256(&fs_err::read(&path).unwrap());
            write!(line, " {} {} {digest}", stat.nlink(), stat.len()).unwrap();
        }
        for (name, value) in attributes(&path) {
            write!(line, " {name}={value:?}").unwrap();
        }
        lines.push(line);
        if stat.is_dir() {
            list(root, &path, lines);
        }
    }
}

/// Extended attributes, those of links themselves.
pub(crate) fn attributes(path: &Path) -> Vec<(String, String)> {
    let mut names = vec![0_u8; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    let mut found: Vec<(String, String)> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0_u8; 1 << 16];
            let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
            let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
            (text(name), text(&value[..length]))
        })
        .collect();
    found.sort();
    found
}

/// An error with its causes.
pub(crate) fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        write!(text, ": {error}").unwrap();
        cause = error.source();
    }
    text
}
