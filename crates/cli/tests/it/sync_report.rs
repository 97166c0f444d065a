//! What `skopeo sync` says of a run, and how it goes on from what it said.

use std::process::Stdio;

use serde_json::{Value, json};
use skopeo_testkit::{Fault, Home, Image, On, Registry, Run};

use crate::program::{at_home, fatal};
use crate::sync_names::{images_in, two};

fn report(home: &Home, name: &str) -> Value {
    let text = fs_err::read(home.path("work").join(name)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Tag and outcome of each image.
fn outcomes(report: &Value) -> String {
    let images = report["images"].as_array().unwrap().iter();
    let told = images.map(|image| {
        let name = image["source"].as_str().unwrap();
        format!("{}={}", name.rsplit(':').next().unwrap(), image["outcome"].as_str().unwrap())
    });
    told.collect::<Vec<_>>().join(" ")
}

/// The table at the end, without what differs from run to run.
fn table(run: &Run) -> Vec<String> {
    let (_, table) = run.stderr.split_once("\ncopied ").unwrap_or_else(|| panic!("{run}"));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("copied {table}")
        .lines()
        .take_while(|line| !line.starts_with("time="))
        .map(words)
        .filter(|line| !line.starts_with("took "))
        .collect()
}

fn three(from: &Registry) -> Vec<Image> {
    let images = [1, 2, 3].map(|seed| Image::builder(seed).layers(2).layer_of(9, gzip()).build());
    for (at, image) in images.iter().enumerate() {
        image.push(from, &format!("app:{}", at + 1));
    }
    images.to_vec()
}

fn gzip() -> skopeo_image::Compression {
    skopeo_image::Compression::Gzip
}

#[test]
fn a_run_is_summed_up_for_people_and_programs() {
    let (from, to, home) = two();
    let images = three(&from);
    let (source, place) = (format!("{}/app", from.host()), to.host());
    let sync = ["sync", "--src=docker", "--dest=docker", "--jobs=1", &source, &place];
    let run = at_home(&home, &[&sync[..], &["--report=one.json"]].concat()).success();
    let one = report(&home, "one.json");
    assert_eq!(outcomes(&one), "1=copied 2=copied 3=copied");
    assert_eq!(
        (&one["version"], &one["command"], &one["ok"]),
        (&json!(1), &json!("sync"), &json!(true))
    );
    assert!(one["error"].is_null() && one["requests"].as_u64().unwrap() > 10, "{one}");
    assert_eq!(one["options"], json!({"src": "docker", "dest": "docker"}));
    let length = |image: &Image| image.blobs().values().map(|it| it.len() as u64).sum::<u64>();
    let shared = images[0]
        .blobs()
        .iter()
        .filter(|(digest, _)| images[1].blobs().contains_key(*digest))
        .map(|(_, bytes)| bytes.len() as u64)
        .sum::<u64>();
    assert!(shared > 0);
    let first = &one["images"][0];
    assert_eq!(first["digest"], images[0].digest().to_string());
    assert_eq!(first["source_digest"], images[0].digest().to_string());
    assert_eq!(first["attempts"], 1);
    assert_eq!(first["place"], format!("docker://{}", to.host()));
    let all: u64 = images.iter().map(length).sum();
    let moved = all - 2 * shared;
    let bytes =
        json!({"read": moved, "written": moved, "reused": 2 * shared, "mounted": 0, "linked": 0});
    assert_eq!(one["totals"]["bytes"], bytes);
    assert_eq!(table(&run)[..4], ["copied 3", "unchanged 0", "deleted 0", "failed 0"], "{run}");
    // Nothing in the way of the original's lines.
    assert!(run.stderr.contains("msg=\"Synced 3 images from 1 sources\"\n\ncopied"), "{run}");

    let run = at_home(&home, &[&sync[..], &["--report=two.json"]].concat()).success();
    let two = report(&home, "two.json");
    assert_eq!(outcomes(&two), "1=unchanged 2=unchanged 3=unchanged");
    assert_eq!(two["totals"]["bytes"]["read"], 0);
    assert_eq!(
        table(&run),
        ["copied 0", "unchanged 3", "deleted 0", "failed 0", "fetched 0 B, sent 0 B", "saved 0 B"],
        "{run}"
    );
}

#[test]
fn what_failed_is_named_and_done_again() {
    let (from, to, home) = two();
    three(&from);
    from.fault(Fault::status(On::manifests().any_method().containing("manifests/2"), 404));
    let source = format!("{}/app", from.host());
    let sync =
        ["sync", "--src=docker", "--dest=docker", "--scoped", "--keep-going", "--report=one.json"];
    let run = at_home(&home, &[&sync[..], &[&source, &to.host()]].concat()).failure(1);
    let one = report(&home, "one.json");
    assert_eq!(outcomes(&one), "1=copied 2=failed 3=copied");
    assert_eq!((&one["ok"], &one["error"]["class"]), (&json!(false), &json!("partial")));
    assert_eq!(one["images"][1]["error"]["class"], "not-found");
    let failed: Vec<_> =
        table(&run).into_iter().filter(|line| line.starts_with("failed: ")).collect();
    assert_eq!(failed.len(), 1, "{run}");
    assert!(
        failed[0].starts_with(&format!("failed: docker://{source}:2 -> docker://{}", to.host())),
        "{run}"
    );
    assert!(failed[0].contains(": not-found: "), "{run}");

    // Still the same.
    let again = ["sync", "--retry-failed=one.json"];
    let run = at_home(&home, &again).failure(1);
    assert!(fatal(&run).contains("Error copying ref"), "{run}");
    from.mend();
    from.forget_requests();
    to.forget_requests();
    let run = at_home(&home, &[&again[..], &["--report=two.json"]].concat()).success();
    assert_eq!(outcomes(&report(&home, "two.json")), "2=copied");
    assert!(run.stderr.contains("Synced 1 images"), "{run}");
    let asked = |registry: &Registry| {
        registry
            .lines()
            .into_iter()
            .any(|line| line.contains("manifests/1") || line.contains("tags"))
    };
    assert!(!asked(&from) && !asked(&to), "{:?}", from.lines());
    let names = images_in(&to);
    assert_eq!(names.split(' ').count(), 3, "{names}");

    let run = at_home(&home, &["sync", "report", "merge", "one.json", "two.json"]).success();
    let both: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(outcomes(&both), "1=copied 2=copied 3=copied");
    assert_eq!((&both["ok"], &both["totals"]["copied"]), (&json!(true), &json!(3)));
    let run =
        at_home(&home, &["sync", "report", "merge", "two.json", "one.json", "-o", "all.json"]);
    assert_eq!(outcomes(&report(&home, "all.json")), "1=copied 2=copied 3=copied");
    assert_eq!(run.success().stdout, "");
    let run = at_home(&home, &["sync", "report", "merge", "one.json"]).failure(1);
    assert_eq!(fatal(&run), "1 of 3 images are not where they should be");
    // What went well needs nothing.
    let run = at_home(&home, &["sync", "--retry-failed=two.json"]).success();
    assert!(run.stderr.contains("No image of \\\"two.json\\\" failed"), "{run}");
}

#[test]
fn the_first_failure_leaves_the_others_to_be_begun() {
    let (from, to, home) = two();
    for tag in 10..99 {
        Image::new(1).push(&from, &format!("app:{tag}"));
    }
    from.fault(Fault::status(On::manifests().any_method().containing("manifests/10"), 403));
    let source = format!("{}/app", from.host());
    let sync = ["sync", "--src=docker", "--dest=docker", "--report=one.json", &source, &to.host()];
    let run = at_home(&home, &sync).failure(1);
    let one = report(&home, "one.json");
    let images = one["images"].as_array().unwrap();
    assert_eq!(images[0]["outcome"], "failed");
    assert_eq!(images[88]["outcome"], "not-begun");
    assert_eq!((images.len(), &one["totals"]["failed"]), (89, &json!(1)));
    assert!(table(&run).iter().any(|line| line.starts_with("not begun ")), "{run}");
    from.mend();
    at_home(&home, &["sync", "--retry-failed=one.json", "--report=two.json"]).success();
    let run = at_home(&home, &["sync", "report", "merge", "one.json", "two.json"]).success();
    let both: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&both["totals"]["images"], &both["ok"]), (&json!(89), &json!(true)));
    assert_eq!(images_in(&to).split(' ').count(), 89);
}

