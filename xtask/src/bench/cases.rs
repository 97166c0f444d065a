//! What is measured.

use super::World;
use super::measure::PROXY;

/// One row of the table.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Run by the same program before each measured run, unmeasured.
    pub(super) before: Option<fn(&World) -> Vec<String>>,
    pub(super) arguments: fn(&World) -> Vec<String>,
    /// Without any global flag.
    pub(super) bare: bool,
    /// What we want to reach, as ratios.
    pub(super) goal: &'static str,
}

impl Case {
    /// Whether this user may: who is not root has a store only with ranges of ids.
    pub(super) fn is_possible(&self) -> bool {
        !self.name.contains("storage") || nix::unistd::geteuid().is_root()
    }
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "registry to oci",
        before: None,
        arguments: |world| copy(&[&from(world, "large"), &layout(world)]),
        bare: false,
        goal: "wall 0.5, cpu 0.33",
    },
    Case {
        name: "registry to dir",
        before: None,
        arguments: |world| {
            copy(&[&from(world, "large"), &format!("dir:{}", world.folder().display())])
        },
        bare: false,
        goal: "wall 0.35, cpu 0.3",
    },
    Case {
        name: "registry to docker-archive",
        before: None,
        arguments: |world| copy(&[&from(world, "large"), &archive(world)]),
        bare: false,
        goal: "wall 0.25, cpu 0.4",
    },
    Case {
        name: "registry to packed docker-archive",
        before: None,
        // The original warns, and unpacks.
        arguments: |world| copy(&["--dest-compress", &from(world, "large"), &archive(world)]),
        bare: false,
        goal: "crane 1.0",
    },
    Case {
        name: "docker-archive to registry",
        before: Some(|world| copy(&[&from(world, "large"), &archive(world)])),
        arguments: |world| copy(&[&archive(world), &to(world, "large")]),
        bare: false,
        goal: "wall 0.7, cpu 0.8",
    },
    Case {
        name: "docker-archive to oci",
        before: Some(|world| copy(&[&from(world, "large"), &archive(world)])),
        arguments: |world| copy(&[&archive(world), &layout(world)]),
        bare: false,
        goal: "wall 0.7, cpu 0.8",
    },
    Case {
        name: "registry to oci-archive",
        before: None,
        arguments: |world| copy(&[&from(world, "large"), &packed(world)]),
        bare: false,
        goal: "wall 0.3, cpu 0.3",
    },
    Case {
        name: "oci-archive to registry",
        before: Some(|world| copy(&[&from(world, "large"), &packed(world)])),
        arguments: |world| copy(&[&packed(world), &to(world, "large")]),
        bare: false,
        goal: "wall 0.5, cpu 0.5",
    },
    Case {
        name: "registry to registry",
        before: None,
        arguments: |world| copy(&[&from(world, "large"), &to(world, "large")]),
        bare: false,
        goal: "wall 0.75, cpu 0.35",
    },
    Case {
        name: "plain to registry, gzip",
        before: Some(|world| copy(&["--dest-decompress", &from(world, "files"), &plain(world)])),
        arguments: |world| copy(&[&plain(world), &to(world, "files")]),
        bare: false,
        goal: "wall 0.7, cpu 0.8",
    },
    Case {
        name: "plain to oci, gzip",
        before: Some(|world| copy(&["--dest-decompress", &from(world, "files"), &plain(world)])),
        arguments: |world| copy(&[&plain(world), &layout(world)]),
        bare: false,
        goal: "wall 0.7, cpu 0.8",
    },
    Case {
        name: "plain to oci, gzip level 1",
        before: Some(|world| copy(&["--dest-decompress", &from(world, "files"), &plain(world)])),
        arguments: |world| copy(&["--dest-compress-level=1", &plain(world), &layout(world)]),
        bare: false,
        goal: "wall 0.45",
    },
    Case {
        name: "gzip to zstd",
        before: None,
        arguments: |world| {
            let flag = "--dest-compress-format=zstd";
            copy(&[flag, &from(world, "files"), &to(world, "files")])
        },
        bare: false,
        goal: "",
    },
    Case {
        name: "gzip to zstd:chunked",
        before: None,
        arguments: |world| {
            let flag = "--dest-compress-format=zstd:chunked";
            copy(&[flag, &from(world, "files"), &to(world, "files")])
        },
        bare: false,
        goal: "",
    },
    Case {
        name: "index --all to registry",
        before: None,
        arguments: |world| copy(&["--all", &from(world, "index"), &to(world, "index")]),
        bare: false,
        goal: "wall 0.45",
    },
    Case {
        name: "index --all to oci",
        before: None,
        arguments: |world| copy(&["--all", &from(world, "index"), &layout(world)]),
        bare: false,
        goal: "wall 0.45",
    },
    Case {
        name: "small image",
        before: None,
        arguments: |world| copy(&[&from(world, "small"), &to(world, "small")]),
        bare: false,
        goal: "",
    },
    Case {
        name: "nothing to do",
        before: Some(|world| copy(&["--all", &from(world, "index"), &to(world, "index")])),
        arguments: |world| copy(&["--all", &from(world, "index"), &to(world, "index")]),
        bare: false,
        goal: "2 requests a side",
    },
    Case {
        name: "same registry, all mounts",
        before: Some(|world| copy(&[&from(world, "large"), &to(world, "large")])),
        arguments: |world| copy(&[&to(world, "large"), &to(world, "promoted/large")]),
        bare: false,
        goal: "no blob bytes",
    },
    Case {
        name: "one layer four times",
        before: None,
        arguments: |world| copy(&[&from(world, "repeat"), &to(world, "repeat")]),
        bare: false,
        goal: "moves once",
    },
    Case {
        name: "inspect -n",
        before: None,
        arguments: |world| words(&["inspect", "-n", "--tls-verify=false", &from(world, "large")]),
        bare: false,
        goal: "wall 0.4",
    },
    Case {
        name: "registry to storage",
        before: None,
        arguments: |world| copy(&[&from(world, "large"), &store(world)]),
        bare: false,
        goal: "wall 0.6, cpu 0.6, 48 MiB",
    },
    Case {
        name: "small files to storage",
        before: None,
        arguments: |world| copy(&[&from(world, "tree"), &store(world)]),
        bare: false,
        goal: "wall 0.6, cpu 0.6, 48 MiB",
    },
    Case {
        name: "storage, nothing to do",
        before: Some(|world| copy(&[&from(world, "large"), &store(world)])),
        arguments: |world| copy(&[&from(world, "large"), &store(world)]),
        bare: false,
        goal: "wall 0.2",
    },
    Case {
        name: "storage to registry",
        before: Some(|world| copy(&[&from(world, "large"), &store(world)])),
        arguments: |world| copy(&[&store(world), &to(world, "large")]),
        bare: false,
        goal: "wall 0.6, cpu 0.6",
    },
    Case {
        name: "--version",
        before: None,
        arguments: |_| words(&["--version"]),
        bare: true,
        goal: "3 ms",
    },
    Case {
        name: "through the image proxy",
        before: None,
        arguments: |world| words(&[PROXY, "--tls-verify=false", &from(world, "large"), "whole"]),
        bare: false,
        goal: "wall 0.8, cpu 0.8",
    },
    Case {
        name: "its first manifest",
        before: None,
        arguments: |world| words(&[PROXY, "--tls-verify=false", &from(world, "large"), "manifest"]),
        bare: false,
        goal: "wall 0.5",
    },
];

pub(super) fn from(world: &World, name: &str) -> String {
    format!("docker://{}/{name}", world.source.address())
}

pub(super) fn to(world: &World, name: &str) -> String {
    format!("docker://{}/{name}", world.destination.address())
}

/// Where a run finds its image as plain tars.
fn plain(world: &World) -> String {
    format!("dir:{}", world.folder().with_extension("plain").display())
}

pub(super) fn layout(world: &World) -> String {
    format!("oci:{}:x", world.folder().display())
}

/// A store of containers' images.
fn store(world: &World) -> String {
    let folder = world.folder();
    let folder = folder.display();
    format!("containers-storage:[overlay@{folder}.store+{folder}.run]localhost/x:1")
}

fn archive(world: &World) -> String {
    format!("docker-archive:{}.tar:x:1", world.folder().display())
}

fn packed(world: &World) -> String {
    format!("oci-archive:{}.tar:x", world.folder().display())
}

pub(super) fn copy(arguments: &[&str]) -> Vec<String> {
    let flags = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
    words(&[&flags, arguments].concat())
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
