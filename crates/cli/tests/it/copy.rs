//! `skopeo copy`.

use std::process::Stdio;

use serde_json::json;
use skopeo_testkit::{Fault, Home, Image, On, Registry};

use crate::program::{at_home, fatal};

/// A registry that is reached by plain HTTP, and a home that knows it.
fn start() -> (Home, Registry) {
    let (home, registry) = (Home::new(), Registry::start());
    home.insecure(&[&registry.host()]);
    (home, registry)
}

fn manifest(home: &Home, folder: &str) -> Vec<u8> {
    fs_err::read(home.path("work").join(folder).join("manifest.json")).unwrap()
}

#[test]
fn goes_round_through_every_transport_unchanged() {
    let (home, registry) = start();
    let image = Image::new(1);
    image.push(&registry, "from:1");
    let (from, to) = (registry.docker("from:1"), registry.docker("to/there:2"));
    for (source, destination) in [
        (from.as_str(), "oci:layout:a/b:c"),
        ("oci:layout:a/b:c", "dir:folder"),
        ("dir:folder", to.as_str()),
        (&to, "dir:end"),
    ] {
        let run = at_home(&home, &["copy", source, destination]).success();
        let layers = image.layers().iter().map(|layer| format!("Copying blob {}\n", layer.digest));
        let config = skopeo_image::Digest::sha256(image.config().unwrap());
        let lines = format!(
            "Getting image source signatures\n{}Copying config {config}\n\
             Writing manifest to image destination\n",
            layers.collect::<String>(),
        );
        assert_eq!((run.stdout, run.stderr.as_str()), (lines, ""), "{source} {destination}");
    }
    assert_eq!(manifest(&home, "end"), image.manifest().bytes);
}

#[test]
fn says_nothing_when_quiet_and_writes_the_digest() {
    let (home, _registry) = start();
    let image = Image::new(1);
    image.write_dir(&home.path("work/from"));
    let run = at_home(&home, &["copy", "-q", "--digestfile", "digest", "dir:from", "dir:to"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str(), run.code), ("", "", Some(0)));
    let written = fs_err::read_to_string(home.path("work/digest")).unwrap();
    assert_eq!(written, image.digest().to_string()); // no newline
    let run = at_home(&home, &["copy", "--digestfile", "no/digest", "dir:from", "dir:to"]);
    let sentence =
        "Failed to write digest to file \"no/digest\": open no/digest: no such file or directory";
    assert_eq!(fatal(&run.failure(1)), sentence);
}

#[test]
fn lists_go_whole_in_part_or_as_they_are() {
    let (home, registry) = start();
    let list = Image::platforms(1, 3);
    list.push(&registry, "list:1");
    let from = registry.docker("list:1");
    at_home(&home, &["copy", "--all", &from, "dir:all"]).success();
    at_home(&home, &["copy", "--multi-arch", "all", &from, "dir:all2"]).success();
    at_home(&home, &["copy", "--multi-arch=index-only", &from, "dir:index"]).success();
    for folder in ["all", "all2", "index"] {
        assert_eq!(manifest(&home, folder), list.manifest().bytes, "{folder}");
    }
    for (words, at) in [
        (&["--override-os", "linux", "--override-arch", "amd64"][..], 0),
        (&["--override-arch", "arm64", "--override-os", "linux"], 1),
    ] {
        let platform = list.instances()[at].platform().unwrap();
        if !words.contains(&platform.architecture.as_str()) {
            continue; // the kit's order is its own
        }
        let folder = format!("dir:one{at}");
        at_home(&home, &[words, &["copy", &from, &folder]].concat()).success();
        let written = manifest(&home, &folder[4..]);
        assert_eq!(written, list.instances()[at].manifest().bytes);
    }
}

