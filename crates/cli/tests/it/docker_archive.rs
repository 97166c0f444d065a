//! `docker-archive:`, beside the installed original, and read by others.

use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use serde_json::{Value, json};
use skopeo_blob::MaxUnpacked;
use skopeo_image::{Compression, Digest};
use skopeo_testkit::image::compress;
use skopeo_testkit::run::run_with_input;
use skopeo_testkit::{
    Dockerd, Fault, Format, Home, Image, On, Registry, Run, Tar, Twin, run, skip,
};

use crate::program::{at_home, fatal};
use crate::stage::{SKOPEO, skopeo, start, whole_dir, whole_layout};

/// Images of all shapes that archives take.
fn images() -> Vec<(&'static str, Image)> {
    let twice = Image::builder(5).layer_of(9, Compression::Gzip).layer_of(8, Compression::Gzip);
    vec![
        ("oci", Image::new(1)),
        ("docker", Image::builder(2).format(Format::Docker).layers(3).build()),
        ("plain", Image::builder(3).layer(Compression::Uncompressed).build()),
        ("twice", twice.layer_of(9, Compression::Gzip).build()),
        ("bare", Image::builder(6).layers(0).no_history().format(Format::Docker).build()),
        ("schema1", Image::builder(7).format(Format::Schema1Signed).layers(2).build()),
    ]
}

/// An image as old and new `docker save` have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A folder for each layer; a layer that is there twice is a link.
    Legacy,
    /// Blobs of a layout, with packed layers.
    Layout,
    /// All at the top, as the original writes it.
    Flat,
}

/// What `manifest.json` says of an image, and the files it speaks of.
fn saved(mut tar: Tar, image: &Image, tags: &Value, shape: Shape) -> (Tar, Value) {
    let config = image.config().unwrap();
    let hex = Digest::sha256(config).hex().to_owned();
    let config_path = match shape {
        Shape::Layout => format!("blobs/sha256/{hex}"),
        Shape::Legacy | Shape::Flat => format!("{hex}.json"),
    };
    tar = tar.file(&config_path, config);
    let mut paths: Vec<String> = Vec::new();
    for (at, layer) in image.layers().iter().enumerate() {
        let plain = unpacked(&layer.bytes, layer.compression);
        let first = image.layers().iter().position(|it| it.diff_id == layer.diff_id).unwrap();
        let (path, next) = match shape {
            Shape::Layout => {
                let path = format!("blobs/sha256/{}", layer.digest.hex());
                let next = if first == at { tar.file(&path, &layer.bytes) } else { tar };
                (path, next)
            }
            Shape::Legacy => {
                let path = format!("{at:064}/layer.tar");
                let tar =
                    tar.folder(&format!("{at:064}/")).file(&format!("{at:064}/VERSION"), "1.0");
                let next = if first == at {
                    tar.file(&path, plain)
                } else {
                    tar.symlink(&path, &format!("../{first:064}/layer.tar"))
                };
                (path, next)
            }
            Shape::Flat => {
                let path = format!("{}.tar", layer.diff_id.hex());
                let next = if first == at { tar.file(&path, plain) } else { tar };
                (path, next)
            }
        };
        tar = next;
        paths.push(path);
    }
    (tar, json!({"Config": config_path, "RepoTags": tags, "Layers": paths}))
}

fn unpacked(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut reader = skopeo_blob::unpack(bytes, compression, MaxUnpacked::Usual).unwrap();
    std::io::copy(&mut reader, &mut plain).unwrap();
    plain
}

fn archive(images: &[(&Image, Value)], shape: Shape) -> Vec<u8> {
    let mut tar = Tar::new();
    let mut items = Vec::new();
    for (image, tags) in images {
        let (next, item) = saved(tar, image, tags, shape);
        tar = next;
        items.push(item);
    }
    tar.file("manifest.json", Value::from(items).to_string()).end()
}

fn twin() -> Option<Twin> {
    Twin::new(SKOPEO)
}

