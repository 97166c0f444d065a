//! What the commonest slips are answered with: the sentence, then what to do about it.

use std::process::Command;

use fs_err as fs;
use skopeo_testkit::{Home, Image, Registry, skip};

use crate::program::{at_home, fatal};
use crate::stage::whole_dir;

/// The hint of a run that failed.
#[track_caller]
fn hint(home: &Home, words: &[&str]) -> String {
    let run = at_home(home, words).failure(1);
    let hint = run.stderr.lines().find_map(|line| line.strip_prefix("hint: "));
    hint.unwrap_or_default().to_owned()
}

#[test]
fn names_without_a_transport() {
    let home = Home::new();
    home.write("work/file.tar", "x");
    Image::new(1).write_oci(&home.path("work/layout"), Some("v1"));
    Image::new(1).write_dir(&home.path("work/folder"));
    for (name, expected) in [
        ("nginx", "docker://nginx "),
        ("nginx:1.25", "docker://nginx:1.25 "),
        ("docker.io/library/nginx", "docker://docker.io/library/nginx "),
        ("localhost:5000/a/b:c", "docker://localhost:5000/a/b:c "),
        ("https://quay.io/a/b:c", "docker://quay.io/a/b:c"),
        ("docker:nginx", "write docker://nginx"),
        ("docker:/nginx", "write docker://nginx"),
        ("file.tar", "docker-archive:file.tar or oci-archive:file.tar"),
        ("layout", "oci:layout"),
        ("folder", "dir:folder"),
        ("./nowhere", "oci:./nowhere or dir:./nowhere"),
        ("NGINX x", ""),
    ] {
        for words in [
            &["copy", name, "oci:x"][..],
            &["copy", "dir:folder", name],
            &["inspect", name],
            &["delete", name],
        ] {
            let hint = hint(&home, words);
            assert!(hint.contains(expected), "{words:?}: {hint:?}");
            assert_eq!(hint.is_empty(), expected.is_empty(), "{words:?}: {hint:?}");
        }
    }
}

#[test]
fn flags_that_were_mistyped() {
    let home = Home::new();
    for (words, expected) in [
        (&["copy", "--dest-cred", "a:b", "x", "y"][..], "did you mean --dest-creds?"),
        (&["copy", "--tls-verfy=false", "x", "y"], ""),
        (&["copy", "--creds", "a:b", "x", "y"], "did you mean --src-creds or --dest-creds?"),
        (&["inspect", "--formt", "x", "y"], "did you mean --format?"),
        (&["inspect", "--insecure-polcy", "y"], "did you mean --insecure-policy?"),
        (&["list-tags", "--limit", "5", "y"], ""),
        (&["sync", "--dry-rn", "x"], "did you mean --dry-run?"),
        (&["sync", "--keepgoing", "x"], "did you mean --keep-going?"),
        (&["--insecure-polcy", "copy", "x", "y"], "did you mean --insecure-policy?"),
        (&["copy", "--quite", "x", "y"], "did you mean --quiet?"),
        (&["inspect", "--src-creds", "a:b", "x"], "did you mean --creds?"),
        (&["inspect", "--dest-tls-verify=false", "x"], "did you mean --tls-verify?"),
        (&["--format", "x", "inspect", "y"], "--format is a flag of `copy`"),
    ] {
        assert_eq!(hint(&home, words), expected, "{words:?}");
    }
}

#[test]
fn sync_without_or_with_too_much_of_a_transport() {
    let home = Home::new();
    for (words, expected) in [
        (&["sync", "a", "b"][..], "use --src docker if SOURCE is in a registry"),
        (&["sync", "--src=docker", "a", "b"], "use --dest docker if DESTINATION is in"),
        (
            &["sync", "--src=docker", "--dest=dir", "docker://localhost:1/a", "b"],
            "leave docker:// out of SOURCE: --src already says it",
        ),
        (&["sync", "--src=dir", "--dest=docker", "dir:a", "b"], "leave dir: out of SOURCE"),
        (
            &["sync", "--src=oci", "--dest=docker", "oci:a", "b"],
            "leave oci: out of SOURCE: --src already says it",
        ),
    ] {
        let hint = hint(&home, words);
        assert!(hint.contains(expected), "{words:?}: {hint:?}");
    }
    Image::new(1).write_dir(&home.path("work/images/a"));
    let words = ["sync", "--src=dir", "--dest=docker", "images", "docker://localhost:1/b"];
    assert_eq!(hint(&home, &words), "leave docker:// out of DESTINATION: --dest already says it");
}

