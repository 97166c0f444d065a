//! Under which names `skopeo sync` writes.

use std::path::Path;

use serde_json::Value;
use skopeo_testkit::{Home, Image, Registry, skip};

use crate::program::{at_home, fatal};

/// All images of a registry by tag, sorted: `a/b:1 a/c:2`.
pub(crate) fn images_in(registry: &Registry) -> String {
    let mut images = Vec::new();
    walk(registry.root(), registry.root(), &mut images);
    images.sort();
    images.join(" ")
}

fn walk(folder: &Path, root: &Path, images: &mut Vec<String>) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, root, images);
        } else if path.ends_with("index.json") {
            let index: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
            let name = folder.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let tags = index["manifests"].as_array().unwrap().iter();
            let tags = tags
                .filter_map(|it| it["annotations"]["org.opencontainers.image.ref.name"].as_str());
            images.extend(tags.map(|tag| format!("{name}:{tag}")));
        }
    }
}

/// Two registries, and a home that knows them.
pub(crate) fn two() -> (Registry, Registry, Home) {
    let (from, to, home) = (Registry::start(), Registry::start(), Home::new());
    home.insecure(&[&from.host(), &to.host()]);
    (from, to, home)
}

#[test]
fn names_are_made_as_the_flags_say() {
    let (from, _, home) = two();
    Image::new(1).push(&from, "a/b/c:1");
    let source = format!("{}/a/b/c", from.host());
    let scope = from.host().replace(':', "_");
    for (words, expected) in [
        (&[][..], "m/c:1".to_owned()),
        (&["--scoped"], format!("m/{scope}/a/b/c:1")),
        (&["--append-suffix", "-x"], "m/c:1-x".to_owned()),
        (&["--preserve-path"], "m/a/b/c:1".to_owned()),
        (&["--strip-prefix", "a"], "m/b/c:1".to_owned()),
        (&["--strip-prefix", "a", "--prefix", "p/q"], "m/p/q/b/c:1".to_owned()),
        (&["--prepend-image-suffix", "proj-"], "m/proj-c:1".to_owned()),
        (
            &["--dest-template", "{{.Registry}}/{{.Path}}/{{.Name}}:{{.Tag}}"],
            format!("m/{scope}/a/b/c:1"),
        ),
        (
            &["--dest-template", "{{join (split .Repository \"/\") \"-\"}}:v{{.Tag}}"],
            "m/a-b-c:v1".to_owned(),
        ),
    ] {
        let to = Registry::start();
        home.insecure(&[&from.host(), &to.host()]);
        let place = format!("{}/m", to.host());
        let ends = ["sync", "--src=docker", "--dest=docker", &source, &place];
        at_home(&home, &[&ends, words].concat()).success();
        assert_eq!(images_in(&to), expected, "{words:?}");
        let again = at_home(&home, &[&ends, words].concat()).success();
        assert_eq!(images_in(&to), expected, "{words:?}: {again}");
    }
}

/// Folders and registries get the names that the original gives.
#[test]
fn names_are_those_of_the_original() {
    let Some(original) = skopeo_testkit::run::original() else {
        skip!("the original skopeo is not installed: nothing to compare with");
    };
    let from = Registry::start();
    for name in ["a/b/c:1", "a/b/c:2"] {
        Image::new(1).push(&from, name);
    }
    let source = format!("{}/a/b/c", from.host());
    let one = format!("{source}:1");
    let by_digest = format!("{source}@{}", Image::new(1).digest());
    for (source, words) in [
        (&source, &[][..]),
        (&source, &["--scoped"]),
        (&one, &[]),
        (&one, &["--scoped"]),
        (&by_digest, &[]),
        (&by_digest, &["--scoped"]),
    ] {
        let named = |program: &Path| {
            let (to, home) = (Registry::start(), Home::new());
            home.insecure(&[&from.host(), &to.host()]);
            let words = [&["sync", "--src=docker", "--dest=dir", source, "usb"], words].concat();
            skopeo_testkit::run(&home, program, &words).success();
            let mut folders = Vec::new();
            let root = home.path("work");
            folders_in(&root, &root, &mut folders);
            folders.sort();
            // And from there into a registry.
            let place = format!("{}/m", to.host());
            if !by_digest.contains(source.as_str()) {
                let words = ["sync", "--src=dir", "--dest=docker", "usb", &place];
                skopeo_testkit::run(&home, program, &words).success();
            }
            (folders, images_in(&to))
        };
        let ours = Path::new(env!("CARGO_BIN_EXE_skopeo"));
        assert_eq!(named(ours), named(&original), "{source} {words:?}");
    }
}

