//! `skopeo sync` as the field has it: the command lines of tutorials, the cases that the original
//! tests of itself, and where its defects were.

use skopeo_image::{Digest, MediaType};
use skopeo_testkit::{Fault, Format, Home, Image, On, Registry, Run};

use crate::program::{at_home, fatal};
use crate::stage::whole_dir;
use crate::sync_stage::tags;

#[track_caller]
fn say(home: &Home, line: &str) -> Run {
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[0], "skopeo");
    at_home(home, &words[1..])
}

/// Two registries, one open and one for `user` with the password `token`.
fn field() -> (Home, Registry, Registry) {
    let home = Home::new();
    let open = Registry::start();
    let guarded = Registry::builder().htpasswd("user", "token").start();
    home.insecure(&[&open.host(), &guarded.host()]);
    (home, open, guarded)
}

fn auth(home: &Home, name: &str, host: &str) {
    let auth = format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"dXNlcjp0b2tlbg==\"}}}}}}");
    home.write(&format!("work/{name}"), &auth);
}

fn digests(folder: &Home, below: &str, names: &[&str]) -> Vec<Option<Digest>> {
    names.iter().map(|name| whole_dir(&folder.path("work").join(below).join(name))).collect()
}

#[test]
fn out_of_one_registry_and_into_another() {
    let (home, _, guarded) = field();
    let g = guarded.host();
    for (tag, seed) in [("1", 1), ("latest", 2)] {
        Image::new(seed).push(&guarded, &format!("sensilabs/ssorder:{tag}"));
    }
    let line = "skopeo sync --src-creds user:token --src docker --dest dir";
    say(&home, &format!("{line} {g}/sensilabs/ssorder ./dockersync")).success();
    let (one, two) = (Image::new(1).digest(), Image::new(2).digest());
    let found = digests(&home, "dockersync", &["ssorder:1", "ssorder:latest"]);
    assert_eq!(found, [Some(one.clone()), Some(two.clone())]);
    let line = "skopeo sync --dest-creds user:token --src dir --dest docker";
    say(&home, &format!("{line} ./dockersync/ {g}/u/ssorder")).success();
    let there = tags(guarded.root());
    assert_eq!(there["u/ssorder/ssorder:1"], one.as_str());
    assert_eq!(there["u/ssorder/ssorder:latest"], two.as_str());
}

#[test]
fn scoped_into_a_folder_that_is_named_like_a_registry() {
    let (home, open, _) = field();
    let o = open.host();
    Image::new(1).push(&open, "test:v1");
    let line = format!("skopeo sync --src docker --dest dir --scoped {o}/test {o}/staging");
    say(&home, &line).success();
    let found = digests(&home, &format!("{o}/staging/{o}"), &["test:v1"]);
    assert_eq!(found, [Some(Image::new(1).digest())]);
}

#[test]
fn with_a_file_of_credentials() {
    let (home, open, guarded) = field();
    let (o, g) = (open.host(), guarded.host());
    for tag in ["7", "8"] {
        Image::new(1).push(&open, &format!("centos:{tag}"));
    }
    auth(&home, "gitlab-auth.json", &g);
    let line = "skopeo sync --dest-authfile=./gitlab-auth.json --src docker --dest docker";
    say(&home, &format!("{line} {o}/centos {g}/u/skopeo-test")).success();
    let there: Vec<_> = tags(guarded.root()).into_keys().collect();
    assert_eq!(there, ["u/skopeo-test/centos:7", "u/skopeo-test/centos:8"]);
}

#[test]
fn with_something_before_each_name() {
    let (home, open, guarded) = field();
    let (o, g) = (open.host(), guarded.host());
    Image::new(1).push(&open, "u/p/c:1");
    auth(&home, "auth.json", &g);
    let line = "skopeo sync --prepend-image-suffix proj- --src docker --dest docker";
    say(&home, &format!("{line} --dest-authfile ./auth.json {o}/u/p/c {g}/u")).success();
    assert_eq!(tags(guarded.root()).into_keys().collect::<Vec<_>>(), ["u/proj-c:1"]);
}

