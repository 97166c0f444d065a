//! Images that are added to archives: those that are there stay, whoever adds, one after the other
//! or at the same time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};

use skopeo_image::Digest;
use skopeo_testkit::{Fault, Format, Home, Image, On, Registry};

use crate::oci_archive::{tar, unpack};
use crate::program::at_home;
use crate::stage::{finish, home, sentence, skopeo, start, whole_layout};

const KINDS: [&str; 2] = ["oci-archive", "docker-archive"];

fn image(seed: u64) -> Image {
    Image::builder(seed).format(Format::Docker).layer_size(200_000).build()
}

/// A registry with images `lib/image:v0` and so on.
fn registry(count: u64) -> Registry {
    let registry = Registry::start();
    (0..count).for_each(|seed| image(seed).push(&registry, &format!("lib/image:v{seed}")));
    registry
}

/// The digests of the configs of the images in an archive, by reference.
fn configs(home: &Home, kind: &str, file: &str, references: &[String]) -> Vec<String> {
    let config = |reference: &String| {
        let name = format!("{kind}:{file}:{reference}");
        let raw = at_home(home, &["inspect", "--raw", &name]).success();
        raw.json()["config"]["digest"].as_str().unwrap().to_owned()
    };
    references.iter().map(config).collect()
}

fn expected(count: u64) -> Vec<String> {
    let config = |seed| {
        let manifest = serde_json::from_slice::<serde_json::Value>(&image(seed).manifest().bytes);
        manifest.unwrap()["config"]["digest"].as_str().unwrap().to_owned()
    };
    (0..count).map(config).collect()
}

/// What an archive of layouts names, all of it whole.
fn names(home: &Home, file: &str) -> BTreeMap<String, Digest> {
    whole_layout(&unpack(&home.path("work").join(file)))
}

/// Whether nothing but these files is left in the folder.
fn only(home: &Home, files: &[&str]) {
    let entries = fs_err::read_dir(home.path("work")).unwrap();
    let mut there: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    assert_eq!(there, files);
}

#[test]
fn a_copy_adds_to_what_is_there() {
    let source = registry(3);
    let home = home(&[&source.host()]);
    // As `sync` writes it.
    let repository = format!("{}/lib/image", source.host());
    skopeo(&home, &["sync", "--src=docker", "--dest=oci-archive", &repository, "a.tar"]).success();
    let before = names(&home, "a.tar");
    assert_eq!(before.len(), 3);
    Image::new(7).write_oci(&home.path("work/layout"), Some("x"));
    source.forget_requests();
    skopeo(&home, &["copy", "-q", "oci:layout:x", "oci-archive:a.tar:new"]).success();
    let mut after = names(&home, "a.tar");
    assert_eq!(after.remove("new"), Some(Image::new(7).digest()));
    assert_eq!(after, before);

    // The same reference moves, and takes nothing with it but what it led to.
    skopeo(&home, &["copy", "-q", "--all", "oci:layout:x", "oci-archive:a.tar:second"]).success();
    Image::new(8).write_oci(&home.path("work/layout"), Some("y"));
    skopeo(&home, &["copy", "-q", "oci:layout:y", "oci-archive:a.tar:new"]).success();
    let mut after = names(&home, "a.tar");
    assert_eq!(after.remove("new"), Some(Image::new(8).digest()));
    assert_eq!(after.remove("second"), Some(Image::new(7).digest()));
    assert_eq!(after, before);

    // Without a reference, too: it takes the place of the one without.
    for seed in [7, 8, 8] {
        let from = if seed == 7 { "oci:layout:x" } else { "oci:layout:y" };
        skopeo(&home, &["copy", "-q", from, "oci-archive:a.tar"]).success();
        let mut after = names(&home, "a.tar");
        assert_eq!(after.remove(""), Some(Image::new(seed).digest()));
        assert_eq!(after.len(), before.len() + 2);
    }
    // Of what is gone nothing is left.
    let blobs = fs_err::read_dir(home.path("work/a.unpacked/blobs/sha256")).unwrap().count();
    let images = [image(0), image(1), image(2), Image::new(7), Image::new(8)];
    let distinct: BTreeMap<_, _> = images.iter().flat_map(Image::blobs).collect();
    assert!(blobs <= distinct.len() + 5, "{blobs} blobs, {} expected", distinct.len() + 5);
}

