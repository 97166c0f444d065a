//! What `skopeo sync --state` keeps between runs, and that nothing depends on it.

use std::time::{Duration, Instant};

use serde_json::Value;
use skopeo_image::Compression;
use skopeo_testkit::{Home, Image, On, Registry, Run};

use crate::program::at_home;
use crate::stage::start;
use crate::sync_names::{images_in, two};

fn sync(home: &Home, from: &Registry, repository: &str, to: &str, words: &[&str]) -> Run {
    let source = format!("{}/{repository}", from.host());
    let ends = ["sync", "--src=docker", "--dest=docker", "--state=state.json", &source, to];
    at_home(home, &[&ends, words].concat())
}

fn state(home: &Home) -> Value {
    let text = fs_err::read(home.path("work/state.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[test]
fn an_unchanged_list_takes_two_heads() {
    let (from, to, home) = two();
    Image::platforms(1, 3).push(&from, "a/b:1");
    let place = format!("{}/m", to.host());
    for run in 0..3 {
        from.forget_requests();
        to.forget_requests();
        sync(&home, &from, "a/b:1", &place, &[]).success();
        if run > 0 {
            let of = |registry: &Registry| {
                (registry.count(&On::manifests().method("HEAD")), registry.count(&On::manifests()))
            };
            assert_eq!((of(&from), of(&to)), ((1, 0), (1, 0)), "{:?}", from.lines());
        }
    }
    // Another list is another digest.
    Image::platforms(2, 3).push(&from, "a/b:1");
    to.forget_requests();
    sync(&home, &from, "a/b:1", &place, &[]).success();
    assert_eq!(to.count(&On::manifests().method("PUT")), 1);
}

#[test]
fn a_lost_or_damaged_or_lying_state_costs_only_requests() {
    let (from, to, home) = two();
    let image = Image::builder(1).layers(3).build();
    image.push(&from, "a/b:1");
    Image::platforms(2, 2).push(&from, "a/c:1");
    let place = format!("{}/m", to.host());
    sync(&home, &from, "a/b", &place, &[]).success();
    sync(&home, &from, "a/c", &place, &[]).success();
    let good = fs_err::read_to_string(home.path("work/state.json")).unwrap();
    // Blobs that are nowhere, of repositories that there are not, and uploads that are none.
    let digests: Vec<_> = image.blobs().into_keys().collect();
    let lies = serde_json::json!({
        "version": 1, "run": 4, "lists": [{ "run": 4, "manifest": "{\"manifests\":[]}" }],
        "blobs": { to.host(): { "m/none": digests.iter().map(|it| (it.to_string(), 4)).collect::<std::collections::BTreeMap<_, _>>() } },
        "uploads": digests.iter().map(|it| serde_json::json!({
            "repository": format!("{}/n/b", to.host()), "digest": it, "begun": 4_000_000_000_u64,
            "location": format!("http://{}/v2/n/b/manifests/1", to.host()),
        })).collect::<Vec<_>>(),
    });
    for text in [
        String::new(),
        "{\"version\":1".to_owned(),
        good[..good.len() / 2].to_owned(),
        lies.to_string(),
    ] {
        fs_err::write(home.path("work/state.json"), &text).unwrap();
        let elsewhere = Registry::start();
        home.insecure(&[&from.host(), &to.host(), &elsewhere.host()]);
        for repository in ["a/b", "a/c"] {
            sync(&home, &from, repository, &format!("{}/n", to.host()), &[]).success();
            sync(&home, &from, repository, &format!("{}/n", elsewhere.host()), &[]).success();
        }
        assert_eq!(images_in(&elsewhere), "n/b:1 n/c:1");
        assert_eq!(images_in(&to), "m/b:1 m/c:1 n/b:1 n/c:1");
        assert_eq!(state(&home)["version"], 1);
    }
}

#[test]
fn blobs_of_earlier_runs_are_mounted() {
    let (from, to, home) = two();
    let image =
        |seed| Image::builder(seed).layer_of(9, Compression::Gzip).layer_size(300_000).build();
    image(1).push(&from, "a/b:1");
    image(2).push(&from, "a/c:1");
    let place = format!("{}/m", to.host());
    sync(&home, &from, "a/b", &place, &[]).success();
    from.forget_requests();
    let run = sync(&home, &from, "a/c", &place, &["--output=json"]).success();
    let run: Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(run["results"][0]["bytes"]["mounted"].as_u64().unwrap() > 100_000, "{run}");
}

#[test]
fn an_upload_goes_on_where_it_was_killed() {
    let (from, to, home) = two();
    let image = Image::builder(1).layers(1).layer_size(24 << 20).build();
    image.push(&from, "a/b:1");
    let size: usize = image.blobs().values().map(|blob| blob.len()).max().unwrap();
    assert!(size > 8 << 20, "the layer packs too well: {size}");
    let source = format!("{}/a/b:1", from.host());
    let place = format!("{}/m", to.host());
    let rate = format!("--dest-limit-rate={}B/s", size / 5);
    let arguments =
        ["sync", "--src=docker", "--dest=docker", "--state=state.json", &rate, &source, &place];
    let mut child = start(&home, &arguments);
    // Until the upload is noted, and the registry has something worth keeping.
    let uploads = to.place().join("m/b/.uploads");
    let received = || {
        let files = fs_err::read_dir(&uploads).into_iter().flatten();
        files.map(|file| file.unwrap().metadata().map_or(0, |it| it.len())).max().unwrap_or(0)
    };
    let begun = Instant::now();
    while received() < 2 << 20 || state(&home)["uploads"].as_array().is_none_or(Vec::is_empty) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was noted: {}", state(&home));
        assert!(child.try_wait().unwrap().is_none(), "it was too quick to be killed");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(images_in(&to), "");
    to.forget_requests();
    sync(&home, &from, "a/b:1", &place, &[]).success();
    assert_eq!(images_in(&to), "m/b:1");
    let sent: u64 = to.requests().iter().map(|seen| seen.received).sum();
    assert!(sent + (1 << 20) < size as u64, "{sent} of {size} were sent again: {:?}", to.lines());
    assert_eq!(state(&home)["uploads"].as_array().unwrap().len(), 0);
}

/// With `--trust-state` the destination is not asked, as long as the source has not changed.
#[test]
fn a_destination_that_is_trusted_is_not_asked() {
    let (from, to, home) = two();
    for tag in 1..=3 {
        Image::new(tag).push(&from, &format!("a/b:{tag}"));
    }
    let place = format!("{}/m", to.host());
    let trusting = || {
        from.forget_requests();
        to.forget_requests();
        sync(&home, &from, "a/b", &place, &["--trust-state"]).success()
    };
    sync(&home, &from, "a/b", &place, &[]).success();
    trusting();
    assert_eq!(to.lines(), [""; 0]);
    assert_eq!(from.count(&On::manifests().method("HEAD")), 3, "{:?}", from.lines());
    assert_eq!(from.requests().len(), 4, "{:?}", from.lines());

    // Only what has changed is written, and is known the next time.
    Image::new(9).push(&from, "a/b:2");
    trusting();
    let puts = On::manifests().method("PUT");
    assert_eq!((to.count(&puts), to.count(&puts.containing("/2"))), (1, 1), "{:?}", to.lines());
    assert_eq!(to.count(&On::manifests().method("HEAD")), 0, "{:?}", to.lines());
    trusting();
    assert_eq!(to.lines(), [""; 0]);
}

/// What others do to the destination shows to who asks, and to nobody else.
#[test]
fn only_who_asks_sees_what_others_do_to_a_destination() {
    let (from, to, home) = two();
    Image::new(1).push(&from, "a/b:1");
    Image::new(2).push(&from, "a/b:2");
    let place = format!("{}/m", to.host());
    sync(&home, &from, "a/b", &place, &[]).success();
    at_home(&home, &["delete", &to.docker("m/b:1")]).success();
    sync(&home, &from, "a/b", &place, &["--trust-state"]).success();
    assert_eq!(images_in(&to), "m/b:2");
    sync(&home, &from, "a/b", &place, &[]).success();
    assert_eq!(images_in(&to), "m/b:1 m/b:2");

    // What the sync itself deletes it does not believe to be there.
    let emptied = Registry::start();
    home.insecure(&[&from.host(), &to.host(), &emptied.host()]);
    Image::new(2).push(&emptied, "a/b:2");
    sync(&home, &emptied, "a/b", &place, &["--delete", "--max-delete=90%", "--trust-state"])
        .success();
    assert_eq!(images_in(&to), "m/b:2");
    sync(&home, &from, "a/b", &place, &["--trust-state"]).success();
    assert_eq!(images_in(&to), "m/b:1 m/b:2");

    let words = ["sync", "--src=docker", "--dest=docker", "--trust-state"];
    let source = format!("{}/a/b", from.host());
    let run = at_home(&home, &[&words[..], &[&source, &place]].concat()).failure(1);
    assert!(run.stderr.contains("--trust-state can only be used with --state"), "{run}");
}
