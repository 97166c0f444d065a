//! `oci-archive:`, beside the installed original and others who read and write such archives.
//!
//! Debian's 1.9.3 differs from the current release, which we follow: it writes no `mediaType` into
//! the index and a space into `oci-layout`. Both write the time of the copy into the tar, and the
//! members in the order of their names; ours have no time, and come as they came.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use skopeo_image::Compression;
use skopeo_testkit::run::{installed, run_with_input};
use skopeo_testkit::twin::{canonical_tree, differences};
use skopeo_testkit::{Fault, Format, Home, Image, On, Registry, Twin, skip};

use crate::program::{at_home, fatal};
use crate::stage::{home, whole_layout};

/// Unpacks an archive beside itself, as anybody would.
pub(crate) fn unpack(archive: &Path) -> PathBuf {
    let folder = archive.with_extension("unpacked");
    let _ = fs_err::remove_dir_all(&folder);
    fs_err::create_dir(&folder).unwrap();
    tar(&["-C", folder.to_str().unwrap(), "-xf", archive.to_str().unwrap()]);
    folder
}

pub(crate) fn tar(arguments: &[&str]) -> String {
    let output = Command::new("tar").args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The members as `tar` lists them, sorted, without their times and with digests made the same.
fn members(archive: &Path) -> Vec<String> {
    let list = tar(&["--numeric-owner", "-tvf", archive.to_str().unwrap()]);
    let member = |line: &str| {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next().unwrap(), words.next().unwrap());
        let path = words.next_back().unwrap();
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = if name.len() == 64 { "HEX" } else { name };
        format!("{mode} {owner} {folder}/{name}")
    };
    let mut members: Vec<String> = list.lines().map(member).collect();
    members.sort();
    members
}

fn blobs() -> On {
    On::blobs().method("GET")
}

