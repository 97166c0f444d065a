//! Many images at once: how much is asked, fetched and held.

use std::collections::BTreeMap;

use skopeo_testkit::registry::real::Real;
use skopeo_testkit::{Home, On, Registry, skip};

use crate::stage::skopeo;
use crate::sync_stage::{Many, measured, whole_folders, whole_registry};

const MANY: Many = Many { repositories: 50, tags: 40, size: 300 };

/// What a run may hold at most, in KiB. The goal is less than half of it; this is for the program
/// as tests build it, on a machine that does much else.
const MEMORY: u64 = 100 * 1024;

/// What is asked besides each tag: whether the registry is there, and each list of tags.
const LISTING: usize = MANY.repositories + 8;

#[test]
fn two_thousand_to_a_registry_and_a_folder() {
    let home = Home::new();
    let (from, to) = (MANY.registry(&home), Registry::start());
    home.insecure(&[&from.host(), &to.host()]);
    home.write("work/list.yml", &MANY.list(&from.host()));
    let place = format!("{}/m", to.host());
    let to_registry = ["sync", "--src=yaml", "--dest=docker", "list.yml", &place];
    let to_folder = ["sync", "--src=yaml", "--dest=dir", "list.yml", "usb"];
    let expected = MANY.expected();

    let (run, memory) = measured(&home, &to_registry);
    assert!(run.success().stderr.contains("Synced 2000 images from 50 sources"));
    assert!(memory < MEMORY, "{memory} KiB");
    assert_eq!(whole_registry(to.root()), expected);
    each_blob_once(&from);
    assert!(to.count(&On::uploads().method("PUT")) <= MANY.blobs());

    from.forget_requests();
    to.forget_requests();
    let (run, memory) = measured(&home, &to_registry);
    assert!(run.success().stderr.contains("Synced 2000 images from 50 sources"));
    assert!(memory < MEMORY, "{memory} KiB");
    let asked = from.requests().len() + to.requests().len();
    assert!(asked <= 2 * MANY.count() + LISTING, "{asked} requests with nothing to do");
    let changing = to.requests().into_iter().filter(|seen| seen.method != "HEAD");
    let changing: Vec<_> = changing.filter(|seen| seen.target != "/v2/").collect();
    assert!(changing.is_empty(), "{changing:?}");

    from.forget_requests();
    let (run, memory) = measured(&home, &to_folder);
    assert!(run.success().stderr.contains("Synced 2000 images from 50 sources"));
    assert!(memory < MEMORY, "{memory} KiB");
    each_blob_once(&from);
    let in_folders = |(name, digest): (&String, &String)| (name.replace("m/", ""), digest.clone());
    let expected: BTreeMap<_, _> = expected.iter().map(in_folders).collect();
    assert_eq!(whole_folders(&home.path("work/usb")), expected);

    from.forget_requests();
    let (run, memory) = measured(&home, &to_folder);
    assert!(run.success().stderr.contains("Synced 2000 images from 50 sources"));
    assert!(memory < MEMORY, "{memory} KiB");
    let asked = from.requests().len();
    assert!(asked <= MANY.count() + LISTING, "{asked} requests with nothing to do");
    assert_eq!(from.count(&On::blobs()), 0);
}

/// Of 200 new tags, each with a config and a layer of its own: each of these is opened and sent, or
/// mounted, each manifest is sent, and hardly anything else is asked.
#[test]
fn a_new_mirror_is_not_asked_what_it_cannot_have() {
    let home = Home::new();
    let many = Many { repositories: 4, tags: 50, size: 300 };
    let (from, to) = (many.registry(&home), Registry::start());
    home.insecure(&[&from.host(), &to.host()]);
    home.write("work/list.yml", &many.list(&from.host()));
    let place = format!("{}/m", to.host());
    skopeo(&home, &["sync", "--src=yaml", "--dest=docker", "list.yml", &place]).success();
    assert_eq!(whole_registry(to.root()), many.expected());

    let of = |on: On| to.count(&on);
    assert!(of(On::uploads().method("PUT")) <= many.blobs());
    // A look at the first tags of a repository, while it is not known yet that there is none.
    let looks = of(On::manifests().method("HEAD")) + of(On::blobs().method("HEAD"));
    assert!(looks <= many.count() / 2, "{looks} looks at what cannot be there");
    let lists = to.requests().iter().filter(|seen| seen.target.contains("/tags/list")).count();
    assert!(lists <= many.repositories, "{lists}");
}

/// What a repository lacks of tags is known from its list; what it has is looked at.
#[test]
fn a_tag_that_is_there_is_found_among_those_that_are_not() {
    let home = Home::new();
    let many = Many { repositories: 1, tags: 60, size: 300 };
    let (from, to) = (many.registry(&home), Registry::start());
    home.insecure(&[&from.host(), &to.host()]);
    let [source, place] = [from.host(), to.host()].map(|host| format!("docker://{host}"));
    for tag in ["v7", "v50"] {
        let words = [
            "copy",
            "-q",
            &format!("{source}/group/repo0:{tag}"),
            &format!("{place}/m/repo0:{tag}"),
        ];
        skopeo(&home, &words).success();
    }
    to.forget_requests();
    home.write("work/list.yml", &many.list(&from.host()));
    let words = ["sync", "--src=yaml", "--dest=docker", "list.yml", &format!("{}/m", to.host())];
    skopeo(&home, &words).success();
    assert_eq!(whole_registry(to.root()), many.expected());
    let sent = to.count(&On::manifests().method("PUT"));
    assert_eq!(sent, many.count() - 2);
}

#[track_caller]
fn each_blob_once(from: &Registry) {
    let mut fetched: BTreeMap<String, usize> = BTreeMap::new();
    for seen in from.requests() {
        if seen.method == "GET" && seen.target.contains("/blobs/") {
            let digest = seen.target.rsplit('/').next().unwrap().to_owned();
            *fetched.entry(digest).or_default() += 1;
        }
    }
    let again: Vec<_> = fetched.iter().filter(|(_, count)| **count > 1).collect();
    assert!(again.is_empty(), "fetched more than once: {again:?}");
    assert_eq!(fetched.len(), MANY.blobs());
}

/// Through distribution's own registry: to it, with nothing to do, and back.
#[test]
fn three_hundred_on_docker_registry() {
    let Some(real) = Real::start() else { skip!("docker-registry is not installed") };
    let many = Many { repositories: 10, tags: 30, size: 300 };
    let home = Home::new();
    let (from, back) = (many.registry(&home), Registry::start());
    home.insecure(&[&from.host(), &real.host(), &back.host()]);
    home.write("work/list.yml", &many.list(&from.host()));
    let place = format!("{}/group", real.host());
    let there = ["sync", "--src=yaml", "--dest=docker", "list.yml", &place];
    let run = skopeo(&home, &there).success();
    assert!(run.stderr.contains("Synced 300 images from 10 sources"), "{run}");
    assert_eq!(from.count(&On::blobs()), many.blobs());

    from.forget_requests();
    skopeo(&home, &there).success();
    let asked = from.requests().len();
    assert!(asked <= many.count() + many.repositories + 8, "{asked} requests with nothing to do");
    assert_eq!(from.count(&On::blobs()), 0);

    home.write("work/list.yml", &many.list(&real.host()));
    let place = format!("{}/m", back.host());
    skopeo(&home, &["sync", "--src=yaml", "--dest=docker", "list.yml", &place]).success();
    assert_eq!(whole_registry(back.root()), many.expected());
}