#[test]
fn the_same_again_changes_nothing() {
    let source = registry(2);
    let home = home(&[&source.host()]);
    for name in ["a.tar:v0", "a.tar:v1", "b.tar"] {
        let tag = if name.ends_with('1') { "v1" } else { "v0" };
        let from = source.docker(&format!("lib/image:{tag}"));
        let to = format!("oci-archive:{name}");
        let words = ["copy", "-q", &from, &to];
        skopeo(&home, &words).success();
        let file = home.path("work").join(&name[..5]);
        let before = fs_err::read(&file).unwrap();
        source.forget_requests();
        skopeo(&home, &words).success();
        // Its manifest is another one, of OCI's form: the layers need not come again.
        let layers = image(if tag == "v0" { 0 } else { 1 });
        let fetched = layers
            .layers()
            .iter()
            .map(|layer| source.count(&On::blobs().containing(layer.digest.to_string())));
        assert_eq!(fetched.sum::<usize>(), 0, "{name}: {:?}", source.lines());
        assert_eq!(fs_err::read(&file).unwrap(), before, "{name}");
    }
}

#[test]
fn blobs_that_are_in_the_archive_stay_where_others_lie_elsewhere() {
    let source = registry(2);
    let home = home(&[&source.host()]);
    let from = |tag: u64| source.docker(&format!("lib/image:v{tag}"));
    skopeo(&home, &["copy", "-q", &from(0), "oci-archive:a.tar:v0"]).success();
    let shared = "--dest-shared-blob-dir=shared";
    skopeo(&home, &["copy", "-q", shared, &from(1), "oci-archive:a.tar:v1"]).success();
    assert_eq!(configs(&home, "oci-archive", "a.tar", &["v0".to_owned()]), expected(1));
    skopeo(&home, &["copy", "-q", "oci-archive:a.tar:v0", "dir:back"]).success();
    let raw = ["inspect", "--raw", "--shared-blob-dir=shared", "oci-archive:a.tar:v1"];
    let _ = at_home(&home, &raw);
    let read = ["copy", "-q", "--src-shared-blob-dir=shared", "oci-archive:a.tar:v1", "dir:other"];
    skopeo(&home, &read).success();
}

#[test]
fn what_cannot_be_added_to_stays_as_it_is() {
    let source = registry(1);
    let home = home(&[&source.host()]);
    let work = home.path("work");
    let from = source.docker("lib/image:v0");
    skopeo(&home, &["copy", "-q", &from, "oci-archive:oci.tar:v0"]).success();
    skopeo(&home, &["copy", "-q", &from, "docker-archive:docker.tar:v:0"]).success();
    fs_err::write(work.join("text"), "important").unwrap();
    fs_err::write(work.join("cut.tar"), &fs_err::read(work.join("oci.tar")).unwrap()[..3000])
        .unwrap();
    let gzip = Command::new("gzip").arg("-c").arg(work.join("oci.tar")).output().unwrap();
    fs_err::write(work.join("oci.tgz"), gzip.stdout).unwrap();
    fs_err::create_dir(work.join("more")).unwrap();
    fs_err::write(work.join("more/notes"), "important").unwrap();
    fs_err::copy(work.join("oci.tar"), work.join("more.tar")).unwrap();
    tar(&["-C", &home.work("more"), "-rf", &home.work("more.tar"), "notes"]);
    tar(&["-C", &home.work("more"), "-cf", &home.work("files.tar"), "notes"]);
    for (file, reason) in [
        ("text", "is not an archive"),
        ("cut.tar", "is truncated"),
        ("oci.tgz", "is compressed"),
        ("docker.tar", "has no index.json"),
        ("more.tar", "has more than an OCI layout in it"),
        ("files.tar", "has no index.json"),
    ] {
        let before = fs_err::read(work.join(file)).unwrap();
        let to = format!("oci-archive:{file}:v1");
        let copied = skopeo(&home, &["copy", "-q", &from, &to]);
        assert!(sentence(&copied).contains(reason), "{file}: {copied}");
        assert!(copied.stderr.contains("hint: ") || file == "cut.tar", "{file}: {copied}");
        let repository = format!("{}/lib/image", source.host());
        let words = ["sync", "--src=docker", "--dest=oci-archive", &repository, file];
        skopeo(&home, &words).failure(1);
        assert_eq!(fs_err::read(work.join(file)).unwrap(), before, "{file}");
    }
    for file in ["text", "oci.tgz", "oci.tar"] {
        let before = fs_err::read(work.join(file)).unwrap();
        let copied = skopeo(&home, &["copy", "-q", &from, &format!("docker-archive:{file}:v:1")]);
        copied.clone().failure(1);
        assert_eq!(fs_err::read(work.join(file)).unwrap(), before, "{file}");
    }
    // An empty file is as good as none.
    for kind in KINDS {
        fs_err::write(work.join("empty"), "").unwrap();
        skopeo(&home, &["copy", "-q", &from, &format!("{kind}:empty:v:0")]).success();
        assert_eq!(configs(&home, kind, "empty", &["v:0".to_owned()]), expected(1));
    }
}

