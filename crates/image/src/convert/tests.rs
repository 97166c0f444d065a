//! Vectors: images made by hand, and what skopeo 1.9.3 made of them with `copy --format` into a
//! `dir:`. Two things have changed since in the original: a variant comes behind the features in
//! an OCI config, and Go writes `\b` and `\f` short.

use super::*;
use crate::manifest::{Manifest, jws};
use crate::{Algorithm, ImageIndex, Layer, Platform};

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!("testdata/", $name)).as_slice()
    };
}

const CONFIG: &[u8] = data!("config.json");

const DIFF_IDS: [&str; 2] = [
    "sha256:b7cb7daa8e4c3dfef66bcdc021f3f4335bdb2fb729949100b70e720c86c5059c",
    "sha256:c134da85c433125ffe673e063111ac80d1f38e4f43b350fd759053921c394656",
];

fn image(bytes: &[u8]) -> ImageManifest {
    match raw(bytes).parse().unwrap() {
        Manifest::Image(image) => image,
        Manifest::Index(_) => panic!("a list"),
    }
}

fn list(bytes: &[u8]) -> ImageIndex {
    match raw(bytes).parse().unwrap() {
        Manifest::Index(list) => list,
        Manifest::Image(_) => panic!("an image"),
    }
}

fn raw(bytes: &[u8]) -> RawManifest {
    RawManifest::new(None, Bytes::copy_from_slice(bytes))
}

/// Edits as of a destination that stored everything as it was.
fn unchanged(image: &ImageManifest) -> Vec<LayerEdit> {
    let mut diff_ids = DIFF_IDS.iter();
    image
        .layers()
        .into_iter()
        .map(|layer| LayerEdit {
            digest: layer.blob.digest,
            size: layer.blob.size.unwrap_or(94),
            compression: CompressionEdit::Keep,
            encryption: EncryptionEdit::Keep,
            diff_id: diff_ids.next().map(|id| id.parse().unwrap()),
            annotations: None,
            urls: layer.blob.urls,
        })
        .collect()
}

fn edit(to: MediaType, layers: Option<Vec<LayerEdit>>) -> Edit {
    Edit { to, layers, embedded_name: None }
}

#[track_caller]
fn assert_text(got: &[u8], expected: &[u8]) {
    assert_eq!(String::from_utf8_lossy(got), String::from_utf8_lossy(expected));
}

#[test]
fn oci_becomes_docker_and_the_config_stays() {
    let oci = image(data!("oci.json"));
    for layers in [None, Some(unchanged(&oci))] {
        let got = convert(&oci, None, &edit(MediaType::DOCKER_MANIFEST, layers)).unwrap();
        assert_text(&got.manifest.bytes, data!("oci-to-docker.json"));
        assert_eq!(got.manifest.media_type, MediaType::DOCKER_MANIFEST);
        assert_eq!(got.config, None);
    }
}

