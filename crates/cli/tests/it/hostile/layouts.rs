//! Folders that somebody else has written.

use super::*;

/// Everything in a home but what was there before is in `work`.
fn outside(home: &Home) -> Vec<String> {
    let mut command = home.command("find");
    command.args([".", "-newer", "work/mark", "-not", "-path", "./work*"]);
    let output = command.current_dir(home.path("")).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn digests_that_lead_elsewhere() {
    let config = b"{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";
    for digest in [
        "sha256:../../../../home/secret",
        "../../../home/secret",
        "sha256:/etc/passwd",
        "/etc/passwd",
        "sha256:",
        "sha256:..",
        "..:aa",
        "sha256",
        "",
        "sha256:ABCDEF",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
    ] {
        let home = Home::new();
        home.write("home/secret", "the secret");
        home.write("work/mark", "");
        std::thread::sleep(Duration::from_millis(10));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor(CONFIG, config),
            "layers": [{"mediaType": LAYER, "digest": digest, "size": 10}],
        });
        layout(&home, &manifest, &[config]);
        for to in ["dir:out", "oci:out:v1"] {
            let run = skopeo(&home, &["copy", "oci:layout:v1", to]);
            assert!(sentence(&run).contains("digest") || run.stderr.contains("invalid"), "{run}");
        }
        let text = manifest.to_string();
        let registry =
            manifests(move |_, stream| respond(stream, "200 OK", &[MANIFEST], text.as_bytes()));
        home.insecure(&[&registry.host()]);
        sentence(&skopeo(&home, &["copy", &registry.docker("a:b"), "dir:out"]));
        // The same in the index itself.
        index(&home, digest, 10);
        for arguments in [
            &["inspect", "--raw", "oci:layout:v1"][..],
            &["copy", "oci:layout:v1", "dir:out"],
            &["delete", "oci:layout:v1"],
        ] {
            let run = skopeo(&home, arguments);
            assert!(!sentence(&run).contains("the secret") && run.stdout.is_empty(), "{run}");
        }
        assert_eq!(fs_err::read_to_string(home.path("home/secret")).unwrap(), "the secret");
        let config = "./home/.config/containers";
        let found: Vec<_> =
            outside(&home).into_iter().filter(|path| !path.starts_with(config)).collect();
        assert!(
            found.iter().all(|path| !path.contains("secret") && !path.contains("etc")),
            "{found:?}"
        );
        assert!(whole_dir(&home.path("work/out")).is_none());
    }
}

#[test]
fn links_that_lead_out() {
    let home = Home::new();
    let image = Image::new(1);
    let folder = home.path("work/layout");
    image.write_oci(&folder, Some("v1"));
    home.write("home/secret", "the secret");
    let blob = |digest: &Digest| folder.join("blobs/sha256").join(digest.hex());
    // Even the right bytes are not taken from elsewhere.
    let layer = &image.layers()[0];
    let elsewhere = home.path("home/layer");
    fs_err::rename(blob(&layer.digest), &elsewhere).unwrap();
    symlink(&elsewhere, blob(&layer.digest)).unwrap();
    let run = skopeo(&home, &["copy", "oci:layout:v1", "dir:out"]);
    assert!(sentence(&run).contains("leads out of the layout"), "{run}");
    fs_err::remove_file(blob(&layer.digest)).unwrap();
    symlink("../../../../home/secret", blob(&layer.digest)).unwrap();
    sentence(&skopeo(&home, &["copy", "oci:layout:v1", "dir:out"]));
    let manifest = blob(&image.digest());
    fs_err::remove_file(&manifest).unwrap();
    symlink(home.path("home/secret"), &manifest).unwrap();
    let run = skopeo(&home, &["inspect", "--raw", "oci:layout:v1"]);
    assert!(sentence(&run).contains("leads out of the layout"), "{run}");
    // A device or a pipe is no blob, and nobody waits for its other end.
    fs_err::remove_file(&manifest).unwrap();
    let made = home.command("mkfifo").arg(&manifest).status().unwrap();
    assert!(made.success());
    sentence(&skopeo(&home, &["inspect", "--raw", "oci:layout:v1"]));
    // Deleting does not follow links either.
    fs_err::remove_file(&manifest).unwrap();
    fs_err::write(&manifest, &image.manifest().bytes).unwrap();
    skopeo(&home, &["delete", "oci:layout:v1"]);
    assert_eq!(fs_err::read_to_string(home.path("home/secret")).unwrap(), "the secret");
    assert!(elsewhere.exists());
}

/// What is stored is not what its name says.
#[test]
fn digests_that_do_not_match() {
    let image = Image::new(1);
    let spoil = |path: &Path| {
        let mut bytes = fs_err::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs_err::write(path, bytes).unwrap();
    };
    let config = Digest::sha256(image.config().unwrap());
    for digest in [&image.layers()[1].digest, &config, &image.digest()] {
        let home = Home::new();
        image.write_oci(&home.path("work/layout"), Some("v1"));
        image.write_dir(&home.path("work/folder"));
        spoil(&home.path("work/layout/blobs/sha256").join(digest.hex()));
        if *digest != image.digest() {
            spoil(&home.path("work/folder").join(digest.hex()));
        }
        for (from, to) in [("oci:layout:v1", "dir:out"), ("dir:folder", "oci:out:v1")] {
            if from.starts_with("dir") && *digest == image.digest() {
                continue;
            }
            let run = skopeo(&home, &["copy", from, to]);
            assert_eq!(run.code, Some(1), "{run}");
            let said = sentence(&run).to_lowercase();
            assert!(said.contains("match") || said.contains("manifest"), "{said}");
        }
        assert!(whole_dir(&home.path("work/out")).is_none());
        assert!(!home.path("work/out/index.json").exists());
    }
}

#[test]
fn gzip_bombs() {
    let home = Home::new();
    let size = 256 << 20;
    let plain = vec![0; size];
    let bomb = compress(&plain, Compression::Gzip);
    let diff_id = Digest::sha256(&plain);
    drop(plain);
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [diff_id.as_str()]},
    });
    let config = config.to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(CONFIG, config.as_bytes()),
        "layers": [descriptor(LAYER, &bomb)],
    });
    layout(&home, &manifest, &[config.as_bytes(), &bomb]);
    frugal(&home, &["copy", "--dest-decompress", "oci:layout:v1", "dir:out"]).success();
    assert_eq!(
        fs_err::metadata(home.path("work/out").join(diff_id.hex())).unwrap().len(),
        size as u64
    );
    let zstd = ["--dest-compress-format", "zstd", "--dest-force-compress-format"];
    let arguments = ["copy", zstd[0], zstd[1], zstd[2], "oci:layout:v1", "oci:packed:v1"];
    frugal(&home, &arguments).success();
    // One that ends in the middle.
    let half = &bomb[..bomb.len() / 2];
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(CONFIG, config.as_bytes()),
        "layers": [descriptor(LAYER, half)],
    });
    layout(&home, &manifest, &[config.as_bytes(), half]);
    let run = frugal(&home, &["copy", "--dest-decompress", "oci:layout:v1", "dir:half"]);
    assert!(sentence(&run).contains("gzip"), "{run}");
    assert!(whole_dir(&home.path("work/half")).is_none());
}
