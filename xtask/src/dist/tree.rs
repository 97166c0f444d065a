//! The files that are installed, and where.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use fs_err as fs;

use super::{NAME, Target, licences};
use crate::shell;

/// What a machine that accepts every image has in policy.json, as the distributions' packages do.
const POLICY: &str = "{\n    \"default\": [\n        {\n            \"type\": \"insecureAcceptAnything\"\n        }\n    ]\n}\n";

/// What a machine without mirrors has in registries.conf.
const REGISTRIES: &str = "\
# Mirrors, registries without TLS, and what is blocked: containers-registries.conf(5).
#
# [[registry]]
# location = \"registry.example.com:5000\"
# insecure = true
unqualified-search-registries = []
";

/// The files that are written to /etc/containers if they are not there.
pub(super) const DEFAULTS: [(&str, &str); 2] =
    [("policy.json", POLICY), ("registries.conf", REGISTRIES)];

/// A file that is installed.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// From the root, without a slash in front.
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) bytes: Vec<u8>,
}

impl File {
    pub(super) fn new(path: impl Into<PathBuf>, mode: u32, bytes: Vec<u8>) -> Self {
        Self { path: path.into(), mode, bytes }
    }
}

/// All files for one target.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) target: Target,
    pub(super) files: Vec<File>,
}

impl Tree {
    /// Puts together what belongs to `program`. `runs` is a program that runs here, which writes the
    /// scripts of completion: they are the same for all machines.
    pub(super) fn read(target: Target, program: &Path, runs: &Path) -> Result<Self> {
        let root = shell::root();
        let mut files = vec![File::new("usr/bin/skopeo", 0o755, fs::read(program)?)];
        for page in sorted(&root.join("docs/man"))? {
            let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let packed = gzip(&fs::read(&page)?)?;
            files.push(File::new(format!("usr/share/man/man1/{name}.gz"), 0o644, packed));
        }
        for (shell, path) in [
            ("bash", "usr/share/bash-completion/completions/skopeo"),
            ("fish", "usr/share/fish/vendor_completions.d/skopeo.fish"),
            ("zsh", "usr/share/zsh/vendor-completions/_skopeo"),
        ] {
            let script = shell::output(Command::new(runs).args(["completion", shell]))?;
            files.push(File::new(path, 0o644, script.into_bytes()));
        }
        let doc = Path::new("usr/share/doc").join(NAME);
        for name in ["README.md", "LICENSE", "NOTICE"] {
            files.push(File::new(doc.join(name), 0o644, fs::read(root.join(name))?));
        }
        files.push(File::new(
            doc.join("CHANGELOG.md.gz"),
            0o644,
            gzip(&fs::read(root.join("CHANGELOG.md"))?)?,
        ));
        let licences = licences::text(target)?;
        files.push(File::new(
            doc.join("THIRD-PARTY-LICENSES.gz"),
            0o644,
            gzip(licences.as_bytes())?,
        ));
        for (name, text) in DEFAULTS {
            let path = Path::new("usr/share").join(NAME).join("containers").join(name);
            files.push(File::new(path, 0o644, text.as_bytes().to_vec()));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { target, files })
    }

    /// The same with Fedora's folder for zsh.
    pub(super) fn for_fedora(&self) -> Self {
        let mut tree = self.clone();
        for file in &mut tree.files {
            if file.path.ends_with("zsh/vendor-completions/_skopeo") {
                file.path = "usr/share/zsh/site-functions/_skopeo".into();
            }
        }
        tree
    }

    /// The folders that the files lie in, those above first.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = self
            .files
            .iter()
            .flat_map(|file| file.path.ancestors().skip(1))
            .filter(|folder| !folder.as_os_str().is_empty())
            .map(Path::to_owned)
            .collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

/// The files of a folder, by name.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Packs without a name or a time: the same bytes give the same bytes.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes)?;
    Ok(packer.finish()?)
}
