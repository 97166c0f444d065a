//! Archives that are there already.

use super::*;

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
