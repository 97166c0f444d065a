//! `skopeo sync --dest dir`: many images in one folder.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use skopeo_image::Compression;
use skopeo_testkit::twin::{differences, tree};
use skopeo_testkit::{Format, Home, Image, On, Registry, Twin, skip};

use crate::stage::{SKOPEO, finish, home, sentence, skopeo, start, whole_dir};

/// So many images that have two layers in common, and one each.
fn family(members: u64) -> Vec<Image> {
    let member = |at: u64| {
        let image = Image::builder(100 + at).layer_size(200_000);
        let image = image.layer_of(1, Compression::Gzip).layer_of(2, Compression::Gzip);
        image.layer_of(100 + at, Compression::Gzip).build()
    };
    (0..members).map(member).collect()
}

/// A registry with a family in it, and a home that knows it.
fn stage(members: u64) -> (Registry, Home, Vec<Image>) {
    let registry = Registry::start();
    let images = family(members);
    for (at, image) in images.iter().enumerate() {
        image.push(&registry, &format!("lib/app:{at}"));
    }
    let home = home(&[&registry.host()]);
    (registry, home, images)
}

fn from(registry: &Registry) -> String {
    format!("{}/lib/app", registry.host())
}

fn sync<'a>(more: &[&'a str], from: &'a str, to: &'a str) -> Vec<&'a str> {
    [&["sync", "--src", "docker", "--dest", "dir"], more, &[from, to]].concat()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// All files with inode and time: what does not change if nothing is written.
fn state(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let state = |path: PathBuf| {
        let metadata = fs::metadata(&path).unwrap();
        (path, (metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
    };
    files(folder).into_iter().map(state).collect()
}

/// The bytes of all files, each inode once.
fn bytes_on_disk(folder: &Path) -> u64 {
    let inodes = files(folder).into_iter().map(|path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.ino(), metadata.len())
    });
    inodes.collect::<BTreeMap<_, _>>().values().sum()
}

#[test]
fn folders_are_those_of_the_original() {
    let Some(twin) = Twin::new(SKOPEO) else {
        skip!("the original skopeo is not installed: nothing to compare with");
    };
    let (registry, _home, _) = stage(3);
    Image::builder(7).format(Format::Docker).build().push(&registry, "lib/docker:1");
    Image::platforms(8, 3).push(&registry, "lib/list:1");
    twin.prepare(|home| home.insecure(&[&registry.host()]));
    for (to, words, image) in [
        ("plain", &[][..], "lib/app"),
        ("scoped", &["--scoped"], "lib/app"),
        ("docker", &["--scoped"], "lib/docker:1"),
        ("list", &["--all"], "lib/list"),
        ("system", &[], "lib/list:1"),
    ] {
        let from = format!("{}/{image}", registry.host());
        let to = format!("{{work}}/{to}");
        twin.run(&sync(words, &from, &to)).success();
    }
    let [theirs, ours] = [twin.original(), twin.ours()].map(|side| tree(&side.home.path("work")));
    let differing = differences(&theirs, &ours);
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(ours.len() > 30, "{ours:?}");
}

#[test]
fn what_images_share_is_stored_once() {
    let (registry, home, images) = stage(10);
    let from = from(&registry);
    skopeo(&home, &sync(&[], &from, "out")).success();
    let out = home.path("work/out");
    for (at, image) in images.iter().enumerate() {
        assert_eq!(whole_dir(&out.join(format!("app:{at}"))), Some(image.digest()));
    }
    let blobs: BTreeMap<_, _> = images.iter().flat_map(Image::blobs).collect();
    assert_eq!(registry.count(&On::blobs()), blobs.len(), "{:#?}", registry.lines());
    let apart: u64 = files(&out).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    let (disk, once) = (bytes_on_disk(&out), blobs.values().map(|it| it.len() as u64).sum::<u64>());
    assert!(disk < once + 10 * 4096 && 2 * disk < apart, "{disk} {once} {apart}");

    // An image that comes later links to what the first ones have.
    registry.forget_requests();
    let later = Image::builder(50).layer_size(200_000);
    let later = later.layer_of(1, Compression::Gzip).layer_of(2, Compression::Gzip).build();
    later.push(&registry, "lib/app:later");
    skopeo(&home, &sync(&[], &from, "out")).success();
    assert_eq!(whole_dir(&out.join("app:later")), Some(later.digest()));
    assert_eq!(registry.count(&On::blobs()), 1, "the config alone: {:#?}", registry.lines());
}

#[test]
fn what_is_unchanged_is_left_alone() {
    let (registry, home, _) = stage(5);
    let from = from(&registry);
    skopeo(&home, &sync(&[], &from, "out")).success();
    let out = home.path("work/out");
    let before = state(&out);
    registry.forget_requests();
    let run = skopeo(&home, &sync(&[], &from, "out")).success();
    assert!(run.stderr.contains("Synced 5 images from 1 sources"), "{run}");
    assert_eq!(state(&out), before);
    let lines = registry.lines();
    let heads = lines.iter().filter(|line| line.starts_with("HEAD ")).count();
    assert_eq!(heads, 5, "{lines:#?}");
    assert!(lines.len() <= heads + 2, "{lines:#?}");

    // One has moved, one is broken, one is gone: these three and no other.
    let moved = Image::new(77);
    moved.push(&registry, "lib/app:1");
    fs::remove_dir_all(out.join("app:2")).unwrap();
    let broken = files(&out.join("app:3"))
        .into_iter()
        .find(|path| fs::metadata(path).is_ok_and(|it| it.len() > 1000 && it.nlink() == 1));
    fs::write(broken.unwrap(), "too short").unwrap();
    skopeo(&home, &sync(&[], &from, "out")).success();
    assert_eq!(whole_dir(&out.join("app:1")), Some(moved.digest()));
    for at in [0, 2, 3, 4] {
        let digest = whole_dir(&out.join(format!("app:{at}")));
        assert_eq!(digest, Some(family(5)[at].digest()), "app:{at}");
    }
    let after = state(&out);
    let kept = |at: u64| {
        let folder = out.join(format!("app:{at}"));
        before
            .iter()
            .filter(|(path, _)| path.starts_with(&folder))
            .all(|it| after.get(it.0) == Some(it.1))
    };
    assert_eq!([0, 1, 2, 3, 4].map(kept), [true, false, false, false, true]);
}

