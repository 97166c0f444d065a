//! The matrix: plans as they print, for what is at the source, what the destination takes, and what
//! is asked.

mod indexes;

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use skopeo_blob::crypt::Keys;
use skopeo_image::{Compression, Digest, MediaType, Platform, RawManifest, Signature};
use skopeo_transport::{Accepts, ImageName, KeptSignatures, LayerForm};
use skopeo_trust::Policy;

use super::{Scope, Surroundings, Within, plan_image, plan_index};
use crate::error::sentence;
use crate::request::{
    CompressTo, Digests, Encryption, Format, Lists, OtherFormats, Others, Request,
};

const OCI: MediaType = MediaType::OCI_MANIFEST;
const INDEX: MediaType = MediaType::OCI_INDEX;
const S2: MediaType = MediaType::DOCKER_MANIFEST;
const S1: MediaType = MediaType::DOCKER_SCHEMA1_SIGNED;
const S1U: MediaType = MediaType::DOCKER_SCHEMA1;
const LIST: MediaType = MediaType::DOCKER_LIST;

/// A registry, as far as a plan sees it.
fn registry() -> Accepts {
    Accepts {
        manifests: vec![OCI, INDEX, S2, LIST, S1, S1U],
        layers: LayerForm::Compressed,
        signatures: KeptSignatures::All,
        foreign_layers: true,
        embedded_name: Some("registry.example/to/x:1".to_owned()),
        digest: None,
        concurrency: NonZeroUsize::MIN,
    }
}

/// A folder that takes anything as it is.
fn folder() -> Accepts {
    Accepts {
        manifests: Vec::new(),
        layers: LayerForm::AsIs,
        embedded_name: None,
        foreign_layers: false,
        ..registry()
    }
}

/// An OCI layout.
fn layout() -> Accepts {
    Accepts {
        manifests: vec![OCI, INDEX],
        embedded_name: None,
        signatures: KeptSignatures::Bundles("Pushing signatures for OCI images is not supported"),
        ..registry()
    }
}

fn request() -> Request {
    Request::new(Platform::new("linux", "amd64", ""))
}

fn compress(format: Compression, others: OtherFormats) -> Request {
    Request { compression: Some(CompressTo { format, level: None, others }), ..request() }
}

fn descriptor(media_type: &MediaType, seed: &str, more: &str) -> String {
    let digest = Digest::sha256(seed.as_bytes());
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":7{more}}}"#)
}

fn image(manifest: MediaType, config: &MediaType, layers: &[MediaType]) -> RawManifest {
    let layers: Vec<String> =
        layers.iter().enumerate().map(|(at, it)| descriptor(it, &at.to_string(), "")).collect();
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"{manifest}","config":{},"layers":[{}]}}"#,
        descriptor(config, "config", ""),
        layers.join(",")
    );
    RawManifest::new(Some(manifest), bytes.into())
}

fn oci(layers: &[MediaType]) -> RawManifest {
    image(OCI, &MediaType::OCI_CONFIG, layers)
}

fn docker(layers: &[MediaType]) -> RawManifest {
    image(S2, &MediaType::DOCKER_CONFIG, layers)
}

fn schema1() -> RawManifest {
    let digest = Digest::sha256(b"0");
    let id = Digest::sha256(b"id").hex().to_owned();
    let bytes = format!(
        r#"{{"schemaVersion":1,"name":"from/x","tag":"1","architecture":"amd64",
        "fsLayers":[{{"blobSum":"{digest}"}}],"history":[{{"v1Compatibility":"{{\"id\":\"{id}\"}}"}}]}}"#
    );
    RawManifest::new(Some(S1U), bytes.into())
}

fn index(media_type: MediaType, instance: &MediaType) -> RawManifest {
    let platform =
        |architecture| format!(r#","platform":{{"architecture":"{architecture}","os":"linux"}}"#);
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{},{}]}}"#,
        descriptor(instance, "amd64", &platform("amd64")),
        descriptor(instance, "arm64", &platform("arm64")),
    );
    RawManifest::new(Some(media_type), bytes.into())
}

