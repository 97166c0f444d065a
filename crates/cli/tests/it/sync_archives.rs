//! `skopeo sync` to and from collections of images: layouts and archives.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use skopeo_testkit::run::{installed, original, run};
use skopeo_testkit::{Dockerd, Fault, Format, Home, Image, On, Registry, skip};

use crate::oci_archive::tar;
use crate::program::{at_home, fatal};
use crate::stage::whole_dir;
use crate::sync_names::{images_in, two};

const KINDS: [&str; 3] = ["oci", "oci-archive", "docker-archive"];

/// Images in several repositories, some of which share layers, and the words that name their
/// repositories.
fn fill(from: &Registry) -> Vec<(&'static str, Image)> {
    let docker = |seed| Image::builder(seed).format(Format::Docker).build();
    let images = vec![
        ("team/app:1", docker(1)),
        ("team/app:2", docker(2)),
        ("team/app:latest", docker(2)),
        ("team/db__x:_1..2-", Image::new(3)),
        ("other/tool:latest", Image::new(4)),
    ];
    for (name, image) in &images {
        image.push(from, name);
    }
    images
}

fn file(from: &Registry) -> String {
    format!(
        "{}:\n  tls-verify: false\n  images:\n    team/app: []\n    team/db__x: []\n    \
         other/tool: []\n",
        from.host()
    )
}

fn raw(home: &Home, name: &str) -> Vec<u8> {
    at_home(home, &["inspect", "--raw", name]).success().stdout.into_bytes()
}

fn config(manifest: &[u8]) -> Value {
    serde_json::from_slice::<Value>(manifest).unwrap()["config"]["digest"].clone()
}

#[test]
fn repositories_tags_and_digests_are_restored() {
    for kind in KINDS {
        let (from, to, home) = two();
        let images = fill(&from);
        fs_err::write(home.path("work/sync.yaml"), file(&from)).unwrap();
        at_home(&home, &["sync", "--src=yaml", "--dest", kind, "sync.yaml", "place.tar"]).success();
        let back = ["sync", "--src", kind, "--dest=docker", "--preserve-path", "place.tar"];
        at_home(&home, &[&back[..], &[&to.host()]].concat()).success();
        let mut names: Vec<_> = images.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        assert_eq!(images_in(&to), names.join(" "), "{kind}");
        for (name, image) in &images {
            let there = raw(&home, &to.docker(name));
            if kind == "docker-archive" {
                // There are no manifests in it, but what the configs say stays.
                assert_eq!(config(&there), config(&image.manifest().bytes), "{name}");
            } else {
                assert_eq!(there, image.manifest().bytes, "{kind}: {name}");
            }
        }
    }
}

#[test]
fn whole_lists_and_digests_are_kept() {
    for kind in ["oci", "oci-archive"] {
        let (from, to, home) = two();
        let (list, single) = (Image::platforms(1, 3), Image::new(7));
        list.push(&from, "a/list:1");
        single.push(&from, "a/single:1");
        let digest = format!("{}/a/single@{}", from.host(), single.digest());
        let list_of = format!("{}/a/list", from.host());
        for source in [&list_of, &digest] {
            let words = ["sync", "--all", "--src=docker", "--dest", kind, source, "place"];
            at_home(&home, &words).success();
        }
        let words = ["sync", "--all", "--src", kind, "--dest=docker", "place"];
        at_home(&home, &[&words[..], &[&to.host()]].concat()).success();
        assert_eq!(raw(&home, &to.docker("list:1")), list.manifest().bytes);
        for instance in list.instances() {
            let name = to.docker(&format!("list@{}", instance.digest()));
            assert_eq!(raw(&home, &name), instance.manifest().bytes);
        }
        let name = to.docker(&format!("single@{}", single.digest()));
        assert_eq!(raw(&home, &name), single.manifest().bytes);
    }
    let (from, _, home) = two();
    let image = Image::new(1);
    image.push(&from, "a:1");
    let source = format!("{}/a@{}", from.host(), image.digest());
    let run = at_home(&home, &["sync", "--src=docker", "--dest=docker-archive", &source, "x.tar"]);
    assert!(fatal(&run.clone().failure(1)).contains("reference does not include a tag"), "{run}");
    assert!(!home.path("work/x.tar").exists());
}

