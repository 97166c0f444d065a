//! `skopeo copy` of some platforms of a list, and of lists with more than there was; what other
//! programs make of them.

use serde_json::Value;
use skopeo_image::MediaType;
use skopeo_testkit::registry::real::Real;
use skopeo_testkit::run::{installed, original};
use skopeo_testkit::{Format, Home, Image, Registry, skip};

use crate::program::{at_home, fatal};
use crate::stage::whole_layout;

const PLATFORMS: &str = "linux/amd64,linux/arm64/v8";

/// A home with a list of three platforms and what attests each.
fn home() -> (Home, Image) {
    let home = Home::new();
    let list = Image::attested_platforms(1, 3);
    list.write_oci(&home.path("work/from"), Some("list"));
    (home, list)
}

fn manifests(home: &Home, image: &str) -> Vec<Value> {
    let run = at_home(home, &["inspect", "--raw", image]).success();
    run.json()["manifests"].as_array().unwrap().clone()
}

fn digests(manifests: &[Value]) -> Vec<String> {
    manifests.iter().map(|it| it["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_index_lists_what_there_is_everywhere() {
    let (home, list) = home();
    let registry = Registry::start();
    home.insecure(&[&registry.host()]);
    let expected: Vec<String> =
        [0, 1, 3, 4].map(|at| list.instances()[at].digest().to_string()).to_vec();
    let docker = registry.docker("to:part");
    for to in ["oci:to:part", "oci-archive:to.tar:part", "dir:to-dir", &docker] {
        let copy = ["copy", "--multi-arch", PLATFORMS, "oci:from:list", to];
        let run = at_home(&home, &copy).success();
        assert!(run.stdout.contains("Copying 4 images generated from 6 images in list\n"), "{run}");
        assert!(run.stderr.contains("level=warning"), "{run}");
        assert!(run.stderr.contains("not attestations, linux/arm/v7: its digest is"), "{run}");
        assert_eq!(digests(&manifests(&home, to)), expected, "{to}");
        // Once more there is nothing to do, where that is cheap to know.
        let run = at_home(&home, &copy).success();
        let skips = run.stdout.ends_with("Skipping: image already present at destination\n");
        assert_eq!(skips, to != "dir:to-dir", "{run}");
        assert_eq!(at_home(&home, &[&["copy", "-q"], &copy[1..]].concat()).success().stderr, "");
    }
    whole_layout(&home.path("work/to"));
    // What was narrowed is an index as any other.
    at_home(&home, &["copy", "--all", "--preserve-digests", "oci:to:part", "dir:again"]).success();
    let strip = ["copy", "--multi-arch=linux/arm", "--strip-removed-platforms"];
    let run = at_home(&home, &[&strip[..], &["oci:from:list", "oci:to:arm"]].concat());
    run.success();
    assert_eq!(manifests(&home, "oci:to:arm").len(), 2);
}

#[test]
fn a_sparse_index_stays_as_it_is() {
    let (home, list) = home();
    let sparse = ["copy", "--multi-arch", "linux/arm64", "--multi-arch-sparse"];
    let copy = [&sparse[..], &["--preserve-digests", "oci:from:list", "dir:to"]].concat();
    let run = at_home(&home, &copy).success();
    assert!(run.stderr.contains("lists images that were not copied: "), "{run}");
    let written = fs_err::read(home.path("work/to/manifest.json")).unwrap();
    assert_eq!(written, list.manifest().bytes);
    let copied = fs_err::read_dir(home.path("work/to")).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".manifest.json")
    });
    assert_eq!(copied.count(), 2);
}

