//! Every other command by the installed original and by us: codes, standard output, messages.

mod inspect;

use skopeo_testkit::twin::{Both, without_what_was_asked};
use skopeo_testkit::{Format, Image, Registry, Twin};

use crate::program::{at_home, fatal};

/// Why something differs.
type Why = &'static str;

/// How far 1.9.3, which distributions have, and 1.22, which we follow, are one.
#[derive(Clone, Copy, Debug)]
enum As {
    /// Code, standard output, and the message of a failure.
    One,
    /// The code; the rest differs, for this reason.
    Code(Why),
    /// Not even the code, which is this now.
    Newer(i32, Why),
}

use As::{Code, Newer, One};

const LAYERS_DATA: As = Code("1.22 shows LayersData");
const NOT_FOUND: As = Newer(2, "1.22 has a code for what is not found");
const ARTIFACT: As = Newer(0, "the original shows no artifacts");
const REPORT: As = Newer(0, "1.22 has the functions of podman's templates");
const USAGE: As = Code("1.22 prints the usage on standard error; ours has words of its own");
const CONTENT: As = Newer(1, "1.9.3 printed the usage and was content");
const LISTS: As = Code("ours lists what is in layouts, too, and says so");
const WORDS: As = Code("1.22 has other words");

fn twins() -> Option<Twin> {
    let twin = Twin::new(env!("CARGO_BIN_EXE_skopeo"));
    assert!(twin.is_some() || !skopeo_testkit::run::in_ci(), "in CI nothing may be skipped");
    if twin.is_none() {
        eprintln!("SKIPPED: the original skopeo is not installed: nothing to compare with");
    }
    twin
}

