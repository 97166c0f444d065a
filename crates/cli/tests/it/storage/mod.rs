//! `containers-storage:`, beside the installed original, podman and buildah.

mod estimates;
mod refused;
mod resolution;
mod rootless;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use skopeo_image::Compression;
use skopeo_testkit::run::installed;
use skopeo_testkit::{Home, Image, Run, run};

pub(crate) const DRIVERS: [&str; 2] = ["overlay", "vfs"];

/// A store in a home of its own, which storage.conf there names.
pub(crate) struct Place {
    pub(crate) home: Home,
    driver: &'static str,
}

impl Place {
    pub(crate) fn new(driver: &'static str) -> Self {
        let place = Self { home: Home::new(), driver };
        let text = |below: &str| place.home.path(below).display().to_string();
        let conf = format!(
            "[storage]\ndriver = {driver:?}\ngraphroot = {:?}\nrunroot = {:?}\n",
            text("store"),
            text("running")
        );
        place.home.write("home/.config/containers/storage.conf", &conf);
        place
    }

    /// Adds lines to storage.conf.
    pub(crate) fn configure(&self, lines: &str) {
        let path = self.home.path("home/.config/containers/storage.conf");
        let text = fs_err::read_to_string(&path).unwrap();
        fs_err::write(path, text + lines).unwrap();
    }

    /// Runs ours.
    pub(crate) fn skopeo(&self, arguments: &[&str]) -> Run {
        run(&self.home, env!("CARGO_BIN_EXE_skopeo"), arguments)
    }

    /// Runs podman or buildah on this store, which must go well; what it printed.
    pub(crate) fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let path = installed(program).unwrap();
        run(&self.home, path, arguments).success().stdout.trim().to_owned()
    }

    /// A list of the store's records: `images` or `layers`.
    pub(crate) fn list(&self, kind: &str) -> Vec<Value> {
        let path = format!("store/{}-{kind}/{kind}.json", self.driver);
        let bytes = fs_err::read(self.home.path(path)).unwrap_or_else(|_| b"[]".to_vec());
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The ids of the layers whose folders are there.
    pub(crate) fn folders(&self) -> Vec<String> {
        let below = if self.driver == "vfs" { "store/vfs/dir" } else { "store/overlay" };
        let Ok(entries) = fs_err::read_dir(self.home.path(below)) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.len() == 64).collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Others bind the folder of overlay onto itself, and leave it so.
        let overlay = self.home.path("store/overlay");
        let _ = Command::new("umount").arg("-l").arg(overlay).stderr(Stdio::null()).status();
    }
}

/// Whether what a test needs is there: root, and some programs.
pub(crate) fn lacking(programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root may give files to others".to_owned());
    }
    let missing = programs.iter().find(|program| installed(program).is_none())?;
    Some(format!("{missing} is not installed"))
}

/// An image of three layers, packed in all ways that stores know.
pub(crate) fn sample(seed: u64) -> Image {
    Image::builder(seed).layers(1).layer(Compression::Zstd).layer(Compression::Uncompressed).build()
}

/// What the records of a store say, but for times and for what the original's version decides.
pub(crate) fn told(records: &[Value]) -> Vec<BTreeMap<String, Value>> {
    records
        .iter()
        .map(|record| {
            let mut told: BTreeMap<String, Value> = serde_json::from_value(record.clone()).unwrap();
            // Debian's notes of signatures even where there are none.
            told.remove("metadata");
            if record.get("diff-digest").is_some() {
                told.remove("created");
            }
            for (key, value) in &mut told {
                if !key.starts_with("big-data-") {
                    continue;
                }
                match value {
                    Value::Array(names) => names.retain(|it| !is_empty_signature(it.as_str())),
                    Value::Object(map) => map.retain(|key, _| !is_empty_signature(Some(key))),
                    _ => {}
                }
            }
            told
        })
        .collect()
}

fn is_empty_signature(key: Option<&str>) -> bool {
    key.is_some_and(|key| key.starts_with("signature-"))
}

/// Writes an image as a layout into the work folder of a home.
pub(crate) fn write(home: &Home, image: &Image, name: &str) -> String {
    let folder: PathBuf = home.path("work").join("layout");
    image.write_oci(&folder, Some(name));
    format!("oci:layout:{name}")
}
