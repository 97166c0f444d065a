//! `docker-archive:`, beside the installed original, and read by others.

mod existing;
mod others;

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

fn names(file: &Path) -> Vec<String> {
    let output = std::process::Command::new("tar").arg("tf").arg(file).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