#[test]
fn archives_are_the_same_byte_for_byte() {
    let Some(twin) = twin() else { skip!("the original skopeo is not installed") };
    for (kind, image) in images() {
        twin.prepare(|home| image.write_dir(&home.path("work").join(kind)));
        let from = format!("dir:{kind}");
        for (at, (name, flags)) in [
            ("", &[][..]),
            (":busybox", &[]),
            (":quay.io/a/b:1", &["--additional-tag", "c:2,docker.io/library/d:3"]),
            ("", &["--additional-tag", "c:2", "--additional-tag", "c:2"]),
        ]
        .into_iter()
        .enumerate()
        {
            let to = format!("docker-archive:{kind}-{at}.tar{name}");
            let both = twin.run(&[&["copy", &from, &to], flags].concat()).success();
            let [theirs, ours] = [twin.original(), twin.ours()]
                .map(|side| fs::read(side.home.path(format!("work/{kind}-{at}.tar"))).unwrap());
            assert!(theirs == ours, "{kind} {at}: {both:?}");
        }
    }
}

/// With `--preserve-digests` layers stay compressed. An image that would have to be converted is
/// refused before a blob is read.
#[test]
fn preserved_digests_are_those_of_the_original() {
    let Some(twin) = twin() else { skip!("the original skopeo is not installed") };
    let registry = Registry::start();
    Image::builder(2).format(Format::Docker).layers(3).build().push(&registry, "a:docker");
    Image::new(1).push(&registry, "a:oci");
    let copy = |tag: &str, file: &str| {
        let (from, to) =
            (registry.docker(&format!("a:{tag}")), format!("docker-archive:{file}:b:1"));
        ["copy", "--preserve-digests", "--src-tls-verify=false", &from, &to].map(str::to_owned)
    };
    let [theirs, ours] = [twin.original(), twin.ours()].map(|side| {
        run(&side.home, &side.program, &copy("docker", "out.tar")).success();
        fs::read(side.home.path("work/out.tar")).unwrap()
    });
    assert!(theirs == ours);
    for side in [twin.original(), twin.ours()] {
        registry.forget_requests();
        let refused = run(&side.home, &side.program, &copy("oci", "none.tar")).failure(1);
        let sentence = "Unsupported manifest type, need a Docker schema 2 manifest";
        assert!(refused.stderr.contains(sentence), "{refused}");
    }
    assert_eq!(registry.count(&On::blobs().method("GET")), 0, "{:#?}", registry.lines());
}

#[test]
fn each_reads_what_the_other_wrote() {
    let Some(twin) = twin() else { skip!("the original skopeo is not installed") };
    let (theirs, ours) = (twin.original(), twin.ours());
    for (kind, image) in images() {
        image.write_dir(&theirs.home.path("work").join(kind));
        let from = format!("dir:{kind}");
        let mut read = Vec::new();
        for (writer, reader) in [(theirs, ours), (ours, theirs)] {
            let file = format!("{}-{kind}.tar", writer.program.to_string_lossy().len());
            let name = format!("docker-archive:{file}:x:1");
            run(&theirs.home, &writer.program, &["copy", "-q", &from, &name]).success();
            for to in ["dir:", "oci:"] {
                let to = format!("{to}{file}-{}", to.len());
                run(&theirs.home, &reader.program, &["copy", "-q", &name, &to]).success();
                let (transport, folder) = to.split_once(':').unwrap();
                let folder = theirs.home.path("work").join(folder);
                match transport {
                    "dir" => read.push(whole_dir(&folder).unwrap()),
                    _ => assert_eq!(whole_layout(&folder).len(), 1, "{kind}"),
                }
            }
        }
        // The same image by both ways; into layouts each packs layers by its own encoder.
        read.dedup();
        assert_eq!(read.len(), 1, "{kind}: {read:?}");
    }
}