#[test]
fn an_end_before_the_end_is_told_too() {
    let (from, to, home) = two();
    let images = three(&from);
    let mine = &images[1].layers()[0].digest;
    from.fault(Fault::silence(On::blobs().containing(mine)));
    let source = format!("{}/app", from.host());
    let sync = ["sync", "--src=docker", "--dest=docker", "--report=one.json", &source, &to.host()];
    let words = [&["--command-timeout=2s"], &sync[..]].concat();
    let run = at_home(&home, &words).failure(1);
    assert!(fatal(&run).ends_with("context deadline exceeded"), "{run}");
    let one = report(&home, "one.json");
    assert_eq!(outcomes(&one), "1=copied 2=unfinished 3=copied");
    assert_eq!(one["error"]["class"], "timeout");
    assert!(table(&run).contains(&"unfinished 1".to_owned()), "{run}");
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        fs_err::remove_file(home.path("work/one.json")).unwrap();
        from.forget_requests();
        let mut command = home.command(env!("CARGO_BIN_EXE_skopeo"));
        let mut child =
            command.args(sync).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        while from.count(&On::blobs()) == 0 {
            std::thread::yield_now();
        }
        let mut kill = std::process::Command::new("kill");
        kill.arg(format!("-{signal}")).arg(child.id().to_string()).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "SIG{signal}");
        let one = report(&home, "one.json");
        assert!(outcomes(&one).contains("2=unfinished"), "{one}");
        assert_eq!(one["error"]["class"], "interrupted");
    }
    from.mend();
    at_home(&home, &["sync", "--retry-failed=one.json"]).success();
    assert_eq!(images_in(&to).split(' ').count(), 3);
    let left = fs_err::read_dir(home.path("work")).unwrap().count();
    assert_eq!(left, 1, "the report, and nothing beside it");
}

