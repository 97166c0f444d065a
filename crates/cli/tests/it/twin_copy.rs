//! `skopeo copy` by the installed original and by us, over the whole matrix of places and images.

use std::collections::BTreeMap;

use skopeo_image::{Compression, MediaType};
use skopeo_testkit::twin::{Side, canonical_tree, differences};
use skopeo_testkit::{Format, Image, Registry, Run, Twin};

use crate::program::fatal;

/// Where 1.9.3, which distributions have, and 1.22, which we follow, differ: images, flags (a `*` at
/// the end is any rest), what differs, and why.
const KNOWN: &[(&str, &str, &str, &str)] = &[
    ("*", "--dest-compress-format zstd --format v2s2", "*", "1.22 sees the contradiction at once"),
    (ZSTD_TO_OCI, "--dest-compress-format zstd", "*", "1.22 chooses a type that knows zstd"),
    (ZSTD_TO_OCI, "--dest-compress --dest-compress-format zstd", "*", "the same"),
    ("tar tar-docker", "--format v2s1", "result", "its ids are of what the compressor made"),
    ("artifacts", "*", "message", "the same; 1.22 quotes the platform"),
    ("artifact", "--format v2s*", "message", "1.22 names the artifact's type, not its config's"),
];

const ZSTD_TO_OCI: &str = "docker tar-docker schema1 schema1-unsigned foreign";

const ALL: &[&str] = &["dir", "oci", "docker"];

/// Flags, and the destinations they are tried with, for every image.
const FLAGS: &[(&str, &[&str])] = &[
    ("", ALL),
    ("--format oci", ALL),
    ("--format v2s2", ALL),
    ("--format v2s1", ALL),
    ("--preserve-digests", ALL),
    ("--preserve-digests --format v2s2", &["dir", "oci"]),
    ("--preserve-digests --format oci", &["dir", "docker"]),
    ("--dest-compress", &["dir", "oci"]),
    ("--dest-decompress", &["dir", "docker"]),
    ("--dest-decompress --format oci", &["dir"]),
    ("--dest-compress --dest-decompress", &["dir"]),
    ("--dest-compress --dest-compress-format zstd", &["dir"]),
    ("--dest-compress-format gzip", ALL),
    ("--dest-compress-format zstd", ALL),
    ("--dest-compress-format zstd --format v2s2", &["docker"]),
    ("--dest-compress-format zstd --format oci", &["dir", "docker"]),
    ("--dest-oci-accept-uncompressed-layers", &["oci", "docker"]),
    ("--remove-signatures", &["dir"]),
];

/// The same, for lists.
const LIST_FLAGS: &[(&str, &[&str])] = &[
    ("", ALL),
    ("--format v2s1", &["docker"]),
    ("--all", ALL),
    ("--all --preserve-digests", ALL),
    ("--all --format v2s2", &["dir", "docker"]),
    ("--all --format oci", &["dir", "docker"]),
    ("--all --format v2s1", &["dir"]),
    ("--all --remove-signatures", &["dir"]),
    ("--override-os linux --override-arch arm64", ALL),
    ("--override-os linux --override-arch sparc", &["dir"]),
    ("--override-os windows --override-arch amd64", &["oci"]),
    ("--multi-arch system", &["dir"]),
    ("--multi-arch all", &["oci"]),
    ("--multi-arch index-only", ALL),
    ("--multi-arch index-only --preserve-digests", &["dir"]),
];

struct Row<'a> {
    source: &'a str,
    destination: &'a str,
    flags: &'a str,
}