#[test]
fn all_shapes_are_read_alike() {
    let Some(twin) = twin() else { skip!("the original skopeo is not installed") };
    let (one, other) = (images().swap_remove(4).1, Image::builder(20).layers(2).build());
    for shape in [Shape::Legacy, Shape::Layout, Shape::Flat] {
        let single = archive(&[(&one, json!(["busybox:1", "quay.io/a/b:2"]))], shape);
        let untagged = archive(&[(&one, Value::Null)], shape);
        let several = archive(
            &[(&one, json!(["busybox:1"])), (&other, json!([])), (&one, json!(null))],
            shape,
        );
        twin.prepare(|home| {
            for (name, bytes) in
                [("single", &single), ("untagged", &untagged), ("several", &several)]
            {
                fs::write(home.path("work").join(name), bytes).unwrap();
            }
        });
        for name in [
            "single",
            "single:busybox:1",
            "single:quay.io/a/b:2",
            "single:@0",
            "untagged",
            "several:busybox:1",
            "several:@0",
            "several:@1",
            // What is not there.
            "single:busybox",
            "single:@1",
            "several",
            "several:@3",
            "untagged:busybox:1",
            "single:@-1",
        ] {
            let from = format!("docker-archive:{name}");
            let raw = twin.run(&["inspect", "--raw", &from]);
            raw.assert_same();
            assert_eq!(fatal(&raw.ours), fatal(&raw.original), "{shape:?} {name}");
            twin.run(&["inspect", "--config", &from]).assert_same();
            let id = "{{.Name}} {{.Digest}} {{.RepoTags}} {{.Layers}}";
            twin.run(&["inspect", "-f", id, &from]).assert_same();
            let to = format!("dir:{shape:?}-{}", name.replace(['/', ':', '@'], "_"));
            let copied = twin.run(&["copy", "-q", &from, &to]);
            assert_eq!(copied.ours.code, copied.original.code, "{copied:?}");
            if copied.ours.code == Some(0) {
                twin.assert_same_tree(to.strip_prefix("dir:").unwrap());
            }
        }
        for name in ["single", "untagged", "several", "single:other:1", "none"] {
            let listed = twin.run(&["list-tags", &format!("docker-archive:{name}")]);
            listed.assert_same();
        }
    }
}

