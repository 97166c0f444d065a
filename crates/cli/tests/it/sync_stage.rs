//! What the tests of `sync` share: many images, and the question whether all of them are there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use skopeo_image::Compression;
use skopeo_testkit::{Home, Image, Registry, Run};

use crate::stage::{SKOPEO, whole_dir, whole_layout};

/// Many images in few repositories: one layer is in all of them, one in those of a repository, and
/// the config is each one's own.
pub(crate) struct Many {
    pub(crate) repositories: usize,
    /// In each of them.
    pub(crate) tags: usize,
    /// Of a layer, in bytes before it is packed.
    pub(crate) size: usize,
}

impl Many {
    /// All images, in the order of their names: `group/repo3`, `v7`, the image.
    pub(crate) fn images(&self) -> impl Iterator<Item = (String, String, Image)> {
        let Self { repositories, tags, size } = *self;
        (0..repositories).flat_map(move |repository| {
            (0..tags).map(move |tag| {
                let image = Image::builder(0)
                    .layer_size(size)
                    .layer_of(1, Compression::Gzip)
                    .layer_of(100 + repository as u64, Compression::Gzip)
                    .label("image", &format!("{repository} {tag}"))
                    .build();
                (format!("group/repo{repository}"), format!("v{tag}"), image)
            })
        })
    }

    /// How many blobs these are.
    pub(crate) fn blobs(&self) -> usize {
        1 + self.repositories + self.repositories * self.tags
    }

    pub(crate) fn count(&self) -> usize {
        self.repositories * self.tags
    }

    /// A registry that holds them, below a folder of this home.
    pub(crate) fn registry(&self, home: &Home) -> Registry {
        let root = home.path("many");
        for (repository, tag, image) in self.images() {
            image.write_oci(&root.join(repository), Some(&tag));
        }
        Registry::builder().root(root).start()
    }

    /// The file that asks for all of them.
    pub(crate) fn list(&self, host: &str) -> String {
        let image = |repository: usize| format!("    group/repo{repository}: []\n");
        let images = (0..self.repositories).map(image).collect::<String>();
        format!("{host}:\n  images:\n{images}")
    }

    /// What they are in a mirror: `m/repo3:v7` and the digest.
    pub(crate) fn expected(&self) -> BTreeMap<String, String> {
        let name = |(repository, tag, image): (String, String, Image)| {
            let name = format!("{}:{tag}", repository.replace("group/", "m/"));
            (name, image.digest().to_string())
        };
        self.images().map(name).collect()
    }
}

/// The tags below a registry's folder, and the digests they lead to.
pub(crate) fn tags(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    each_layout(root, &mut |folder| {
        let index = fs_err::read(folder.join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        for entry in index["manifests"].as_array().unwrap() {
            let name = &entry["annotations"]["org.opencontainers.image.ref.name"];
            let Some(name) = name.as_str() else { continue };
            let repository = folder.strip_prefix(root).unwrap().display();
            let digest = entry["digest"].as_str().unwrap().to_owned();
            found.insert(format!("{repository}:{name}"), digest);
        }
    });
    found
}

/// The same, and all that has a name is whole.
#[track_caller]
pub(crate) fn whole_registry(root: &Path) -> BTreeMap<String, String> {
    each_layout(root, &mut |folder| drop(whole_layout(folder)));
    tags(root)
}

fn each_layout(root: &Path, work: &mut dyn FnMut(&Path)) {
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs_err::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "blobs") {
                waiting.push(path);
            } else if path.ends_with("index.json") {
                work(&folder);
            }
        }
    }
}

/// The images in the folders below one, all of them whole: `m/repo3:v7` and the digest.
#[track_caller]
pub(crate) fn whole_folders(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        if let Some(digest) = whole_dir(&folder) {
            let name = folder.strip_prefix(root).unwrap().display().to_string();
            found.insert(name, digest.to_string());
        }
        let Ok(entries) = fs_err::read_dir(&folder) else { continue };
        let paths = entries.map(|entry| entry.unwrap().path());
        waiting.extend(paths.filter(|path| path.is_dir()));
    }
    found
}

/// Starts the program; what it says goes to a file, so that it never waits for anybody to read.
pub(crate) fn start(home: &Home, arguments: &[&str], log: &str) -> Child {
    let log = fs_err::File::create(home.path(log)).unwrap().into_parts().0;
    let mut command = home.command(SKOPEO);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap()
}

/// Runs the program, and says how much memory it had at most, in KiB.
pub(crate) fn measured(home: &Home, arguments: &[&str]) -> (Run, u64) {
    let mut child = start(home, arguments, "log");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0_u64;
    let code = loop {
        let text = fs_err::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = kib.unwrap_or_default().max(peak);
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let stderr = fs_err::read_to_string(home.path("log")).unwrap();
    (Run { stdout: String::new(), stderr, code }, peak)
}
