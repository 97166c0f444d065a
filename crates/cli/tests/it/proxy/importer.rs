//! The importer of bootc and rpm-ostree, which puts images into a real ostree repository through
//! our program.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};
use skopeo_image::{Compression, Digest};
use skopeo_testkit::image::compress;
use skopeo_testkit::{Fault, Home, On, Registry, Run, Tar, cannot, run};

use crate::stage::{SKOPEO, home, skopeo};

const OSTREE: &str = "/usr/bin/ostree";

/// Where `cargo xtask test` has built it.
fn built() -> Option<PathBuf> {
    let target = Path::new(SKOPEO).parent()?.parent()?;
    let found = target.join("peers/importer/debug/ostree-importer");
    (found.exists() && Path::new(OSTREE).exists()).then_some(found)
}

/// It, in a home in which the program `skopeo` is ours.
struct Importer {
    program: PathBuf,
    home: Home,
}

impl Importer {
    fn new(program: PathBuf, registry: &Registry) -> Self {
        let home = home(&[&registry.host()]);
        fs::create_dir(home.path("bin")).unwrap();
        fs_err::os::unix::fs::symlink(SKOPEO, home.path("bin/skopeo")).unwrap();
        let path = format!("{}:/usr/bin:/bin", home.path("bin").display());
        let home = home.variable("PATH", &path);
        let importer = Self { program, home };
        for repository in ["source", "repo"] {
            importer.ostree(repository, &["init", "--mode=bare-user"]);
        }
        importer
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Run {
        run(&self.home, &self.program, &[&["container"], words].concat())
    }

    #[track_caller]
    fn ostree(&self, repository: &str, words: &[&str]) -> Run {
        let repository = format!("--repo={repository}");
        run(&self.home, OSTREE, &[&[repository.as_str()], words].concat()).success()
    }

    /// An image with a commit of ostree's and a layer of files on it, in the layout `image`.
    fn image(&self) -> Image {
        let big: Vec<u8> =
            (0..900_000_u32).flat_map(|it| it.wrapping_mul(it).to_le_bytes()).collect();
        self.home.write("work/tree/usr/bin/a", "a program\n");
        fs::create_dir_all(self.home.path("work/tree/usr/etc")).unwrap();
        fs::write(self.home.path("work/tree/usr/big"), &big).unwrap();
        let commit = ["commit", "-b", "os/base", "--tree=dir=tree", "--canonical-permissions"];
        self.ostree("source", &commit);
        self.run(&["encapsulate", "--repo=source", "os/base", "oci:image:base"]).success();

        let layout = self.home.path("work/image");
        let blob = |bytes: &[u8]| {
            let digest = Digest::sha256(bytes);
            fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
            digest.to_string()
        };
        let read = |digest: &Value| -> Value {
            let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
            serde_json::from_slice(&fs::read(layout.join("blobs/sha256").join(hex)).unwrap())
                .unwrap()
        };
        let files = Tar::new()
            .folder("usr/share/")
            .file("usr/share/more", "more")
            .file("etc/told", "told")
            .end();
        let packed = compress(&files, Compression::Gzip);

        let mut index: Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let mut manifest = read(&index["manifests"][0]["digest"]);
        let mut config = read(&manifest["config"]["digest"]);
        let base = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
        let diff_ids = config["rootfs"]["diff_ids"].as_array_mut().unwrap();
        diff_ids.push(json!(Digest::sha256(&files).to_string()));
        config["history"].as_array_mut().unwrap().push(json!({"created_by": "COPY"}));
        let config = config.to_string();
        manifest["config"]["digest"] = json!(blob(config.as_bytes()));
        manifest["config"]["size"] = json!(config.len());
        let added = blob(&packed);
        manifest["layers"].as_array_mut().unwrap().push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": added, "size": packed.len(),
        }));
        let manifest = manifest.to_string();
        index["manifests"][0]["digest"] = json!(blob(manifest.as_bytes()));
        index["manifests"][0]["size"] = json!(manifest.len());
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
        Image { base, added, big }
    }
}

struct Image {
    base: String,
    added: String,
    big: Vec<u8>,
}

/// The name that ostree has for a layer.
fn layer(digest: &str) -> String {
    format!("ostree/container/blob/{}", digest.replace(':', "_3A_"))
}

#[test]
fn an_image_is_imported_into_a_repository_and_exported_again() {
    let Some(program) = built() else {
        cannot!("the importer of bootc is not built: cargo xtask test does it");
    };
    let registry = Registry::start();
    let importer = Importer::new(program, &registry);
    let image = importer.image();
    let there = registry.docker("os/image:v1");
    skopeo(&importer.home, &["copy", "oci:image:base", &there]).success();
    registry.forget_requests();

    let name = format!("ostree-unverified-image:{there}");
    let said = importer.run(&["image", "pull", "repo", &name]).success();
    assert!(said.stdout.contains("layers needed: 2"), "{said}");
    assert_eq!(registry.count(&On::blobs().method("GET")), 3, "{:#?}", registry.lines());
    let said = importer.run(&["image", "list", "--repo", "repo"]).success();
    assert_eq!(said.stdout.trim(), there);
    let read = |digest: &str, path: &str| {
        let mut command = importer.home.command(OSTREE);
        command.args(["--repo=repo", "cat", &layer(digest), path]).output().unwrap().stdout
    };
    assert_eq!(read(&image.base, "/usr/big"), image.big);
    assert_eq!(read(&image.base, "/usr/bin/a"), b"a program\n");
    assert_eq!(read(&image.added, "/usr/share/more"), b"more");
    assert_eq!(read(&image.added, "/usr/etc/told"), b"told");

    // What is there is not fetched again.
    registry.forget_requests();
    importer.run(&["image", "pull", "repo", &name]).success();
    assert_eq!(registry.count(&On::blobs().method("GET")), 0, "{:#?}", registry.lines());

    // The way back is a copy by us, out of a folder that is open in descriptor 3. The layers are
    // made anew by ostree, so the image is another: docs/decisions/ostree.md.
    let again = registry.host() + "/os/again:v1";
    let from = there.replace("docker://", "registry:");
    importer
        .run(&["image", "reexport", "--repo=repo", &from, &format!("registry:{again}")])
        .success();
    let said = skopeo(&importer.home, &["inspect", &format!("docker://{again}")]).success();
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    let layers = told["Layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2, "{said}");
    assert_ne!(layers[1], json!(image.added));
}

#[test]
fn a_registry_that_ends_in_the_middle_leaves_no_image() {
    let Some(program) = built() else {
        cannot!("the importer of bootc is not built: cargo xtask test does it");
    };
    let registry = Registry::start();
    let importer = Importer::new(program, &registry);
    let image = importer.image();
    let there = registry.docker("os/image:v1");
    skopeo(&importer.home, &["copy", "oci:image:base", &there]).success();
    registry.fault(Fault::corrupt(On::blobs().containing(&image.added)));

    let name = format!("ostree-unverified-image:{there}");
    let said = importer.run(&["image", "pull", "repo", &name]).failure(1);
    assert!(said.stderr.contains("igest"), "{said}");
    assert_eq!(importer.run(&["image", "list", "--repo", "repo"]).success().stdout.trim(), "");

    registry.mend();
    importer.run(&["image", "pull", "repo", &name]).success();
    assert_eq!(importer.run(&["image", "list", "--repo", "repo"]).success().stdout.trim(), there);
}