fn samples() -> Vec<(&'static str, Image, &'static [&'static str])> {
    let foreign = "https://127.0.0.1:1/layer";
    vec![
        ("oci", Image::new(1), &[]),
        ("docker", Image::builder(2).format(Format::Docker).build(), &[]),
        ("schema 1", Image::builder(3).format(Format::Schema1).named("from", "tag").build(), &[]),
        ("plain", Image::builder(4).layer(Compression::Uncompressed).build(), &[]),
        (
            "plain, as it is",
            Image::builder(4).layer(Compression::Uncompressed).build(),
            &["--dest-oci-accept-uncompressed-layers"],
        ),
        (
            "a layer twice",
            Image::builder(5).layer_of(5, Compression::Gzip).layer_of(5, Compression::Gzip).build(),
            &[],
        ),
        ("one of a list", Image::platforms(6, 3), &[]),
        ("a whole list", Image::platforms(6, 3), &["--all"]),
        ("artifact", Image::builder(7).artifact("application/x").build(), &[]),
        ("a layer elsewhere", Image::builder(8).foreign_layer(foreign).build(), &[]),
    ]
}

#[test]
fn the_same_is_written_and_read() {
    let Some(twin) = Twin::new(env!("CARGO_BIN_EXE_skopeo")) else {
        skip!("the original skopeo is not installed: nothing to compare with");
    };
    let registry = Registry::start();
    twin.prepare(|home| home.insecure(&[&registry.host()]));
    for (at, (what, image, flags)) in samples().into_iter().enumerate() {
        let from = format!("from{at}");
        image.push(&registry, &format!("{from}:tag"));
        let from = registry.docker(&format!("{from}:tag"));
        for (name, to) in
            [("named", "oci-archive:to.tar:a/name:1"), ("nameless", "oci-archive:to.tar")]
        {
            let what = format!("{what}, {name}");
            // The original replaces what is there, and ours adds to it.
            twin.prepare(|home| drop(fs_err::remove_file(home.path("work/to.tar"))));
            twin.run(&[&["copy"], flags, &[&from, to]].concat()).success();
            let archive = |home: &Home| home.path("work/to.tar");
            let (theirs, ours) = (archive(&twin.original().home), archive(&twin.ours().home));
            let trees = [&theirs, &ours].map(|archive| canonical_tree(&unpack(archive)));
            let differing = differences(&trees[0], &trees[1]);
            assert!(differing.is_empty(), "{what}:\n{}", differing.join("\n"));
            assert_eq!(members(&theirs), members(&ours), "{what}");

            // Each reads the other's.
            for archive in [&theirs, &ours] {
                let name = format!("oci-archive:{}", archive.display());
                twin.run(&["inspect", "--raw", &name]).success().assert_same();
                if what.contains("elsewhere") {
                    continue;
                }
                let all = if flags.contains(&"--all") { "--all" } else { "-q" };
                twin.run(&["copy", all, &name, "dir:back"]).success();
                twin.assert_same_tree("back");
            }
        }
    }
}

#[test]
fn the_same_is_refused() {
    let Some(twin) = Twin::new(env!("CARGO_BIN_EXE_skopeo")) else {
        skip!("the original skopeo is not installed: nothing to compare with");
    };
    twin.prepare(|home| {
        let folder = home.path("work/layout");
        Image::new(1).write_oci(&folder, Some("one"));
        Image::new(2).write_oci(&folder, Some("two"));
        tar(&["-C", &home.work("layout"), "-cf", &home.work("two.tar"), "."]);
        fs_err::create_dir(home.path("work/folder")).unwrap();
    });
    for (words, code) in [
        (&["inspect", "oci-archive:two.tar"][..], 1),
        (&["inspect", "oci-archive:two.tar:in'valid"], 1),
        (&["inspect", "oci-archive:nowhere/x.tar"], 1),
        (&["delete", "oci-archive:two.tar:one"], 1),
        (&["copy", "oci-archive:two.tar:one", "oci-archive:nowhere/x.tar"], 1),
        (&["inspect", "oci-archive:two.tar:none"], 2),
        (&["copy", "oci-archive:two.tar:none", "oci-archive:x.tar"], 2),
    ] {
        let both = twin.run(words);
        assert_eq!(fatal(&both.original), fatal(&both.ours));
        assert_eq!((both.original.code, both.ours.code), (Some(1), Some(code)), "{words:?}");
    }
    // Where 1.22 says it in other words, or we say it before anything is read.
    for (words, sentence) in [
        (&["inspect", "oci-archive:none.tar"][..], "archive file not found: \"[WORK]/none.tar\""),
        (
            &["copy", "oci-archive:two.tar:one", "oci-archive:folder"],
            "creating tar file \"[WORK]/folder\": is a directory",
        ),
        (
            &["copy", "oci-archive:two.tar:one", "oci-archive:x.tar:@0"],
            "Destination reference must not contain a manifest index @0",
        ),
    ] {
        let both = twin.run(words);
        let sentence = sentence.replace("[WORK]", &["[HOME]", "work"].join("/"));
        assert!(fatal(&both.ours).ends_with(&sentence), "{}", both.ours);
        assert_eq!(both.ours.code, both.original.code);
    }
    assert!(!twin.ours().home.path("work/x.tar").exists());
    // Beyond the original, which takes `@0` for a malformed reference.
    let raw = at_home(&twin.ours().home, &["inspect", "--raw", "oci-archive:two.tar:@1"]);
    assert_eq!(raw.success().stdout.as_bytes(), Image::new(2).manifest().bytes);
}

#[test]
fn archives_are_read_however_they_come() {
    let home = Home::new();
    let image = Image::builder(1).layer_size(300_000).build();
    image.write_oci(&home.path("work/layout"), Some("one"));
    let (folder, plain) = (home.work("layout"), home.path("work/plain.tar"));
    tar(&["-C", &folder, "-cf", plain.to_str().unwrap(), "."]);
    for program in ["cat", "gzip", "bzip2", "xz", "zstd"] {
        let Some(program) = installed(program) else { skip!("{program} is not installed") };
        let packed = home.path("work/packed");
        let output = Command::new(program)
            .stdin(fs_err::File::open(&plain).unwrap().into_parts().0)
            .arg(if packed.exists() { "-c" } else { "-" })
            .output()
            .unwrap();
        assert!(output.status.success());
        fs_err::write(&packed, &output.stdout).unwrap();
        for name in ["oci-archive:packed:one", "oci-archive:/dev/stdin:one"] {
            let run = run_with_input(
                &home,
                env!("CARGO_BIN_EXE_skopeo"),
                &["copy", "--tmpdir", "../tmp", name, "dir:out"],
                &output.stdout,
            );
            run.success();
            let whole = crate::stage::whole_dir(&home.path("work/out"));
            assert_eq!(whole.as_ref(), Some(&image.digest()));
            fs_err::remove_dir_all(home.path("work/out")).unwrap();
            assert_eq!(fs_err::read_dir(home.path("tmp")).unwrap().count(), 0, "left in tmp");
        }
    }
}

#[test]
fn archives_are_written_to_pipes() {
    let home = Home::new();
    let images = [
        Image::builder(1).layer_size(300_000).build(),
        Image::builder(2).layer(Compression::Uncompressed).layer(Compression::Gzip).build(),
    ];
    for image in images {
        let _ = fs_err::remove_dir_all(home.path("work/layout"));
        image.write_oci(&home.path("work/layout"), Some("one"));
        let fifo = home.path("work/fifo");
        let _ = fs_err::remove_file(&fifo);
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for to in ["oci-archive:/dev/stdout:two", "oci-archive:fifo:two"] {
            let mut child = home
                .command(env!("CARGO_BIN_EXE_skopeo"))
                .args(["copy", "oci:layout:one", to])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut written = Vec::new();
            if to.contains("stdout") {
                child.stdout.take().unwrap().read_to_end(&mut written).unwrap();
            } else {
                written = fs_err::read(&fifo).unwrap();
            }
            assert!(child.wait().unwrap().success());
            let archive = home.path("work/written.tar");
            fs_err::write(&archive, written).unwrap();
            assert!(whole_layout(&unpack(&archive)).contains_key("two"));
        }
    }
}

#[test]
fn what_breaks_off_is_put_again_where_it_was() {
    let registry = Registry::start();
    let image = Image::builder(1).layers(4).layer_size(400_000).build();
    image.push(&registry, "lib/image:v1");
    let home = home(&[&registry.host()]);
    registry.fault(Fault::cut(blobs()).after(70_000).times(3));
    let from = registry.docker("lib/image:v1");
    at_home(&home, &["copy", &from, "oci-archive:to.tar:v1"]).success();
    let archive = home.path("work/to.tar");
    let layout = unpack(&archive);
    assert_eq!(whole_layout(&layout)["v1"], image.digest());
    // Four layers, config, manifest, index, oci-layout, two folders: each once.
    assert_eq!(members(&archive).len(), 10, "{:?}", members(&archive));
}

#[test]
fn the_file_is_replaced_when_the_new_one_is_whole() {
    let registry = Registry::start();
    let (old, new) = (Image::new(1), Image::new(2));
    new.push(&registry, "lib/image:v1");
    let home = home(&[&registry.host()]);
    old.write_oci(&home.path("work/layout"), Some("old"));
    at_home(&home, &["copy", "oci:layout:old", "oci-archive:to.tar:old"]).success();
    let before = fs_err::read(home.path("work/to.tar")).unwrap();
    std::os::unix::fs::symlink("to.tar", home.path("work/link.tar")).unwrap();

    let from = registry.docker("lib/image:v1");
    let missing = new.layers()[1].digest.clone();
    registry.fault(Fault::status(blobs().containing(&missing), 404));
    at_home(&home, &["copy", &from, "oci-archive:link.tar:new"]).failure(1);
    assert_eq!(fs_err::read(home.path("work/to.tar")).unwrap(), before);
    registry.mend();
    at_home(&home, &["copy", &from, "oci-archive:link.tar:new"]).success();
    let names = whole_layout(&unpack(&home.path("work/to.tar")));
    let expected = [("new".to_owned(), new.digest()), ("old".to_owned(), old.digest())];
    assert_eq!(names, BTreeMap::from(expected));
    assert!(fs_err::symlink_metadata(home.path("work/link.tar")).unwrap().is_symlink());
    let left = fs_err::read_dir(home.path("work")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().starts_with('.')).count(), 0);
}