/// No twin: what 1.9.3 has to unpack, or gets through a pipe, it loses the beginning of.
#[test]
fn packed_archives_are_read() {
    let home = Home::new();
    let bytes = archive(&[(&Image::new(1), json!(["busybox:1"]))], Shape::Flat);
    fs::write(home.path("work/plain"), &bytes).unwrap();
    let raw = skopeo(&home, &["inspect", "--raw", "docker-archive:plain"]).success().stdout;
    for packer in ["gzip", "bzip2", "xz", "zstd"] {
        let packed = home.command(packer).arg("-c").arg("plain").output();
        let Ok(packed) = packed else { skip!("{packer} is not installed") };
        fs::write(home.path("work/packed"), &packed.stdout).unwrap();
        for name in ["packed", "packed:busybox:1", "packed:@0"] {
            let name = format!("docker-archive:{name}");
            assert_eq!(
                skopeo(&home, &["inspect", "--raw", &name]).success().stdout,
                raw,
                "{packer}"
            );
            skopeo(&home, &["copy", "-q", &name, "dir:to"]).success();
        }
        let words = ["inspect", "--raw", "docker-archive:/dev/stdin"];
        let piped = run_with_input(&home, SKOPEO, &words, &packed.stdout).success();
        assert_eq!(piped.stdout, raw, "{packer}");
        // What is cut off is broken, whatever it is packed with.
        fs::write(home.path("work/packed"), &packed.stdout[..packed.stdout.len() / 2]).unwrap();
        let cut = skopeo(&home, &["inspect", "--raw", "docker-archive:packed"]).failure(1);
        assert!(fatal(&cut).contains("unpacking archive packed"), "{cut}");
    }
    let words = ["inspect", "--raw", "docker-archive:/dev/stdin"];
    assert_eq!(run_with_input(&home, SKOPEO, &words, &bytes).success().stdout, raw);
    let left: Vec<_> = fs::read_dir(home.path("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Sentences about broken archives; where ours says more, the original's comes first.
#[test]
fn the_same_is_refused() {
    let Some(twin) = twin() else { skip!("the original skopeo is not installed") };
    let image = images().swap_remove(1).1;
    let item = |config: &str, layers: &[&str]| {
        json!([{"Config": config, "RepoTags": ["x:1"], "Layers": layers}]).to_string()
    };
    let (tar, proper) = saved(Tar::new(), &image, &json!(["x:1"]), Shape::Flat);
    let config = proper["Config"].as_str().unwrap();
    let layer = |at: usize| proper["Layers"][at].as_str().unwrap();
    for (what, manifest) in [
        ("no JSON", "{".to_owned()),
        ("another JSON", "{\"a\":1}".to_owned()),
        ("no images", "[]".to_owned()),
        ("no config", item("none.json", &[])),
        ("a layer too few", item(config, &[layer(0)])),
        ("a layer twice", item(config, &[layer(0), layer(0), layer(1)])),
        ("a layer missing", item(config, &[layer(0), layer(1), "none.tar"])),
        ("a layer for a config", item(layer(0), &[])),
        ("bad tags", json!([{"Config": config, "RepoTags": ["X"], "Layers": []}]).to_string()),
    ] {
        let bytes = tar.clone().file("manifest.json", &manifest).end();
        twin.prepare(|home| fs::write(home.path("work/a.tar"), &bytes).unwrap());
        for name in ["docker-archive:a.tar", "docker-archive:a.tar:x:1"] {
            let both = twin.run(&["inspect", "--raw", name]);
            // 1.9.3 has no quotes around names, 1.22 has.
            let unquoted = |run: &Run| fatal(run).replace('"', "");
            let (theirs, ours) = (unquoted(&both.original), unquoted(&both.ours));
            let begin = theirs.split(": invalid character").next().unwrap();
            let begin = begin.split(": unexpected end").next().unwrap();
            let begin = begin.split(": json: cannot").next().unwrap();
            assert!(ours.starts_with(begin), "{what}:\n{theirs}\n{ours}");
            assert_eq!(both.ours.code, both.original.code, "{what}");
        }
    }
    twin.prepare(|home| {
        fs::write(home.path("work/no.tar"), Tar::new().file("a", "b").end()).unwrap();
    });
    for words in [
        &["inspect", "docker-archive:no.tar"][..],
        &["inspect", "docker-archive:"],
        &["inspect", "docker-archive:a:UP"],
        &["inspect", "docker-archive:a:"],
        &["copy", "docker-archive:none.tar", "dir:x"],
        &["delete", "docker-archive:a.tar"],
        &["copy", "docker-archive:a.tar", "docker-archive:b.tar:@0"],
        &["list-tags", "docker-archive:no.tar"],
    ] {
        let both = twin.run(words);
        assert_eq!(both.ours.code, both.original.code, "{words:?} {both:?}");
        let unquoted = |run: &Run| fatal(run).replace('"', "");
        let (theirs, ours) = (unquoted(&both.original), unquoted(&both.ours));
        // Who could not be opened is named once.
        let theirs = theirs.replace("opening file none.tar: ", "");
        assert_eq!(ours, theirs, "{words:?}");
    }
}

fn tags(home: &Home, file: &str) -> Vec<String> {
    let run = skopeo(home, &["list-tags", &format!("docker-archive:{file}")]).success();
    serde_json::from_value(run.json()["Tags"].clone()).unwrap()
}

fn names(file: &Path) -> Vec<String> {
    let output = std::process::Command::new("tar").arg("tf").arg(file).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn images_are_added_and_what_is_there_is_not_stored_again() {
    let home = Home::new();
    let shared = |seed| {
        let layers = Image::builder(seed).layer_of(1, Compression::Gzip);
        layers.layer_of(seed, Compression::Gzip).label("seed", &seed.to_string()).build()
    };
    for seed in [10, 11, 12] {
        shared(seed).write_dir(&home.path(format!("work/{seed}")));
    }
    let copy = |seed: u64, to: &str| {
        skopeo(&home, &["copy", "-q", &format!("dir:{seed}"), &format!("docker-archive:{to}")])
    };
    copy(10, "all.tar:a:1").success();
    copy(11, "all.tar:b:1").success();
    copy(12, "all.tar").success();
    assert_eq!(tags(&home, "all.tar"), ["docker.io/library/a:1", "docker.io/library/b:1", "@2"]);
    // One layer is in all of them, one in each; every name is there once.
    let all = names(&home.path("work/all.tar"));
    let layers = all.iter().filter(|name| name.ends_with(".tar") && !name.contains('/')).count();
    assert_eq!(layers, 4);
    let mut once = all.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), all.len());

    // A tag moves to the image that is copied under it; the other stays.
    copy(12, "all.tar:a:1").success();
    assert_eq!(tags(&home, "all.tar"), ["@0", "docker.io/library/b:1", "docker.io/library/a:1"]);
    // And the same image again changes nothing but that it has one more name.
    copy(12, "all.tar:c:1").success();
    let expected =
        ["@0", "docker.io/library/b:1", "docker.io/library/a:1", "docker.io/library/c:1"];
    assert_eq!(tags(&home, "all.tar"), expected);
    assert_eq!(names(&home.path("work/all.tar")), all);

    // Each is what it is alone, for us and for the original.
    let mut programs = vec![SKOPEO.into()];
    programs.extend(run::original());
    for (seed, name) in [(10, "@0"), (11, "b:1"), (12, "a:1"), (12, "c:1")] {
        let alone = format!("alone-{seed}.tar");
        if !home.path("work").join(&alone).exists() {
            copy(seed, &alone).success();
        }
        for program in &programs {
            let digest = |name: &str| {
                let words = ["inspect", "--raw", &format!("docker-archive:{name}")];
                run(&home, program, &words).success().stdout
            };
            assert_eq!(digest(&format!("all.tar:{name}")), digest(&alone));
        }
        skopeo(&home, &["copy", "-q", &format!("docker-archive:all.tar:{name}"), "dir:x"])
            .success();
    }
}

#[test]
fn only_what_is_known_is_added_to() {
    let home = Home::new();
    let image = Image::new(1);
    image.write_dir(&home.path("work/from"));
    let flat = |shape| archive(&[(&image, json!(["a:1"]))], shape);
    let packed = compress(&flat(Shape::Flat), Compression::Gzip);
    let stranger = Tar::new().file("thesis.txt", "x").file("manifest.json", "[]").end();
    let bad = {
        let (tar, item) = saved(Tar::new(), &image, &json!(["a:1"]), Shape::Flat);
        let mut bytes = tar.file("manifest.json", json!([item]).to_string()).end();
        let at = bytes.windows(8).position(|it| it == b"the same").unwrap();
        bytes[at] ^= 1;
        bytes
    };
    for (what, bytes, sentence) in [
        ("packed", packed.to_vec(), "is compressed"),
        ("a stranger", stranger, "has more than images of Docker in it"),
        ("no image", Tar::new().file("a", "").end(), "has no manifest.json"),
        ("no tar", vec![b'x'; 600], "not a tar archive"),
        ("broken", bad, "Digest did not match"),
    ] {
        let file = home.path("work/to.tar");
        fs::write(&file, &bytes).unwrap();
        let run = at_home(&home, &["copy", "-q", "dir:from", "docker-archive:to.tar:b:1"]);
        let told = fatal(&run.failure(1));
        assert!(told.contains(sentence), "{what}: {told}");
        assert!(fs::read(&file).unwrap() == bytes, "{what}");
        let files: Vec<_> = fs::read_dir(home.path("work")).unwrap().collect();
        assert_eq!(files.len(), 2, "{what}: {files:?}");
    }
    // The shapes of docker are made ours.
    for shape in [Shape::Legacy, Shape::Flat] {
        fs::write(home.path("work/to.tar"), flat(shape)).unwrap();
        skopeo(&home, &["copy", "-q", "dir:from", "docker-archive:to.tar:b:1"]).success();
        assert_eq!(tags(&home, "to.tar"), ["a:1", "docker.io/library/b:1"]);
    }
    // An empty file is a new one, and a link is followed.
    fs::write(home.path("work/to.tar"), "").unwrap();
    std::os::unix::fs::symlink("to.tar", home.path("work/link")).unwrap();
    skopeo(&home, &["copy", "-q", "dir:from", "docker-archive:link:b:1"]).success();
    assert_eq!(tags(&home, "to.tar"), ["docker.io/library/b:1"]);
    assert!(home.path("work/link").is_symlink());
}

#[test]
fn a_killed_copy_leaves_the_old_archive() {
    let home = Home::new();
    let registry = Registry::start();
    home.insecure(&[&registry.host()]);
    let image = Image::builder(1).layers(3).layer_size(300_000).build();
    image.push(&registry, "new:1");
    Image::new(2).write_dir(&home.path("work/old"));
    skopeo(&home, &["copy", "-q", "dir:old", "docker-archive:all.tar:old:1"]).success();
    let before = fs::read(home.path("work/all.tar")).unwrap();
    let from = registry.docker("new:1");
    for layer in image.layers() {
        registry.fault(Fault::stall(On::blobs().containing(&layer.digest)).after(100_000));
        for to in ["all.tar:new:1", "fresh.tar:new:1"] {
            let mut child = start(&home, &["copy", "-q", &from, &format!("docker-archive:{to}")]);
            std::thread::sleep(Duration::from_millis(400));
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(fs::read(home.path("work/all.tar")).unwrap() == before);
            assert!(!home.path("work/fresh.tar").exists());
        }
        registry.mend();
    }
    skopeo(&home, &["copy", "-q", &from, "docker-archive:all.tar:new:1"]).success();
    let expected = ["docker.io/library/old:1", "docker.io/library/new:1"];
    assert_eq!(tags(&home, "all.tar"), expected);
}

#[test]
fn what_goes_through_a_pipe_is_the_same() {
    let home = Home::new();
    let image = Image::builder(1).layers(2).layer(Compression::Uncompressed).build();
    image.write_dir(&home.path("work/from"));
    skopeo(&home, &["copy", "-q", "dir:from", "docker-archive:file.tar:x:1"]).success();
    let script = |script: &str| -> Run {
        let script = script.replace("SKOPEO", SKOPEO);
        run(&home, "/bin/sh", &["-c", &script]).success()
    };
    script("SKOPEO copy dir:from docker-archive:/dev/stdout:x:1 | cat > pipe.tar");
    script("SKOPEO copy dir:from docker-archive:/dev/stdout:x:1 > redirected.tar");
    script("mkfifo f; cat f > fifo.tar & SKOPEO copy -q dir:from docker-archive:f:x:1; wait");
    let expected = fs::read(home.path("work/file.tar")).unwrap();
    for file in ["pipe.tar", "redirected.tar", "fifo.tar"] {
        assert!(fs::read(home.path("work").join(file)).unwrap() == expected, "{file}");
    }
    let spooled: Vec<_> = fs::read_dir(home.path("tmp")).unwrap().collect();
    assert!(spooled.is_empty(), "{spooled:?}");
}

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

/// Such an archive has no manifest: the blobs of an image of Docker keep their digests, and one that
/// would have to be converted is refused.
#[test]
fn digests_that_cannot_be_kept_are_refused() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/layout"), Some("oci"));
    let docker = Image::builder(2).format(Format::Docker).layer(Compression::Gzip).build();
    docker.write_dir(&home.path("work/docker"));
    let copy = |from: &str, to: &str| {
        at_home(&home, &["copy", "--preserve-digests", from, &format!("docker-archive:{to}:x:1")])
    };
    let run = copy("oci:layout:oci", "a.tar").failure(1);
    assert!(!fatal(&run).is_empty(), "{run}");
    assert!(!home.path("work/a.tar").exists());
    // Without the flag it is no matter.
    at_home(&home, &["copy", "oci:layout:oci", "docker-archive:b.tar:x:1"]).success();
    copy("dir:docker", "c.tar").success();
    let saved = fs::read(home.path("work/c.tar")).unwrap();
    let layer = &docker.layers()[0].bytes;
    assert!(saved.windows(layer.len()).any(|bytes| bytes == &layer[..]));
}
