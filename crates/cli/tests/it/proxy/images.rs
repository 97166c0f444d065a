//! Which images can be opened, and what of them is given out.

use serde_json::{Value, json};
use skopeo_image::{Compression, Digest};
use skopeo_testkit::image::Format;
use skopeo_testkit::proxy::Client;
use skopeo_testkit::registry::On;
use skopeo_testkit::{Fault, Home, Image, Registry};

use super::start;
use crate::stage::{home, skopeo};

fn json_of(bytes: Result<Vec<u8>, skopeo_testkit::proxy::Answer>) -> Value {
    serde_json::from_slice(&bytes.ok().unwrap()).unwrap()
}

/// Everything of the image that is open is there, and what it should be: the manifest that others
/// read, the config that it names, each layer.
#[track_caller]
fn read_all(client: &Client, id: &Value) -> (String, Value) {
    let (digest, manifest) = client.piped("GetManifest", json!([id]));
    let manifest = manifest.ok().unwrap();
    let text: Value = serde_json::from_slice(&manifest).unwrap();
    let (_, config) = client.piped("GetFullConfig", json!([id]));
    config.ok().unwrap();
    let layers = client.call("GetLayerInfo", json!([id])).value();
    for blob in layers.as_array().unwrap().iter().chain([&text["config"]]) {
        let (digest, size) = (&blob["digest"], &blob["size"]);
        let (announced, bytes) = client.piped("GetBlob", json!([id, digest, size]));
        let bytes = bytes.unwrap_or_else(|answer| panic!("{digest}: {}", answer.json));
        assert_eq!(Digest::sha256(&bytes).as_str(), digest.as_str().unwrap());
        assert_eq!(announced, json!(bytes.len()));
        let (announced, raw, errors) = client.raw_blob(id, digest.as_str().unwrap());
        assert_eq!((announced, raw, errors), (json!(bytes.len()), bytes, Vec::new()));
    }
    (digest.as_str().unwrap().to_owned(), text)
}

#[test]
fn images_of_every_transport_are_read() {
    let registry = Registry::start();
    let home = home(&[&registry.host()]);
    let image = Image::new(3);
    image.push(&registry, "lib/image:v1");
    let from = registry.docker("lib/image:v1");
    let by_digest = format!("{}@{}", registry.docker("lib/image"), image.digest());
    for to in
        ["dir:dir", "oci:layout:v1", "oci-archive:oci.tar:v1", "docker-archive:docker.tar:x:v1"]
    {
        skopeo(&home, &["copy", "-q", &from, to]).success();
    }
    home.write("work/file.tar", "");
    fs_err::write(home.path("work/file.tar"), skopeo_testkit::image::tar_of(1, 5000)).unwrap();
    let client = start(&home, &[]);
    let same = [&from[..], &by_digest, "dir:dir", "oci:layout:v1", "oci-archive:oci.tar:v1"];
    let (mut ids, mut manifests) = (Vec::new(), Vec::new());
    for name in same {
        let id = client.open(name);
        let (digest, manifest) = read_all(&client, &id);
        assert_eq!(digest, image.digest().to_string(), "{name}");
        manifests.push(manifest);
        ids.push(id);
    }
    assert!(manifests.windows(2).all(|pair| pair[0] == pair[1]));
    // All of them are open still, and each may be closed.
    for name in ["docker-archive:docker.tar", "tarball:file.tar"] {
        let id = client.open(name);
        read_all(&client, &id);
        ids.push(id);
    }
    for id in &ids {
        assert_eq!(client.call("CloseImage", json!([id])).value(), Value::Null);
        assert!(client.call("GetManifest", json!([id])).error().1.starts_with("no image"));
    }
    client.shut_down().success();
}

