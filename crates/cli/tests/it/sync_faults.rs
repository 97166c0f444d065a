//! `sync` through bad lines, to and from registries that have bad days.

use std::collections::BTreeMap;
use std::time::Duration;

use skopeo_image::Compression;
use skopeo_testkit::{Fault, Home, Image, On, Registry, TokenAuth};

use crate::stage::{sentence, skopeo};
use crate::sync_stage::{self, whole_folders, whole_registry};

/// Twelve images in three repositories that share a layer and have one of their own, of about
/// 100 kB each: `g/r1:v2`.
fn images() -> Vec<(String, Image)> {
    let image = |repository: u64, tag: u64| {
        let image = Image::builder(1000 + 10 * repository + tag).layer_size(150_000);
        let image = image.layer_of(1, Compression::Gzip);
        image.layer_of(100 + 10 * repository + tag, Compression::Gzip).build()
    };
    let name = |repository, tag| (format!("g/r{repository}:v{tag}"), image(repository, tag));
    (0..3).flat_map(|repository| (0..4).map(move |tag| name(repository, tag))).collect()
}

fn filled(from: Registry) -> Registry {
    images().iter().for_each(|(name, image)| image.push(&from, name));
    from
}

/// All of them, in a mirror.
fn expected() -> BTreeMap<String, String> {
    let name =
        |(name, image): (String, Image)| (name.replace("g/", "m/"), image.digest().to_string());
    images().into_iter().map(name).collect()
}

fn home(from: &Registry, to: &Registry) -> Home {
    let home = Home::new();
    home.insecure(&[&from.host(), &to.host()]);
    let list = "    g/r0: []\n    g/r1: []\n    g/r2: []\n";
    home.write("work/list.yml", &format!("{}:\n  images:\n{list}", from.host()));
    home
}

fn to_registry(to: &Registry) -> [String; 5] {
    let place = format!("{}/m", to.host());
    ["sync", "--src=yaml", "--dest=docker", "list.yml", &place].map(str::to_owned)
}

fn words<'a>(words: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    words.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

/// Five tries of one request are made; no fault hits it more than three times.
#[test]
fn what_passes_is_sat_out() {
    type Faults = Vec<Fault>;
    let put = |on: On| on.method("PUT");
    let rows: Vec<(&str, Faults, Faults)> = vec![
        ("429 now and then", vec![Fault::too_many(On::anything(), 0).every(5).sparing(3)], vec![]),
        (
            "429 at the destination",
            vec![],
            vec![Fault::too_many(On::anything(), 0).every(5).sparing(3)],
        ),
        (
            "a storm of 429",
            vec![Fault::too_many(On::anything(), 1).skip(5).lasting(Duration::from_millis(1500))],
            vec![Fault::too_many(On::anything(), 1).skip(9).lasting(Duration::from_millis(500))],
        ),
        ("500 now and then", vec![Fault::status(On::anything(), 500).every(7).sparing(3)], vec![]),
        (
            "503 at the destination",
            vec![],
            vec![Fault::status(On::uploads(), 503).every(7).sparing(3)],
        ),
        (
            "manifests refused now and then",
            vec![],
            vec![Fault::status(put(On::manifests()), 502).every(3).sparing(3)],
        ),
        ("hanging up", vec![Fault::hang_up(On::anything()).every(6).sparing(3)], vec![]),
        ("hanging up there", vec![], vec![Fault::hang_up(On::anything()).every(9).sparing(3)]),
        (
            "cut uploads",
            vec![],
            vec![Fault::cut_request(On::uploads()).after(10_000).every(7).sparing(3)],
        ),
        (
            "done but not said",
            vec![],
            vec![Fault::done_but_cut(put(On::manifests())).every(3).sparing(3)],
        ),
    ];
    crate::stage::for_each(rows, |(name, from_faults, to_faults)| {
        let (from, to) = (filled(Registry::start()), Registry::start());
        from_faults.into_iter().for_each(|fault| from.fault(fault));
        to_faults.into_iter().for_each(|fault| to.fault(fault));
        let home = home(&from, &to);
        let run = skopeo(&home, &words(&to_registry(&to), &[]));
        assert!(run.code == Some(0), "{name}: {run}");
        assert_eq!(whole_registry(to.root()), expected(), "{name}");
    });
}