#[test]
fn artifacts_go_wherever_they_can_live_and_nowhere_else() {
    let home = Home::new();
    let registry = Registry::start();
    home.insecure(&[&registry.host()]);
    let image = Image::new(2);
    let one = |seed| Image::builder(seed).artifact("application/x").subject(&image).build();
    let (artifact, index) = (one(1), Image::list(vec![one(1), one(3)]));
    artifact.write_oci(&home.path("work/from"), Some("one"));
    index.write_oci(&home.path("work/from"), Some("index"));
    let docker = registry.docker("to");
    for (tag, made) in [("one", &artifact), ("index", &index)] {
        let mut from = format!("oci:from:{tag}");
        for to in [
            format!("{docker}:{tag}"),
            format!("dir:dir-{tag}"),
            format!("oci-archive:{tag}.tar:{tag}"),
            format!("oci:to:{tag}"),
        ] {
            // Whatever is asked of layers is not asked of what is no layer.
            let flags = ["-q", "--all", "--dest-compress-format", "zstd"];
            at_home(&home, &[&["copy"], &flags[..], &[&from, &to]].concat()).success();
            let raw = at_home(&home, &["inspect", "--raw", &to]).success().stdout;
            assert_eq!(raw.as_bytes(), made.manifest().bytes, "{to}");
            from = to;
        }
    }
    whole_layout(&home.path("work/to"));
    for to in ["docker-archive:no.tar", "docker-daemon:a/b:c"] {
        let flags = ["copy", "--dest-daemon-host", "unix:///nonexistent", "oci:from:one", to];
        let run = at_home(&home, &flags).failure(1);
        if !run.stderr.contains("docker daemon") {
            assert!(fatal(&run).contains("on artifact with type \"application/x\""), "{run}");
            assert!(run.stderr.contains("hint: an artifact can be copied to"), "{run}");
        }
        assert!(!home.path("work/no.tar").exists());
    }
}

#[test]
fn what_cannot_be_is_said() {
    let (home, _) = home();
    Image::new(9).write_oci(&home.path("work/from"), Some("single"));
    Image::builder(8)
        .artifact("application/x")
        .build()
        .write_oci(&home.path("work/from"), Some("artifact"));
    let copy = |flags: &[&str], from: &str| {
        let from = format!("oci:from:{from}");
        at_home(&home, &[&["copy"], flags, &[&from, "oci:to:x"]].concat())
    };
    let run = copy(&["--multi-arch", "linux/amd64,linux/mips"], "list").failure(1);
    assert_eq!(
        fatal(&run),
        "preparing instances for copy: no instances found for platform linux/mips: there are \
         [linux/amd64, linux/arm/v7, linux/arm64/v8]"
    );
    let run = copy(&["--multi-arch", "linux/amd64", "--preserve-digests"], "list").failure(1);
    let reason = " from manifest list, but we cannot: Instructed to preserve digests";
    assert!(fatal(&run).ends_with(reason), "{run}");
    assert!(run.stderr.contains("hint: --multi-arch-sparse leaves the index as it is"), "{run}");
    let run = copy(&["--multi-arch", "linux/arm64"], "single").failure(1);
    assert_eq!(
        fatal(&run),
        "preparing instances for copy: no instances found for platform linux/arm64: the image is \
         for linux/amd64"
    );
    copy(&["--multi-arch", "linux/arm64,linux/amd64"], "single").success();
    copy(&["--multi-arch", "linux/arm64"], "artifact").success();
    let add = ["--multi-arch", "linux/amd64", "--add-compression", "zstd"];
    let run = copy(&add, "single").failure(1);
    assert!(fatal(&run).starts_with("adding a variant of an image compressed using zstd"));
}