fn folders_in(folder: &Path, root: &Path, folders: &mut Vec<String>) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            folders_in(&path, root, folders);
        } else if path.ends_with("manifest.json") {
            folders.push(folder.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn what_is_wrong_with_names_is_said_before_anything_moves() {
    let (from, to, home) = two();
    for name in ["a/x:1", "b/x:1", "c/y:1"] {
        Image::new(1).push(&from, name);
    }
    let place = to.host();
    let host = from.host();
    let sync = |words: &[&str]| {
        let ends = ["sync", "--src=registry", "--dest=docker", &host, &place];
        at_home(&home, &[&ends, words].concat())
    };
    let run = sync(&[]).failure(1);
    let sentence = format!(
        "docker://{host}/a/x:1 and docker://{host}/b/x:1 would both be written to docker://{place}/x:1"
    );
    assert_eq!(fatal(&run), sentence);
    assert!(run.stderr.contains("hint: --scoped or --preserve-path keeps them apart"), "{run}");
    let run = sync(&["--exit-codes=detailed"]).failure(11);
    assert_eq!(fatal(&run), sentence);
    for (words, sentence) in [
        (&["--scoped", "--preserve-path"][..], "cannot be used together"),
        (&["--dest-template", "{{.Name"], "template: dest-template:1: "),
        (&["--dest-template", "{{.Nope}}"], "can't evaluate field Nope"),
        (&["--dest-template", "../{{.Name}}"], "would be outside the destination"),
        (&["--dest-template", "{{.Name}}", "--prefix", "x"], "makes the whole name"),
        (&["--preserve-path", "--append-suffix", "!"], "Cannot obtain a valid image reference"),
    ] {
        let run = sync(words).failure(1);
        assert!(fatal(&run).contains(sentence), "{words:?}: {run}");
    }
    assert_eq!(images_in(&to), "");
    assert!(to.lines().iter().all(|line| !line.starts_with("P")), "{:?}", to.lines());
    sync(&["--preserve-path"]).success();
    assert_eq!(images_in(&to), "a/x:1 b/x:1 c/y:1");
}

#[test]
fn a_registry_is_walked() {
    let (from, to, home) = two();
    for name in ["team/a:1", "team/a:2", "team/b/c:1", "other:1"] {
        Image::new(1).push(&from, name);
    }
    let (host, place) = (from.host(), to.host());
    let ends = ["sync", "--src=registry", "--dest=docker", "--preserve-path", &host, &place];
    let run = at_home(&home, &[&ends[..], &["--repos", "^team/"]].concat()).success();
    assert_eq!(images_in(&to), "team/a:1 team/a:2 team/b/c:1");
    assert!(run.stderr.contains("Synced 3 images from 2 sources"), "{run}");
    at_home(&home, &ends).success();
    assert_eq!(images_in(&to), "other:1 team/a:1 team/a:2 team/b/c:1");
    for (words, sentence) in [
        (&["--repos", "^none$"][..], format!("No images to sync found in \"{host}\"")),
        (&["--repos", "("], "--repos: parsing the regular expression".to_owned()),
    ] {
        let run = at_home(&home, &[&ends[..], words].concat()).failure(1);
        assert!(fatal(&run).starts_with(&sentence), "{run}");
    }
    for (source, sentence) in [
        ("a/b", "\"a/b\" is no host of a registry"),
        ("127.0.0.1:1", "listing the repositories of 127.0.0.1:1: "),
    ] {
        let ends = ["sync", "--src=registry", "--dest=docker", source, &place];
        let run = at_home(&home, &ends).failure(1);
        assert!(fatal(&run).starts_with(sentence), "{run}");
    }
    let words = ["sync", "--src=docker", "--dest=docker", "--repos=x", "a", &place];
    assert!(fatal(&at_home(&home, &words).failure(1)).contains("only be used with --src registry"));
}