/// What 1.9.3 does not have: a suffix, a file of digests, versions.
#[test]
fn what_came_after_1_9() {
    let (home, open, _) = field();
    let o = open.host();
    let names = ["1.0.0", "1.1.0", "v2.1.0", "nightly", "1.2", "1.0.0-rc1", "3.0.0"];
    for (seed, name) in names.iter().enumerate() {
        Image::new(seed as u64).push(&open, &format!("a/app:{name}"));
    }
    let line =
        "skopeo sync --append-suffix -mirror --digestfile digests --src docker --dest docker";
    say(&home, &format!("{line} {o}/a/app:1.0.0 {o}/m")).success();
    let digest = Image::new(0).digest();
    assert_eq!(tags(open.root())["m/app:1.0.0-mirror"], digest.as_str());
    let lines = fs_err::read_to_string(home.path("work/digests")).unwrap();
    assert_eq!(lines, format!("{digest} docker://{o}/m/app:1.0.0-mirror\n"));
    // A dry run leaves it alone.
    say(&home, &format!("{line} --dry-run {o}/a/app {o}/n")).success();
    assert_eq!(fs_err::read_to_string(home.path("work/digests")).unwrap(), lines);
    // One line for each, in the order of the tags.
    let line = "skopeo sync --digestfile digests --src docker --dest dir";
    say(&home, &format!("{line} {o}/a/app usb")).success();
    let lines = fs_err::read_to_string(home.path("work/digests")).unwrap();
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    let ends: Vec<_> = lines.lines().map(|line| line.rsplit(':').next().unwrap()).collect();
    assert_eq!(ends, sorted);
    for (range, expected) in [
        (">= 1.1, < 3", &["1.1.0", "1.2", "v2.1.0"][..]),
        (">= 1.0.0-0, < 1.1", &["1.0.0", "1.0.0-rc1"]),
        ("~1.0", &["1.0.0"]),
    ] {
        home.write("work/list.yml", &format!("{o}:\n  images-by-semver:\n    a/app: '{range}'\n"));
        let to = Registry::start();
        home.insecure(&[&o, &to.host()]);
        let line = format!("skopeo sync --src yaml --dest docker list.yml {}", to.host());
        say(&home, &line).success();
        let there: Vec<_> = tags(to.root()).into_keys().collect();
        let expected: Vec<_> = expected.iter().map(|tag| format!("app:{tag}")).collect();
        assert_eq!(there, expected, "{range}");
    }
}

/// `TestDocker2DockerTagged`, `TestDir2DockerTagged` and `TestYamlUntagged` of the original: what
/// was synced and what was copied are the same.
#[test]
fn there_and_back() {
    let home = Home::new();
    let (from, to) = (Registry::start(), Registry::start());
    let named = format!(
        "[[registry]]\nprefix = \"from.example\"\nlocation = \"{}\"\ninsecure = true\n[[registry]]\n\
         location = \"{}\"\ninsecure = true\n",
        from.host(),
        to.host()
    );
    home.registries_conf(&named);
    let t = to.host();
    Image::platforms(1, 3).push(&from, "coredns/coredns:v1");
    let image = "from.example/coredns/coredns:v1";
    let flags = "--override-os linux --override-arch amd64";
    say(&home, &format!("skopeo {flags} sync --scoped --src docker --dest docker {image} {t}"))
        .success();
    say(&home, &format!("skopeo {flags} copy docker://{image} dir:one")).success();
    say(&home, &format!("skopeo copy docker://{t}/{image} dir:two")).success();
    let work = home.path("work");
    let tree = |name: &str| skopeo_testkit::twin::tree(&work.join(name));
    assert_eq!(tree("one"), tree("two"));
    say(&home, &format!("skopeo copy --all docker://{image} dir:all/{image}")).failure(1);
    fs_err::create_dir_all(work.join("all/from.example/coredns")).unwrap();
    say(&home, &format!("skopeo copy --all docker://{image} dir:all/{image}")).success();
    say(&home, &format!("skopeo sync --all --scoped --src dir --dest docker all {t}/dirs"))
        .success();
    say(&home, &format!("skopeo copy --all docker://{t}/dirs/{image} dir:back")).success();
    assert_eq!(tree(&format!("all/{image}")), tree("back"));
}

