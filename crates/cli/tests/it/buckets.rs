//! Images in object stores, as the commands have them: at a store of the test's own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use skopeo_testkit::s3::SECRET;
use skopeo_testkit::{Home, Image, Registry, S3, S3Fault};

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
        (&["serve", "--create", "s3://bucket/a"], "served read-only"),
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
struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_bucket_is_served_without_a_disk() {
    let store = S3::start();
    let home = home(&store);
    let image = Image::new(1);
    image.write_oci(&home.path("work/folder"), Some("1"));
    at_home(&home, &["copy", "oci:folder:1", "oci:s3://bucket/mirror:team/app:1"]).success();
    let mut command = home.command(env!("CARGO_BIN_EXE_skopeo"));
    command.args(["serve", "--listen", "127.0.0.1:0", "s3://bucket/mirror"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let server = Server(child, line.trim_end().rsplit("://").next().unwrap().to_owned());
    home.insecure(&[&server.1]);
    let name = format!("docker://{}/team/app:1", server.1);
    at_home(&home, &["copy", &name, "dir:to"]).success();
    let copied = fs_err::read(home.path("work/to/manifest.json")).unwrap();
    assert_eq!(copied, image.manifest().bytes);
    let pushed = at_home(&home, &["copy", "dir:to", &format!("docker://{}/x:1", server.1)]);
    assert_eq!(pushed.code, Some(1), "{}", pushed.stderr);
}