/// The plan, or the sentence of the error.
fn plan(manifest: &RawManifest, signatures: usize, accepts: &Accepts, request: &Request) -> String {
    let destination = ImageName::parse("oci:/:to").unwrap();
    let around = Surroundings {
        top: manifest,
        destination: &destination,
        accepts,
        request,
        has_referrers: false,
        layers: None,
    };
    let signatures = vec![Signature::Simple(Bytes::new()); signatures];
    let planned = if manifest.media_type.is_index() {
        plan_index(manifest, &signatures, Scope::Top, &Within::default(), around)
            .map(|plan| plan.to_string())
    } else {
        let scope = destination.policy_scope();
        let admitted = Policy::insecure().admit(&scope, manifest.clone(), &[]).unwrap();
        plan_image(&admitted, &signatures, around).map(|plan| plan.to_string())
    };
    // Shorter to read: all types begin with the same words.
    planned
        .unwrap_or_else(|error| sentence(&error))
        .replace("application/vnd.oci.image.", "oci ")
        .replace("application/vnd.docker.", "docker ")
}

/// The same for each of several requests, each after its name.
fn plans(manifest: &RawManifest, accepts: &Accepts, requests: &[(&str, Request)]) -> String {
    let mut out = String::new();
    for (name, request) in requests {
        let _ = writeln!(out, "# {name}\n{}", plan(manifest, 0, accepts, request).trim_end());
    }
    out
}