#[test]
fn tokens_that_do_not_last() {
    let auth = || TokenAuth::new().user("u", "p").private();
    for (name, auth) in [
        ("short", auth().lasts(Duration::from_millis(700))),
        ("few uses", auth().uses(60)),
        (
            "short, and said to be long",
            auth().lasts(Duration::from_millis(700)).expires_in(Some(900)),
        ),
    ] {
        let from = filled(Registry::builder().token_auth(auth.clone()).start());
        let to = Registry::builder().token_auth(auth).start();
        let home = home(&from, &to);
        let creds = ["--src-creds=u:p", "--dest-creds=u:p"];
        let run = skopeo(&home, &words(&to_registry(&to), &creds));
        assert!(run.code == Some(0), "{name}: {run}");
        assert_eq!(whole_registry(to.root()), expected(), "{name}");
    }
}

/// A registry ends and comes back in the middle, on either side.
#[test]
fn registries_that_restart() {
    for at_source in [true, false] {
        let (mut from, mut to) = (filled(Registry::start()), Registry::start());
        let home = home(&from, &to);
        let all = to_registry(&to);
        let child = sync_stage::start(&home, &words(&all, &[]), "log");
        let registry = if at_source { &mut from } else { &mut to };
        while registry.requests().len() < 20 {
            std::thread::sleep(Duration::from_millis(2));
        }
        registry.stop();
        std::thread::sleep(Duration::from_millis(300));
        registry.restart();
        let output = child.wait_with_output().unwrap();
        let log = fs_err::read_to_string(home.path("log")).unwrap();
        assert!(output.status.success(), "source: {at_source}: {log}");
        assert_eq!(whole_registry(to.root()), expected(), "source: {at_source}");
    }
}

/// One image of many is broken: which, is said, and the others are there if that was asked for.
#[test]
fn one_that_is_broken() {
    let broken = images()[5].clone();
    let layer = &broken.1.layers()[1].digest;
    let config = skopeo_image::Digest::sha256(broken.1.config().unwrap());
    for (name, fault, reason) in [
        ("another layer", Fault::corrupt(On::blobs().containing(layer)), "Digest did not match"),
        ("no layer", Fault::status(On::blobs().containing(layer), 404), layer.as_str()),
        ("no config", Fault::status(On::blobs().containing(&config), 404), config.as_str()),
        (
            "no manifest",
            Fault::status(On::manifests().any_method().containing("r1/manifests/v1"), 404),
            "reading manifest v1",
        ),
    ] {
        let (from, to) = (filled(Registry::builder().fault(fault).start()), Registry::start());
        let home = home(&from, &to);
        let ref_ = format!("Error copying ref \"docker://{}/g/r1:v1\"", from.host());
        let run = skopeo(&home, &words(&to_registry(&to), &[]));
        let said = sentence(&run);
        assert!(said.starts_with(&ref_) && said.contains(reason), "{name}: {run}");
        let found = whole_registry(to.root());
        assert!(!found.contains_key("m/r1:v1"), "{name}");

        let mut rest = expected();
        rest.remove("m/r1:v1");
        let run = skopeo(&home, &words(&to_registry(&to), &["--keep-going"])).failure(1);
        assert!(sentence(&run).starts_with("Sync failed due to previous"), "{name}: {run}");
        assert_eq!(run.stderr.matches("level=error").count(), 1, "{name}: {run}");
        assert!(run.stderr.contains("g/r1:v1") && run.stderr.contains(reason), "{name}: {run}");
        assert!(run.stderr.contains("Synced 11 images from 3 sources"), "{name}: {run}");
        assert_eq!(whole_registry(to.root()), rest, "{name}");

        let to_folder = ["sync", "--keep-going", "--src=yaml", "--dest=dir", "list.yml", "usb"];
        skopeo(&home, &to_folder).failure(1);
        let found = whole_folders(&home.path("work/usb"));
        assert_eq!(found.len(), 11, "{name}");
        assert!(!found.contains_key("r1:v1"), "{name}");
        from.mend();
        skopeo(&home, &to_folder).success();
        skopeo(&home, &words(&to_registry(&to), &[])).success();
        assert_eq!(whole_registry(to.root()), expected(), "{name}");
    }
}