/// Runs each row; the words may name `{host}`. Fails with all that differs.
fn compare(twin: &Twin, registry: &Registry, rows: &[(&[&str], As)]) {
    let mut report = String::new();
    for (words, how) in rows {
        let words: Vec<_> = words.iter().map(|w| w.replace("{host}", &registry.host())).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let both = twin.run(&words);
        if let Err(how) = is(&both, *how) {
            report += &format!("== {words:?} {how}\n{}\n{}\n", both.original, both.ours);
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// Whether it is as the row says; else what the row says.
fn is(both: &Both, how: As) -> Result<(), String> {
    let (theirs, ours) = (&both.original, &both.ours);
    let (holds, says) = match how {
        One => {
            let same = theirs.code == ours.code && theirs.stdout == ours.stdout;
            let theirs = as_1_22(&fatal(theirs));
            (same && theirs == without_what_was_asked(&fatal(ours)), "all is the same".to_owned())
        }
        Code(why) => (theirs.code == ours.code, format!("the code is the same ({why})")),
        Newer(code, why) => {
            let holds = theirs.code != ours.code && ours.code == Some(code);
            (holds, format!("the code is {code} now ({why})"))
        }
    };
    if holds { Ok(()) } else { Err(says) }
}

/// A message of 1.9.3 in the words of 1.22, which does not repeat what codes usually mean.
fn as_1_22(message: &str) -> String {
    let changed = [
        ("unauthorized: authentication required", "authentication required"),
        ("manifest unknown: manifest unknown", "manifest unknown"),
    ];
    changed.iter().fold(message.to_owned(), |text, (old, new)| text.replace(old, new))
}

const INSECURE: &str = "--tls-verify=false";
const V1: &str = "docker://{host}/a/b:v1";

#[test]
fn list_tags_and_manifest_digest() {
    let Some(twin) = twins() else { return };
    let registry = Registry::start();
    let kinds = [
        ("oci", Image::new(1)),
        ("docker", Image::builder(2).format(Format::Docker).build()),
        ("signed", Image::builder(3).format(Format::Schema1Signed).build()),
        ("unsigned", Image::builder(4).format(Format::Schema1).build()),
        ("list", Image::platforms(5, 2)),
        ("artifact", Image::builder(6).artifact("application/x").build()),
    ];
    for (kind, image) in &kinds {
        image.push(&registry, &format!("a/b:{kind}"));
    }
    twin.prepare(|home| {
        home.insecure(&[&registry.host()]);
        for (kind, image) in &kinds {
            fs_err::write(home.path("work").join(kind), &image.manifest().bytes).unwrap();
        }
        fs_err::write(home.path("work/text"), "no manifest\n").unwrap();
        fs_err::write(home.path("work/empty"), "").unwrap();
        fs_err::write(home.path("work/broken"), "{\"signatures\":[{}],\"x\":1}").unwrap();
        fs_err::create_dir(home.path("work/folder")).unwrap();
    });
    for (kind, _) in &kinds {
        compare(&twin, &registry, &[(&["manifest-digest", kind], One)]);
    }
    compare(
        &twin,
        &registry,
        &[
            (&["manifest-digest", "text"], One),
            (&["manifest-digest", "empty"], One),
            (&["manifest-digest", "broken"], One),
            (&["manifest-digest", "nope"], One),
            (&["manifest-digest", "folder"], One),
            (&["manifest-digest"], USAGE),
            (&["manifest-digest", "a", "b"], USAGE),
            (&["list-tags", "docker://{host}/a/b"], One),
            (&["list-tags", "docker://{host}/a/b:v1"], One),
            (&["list-tags", "docker://{host}/a/nope"], WORDS),
            (&["list-tags", "dir:img"], LISTS),
            (&["list-tags", "{host}/a/b"], One),
            (&["list-tags", "docker:/x"], One),
            (&["list-tags", INSECURE, "docker://127.0.0.1:1/x"], One),
            (&["list-tags"], CONTENT),
            (&["list-tags", "a", "b"], CONTENT),
        ],
    );
}

#[test]
fn names_and_flags() {
    let Some(twin) = twins() else { return };
    let registry = Registry::start();
    let image = Image::builder(1).format(Format::Docker).build();
    twin.prepare(|home| {
        home.insecure(&[&registry.host()]);
        image.write_dir(&home.path("work/img"));
        home.write("work/full/x", "");
        home.write("work/file", "");
        home.write("work/reject.json", r#"{"default":[{"type":"reject"}]}"#);
        home.write("work/odd.json", r#"{"default":[{"type":"nope"}]}"#);
        home.write("work/none.json", r#"{"default":[]}"#);
    });
    compare(
        &twin,
        &registry,
        &[
            (&["copy", "dir:img"], CONTENT),
            (&["copy", "-q", "dir:img", "dir:x", "dir:y"], CONTENT),
            (&["copy", "x", "y"], One),
            (&["copy", "dir:img", "y"], One),
            (&["copy", "--bogus", "dir:img", "dir:y"], One),
            (&["copy", "-z", "dir:img", "dir:y"], One),
            (&["copy", "--format"], One),
            (&["copy", "--format", "x", "dir:img", "dir:y"], One),
            (&["copy", "--retry-times", "x", "dir:img", "dir:y"], One),
            (&["--command-timeout", "x", "copy", "dir:img", "dir:y"], One),
            (&["bogus"], One),
            (&[], One),
            (&["copy", "docker://", "dir:x"], One),
            (&["copy", "dir:img", "docker://"], One),
            (&["copy", "dir:img", "docker://{host}/UPPER/x"], One),
            (&["copy", "dir:img", "docker://{host}/x:bad/tag"], One),
            (&["copy", "dir:img", "oci:lay:bad@@tag"], One),
            (&["copy", "dir:img", "dir:"], One),
            (&["copy", "dir:img", "oci:"], Code("1.9.3 counts the colon twice")),
            (&["copy", "dir:", "dir:x"], Code("the manifest is read at another moment")),
            (&["copy", "dir:nope", "dir:x"], Code("the manifest is read at another moment")),
            (&["copy", "dir:img", "dir:full"], One),
            (&["copy", "dir:img", "dir:file"], Code("Go reads it as a folder first")),
            (&["copy", "dir:img", "oci:file:x"], One),
            (&["copy", "dir:img", "dir:no/such/folder"], One),
            (&["copy", "dir:img", "oci:no/such/folder:t"], One),
            (&["copy", "--dest-compress", "--dest-decompress", "dir:img", "dir:x"], One),
            (&["copy", "--dest-compress-format", "nope", "dir:img", "oci:x:x"], One),
            (
                &["copy", "--multi-arch", "nope", "dir:img", "oci:x:x"],
                Code("1.23 takes platforms too"),
            ),
            (&["copy", "--all", "--multi-arch", "all", "dir:img", "oci:x:x"], One),
            (&["copy", "--src-no-creds", "--src-creds", "a:b", "dir:img", "dir:x"], One),
            (&["copy", "--src-username", "a", "dir:img", "dir:x"], One),
            (&["copy", "-q", "--digestfile", "/nope/x", "dir:img", "dir:x1"], One),
            (&["copy", "-q", "--screds", "a:b", "dir:img", "dir:x2"], One),
            (&["--policy", "nope.json", "copy", "dir:img", "dir:x"], One),
            (&["--policy", "odd.json", "copy", "dir:img", "dir:x"], One),
            (&["--policy", "none.json", "copy", "dir:img", "dir:x"], One),
            (&["--policy", "reject.json", "copy", "dir:img", "dir:x"], One),
            (
                &[
                    "--policy",
                    "reject.json",
                    "--insecure-policy",
                    "copy",
                    "-q",
                    "dir:img",
                    "dir:x3",
                ],
                One,
            ),
            (&["--policy", "reject.json", "inspect", "--raw", "dir:img"], One),
            (&["delete"], USAGE),
            (&["delete", "dir:img"], One),
            (&["delete", "x"], One),
            (&["delete", "docker://{host}/a/b:nope"], One),
            (&["delete", "docker://{host}/none/b:nope"], One),
        ],
    );
}

#[test]
fn delete() {
    let Some(twin) = twins() else { return };
    let registries = [Registry::start(), Registry::start()];
    let sides = [twin.original(), twin.ours()];
    let mut left = Vec::new();
    for (registry, side) in registries.iter().zip(sides) {
        side.home.insecure(&[&registry.host()]);
        let image = Image::new(1);
        image.push(registry, "a:1");
        image.push(registry, "a:same");
        Image::new(2).push(registry, "a:other");
        Image::platforms(3, 2).push(registry, "a:list");
        let mut said = Vec::new();
        for words in [
            &["delete", "docker://{host}/a:1"][..],
            &["delete", "docker://{host}/a:1"],
            &["delete", "docker://{host}/a:list"],
            &["list-tags", "docker://{host}/a"],
        ] {
            let words: Vec<_> =
                words.iter().map(|w| w.replace("{host}", &registry.host())).collect();
            let run = skopeo_testkit::run(&side.home, &side.program, &words);
            let run = run.normalised(&side.home);
            said.push((run.code, run.stdout.clone(), fatal(&run)));
        }
        left.push((said, skopeo_testkit::twin::canonical_tree(registry.root())));
    }
    assert_eq!(left[0], left[1]);
}

#[test]
fn login_and_logout() {
    let Some(twin) = twins() else { return };
    let registry = Registry::builder().htpasswd("user", "secret").start();
    let real = Registry::builder().htpasswd("user", "secret").start_real();
    let real_host = real.as_ref().map(skopeo_testkit::registry::real::Real::host);
    let hosts: Vec<_> = [Some(registry.host()), real_host].into_iter().flatten().collect();
    Image::new(1).push(&registry, "a/b:v1");
    for host in &hosts {
        let rows: Vec<(String, &str, As)> = [
            ("login -u user -p wrong {host}", "", One),
            ("login -u user -p secret {host}", "", One),
            ("login -u user -p secret {host}", "", One),
            ("login --get-login {host}", "", One),
            ("login --get-login other.example", "", One),
            ("login {host}", "", One),
            ("inspect --raw docker://{host}/a/b:v1", "", One),
            ("list-tags docker://{host}/a/b", "", One),
            ("inspect --raw --no-creds docker://{host}/a/b:v1", "", One),
            ("inspect --raw --creds user:wrong docker://{host}/a/b:v1", "", One),
            ("list-tags --creds user:wrong docker://{host}/a/b", "", WORDS),
            ("logout {host}", "", One),
            ("logout {host}", "", One),
            ("logout --all", "", One),
            ("login --username user --password-stdin {host}", "secret\n", One),
            ("login -u user -p secret {host}/a/b", "", One),
            ("logout {host}/a/b", "", One),
            ("logout --all", "", One),
            ("login --authfile my/auth.json -u user -p secret {host}", "", One),
            ("inspect --raw --authfile my/auth.json docker://{host}/a/b:v1", "", One),
            ("inspect --raw --authfile no.json docker://{host}/a/b:v1", "", One),
            ("logout --authfile my/auth.json {host}", "", One),
            ("login --password-stdin {host}", "secret", WORDS),
            ("login -u user -p x --password-stdin {host}", "secret", WORDS),
            ("login -u user -p secret https://{host}", "", One),
            ("login -u user -p secret {host}/a/b:tag", "", One),
            ("login", "", WORDS),
            ("login a b", "", WORDS),
            ("logout", "", WORDS),
            ("logout a b", "", WORDS),
        ]
        .map(|(line, input, how)| (line.replace("{host}", host), input, how))
        .into();
        twin.prepare(|home| home.insecure(&[host]));
        let mut report = String::new();
        for (line, input, how) in rows {
            if *host != registry.host() && line.contains("/a/b") && !line.starts_with("log") {
                continue; // there is no image in the other
            }
            let words: Vec<_> = line.split(' ').collect();
            let both = twin.run_with_input(&words, input.as_bytes());
            if let Err(how) = is(&both, how) {
                report += &format!("== {line} {how}\n{}\n{}\n", both.original, both.ours);
            }
            for file in ["run/containers/auth.json", "work/my/auth.json"] {
                let read = |home: &skopeo_testkit::Home| {
                    let path = home.path(file);
                    let mode = fs_err::metadata(&path)
                        .map(|m| std::os::unix::fs::PermissionsExt::mode(&m.permissions()));
                    (fs_err::read_to_string(path).ok(), mode.ok())
                };
                let (theirs, ours) = (read(&twin.original().home), read(&twin.ours().home));
                if theirs != ours {
                    report += &format!("== {line}: {file}\n{theirs:?}\n{ours:?}\n");
                }
            }
        }
        assert!(report.is_empty(), "{report}");
    }
}
