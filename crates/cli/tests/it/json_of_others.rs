//! JSON that others wrote: what it means is what it means to the original, and what it takes is
//! what it is worth.

use std::path::Path;

use serde_json::{Value, json};
use skopeo_image::{Compression, Digest};
use skopeo_testkit::image::compress;
use skopeo_testkit::{Home, Registry, Run};

use crate::hostile::frugal_within;
use crate::stage::{home, sentence, skopeo};

const OCI: &str = "application/vnd.oci.image.";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.";

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn described(media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::sha256(bytes).to_string();
    json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

/// A tar with nothing in it, and a config for it.
fn parts() -> (Vec<u8>, Vec<u8>) {
    let tar = vec![0_u8; 1024];
    let rootfs = json!({ "type": "layers", "diff_ids": [Digest::sha256(&tar).to_string()] });
    (tar, bytes(&json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs })))
}

/// Writes a `dir:` image with these blobs and, for a list, these manifests.
fn write_dir(home: &Home, name: &str, manifest: &[u8], blobs: &[&[u8]], manifests: &[&[u8]]) {
    let folder = home.path("work").join(name);
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::write(folder.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    fs_err::write(folder.join("manifest.json"), manifest).unwrap();
    for blob in blobs {
        fs_err::write(folder.join(Digest::sha256(blob).hex()), blob).unwrap();
    }
    for manifest in manifests {
        let file = format!("{}.manifest.json", Digest::sha256(manifest).hex());
        fs_err::write(folder.join(file), manifest).unwrap();
    }
}

#[track_caller]
fn well(home: &Home, arguments: &[&str]) -> Run {
    let run = skopeo(home, &[&["--insecure-policy"], arguments].concat());
    assert_eq!(run.code, Some(0), "{arguments:?} {run}");
    run
}

fn index_of(layout: &Path) -> Value {
    serde_json::from_slice(&fs_err::read(layout.join("index.json")).unwrap()).unwrap()
}

/// The bytes of the only manifest in a layout.
fn manifest_in(layout: &Path) -> Vec<u8> {
    let index = index_of(layout);
    let digest: Digest = index["manifests"][0]["digest"].as_str().unwrap().parse().unwrap();
    fs_err::read(layout.join("blobs/sha256").join(digest.hex())).unwrap()
}

/// An image of this family, of its media type, and its config and layer.
fn image(docker: bool) -> (Value, Vec<u8>, Vec<u8>) {
    let (tar, config) = parts();
    let layer = compress(&tar, Compression::Gzip).to_vec();
    let (own, config_type, layer_type) = if docker {
        let config = "application/vnd.docker.container.image.v1+json".to_owned();
        (format!("{DOCKER}v2+json"), config, format!("{DOCKER_LAYER}diff.tar.gzip"))
    } else {
        let layer = format!("{OCI}layer.v1.tar+gzip");
        (format!("{OCI}manifest.v1+json"), format!("{OCI}config.v1+json"), layer)
    };
    let image = json!({
        "schemaVersion": 2,
        "mediaType": own,
        "config": described(&config_type, &config),
        "layers": [described(&layer_type, &layer)],
    });
    (image, config, layer)
}

#[test]
fn a_negative_size_is_not_known() {
    let home = home(&[]);
    for docker in [false, true] {
        for place in ["config", "layers"] {
            let (mut image, config, layer) = image(docker);
            let pointer = if place == "config" { "/config/size" } else { "/layers/0/size" };
            *image.pointer_mut(pointer).unwrap() = json!(-1);
            let manifest = bytes(&image);
            let name = format!("{place}{docker}");
            write_dir(&home, &name, &manifest, &[&config, &layer], &[]);
            let from = format!("dir:{}", home.work(&name));
            let shown = well(&home, &["inspect", &from]);
            let size = &shown.json()["LayersData"][0]["Size"];
            assert_eq!(size.is_null(), place == "layers", "{shown}");
            well(&home, &["inspect", "--config", &from]);
            let all = well(&home, &["inspect", "--all-platforms", &from]);
            assert!(all.json()["Size"].is_null(), "{all}");
            let formats = ["{{range .LayersData}}{{.Size}}{{end}}", "{{json .LayersData}}"];
            let formats = formats.map(|it| well(&home, &["inspect", "--format", it, &from]));
            for shown in [&shown, &all].into_iter().chain(&formats) {
                assert!(!shown.stdout.contains("-1"), "{shown}");
            }
            for transport in ["dir", "oci", "docker-archive", "oci-archive"] {
                let to = format!("{transport}:{}", home.work(&format!("{name}-{transport}")));
                let run = well(&home, &["copy", "--output", "json", &from, &to]);
                assert!(!run.stdout.contains(": -1") && !run.stdout.contains(":-1"), "{run}");
            }
            let at = |transport: &str| home.path("work").join(format!("{name}-{transport}"));
            assert_eq!(fs_err::read(at("dir").join("manifest.json")).unwrap(), manifest);
            let written = manifest_in(&at("oci"));
            if docker {
                // What has to be written anew says how long its blobs are.
                let written: Value = serde_json::from_slice(&written).unwrap();
                assert_eq!(written["layers"][0]["size"], layer.len(), "{written}");
                assert!(written["config"]["size"].as_u64().is_some(), "{written}");
            } else {
                assert_eq!(written, manifest);
            }
        }
        let (image, config, layer) = image(docker);
        let own = image["mediaType"].as_str().unwrap().to_owned();
        let image = bytes(&image);
        let mut entry = described(&own, &image);
        entry["size"] = json!(-1);
        entry["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        let own = format!("{DOCKER}list.v2+json");
        let own = if docker { own } else { format!("{OCI}index.v1+json") };
        let list = bytes(&json!({ "schemaVersion": 2, "mediaType": own, "manifests": [entry] }));
        let name = format!("list{docker}");
        write_dir(&home, &name, &list, &[&config, &layer], &[&image]);
        let from = format!("dir:{}", home.work(&name));
        well(&home, &["--override-arch", "amd64", "inspect", &from]);
        let to = home.work(&format!("{name}-all"));
        well(&home, &["copy", "--all", &from, &format!("dir:{to}")]);
        assert_eq!(fs_err::read(Path::new(&to).join("manifest.json")).unwrap(), list);
        well(&home, &["copy", "--all", &from, &format!("oci:{to}-oci:x")]);
        well(&home, &["--override-arch", "amd64", "copy", &from, &format!("dir:{to}-one")]);
    }
}

#[test]
fn layers_of_the_other_family_stay_as_they_are() {
    let home = home(&[]);
    let (tar, config) = parts();
    let packed = compress(&tar, Compression::Gzip).to_vec();
    let zstd = compress(&tar, Compression::Zstd).to_vec();
    let oci = (format!("{OCI}manifest.v1+json"), format!("{OCI}config.v1+json"));
    for (at, (layer_type, layer)) in [
        (format!("{DOCKER_LAYER}diff.tar"), &tar),
        (format!("{DOCKER_LAYER}diff.tar.gzip"), &packed),
        (format!("{DOCKER_LAYER}diff.tar.zstd"), &zstd),
        (format!("{DOCKER_LAYER}foreign.diff.tar"), &tar),
        ("application/x-tar".to_owned(), &tar),
        ("application/octet-stream".to_owned(), &packed),
    ]
    .into_iter()
    .enumerate()
    {
        let image = bytes(&json!({
            "schemaVersion": 2,
            "mediaType": oci.0,
            "config": described(&oci.1, &config),
            "layers": [described(&layer_type, layer)],
        }));
        let name = format!("oci{at}");
        write_dir(&home, &name, &image, &[&config, layer], &[]);
        let from = format!("dir:{}", home.work(&name));
        well(&home, &["copy", &from, &format!("oci:{}:x", home.work(&format!("{name}-layout")))]);
        assert_eq!(manifest_in(&home.path("work").join(format!("{name}-layout"))), image);
        for (number, flags) in [
            &["--dest-compress"][..],
            &["--dest-compress", "--dest-compress-format", "zstd"],
            &["--dest-decompress"],
        ]
        .into_iter()
        .enumerate()
        {
            let to = home.work(&format!("{name}-{number}"));
            well(&home, &[&["copy"], flags, &[&from, &format!("dir:{to}")]].concat());
            let copy = fs_err::read(Path::new(&to).join("manifest.json")).unwrap();
            assert_eq!(copy, image, "{layer_type} {flags:?}");
        }
    }
    // Docker's own zstd, which its manifests cannot name otherwise, and OCI's in Docker's.
    let config_type = "application/vnd.docker.container.image.v1+json";
    let image = bytes(&json!({
        "schemaVersion": 2,
        "mediaType": format!("{DOCKER}v2+json"),
        "config": described(config_type, &config),
        "layers": [described(&format!("{DOCKER_LAYER}diff.tar.zstd"), &zstd)],
    }));
    write_dir(&home, "docker", &image, &[&config, &zstd], &[]);
    let from = format!("dir:{}", home.work("docker"));
    for to in ["docker-archive:", "dir:"] {
        let to = format!("{to}{}", home.work(&format!("docker-{}", to.len())));
        well(&home, &["copy", &from, &to]);
    }
    assert_eq!(fs_err::read(home.path("work/docker-4/manifest.json")).unwrap(), image);
}

/// What `buildx build --cache-to type=registry` makes: an index of layers and a config.
#[test]
fn a_build_cache_is_copied_as_it_is() {
    let registry = Registry::start();
    let home = home(&[&registry.host()]);
    let (tar, _) = parts();
    let layer = compress(&tar, Compression::Gzip).to_vec();
    let cache: &[u8] = br#"{"layers":[],"records":[]}"#;
    let unknown: &[u8] = b"whatever it is";
    for (at, (own, layer_type, last)) in [
        (format!("{OCI}index.v1+json"), format!("{OCI}layer.v1.tar+gzip"), None),
        (format!("{DOCKER}list.v2+json"), format!("{DOCKER_LAYER}diff.tar.gzip"), None),
        (format!("{OCI}index.v1+json"), format!("{OCI}layer.v1.tar+gzip"), Some("text/x-any")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut entries = vec![
            described(&layer_type, &layer),
            described("application/vnd.buildkit.cacheconfig.v0", cache),
        ];
        entries.extend(last.map(|media_type| described(media_type, unknown)));
        let index = bytes(&json!({ "schemaVersion": 2, "mediaType": own, "manifests": entries }));
        let name = format!("cache{at}");
        write_dir(&home, &name, &index, &[&layer, cache, unknown], &[]);
        let from = format!("dir:{}", home.work(&name));
        let mut places = vec![
            format!("dir:{}", home.work(&format!("{name}-dir"))),
            format!("oci:{}:x", home.work(&format!("{name}-oci"))),
            format!("oci-archive:{}:x", home.work(&format!("{name}.tar"))),
        ];
        if last.is_none() {
            places.push(registry.docker(&format!("{name}:tag")));
        }
        for place in &places {
            well(&home, &["copy", "--all", &from, place]);
            // Again, and back.
            well(&home, &["copy", "--all", &from, place]);
            let back = home.work(&format!("{name}-back"));
            well(&home, &["copy", "--all", place, &format!("dir:{back}")]);
            assert_eq!(well(&home, &["inspect", "--raw", place]).stdout.as_bytes(), index);
            let back = Path::new(&back);
            assert_eq!(fs_err::read(back.join("manifest.json")).unwrap(), index);
            for blob in [layer.as_slice(), cache] {
                assert_eq!(fs_err::read(back.join(Digest::sha256(blob).hex())).unwrap(), blob);
            }
            fs_err::remove_dir_all(back).unwrap();
            well(&home, &["inspect", "--all-platforms", place]);
            if last.is_some() {
                continue;
            }
            let shown = well(&home, &["inspect", "-n", place]);
            assert_eq!(shown.json()["Manifests"].as_array().unwrap().len(), 2, "{shown}");
            for words in [
                &["copy", place, &format!("dir:{}", home.work("one"))][..],
                &[
                    "copy",
                    "--multi-arch",
                    "linux/amd64",
                    place,
                    &format!("dir:{}", home.work("one")),
                ],
            ] {
                let run = skopeo(&home, &[&["--insecure-policy"], words].concat());
                assert_eq!(run.code, Some(1), "{run}");
                let said = sentence(&run);
                assert!(said.contains("its entries are not manifests"), "{said}");
                assert!(said.contains("application/vnd.buildkit.cacheconfig.v0"), "{said}");
            }
        }
        let to = format!("docker-archive:{}", home.work("none.tar"));
        let run = skopeo(&home, &["--insecure-policy", "copy", "--all", &from, &to]);
        assert_eq!(run.code, Some(1), "{run}");
        let layout = format!("oci:{}:x", home.work(&format!("{name}-oci")));
        well(&home, &["delete", &layout]);
        let blobs = home.path("work").join(format!("{name}-oci/blobs/sha256"));
        assert_eq!(fs_err::read_dir(blobs).unwrap().count(), 0);
        // Nobody vouches for the blobs but who vouches for the index.
        let to = format!("dir:{}", home.work("refused"));
        home.write("reject.json", r#"{"default":[{"type":"reject"}]}"#);
        let policy = home.path("reject.json");
        let policy = policy.to_str().unwrap();
        let run = skopeo(&home, &["--policy", policy, "copy", "--all", &from, &to]);
        assert!(sentence(&run).contains("rejected by policy"), "{run}");
    }
}

/// A file of many small values takes no more memory than a few times its length, or is refused.
#[test]
fn many_entries_take_little_memory() {
    let home = home(&[]);
    let hostile = format!("{{\"manifests\":[{}{{}}]}}", "{\"a\":0},".repeat((63 << 20) / 8));
    let folder = home.path("work/layout");
    fs_err::create_dir_all(folder.join("blobs/sha256")).unwrap();
    fs_err::write(folder.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
    fs_err::write(folder.join("index.json"), &hostile).unwrap();
    let archive = home.work("archive.tar");
    tar_of(&folder, &archive);
    let packed = home.work("archive.tar.gz");
    fs_err::write(&packed, compress(&fs_err::read(&archive).unwrap(), Compression::Gzip)).unwrap();
    for place in ["oci:", "oci-archive:", "packed"] {
        let name = match place {
            "oci:" => format!("oci:{}:x", folder.display()),
            "packed" => format!("oci-archive:{packed}:x"),
            _ => format!("oci-archive:{archive}:x"),
        };
        let run = frugal_within(&home, &["inspect", &name], 128 << 10);
        let said = sentence(&run);
        assert!(said.contains("more than 1048576 entries"), "{said}");
    }
    // Of honest ones as many as there can be.
    let digest = Digest::sha256(b"");
    let entry = |number: usize| {
        format!(
            "{{\"mediaType\":\"{OCI}manifest.v1+json\",\"digest\":\"{digest}\",\"size\":1,\
             \"annotations\":{{\"org.opencontainers.image.ref.name\":\"v{number}\"}}}}"
        )
    };
    let entries: Vec<String> = (0..100_000).map(entry).collect();
    let honest = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entries.join(","));
    fs_err::write(folder.join("index.json"), &honest).unwrap();
    let name = format!("oci:{}:none", folder.display());
    let most = (honest.len() as u64 >> 10) + (64 << 10);
    let said = sentence(&frugal_within(&home, &["inspect", &name], most));
    assert!(said.contains("no descriptor found for reference \"none\""), "{said}");
    // Other files that list something.
    let list = |name: &str, text: String| {
        write_dir(&home, name, text.as_bytes(), &[], &[]);
        format!("dir:{}", home.work(name))
    };
    let many = "{},".repeat((3 << 20) / 3);
    let own = format!("\"schemaVersion\":2,\"mediaType\":\"{OCI}index.v1+json\"");
    let index = list("index", format!("{{{own},\"manifests\":[{many}{{}}]}}"));
    let own = own.replace("index", "manifest");
    let manifest = list("manifest", format!("{{{own},\"config\":{{}},\"layers\":[{many}{{}}]}}"));
    for name in [index, manifest] {
        let said = sentence(&frugal_within(&home, &["inspect", &name], 96 << 10));
        assert!(said.contains("entries, which is too many to read"), "{said}");
    }
    let saved = home.path("work/saved");
    fs_err::create_dir_all(&saved).unwrap();
    let many = "{},".repeat((12 << 20) / 3);
    fs_err::write(saved.join("manifest.json"), format!("[{many}{{}}]")).unwrap();
    let archive = home.work("saved.tar");
    tar_of(&saved, &archive);
    let name = format!("docker-archive:{archive}");
    let said = sentence(&frugal_within(&home, &["inspect", &name], 128 << 10));
    assert!(said.contains("entries, which is too many to read"), "{said}");
}

fn tar_of(folder: &Path, archive: &str) {
    let mut command = std::process::Command::new("tar");
    let status = command.arg("-C").arg(folder).args(["-cf", archive, "."]).status();
    assert!(status.unwrap().success());
}
