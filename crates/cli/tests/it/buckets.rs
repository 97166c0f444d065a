//! Images in object stores, as the commands have them: at a store of the test's own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use skopeo_testkit::run::original;
use skopeo_testkit::s3::SECRET;
use skopeo_testkit::{Cloud, Home, Image, Registry, S3, S3Fault, cannot, run, skip};

use crate::program::{at_home, fatal};

fn home(store: &S3) -> Home {
    let mut home = Home::new();
    for (name, value) in store.environment() {
        home = home.variable(name, &value);
    }
    home
}

#[test]
fn an_image_goes_to_a_bucket_and_back() {
    for (store, scheme) in [(S3::start(), "s3"), (S3::google(), "gs")] {
        let (home, registry) = (home(&store), Registry::start());
        home.insecure(&[&registry.host()]);
        let list = Image::platforms(1, 2);
        list.push(&registry, "team/app:1");
        let place = format!("oci:{scheme}://bucket/mirror");
        let name = format!("{place}:team/app:1");
        at_home(&home, &["copy", "--all", &registry.docker("team/app:1"), &name]).success();
        let raw = at_home(&home, &["inspect", "--raw", &name]).success().stdout;
        assert_eq!(raw.as_bytes(), list.manifest().bytes);
        let tags = at_home(&home, &["list-tags", &place]).success().json();
        assert_eq!(tags["Tags"], serde_json::json!(["team/app:1"]));
        at_home(&home, &["copy", "--all", &name, &registry.docker("back:1")]).success();
        at_home(&home, &["copy", "--all", &name, "oci:folder:1"]).success();
        let raw = at_home(&home, &["inspect", "--raw", "oci:folder:1"]).success().stdout;
        assert_eq!(raw.as_bytes(), list.manifest().bytes);
        // A layout in a folder, but for what each has of its own.
        let below = |key: &String| key.strip_prefix("mirror/").map(str::to_owned);
        let keys: Vec<_> = store.keys().iter().filter_map(below).collect();
        for key in keys {
            assert!(home.path("work/folder").join(&key).is_file(), "{key}");
        }
        at_home(&home, &["delete", &name]).success();
        assert_eq!(store.keys(), ["mirror/index.json", "mirror/oci-layout"]);
    }
}

#[test]
fn a_mirror_with_nothing_to_do_costs_a_few_requests() {
    let (store, registry) = (S3::start(), Registry::start());
    let home = home(&store);
    home.insecure(&[&registry.host()]);
    for seed in 0..12 {
        Image::new(seed).push(&registry, &format!("team/app:{seed}"));
    }
    let from = format!("{}/team/app", registry.host());
    let sync = ["sync", "--all", "--src=docker", "--dest=oci", &from, "s3://bucket/mirror"];
    at_home(&home, &sync).success();
    store.forget();
    registry.forget_requests();
    let again = at_home(&home, &sync).success();
    let asked = store.asked();
    assert!(asked.len() <= 16, "{asked:#?}\n{}", again.stderr);
    assert!(asked.iter().all(|it| it.method != "PUT"), "{asked:#?}");
    // Back from it, under the names that they had.
    let to = registry.host();
    let back = ["sync", "--all", "--src=oci", "--dest=docker", "s3://bucket/mirror"];
    at_home(&home, &[&back[..], &[&format!("{to}/back")]].concat()).success();
    let to_them = ["sync", "--all", "--src=docker", &from, "--to", "oci:s3://bucket/other"];
    at_home(&home, &to_them).success();
    let tags = at_home(&home, &["list-tags", "oci:s3://bucket/other"]).success().json();
    assert_eq!(tags["Tags"].as_array().unwrap().len(), 12);
}