#[test]
fn nothing_asked() {
    let layers = [MediaType::OCI_LAYER_GZIP, MediaType::OCI_LAYER, MediaType::OCI_LAYER_ZSTD];
    insta::assert_snapshot!(plan(&oci(&layers), 0, &registry(), &request()), @r#"
    image oci manifest.v1+json
      first keep oci manifest.v1+json
      then convert to docker distribution.manifest.v2+json
      then convert to docker distribution.manifest.v1+prettyjws
      then convert to docker distribution.manifest.v1+json
      config b79606fb oci config.v1+json
      layer 0 5feceb66 oci layer.v1.tar+gzip: packed, gzip if it is not
      layer 1 6b86b273 oci layer.v1.tar: packed, gzip if it is not
      layer 2 d4735e3a oci layer.v1.tar+zstd: packed, gzip if it is not
    "#);
    insta::assert_snapshot!(plan(&oci(&layers), 0, &folder(), &request()), @r#"
    image oci manifest.v1+json
      first keep oci manifest.v1+json
      then convert to docker distribution.manifest.v2+json
      then convert to docker distribution.manifest.v1+prettyjws
      then convert to docker distribution.manifest.v1+json
      config b79606fb oci config.v1+json
      layer 0 5feceb66 oci layer.v1.tar+gzip: as it is packed
      layer 1 6b86b273 oci layer.v1.tar: as it is packed
      layer 2 d4735e3a oci layer.v1.tar+zstd: as it is packed
    "#);
    let layers = [MediaType::DOCKER_LAYER_GZIP];
    insta::assert_snapshot!(plan(&docker(&layers), 0, &registry(), &request()), @r#"
    image docker distribution.manifest.v2+json
      first keep docker distribution.manifest.v2+json
      then convert to docker distribution.manifest.v1+prettyjws
      then convert to oci manifest.v1+json
      then convert to docker distribution.manifest.v1+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar.gzip: packed, gzip if it is not
    "#);
    insta::assert_snapshot!(plan(&docker(&layers), 0, &layout(), &request()), @r#"
    image docker distribution.manifest.v2+json
      first convert to oci manifest.v1+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar.gzip: packed, gzip if it is not
    "#);
}

#[test]
fn formats() {
    let manifest = oci(&[MediaType::OCI_LAYER_GZIP]);
    let of = |format| Request { format: Some(format), ..request() };
    let requests = [
        ("oci", of(Format::Oci)),
        ("v2s2", of(Format::DockerSchema2)),
        ("v2s1", of(Format::DockerSchema1)),
    ];
    insta::assert_snapshot!(plans(&manifest, &registry(), &requests), @r#"
    # oci
    image oci manifest.v1+json
      first keep oci manifest.v1+json
      config b79606fb oci config.v1+json
      layer 0 5feceb66 oci layer.v1.tar+gzip: packed, gzip if it is not
    # v2s2
    image oci manifest.v1+json
      first convert to docker distribution.manifest.v2+json
      config b79606fb oci config.v1+json
      layer 0 5feceb66 oci layer.v1.tar+gzip: packed, gzip if it is not
    # v2s1
    image oci manifest.v1+json
      first convert to docker distribution.manifest.v1+prettyjws
      config b79606fb oci config.v1+json
      layer 0 5feceb66 oci layer.v1.tar+gzip: packed, gzip if it is not
    "#);
}

#[test]
fn compressions() {
    let layers = [MediaType::DOCKER_LAYER_GZIP, MediaType::DOCKER_LAYER];
    let requests = [
        ("gzip", compress(Compression::Gzip, OtherFormats::Reuse)),
        ("gzip, forced", compress(Compression::Gzip, OtherFormats::Refuse)),
        ("zstd", compress(Compression::Zstd, OtherFormats::Reuse)),
        ("zstd:chunked", compress(Compression::ZstdChunked, OtherFormats::Reuse)),
        ("bzip2", compress(Compression::Bzip2, OtherFormats::Reuse)),
    ];
    insta::assert_snapshot!(plans(&docker(&layers), &registry(), &requests), @r#"
    # gzip
    image docker distribution.manifest.v2+json
      first keep docker distribution.manifest.v2+json
      then convert to docker distribution.manifest.v1+prettyjws
      then convert to oci manifest.v1+json
      then convert to docker distribution.manifest.v1+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar.gzip: packed as gzip
      layer 1 6b86b273 docker image.rootfs.diff.tar: packed as gzip
    # gzip, forced
    image docker distribution.manifest.v2+json
      first keep docker distribution.manifest.v2+json
      then convert to docker distribution.manifest.v1+prettyjws
      then convert to oci manifest.v1+json
      then convert to docker distribution.manifest.v1+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar.gzip: packed as gzip
      layer 1 6b86b273 docker image.rootfs.diff.tar: packed as gzip
      reuse only gzip
    # zstd
    image docker distribution.manifest.v2+json
      first convert to oci manifest.v1+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar.gzip: packed as zstd
      layer 1 6b86b273 docker image.rootfs.diff.tar: packed as zstd
    # zstd:chunked
    image docker distribution.manifest.v2+json
      first convert to oci manifest.v1+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar.gzip: packed as zstd:chunked
      layer 1 6b86b273 docker image.rootfs.diff.tar: packed as zstd:chunked
    # bzip2
    compression using bzip2 required but the destination only supports MIME types [oci manifest.v1+json, oci index.v1+json, docker distribution.manifest.v2+json, docker distribution.manifest.list.v2+json, docker distribution.manifest.v1+prettyjws, docker distribution.manifest.v1+json], none of which support it
    "#);
    // Who wants layers as they are does not have them packed.
    insta::assert_snapshot!(plans(&docker(&layers), &folder(), &requests[..1]), @r#"
    # gzip
    image docker distribution.manifest.v2+json
      first keep docker distribution.manifest.v2+json
      then convert to docker distribution.manifest.v1+prettyjws
      then convert to oci manifest.v1+json
      then convert to docker distribution.manifest.v1+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar.gzip: as it is packed
      layer 1 6b86b273 docker image.rootfs.diff.tar: as it is packed
    "#);
    let plain = Accepts { layers: LayerForm::Uncompressed, ..folder() };
    insta::assert_snapshot!(plan(&docker(&layers), 0, &plain, &request()), @r#"
    image docker distribution.manifest.v2+json
      first keep docker distribution.manifest.v2+json
      then convert to docker distribution.manifest.v1+prettyjws
      then convert to oci manifest.v1+json
      then convert to docker distribution.manifest.v1+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar.gzip: plain
      layer 1 6b86b273 docker image.rootfs.diff.tar: plain
    "#);
}

#[test]
fn frozen() {
    let manifest = docker(&[MediaType::DOCKER_LAYER]);
    let preserve = Request { digests: Digests::Preserve, ..request() };
    let by_digest = Accepts { digest: Some(manifest.digest().unwrap()), ..registry() };
    insta::assert_snapshot!(plan(&manifest, 1, &registry(), &request()), @r#"
    image docker distribution.manifest.v2+json
      frozen: Would invalidate signatures
      first keep docker distribution.manifest.v2+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar: byte for byte
    "#);
    insta::assert_snapshot!(plan(&manifest, 1, &by_digest, &preserve), @r#"
    image docker distribution.manifest.v2+json
      frozen: Instructed to preserve digests
      first keep docker distribution.manifest.v2+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar: byte for byte
    "#);
    insta::assert_snapshot!(plan(&manifest, 0, &by_digest, &request()), @r#"
    image docker distribution.manifest.v2+json
      frozen: Destination specifies a digest
      first keep docker distribution.manifest.v2+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar: byte for byte
    "#);
    insta::assert_snapshot!(plan(&manifest, 0, &layout(), &preserve), @r#"
    image docker distribution.manifest.v2+json
      frozen: Instructed to preserve digests
      first keep docker distribution.manifest.v2+json
      config b79606fb docker container.image.v1+json
      layer 0 5feceb66 docker image.rootfs.diff.tar: byte for byte
    "#);
    insta::assert_snapshot!(plan(&manifest, 1, &layout(), &request()), @r#"Can not copy signatures to oci:/:to: Pushing signatures for OCI images is not supported"#);
    let other = Accepts { digest: Some(Digest::sha256(b"")), ..registry() };
    insta::assert_snapshot!(plan(&manifest, 0, &other, &request()), @r#"Digest of source image's manifest would not match destination reference"#);
}

#[test]
fn schema_1() {
    insta::assert_snapshot!(plan(&schema1(), 0, &registry(), &request()), @r#"
    image docker distribution.manifest.v1+json
      first convert to docker distribution.manifest.v1+json
      then convert to docker distribution.manifest.v2+json
      then convert to docker distribution.manifest.v1+prettyjws
      then convert to oci manifest.v1+json
      embed registry.example/to/x:1
      layer 0 5feceb66 : packed, gzip if it is not
    "#);
    insta::assert_snapshot!(plan(&schema1(), 0, &folder(), &request()), @r#"
    image docker distribution.manifest.v1+json
      first keep docker distribution.manifest.v1+json
      then convert to docker distribution.manifest.v2+json
      then convert to docker distribution.manifest.v1+prettyjws
      then convert to oci manifest.v1+json
      layer 0 5feceb66 : as it is packed
    "#);
    insta::assert_snapshot!(plan(&schema1(), 0, &layout(), &request()), @r#"
    image docker distribution.manifest.v1+json
      first convert to oci manifest.v1+json
      layer 0 5feceb66 : packed, gzip if it is not
      hash what is in the layers
    "#);
    insta::assert_snapshot!(plan(&schema1(), 1, &registry(), &request()), @r#"Copying a schema1 image with an embedded Docker reference to oci:/:to (Docker reference registry.example/to/x:1) would change the manifest, which we cannot do: "Would invalidate signatures""#);
}

#[test]
fn what_is_no_image_is_left_alone() {
    let artifact = image(OCI, &MediaType::OCI_EMPTY, &[MediaType::OCI_LAYER, "x/y".into()]);
    insta::assert_snapshot!(plan(&artifact, 0, &registry(), &request()), @r#"
    image oci manifest.v1+json
      first keep oci manifest.v1+json
      then convert to docker distribution.manifest.v2+json
      then convert to docker distribution.manifest.v1+prettyjws
      then convert to docker distribution.manifest.v1+json
      config b79606fb application/vnd.oci.empty.v1+json
      layer 0 5feceb66 oci layer.v1.tar: byte for byte
      layer 1 6b86b273 x/y: byte for byte
    "#);
    let strange = oci(&["application/x".into(), MediaType::OCI_LAYER]);
    insta::assert_snapshot!(plan(&strange, 0, &registry(), &request()), @r#"
    image oci manifest.v1+json
      first keep oci manifest.v1+json
      then convert to docker distribution.manifest.v2+json
      then convert to docker distribution.manifest.v1+prettyjws
      then convert to docker distribution.manifest.v1+json
      config b79606fb oci config.v1+json
      layer 0 5feceb66 application/x: byte for byte
      layer 1 6b86b273 oci layer.v1.tar: packed, gzip if it is not
    "#);
}
