//! Other programs read what we wrote.

use super::*;

/// Layers that are packed stay as they are, byte for byte; the others are packed.
#[test]
fn layers_stay_packed_where_that_is_asked() {
    let home = Home::new();
    let image = Image::builder(4).layers(2).layer(Compression::Uncompressed).build();
    image.write_dir(&home.path("work/from"));
    let to = "docker-archive:packed.tar:localhost/p:1";
    skopeo(&home, &["copy", "-q", "--dest-compress", "dir:from", to]).success();
    let file = home.path("work/packed.tar");
    let mut packed = Vec::new();
    for name in names(&file) {
        if let Some(hex) = name.strip_suffix(".tar").filter(|hex| hex.len() == 64) {
            let words = [&["-xOf".as_ref(), file.as_os_str()][..], &[name.as_ref()]].concat();
            let bytes = std::process::Command::new("tar").args(words).output().unwrap().stdout;
            assert_eq!(Digest::sha256(&bytes).hex(), hex);
            assert!(bytes.starts_with(&[0x1f, 0x8b]), "{name}");
            packed.push(hex.to_owned());
        }
    }
    assert_eq!(packed.len(), image.layers().len());
    for layer in image.layers() {
        let stays = layer.compression != Compression::Uncompressed;
        assert_eq!(packed.iter().any(|hex| hex == layer.digest.hex()), stays, "{layer:?}");
    }
    skopeo(&home, &["copy", "-q", "docker-archive:packed.tar", "dir:back"]).success();
    for layer in image.layers() {
        assert!(home.path("work/back").join(layer.diff_id.hex()).exists(), "{layer:?}");
    }
    // What is added to it unpacks what is there, and reads as before.
    Image::new(7).write_dir(&home.path("work/other"));
    skopeo(&home, &["copy", "-q", "dir:other", "docker-archive:packed.tar:localhost/y:1"])
        .success();
    assert_eq!(tags(&home, "packed.tar"), ["localhost/p:1", "localhost/y:1"]);
    skopeo(&home, &["copy", "-q", "docker-archive:packed.tar:localhost/p:1", "dir:again"])
        .success();
    for layer in image.layers() {
        assert!(home.path("work/again").join(layer.diff_id.hex()).exists(), "{layer:?}");
    }
}

/// Podman and buildah with stores of their own.
#[test]
fn podman_and_buildah_read_what_we_wrote() {
    let home = Home::new();
    let image = Image::builder(1).layers(2).build();
    image.write_dir(&home.path("work/from"));
    let id = Digest::sha256(image.config().unwrap());
    skopeo(&home, &["copy", "-q", "dir:from", "docker-archive:a.tar:localhost/x:1"]).success();
    Image::new(7).write_dir(&home.path("work/other"));
    skopeo(&home, &["copy", "-q", "dir:other", "docker-archive:a.tar:localhost/y:1"]).success();
    let packed = Image::builder(12).layers(2).layer(Compression::Uncompressed).build();
    packed.write_dir(&home.path("work/plain"));
    let packed_id = Digest::sha256(packed.config().unwrap());
    let to = "docker-archive:packed.tar:localhost/p:1";
    skopeo(&home, &["copy", "-q", "--dest-compress", "dir:plain", to]).success();
    let [root, run_root] = ["root", "run"].map(|it| home.path(format!("tmp/{it}")));
    let conf =
        format!("[storage]\ndriver = \"vfs\"\ngraphroot = {root:?}\nrunroot = {run_root:?}\n");
    home.write("home/.config/containers/storage.conf", &conf);
    let store = |name: &str| {
        let path = |kind: &str| home.path(format!("tmp/{name}-{kind}")).display().to_string();
        [
            "--root".into(),
            path("root"),
            "--runroot".into(),
            path("run"),
            "--storage-driver".into(),
            "vfs".into(),
        ]
    };
    if !Path::new("/usr/bin/podman").exists() {
        skip!("podman is not installed");
    }
    let podman = |words: &[&str]| {
        let mut all: Vec<String> = store("podman").to_vec();
        all.extend(words.iter().map(|word| (*word).to_owned()));
        run(&home, "/usr/bin/podman", &all).success()
    };
    podman(&["load", "-i", "a.tar"]);
    let listed = podman(&["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
    assert!(listed.stdout.contains(&format!("localhost/x:1 {id}")), "{listed}");
    assert!(listed.stdout.contains("localhost/y:1"), "{listed}");
    podman(&["load", "-i", "packed.tar"]);
    let listed = podman(&["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
    assert!(listed.stdout.contains(&format!("localhost/p:1 {packed_id}")), "{listed}");
    podman(&["save", "-o", "saved.tar", "localhost/x:1"]);
    skopeo(&home, &["copy", "-q", "docker-archive:saved.tar:localhost/x:1", "dir:back"]).success();
    assert!(home.path("work/back").join(id.hex()).exists());
    // What podman saved is added to as well.
    skopeo(&home, &["copy", "-q", "dir:other", "docker-archive:saved.tar:localhost/z:1"]).success();
    assert_eq!(tags(&home, "saved.tar"), ["localhost/x:1", "localhost/z:1"]);

    if !Path::new("/usr/bin/buildah").exists() {
        skip!("buildah is not installed");
    }
    let mut words: Vec<String> = store("buildah").to_vec();
    words.extend(["pull", "docker-archive:a.tar:localhost/x:1"].map(str::to_owned));
    let pulled = run(&home, "/usr/bin/buildah", &words).success();
    assert!(pulled.stdout.contains(id.hex()), "{pulled}");
}

#[test]
fn docker_reads_what_we_wrote_and_the_reverse() {
    let daemon = match Dockerd::start() {
        Ok(daemon) => daemon,
        Err(why) => skopeo_testkit::cannot!("{why}"),
    };
    let home = Home::new();
    // One layer is in both, so that what docker saves has a link.
    let image = |seed| {
        let layers = Image::builder(seed).layer_of(1, Compression::Gzip);
        layers.layer_of(seed, Compression::Gzip).build()
    };
    for (seed, name) in [(10, "one:1"), (11, "two:1")] {
        image(seed).write_dir(&home.path("work").join(name));
        let to = format!("docker-archive:all.tar:{name}");
        skopeo(&home, &["copy", "-q", &format!("dir:./{name}"), &to]).success();
    }
    let all = home.work("all.tar");
    let loaded = daemon.docker(&["load", "-i", &all]).success();
    assert!(loaded.stdout.contains("one:1") && loaded.stdout.contains("two:1"), "{loaded}");
    let saved = home.work("saved.tar");
    daemon.docker(&["save", "-o", &saved, "one:1", "two:1"]).success();
    // Docker has an order of its own each time.
    let mut saved_tags = tags(&home, "saved.tar");
    saved_tags.sort();
    assert_eq!(saved_tags, ["one:1", "two:1"]);
    for name in ["one:1", "two:1"] {
        let raw = |file: &str| {
            let words = ["inspect", "--raw", &format!("docker-archive:{file}:{name}")];
            skopeo(&home, &words).success().stdout
        };
        assert_eq!(raw("saved.tar"), raw("all.tar"));
        let from = format!("docker-archive:saved.tar:{name}");
        skopeo(&home, &["copy", "-q", &from, &format!("dir:./back-{name}")]).success();
    }
    // And what docker saved is added to, and loaded again.
    skopeo(&home, &["copy", "-q", "dir:./one:1", "docker-archive:saved.tar:three:1"]).success();
    let loaded = daemon.docker(&["load", "-i", &saved]).success();
    assert!(loaded.stdout.contains("three:1"), "{loaded}");
}
