//! `--max-unpacked`: what is made to fill disks does not.

use std::process::Command;

use fs_err as fs;
use skopeo_image::Compression;
use skopeo_testkit::image::compress;
use skopeo_testkit::run::{installed, run_with_input};
use skopeo_testkit::{Home, Image, Run, Tar, skip};

use crate::program::at_home;

const HINT: &str = "--max-unpacked SIZE";

fn zeros(len: usize) -> Vec<u8> {
    vec![0; len]
}

/// An archive with an image and a file of zeros, packed.
fn bomb(home: &Home, format: &str, packing: Compression) -> Vec<u8> {
    let name = home.path(format!("work/plain-{format}.tar")).display().to_string();
    let image = home.path("work/image");
    if !image.exists() {
        Image::builder(1).layers(1).layer(Compression::Uncompressed).build().write_dir(&image);
    }
    let to = format!("{format}:{name}:x:1");
    at_home(home, &["copy", "-q", "dir:image", &to]).success();
    let mut plain = fs::read(&name).unwrap();
    let end = plain.iter().rposition(|byte| *byte != 0).unwrap();
    plain.truncate((end + 1).next_multiple_of(512));
    plain.extend(Tar::new().file("filling", zeros(4 << 20)).end());
    compress(&plain, packing).to_vec()
}

/// Refused with the limit, with a hint and nothing left; good without.
fn check(home: &Home, words: &[&str], run: impl Fn(&[&str]) -> Run) {
    let with = |limit: &str| {
        let mut all = vec!["--max-unpacked", limit];
        all.extend(words);
        run(&all)
    };
    let refused = with("1MiB");
    assert_eq!(refused.code, Some(1), "{words:?}: {refused}");
    assert!(refused.stderr.contains("decompresses to more than 1048576 bytes"), "{refused}");
    assert!(refused.stderr.contains(HINT), "{words:?}: {refused}");
    assert!(!home.path("work/out/manifest.json").exists(), "{words:?}");
    assert!(fs::read_dir(home.path("tmp")).unwrap().next().is_none(), "{words:?}");
    for limit in ["0", "1GiB"] {
        let _ = fs::remove_dir_all(home.path("work/out"));
        with(limit).success();
    }
    let _ = fs::remove_dir_all(home.path("work/out"));
}

#[test]
fn archives_that_are_packed() {
    let home = Home::new();
    for packing in [Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2] {
        for format in ["docker-archive", "oci-archive"] {
            let bytes = bomb(&home, format, packing);
            fs::write(home.path("work/a.tar"), &bytes).unwrap();
            let name = format!("{format}:a.tar");
            let commands: &[&[&str]] = &[
                &["copy", &name, "dir:out"],
                &["inspect", &name],
                &["inspect", "--raw", &name],
                &["copy", &name, "oci:out:x"],
                &["sync", "--src", format, "--dest", "dir", "a.tar", "out"],
                &["list-tags", &name],
            ];
            let commands = &commands[..if format == "docker-archive" { 6 } else { 5 }];
            // Every packing goes the same way from here on.
            let commands = if packing == Compression::Gzip { commands } else { &commands[..1] };
            for words in commands {
                check(&home, words, |words| at_home(&home, words));
            }
            let stdin = format!("{format}:/dev/stdin");
            let program = env!("CARGO_BIN_EXE_skopeo");
            check(&home, &["copy", &stdin, "dir:out"], |words| {
                run_with_input(&home, program, words, &bytes)
            });
        }
    }
}

#[test]
fn layers_that_are_unpacked_on_their_way() {
    let home = Home::new();
    let layer = Tar::new().file("filling", zeros(4 << 20)).end();
    let packed = compress(&layer, Compression::Gzip);
    fs::write(home.path("work/layer.tar.gz"), &packed).unwrap();
    check(&home, &["inspect", "tarball:layer.tar.gz"], |words| at_home(&home, words));
    at_home(&home, &["copy", "-q", "tarball:layer.tar.gz", "dir:from"]).success();
    for words in [
        &["copy", "--dest-decompress", "dir:from", "dir:out"][..],
        &[
            "copy",
            "--dest-compress-format",
            "zstd",
            "--dest-force-compress-format",
            "dir:from",
            "oci:out:x",
        ],
        &["copy", "--format", "v2s2", "tarball:layer.tar.gz", "dir:out"],
    ] {
        check(&home, words, |words| at_home(&home, words));
    }
    // As they are, they may be what they are.
    at_home(&home, &["--max-unpacked", "1MiB", "copy", "dir:from", "dir:out"]).success();
    let to_archive = ["--max-unpacked", "1MiB", "copy", "dir:from", "docker-archive:b.tar:x:1"];
    let refused = at_home(&home, &to_archive);
    assert!(refused.stderr.contains(HINT), "{refused}");
    assert!(!home.path("work/b.tar").exists());
}

#[test]
fn holes_of_a_squashfs_are_bytes_of_the_tar() {
    if installed("mksquashfs").is_none() {
        skip!("mksquashfs is not installed");
    }
    let home = Home::new();
    fs::create_dir(home.path("work/tree")).unwrap();
    let hole = fs::File::create(home.path("work/tree/hole")).unwrap();
    hole.set_len(20 << 30).unwrap();
    let squash = Command::new("mksquashfs")
        .args(["tree", "s", "-quiet", "-no-progress", "-comp", "zstd"])
        .current_dir(home.path("work"))
        .output()
        .unwrap();
    assert!(squash.status.success(), "{squash:?}");
    let system = fs::read(home.path("work/s")).unwrap();
    fs::write(home.path("work/a.sif"), crate::sif::of_system(&system)).unwrap();
    // 20 GiB out of less than a megabyte are asked about, without a flag.
    let refused = at_home(&home, &["inspect", "sif:a.sif"]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("decompress to more than 10737418240 bytes"), "{refused}");
    assert!(refused.stderr.contains(HINT), "{refused}");
}

#[test]
fn what_is_no_size_is_refused() {
    let home = Home::new();
    for size in ["much", "20G", "-1", ""] {
        let flag = format!("--max-unpacked={size}");
        let run = at_home(&home, &[&flag, "inspect", "dir:none"]);
        assert_eq!(run.code, Some(1), "{size}: {run}");
        assert!(run.stderr.contains("invalid --max-unpacked"), "{size}: {run}");
    }
}