#[test]
fn a_file_is_read_again_for_how_to_reach_its_registries() {
    let (from, to) = (Registry::builder().htpasswd("user", "secret").start(), Registry::start());
    let home = Home::new();
    home.insecure(&[&to.host()]);
    let push = |name: &str| {
        let flags = ["--dest-tls-verify=false", "--dest-creds=user:secret"];
        let to = from.docker(name);
        at_home(&home, &[&["copy", "--all"], &flags[..], &["dir:image", &to]].concat()).success();
    };
    Image::platforms(1, 2).write_dir(&home.path("work/image"));
    push("app:1");
    push("app:2");
    let text = format!(
        "{}:\n  tls-verify: false\n  credentials:\n    username: user\n    password: secret\n  images:\n    app: []\n\
         127.0.0.1:1:\n  tls-verify: false\n  images:\n    nothing: []\n",
        from.host()
    );
    home.write("work/sync.yaml", &text);
    to.fault(Fault::status(On::manifests().method("PUT").containing("manifests/2"), 403));
    let place = to.host();
    let sync =
        ["sync", "--src=yaml", "--dest=docker", "--all", "--keep-going", "--dest-creds=a:hidden"];
    let words = [&sync[..], &["--report=one.json", "sync.yaml", &place]].concat();
    let run = at_home(&home, &words).failure(1);
    let text = fs_err::read_to_string(home.path("work/one.json")).unwrap();
    assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
    let one = report(&home, "one.json");
    assert_eq!(outcomes(&one), "1=copied 2=failed");
    assert_eq!(one["unlisted"][0]["source"], "docker://127.0.0.1:1/nothing");
    assert_eq!(one["unlisted"][0]["error"]["class"], "network");
    assert!(
        table(&run)
            .iter()
            .any(|line| line.starts_with("not listed: docker://127.0.0.1:1/nothing: network: ")),
        "{run}"
    );

    to.mend();
    // The report alone names the file, which does not verify TLS.
    from.forget_requests();
    let run = at_home(&home, &["sync", "--retry-failed=one.json"]).failure(1);
    let said = format!("it does not verify TLS of {} (--src-tls-verify=false)", from.host());
    assert!(fatal(&run).contains("the report's file \"sync.yaml\" lowers"), "{run}");
    assert!(fatal(&run).contains(&said) && run.stderr.contains("--trust-file"), "{run}");
    assert!(from.requests().is_empty());
    let words = ["sync", "--retry-failed=one.json", "--src-tls-verify=false"];
    let run = at_home(&home, &words).failure(1);
    assert!(run.stderr.contains("Synced 1 images"), "{run}");
    assert_eq!(
        fatal(&run),
        "1 sources of \"one.json\" could not be listed, such as docker://127.0.0.1:1/nothing: only \
         the whole sync finds out what is in them"
    );
    let copied = at_home(&home, &["inspect", "--raw", &to.docker("app:2")]).success().json();
    assert_eq!(copied["manifests"].as_array().unwrap().len(), 2, "--all still counts");
}

