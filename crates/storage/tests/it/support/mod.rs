//! A store in a folder of its own, images to put into it, and the programs that judge.
//!
//! The kit of the other crates' tests is not used: it knows all transports, and they know this
//! crate.

mod layer_tar;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use skopeo_image::{Digest, Timestamp};
use skopeo_storage::{
    Below, Driver, Error, Image, Layer, NewData, NewImage, NewLayer, Options, StagedLayer, Store,
};

pub(crate) use layer_tar::{Tar, base, changes};

pub(crate) const DRIVERS: [Driver; 2] = [Driver::Overlay, Driver::Vfs];

/// The digest of the tar that comes out of a layer.
pub(crate) fn tar_digest(store: &Store, id: &str) -> Result<Digest, Error> {
    let mut tar = Vec::new();
    store.layer_tar(id, &mut tar).map(|()| Digest::sha256(&tar))
}

/// Ends a test that cannot run here, loudly; in CI that is a failure.
macro_rules! skip {
    ($($why:tt)*) => {{
        let why = ::std::format!($($why)*);
        ::std::assert!(!$crate::support::in_ci(), "in CI no test may be skipped: {why}");
        ::std::eprintln!("SKIPPED: {why}");
        return;
    }};
}
pub(crate) use skip;

/// Ends a test whose stores have files of several owners, if we may not make such: loudly, and in
/// CI too.
macro_rules! only_root {
    () => {
        if !$crate::support::is_root() {
            ::std::eprintln!("SKIPPED: only root may give files away");
            return;
        }
    };
}
pub(crate) use only_root;

#[expect(clippy::disallowed_methods, reason = "CI sets it")]
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// A program that the test command installs.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    const PEERS: &str = include_str!("../../../../../xtask/peers.txt");
    let is_peer = PEERS.lines().any(|line| line.split(' ').next() == Some(name));
    assert!(is_peer, "{name} is not in xtask/peers.txt");
    ["/usr/sbin", "/usr/bin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder with a store in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) driver: Driver,
}