/// Clients need to know OCI only: the config that the converted manifest names is given out too.
#[test]
fn a_docker_image_is_told_as_oci() {
    let registry = Registry::start();
    let home = home(&[&registry.host()]);
    let image = Image::builder(4).layers(2).format(Format::Docker).build();
    image.push(&registry, "lib/image:v1");
    let client = start(&home, &[]);
    let id = client.open(&registry.docker("lib/image:v1"));
    let (digest, manifest) = read_all(&client, &id);
    assert_eq!(digest, image.digest().to_string());
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    let (_, config) = client.piped("GetFullConfig", json!([id]));
    let config = config.ok().unwrap();
    assert_eq!(manifest["config"]["digest"], Digest::sha256(&config).to_string());
    // The same that a copy makes of it.
    skopeo(&home, &["copy", "-q", "-f", "oci", &registry.docker("lib/image:v1"), "dir:copy"])
        .success();
    let copied: Value =
        serde_json::from_slice(&fs_err::read(home.path("work/copy/manifest.json")).unwrap())
            .unwrap();
    assert_eq!(manifest, copied);
    // The layers are told as the image itself names them.
    let layers = client.call("GetLayerInfo", json!([id])).value();
    assert_eq!(layers[0]["media_type"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    // It is given out also to who has not asked for the manifest.
    let again = client.open(&registry.docker("lib/image:v1"));
    let (_, same, _) = client.raw_blob(&again, manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(same, config);
    client.shut_down().success();
}

#[test]
fn schema_1_is_refused_where_it_would_have_to_be_converted() {
    let registry = Registry::start();
    let home = home(&[&registry.host()]);
    for (format, tag, kind) in
        [(Format::Schema1, "v1", "v1+json"), (Format::Schema1Signed, "v2", "v1+prettyjws")]
    {
        let image = Image::builder(4).layers(2).format(format).build();
        image.push(&registry, &format!("lib/image:{tag}"));
        let client = start(&home, &[]);
        let id = client.open(&registry.docker(&format!("lib/image:{tag}")));
        let refused = client.call("GetManifest", json!([id]));
        let expected = format!(
            "unsupported legacy manifest MIME type: application/vnd.docker.distribution.manifest.{kind}"
        );
        assert_eq!(refused.error(), ("other", &expected[..]));
        let config = json_of(client.piped("GetFullConfig", json!([id])).1);
        assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!("amd64")));
        let layers = client.call("GetLayerInfo", json!([id])).value();
        assert_eq!(layers.as_array().unwrap().len(), 2);
        assert_eq!((&layers[0]["size"], &layers[0]["media_type"]), (&json!(-1), &json!("")));
        client.shut_down().success();
    }
}

#[test]
fn of_a_list_the_instance_that_serves_is_open() {
    let registry = Registry::start();
    let home = home(&[&registry.host()]);
    let instance = |seed, architecture| {
        Image::builder(seed).layers(1).platform("linux", architecture, "").build()
    };
    let (amd64, arm64) = (instance(1, "amd64"), instance(2, "arm64"));
    Image::list(vec![amd64.clone(), arm64.clone()]).push(&registry, "lib/list:v1");
    Image::list(vec![Image::list(vec![arm64.clone()])]).push(&registry, "lib/nested:v1");
    for (flag, image) in [("amd64", &amd64), ("arm64", &arm64)] {
        let client = start(&home, &["--override-arch", flag, "--override-os", "linux"]);
        let id = client.open(&registry.docker("lib/list:v1"));
        assert_eq!(read_all(&client, &id).0, image.digest().to_string(), "{flag}");
        client.shut_down().success();
    }
    let client = start(&home, &["--override-arch", "arm64"]);
    let id = client.open(&registry.docker("lib/nested:v1"));
    assert_eq!(read_all(&client, &id).0, arm64.digest().to_string());
    client.shut_down().success();
    let client = start(&home, &["--override-arch", "s390x"]);
    let refused = client.call("OpenImage", json!([registry.docker("lib/list:v1")]));
    assert!(refused.error().1.contains("no image found"), "{}", refused.error().1);
    client.shut_down().success();
}

/// Zero means that there is no such image, and nothing else.
#[test]
fn an_optional_image_may_be_missing() {
    let registry = Registry::start();
    let home = home(&[&registry.host()]);
    let image = Image::new(1);
    image.push(&registry, "lib/image:v1");
    image.write_oci(&home.path("work/layout"), Some("v1"));
    skopeo(&home, &["copy", "-q", "oci:layout:v1", "oci-archive:a.tar:v1"]).success();
    let client = start(&home, &[]);
    for name in
        [registry.docker("lib/image:v1"), "oci:layout:v1".into(), "oci-archive:a.tar:v1".into()]
    {
        let id = client.call("OpenImageOptional", json!([name])).value();
        assert_ne!(id, 0, "{name}");
        read_all(&client, &id);
    }
    for name in
        [registry.docker("lib/image:v2"), "oci:layout:v2".into(), "oci-archive:a.tar:v2".into()]
    {
        assert_eq!(client.call("OpenImageOptional", json!([name])).value(), 0, "{name}");
        assert_eq!(client.call("OpenImage", json!([name])).error().0, "other", "{name}");
    }
    registry.fault(Fault::status(On::manifests().any_method(), 403));
    let refused = client.call("OpenImageOptional", json!([registry.docker("lib/image:v1")]));
    assert_eq!(refused.error().0, "other");
    registry.mend();
    registry.fault(Fault::status(On::manifests().any_method(), 503));
    let refused = client.call("OpenImageOptional", json!([registry.docker("lib/image:v1")]));
    assert_eq!(refused.error().0, "retryable");
    client.shut_down().success();
}

/// Layers of all compressions come as they are.
#[test]
fn nothing_is_unpacked() {
    let home = Home::new();
    let all = [Compression::Gzip, Compression::Zstd, Compression::Uncompressed];
    let image =
        all.into_iter().fold(Image::builder(9).layers(0), |it, kind| it.layer(kind)).build();
    image.write_dir(&home.path("work/image"));
    let client = start(&home, &[]);
    let id = client.open("dir:image");
    for layer in image.layers() {
        let (_, bytes, _) = client.raw_blob(&id, layer.digest.as_str());
        assert_eq!(bytes, image.blobs()[&layer.digest]);
    }
    client.shut_down().success();
}

/// Flags about registries are those of other commands.
#[test]
fn credentials_and_certificates_come_from_flags() {
    let registry = Registry::builder().tls().htpasswd("user", "word").start();
    let home = Home::new();
    fs_err::create_dir_all(home.path("work/certs")).unwrap();
    home.write("work/certs/ca.crt", registry.ca());
    let image = Image::new(1);
    image.push(&registry, "lib/image:v1");
    let name = registry.docker("lib/image:v1");
    for (flags, good) in [
        (&["--creds", "user:word", "--cert-dir", "certs"][..], true),
        (&["--username", "user", "--password", "word", "--tls-verify=false"], true),
        (&["--cert-dir", "certs"], false),
        (&["--creds", "user:word"], false),
        (&["--creds", "user:wrong", "--cert-dir", "certs"], false),
    ] {
        let client = start(&home, flags);
        let answer = client.call("OpenImage", json!([name]));
        assert_eq!(answer.json["success"], good, "{flags:?}: {}", answer.json);
        assert!(!answer.json.to_string().contains("wrong"), "{}", answer.json);
        client.shut_down().success();
    }
}

/// Of an image of a store what was in the layers is given out, and that is what is told of them.
#[test]
fn images_of_stores_are_read() {
    if let Some(lack) = crate::storage::lacking(&[]) {
        skopeo_testkit::skip!("{lack}");
    }
    let place = crate::storage::Place::new("overlay");
    let image = Image::builder(12).layers(2).build();
    let layout = crate::storage::write(&place.home, &image, "a");
    place.skopeo(&["copy", &layout, "containers-storage:a"]).success();
    let client = start(&place.home, &[]);
    let id = client.open("containers-storage:a");
    let (digest, _) = read_all(&client, &id);
    assert_eq!(digest, image.digest().as_str());
    let layers = client.call("GetLayerInfo", json!([id])).value();
    let told: Vec<&str> =
        layers.as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap()).collect();
    let plain: Vec<&str> = image.layers().iter().map(|layer| layer.diff_id.as_str()).collect();
    assert_eq!(told, plain);
    let none = client.call("OpenImageOptional", json!(["containers-storage:none"])).value();
    assert_eq!(none, json!(0));
}