#[test]
fn reports_that_are_none_are_refused() {
    let (from, to, home) = two();
    home.write("work/other.json", "{\"version\": 1, \"command\": \"copy\"}");
    home.write("work/later.json", "{\"version\": 2, \"command\": \"sync\"}");
    home.write("work/broken.json", "{\"version\": 1, \"command\": \"sync\", \"images\": 7}");
    home.write("work/no.json", "no");
    for (file, words) in [
        ("none.json", "no such file"),
        ("no.json", "is no report of sync"),
        ("other.json", "is no report of sync"),
        ("broken.json", "is no report of sync"),
        ("later.json", "is a report of version 2"),
    ] {
        let run = at_home(&home, &["sync", "--retry-failed", file]).failure(1);
        assert!(fatal(&run).contains(words), "{run}");
        let run = at_home(&home, &["sync", "report", "merge", file]).failure(1);
        assert!(fatal(&run).contains(words), "{run}");
    }
    let run = at_home(&home, &["sync", "--retry-failed=no.json", "a", "b"]).failure(1);
    assert_eq!(fatal(&run), "No arguments expected with --retry-failed");
    at_home(&home, &["sync", "report", "merge"]).failure(1);
    // Nothing is asked of anybody if the report cannot be written.
    let source = format!("{}/app", from.host());
    let sync =
        ["sync", "--src=docker", "--dest=docker", "--report=none/one.json", &source, &to.host()];
    let run = at_home(&home, &sync).failure(1);
    assert_eq!(fatal(&run), "--report: the folder \"none\" does not exist");
    assert!(from.requests().is_empty());
    // A run that finds nothing out has a report all the same, and nothing to do again.
    let sync = ["sync", "--src=docker", "--dest=docker", "--report=one.json", &source, &to.host()];
    at_home(&home, &sync).failure(1);
    assert_eq!(report(&home, "one.json")["images"], json!([]));
    let run = at_home(&home, &["sync", "--retry-failed=one.json"]).failure(1);
    assert!(fatal(&run).contains("the run ended before images were known"), "{run}");
}

#[test]
fn a_source_may_be_called_report() {
    let (from, to, home) = two();
    Image::new(1).write_dir(&home.path("work/report/app:1"));
    drop(from);
    let place = to.host();
    for words in [
        &["sync", "--src=dir", "--dest=docker", "report", &place][..],
        &["sync", "report", &place, "--src=dir", "--dest=docker"],
        &["sync", "--src", "dir", "report", "--dest", "docker", &place],
    ] {
        at_home(&home, words).success();
    }
    let help = at_home(&home, &["sync", "report", "--help"]).success();
    assert!(help.stdout.contains("skopeo sync report [command]"), "{help}");
}