#[test]
fn a_second_run_fetches_only_what_is_new() {
    for kind in KINDS {
        let (from, _, home) = two();
        fill(&from);
        fs_err::write(home.path("work/sync.yaml"), file(&from)).unwrap();
        let words = ["sync", "--src=yaml", "--dest", kind, "sync.yaml", "place"];
        at_home(&home, &words).success();
        let time = || fs_err::metadata(home.path("work/place")).unwrap().modified().unwrap();
        let before = time();
        let blobs = On::blobs().method("GET");
        from.forget_requests();
        at_home(&home, &words).success();
        assert_eq!(from.count(&blobs), 0, "{kind}: {:?}", from.lines());
        if kind != "oci" {
            assert_eq!(time(), before, "{kind}");
        }
        // Another tag of what is there, another image, and a tag that moves.
        Image::builder(1).format(Format::Docker).build().push(&from, "team/app:1.0");
        Image::new(9).push(&from, "other/tool:9");
        Image::new(9).push(&from, "team/app:latest");
        from.forget_requests();
        at_home(&home, &words).success();
        let fetched: Vec<_> = from.lines();
        let fetched = fetched.iter().filter(|it| it.starts_with("GET") && it.contains("/blobs/"));
        let mut digests: Vec<_> =
            fetched.filter_map(|it| it.split("/blobs/").nth(1)?.split(' ').next()).collect();
        digests.sort_unstable();
        let count = digests.len();
        digests.dedup();
        // A config that an image of another form is made of is read for each.
        if kind != "docker-archive" {
            assert_eq!(digests.len(), count, "{kind}: {:?}", from.lines());
            assert_eq!(count, Image::new(9).blobs().len(), "{kind}: {:?}", from.lines());
        }
        let to = Registry::start();
        home.insecure(&[&from.host(), &to.host()]);
        let back = ["sync", "--src", kind, "--dest=docker", "place"];
        at_home(&home, &[&back[..], &[&to.host()]].concat()).success();
        assert_eq!(
            images_in(&to),
            "app:1 app:1.0 app:2 app:latest db__x:_1..2- tool:9 tool:latest",
            "{kind}"
        );
        let (latest, new) = (raw(&home, &to.docker("app:latest")), Image::new(9));
        assert_eq!(config(&latest), config(&new.manifest().bytes), "{kind}");
    }
}

/// What a dry run, or a run, says in JSON.
fn said(home: &Home, words: &[&str]) -> Value {
    let run = at_home(home, &[words, &["--output=json"]].concat()).success();
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}\n{run}"))
}

fn outcomes(said: &Value) -> Vec<&str> {
    said["results"].as_array().unwrap().iter().map(|it| it["outcome"].as_str().unwrap()).collect()
}