/// A destination that refuses one repository.
#[test]
fn one_that_is_refused() {
    let from = filled(Registry::start());
    let refused = Fault::status(On::anything().containing("/m/r2/"), 403);
    let to = Registry::builder().fault(refused).start();
    let home = home(&from, &to);
    let run = skopeo(&home, &words(&to_registry(&to), &["--keep-going"])).failure(1);
    let mut rest = expected();
    rest.retain(|name, _| !name.starts_with("m/r2:"));
    assert_eq!(whole_registry(to.root()), rest);
    assert_eq!(run.stderr.matches("level=error").count(), 4, "{run}");
    assert!(run.stderr.contains("Synced 8 images from 3 sources"), "{run}");
    let run = skopeo(&home, &words(&to_registry(&to), &[])).failure(1);
    assert!(sentence(&run).contains("/g/r2:v"), "{run}");
}

/// Cut lines are gone on with: not much more than all the bytes comes.
#[test]
fn cut_lines_cost_little() {
    let from =
        filled(Registry::builder().fault(Fault::cut(On::blobs()).after(50_000).every(2)).start());
    let to = Registry::start();
    let home = home(&from, &to);
    let blobs: BTreeMap<_, _> = images().iter().flat_map(|(_, image)| image.blobs()).collect();
    let all: u64 = blobs.values().map(|bytes| bytes.len() as u64).sum();
    let sent = |from: &Registry| {
        let seen = from.requests().into_iter().filter(|seen| seen.target.contains("/blobs/"));
        seen.map(|seen| seen.sent).sum::<u64>()
    };
    skopeo(&home, &words(&to_registry(&to), &[])).success();
    assert_eq!(whole_registry(to.root()), expected());
    assert!(sent(&from) <= all + all / 10, "{} of {all} bytes", sent(&from));
    from.forget_requests();
    skopeo(&home, &["sync", "--src=yaml", "--dest=dir", "list.yml", "usb"]).success();
    assert_eq!(whole_folders(&home.path("work/usb")).len(), 12);
    assert!(sent(&from) <= all + all / 10, "{} of {all} bytes", sent(&from));
}

/// A small disk, which root can make.
struct Disk(std::path::PathBuf);

impl Disk {
    fn new(folder: std::path::PathBuf, size: &str) -> Option<Self> {
        fs_err::create_dir_all(&folder).unwrap();
        let size = format!("size={size}");
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "small"])
            .arg(&folder)
            .output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_is_full() {
    let from = filled(Registry::start());
    let to = Registry::start();
    let home = home(&from, &to);
    let Some(disk) = Disk::new(home.path("work/usb"), "700k") else {
        skopeo_testkit::cannot!("no tmpfs can be mounted");
    };
    for kind in ["dir", "oci"] {
        let folder = disk.0.join(kind);
        let place = format!("usb/{kind}");
        for flag in ["--keep-going", "--keep-going=false"] {
            let dest = format!("--dest={kind}");
            let run = skopeo(&home, &["sync", flag, "--src=yaml", &dest, "list.yml", &place]);
            let run = run.failure(1);
            assert!(run.stderr.contains("no space left on device"), "{kind} {run}");
            // What has a name is whole.
            whole_folders(&folder);
            crate::stage::whole_layout(&folder);
        }
        fs_err::remove_dir_all(&folder).unwrap();
    }
}
