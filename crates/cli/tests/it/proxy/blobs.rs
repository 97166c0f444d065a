//! Blobs that come wrong, slowly, again, or many at once.

use std::time::Duration;

use serde_json::{Value, json};
use skopeo_image::{Compression, Digest};
use skopeo_testkit::proxy::read;
use skopeo_testkit::registry::On;
use skopeo_testkit::{Fault, Home, Image, Registry};

use super::start;
use crate::stage::home;

const MIB: u64 = 1 << 20;

fn stage(layers: usize, size: usize) -> (Registry, Home, Image) {
    let registry = Registry::start();
    let home = home(&[&registry.host()]);
    let image = Image::builder(1).layers(layers).layer_size(size).build();
    image.push(&registry, "lib/image:v1");
    (registry, home, image)
}

/// The ranges that were asked for of a blob.
fn ranges(registry: &Registry, digest: &Digest) -> Vec<String> {
    let asked = registry.requests();
    let of_blob = asked.iter().filter(|it| it.method == "GET" && it.target.contains(digest.hex()));
    of_blob.map(|seen| seen.header("range").to_owned()).collect()
}

#[test]
fn what_is_wrong_is_told_at_the_end() {
    let (registry, home, image) = stage(2, 3_000_000);
    let client = start(&home, &[]);
    let id = client.open(&registry.docker("lib/image:v1"));
    let [layer, other] = image.layers() else { panic!("two layers") };
    let (digest, size) = (layer.digest.to_string(), layer.bytes.len());

    let (_, whole) = client.piped("GetBlob", json!([id, digest, size - 1]));
    let answer = whole.unwrap_err();
    let expected = format!("expected {} bytes, got {size}", size - 1);
    assert_eq!(answer.error(), ("other", &expected[..]));
    let (_, whole) = client.piped("GetBlob", json!([id, digest, size + 1]));
    assert_eq!(whole.unwrap_err().error().0, "other");

    registry.fault(Fault::corrupt(On::blobs().containing(layer.digest.hex())).after(1000));
    let (announced, whole) = client.piped("GetBlob", json!([id, digest, size]));
    let answer = whole.unwrap_err();
    assert_eq!(announced, json!(size));
    let (code, error) = answer.error();
    assert_eq!(code, "other");
    assert!(
        error.starts_with(&format!("Digest did not match, expected {digest}, got ")),
        "{error}"
    );
    // Nobody looks at what the client looks at itself.
    let (_, bytes, errors) = client.raw_blob(&id, &digest);
    assert_eq!((bytes.len(), errors), (size, Vec::new()));
    assert_ne!(Digest::sha256(&bytes), layer.digest);
    registry.mend();

    let missing = Digest::sha256(b"missing").to_string();
    for (method, arguments) in
        [("GetBlob", json!([id, missing, 5])), ("GetRawBlob", json!([id, missing]))]
    {
        let refused = client.call(method, arguments);
        assert_eq!(refused.error().0, "other", "{method}");
    }
    let (_, whole) =
        client.piped("GetBlob", json!([id, other.digest.to_string(), other.bytes.len()]));
    assert_eq!(whole.ok().unwrap(), other.bytes);
    client.shut_down().success();
}

#[test]
fn a_blob_goes_on_where_the_line_broke() {
    let (registry, home, image) = stage(1, 8_000_000);
    let layer = &image.layers()[0];
    let (digest, size) = (layer.digest.to_string(), layer.bytes.len());
    assert!(size as u64 > 4 * MIB);
    let client = start(&home, &[]);
    let id = client.open(&registry.docker("lib/image:v1"));
    for raw in [false, true] {
        registry.fault(Fault::cut(On::blobs()).after(3 * MIB).times(1));
        registry.forget_requests();
        let bytes = if raw {
            let (_, bytes, errors) = client.raw_blob(&id, &digest);
            assert_eq!(errors, b"");
            bytes
        } else {
            client.piped("GetBlob", json!([id, digest, size])).1.ok().unwrap()
        };
        assert_eq!(bytes, layer.bytes);
        let range = format!("bytes={}-{}", 3 * MIB, size - 1);
        assert_eq!(ranges(&registry, &layer.digest), ["", &range]);
        registry.mend();
    }
    client.shut_down().success();
}