#[test]
fn what_goes_wrong_is_told_with_what_to_do_and_no_secret() {
    let store = S3::start();
    let home = home(&store);
    Image::new(1).write_oci(&home.path("work/folder"), Some("1"));
    let missing = at_home(&home, &["inspect", "oci:s3://bucket/none:1"]);
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
    assert!(missing.stderr.contains("there is no OCI layout"), "{}", missing.stderr);
    store.fault(S3Fault::status("PUT", "index.json", 403));
    let refused =
        at_home(&home, &["--debug", "copy", "oci:folder:1", "oci:s3://bucket/a:1"]).failure(1);
    assert!(
        fatal(&refused).contains("writing s3://bucket/a/index.json: 403"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("AWS_PROFILE"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(SECRET), "{}", refused.stderr);
    for (words, sentence) in [
        (&["copy", "oci:folder:1", "oci:s3://"][..], "names no bucket"),
        (&["copy", "oci:folder:1", "oci:az://account"], "names no container"),
        (
            &["copy", "--dest-shared-blob-dir=x", "oci:folder:1", "oci:s3://bucket/a:1"],
            "cannot be shared",
        ),
    ] {
        let run = at_home(&home, words).failure(1);
        assert!(run.stderr.contains(sentence), "{words:?}: {}", run.stderr);
    }
    // Where nobody says who asks, and there is no machine that could.
    let nobody = Home::new()
        .variable("AWS_ENDPOINT_URL", &store.endpoint())
        .variable("AWS_EC2_METADATA_DISABLED", "true");
    let run = at_home(&nobody, &["inspect", "oci:s3://bucket/a:1"]).failure(1);
    assert!(run.stderr.contains("there are no credentials"), "{}", run.stderr);
}

/// A server that ends with this value.
struct Server {
    child: Child,
    host: String,
}

impl Server {
    fn start(home: &Home, words: &[&str]) -> Self {
        let mut command = home.command(env!("CARGO_BIN_EXE_skopeo"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log=none"]).args(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let host = line.trim_end().rsplit("://").next().unwrap().to_owned();
        home.insecure(&[&host]);
        Self { child, host }
    }

    fn docker(&self, image: &str) -> String {
        format!("docker://{}/{image}", self.host)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_bucket_is_served_without_a_disk() {
    for (store, scheme) in [(S3::start(), "s3"), (S3::google(), "gs")] {
        takes_and_gives(&home(&store), &format!("{scheme}://bucket/mirror"));
        assert!(store.keys().iter().all(|key| !key.contains(".uploads")), "{:?}", store.keys());
        assert_eq!(store.uploads(), 0);
    }
}

#[test]
fn a_bucket_of_moto_is_served() {
    match Cloud::moto() {
        Ok(cloud) => takes_and_gives(&home_of(&cloud), &format!("{}/mirror", cloud.bucket)),
        Err(why) => skip!("{why}"),
    }
}

#[test]
fn a_container_of_azurite_is_served() {
    match Cloud::azurite() {
        Ok(cloud) => takes_and_gives(&home_of(&cloud), &format!("{}/mirror", cloud.bucket)),
        Err(why) => cannot!("{why}"),
    }
}

fn home_of(cloud: &Cloud) -> Home {
    let home = Home::new();
    cloud.environment.iter().fold(home, |home, (name, value)| home.variable(name, value))
}

/// What is pushed can be pulled from another server over the bucket, by `oci:`, and the reverse; by
/// the original, too.
fn takes_and_gives(home: &Home, place: &str) {
    let missing = at_home(home, &["serve", "--listen", "127.0.0.1:0", place]);
    assert_eq!(missing.code, Some(1), "{}", missing.stderr);
    assert!(missing.stderr.contains("there is no OCI layout"), "{}", missing.stderr);
    assert!(missing.stderr.contains("hint: use --create"), "{}", missing.stderr);
    let one = Server::start(home, &["--create", place]);
    let two = Server::start(home, &["--read-only", place]);
    let registry = Registry::start();
    home.insecure(&[&registry.host(), &one.host, &two.host]);
    let list = Image::platforms(1, 2);
    list.push(&registry, "team/app:1");
    // Larger than what is sent in one part.
    let large = Image::builder(2).layer_size(9_000_000).layers(1).build();
    large.push(&registry, "large:1");
    let raw = |name: &str| at_home(home, &["inspect", "--raw", name]).success().stdout;
    at_home(home, &["copy", "--all", &registry.docker("team/app:1"), &one.docker("team/app:1")])
        .success();
    at_home(home, &["copy", &registry.docker("large:1"), &one.docker("large:1")]).success();
    assert_eq!(raw(&two.docker("team/app:1")).as_bytes(), list.manifest().bytes);
    assert_eq!(raw(&format!("oci:{place}:team/app:1")).as_bytes(), list.manifest().bytes);
    at_home(home, &["copy", &two.docker("large:1"), "dir:large"]).success();
    let name = format!("oci:{place}:by/oci:1");
    at_home(home, &["copy", "dir:large", &name]).success();
    assert_eq!(raw(&two.docker("by/oci:1")).as_bytes(), large.manifest().bytes);
    let refused = at_home(home, &["copy", "dir:large", &two.docker("x:1")]).failure(1);
    assert!(refused.stderr.contains("read-only"), "{}", refused.stderr);
    if let Some(original) = original() {
        let insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        for (from, to) in [
            (registry.docker("large:1"), one.docker("original:1")),
            (two.docker("original:1"), "dir:from-original".to_owned()),
        ] {
            let words: Vec<&str> =
                ["copy"].into_iter().chain(insecure).chain([from.as_str(), to.as_str()]).collect();
            run(home, &original, &words).success();
        }
        assert_eq!(raw(&two.docker("original:1")).as_bytes(), large.manifest().bytes);
    }
    at_home(home, &["delete", &one.docker("team/app:1")]).success();
    assert!(at_home(home, &["inspect", &two.docker("team/app:1")]).code != Some(0));
    let tags = at_home(home, &["list-tags", &format!("oci:{place}")]).success().json();
    let tags = tags["Tags"].as_array().unwrap();
    assert!(tags.iter().all(|tag| tag != "team/app:1"), "{tags:?}");
}