#[test]
fn blobs_may_lie_in_a_shared_folder() {
    let Some(twin) = Twin::new(env!("CARGO_BIN_EXE_skopeo")) else {
        skip!("the original skopeo is not installed: nothing to compare with");
    };
    twin.prepare(|home| Image::new(1).write_oci(&home.path("work/layout"), Some("one")));
    let to = "oci-archive:to.tar:one";
    twin.run(&["copy", "--dest-shared-blob-dir", "shared", "oci:layout:one", to]).success();
    twin.assert_same_tree("shared");
    for side in [twin.original(), twin.ours()] {
        let members = members(&side.home.path("work/to.tar"));
        assert!(!members.iter().any(|member| member.contains("HEX")), "{members:?}");
    }
    twin.run(&["copy", "--src-shared-blob-dir", "shared", to, "dir:back"]).success();
    twin.assert_same_tree("back");
}

#[test]
fn others_read_what_we_write() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/layout"), Some("one"));
    at_home(&home, &["copy", "oci:layout:one", "oci-archive:to.tar:one"]).success();
    unpack(&home.path("work/to.tar"));
    let conf = home.path("home/.config/containers/storage.conf");
    let (root, run) = (home.work("storage"), home.work("run"));
    let text =
        format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{root}\"\nrunroot = \"{run}\"\n");
    fs_err::write(conf, text).unwrap();
    let policy = home.path("home/.config/containers/policy.json").display().to_string();
    let pull = ["pull", "-q", "--signature-policy", &policy, "oci-archive:to.tar"];
    for (program, words) in [
        ("podman", vec!["load", "-q", "-i", "to.tar"]),
        ("podman", pull.to_vec()),
        ("buildah", pull.to_vec()),
        ("umoci", vec!["stat", "--image", "to.unpacked:one"]),
    ] {
        let Some(program) = installed(program) else { skip!("{program} is not installed") };
        skopeo_testkit::run(&home, program, &words).success();
    }
}