#[test]
fn flags_that_contradict_each_other_or_mean_nothing() {
    let (home, _registry) = start();
    Image::new(1).write_dir(&home.path("work/from"));
    for (flags, sentence) in [
        (&["--all", "--multi-arch", "all"][..], "Cannot use --all and --multi-arch flags together"),
        (
            &["--multi-arch", "some"],
            "unknown multi-arch option \"some\". Choose one of the supported options: 'system', 'all', 'index-only', or a comma-separated platform list like 'linux/amd64,linux/arm64'",
        ),
        (
            &["-f", "v3"],
            "unknown format \"v3\". Choose one of the supported formats: 'oci', 'v2s1', or 'v2s2'",
        ),
        (
            &["--remove-signatures", "--remove-list-signatures"],
            "Only one of --remove-signatures and --remove-list-signatures can be specified",
        ),
        (
            &["--add-compression", "zstd"],
            "--add-compression needs --all, or --multi-arch with all or platforms: a single image is not in an index",
        ),
        (
            &["--all", "--add-compression", "zstd", "--dest-compress-format", "gzip"],
            "--add-compression and --dest-compress-format cannot be used together",
        ),
        (&["--all", "--add-compression", "lz4"], "cannot find compressor for \"lz4\""),
        (&["--dest-compress-format", "lz4"], "cannot find compressor for \"lz4\""),
        (
            &["--src-creds", "u", "--src-no-creds"],
            "creds and no-creds cannot be specified at the same time",
        ),
        (
            &["--additional-tag", "x:y,X"],
            "error parsing additional-tag 'X': invalid reference format: repository name must be lowercase",
        ),
        (&["--additional-tag", "x"], "additional-tag 'x' must be a tagged reference"),
    ] {
        let words = [&["copy", "dir:from", "dir:to"], flags].concat();
        assert_eq!(fatal(&at_home(&home, &words).failure(1)), sentence, "{words:?}");
        assert!(!home.path("work/to").exists(), "{words:?}");
    }
    let run = at_home(&home, &["copy", "--dest-compress", "dir:from", "oci:to:x"]).success();
    let warning = "--dest-compress can only be used if the destination transport is 'dir' or 'docker-archive'";
    assert!(run.stderr.contains(warning), "{run}");
    let run = at_home(&home, &["copy", "--tls-verify=false", "dir:from", "oci:to:x"]).success();
    let warning = "'--tls-verify' is deprecated, instead use: --src-tls-verify, --dest-tls-verify";
    assert!(run.stderr.contains(warning), "{run}");
}

#[test]
fn names_that_are_none() {
    let home = Home::new();
    for (from, to, sentence) in [
        (
            "alpine",
            "dir:x",
            "Invalid source name alpine: Invalid image name \"alpine\", expected colon-separated transport:reference",
        ),
        (
            "dir:.",
            "nope:x",
            "Invalid destination name nope:x: Invalid image name \"nope:x\", unknown transport \"nope\"",
        ),
    ] {
        assert_eq!(fatal(&at_home(&home, &["copy", from, to]).failure(1)), sentence);
    }
    let run = at_home(&home, &["copy", "dir:x"]).failure(1);
    assert_eq!((fatal(&run).as_str(), run.stdout.as_str()), ("Exactly two arguments expected", ""));
    assert!(run.stderr.contains("Usage:\nskopeo copy [command options]"), "{run}");
}

#[test]
fn the_policy_decides() {
    let home = Home::new();
    Image::new(1).write_dir(&home.path("work/from"));
    home.policy(&json!({"default": [{"type": "reject"}]}));
    let run = at_home(&home, &["copy", "dir:from", "dir:to"]).failure(1);
    assert!(fatal(&run).starts_with("Source image rejected: Running image dir:"), "{run}");
    assert!(!home.path("work/to/manifest.json").exists());
    at_home(&home, &["--insecure-policy", "copy", "dir:from", "dir:to"]).success();
    home.policy(&json!({"default": [{"type": "insecureAcceptAnything"}]}));
    let run = at_home(&home, &["--require-signed", "copy", "dir:from", "dir:to"]).failure(1);
    assert!(fatal(&run).starts_with("Source image rejected: "), "{run}");
    home.write("work/policy.json", "{}");
    let run = at_home(&home, &["--policy", "policy.json", "copy", "dir:from", "dir:to"]).failure(1);
    assert!(fatal(&run).starts_with("Error loading trust policy: "), "{run}");
}

