//! The installed original beside ours: what both have is the same.

use serde_json::{Value, json};
use skopeo_testkit::image::Format;
use skopeo_testkit::proxy::Client;
use skopeo_testkit::{Home, Image, Registry, run, skip};

use super::{start, uninitialized};
use crate::stage::{SKOPEO, home};

/// What a client sees of an image through the methods that every version has.
#[derive(Debug, PartialEq)]
struct Seen {
    id: Value,
    digest: Value,
    manifest: Value,
    full_config: Vec<u8>,
    config: Vec<u8>,
    blobs: Vec<(Value, Vec<u8>)>,
    closed: Value,
}

fn seen(client: &Client, name: &str, image: &Image) -> Seen {
    let id = client.open(name);
    let (digest, manifest) = client.piped("GetManifest", json!([id]));
    let manifest = serde_json::from_slice(&manifest.ok().unwrap()).unwrap();
    let full_config = client.piped("GetFullConfig", json!([id])).1.ok().unwrap();
    let config = client.piped("GetConfig", json!([id])).1.ok().unwrap();
    let layers = image.layers().iter();
    let blobs = layers.map(|layer| {
        let arguments = json!([id, layer.digest.to_string(), layer.bytes.len()]);
        let (size, bytes) = client.piped("GetBlob", arguments);
        (size, bytes.ok().unwrap())
    });
    let blobs = blobs.collect();
    let closed = client.call("CloseImage", json!([id])).value();
    Seen { id, digest, manifest, full_config, config, blobs, closed }
}

#[test]
fn both_give_out_the_same() {
    let Some(original) = run::original() else { skip!("the original is not installed") };
    let registry = Registry::start();
    let home = home(&[&registry.host()]);
    let theirs = uninitialized(&home, original, &["--insecure-policy"]);
    theirs.call("Initialize", json!([])).json["value"].as_str().unwrap();
    let ours = start(&home, &["--insecure-policy"]);
    for (seed, format) in [(1, Format::Oci), (2, Format::Docker)] {
        let image = Image::builder(seed).layers(2).format(format).label("a", "<b>").build();
        image.push(&registry, &format!("lib/image:{seed}"));
        let folder = home.path(format!("work/{seed}"));
        // 1.9.3 finds no Docker manifest in a layout.
        let local = match format {
            Format::Oci => {
                image.write_oci(&folder, Some("v1"));
                format!("oci:{seed}:v1")
            }
            _ => {
                image.write_dir(&folder);
                format!("dir:{seed}")
            }
        };
        for name in [registry.docker(&format!("lib/image:{seed}")), local] {
            assert_eq!(seen(&ours, &name, &image), seen(&theirs, &name, &image), "{name}");
        }
    }
    ours.shut_down().success();
    theirs.shut_down().success();
}

#[test]
fn both_refuse_the_same() {
    let Some(original) = run::original() else { skip!("the original is not installed") };
    let home = Home::new();
    let image = Image::new(1);
    image.write_dir(&home.path("work/image"));
    let theirs = uninitialized(&home, original, &["--insecure-policy"]);
    let ours = uninitialized(&home, SKOPEO, &["--insecure-policy"]);
    let refused = |method: &str, arguments: Value| {
        let [theirs, ours] = [&theirs, &ours].map(|it| it.call(method, arguments.clone()).json);
        for answer in [&theirs, &ours] {
            assert_eq!(answer["success"], false, "{method} {arguments}: {answer}");
            assert_eq!((&answer["value"], &answer["pipeid"]), (&Value::Null, &json!(0)));
        }
        (theirs["error"].as_str().unwrap().to_owned(), ours["error"].as_str().unwrap().to_owned())
    };
    let same = |method: &str, arguments: Value| {
        let (theirs, ours) = refused(method, arguments);
        assert_eq!(theirs, ours, "{method}");
    };
    same("GetManifest", json!([1]));
    same("GetTea", json!([]));
    for client in [&theirs, &ours] {
        client.call("Initialize", json!([])).json["value"].as_str().unwrap();
    }
    same("Initialize", json!([]));
    same("GetManifest", json!([7]));
    // Not in its words: 1.9.3 looks at its table before it looks at the number.
    refused("CloseImage", json!([0]));
    same("OpenImage", json!([7]));
    same("FinishPipe", json!([4242]));
    refused("OpenImage", json!([]));
    refused("GetManifest", json!(["7"]));
    refused("OpenImage", json!(["nonsense"]));
    refused("GetBlob", json!([]));
    refused("GetManifest", json!([-1]));
    // A blob that is not what it should be is found out at the end, by both.
    let layer = &image.layers()[0];
    let hex = layer.digest.hex();
    let mut bytes = layer.bytes.to_vec();
    bytes[10] ^= 1;
    fs_err::write(home.path("work/image").join(hex), bytes).unwrap();
    for client in [&theirs, &ours] {
        let id = client.open("dir:image");
        let size = layer.bytes.len();
        let (_, blob) = client.piped("GetBlob", json!([id, layer.digest.to_string(), size]));
        blob.unwrap_err();
    }
    ours.hang_up().success();
    theirs.hang_up().success();
}