impl Place {
    pub(crate) fn new(driver: Driver) -> Self {
        // podman makes names of paths, and names have no capital letters.
        let digits: String = tempfile::tempdir().unwrap().path().display().to_string();
        let digits = digits.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let prefix = format!("store-{}", digits.get(digits.len() - 12..).unwrap());
        let folder = tempfile::Builder::new().prefix(&prefix).rand_bytes(0).tempdir().unwrap();
        Self { folder, driver }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            driver: self.driver,
            graph_root: self.root(),
            run_root: self.path("run"),
            image_store: None,
            additional_stores: Vec::new(),
            transient: false,
            ignore_chown_errors: false,
            force_mask: None,
            mount_program: false,
            rootless: false,
        }
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.options()).unwrap()
    }

    /// A list of the store: `images.json`, `layers.json`.
    pub(crate) fn list(&self, of: &str) -> Vec<serde_json::Value> {
        let path = self.root().join(format!("{}-{of}/{of}.json", self.driver.as_str()));
        serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
    }

    /// Where the files of a layer are.
    pub(crate) fn files(&self, layer: &str) -> PathBuf {
        match self.driver {
            Driver::Overlay => self.root().join("overlay").join(layer).join("diff"),
            Driver::Vfs => self.root().join("vfs/dir").join(layer),
        }
    }

    /// A program that works on this store, with the words that say so.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (flag, value) in [
            ("--root", self.root()),
            ("--runroot", self.path("run")),
            ("--storage-driver", self.driver.as_str().into()),
        ] {
            command.arg(flag).arg(value);
        }
        command.env("HOME", self.folder.path()).env("TMPDIR", self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    /// What a program says of this store. It must end well.
    pub(crate) fn ask(&self, program: &Path, words: &[&str]) -> String {
        let output = self.command(program).args(words).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What lies in a folder of the store, sorted; nothing if it is not there.
    pub(crate) fn names(&self, below: &str) -> Vec<String> {
        let Ok(entries) = fs_err::read_dir(self.root().join(below)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Nothing is left beside the lists of who was ended: somebody has written both since.
    pub(crate) fn check_lists(&self) {
        let driver = self.driver.as_str();
        let mut expected: Vec<String> =
            self.list("images").iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
        expected.extend(["images.json", "images.lock"].map(str::to_owned));
        expected.sort();
        assert_eq!(self.names(&format!("{driver}-images")), expected);
        for of in ["images", "layers"] {
            let names = self.names(&format!("{driver}-{of}"));
            assert!(!names.iter().any(|name| name.starts_with(".tmp")), "{names:?}");
        }
        for image in expected.iter().filter(|name| name.len() == 64) {
            let names = self.names(&format!("{driver}-images/{image}"));
            assert!(!names.iter().any(|name| name.starts_with(".tmp")), "{names:?}");
        }
    }

    /// Nothing is left of work that was ended, and all that is listed is there and well.
    pub(crate) fn check(&self) {
        let driver = self.driver.as_str();
        let store = self.store();
        assert!(store.layer("none").unwrap().is_none()); // which cleans up
        for below in [format!("{driver}/tempdirs"), format!("{driver}-layers/tmp")] {
            assert_eq!(self.names(&below), Vec::<String>::new(), "{below}");
        }
        let layers = match fs_err::exists(self.root().join(format!("{driver}-layers/layers.json")))
        {
            Ok(true) => self.list("layers"),
            _ => Vec::new(),
        };
        let mut ids: Vec<String> = Vec::new();
        for layer in &layers {
            assert!(layer.get("flags").is_none(), "{layer}");
            let id = layer["id"].as_str().unwrap();
            ids.push(id.to_owned());
            let digest = tar_digest(&store, id).unwrap();
            assert_eq!(digest.as_str(), layer["diff-digest"].as_str().unwrap());
        }
        ids.sort();
        let folders = match self.driver {
            Driver::Overlay => self.names("overlay"),
            Driver::Vfs => self.names("vfs/dir"),
        };
        let folders: Vec<String> = folders.into_iter().filter(|name| name.len() == 64).collect();
        assert_eq!(folders, ids);
        let mut recipes: Vec<String> = ids.iter().map(|id| format!("{id}.tar-split.gz")).collect();
        recipes.sort();
        let beside = self.names(&format!("{driver}-layers"));
        let beside: Vec<String> =
            beside.into_iter().filter(|it| it.ends_with("split.gz")).collect();
        assert_eq!(beside, recipes);
        if self.driver == Driver::Overlay {
            assert_eq!(self.names("overlay/l").len(), ids.len());
        }
        for image in store.images().unwrap() {
            for data in &image.data {
                let bytes = store.image_data(&image.id, &data.key).unwrap();
                assert_eq!(Some(&Digest::sha256(&bytes)), data.digest.as_ref());
            }
            assert!(image.layer.is_none_or(|layer| ids.contains(&layer)));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // podman binds the folder of overlay onto itself, and leaves it so.
        let overlay = self.root().join("overlay");
        let _ = Command::new("umount").arg("-l").arg(overlay).stderr(Stdio::null()).status();
    }
}

/// An image of plain layers.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

impl Sample {
    pub(crate) fn of(layers: Vec<Vec<u8>>) -> Self {
        let ids: Vec<Digest> = layers.iter().map(|tar| Digest::sha256(tar)).collect();
        let config = json!({
            "created": "2024-01-02T03:04:05Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": ids},
            "history": layers.iter().map(|_| json!({"created_by": "a test"})).collect::<Vec<_>>(),
        });
        let config = serde_json::to_vec(&config).unwrap();
        let layer = |tar: &Vec<u8>| {
            json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": Digest::sha256(tar),
                "size": tar.len(),
            })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": Digest::sha256(&config),
                "size": config.len(),
            },
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        Self { layers, config, manifest }
    }

    /// One with a few files: a base that all have, and a layer for the seed alone.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::of(vec![base(), Tar::new().file(&format!("own/{seed}"), &seed.to_le_bytes()).end()])
    }

    pub(crate) fn id(&self) -> String {
        Digest::sha256(&self.config).hex().to_owned()
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::sha256(&self.manifest)
    }

    /// Its layers get into a store, all of them staged before any is committed.
    pub(crate) fn put_layers(&self, store: &Store) -> skopeo_storage::Result<Option<Layer>> {
        let mut staged: Vec<StagedLayer> = Vec::new();
        for tar in &self.layers {
            let below = staged.last().and_then(StagedLayer::below).unwrap_or(Below::Nothing);
            staged.push(store.stage(&below, tar.as_slice())?);
        }
        let mut top: Option<Layer> = None;
        for (tar, staged) in self.layers.iter().zip(staged) {
            let new = NewLayer {
                parent: top.as_ref().map(|layer| layer.id.clone()),
                expected_diff: Some(Digest::sha256(tar)),
                ..NewLayer::default()
            };
            top = Some(store.commit(staged, new)?);
        }
        Ok(top)
    }

    pub(crate) fn put(&self, store: &Store, names: &[&str]) -> skopeo_storage::Result<Image> {
        let top = self.put_layers(store)?;
        store.put_image(&self.record(top.map(|layer| layer.id), names))
    }

    pub(crate) fn record(&self, layer: Option<String>, names: &[&str]) -> NewImage {
        let data = |key: String, bytes: &[u8]| NewData { key, bytes: bytes.to_vec(), digest: None };
        NewImage {
            id: self.id(),
            layer,
            created: "2024-01-02T03:04:05Z".parse::<Timestamp>().unwrap(),
            metadata: "{}".to_owned(),
            data: vec![
                data(format!("sha256:{}", self.id()), &self.config),
                data(format!("manifest-{}", self.digest()), &self.manifest),
                data("manifest".to_owned(), &self.manifest),
            ],
            names: names.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    /// Writes it as an OCI layout.
    pub(crate) fn write_oci(&self, folder: &Path, tag: &str) {
        let blobs = folder.join("blobs/sha256");
        fs_err::create_dir_all(&blobs).unwrap();
        for bytes in self.layers.iter().chain([&self.config, &self.manifest]) {
            fs_err::write(blobs.join(Digest::sha256(bytes).hex()), bytes).unwrap();
        }
        fs_err::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": self.digest(),
            "size": self.manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": tag},
        }]});
        fs_err::write(folder.join("index.json"), index.to_string()).unwrap();
    }
}

/// What a tree has: for each path its kind, and what is in it.
pub(crate) fn tree(root: &Path) -> Vec<(String, String)> {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs_err::symlink_metadata(&path).unwrap();
            let kind = metadata.file_type();
            let what = if kind.is_dir() {
                "folder".to_owned()
            } else if kind.is_symlink() {
                format!("to {}", fs_err::read_link(&path).unwrap().display())
            } else if kind.is_file() {
                Digest::sha256(&fs_err::read(&path).unwrap()).to_string()
            } else if kind.is_char_device() {
                format!("device {}", metadata.rdev())
            } else {
                "special".to_owned()
            };
            let owner =
                format!("{:o} {}:{}", metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
            let name = path.strip_prefix(root).unwrap().display().to_string();
            // Whiteouts of overlay have the time at which they were made.
            let is_whiteout = kind.is_char_device() && metadata.rdev() == 0;
            let time = if is_whiteout { 0 } else { metadata.mtime() };
            found.push((name, format!("{what} {owner} {time}")));
            if kind.is_dir() {
                walk(root, &path, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}