#[test]
fn a_dry_run_knows_what_is_there() {
    for kind in KINDS {
        let (from, _, home) = two();
        fill(&from);
        fs_err::write(home.path("work/sync.yaml"), file(&from)).unwrap();
        let words = ["sync", "--src=yaml", "--dest", kind, "sync.yaml", "place"];
        let dry = [&words[..], &["--dry-run"]].concat();
        at_home(&home, &words).success();
        let told = said(&home, &dry);
        assert_eq!(outcomes(&told), ["unchanged"; 5], "{kind}: {told}");
        assert_eq!(outcomes(&said(&home, &words)), ["present"; 5], "{kind}");
        let sum = &told["plan"]["sum"];
        for what in ["fetch", "send", "mount", "present"] {
            assert_eq!(sum[what]["blobs"], 0, "{kind} {what}: {sum}");
        }
        // Another tag of what is there, another image, and a tag that moves.
        Image::builder(1).format(Format::Docker).build().push(&from, "team/app:1.0");
        Image::new(9).push(&from, "other/tool:9");
        Image::new(9).push(&from, "team/app:latest");
        let told = said(&home, &dry);
        from.forget_requests();
        let done = said(&home, &words);
        let count = |said: &Value, outcome: &str| {
            outcomes(said).into_iter().filter(|it| *it == outcome).count()
        };
        let both = (count(&told, "unchanged"), count(&done, "present"));
        assert_eq!(both, (4, 4), "{kind}: {told}");
        let sum = &told["plan"]["sum"];
        assert_eq!((&sum["new"], &sum["changed"]), (&2.into(), &1.into()), "{kind}: {sum}");
        let blobs = from.count(&On::blobs().method("GET"));
        assert_eq!(sum["fetch"]["blobs"], blobs, "{kind}: {sum}\n{:?}", from.lines());
        let total = |what: &str| -> u64 {
            let results = done["results"].as_array().unwrap().iter();
            results.map(|it| it["bytes"][what].as_u64().unwrap()).sum()
        };
        assert_eq!(sum["fetch"]["bytes"], total("read"), "{kind}: {sum}");
        if kind != "docker-archive" {
            // There, layers are unpacked, and how long they are then nothing tells.
            assert_eq!(sum["send"]["bytes"], total("written"), "{kind}: {sum}");
        }
    }
}

#[test]
fn a_size_that_nothing_tells_is_not_shown_as_none() {
    let (from, _, home) = two();
    let image = Image::builder(1).format(Format::Schema1Signed).named("old", "1").build();
    image.push(&from, "old:1");
    let source = format!("{}/old", from.host());
    let words = ["sync", "--src=docker", "--dest=dir", "--dry-run", &source, "place"];
    let run = at_home(&home, &words).success();
    let row: Vec<&str> = run.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], ["new", "unknown", "unknown"], "{run}");
    assert!(run.stdout.contains("unknown (2 blobs) to fetch, unknown (2 blobs) to send"), "{run}");
}

#[test]
fn one_broken_image_leaves_the_others() {
    for kind in KINDS {
        let (from, _, home) = two();
        let images = fill(&from);
        let layer = images[1].1.layers().last().unwrap().digest.to_string();
        from.fault(Fault::status(On::blobs().containing(layer), 404));
        fs_err::write(home.path("work/sync.yaml"), file(&from)).unwrap();
        let words = ["sync", "--src=yaml", "--dest", kind, "sync.yaml", "place"];
        at_home(&home, &words).failure(1);
        at_home(&home, &[&words[..], &["--keep-going"]].concat()).failure(1);
        let to = Registry::start();
        home.insecure(&[&from.host(), &to.host()]);
        let back = ["sync", "--src", kind, "--dest=docker", "place"];
        at_home(&home, &[&back[..], &[&to.host()]].concat()).success();
        assert_eq!(images_in(&to), "app:1 db__x:_1..2- tool:latest", "{kind}");
        from.mend();
        at_home(&home, &words).success();
        at_home(&home, &[&back[..], &[&to.host()]].concat()).success();
        assert_eq!(images_in(&to), "app:1 app:2 app:latest db__x:_1..2- tool:latest", "{kind}");
    }
}

