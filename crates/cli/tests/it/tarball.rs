//! `tarball:`, beside the installed original.
//!
//! Debian's 1.9.3 differs from the current release, which we follow: it writes no `mediaType` into
//! the manifest, and knows of packed files only gzip.

use std::time::{Duration, UNIX_EPOCH};

use skopeo_image::Digest;
use skopeo_testkit::run::run_with_input;
use skopeo_testkit::{Home, Twin};

use crate::program::{at_home, fatal};

/// `hello\n`, packed.
const GZIP: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7,
    0x02, 0x00, 0x20, 0x30, 0x3a, 0x36, 0x06, 0x00, 0x00, 0x00,
];

fn write(home: &Home, name: &str, bytes: &[u8], time: Duration) {
    let path = home.path("work").join(name);
    fs_err::write(&path, bytes).unwrap();
    let file = fs_err::File::options().write(true).open(path).unwrap();
    file.file().set_modified(UNIX_EPOCH + time).unwrap();
}

#[test]
fn the_same_image_is_made_up() {
    let Some(twin) = Twin::new(env!("CARGO_BIN_EXE_skopeo")) else {
        skopeo_testkit::skip!("the original skopeo is not installed: nothing to compare with");
    };
    twin.prepare(|home| {
        write(home, "plain.tar", b"hello\n", Duration::new(1_600_000_000, 120_000_000));
        write(home, "later.tar.gz", GZIP, Duration::from_secs(1_700_000_000));
        write(home, "empty", b"", Duration::from_secs(0));
    });
    for name in ["plain.tar", "plain.tar:later.tar.gz", "later.tar.gz:empty:plain.tar", "empty"] {
        let name = format!("tarball:{name}");
        // 1.22 leaves an empty `config` out, and says what the manifest is.
        let config = twin.run(&["inspect", "--config", "--raw", &name]).success();
        assert_eq!(config.ours.stdout, config.original.stdout.replace("\"config\":{},", ""));
        let raw = twin.run(&["inspect", "--raw", &name]).success();
        let (ours, theirs) = (raw.ours.json(), raw.original.json());
        assert_eq!(ours["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(ours["layers"], theirs["layers"]);
        assert_eq!(ours["config"]["mediaType"], theirs["config"]["mediaType"]);
    }
    twin.run(&["copy", "tarball:plain.tar:later.tar.gz", "dir:out"]).success();
    twin.prepare(|home| {
        let manifest = home.path("work/out/manifest.json");
        let text = fs_err::read(&manifest).unwrap();
        let parsed: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let config = parsed["config"]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        fs_err::remove_file(home.path("work/out").join(config)).unwrap();
        fs_err::remove_file(manifest).unwrap();
    });
    twin.assert_same_tree("out");
}

#[test]
fn the_same_is_refused() {
    let Some(twin) = Twin::new(env!("CARGO_BIN_EXE_skopeo")) else {
        skopeo_testkit::skip!("the original skopeo is not installed: nothing to compare with");
    };
    twin.prepare(|home| write(home, "a", b"hello\n", Duration::ZERO));
    for words in [
        &["inspect", "tarball:"][..],
        &["inspect", "tarball:none"],
        &["inspect", "tarball:a:none"],
        &["inspect", "tarball:a:"],
        &["copy", "tarball:a", "tarball:none"],
        &["copy", "tarball:a", "tarball:a"],
    ] {
        let both = twin.run(words);
        assert_eq!(fatal(&both.ours), fatal(&both.original), "{words:?}");
        both.assert_same();
    }
}

#[test]
fn standard_input_is_a_file_too() {
    let home = Home::new();
    write(&home, "a", b"hello\n", Duration::ZERO);
    let program = env!("CARGO_BIN_EXE_skopeo");
    let layer = Digest::sha256(GZIP).to_string();
    for name in ["tarball:-", "tarball:a:-", "tarball:-:-"] {
        // A copy that is tried again asks for it again.
        let words = ["copy", "--retry-times", "2", name, "dir:out"];
        run_with_input(&home, program, &words, GZIP).success();
        let shown = at_home(&home, &["inspect", "dir:out"]).success().json();
        assert_eq!(shown["Layers"].as_array().unwrap().last().unwrap(), &*layer, "{name}");
    }
    let left = fs_err::read_dir(home.path("tmp")).unwrap().count();
    assert_eq!(left, 0, "nothing is left in --tmpdir");
}

#[test]
fn deleting_touches_nothing() {
    let home = Home::new();
    write(&home, "a", b"hello\n", Duration::ZERO);
    let run = at_home(&home, &["delete", "tarball:a"]).failure(1);
    assert_eq!(fatal(&run), "Deleting images not implemented for tarball: images");
    assert_eq!(fs_err::read(home.path("work/a")).unwrap(), b"hello\n");
}

#[test]
fn a_broken_file_is_named() {
    let home = Home::new();
    write(&home, "broken", &GZIP[..20], Duration::ZERO);
    let run = at_home(&home, &["inspect", "tarball:broken"]).failure(1);
    let text = fatal(&run);
    let begin = "Error parsing image name \"tarball:broken\": error reading \"broken\": ";
    assert!(text.starts_with(begin), "{text}");
}

#[test]
fn what_is_gone_says_what_to_use_instead() {
    let home = Home::new();
    let run = at_home(&home, &["inspect", "ostree:x"]).failure(1);
    let sentence = "The transport \"ostree:\" is not supported in this build";
    assert_eq!(fatal(&run), format!("Error parsing image name \"ostree:x\": {sentence}"));
    let last = run.stderr.lines().last().unwrap();
    assert!(last.starts_with("hint: ") && last.contains("tarball:FILE"), "{run}");
}
