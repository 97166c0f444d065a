//! The installed skopeo as judge: what it writes and what we write is the same, file for file.
//!
//! Debian's 1.9.3 differs from the current release, which we follow, in two ways that show here: it
//! does not write `mediaType` into an index of its own, and writes a space into `oci-layout`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use skopeo_image::{Digest, Manifest, Signature, Which};
use skopeo_testkit::run::in_ci;
use skopeo_transport::{Destination, Role, Source, create, open};

use crate::{Place, Sample};

/// Runs the original; `None`, loudly, if there is none.
fn original(arguments: &[&str]) -> Option<()> {
    let output = match Command::new("skopeo").arg("--insecure-policy").args(arguments).output() {
        Ok(output) => output,
        Err(error) => {
            assert!(!in_ci(), "in CI no test may be skipped: the original skopeo is not installed");
            println!("SKIPPED: the original skopeo is not installed: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

/// All files below a folder with their contents, which are shown if they are text and short, but
/// for our lock.
fn contents(folder: &Path) -> BTreeMap<String, String> {
    let (mut folders, mut files) = (vec![folder.to_owned()], BTreeMap::new());
    while let Some(next) = folders.pop() {
        for entry in fs_err::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with(".lock") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                let bytes = fs_err::read(path).unwrap();
                let short = std::str::from_utf8(&bytes).ok().filter(|text| text.len() < 2000);
                let digest = Digest::sha256(&bytes);
                files.insert(name, short.map_or_else(|| digest.to_string(), str::to_owned));
            }
        }
    }
    files
}

/// Copies as the pipeline does where nothing has to change.
async fn copy(from: &dyn Source, to: Box<dyn Destination>) {
    let top = from.manifest(&Which::Top).await.unwrap();
    match top.parse().unwrap() {
        Manifest::Image(_) => copy_instance(from, &*to, &Which::Top).await,
        Manifest::Index(list) => {
            for instance in list.instances() {
                let which = Which::Instance(instance.descriptor.digest);
                copy_instance(from, &*to, &which).await;
            }
            to.put_manifest(&top, &Which::Top).await.unwrap();
        }
    }
    to.commit(&top).await.unwrap();
}

async fn copy_instance(from: &dyn Source, to: &dyn Destination, which: &Which) {
    let raw = from.manifest(which).await.unwrap();
    let Manifest::Image(image) = raw.parse().unwrap() else { panic!("a list in a list") };
    let blobs = image.layers().into_iter().map(|layer| layer.blob);
    for blob in blobs.chain(image.config().cloned()) {
        let bytes = from.blob(&blob).await.unwrap().expect(&blob.digest, blob.size);
        to.put_blob(bytes, Role::Config).await.unwrap();
    }
    to.put_manifest(&raw, which).await.unwrap();
    let signatures = from.signatures(which).await.unwrap();
    to.put_signatures(&signatures, which).await.unwrap();
}

/// Writes an image, or a list, to `dir:` and `oci:` by both programs, each from what the other has
/// written, and compares.
async fn compare(place: &Place, all: bool) {
    let path = |text: &str| text.replace("{}", place.folder.path().to_str().unwrap());
    let theirs = |from: &str, to: &str| {
        let (from, to) = (path(from), path(to));
        let mut arguments = vec!["copy", from.as_str(), to.as_str()];
        arguments.extend(all.then_some("--all"));
        original(&arguments)
    };
    let ours = async |from: &str, to: &str| {
        let from = open(&place.name(from), &place.options).await.unwrap();
        copy(&*from, create(&place.name(to), &place.options).await.unwrap()).await;
    };
    let Some(()) = theirs("dir:{}/image", "oci:{}/layout-theirs:tag") else { return };
    ours("dir:{}/image", "oci:{}/layout-ours:tag").await;
    theirs("oci:{}/layout-ours:tag", "dir:{}/dir-theirs");
    ours("oci:{}/layout-theirs:tag", "dir:{}/dir-ours").await;
    theirs("dir:{}/dir-ours", "dir:{}/again-theirs");
    ours("dir:{}/dir-theirs", "dir:{}/again-ours").await;

    let read = |name: &str| contents(&place.folder.path().join(name));
    assert_eq!(read("dir-ours"), read("dir-theirs"));
    assert_eq!(read("again-ours"), read("again-theirs"));
    assert_eq!(read("again-ours"), read("image"));
    let added = "\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\"";
    assert!(read("layout-ours")["index.json"].contains(added));
    let read_layout = |name: &str| {
        let mut files = read(name);
        let edits = [("index.json", added, "\"manifests\""), ("oci-layout", ": ", ":")];
        for (file, text, instead) in edits {
            let content = files.get_mut(file).unwrap();
            *content = content.replace(text, instead);
        }
        files
    };
    assert_eq!(read_layout("layout-ours"), read_layout("layout-theirs"));

    // Both add to what the other has begun.
    theirs("dir:{}/image", "oci:{}/layout-ours:more");
    theirs("dir:{}/image", "oci:{}/layout-ours");
    ours("dir:{}/image", "oci:{}/layout-theirs:more").await;
    ours("dir:{}/image", "oci:{}/layout-theirs").await;
    assert_eq!(read_layout("layout-ours"), read_layout("layout-theirs"));
}

#[tokio::test]
async fn images_are_the_same() {
    let place = Place::dir().await;
    Sample::gzipped(1).await.put(place.create().await).await.unwrap();
    compare(&place, false).await;
}

#[tokio::test]
async fn lists_are_the_same() {
    let place = Place::dir().await;
    let instances = [Sample::gzipped(1).await, Sample::gzipped(2).await];
    let index = Sample::index(&instances);
    let to = place.create().await;
    for instance in &instances {
        instance.put_blobs(&*to).await.unwrap();
        to.put_manifest(&instance.manifest, &Which::Instance(instance.digest())).await.unwrap();
    }
    to.put_manifest(&index, &Which::Top).await.unwrap();
    to.commit(&index).await.unwrap();
    compare(&place, true).await;
}

#[tokio::test]
async fn signatures_are_the_same() {
    let place = Place::dir().await;
    let sample = Sample::gzipped(1).await;
    let to = place.create().await;
    sample.put_blobs(&*to).await.unwrap();
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    let signatures = [1, 2].map(|n| Signature::Simple(vec![0xA3, n].into()));
    to.put_signatures(&signatures, &Which::Top).await.unwrap();
    to.commit(&sample.manifest).await.unwrap();
    let folder = place.folder.path();
    let (from, to) = (folder.join("image"), folder.join("theirs"));
    let name = |path: &Path| format!("dir:{}", path.display());
    if original(&["copy", &name(&from), &name(&to)]).is_some() {
        assert_eq!(contents(&from), contents(&to));
        let theirs = open(&place.name("dir:{}/theirs"), &place.options).await.unwrap();
        assert_eq!(theirs.signatures(&Which::Top).await.unwrap(), signatures);
    }
}