/// `TestYamlTLSVerify` and `TestFails...` of the original.
#[test]
fn failures_of_registries() {
    let home = Home::new();
    let plain = Registry::start();
    let private = Registry::builder().htpasswd("u", "p").start();
    let (p, q) = (plain.host(), private.host());
    Image::new(1).push(&plain, "a/b:latest");
    Image::new(1).push(&private, "a/b:latest");
    let yaml = |line: &str| {
        home.write("work/l.yml", &format!("{p}:\n  {line}\n  images: {{a/b: [latest]}}\n"));
    };
    for (line, well) in [("tls-verify: false", true), ("tls-verify: true", false), ("", false)] {
        yaml(line);
        let run = say(&home, "skopeo sync --scoped --src yaml --dest dir l.yml to");
        if well {
            run.success();
        } else {
            let sentence = "server gave HTTP response to HTTPS client";
            assert!(fatal(&run.failure(1)).contains(sentence), "{line}");
        }
    }
    home.insecure(&[&p, &q]);
    let sync = "skopeo sync --scoped --src docker --dest dir";
    for (line, code, sentence) in [
        (format!("{sync} {q}/a/b to"), 1, "authentication required"),
        (format!("{sync} {q}/a/b:latest to"), 1, "authentication required"),
        (format!("{sync} {p}/none to"), 1, "repository name not known to registry"),
        (format!("{sync} {p}/none:thetag to"), 2, "reading manifest"),
        ("skopeo sync --scoped --src dir --dest docker nowhere x/y".to_owned(), 1, "no such file"),
        ("skopeo sync".to_owned(), 1, "Exactly two arguments expected"),
        ("skopeo sync --src docker --dest dir a".to_owned(), 1, "Exactly two arguments expected"),
        (
            "skopeo sync --src docker --dest dir a b c".to_owned(),
            1,
            "Exactly two arguments expected",
        ),
    ] {
        let run = say(&home, &line).failure(code);
        assert!(fatal(&run).contains(sentence), "{line}\n{run}");
    }
    let elsewhere = Registry::builder().fault(Fault::status(On::anything(), 404)).start();
    home.insecure(&[&elsewhere.host()]);
    for name in ["namespace/image", "namespace/image:thetag"] {
        let run = say(&home, &format!("{sync} {}/{name} to2", elsewhere.host()));
        assert!(matches!(run.code, Some(1 | 2)) && !fatal(&run).is_empty(), "{run}");
    }
    assert!(!home.path("work/to2").exists());
}

/// `TestSyncManifestOutput` of the original.
#[test]
fn types_that_were_asked_for() {
    let (home, open, _) = field();
    Image::builder(1).format(Format::Docker).build().push(&open, "a/b:1");
    for (format, expected) in [
        ("oci", MediaType::OCI_MANIFEST),
        ("v2s2", MediaType::DOCKER_MANIFEST),
        ("v2s1", MediaType::DOCKER_SCHEMA1_SIGNED),
    ] {
        let line = format!("skopeo sync --format={format} --all --src docker --dest dir");
        say(&home, &format!("{line} {}/a/b:1 {format}", open.host())).success();
        let path = home.path(format!("work/{format}/b:1/manifest.json"));
        let written = skopeo_image::manifest::guess(&fs_err::read(path).unwrap());
        assert_eq!(written, Some(expected));
    }
}

