//! What is said to the proxy, and what it says to that.

use std::os::fd::OwnedFd;
use std::time::Duration;

use serde_json::{Value, json};
use skopeo_testkit::proxy::{Client, read};
use skopeo_testkit::{Home, Image};

use super::{start, uninitialized};
use crate::stage::{SKOPEO, sentence, skopeo};

/// A home with an image in its folder `work/image`, and that image.
fn home() -> (Home, Image) {
    let (home, image) = (Home::new(), Image::new(1));
    image.write_oci(&home.path("work/image"), Some("v1"));
    (home, image)
}

fn descriptors_of(client: &Client) -> usize {
    fs_err::read_dir(format!("/proc/{}/fd", client.id())).unwrap().count()
}

#[test]
fn every_method_is_answered() {
    let (home, image) = home();
    let client = start(&home, &[]);
    let id = client.open("oci:image:v1");
    assert_eq!(id, 1);
    let (digest, manifest) = client.piped("GetManifest", json!([id]));
    assert_eq!(digest, image.digest().to_string());
    assert_eq!(manifest.ok().unwrap(), image.manifest().bytes);

    let (none, config) = client.piped("GetFullConfig", json!([id]));
    let config: Value = serde_json::from_slice(&config.ok().unwrap()).unwrap();
    let own: Value = serde_json::from_slice(image.config().unwrap()).unwrap();
    assert_eq!((none, &config), (Value::Null, &own));
    let (none, run) = client.piped("GetConfig", json!([id]));
    let run: Value = serde_json::from_slice(&run.ok().unwrap()).unwrap();
    assert_eq!((none, &run), (Value::Null, &own["config"]));

    let layers = client.call("GetLayerInfo", json!([id])).value();
    let (none, piped) = client.piped("GetLayerInfoPiped", json!([id]));
    let piped: Value = serde_json::from_slice(&piped.ok().unwrap()).unwrap();
    assert_eq!((none, &piped), (Value::Null, &layers));
    let manifest: Value = serde_json::from_slice(&image.manifest().bytes).unwrap();
    let told: Vec<Value> = manifest["layers"].as_array().unwrap().iter().map(|layer| {
        json!({"digest": layer["digest"], "size": layer["size"], "media_type": layer["mediaType"]})
    }).collect();
    assert_eq!(layers, json!(told));

    for (digest, bytes) in image.blobs() {
        let digest = digest.to_string();
        let (size, got) = client.piped("GetBlob", json!([id, digest, bytes.len()]));
        assert_eq!((size, got.ok().unwrap()), (json!(bytes.len()), bytes.to_vec()));
        let (size, got, errors) = client.raw_blob(&id, &digest);
        assert_eq!((size, got, errors), (json!(bytes.len()), bytes.to_vec(), Vec::new()));
    }
    assert_eq!(client.call("CloseImage", json!([id])).value(), Value::Null);
    assert_eq!(client.call("CloseImage", json!([id])).error(), ("other", "no image 1"));
    client.shut_down().success();
}

