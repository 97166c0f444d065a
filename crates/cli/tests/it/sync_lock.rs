//! `skopeo sync --lock` and `--locked`: a selection, and exactly that again.

use serde_json::{Value, json};
use skopeo_testkit::{Home, Image, On, Registry};

use crate::program::{at_home, fatal};
use crate::sync_names::{images_in, two};

fn lock(home: &Home) -> Value {
    serde_json::from_slice(&fs_err::read(home.path("work/lock.json")).unwrap()).unwrap()
}

fn digest(home: &Home, name: &str) -> String {
    at_home(home, &["inspect", "-n", "--format={{.Digest}}", name])
        .success()
        .stdout
        .trim()
        .to_owned()
}

#[test]
fn what_was_locked_is_copied_wherever_tags_lead_now() {
    let (from, to, home) = two();
    let (one, two) = (Image::new(1), Image::new(2));
    one.push(&from, "org/app:b");
    two.push(&from, "org/app:a");
    let source = format!("{}/org/app", from.host());
    let place = to.host();
    let sync = ["sync", "--src=docker", "--dest=docker"];
    let dry = [&sync[..], &["--dry-run", "--lock=lock.json", &source, &place]].concat();
    at_home(&home, &dry).success();
    let expected = json!({"kind": "skopeo-sync-lock", "version": 1, "images": [
        {"source": format!("docker://{source}:a"), "digest": two.digest().to_string()},
        {"source": format!("docker://{source}:b"), "digest": one.digest().to_string()},
    ]});
    assert_eq!(lock(&home), expected);
    assert_eq!(images_in(&to), "");
    fs_err::remove_file(home.path("work/lock.json")).unwrap();
    at_home(
        &home,
        &[&sync[..], &["--lock=lock.json", &source, &place, "--append-suffix=-x"]].concat(),
    )
    .success();
    assert_eq!(lock(&home), expected, "the same however it was found out");

    // A tag has moved, another has come.
    Image::new(3).push(&from, "org/app:a");
    Image::new(4).push(&from, "org/app:c");
    from.forget_requests();
    at_home(&home, &[&sync[..], &["--locked=lock.json", &source, &place]].concat()).success();
    assert_eq!(images_in(&to), "app:a app:a-x app:b app:b-x");
    assert_eq!(digest(&home, &to.docker("app:a")), two.digest().to_string());
    assert_eq!(from.count(&On::tags()), 0, "nothing is listed");
    let asked = from.lines();
    assert!(!asked.iter().any(|line| line.ends_with("manifests/a")), "{asked:?}");

    // From a file, and from a whole registry.
    let third = Registry::start();
    home.insecure(&[&from.host(), &to.host(), &third.host()]);
    home.write("work/sync.yaml", &format!("{}:\n  images:\n    org/app: []\n", from.host()));
    let place = third.host();
    let words = ["sync", "--src=yaml", "--dest=docker", "--locked=lock.json", "sync.yaml", &place];
    at_home(&home, &words).success();
    let host = from.host();
    let words = [
        "sync",
        "--src=registry",
        "--dest=docker",
        "--locked=lock.json",
        "--preserve-path",
        &host,
        &place,
    ];
    at_home(&home, &words).success();
    assert_eq!(images_in(&third), "app:a app:b org/app:a org/app:b");
    assert_eq!(from.count(&On::tags()) + from.count(&On::catalog()), 0);
}

#[test]
fn a_lock_is_whole_or_not_at_all() {
    let (from, to, home) = two();
    Image::new(1).push(&from, "app:1");
    let source = format!("{}/app", from.host());
    let place = to.host();
    let locked = |source: &str| {
        let words = ["sync", "--src=docker", "--dest=docker", "--locked=lock.json", source, &place];
        at_home(&home, &words)
    };
    let write = |images: Value| {
        let file = json!({"kind": "skopeo-sync-lock", "version": 1, "images": images});
        home.write("work/lock.json", &file.to_string());
    };
    let gone = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    write(json!([{"source": format!("docker://{source}:1"), "digest": gone}]));
    let run = locked(&source);
    assert!(run.code != Some(0) && fatal(&run).contains(gone), "{run}");
    assert_eq!(images_in(&to), "");
    // What is named has to be there, and what is there has to be named.
    let run = locked(&format!("{source}:2")).failure(1);
    assert!(fatal(&run).contains("is not in \"lock.json\": it has to be locked first"), "{run}");
    let run = locked(&format!("{}/other", from.host())).failure(1);
    assert!(fatal(&run).contains("No images to sync found"), "{run}");
    write(json!([
        {"source": format!("docker://{source}:1"), "digest": Image::new(1).digest().to_string()},
        {"source": "docker://elsewhere.example/app:1", "digest": gone},
    ]));
    let run = locked(&source).failure(1);
    assert!(
        fatal(&run).contains("names docker://elsewhere.example/app:1, which is not among"),
        "{run}"
    );
    for (text, words) in [
        ("no", "is no file of --lock"),
        ("{\"version\": 1}", "is no file of --lock"),
        ("{\"kind\": \"skopeo-sync-lock\", \"version\": 2, \"images\": []}", "is of version 2"),
        (
            "{\"kind\": \"skopeo-sync-lock\", \"version\": 1, \"images\": [{\"source\": \"dir:x\", \"digest\": \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}]}",
            "is no image of a registry",
        ),
    ] {
        home.write("work/lock.json", text);
        let run = locked(&source).failure(1);
        assert!(fatal(&run).contains(words), "{run}");
    }
    assert_eq!(images_in(&to), "");
    // A failure leaves the file as it is.
    home.write("work/lock.json", "as it was");
    let words =
        ["sync", "--src=docker", "--dest=docker", "--lock=lock.json", &source, "127.0.0.1:1"];
    at_home(&home, &words).failure(1);
    assert_eq!(fs_err::read_to_string(home.path("work/lock.json")).unwrap(), "as it was");
    let run = at_home(&home, &[&words[..], &["--locked=lock.json"]].concat()).failure(1);
    assert!(run.stderr.contains("is no file of --lock"), "{run}");
    Image::new(1).write_dir(&home.path("work/folder/app:1"));
    let words = ["sync", "--src=dir", "--dest=docker", "--lock=lock.json", "folder", &place];
    let run = at_home(&home, &words).failure(1);
    assert!(fatal(&run).contains("--lock works for images in registries"), "{run}");
}