/// Its files that name what cannot be had: logged, and the program ended well.
#[test]
fn a_mirror_that_lacks_something_fails() {
    let (home, open, _) = field();
    let (o, to) = (open.host(), Registry::start());
    home.insecure(&[&o, &to.host()]);
    Image::new(1).push(&open, "a/b:1");
    for (wrong, code, sentence) in [
        (format!("{o}:\n  images: {{a/none: []}}\n"), 1, "repository name not known"),
        ("127.0.0.1:1:\n  images: {a/none: []}\n".to_owned(), 1, "connection refused"),
        (format!("{o}:\n  images-by-tag-regex: {{a/b: '('}}\n"), 1, "images-by-tag-regex.a/b"),
        (format!("{o}:\n  images-by-semver: {{a/b: 'x y z'}}\n"), 1, "images-by-semver.a/b"),
        (
            format!("{o}:\n  images-by-tag-regex: {{a/b: '('}}\n  images: {{a/b: ['1']}}\n"),
            1,
            "images-by-tag-regex.a/b",
        ),
    ] {
        home.write("work/l.yml", &wrong);
        let line = format!("skopeo sync --src yaml --dest docker l.yml {}/m", to.host());
        let run = say(&home, &line).failure(code);
        assert!(fatal(&run).contains(sentence), "{wrong}\n{run}");
        assert!(tags(to.root()).is_empty(), "{wrong}");
    }
    // Who goes on has the rest, and is told in the end all the same.
    let more = format!("{o}:\n  images: {{a/none: [], a/b: ['1', 'a b']}}\n");
    home.write("work/l.yml", &format!("127.0.0.1:1:\n  images: {{x: []}}\n{more}"));
    let line = "skopeo sync --keep-going --src yaml --dest docker l.yml";
    let run = say(&home, &format!("{line} {}/m", to.host())).failure(1);
    assert!(fatal(&run).starts_with("Sync failed due to previous reported error(s)"), "{run}");
    for sentence in ["connection refused", "repository name not known", "Error parsing ref"] {
        assert!(run.stderr.contains(sentence), "{sentence}\n{run}");
    }
    assert_eq!(tags(to.root()).into_keys().collect::<Vec<_>>(), ["m/b:1"]);
    // Bad moments of listing are tried again.
    open.fault(Fault::status(On::tags(), 500).times(6));
    home.write("work/l.yml", &format!("{o}:\n  images: {{a/b: []}}\n"));
    let line = "skopeo sync --retry-times 2 --retry-delay 10ms --src yaml --dest docker l.yml";
    say(&home, &format!("{line} {}/n", to.host())).success();
}

/// It made the folders in a dry run, and then refused to write to what is there.
#[test]
fn a_folder_is_brought_up_to_date() {
    let (home, open, _) = field();
    let o = open.host();
    for tag in ["1", "2"] {
        Image::new(1).push(&open, &format!("a/b:{tag}"));
    }
    let line = format!("skopeo sync --src docker --dest dir {o}/a/b to");
    say(&home, &line.replace("sync", "sync --dry-run")).success();
    assert!(!home.path("work/to").exists());
    say(&home, &line).success();
    open.forget_requests();
    say(&home, &line).success();
    assert_eq!(open.count(&On::blobs()), 0, "{:?}", open.lines());
    Image::new(2).push(&open, "a/b:2");
    Image::new(3).push(&open, "a/b:3");
    say(&home, &line).success();
    let found = digests(&home, "to", &["b:1", "b:2", "b:3"]);
    assert_eq!(found, [1, 2, 3].map(|seed| Some(Image::new(seed).digest())));
}

/// A file without `cert-dir` made it forget the flag.
#[test]
fn certificates_of_the_command_line() {
    let home = Home::new();
    let tls = Registry::builder().tls().start();
    Image::new(1).push(&tls, "a/b:1");
    home.write("work/certs/ca.crt", tls.ca());
    let host = tls.host();
    home.write("work/l.yml", &format!("{host}:\n  images: {{a/b: []}}\n"));
    let line = "skopeo sync --src yaml --dest dir l.yml to";
    let run = say(&home, line).failure(1);
    assert!(run.stderr.contains("x509: certificate signed by unknown authority"), "{run}");
    assert!(tls.requests().is_empty() && digests(&home, "to", &["b:1"]) == [None], "{run}");
    say(&home, &line.replace("sync", "sync --src-cert-dir certs")).success();
    let expected = [Some(Image::new(1).digest())];
    assert_eq!(digests(&home, "to", &["b:1"]), expected);
    let in_file = format!("{host}:\n  cert-dir: certs\n  images: {{a/b: []}}\n");
    home.write("work/l.yml", &in_file);
    say(&home, &line.replace(" to", " to2")).success();
    assert_eq!(digests(&home, "to2", &["b:1"]), expected);
    // What the file says counts, not the flag.
    fs_err::create_dir(home.path("work/none")).unwrap();
    let line = line.replace("sync", "sync --src-cert-dir none").replace(" to", " to3");
    say(&home, &line).success();
    assert_eq!(digests(&home, "to3", &["b:1"]), expected);
}