#[test]
fn overwrites_as_it_is_told() {
    let (registry, home, images) = stage(2);
    let from = from(&registry);
    let out = home.path("work/out");
    skopeo(&home, &sync(&["--overwrite", "never"], &format!("{from}:0"), "out")).success();
    let refused = skopeo(&home, &sync(&["--overwrite=never"], &format!("{from}:0"), "out"));
    let said = sentence(&refused);
    assert!(
        said.ends_with("Refusing to overwrite destination directory \"out/app:0\""),
        "{refused}"
    );
    let words = ["--overwrite=never", "--keep-going"];
    let run = skopeo(&home, &sync(&words, &from, "out"));
    assert!(run.code == Some(1) && run.stderr.contains("Refusing to overwrite"), "{run}");
    assert_eq!(whole_dir(&out.join("app:1")), Some(images[1].digest()));

    // Damage that no size shows is mended by `always` alone.
    let layer = images[0].blobs().into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0;
    let layer = out.join("app:0").join(layer.hex());
    let mut bytes = fs::read(&layer).unwrap();
    bytes[100] ^= 1;
    fs::write(&layer, &bytes).unwrap();
    skopeo(&home, &sync(&[], &from, "out")).success();
    assert_eq!(fs::read(&layer).unwrap(), bytes);
    skopeo(&home, &sync(&["--overwrite=always"], &from, "out")).success();
    for (at, image) in images.iter().enumerate() {
        assert_eq!(whole_dir(&out.join(format!("app:{at}"))), Some(image.digest()));
    }
    for (words, expected) in [
        (
            sync(&["--overwrite=often"], &from, "out"),
            "--overwrite is \"often\", and can be never, changed or always",
        ),
        (
            vec![
                "sync",
                "--src=docker",
                "--dest=docker",
                "--overwrite=never",
                &from,
                "localhost/x",
            ],
            "--overwrite can only be used with --dest dir",
        ),
    ] {
        assert_eq!(sentence(&skopeo(&home, &words)), expected);
    }
}

#[test]
fn a_dry_run_makes_nothing_and_a_failure_leaves_nothing() {
    let (registry, home, _) = stage(2);
    let from = from(&registry);
    skopeo(&home, &sync(&["--dry-run"], &from, "out")).success();
    assert!(!home.path("work/out").exists());
    assert_eq!(registry.count(&On::blobs()), 0);
    registry.fault(skopeo_testkit::Fault::status(On::blobs(), 404));
    sentence(&skopeo(&home, &sync(&["--keep-going", "--scoped"], &from, "out")));
    assert!(!home.path("work/out").exists(), "{:?}", files(&home.path("work/out")));
}

#[test]
fn two_at_once_become_what_one_makes() {
    let (registry, home, images) = stage(12);
    let from = from(&registry);
    skopeo(&home, &sync(&[], &from, "alone")).success();
    let begun: Vec<_> =
        (0..3).map(|_| start(&home, &sync(&["--jobs", "4"], &from, "out"))).collect();
    for child in begun {
        let run = finish(child, "a sync beside another").success();
        assert!(run.stderr.contains("Synced 12 images"), "{run}");
    }
    let [alone, out] = ["alone", "out"].map(|name| tree(&home.path("work").join(name)));
    assert_eq!(differences(&alone, &out), [""; 0]);
    assert_eq!(out.len(), files(&home.path("work/out")).len());
    for (at, image) in images.iter().enumerate() {
        let folder = home.path("work/out").join(format!("app:{at}"));
        assert_eq!(whole_dir(&folder), Some(image.digest()));
    }
}

#[test]
fn killed_at_any_moment_it_goes_on() {
    let (registry, home, images) = stage(8);
    let from = from(&registry);
    let older = Image::new(9);
    let begun = Instant::now();
    skopeo(&home, &sync(&[], &from, "undisturbed")).success();
    let usual = begun.elapsed();
    let undisturbed = tree(&home.path("work/undisturbed"));
    let mut unfinished = 0;
    for round in 0..20_u32 {
        let to = format!("out-{round}");
        let out = home.path("work").join(&to);
        // Two were there before: whoever looks finds the old or the new.
        for at in [0, 5] {
            older.write_dir(&out.join(format!("app:{at}")));
        }
        let mut child = start(&home, &sync(&[], &from, &to));
        std::thread::sleep(usual * round / 22 + Duration::from_millis(2));
        let _ = child.kill();
        child.wait_with_output().unwrap();
        let digests = images.iter().enumerate().map(|(at, image)| {
            let found = whole_dir(&out.join(format!("app:{at}")));
            let allowed = [None, Some(older.digest()), Some(image.digest())];
            assert!(allowed[usize::from([0, 5].contains(&at))..].contains(&found), "round {round}");
            found
        });
        unfinished += usize::from(digests.filter(Option::is_some).count() < images.len());
        skopeo(&home, &sync(&[], &from, &to)).success();
        assert_eq!(differences(&undisturbed, &tree(&out)), [""; 0], "round {round}");
    }
    assert!(unfinished > 0, "no kill came in the middle");
}