#[test]
fn progress_is_shown_as_it_is_wanted() {
    let (from, to, home) = two();
    three(&from);
    from.fault(Fault::status(On::manifests().any_method().containing("manifests/2"), 404));
    let source = format!("{}/app", from.host());
    let sync = |more: &[&str]| {
        let words = [
            "sync",
            "--src=docker",
            "--dest=docker",
            "--keep-going",
            "--scoped",
            &source,
            &to.host(),
        ];
        at_home(&home, &[&words[..], more].concat()).failure(1)
    };
    let run = sync(&[]);
    assert!(run.stdout.contains("Writing manifest to image destination"), "{run}");
    let run = sync(&["--progress=plain"]);
    assert_eq!(run.stdout, "");
    let line = format!("/3 unchanged: docker://{source}:1 -> docker://");
    assert!(run.stderr.contains(&line) && run.stderr.contains("/3 failed: docker://"), "{run}");
    assert!(run.stderr.contains("\nunchanged        2\n"), "{run}");
    let run = sync(&["-q"]);
    assert_eq!(run.stdout, "");
    assert!(
        !run.stderr.contains("level=info") && run.stderr.contains("\nfailed           1\n"),
        "{run}"
    );
    from.mend();
    let words = ["sync", "-q", "--src=docker", "--dest=docker", "--scoped", &source, &to.host()];
    let run = at_home(&home, &words).success();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    let words = ["sync", "--progress=json", "--src=docker", "--dest=docker", &source, &to.host()];
    let run = at_home(&home, &words).success();
    let events = run.stderr.lines().filter(|line| line.starts_with('{'));
    let events: Vec<Value> = events.map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!(of("run-started")[0]["images"], 3);
    assert_eq!((of("image-started").len(), of("image-done").len()), (3, 3), "{run}");
    assert!(of("blob-done").iter().all(|event| event["source"].is_string()), "{run}");
    assert_eq!((&of("run-done")[0]["done"], &of("run-done")[0]["failed"]), (&json!(3), &json!(0)));
    assert!(!run.stderr.contains("\nsaved "), "{run}");
    let run = at_home(
        &home,
        &["sync", "-q", "--progress=bar", "--src=docker", "--dest=docker", "a", "b"],
    );
    assert_eq!(fatal(&run.failure(1)), "Cannot use --quiet and --progress flags together");
}

#[test]
fn what_is_in_an_archive_without_a_name_is_nowhere() {
    let (from, _to, home) = two();
    let images = three(&from);
    let silent = Fault::silence(On::blobs().containing(&images[2].layers()[0].digest));
    from.fault(silent);
    let source = format!("{}/app", from.host());
    let sync = ["sync", "--src=docker", "--dest=oci-archive", "--report=one.json"];
    at_home(&home, &[&["--command-timeout=2s"], &sync[..], &[&source, "all.tar"]].concat())
        .failure(1);
    let told = outcomes(&report(&home, "one.json"));
    assert_eq!(told, "1=unfinished 2=unfinished 3=unfinished");
    from.mend();
    at_home(&home, &["sync", "--retry-failed=one.json", "--report=two.json"]).success();
    assert_eq!(outcomes(&report(&home, "two.json")), "1=copied 2=copied 3=copied");
    // What others left out is added to what is there.
    from.fault(Fault::status(On::manifests().any_method().containing("manifests/3"), 403));
    at_home(&home, &[&sync[..], &["--keep-going", &source, "some.tar"]].concat()).failure(1);
    assert_eq!(outcomes(&report(&home, "one.json")), "1=copied 2=copied 3=failed");
    from.mend();
    at_home(&home, &["sync", "--retry-failed=one.json"]).success();
    for tag in 1..4 {
        at_home(&home, &["inspect", &format!("oci-archive:some.tar:{source}:{tag}")]).success();
    }
}