#[test]
fn a_machine_without_a_policy() {
    let may = Command::new("unshare").args(["-rm", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        skip!("unshare -rm is not permitted");
    }
    let home = Home::new().variable("CONTAINERS_POLICY_JSON", "");
    home.no_policy();
    Image::new(1).write_dir(&home.path("work/a"));
    // The machine may have one: it is not seen in there.
    let script = "for folder in /etc/containers /usr/share/containers; do
        if [ -d $folder ]; then mount -t tmpfs tmpfs $folder || exit 99; fi
    done
    exec \"$0\" \"$@\"";
    let run = |words: &[&str]| {
        let program = ["-rm", "sh", "-c", script, env!("CARGO_BIN_EXE_skopeo")];
        skopeo_testkit::run(&home, "/usr/bin/unshare", &[&program, words].concat())
    };
    let refused = run(&["copy", "dir:a", "dir:b"]).failure(1);
    assert!(!home.path("work/b/manifest.json").exists());
    let hint = refused.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap();
    let (_, policy) = hint.split_once("write ").unwrap();
    let (policy, place) = policy.split_once(" to ").unwrap();
    let place = place.split(' ').next().unwrap().strip_prefix("~/").unwrap();
    // What it says helps, and so does the flag.
    assert!(hint.contains("--insecure-policy for this command only"), "{hint}");
    run(&["--insecure-policy", "copy", "dir:a", "dir:c"]).success();
    home.write(&format!("home/{place}"), policy);
    run(&["copy", "dir:a", "dir:b"]).success();
    for to in ["b", "c"] {
        assert_eq!(whole_dir(&home.path(format!("work/{to}"))), Some(Image::new(1).digest()));
    }
}

#[test]
fn one_of_several_platforms_is_said() {
    let registry = Registry::start();
    Image::attested_platforms(1, 2).push(&registry, "a/two:1");
    Image::new(3).push(&registry, "a/one:1");
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    let (two, one) = (registry.docker("a/two:1"), registry.docker("a/one:1"));
    const LINE: &str = "1 of 2 platforms copied; --all copies all";
    for (words, expected) in [
        (&["copy", &two, "oci:a:1"][..], true),
        (&["copy", "--all", &two, "oci:b:1"], false),
        (&["copy", "-q", &two, "oci:c:1"], false),
        (&["copy", "--multi-arch=index-only", &two, &registry.docker("a/two:index")], false),
        (&["copy", &one, "oci:d:1"], false),
        (&["copy", "--progress=plain", &two, "dir:e"], true),
        (&["copy", "--progress=json", &two, "dir:f"], false),
    ] {
        let run = at_home(&home, words).success();
        assert_eq!(run.stderr.contains(LINE), expected, "{words:?}\n{run}");
        assert!(!run.stdout.contains("platforms"), "{run}");
    }
    let run = at_home(&home, &["copy", &two, "docker-archive:g.tar:a:1"]).success();
    assert!(run.stderr.contains("1 of 2 platforms copied\""), "no --all there\n{run}");
    let repository = format!("{}/a/two", registry.host());
    let sync = |flags: &[&str], to: &str| {
        let words = ["sync", "--src=docker", "--dest=dir"];
        let words: Vec<&str> =
            words.into_iter().chain(flags.iter().copied()).chain([&*repository, to]).collect();
        at_home(&home, &words).success()
    };
    let run = sync(&[], "s1");
    assert!(run.stderr.contains("1 of several platforms of 2 images copied; --all"), "{run}");
    for (flags, to) in [(&["--all"][..], "s2"), (&["-q"], "s3")] {
        let run = sync(flags, to);
        assert!(!run.stderr.contains("platforms copied"), "{run}");
    }
}

/// README: out of one registry into a layout, and on the other side of the gap into another.
#[test]
fn every_platform_crosses_the_air_gap() {
    let readme =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let image = Image::platforms(5, 2);
    let (there, here) = (Registry::start(), Registry::start());
    image.push(&there, "skopeo/stable:latest");
    let home = Home::new();
    home.insecure(&[&there.host(), &here.host()]);
    let replace = |word: &str| match word {
        "docker://quay.io/skopeo/stable" => there.docker("skopeo/stable"),
        "docker://registry.internal/stable" => here.docker("stable"),
        word => word.to_owned(),
    };
    let mut ran = 0;
    for line in readme.lines() {
        let words: Vec<&str> = line.split_whitespace().take(5).collect();
        if let ["skopeo", "copy", "--all", from, to] = words[..]
            && [from, to].contains(&"oci:./stable:latest")
        {
            at_home(&home, &["copy", "--all", &replace(from), &replace(to)]).success();
            ran += 1;
        }
    }
    assert_eq!(ran, 2, "the recipe has two lines");
    let raw = at_home(&home, &["inspect", "--raw", &here.docker("stable:latest")]).success();
    assert_eq!(raw.stdout.as_bytes(), &*image.manifest().bytes);
}

#[test]
fn names_in_layouts_and_archives_are_listed() {
    let home = Home::new();
    for (seed, name) in [(1, "v1"), (2, "registry.example:5000/a/b:2"), (3, "v3")] {
        Image::new(seed).write_dir(&home.path("work/a"));
        at_home(&home, &["copy", "-q", "dir:a", &format!("oci:layout:{name}")]).success();
        fs::remove_dir_all(home.path("work/a")).unwrap();
    }
    let words = ["copy", "-q", "oci:layout:v1", "oci-archive:one.tar:v1"];
    at_home(&home, &words).success();
    let run = at_home(&home, &["list-tags", "oci:layout"]).success();
    let value: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(value["Tags"], serde_json::json!(["v1", "registry.example:5000/a/b:2", "v3"]));
    assert!(value.get("Repository").is_none(), "{run}");
    let run = at_home(&home, &["list-tags", "--match", "^v", "oci:layout"]).success();
    assert!(run.stdout.contains("v3") && !run.stdout.contains("registry"), "{run}");
    let run = at_home(&home, &["list-tags", "oci-archive:one.tar"]).success();
    let value: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(value["Tags"], serde_json::json!(["v1"]));
    let run = at_home(&home, &["list-tags", "oci:nowhere"]).failure(1);
    assert!(fatal(&run).contains("index.json"), "{run}");
}

#[test]
fn deletions_in_layouts_are_told_before() {
    let home = Home::new();
    Image::new(1).write_dir(&home.path("work/a"));
    for name in ["v1", "v1-again"] {
        at_home(&home, &["copy", "-q", "dir:a", &format!("oci:layout:{name}")]).success();
    }
    Image::new(2).write_dir(&home.path("work/b"));
    at_home(&home, &["copy", "-q", "dir:b", "oci:layout:v2"]).success();
    let before = fs::read(home.path("work/layout/index.json")).unwrap();
    let run = at_home(&home, &["delete", "--dry-run", "oci:layout:v1"]).success();
    assert!(run.stdout.starts_with("Would delete oci:layout:v1; sha256:"), "{run}");
    assert!(run.stdout.ends_with(" stays, with the names: v1-again\n"), "{run}");
    let run = at_home(&home, &["delete", "--dry-run", "oci:layout:v2"]).success();
    assert!(run.stdout.ends_with("; no other name leads to it\n"), "{run}");
    assert_eq!(fs::read(home.path("work/layout/index.json")).unwrap(), before);
    // A name that is there twice is no other name, and one that is no other's place is none.
    let mut index: serde_json::Value = serde_json::from_slice(&before).unwrap();
    let list = index["manifests"].as_array_mut().unwrap();
    list.extend(list.clone());
    fs::write(home.path("work/layout/index.json"), index.to_string()).unwrap();
    let run = at_home(&home, &["delete", "--dry-run", "oci:layout:v2"]).success();
    assert!(run.stdout.ends_with("; no other name leads to it\n"), "{run}");
    let run = at_home(&home, &["delete", "--dry-run", "oci:layout:v1"]).success();
    assert!(run.stdout.ends_with(" stays, with the names: v1-again, @4\n"), "{run}");
    at_home(&home, &["delete", "--dry-run", "oci:layout:nope"]).failure(2);
}

#[test]
fn a_folder_that_must_not_be_overwritten_is_named_alone() {
    let registry = Registry::start();
    Image::new(1).push(&registry, "a/b:1");
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    let from = format!("{}/a/b:1", registry.host());
    let words = ["sync", "--src=docker", "--dest=dir", "--overwrite=never", &from, "to"];
    at_home(&home, &words).success();
    let run = at_home(&home, &words).failure(1);
    assert_eq!(fatal(&run), "Refusing to overwrite destination directory \"to/b:1\"");
}

#[test]
fn what_the_policy_rejects_says_who_explains_it() {
    let home = Home::new();
    Image::new(1).write_dir(&home.path("work/a"));
    home.write("work/reject.json", r#"{"default":[{"type":"reject"}]}"#);
    for words in [
        &["copy", "dir:a", "dir:b"][..],
        &["copy", "dir:a", "oci-archive:c.tar"],
        &["sync", "--src=dir", "--dest=oci", "a", "d"],
    ] {
        let words = [&["--policy", "reject.json"], words].concat();
        let hint = hint(&home, &words);
        assert!(hint.contains("`skopeo policy check IMAGE`"), "{words:?}: {hint:?}");
    }
    let words = ["--policy", "reject.json", "policy", "check", "dir:a"];
    assert!(at_home(&home, &words).failure(1).stdout.contains("reject"));
}

/// The place that was named is in the sentence, and not a file beside it that nobody knows.
#[test]
fn a_folder_that_is_missing_is_told_with_the_archive() {
    let home = Home::new();
    Image::new(1).write_dir(&home.path("work/a"));
    for (transport, place) in [("docker-archive", "none/images.tar"), ("oci-archive", "none")] {
        let to = format!("{transport}:none/images.tar");
        let run = at_home(&home, &["copy", "dir:a", &to]).failure(1);
        assert!(fatal(&run).ends_with(&format!("{place}: no such file or directory")), "{run}");
    }
}

#[test]
fn transports_where_they_do_not_belong() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/two"), Some("v1"));
    for (words, expected) in [
        (&["list-tags", "nginx"][..], "use docker://nginx "),
        (&["serve", "oci:two"], "leave out oci:"),
        (&["serve", "--create", "oci:two"], "leave out oci:"),
        (&["serve", "docker://localhost:1/x"], "serves folders and archives"),
        (&["serve", "none"], "use --create to create the folder"),
        (&["sync", "--src=doker", "--dest=dir", "a", "b"], "it is docker, registry, dir,"),
    ] {
        let hint = hint(&home, words);
        assert!(hint.contains(expected), "{words:?}: {hint:?}");
    }
    assert!(!home.path("work/oci:two").exists());
}
