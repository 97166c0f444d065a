//! Every place an image can come from, every place it can go to, every format: the installed
//! original and we end alike, and what both have written is the same wherever it is defined by an
//! image and not by a compressor.
//!
//! `twin_copy` has more flags and compares what is said; this has all transports.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use skopeo_image::Compression;
use skopeo_testkit::twin::{Side, canonical_tree, differences};
use skopeo_testkit::{Format, Image, Registry, Twin, skip};

use crate::oci_archive::{tar, unpack};

const DESTINATIONS: [&str; 5] = ["docker", "dir", "oci", "oci-archive", "docker-archive"];

const FORMATS: [&str; 4] = ["", "oci", "v2s2", "v2s1"];

/// Where what is written differs: source, destination (`*` is any), format, and why.
const KNOWN: &[(&str, &str, &str, &str)] = &[
    ("tarball", "*", "", "1.9.3, other than 1.22, writes no mediaType into the manifest"),
    ("tarball", "*", "oci", "the same"),
    ("tarball", "*", "v2s2", "1.9.3, other than 1.22, writes an empty `config` into the config"),
    ("tarball", "*", "v2s1", "the same"),
    ("docker-archive", "docker", "v2s1", "ids of schema 1 are of what the compressor made"),
];

fn images() -> [(&'static str, Image); 2] {
    let docker = Image::builder(2).format(Format::Docker).layer(Compression::Gzip).build();
    [("oci", Image::new(1)), ("docker", docker)]
}

/// Runs everything that begins at a source, then fails with all that differs.
fn compare(source: &str) {
    let Some(twin) = Twin::new(env!("CARGO_BIN_EXE_skopeo")) else {
        skip!("the original skopeo is not installed: nothing to compare with");
    };
    let mut report = String::new();
    for (kind, image) in images() {
        let registry = Registry::start();
        image.push(&registry, "from:tag");
        let Some(name) = prepare(&twin, source, kind, &image, &registry) else { continue };
        for destination in DESTINATIONS {
            for format in FORMATS {
                let known = KNOWN.iter().any(|(from, to, known, _)| {
                    *from == source && ["*", destination].contains(to) && *known == format
                });
                let run = |side| run(side, &twin, &registry, &name, destination, format);
                let (theirs, ours) = (run(twin.original()), run(twin.ours()));
                let differing = match (&theirs, &ours) {
                    (Ok(_), Ok(_)) if known => Vec::new(),
                    (Ok(theirs), Ok(ours)) => differences(theirs, ours),
                    (Err(_), Err(_)) => Vec::new(),
                    _ => vec![format!("{theirs:?}\n{ours:?}")],
                };
                if !differing.is_empty() {
                    let differing = differing.join("\n");
                    report +=
                        &format!("== {kind}: {name} -> {destination} {format}\n{differing}\n");
                }
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// Puts the image where both find it. Gives its name; none if there is no such image of this kind.
fn prepare(
    twin: &Twin,
    source: &str,
    kind: &str,
    image: &Image,
    registry: &Registry,
) -> Option<String> {
    if kind == "docker" && ["oci", "oci-archive", "tarball"].contains(&source) {
        return None; // 1.9.3 reads no layouts of Docker's manifests; a tar is a tar
    }
    twin.prepare(|home| {
        let _ = fs_err::remove_dir_all(home.path("work"));
        fs_err::create_dir(home.path("work")).unwrap();
        image.write_dir(&home.path("work/from-dir"));
        image.write_oci(&home.path("work/from-oci"), Some("tag"));
        tar(&["-C", &home.work("from-oci"), "-cf", &home.work("from-oci.tar"), "."]);
        let path = home.path("work/from.tar.gz");
        fs_err::write(&path, &image.layers()[0].bytes).unwrap();
        let file = fs_err::File::options().write(true).open(path).unwrap();
        file.file().set_modified(UNIX_EPOCH + Duration::from_secs(1_600_000_000)).unwrap();
        home.insecure(&[&registry.host()]);
    });
    if source == "docker-archive" {
        // Made by the original, for both.
        let to = format!("docker-archive:{}:a/b:c", twin.original().home.work("from-docker.tar"));
        let from = ["copy", "-q", "dir:from-dir", &to];
        skopeo_testkit::run(&twin.original().home, &twin.original().program, &from).success();
        let archive = twin.original().home.path("work/from-docker.tar");
        fs_err::copy(archive, twin.ours().home.path("work/from-docker.tar")).unwrap();
    }
    Some(match source {
        "docker" => registry.docker("from:tag"),
        "dir" => "dir:from-dir".to_owned(),
        "oci" => "oci:from-oci:tag".to_owned(),
        "oci-archive" => "oci-archive:from-oci.tar:tag".to_owned(),
        "docker-archive" => "docker-archive:from-docker.tar:a/b:c".to_owned(),
        "tarball" => "tarball:from.tar.gz".to_owned(),
        other => panic!("{other} is not known here"),
    })
}

/// Runs one of the two; gives what it has written, or what it said.
fn run(
    side: &Side,
    twin: &Twin,
    from: &Registry,
    name: &str,
    destination: &str,
    format: &str,
) -> Result<BTreeMap<String, String>, String> {
    let to = (destination == "docker").then(Registry::start);
    let hosts: Vec<String> =
        [Some(from), to.as_ref()].into_iter().flatten().map(Registry::host).collect();
    side.home.insecure(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
    let place = side.home.path("work/to");
    let target = match (&to, destination) {
        (Some(to), _) => to.docker("to:tag"),
        (None, "dir") => "dir:to".to_owned(),
        (None, archive) if archive.starts_with("docker") => format!("{archive}:to:a/b:c"),
        (None, other) => format!("{other}:to:tag"),
    };
    let mut words = vec!["copy", "-q", name, &target];
    let format = ["--format", format];
    words.extend(format.iter().filter(|_| !format[1].is_empty()));
    let run = skopeo_testkit::run(&side.home, &side.program, &words);
    let written = (run.code == Some(0)).then(|| match (&to, destination) {
        (Some(to), _) => canonical_tree(&to.root().join("to")),
        (None, "oci-archive") => canonical_tree(&unpack(&place)),
        (None, "docker-archive") => judged(twin, &place),
        _ => canonical_tree(&place),
    });
    let _ = fs_err::remove_dir_all(&place).or_else(|_| fs_err::remove_file(&place));
    written.ok_or(run.stderr)
}

/// What the original reads in a docker archive. Its layers are plain tars, so that all digests are
/// defined by the image.
fn judged(twin: &Twin, archive: &Path) -> BTreeMap<String, String> {
    let judge = twin.original();
    let name = format!("docker-archive:{}:a/b:c", archive.display());
    let manifest =
        skopeo_testkit::run(&judge.home, &judge.program, &["inspect", "--raw", &name]).success();
    let back = judge.home.path("work/back");
    let to = format!("dir:{}", back.display());
    skopeo_testkit::run(&judge.home, &judge.program, &["copy", "-q", &name, &to]).success();
    let mut read = canonical_tree(&back);
    read.insert("manifest".to_owned(), manifest.stdout);
    fs_err::remove_dir_all(back).unwrap();
    read
}

#[test]
fn from_a_registry() {
    compare("docker");
}

#[test]
fn from_a_folder() {
    compare("dir");
}

#[test]
fn from_a_layout() {
    compare("oci");
}

#[test]
fn from_a_layout_in_a_tar() {
    compare("oci-archive");
}

#[test]
fn from_what_docker_saved() {
    compare("docker-archive");
}

#[test]
fn from_a_tar() {
    compare("tarball");
}