/// How an image is called in an archive, as both kinds can have it.
fn reference(number: u64) -> String {
    format!("docker.io/lib/image:v{number}")
}

#[test]
fn copies_at_once_lose_nothing() {
    const COPIES: u64 = 6;
    let source = registry(COPIES + 1);
    let home = home(&[&source.host()]);
    let references: Vec<_> = (0..COPIES).map(reference).collect();
    for kind in KINDS {
        for there_before in [false, true] {
            let file = format!("{kind}-{there_before}.tar");
            let copy = |number: u64| {
                let from = source.docker(&format!("lib/image:v{number}"));
                let to = format!("{kind}:{file}:{}", reference(number));
                start(&home, &["copy", "-q", &from, &to])
            };
            if there_before {
                finish(copy(COPIES), "the first").success();
            }
            let copies: Vec<Child> = (0..COPIES).map(copy).collect();
            for child in copies {
                finish(child, "a copy beside others").success();
            }
            assert_eq!(configs(&home, kind, &file, &references), expected(COPIES), "{file}");
            if there_before {
                configs(&home, kind, &file, &[reference(COPIES)]);
            }
        }
    }
    only(
        &home,
        &[
            "docker-archive-false.tar",
            "docker-archive-true.tar",
            "oci-archive-false.tar",
            "oci-archive-true.tar",
        ],
    );
}

#[test]
fn syncs_and_copies_at_once_lose_nothing() {
    let source = Registry::start();
    for seed in 0..4 {
        image(seed).push(&source, &format!("lib/image{}:v{seed}", seed % 2));
    }
    image(4).push(&source, "lib/other:v4");
    let home = home(&[&source.host()]);
    for kind in KINDS {
        let file = format!("{kind}.tar");
        let sync = |name: &str| {
            let repository = format!("{}/lib/{name}", source.host());
            start(&home, &["sync", "--src=docker", "--dest", kind, "--scoped", &repository, &file])
        };
        let to = format!("{kind}:{file}:other:v4");
        let copy = start(&home, &["copy", "-q", &source.docker("lib/other:v4"), &to]);
        for child in [sync("image0"), copy, sync("image1")] {
            finish(child, "one of several").success();
        }
        let listed = at_home(&home, &["sync", "--src", kind, "--dest=dir", &file, kind]);
        listed.success();
        let mut found = 0;
        let mut waiting = vec![home.path("work").join(kind)];
        while let Some(folder) = waiting.pop() {
            found += usize::from(folder.join("manifest.json").exists());
            let entries = fs_err::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            waiting.extend(entries.filter(|path| path.is_dir()));
        }
        assert_eq!(found, 5, "{kind}");
    }
}

/// Who waits is told for whom, and goes on when that one is gone, however it went.
#[test]
fn who_waits_is_told_and_goes_on() {
    let source = registry(2);
    let home = home(&[&source.host()]);
    let layer = image(0).layers()[0].digest.to_string();
    for kind in KINDS {
        source.fault(Fault::stall(On::blobs().containing(&layer)).after(1000));
        let copy = |number: u64| {
            let from = source.docker(&format!("lib/image:v{number}"));
            let to = format!("{kind}:{kind}.tar:{}", reference(number));
            start(&home, &["copy", &from, &to])
        };
        source.forget_requests();
        let mut first = copy(0);
        while source.count(&On::blobs().containing(&layer)) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut second = copy(1);
        let mut stderr = BufReader::new(second.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("Waiting for another program") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "{kind}: it did not wait");
        }
        assert!(line.contains(&format!("(process {})", first.id())), "{line}");
        first.kill().unwrap();
        first.wait().unwrap();
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        finish(second, "who waited").success();
        assert_eq!(
            configs(&home, kind, &format!("{kind}.tar"), &[reference(1)])[0],
            expected(2)[1]
        );
        let left = fs_err::read_dir(home.path("work")).unwrap();
        let locks = left.filter(|it| {
            it.as_ref().unwrap().file_name().to_string_lossy().starts_with(".skopeo-lock")
        });
        assert_eq!(locks.count(), 0, "{kind}");
        source.mend();
    }
}