#[test]
fn a_wrong_request_is_an_error_and_no_end() {
    let (home, _) = home();
    let client = uninitialized(&home, SKOPEO, &[]);
    let digest = skopeo_image::Digest::sha256(b"").to_string();
    let huge = vec![b'['; 32 * 1024 + 1];
    let before = [
        (&b"{"[..], "invalid request: "),
        (b"\xff\xfe", "invalid request: "),
        (&huge, "invalid request: more than 32768 bytes"),
        (&huge[..32 * 1024], "invalid request: "),
        (br#"{"method":"GetTea"}"#, "unknown method: GetTea"),
        (br#"{"method":"OpenImage","args":["dir:x"]}"#, "client error: must invoke Initialize"),
        (br#"{"method":"OpenImage"}"#, "client error: must invoke Initialize"),
        (br#"{"method":"GetBlob","args":[1,2,3]}"#, "client error: must invoke Initialize"),
        (br#"{"method":"Initialize","args":[1]}"#, "invalid request, expecting zero arguments"),
        (br#"{"method":"FinishPipe","args":[3]}"#, "finishpipe: no active pipe 3"),
    ];
    for (packet, expected) in before {
        client.ask(packet);
        let answer = client.reply();
        let (code, error) = answer.error();
        assert!(code == "other" && error.starts_with(expected), "{error}");
    }
    client.call("Initialize", Value::Null).value();
    for (method, arguments, expected) in [
        ("Initialize", json!([]), "already initialized"),
        ("OpenImage", json!(["nonsense"]), "Invalid image name \"nonsense\""),
        ("OpenImage", json!(["oci:image:v2"]), ""),
        ("OpenImage", json!(["dir:missing"]), ""),
        ("OpenImageOptional", json!(["dir:missing"]), ""),
        ("OpenImage", json!([7]), "expecting string imageref, not float64"),
        ("OpenImage", json!([]), "invalid request, expecting one argument"),
        ("CloseImage", json!([1]), "no image 1"),
        ("CloseImage", json!([0]), "invalid imageid value of zero"),
        ("GetManifest", json!([1]), "no image 1"),
        ("GetManifest", json!(["1"]), "expecting numeric, not string"),
        ("GetFullConfig", json!([2]), "no image 2"),
        ("GetConfig", json!([]), "invalid request, expecting (imgid)"),
        ("GetBlob", json!([1, digest, 0]), "no image 1"),
        ("GetBlob", json!([1, "sha256:1", 0]), "invalid checksum digest length"),
        ("GetRawBlob", json!([1, digest]), "no image 1"),
        ("GetRawBlob", json!([1, digest, 0]), "invalid request, expecting (imgid, digest)"),
        ("GetLayerInfo", json!([1]), "no image 1"),
        ("GetLayerInfoPiped", json!([1]), "no image 1"),
        ("FinishPipe", json!([]), "invalid request, expecting (pipeid), found 0 arguments"),
        ("FinishPipe", json!([1]), "finishpipe: no active pipe 1"),
        ("FinishPipe", json!([-1]), "out of range integer for numeric -1"),
    ] {
        let answer = client.call(method, arguments.clone());
        let (code, error) = answer.error();
        assert!(code == "other" && error.starts_with(expected), "{method} {arguments}: {error}");
    }
    assert_eq!(client.open("oci:image:v1"), 1);
    client.shut_down().success();
}

/// What the flags and the configuration say wrongly is told to the client, which has no terminal.
#[test]
fn a_wrong_configuration_is_told_at_the_begin() {
    let (home, _) = home();
    let both = ["--creds", "a:b", "--no-creds"];
    let client = uninitialized(&home, SKOPEO, &both);
    let refused = client.call("Initialize", json!([]));
    assert_eq!(refused.error().1, "creds and no-creds cannot be specified at the same time");
    home.write("home/.config/containers/policy.json", "{}");
    let client = uninitialized(&home, SKOPEO, &[]);
    let refused = client.call("Initialize", json!([]));
    assert!(refused.error().1.starts_with("Error loading trust policy: "), "{}", refused.error().1);
    let refused = client.call("OpenImage", json!(["oci:image:v1"]));
    assert_eq!(refused.error().1, "client error: must invoke Initialize");
    client.hang_up().success();
}

#[test]
fn it_needs_a_socket_and_no_words() {
    let home = Home::new();
    let run = skopeo(&home, &["experimental-image-proxy"]);
    let expected = "file descriptor 0 is not a Unix socket of type SOCK_SEQPACKET";
    assert_eq!(sentence(&run), expected);
    let run = skopeo(&home, &["experimental-image-proxy", "--sockfd", "77"]);
    assert!(sentence(&run).starts_with("using file descriptor 77 as a socket"), "{run}");
    let run = skopeo(&home, &["experimental-image-proxy", "docker://x"]);
    assert_eq!(sentence(&run), "accepts 0 arg(s), received 1");
}

#[test]
fn the_socket_may_be_another_descriptor() {
    let (home, _) = home();
    let mut command = home.command("/bin/sh");
    let line = "exec \"$0\" experimental-image-proxy --sockfd 3 3<&0 </dev/null";
    command.args(["-c", line, SKOPEO]);
    let client = Client::of(command);
    assert_eq!(client.call("Initialize", json!([])).value(), "0.2.8");
    assert_eq!(client.open("oci:image:v1"), 1);
    client.shut_down().success();
}

/// `--debug` is for stderr, and the protocol is not disturbed by it.
#[test]
fn debug_goes_to_stderr() {
    let (home, _) = home();
    let client = start(&home, &["--debug"]);
    client.open("oci:image:v1");
    let run = client.shut_down().success();
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("OpenImage"), "{run}");
}

/// Nothing is left of what was asked for and given back.
#[test]
fn descriptors_are_given_back() {
    let (home, image) = home();
    let client = start(&home, &[]);
    let ask_all = || {
        let id = client.open("oci:image:v1");
        client.piped("GetManifest", json!([id])).1.ok().unwrap();
        client.piped("GetFullConfig", json!([id])).1.ok().unwrap();
        for (digest, bytes) in image.blobs() {
            let digest = digest.to_string();
            client.piped("GetBlob", json!([id, digest, bytes.len()])).1.ok().unwrap();
            client.raw_blob(&id, &digest);
        }
        client.call("CloseImage", json!([id])).value();
    };
    ask_all();
    let before = descriptors_of(&client);
    (0..20).for_each(|_| ask_all());
    // The worker of a raw blob closes its ends a moment after the last byte.
    let begun = std::time::Instant::now();
    while descriptors_of(&client) > before && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(descriptors_of(&client), before);
    client.shut_down().success();
}

/// Descriptors that a client sends are none of ours.
#[test]
fn descriptors_from_the_client_are_closed() {
    let (home, _) = home();
    let client = start(&home, &[]);
    let before = descriptors_of(&client);
    let (reader, writer) = std::io::pipe().unwrap();
    let (reader, writer): (OwnedFd, OwnedFd) = (reader.into(), writer.into());
    client.ask_with(br#"{"method":"FinishPipe","args":[1]}"#, &writer);
    drop(writer);
    assert_eq!(client.reply().error().1, "finishpipe: no active pipe 1");
    assert_eq!(descriptors_of(&client), before);
    assert_eq!(read(reader), b"");
    client.shut_down().success();
}

#[test]
fn a_reply_that_is_too_large_is_an_error() {
    let home = Home::new();
    let mut layers = Image::builder(5).layers(0).layer_size(100);
    for seed in 0..300 {
        layers = layers.layer_of(seed, skopeo_image::Compression::Gzip);
    }
    let image = layers.build();
    image.write_oci(&home.path("work/image"), Some("v1"));
    let client = start(&home, &[]);
    let id = client.open("oci:image:v1");
    let refused = client.call("GetLayerInfo", json!([id]));
    assert_eq!(refused.error(), ("other", "the reply has more than 32768 bytes"));
    let (_, piped) = client.piped("GetLayerInfoPiped", json!([id]));
    let piped: Value = serde_json::from_slice(&piped.ok().unwrap()).unwrap();
    assert_eq!(piped.as_array().unwrap().len(), 300);
    client.shut_down().success();
}