#[test]
fn docker_becomes_oci_with_a_config_of_its_own() {
    let docker = image(data!("docker.json"));
    let got = convert(&docker, Some(CONFIG), &edit(MediaType::OCI_MANIFEST, None)).unwrap();
    let (digest, config) = got.config.unwrap();
    let before = std::str::from_utf8(data!("docker-to-oci.config.json")).unwrap();
    let now = before
        .replace(r#""variant":"v7","#, "")
        .replace(r#""os.features":["x"],"#, r#""os.features":["x"],"variant":"v7","#)
        .replace(r"\u0008\u000c", r"\b\f");
    assert_text(&config, now.as_bytes());
    let manifest = std::str::from_utf8(data!("docker-to-oci.json")).unwrap();
    let manifest = manifest
        .replace(Digest::sha256(before.as_bytes()).as_str(), digest.as_str())
        .replace(&format!("\"size\":{}", before.len()), &format!("\"size\":{}", now.len()));
    assert_text(&got.manifest.bytes, manifest.as_bytes());
}

#[test]
fn schema1_becomes_docker_and_oci() {
    for (from, to, manifest, config) in [
        (
            data!("schema1.json"),
            MediaType::DOCKER_MANIFEST,
            data!("schema1-to-docker.json"),
            data!("schema1-to-docker.config.json"),
        ),
        (
            data!("schema1-docker-1.6.json"), // before 1.8.3 the config lacked fields
            MediaType::DOCKER_MANIFEST,
            data!("schema1-docker-1.6-to-docker.json"),
            data!("schema1-docker-1.6-to-docker.config.json"),
        ),
        (
            data!("schema1-docker-1.6.json"),
            MediaType::OCI_MANIFEST,
            data!("schema1-docker-1.6-to-oci.json"),
            data!("schema1-docker-1.6-to-oci.config.json"),
        ),
    ] {
        let schema1 = image(from);
        let layers = Some(unchanged(&schema1));
        let got = convert(&schema1, None, &edit(to.clone(), layers)).unwrap();
        assert_text(&got.config.unwrap().1, config);
        assert_text(&got.manifest.bytes, manifest);
        assert_eq!(got.manifest.media_type, to);
        assert!(matches!(convert(&schema1, None, &edit(to, None)), Err(ConvertError::NoLayers)));
    }
}

#[test]
fn everything_becomes_schema1() {
    let empty: Digest =
        "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4".parse().unwrap();
    for (from, expected, blobs) in [
        (data!("docker.json"), data!("docker-to-schema1.json"), 1),
        (data!("oci.json"), data!("oci-to-schema1.json"), 1),
        (data!("schema1.json"), data!("schema1-to-schema1.json"), 0),
    ] {
        let from = image(from);
        for layers in [None, Some(unchanged(&from))] {
            let edit = edit(MediaType::DOCKER_SCHEMA1_SIGNED, layers);
            let got = convert(&from, Some(CONFIG), &edit).unwrap();
            let payload = jws::payload(&got.manifest.bytes).unwrap();
            assert_text(&payload, &jws::payload(expected).unwrap());
            assert_eq!(got.manifest.digest().unwrap(), raw(expected).digest().unwrap());
            assert_eq!(got.blobs.len(), blobs);
            for (digest, bytes) in &got.blobs {
                assert_eq!(*digest, empty);
                assert_eq!(Digest::sha256(bytes), empty);
            }
        }
    }
}

#[test]
fn schema1_takes_the_name_of_its_destination() {
    let schema1 = image(data!("schema1.json"));
    let name = Reference::parse_normalized("quay.io/a/b:c").unwrap();
    assert!(schema1.embedded_name_conflicts(&name));
    let mut edit = edit(MediaType::DOCKER_SCHEMA1, None);
    edit.embedded_name = Some(name.clone());
    let got = image(&convert(&schema1, None, &edit).unwrap().manifest.bytes);
    assert!(!got.embedded_name_conflicts(&name));
}

#[test]
fn layers_say_how_they_are_packed() {
    use Compression::{Bzip2, Gzip, Uncompressed, Xz, Zstd, ZstdChunked};
    let digest = DIFF_IDS[0];
    let packed = |compression| {
        let oci = image(data!("oci.json"));
        let docker = image(data!("docker.json"));
        let schema1 = image(data!("schema1.json"));
        [
            (oci, MediaType::OCI_MANIFEST),
            (docker, MediaType::DOCKER_MANIFEST),
            (schema1, MediaType::DOCKER_SCHEMA1),
        ]
        .map(|(from, to)| {
            let mut layers = unchanged(&from);
            layers[0].compression = CompressionEdit::To(compression);
            layers[0].digest = digest.parse().unwrap();
            match convert(&from, None, &edit(to, Some(layers))) {
                Ok(got) => image(&got.manifest.bytes).layers()[0].blob.media_type.to_string(),
                Err(error) => {
                    assert!(error.is_compression_incompatible());
                    let source = std::error::Error::source(&error).unwrap();
                    format!("{error}: {source}")
                }
            }
        })
    };
    let prefix = format!("preparing updated manifest, layer \"{digest}\": ");
    let gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    for compression in [Zstd, ZstdChunked] {
        let got = packed(compression);
        assert_eq!(got[0], MediaType::OCI_LAYER_ZSTD.as_str());
        for got in &got[1..] {
            let expected = format!("{prefix}zstd compression is not supported for type {gzip:?}");
            assert_eq!(*got, expected);
        }
    }
    assert_eq!(packed(Gzip), [MediaType::OCI_LAYER_GZIP.as_str(), gzip, ""]);
    assert_eq!(
        packed(Uncompressed),
        [MediaType::OCI_LAYER.as_str(), MediaType::DOCKER_LAYER.as_str(), ""]
    );
    for (compression, name) in [(Bzip2, "bzip2"), (Xz, "Xz")] {
        let expected =
            format!("{prefix}unknown compressed with algorithm {name} variant for type {gzip:?}");
        assert_eq!(packed(compression)[1], expected);
    }
}

#[test]
fn zstd_becomes_docker_only_where_it_was_repacked() {
    let oci = std::str::from_utf8(data!("oci.json")).unwrap().replace("tar+gzip", "tar+zstd");
    let oci = image(oci.as_bytes());
    let to = MediaType::DOCKER_MANIFEST;
    let kept = convert(&oci, None, &edit(to.clone(), Some(unchanged(&oci)))).unwrap_err();
    assert_eq!(
        kept.to_string(),
        "Error during manifest conversion: \"application/vnd.oci.image.layer.v1.tar+zstd\": zstd \
         compression is not officially supported for docker images"
    );
    let mut layers = unchanged(&oci);
    layers[0].compression = CompressionEdit::To(Compression::Gzip);
    let got = convert(&oci, None, &edit(to, Some(layers))).unwrap();
    assert_text(&got.manifest.bytes, data!("oci-to-docker.json"));
}

#[test]
fn foreign_layers_stay_foreign() {
    let foreign = std::str::from_utf8(data!("oci.json"))
        .unwrap()
        .replace("layer.v1", "layer.nondistributable.v1");
    let foreign = image(foreign.as_bytes());
    assert!(foreign.layers().iter().all(Layer::is_foreign));
    let mut layers = unchanged(&foreign);
    layers[0].urls = vec!["https://x/".to_owned()];
    let got = convert(&foreign, None, &edit(MediaType::DOCKER_MANIFEST, Some(layers))).unwrap();
    let got = image(&got.manifest.bytes);
    assert_eq!(got.layers()[0].blob.media_type, MediaType::DOCKER_FOREIGN_LAYER_GZIP);
    assert_eq!(got.layers()[0].blob.urls, ["https://x/"]);
    assert_eq!(got.layers()[1].blob.media_type, MediaType::DOCKER_FOREIGN_LAYER);
}

#[test]
fn edits_of_oci_layers_keep_what_is_not_the_layers() {
    let oci = image(data!("oci.json"));
    let mut layers = unchanged(&oci);
    layers[0].annotations = Some([("n".to_owned(), "1".to_owned())].into());
    let got = convert(&oci, None, &edit(MediaType::OCI_MANIFEST, Some(layers))).unwrap();
    let got = image(&got.manifest.bytes);
    assert_eq!(got.annotations(), oci.annotations());
    assert_eq!(got.config(), oci.config());
    assert_eq!(got.layers()[0].blob.annotations.len(), 1);
    assert_eq!(got.layers()[1], oci.layers()[1]);
}

#[test]
fn refuses_what_cannot_be() {
    let oci = image(data!("oci.json"));
    let docker = image(data!("docker.json"));
    let text = |result: Result<Converted, ConvertError>| result.unwrap_err().to_string();
    let to = |media_type| edit(media_type, None);
    assert_eq!(
        text(convert(&oci, None, &to(MediaType::OCI_INDEX))),
        "Unsupported conversion type: application/vnd.oci.image.index.v1+json"
    );
    assert_eq!(
        text(convert(&oci, None, &edit(MediaType::OCI_MANIFEST, Some(Vec::new())))),
        "Error preparing updated manifest: layer count changed from 2 to 0"
    );
    assert_eq!(
        text(convert(&docker, Some(b"{}"), &to(MediaType::DOCKER_SCHEMA1))),
        "Cannot convert an image with 0 history entries to \
         application/vnd.docker.distribution.manifest.v1+prettyjws"
    );
    assert_eq!(
        text(convert(&docker, Some(br#"{"history":[{},{},{}]}"#), &to(MediaType::DOCKER_SCHEMA1))),
        "Invalid image configuration, needs more than the 2 distributed layers"
    );
    assert!(matches!(
        convert(&docker, None, &to(MediaType::OCI_MANIFEST)),
        Err(ConvertError::NoConfig)
    ));
    let artifact = std::str::from_utf8(data!("oci.json"))
        .unwrap()
        .replace("image.config.v1+json", "empty.v1+json");
    let artifact = image(artifact.as_bytes());
    assert!(artifact.is_artifact());
    for media_type in [MediaType::DOCKER_MANIFEST, MediaType::DOCKER_SCHEMA1] {
        assert_eq!(
            text(convert(&artifact, None, &to(media_type))),
            "unsupported image-specific operation on artifact with type \
             \"application/vnd.oci.empty.v1+json\""
        );
    }
    for (old, new, expected) in [
        (
            "tar+gzip",
            "tar+gzip+encrypted",
            "during manifest conversion: encrypted layers \
             (\"application/vnd.oci.image.layer.v1.tar+gzip+encrypted\") are not supported in \
             docker images",
        ),
        (
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "x/y",
            "Unknown media type during manifest conversion: \"x/y\"",
        ),
    ] {
        let other = std::str::from_utf8(data!("oci.json")).unwrap().replace(old, new);
        let other = image(other.as_bytes());
        assert_eq!(text(convert(&other, None, &to(MediaType::DOCKER_MANIFEST))), expected);
    }
}

#[test]
fn lists_become_lists_of_the_other_kind() {
    let host = Platform::new("linux", "amd64", "");
    let update = |list: &mut ImageIndex, to: &[u8], old_type: &MediaType| {
        // What the original did with the instances, taken from its result.
        let after = self::list(to).instances();
        let edits: Vec<crate::InstanceEdit> = list
            .instances()
            .iter()
            .zip(&after)
            .map(|(before, after)| crate::InstanceEdit {
                old: before.descriptor.digest.clone(),
                digest: after.descriptor.digest.clone(),
                size: after.descriptor.size.unwrap(),
                media_type: after.descriptor.media_type.clone(),
                compressions: vec![Compression::Gzip],
            })
            .collect();
        assert!(list.instances().iter().all(|i| i.descriptor.media_type == *old_type));
        list.replace(&edits).unwrap();
    };
    let mut index = list(data!("index.json"));
    update(&mut index, data!("index-to-list.json"), &MediaType::OCI_MANIFEST);
    let docker = index.convert(&MediaType::DOCKER_LIST, &host).unwrap();
    assert_text(&docker.encode().bytes, data!("index-to-list.json"));
    assert_eq!(docker.encode().media_type, MediaType::DOCKER_LIST);

    let mut docker = list(data!("index-to-list.json"));
    update(&mut docker, data!("list-to-index.json"), &MediaType::DOCKER_MANIFEST);
    let index = docker.convert(&MediaType::OCI_INDEX, &host).unwrap();
    assert_text(&index.encode().bytes, data!("list-to-index.json"));
    assert!(index.convert(&MediaType::OCI_MANIFEST, &host).is_err());
}

#[test]
fn digests_of_what_the_original_signed() {
    let signed = raw(data!("schema1-to-schema1.json"));
    assert_eq!(signed.media_type, MediaType::DOCKER_SCHEMA1_SIGNED);
    let payload = jws::payload(&signed.bytes).unwrap();
    assert_eq!(signed.digest().unwrap(), Digest::sha256(&payload));
    assert_ne!(signed.digest().unwrap(), Digest::sha256(&signed.bytes));
    assert!(signed.has_digest(&Digest::of(Algorithm::Sha512, &payload)).unwrap());
    assert_eq!(jws::payload(&jws::sign(&payload).unwrap()).unwrap(), payload);
}