#[test]
fn archives_go_through_pipes() {
    for kind in ["oci-archive", "docker-archive"] {
        let (from, to, home) = two();
        fill(&from);
        let ours = env!("CARGO_BIN_EXE_skopeo");
        let source = format!("{}/team/app", from.host());
        let mut writer = home
            .command(ours)
            .args(["sync", "--src=docker", "--dest", kind, &source, "/dev/stdout"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let reader = home
            .command(ours)
            .args(["sync", "--src", kind, "--dest=docker", "/dev/stdin", &to.host()])
            .stdin(writer.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(writer.wait().unwrap().success(), "{kind}");
        assert!(reader.status.success(), "{kind}: {}", String::from_utf8_lossy(&reader.stderr));
        assert_eq!(images_in(&to), "app:1 app:2 app:latest", "{kind}");
    }
    let (from, _, home) = two();
    fill(&from);
    let source = format!("{}/team/app", from.host());
    let words =
        ["sync", "--src=docker", "--dest=oci-archive", "--output=json", &source, "/dev/stdout"];
    let run = at_home(&home, &words).failure(1);
    assert!(fatal(&run).contains("--output json cannot share standard output"), "{run}");
}

#[test]
fn the_original_reads_what_is_written() {
    let Some(theirs) = original() else {
        skip!("the original skopeo is not installed: nobody else reads it");
    };
    for kind in KINDS {
        let (from, _, home) = two();
        fill(&from);
        fs_err::write(home.path("work/sync.yaml"), file(&from)).unwrap();
        let words = ["sync", "--src=yaml", "--dest", kind, "sync.yaml", "place"];
        at_home(&home, &words).success();
        // Debian's looks for manifests of OCI only in layouts.
        let docker: &[&str] = &["team/app:1", "team/app:latest", "other/tool:latest"];
        let names = if kind == "docker-archive" { docker } else { &docker[2..] };
        for (at, name) in names.iter().enumerate() {
            let name = format!("{kind}:place:{}/{name}", from.host());
            run(&home, &theirs, &["copy", &name, &format!("dir:{kind}-{at}")]).success();
            assert!(whole_dir(&home.path(format!("work/{kind}-{at}"))).is_some(), "{name}");
        }
    }
}

#[test]
fn umoci_and_docker_read_what_is_written() {
    let (from, _, home) = two();
    fill(&from);
    let source = format!("{}/team/app", from.host());
    for kind in ["oci", "docker-archive"] {
        let words = ["sync", "--src=docker", "--dest", kind, &source, kind];
        at_home(&home, &words).success();
    }
    match installed("umoci") {
        Some(umoci) => {
            let listed = run(&home, umoci, &["ls", "--layout", "oci"]).success().stdout;
            let mut listed: Vec<_> = listed.lines().collect();
            listed.sort_unstable();
            let tags = ["1", "2", "latest"].map(|tag| format!("{source}:{tag}"));
            assert_eq!(listed, tags);
        }
        None => skip!("umoci is not installed"),
    }
    let daemon = match Dockerd::start() {
        Ok(daemon) => daemon,
        Err(why) => skip!("no dockerd: {why}"),
    };
    daemon.docker(&["load", "-i", &home.work("docker-archive")]).success();
    let images = daemon.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).success();
    let mut images: Vec<_> = images.stdout.lines().collect();
    images.sort_unstable();
    assert_eq!(images, ["1", "2", "latest"].map(|tag| format!("{source}:{tag}")));
}

#[test]
fn what_docker_saved_is_read_by_all_its_tags() {
    let (_, to, home) = two();
    // As Docker 25 names images in layouts: the annotation beside holds only the tag.
    let layout = home.path("work/layout");
    Image::new(1).write_oci(&layout, Some("latest"));
    let index = layout.join("index.json");
    let mut text: Value = serde_json::from_slice(&fs_err::read(&index).unwrap()).unwrap();
    text["manifests"][0]["annotations"]["io.containerd.image.name"] =
        "docker.io/library/hello:latest".into();
    fs_err::write(&index, text.to_string()).unwrap();
    tar(&["-C", layout.to_str().unwrap(), "-cf", &home.work("saved.tar"), "."]);
    for (kind, place) in [("oci", "layout"), ("oci-archive", "saved.tar")] {
        let host = to.host();
        let words = ["sync", "--src", kind, "--dest=docker", "--preserve-path", place, &host];
        at_home(&home, &words).success();
        assert_eq!(images_in(&to), "library/hello:latest", "{kind}");
    }
    // Short names, and one image under two of them.
    let words = ["copy", "oci:layout", "docker-archive:two.tar:short:1"];
    at_home(&home, &[&words[..], &["--additional-tag=short:2"]].concat()).success();
    let words = ["sync", "--src=docker-archive", "--dest=dir", "two.tar", "folder"];
    at_home(&home, &words).success();
    for tag in ["1", "2"] {
        assert!(home.path(format!("work/folder/short:{tag}/manifest.json")).exists());
    }
}

#[test]
fn hostile_names_lead_nowhere() {
    let home = Home::new();
    let layout = home.path("work/layout");
    Image::new(1).write_oci(&layout, Some("a.b/good:1"));
    let index = layout.join("index.json");
    let mut text: Value = serde_json::from_slice(&fs_err::read(&index).unwrap()).unwrap();
    let good = text["manifests"][0].clone();
    for name in ["../../out:1", "/abs:1", "a/../../out:1", "x:1\n2", "\u{1b}[2J:1", ".."] {
        let mut bad = good.clone();
        bad["annotations"]["org.opencontainers.image.ref.name"] = name.into();
        text["manifests"].as_array_mut().unwrap().push(bad);
    }
    fs_err::write(&index, text.to_string()).unwrap();
    tar(&["-C", layout.to_str().unwrap(), "-cf", &home.work("bad.tar"), "."]);
    for (kind, place) in [("oci", "layout"), ("oci-archive", "bad.tar")] {
        let to = format!("deep/{kind}");
        fs_err::create_dir_all(home.path("work/deep")).unwrap();
        let words = ["sync", "--scoped", "--src", kind, "--dest=dir", place, &to];
        let run = at_home(&home, &words).success();
        assert!(run.stderr.contains("it is not the name of an image"), "{run}");
        assert!(!run.stderr.contains('\u{1b}'), "{run:?}");
        let found = files(&home.path("work"), "manifest.json");
        assert_eq!(found.len(), if kind == "oci" { 1 } else { 2 }, "{found:?}");
        assert!(home.path(format!("work/{to}/a.b/good:1/manifest.json")).exists());
    }
}

/// The files of that name below a folder.
fn files(folder: &Path, name: &str) -> Vec<String> {
    let found = Command::new("find").arg(folder).args(["-name", name]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// An archive that cannot get its name in the end has none of its images, whatever was said before;
/// the other place has them all.
#[test]
fn what_was_copied_to_an_archive_without_a_name_has_failed() {
    for kind in ["oci-archive", "docker-archive"] {
        let (from, _, home) = two();
        let images = fill(&from);
        let last = On::blobs().containing("/v2/other/tool/");
        from.fault(Fault::too_many(last.clone(), 3).once());
        fs_err::write(home.path("work/sync.yaml"), file(&from)).unwrap();
        let goals = [format!("{kind}:lost.tar"), format!("{kind}:kept.tar")];
        let mut command = home.command(env!("CARGO_BIN_EXE_skopeo"));
        command.args(["sync", "--src=yaml", "--keep-going", "--report=r.json", "--output=json"]);
        command.args(["--digestfile=digests", "--to", &goals[0], "--to", &goals[1], "sync.yaml"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while from.count(&last) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // Somebody else is quicker.
        fs_err::write(home.path("work/lost.tar"), "somebody's").unwrap();
        let output = child.wait_with_output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && log.contains("lost.tar"), "{log}");
        assert_eq!(fs_err::read(home.path("work/lost.tar")).unwrap(), b"somebody's");
        let report: Value =
            serde_json::from_slice(&fs_err::read(home.path("work/r.json")).unwrap()).unwrap();
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        for (place, expected) in goals.iter().zip(["failed", "copied"]) {
            for list in [&report["images"], &printed["results"]] {
                let all = list.as_array().unwrap().iter();
                let here = all.filter(|it| it["destination"].as_str().unwrap().starts_with(place));
                let outcomes: Vec<_> = here.map(|it| it["outcome"].as_str().unwrap()).collect();
                assert_eq!(outcomes, vec![expected; images.len()], "{place}: {list}");
            }
        }
        assert_eq!(report["totals"]["failed"], images.len());
        let digests = fs_err::read_to_string(home.path("work/digests")).unwrap();
        assert_eq!(digests.lines().count(), images.len(), "{digests}");
        assert!(!digests.contains("lost.tar"), "{digests}");
    }
}