/// Names that are none, and destinations that refuse some images: it stopped.
#[test]
fn destinations_that_refuse() {
    let (home, open, _) = field();
    let o = open.host();
    for tag in ["1", "2"] {
        Image::new(1).push(&open, &format!("a/b:{tag}"));
    }
    let to = Registry::builder()
        .fault(Fault::status(On::manifests().method("PUT").containing("/b/manifests/1"), 403))
        .start();
    home.insecure(&[&o, &to.host()]);
    let line = format!("skopeo sync --keep-going --src docker --dest docker {o}/a/b {}", to.host());
    let run = say(&home, &line).failure(1);
    assert_eq!(tags(to.root()).into_keys().collect::<Vec<_>>(), ["b:2"], "{run}");
    let failed = format!("Error copying ref \\\"docker://{o}/a/b:1\\\"");
    assert_eq!(run.stderr.matches("level=error").count(), 1, "{run}");
    assert!(run.stderr.contains(&failed), "{run}");
    // The registry's port, and a digest with a suffix.
    let digest = Image::new(1).digest();
    let line = format!("skopeo sync --scoped --src docker --dest docker {o}/a/b {o}/m");
    say(&home, &line).success();
    let line = "skopeo sync --append-suffix=-x --src docker --dest docker";
    say(&home, &format!("{line} {o}/a/b@{digest} {o}/d")).success();
}

/// `--keep-going` did not help when a registry's tags could not be listed.
#[test]
fn listings_that_fail() {
    let (home, open, _) = field();
    let o = open.host();
    Image::new(1).push(&open, "a/b:1");
    let line = format!("skopeo sync --keep-going --src docker --dest dir {o}/none to");
    let run = say(&home, &line).failure(1);
    assert!(fatal(&run).contains("repository name not known to registry"), "{run}");
}

/// With nothing to do, each index was written again.
#[test]
fn lists_that_are_there_are_left_alone() {
    let (home, open, _) = field();
    let (o, to) = (open.host(), Registry::start());
    home.insecure(&[&o, &to.host()]);
    for seed in 1..=5 {
        Image::platforms(seed, 3).push(&open, &format!("a/b:{seed}"));
    }
    let line = format!("skopeo sync --all --src docker --dest docker {o}/a/b {}", to.host());
    say(&home, &line).success();
    open.forget_requests();
    to.forget_requests();
    say(&home, &line).success();
    let asked = open.requests().len() + to.requests().len();
    // Each side: is it there, and each tag; the source's list of tags.
    assert!(asked <= 2 * 5 + 3, "{:?} {:?}", open.lines(), to.lines());
    assert!(to.requests().iter().all(|seen| matches!(&*seen.method, "GET" | "HEAD")));
}

/// Of lists, only what this machine runs is copied, unless more is asked for: that stays.
#[test]
fn lists_are_cut_to_one_image() {
    let (home, open, _) = field();
    let (o, list) = (open.host(), Image::platforms(1, 3));
    list.push(&open, "a/b:1");
    let line = "skopeo --override-os linux --override-arch arm64 sync --src docker --dest dir";
    say(&home, &format!("{line} {o}/a/b one")).success();
    say(&home, &format!("{line} --all {o}/a/b all")).success();
    assert_eq!(digests(&home, "one", &["b:1"]), [Some(list.instances()[1].digest())]);
    assert_eq!(digests(&home, "all", &["b:1"]), [Some(list.digest())]);
}