#[test]
fn old_clients_take_gzip_and_new_ones_zstd() {
    for format in [Format::Oci, Format::Docker] {
        let home = Home::new();
        let registry = Registry::start();
        home.insecure(&[&registry.host()]);
        let image = |at: u64, architecture: &str| {
            Image::builder(at).format(format).platform("linux", architecture, "").build()
        };
        let list = Image::list(vec![image(1, "amd64"), image(2, "arm64")]);
        list.push(&registry, "from:1");
        let to = registry.docker("to:1");
        let add = ["copy", "--all", "--add-compression", "zstd"];
        let run = at_home(&home, &[&add[..], &[&registry.docker("from:1"), &to]].concat());
        let run = run.success();
        assert!(run.stdout.contains("Copying 4 images generated from 2 images in list\n"), "{run}");
        let manifests = manifests(&home, &to);
        assert_eq!(manifests.len(), 4);
        let before: Vec<String> =
            list.instances().iter().map(|it| it.digest().to_string()).collect();
        assert_eq!(digests(&manifests)[..2], before);
        let linux = ["--override-os", "linux", "--override-arch", "arm64"];
        let ours = [&linux[..], &["copy", &to, "dir:ours"]].concat();
        at_home(&home, &ours).success();
        let layers = |folder: &str| {
            let bytes = fs_err::read(home.path(format!("work/{folder}/manifest.json"))).unwrap();
            let manifest: Value = serde_json::from_slice(&bytes).unwrap();
            manifest["layers"][0]["mediaType"].as_str().unwrap().to_owned()
        };
        assert_eq!(layers("ours"), MediaType::OCI_LAYER_ZSTD.as_str());
        let Some(original) = original() else { skip!("skopeo is not installed") };
        let old = [&linux[..], &["--insecure-policy", "copy", &to, "dir:theirs"]].concat();
        skopeo_testkit::run(&home, &original, &old).success();
        assert!(layers("theirs").ends_with("gzip"), "{}", layers("theirs"));
        // The original copies the whole of it as it is.
        let all = ["--insecure-policy", "copy", "--all", "--preserve-digests", &to, "dir:whole"];
        skopeo_testkit::run(&home, &original, &all).success();
        assert_eq!(
            fs_err::read(home.path("work/whole/manifest.json")).unwrap(),
            at_home(&home, &["inspect", "--raw", &to]).success().stdout.into_bytes()
        );
    }
}

#[test]
fn a_registry_that_checks_takes_what_was_narrowed_or_added() {
    let Some(registry) = Real::start() else { skip!("docker-registry is not installed") };
    let (home, _) = home();
    home.insecure(&[&registry.host()]);
    let sparse = [
        "copy",
        "--multi-arch",
        PLATFORMS,
        "--multi-arch-sparse",
        "oci:from:list",
        &registry.docker("sparse:1"),
    ];
    let run = at_home(&home, &sparse).failure(1);
    assert!(fatal(&run).starts_with("Uploading manifest list failed"), "{run}");
    let part = registry.docker("part:1");
    at_home(&home, &["copy", "--multi-arch", PLATFORMS, "oci:from:list", &part]).success();
    let chunked = registry.docker("chunked:1");
    let add = ["--multi-arch", PLATFORMS, "--add-compression", "zstd:chunked"];
    at_home(&home, &[&["copy"], &add[..], &["oci:from:list", &chunked]].concat()).success();
    let both = registry.docker("both:1");
    let add = ["--multi-arch", PLATFORMS, "--add-compression", "zstd"];
    at_home(&home, &[&["copy"], &add[..], &["oci:from:list", &both]].concat()).success();
    assert_eq!(manifests(&home, &both).len(), 6);
    for image in [&part, &both, &chunked] {
        podman(&home, image, "linux/arm64/v8");
    }
}

/// Has podman pull an instance of the list.
fn podman(home: &Home, image: &str, platform: &str) {
    let Some(podman) = installed("podman") else { skip!("podman is not installed") };
    let (root, run) = (home.work("podman"), home.work("podman-run"));
    let conf = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{root}\"\nrunroot = \"{run}\"\n\
         rootless_storage_path = \"{root}\"\n"
    );
    home.write("home/.config/containers/storage.conf", &conf);
    let store = ["--root", &root, "--runroot", &run, "--storage-driver", "vfs"];
    let pull = ["pull", "-q", "--tls-verify=false", "--platform", platform, image];
    skopeo_testkit::run(home, &podman, &[&store[..], &pull].concat()).success();
}