#[test]
fn a_registry_that_dies_in_the_middle_is_worth_another_try() {
    let (registry, home, image) = stage(1, 8_000_000);
    let layer = &image.layers()[0];
    let (digest, size) = (layer.digest.to_string(), layer.bytes.len());
    let client = start(&home, &[]);
    let id = client.open(&registry.docker("lib/image:v1"));
    let mut registry = registry;
    registry.fault(Fault::stall(On::blobs()).after(3 * MIB));
    let answer = client.call("GetBlob", json!([id, digest, size]));
    let raw = client.call("GetRawBlob", json!([id, digest]));
    registry.stop();
    let mut answer = answer;
    let reader = answer.pipe();
    let failed = client.finish(answer.number(), reader).unwrap_err();
    assert_eq!(failed.error().0, "retryable", "{}", failed.json);
    let [data, errors]: [_; 2] = raw.descriptors.try_into().unwrap();
    assert!(read(data).len() < size);
    let error: Value = serde_json::from_slice(&read(errors)).unwrap();
    assert_eq!(error["code"], "retryable", "{error}");
    assert!(error["message"].as_str().unwrap().contains("reading blob"), "{error}");
    let refused = client.call("OpenImage", json!([registry.docker("lib/image:v1")]));
    assert_eq!(refused.error().0, "retryable", "{}", refused.json);
    // It is the same proxy still.
    registry.restart();
    registry.mend();
    let id = client.open(&registry.docker("lib/image:v1"));
    let bytes = client.piped("GetBlob", json!([id, digest, size])).1.ok().unwrap();
    assert_eq!(bytes, layer.bytes);
    client.shut_down().success();
}

/// Over HTTP/2 all blobs of a registry share a connection, and what nobody reads fills it.
#[test]
fn blobs_that_nobody_reads_let_go_of_their_connection() {
    let registry = Registry::builder().tls().start();
    let home = Home::new();
    home.certificate(&registry.host(), "ca.crt", registry.ca());
    let unread = Image::builder(1).layers(6).layer_size(8_000_000).build();
    unread.push(&registry, "lib/unread:v1");
    let other = Image::builder(2).layers(1).layer_size(4_000_000).build();
    other.push(&registry, "lib/other:v1");
    let client = start(&home, &[]);
    let id = client.open(&registry.docker("lib/unread:v1"));
    let begin = |layer: &skopeo_testkit::image::Layer| {
        client.call("GetBlob", json!([id, layer.digest.to_string(), layer.bytes.len()]))
    };
    let begun: Vec<_> = unread.layers().iter().map(begin).collect();
    let other_id = client.open(&registry.docker("lib/other:v1"));
    for (digest, bytes) in other.blobs() {
        let arguments = json!([other_id, digest.to_string(), bytes.len()]);
        assert_eq!(client.piped("GetBlob", arguments).1.ok().unwrap(), bytes);
    }
    // Whoever reads them later than their blob_retry lasts gets all of it.
    std::thread::sleep(Duration::from_secs(6));
    let mut by_range = 0;
    for (mut answer, layer) in begun.into_iter().zip(unread.layers()) {
        let reader = answer.pipe();
        let bytes = client.finish(answer.number(), reader).ok().unwrap();
        assert_eq!(Digest::sha256(&bytes), layer.digest);
        by_range += usize::from(ranges(&registry, &layer.digest).len() > 1);
    }
    assert!(by_range > 0);
    client.shut_down().success();
}

/// Half a gigabyte goes through it in little memory: two blobs at a time, verified.
#[test]
fn memory_does_not_grow_with_blobs() {
    const LAYER: usize = 125_000_000;
    let registry = Registry::start();
    let home = home(&[&registry.host()]);
    let image = Image::builder(7).layer_size(LAYER).layer(Compression::Uncompressed).build();
    image.push(&registry, "lib/image:v1");
    let client = start(&home, &[]);
    let id = client.open(&registry.docker("lib/image:v1"));
    let layer = &image.layers()[0];
    for _ in 0..2 {
        let arguments = json!([id, layer.digest.to_string(), layer.bytes.len()]);
        let answers = [0, 1].map(|_| client.call("GetBlob", arguments.clone()));
        let reading = answers.map(|mut answer| {
            let mut reader = std::fs::File::from(answer.pipe());
            let read = move || std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
            (answer.number(), std::thread::spawn(read))
        });
        for (number, reading) in reading {
            client.call("FinishPipe", json!([number])).value();
            assert_eq!(reading.join().unwrap(), layer.bytes.len() as u64);
        }
    }
    // The pages of the program itself are another matter: here it is built to be debugged.
    let status = fs_err::read_to_string(format!("/proc/{}/status", client.id())).unwrap();
    let kib = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let own = kib("VmHWM:") - kib("RssFile:");
    assert!(own <= 12 * 1024, "{own} KiB");
    client.shut_down().success();
}