/// Runs every row for an image, then fails with all that differs.
fn compare(kind: &str, image: &Image) {
    let Some(twin) = Twin::new(env!("CARGO_BIN_EXE_skopeo")) else {
        skopeo_testkit::skip!("the original skopeo is not installed: nothing to compare with");
    };
    let registry = Registry::start();
    image.push(&registry, "from:tag");
    twin.prepare(|home| {
        image.write_dir(&home.path("work/from-dir"));
        image.write_oci(&home.path("work/from-oci"), Some("tag"));
    });
    let oci = [MediaType::OCI_MANIFEST, MediaType::OCI_INDEX].contains(&image.media_type());
    let flags = if image.instances().is_empty() { FLAGS } else { LIST_FLAGS };
    let mut report = String::new();
    for (source, flags, destination) in ALL.iter().flat_map(|source| {
        // What reads is the same for all flags, so the folders get by with some.
        let count = if *source == "docker" { flags.len() } else { 3 };
        let flags = flags.iter().take(count);
        flags.flat_map(move |(flags, to)| to.iter().map(move |to| (*source, *flags, *to)))
    }) {
        if source == "oci" && !oci {
            continue; // 1.9.3 reads no layouts of Docker's manifests
        }
        let row = Row { source, destination, flags };
        for (what, text) in row.differences(&twin, &registry) {
            let known = KNOWN.iter().any(|(kinds, known, w, _)| {
                let fits = match known.strip_suffix('*') {
                    Some(begin) => flags.starts_with(begin),
                    None => *known == flags,
                };
                (*kinds == "*" || kinds.split(' ').any(|k| k == kind))
                    && fits
                    && ["*", what].contains(w)
            });
            if !known {
                report += &format!("== {kind} {source} -> {destination} {flags}: {what}\n{text}\n");
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

impl Row<'_> {
    fn differences(&self, twin: &Twin, from: &Registry) -> Vec<(&'static str, String)> {
        let (original, original_tree) = self.run(twin.original(), from);
        let (ours, our_tree) = self.run(twin.ours(), from);
        if original.code != ours.code {
            return vec![("code", format!("{original}\n{ours}"))];
        }
        if original.code != Some(0) {
            let (theirs, ours) = (fatal(&original), fatal(&ours));
            return match any_instance(&as_1_22(&theirs)) == any_instance(&ours) {
                true => Vec::new(),
                false => vec![("message", format!("  {theirs}\n  {ours}"))],
            };
        }
        let mut found = Vec::new();
        let (theirs, ours) = (lines(&original.stdout), lines(&ours.stdout));
        if theirs != ours {
            found.push(("stdout", format!("{}\n--\n{}", theirs.join("\n"), ours.join("\n"))));
        }
        let differing = differences(&original_tree, &our_tree);
        if !differing.is_empty() {
            found.push(("result", differing.join("\n")));
        }
        found
    }

    /// Runs one of the two. Its destination is a registry of its own, where the original has no
    /// memory of earlier blobs.
    fn run(&self, side: &Side, from: &Registry) -> (Run, BTreeMap<String, String>) {
        let to = (self.destination == "docker").then(Registry::start);
        let hosts = [Some(from), to.as_ref()].into_iter().flatten().map(Registry::host);
        let hosts: Vec<String> = hosts.collect();
        side.home.insecure(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
        let source = match self.source {
            "docker" => from.docker("from:tag"),
            "oci" => "oci:from-oci:tag".to_owned(),
            _ => "dir:from-dir".to_owned(),
        };
        let destination = match (&to, self.destination) {
            (Some(to), _) => to.docker("to:tag"),
            (None, "oci") => "oci:to:tag".to_owned(),
            (None, _) => "dir:to".to_owned(),
        };
        let mut words: Vec<&str> = vec!["copy"];
        words.extend(self.flags.split_whitespace());
        words.extend([source.as_str(), destination.as_str()]);
        let run = skopeo_testkit::run(&side.home, &side.program, &words);
        let host = to.as_ref().map(Registry::host).unwrap_or_default();
        let text = |text: &str| match host.as_str() {
            "" => text.to_owned(),
            host => text.replace(host, "[TO]"),
        };
        let run = Run { stdout: text(&run.stdout), stderr: text(&run.stderr), code: run.code };
        let folder = to.as_ref().map_or_else(|| side.home.path("work"), |to| to.root().to_owned());
        let folder = folder.join("to");
        let written = if folder.exists() { canonical_tree(&folder) } else { BTreeMap::new() };
        let _ = fs_err::remove_dir_all(side.home.path("work/to"));
        (run, written)
    }
}

/// A message without the number of the instance that failed: of several that fail here at once, one
/// is told of.
fn any_instance(message: &str) -> String {
    match message.split_once("copying image ") {
        Some((before, rest)) => {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}copying image N{rest}")
        }
        None => message.to_owned(),
    }
}

/// A message of 1.9.3 in the words of 1.22.
fn as_1_22(message: &str) -> String {
    let changed = [
        (
            ": zstd compression is not supported for",
            ": zstd compression is not officially supported for",
        ),
        ("manifest blob unknown: blob unknown", "blob unknown"),
        (
            "modify it: \"Instructed to preserve digests\"",
            "modify it: Instructed to preserve digests",
        ),
        ("architecture sparc, ", "architecture \"sparc\", "),
        ("architecture amd64, ", "architecture \"amd64\", "),
        ("OS linux", "OS \"linux\""),
        ("OS windows", "OS \"windows\""),
    ];
    changed.iter().fold(message.to_owned(), |text, (old, new)| text.replace(old, new))
}

/// The lines of standard output, sorted, as blobs are copied at the same time, in the words of 1.22.
fn lines(stdout: &str) -> Vec<String> {
    let gone = ["Storing signatures", "Storing list signatures"];
    let lines = stdout.lines().filter(|line| !gone.contains(line)).map(str::trim_end);
    let as_1_22 = |line: &str| match line.strip_suffix(" images in list") {
        Some(counts) if counts.starts_with("Copying ") => {
            format!("{} images in list", counts.replace(" of ", " images generated from "))
        }
        _ => line.to_owned(),
    };
    let mut lines: Vec<_> = lines.map(as_1_22).collect();
    lines.sort();
    lines
}

#[test]
fn single_oci() {
    compare("oci", &Image::new(1));
}

#[test]
fn single_docker() {
    compare("docker", &Image::builder(1).format(Format::Docker).build());
}

#[test]
fn schema1_signed() {
    compare(
        "schema1",
        &Image::builder(1).format(Format::Schema1Signed).named("from", "tag").build(),
    );
}

#[test]
fn schema1_unsigned() {
    compare(
        "schema1-unsigned",
        &Image::builder(1).format(Format::Schema1).named("from", "tag").build(),
    );
}

#[test]
fn index() {
    compare("index", &Image::platforms(1, 3));
}

#[test]
fn index_with_attestations() {
    compare("attested", &Image::attested_platforms(1, 2));
}

#[test]
fn index_of_artifacts() {
    let artifact = |seed| Image::builder(seed).artifact("application/x").build();
    compare("artifacts", &Image::list(vec![artifact(1), artifact(2)]));
}

#[test]
fn docker_list() {
    let instance = |seed, architecture| {
        Image::builder(seed).format(Format::Docker).platform("linux", architecture, "").build()
    };
    compare("list", &Image::list(vec![instance(1, "arm64"), instance(2, "amd64")]));
}

#[test]
fn zstd_layer() {
    compare("zstd", &Image::builder(1).layer(Compression::Gzip).layer(Compression::Zstd).build());
}

#[test]
fn uncompressed_layer() {
    compare(
        "tar",
        &Image::builder(1).layer(Compression::Uncompressed).layer(Compression::Gzip).build(),
    );
}

#[test]
fn uncompressed_docker_layer() {
    let image = Image::builder(1).format(Format::Docker).layer(Compression::Uncompressed).build();
    compare("tar-docker", &image);
}

#[test]
fn artifact() {
    compare("artifact", &Image::builder(1).artifact("application/x").build());
}

#[test]
fn foreign_layer() {
    let elsewhere = Registry::start();
    let seed = 7;
    let plain = Image::builder(1).layer_of(seed ^ 0xf0e1, Compression::Gzip).build();
    plain.push(&elsewhere, "there:1");
    let layer = plain.layers()[0].digest.clone();
    let url = elsewhere.url(&format!("/v2/there/blobs/{layer}"));
    let image = Image::builder(seed).format(Format::Docker).foreign_layer(&url).build();
    assert_eq!(image.layers()[0].digest, layer);
    compare("foreign", &image);
}

#[test]
fn layer_repeated() {
    let image = Image::builder(1)
        .layer_of(5, Compression::Gzip)
        .layer_of(6, Compression::Gzip)
        .layer_of(5, Compression::Gzip)
        .build();
    compare("repeated", &image);
}