#[test]
fn credentials_come_from_flags_and_files() {
    let home = Home::new();
    let registry = Registry::builder().htpasswd("user", "secret").start();
    let (host, to) = (registry.host(), registry.docker("a:1"));
    home.insecure(&[&host]);
    Image::new(1).write_dir(&home.path("work/from"));
    let denied = at_home(&home, &["copy", "dir:from", &to]).failure(1);
    assert!(denied.stderr.contains("authentication required"), "{denied}");
    for flags in [
        &["--dest-creds", "user:secret"][..],
        &["--dcreds", "user:secret"],
        &["--dest-username", "user", "--dest-password", "secret"],
    ] {
        at_home(&home, &[&["copy", "dir:from", &to], flags].concat()).success();
    }
    home.auth(&host, "user", "secret");
    at_home(&home, &["copy", "dir:from", &to]).success();
    at_home(&home, &["copy", "--dest-no-creds", "dir:from", &to]).failure(1);
    at_home(&home, &["copy", "--dest-creds", "user:wrong", "dir:from", &to]).failure(1);
    home.auth(&host, "user", "wrong");
    at_home(&home, &["copy", "dir:from", &to]).failure(1);
    home.write(
        "work/own.json",
        &format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"dXNlcjpzZWNyZXQ=\"}}}}}}"),
    );
    at_home(&home, &["copy", "--authfile", "own.json", "dir:from", &to]).success();
    at_home(&home, &["copy", "--dest-authfile", "own.json", "dir:from", &to]).success();
    let home = home.variable("REGISTRY_AUTH_FILE", "own.json");
    at_home(&home, &["copy", "dir:from", &to]).success();
}

#[test]
fn tries_again_when_asked_to() {
    let (home, registry) = start();
    Image::new(1).push(&registry, "a:1");
    // More often than a request is tried again on its own.
    registry.fault(Fault::status(On::manifests(), 503).times(7));
    let from = registry.docker("a:1");
    let flags = ["--retry-times", "3", "--retry-delay", "10ms"];
    let run = at_home(&home, &[&["copy", &from, "dir:to"], &flags[..]].concat()).success();
    assert!(run.stderr.contains("Failed, retrying in 10ms ... (1/3). Error: "), "{run}");
    registry.forget_requests();
    let missing = registry.docker("a:none");
    let run = at_home(&home, &[&["copy", &missing, "dir:no"], &flags[..]].concat()).failure(2);
    assert!(!run.stderr.contains("retrying"), "{run}");
}

#[test]
fn an_end_before_the_end_leaves_no_image() {
    let (home, registry) = start();
    Image::new(1).push(&registry, "a:1");
    registry.fault(Fault::silence(On::blobs()));
    let from = registry.docker("a:1");
    let run = at_home(&home, &["--command-timeout", "300ms", "copy", &from, "oci:to:x"]).failure(1);
    assert!(fatal(&run).ends_with("context deadline exceeded"), "{run}");
    let command = || {
        let mut command = home.command(env!("CARGO_BIN_EXE_skopeo"));
        command.args(["copy", &from, "oci:to:x"]).stdout(Stdio::null());
        command
    };
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        registry.forget_requests();
        let mut child = command().spawn().unwrap();
        while registry.count(&On::blobs()) == 0 {
            std::thread::yield_now();
        }
        let kill = std::process::Command::new("kill");
        let mut kill = kill;
        kill.arg(format!("-{signal}")).arg(child.id().to_string()).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "SIG{signal}");
    }
    registry.mend();
    assert!(!home.path("work/to/index.json").exists());
    let left = |folder: &str| fs_err::read_dir(home.path(folder)).map_or(0, Iterator::count);
    assert_eq!(left("tmp"), 0);
    at_home(&home, &["copy", &from, "oci:to:x"]).success();
}
