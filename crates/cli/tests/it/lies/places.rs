//! What is in a place in the end: all that has a name is what its name says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use skopeo_image::Digest;

use crate::stage::whole_layout;
use crate::sync_stage::{whole_folders, whole_registry};

/// A collection of images.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// As `--dest` has it.
    pub(crate) kind: &'static str,
    /// As the program has it.
    pub(crate) name: String,
    /// Where it is on this machine.
    pub(crate) path: PathBuf,
}

impl Place {
    /// As `--to` has it.
    pub(crate) fn to(&self) -> String {
        let slashes = if self.kind == "docker" { "//" } else { "" };
        format!("{}:{slashes}{}", self.kind, self.name)
    }

    /// Whether it is the standard output.
    pub(crate) fn is_pipe(&self) -> bool {
        self.name == "/dev/stdout"
    }

    /// The names of all files in it, without their folders.
    pub(crate) fn files(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        if self.path.is_dir() {
            walk(&self.path, &mut files);
            return files;
        }
        let listed = Command::new("tar").arg("-tf").arg(&self.path).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        files.extend(listed.lines().map(|name| name.rsplit('/').next().unwrap().to_owned()));
        files
    }

    /// How many names of images there are. All that they lead to has the digest it is called by, and so has
    /// all else that is called by a digest.
    pub(crate) fn look(&self) -> usize {
        if !self.path.exists() {
            return 0;
        }
        match self.kind {
            "docker" => {
                named_blobs(&self.path);
                images(whole_registry(&self.path).into_keys())
            }
            "dir" => whole_folders(&self.path).len(),
            "oci" => {
                named_blobs(&self.path);
                images(whole_layout(&self.path).into_keys())
            }
            kind => {
                let unpacked = tempfile::tempdir().unwrap();
                let folder = unpacked.path();
                let mut tar = Command::new("tar");
                tar.arg("-xf").arg(&self.path).arg("-C").arg(folder);
                assert!(tar.status().unwrap().success(), "{self:?}");
                named_blobs(folder);
                match kind {
                    "oci-archive" => images(whole_layout(folder).into_keys()),
                    _ => saved(folder),
                }
            }
        }
    }
}

/// The names of all files below a folder.
fn walk(folder: &Path, files: &mut BTreeSet<String>) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.insert(entry.file_name().into_string().unwrap());
        }
    }
}

/// How many of the names are of images, and not of what hangs on them.
fn images(names: impl Iterator<Item = String>) -> usize {
    let hangs = |name: &String| name.rsplit(':').next().unwrap().starts_with("sha256-");
    names.filter(|name| !hangs(name)).count()
}

/// The images of a docker archive that was unpacked, each with its config and its layers.
fn saved(folder: &Path) -> usize {
    let items: Value =
        serde_json::from_slice(&fs_err::read(folder.join("manifest.json")).unwrap()).unwrap();
    let mut names = 0;
    for item in items.as_array().unwrap() {
        names += item["RepoTags"].as_array().unwrap().len();
        let config = fs_err::read(folder.join(item["Config"].as_str().unwrap())).unwrap();
        assert_eq!(format!("{}.json", Digest::sha256(&config).hex()), item["Config"]);
        let config: Value = serde_json::from_slice(&config).unwrap();
        let layers = item["Layers"].as_array().unwrap();
        let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        assert_eq!(layers.len(), diff_ids.len());
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            let layer = fs_err::read(folder.join(layer.as_str().unwrap())).unwrap();
            assert_eq!(Digest::sha256(&layer).as_str(), diff_id);
        }
    }
    names
}

/// Every file below a folder that is called by a digest has it, whether something leads to it or
/// not.
fn named_blobs(folder: &Path) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            // Folders of old docker archives are called by what is no digest of theirs.
            named_blobs(&path);
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let hex = name.split('.').next().unwrap();
        if kind.is_file() && hex.len() == 64 {
            let actual = Digest::sha256(&fs_err::read(&path).unwrap());
            assert_eq!(actual.hex(), hex, "{}", path.display());
        }
    }
}
