//! What is left out of JSON that is written: the tags `omitempty` and `omitzero` of the Go structs
//! (image-spec of February 2026: `config.go`, `descriptor.go`, `manifest.go`, `index.go`; the
//! original's `docker_schema2.go`, `docker_schema2_list.go`), as a table.

use std::collections::BTreeMap;

use crate::manifest::oci::OciDescriptor;
use crate::manifest::{docker, oci};
use crate::{Descriptor, Digest, ImageConfig, MediaType, Platform, go_json};

fn text<T: serde::Serialize>(value: &T) -> String {
    String::from_utf8(go_json::to_vec(value).unwrap()).unwrap()
}

fn digest() -> Digest {
    format!("sha256:{}", "a".repeat(64)).parse().unwrap()
}

/// A config is read and written: `written` has what stays of it.
#[test]
fn of_configs() {
    const FRAME: &str = r#""architecture":"","os":"""#;
    const ROOTFS: &str = r#""rootfs":{"type":"","diff_ids":null}"#;
    for (read, before, between, behind) in [
        ("{}", "", "", ""),
        (r#"{"created":null,"author":"","history":null}"#, "", "", ""),
        (r#"{"created":"0001-01-01T00:00:00Z"}"#, r#""created":"0001-01-01T00:00:00Z","#, "", ""),
        (r#"{"author":"a"}"#, r#""author":"a","#, "", ""),
        (r#"{"os.version":"","os.features":[],"variant":""}"#, "", "", ""),
        (
            r#"{"variant":"v","os.features":["f"],"os.version":"1"}"#,
            "",
            r#","os.version":"1","os.features":["f"],"variant":"v""#,
            "",
        ),
        (r#"{"history":[]}"#, "", "", ""),
        (r#"{"history":[{}]}"#, "", "", r#","history":[{}]"#),
        (
            r#"{"history":[{"created":null,"created_by":"","author":"","comment":"","empty_layer":false}]}"#,
            "",
            "",
            r#","history":[{}]"#,
        ),
        (
            r#"{"history":[{"empty_layer":true,"comment":"c","author":"a","created_by":"b"}]}"#,
            "",
            "",
            r#","history":[{"created_by":"b","author":"a","comment":"c","empty_layer":true}]"#,
        ),
        // omitzero: nothing is said at all.
        (r#"{"config":null}"#, "", "", ""),
        (r#"{"config":{}}"#, "", "", ""),
        (r#"{"config":{"Env":null,"Cmd":null,"Labels":null,"Volumes":null}}"#, "", "", ""),
        (
            r#"{"config":{"User":"","WorkingDir":"","StopSignal":"","ArgsEscaped":false}}"#,
            "",
            "",
            "",
        ),
        (r#"{"config":{"Hostname":"h","Healthcheck":{"Test":["x"]},"OnBuild":["x"]}}"#, "", "", ""),
        // What is there and empty is something, and then omitempty leaves it out.
        (r#"{"config":{"Env":[]}}"#, "", r#","config":{}"#, ""),
        (r#"{"config":{"Cmd":[]}}"#, "", r#","config":{}"#, ""),
        (r#"{"config":{"Entrypoint":[]}}"#, "", r#","config":{}"#, ""),
        (r#"{"config":{"Labels":{}}}"#, "", r#","config":{}"#, ""),
        (r#"{"config":{"Volumes":{}}}"#, "", r#","config":{}"#, ""),
        (r#"{"config":{"ExposedPorts":{}}}"#, "", r#","config":{}"#, ""),
        (r#"{"CONFIG":{"env":[]}}"#, "", r#","config":{}"#, ""),
        (r#"{"config":{"Env":[]},"config":{}}"#, "", r#","config":{}"#, ""),
        (r#"{"config":{"Env":[]},"config":{"Env":null}}"#, "", "", ""),
        (
            r#"{"config":{"ArgsEscaped":true,"StopSignal":"s","Labels":{"l":""},"WorkingDir":"/",
                "Volumes":{"v":{}},"Cmd":["c"],"Entrypoint":["e"],"Env":["A="],
                "ExposedPorts":{"1/tcp":{}},"User":"u"}}"#,
            "",
            r#","config":{"User":"u","ExposedPorts":{"1/tcp":{}},"Env":["A="],"Entrypoint":["e"],"Cmd":["c"],"Volumes":{"v":{}},"WorkingDir":"/","Labels":{"l":""},"StopSignal":"s","ArgsEscaped":true}"#,
            "",
        ),
    ] {
        let config = ImageConfig::parse(read.as_bytes()).unwrap();
        assert_eq!(
            text(&config),
            format!("{{{before}{FRAME}{between},{ROOTFS}{behind}}}"),
            "{read}"
        );
    }
    for (read, rootfs) in [
        (r#"{"rootfs":null}"#, r#"{"type":"","diff_ids":null}"#),
        (r#"{"rootfs":{"type":"layers","diff_ids":[]}}"#, r#"{"type":"layers","diff_ids":[]}"#),
    ] {
        let config = ImageConfig::parse(read.as_bytes()).unwrap();
        assert_eq!(text(&config), format!(r#"{{{FRAME},"rootfs":{rootfs}}}"#), "{read}");
    }
}

#[test]
fn of_descriptors_and_manifests() {
    let (a, t) = (digest(), MediaType::OCI_MANIFEST);
    let bare = Descriptor::new(t.clone(), a.clone(), Some(0));
    let annotated = Descriptor {
        urls: vec!["u".into()],
        annotations: BTreeMap::from([("k".to_owned(), String::new())]),
        ..bare.clone()
    };
    let bare_text = format!(r#"{{"mediaType":"{t}","digest":"{a}","size":0}}"#);
    assert_eq!(text(&OciDescriptor::from(bare.clone())), bare_text);
    let full = OciDescriptor {
        data: "e30=".into(),
        platform: Some(Platform::default()),
        artifact_type: "a/t".into(),
        ..annotated.clone().into()
    };
    let full_text = format!(
        r#"{{"mediaType":"{t}","digest":"{a}","size":0,"urls":["u"],"annotations":{{"k":""}},"data":"e30=","platform":{{"architecture":"","os":""}},"artifactType":"a/t"}}"#
    );
    assert_eq!(text(&full), full_text);

    let own = |media_type: &MediaType| format!(r#""schemaVersion":2,"mediaType":"{media_type}""#);
    let manifest = oci::Manifest::new(bare.clone(), Vec::new());
    let expected = format!(r#"{{{},"config":{bare_text},"layers":[]}}"#, own(&t));
    assert_eq!(text(&manifest), expected);
    let manifest = oci::Manifest {
        media_type: MediaType::default(),
        artifact_type: "a/t".into(),
        config: None,
        subject: Some(Box::new(bare.clone().into())),
        annotations: annotated.annotations.clone(),
        ..manifest
    };
    let zero = r#"{"mediaType":"","digest":"","size":0}"#;
    let expected = format!(
        r#"{{"schemaVersion":2,"artifactType":"a/t","config":{zero},"layers":[],"subject":{bare_text},"annotations":{{"k":""}}}}"#
    );
    assert_eq!(text(&manifest), expected);

    let index = oci::Index::new(vec![full]);
    let expected = format!(r#"{{{},"manifests":[{full_text}]}}"#, own(&MediaType::OCI_INDEX));
    assert_eq!(text(&index), expected);
    let index = oci::Index {
        artifact_type: "a/t".into(),
        manifests: Vec::new(),
        subject: Some(Box::new(bare.clone().into())),
        annotations: annotated.annotations.clone(),
        ..index
    };
    let expected = format!(
        r#"{{{},"artifactType":"a/t","manifests":[],"subject":{bare_text},"annotations":{{"k":""}}}}"#,
        own(&MediaType::OCI_INDEX)
    );
    assert_eq!(text(&index), expected);

    // Docker's have another order, no annotations, and a platform that is always there.
    let own_docker = own(&MediaType::DOCKER_MANIFEST);
    let docker_bare = format!(r#"{{"mediaType":"{t}","size":0,"digest":"{a}"}}"#);
    let docker_full = format!(r#"{{"mediaType":"{t}","size":0,"digest":"{a}","urls":["u"]}}"#);
    let manifest = docker::Manifest::new(bare.clone(), vec![annotated]);
    let expected = format!(r#"{{{own_docker},"config":{docker_bare},"layers":[{docker_full}]}}"#);
    assert_eq!(text(&manifest), expected);
    let platform = Platform {
        os_version: "1".into(),
        os_features: vec!["f".into()],
        features: vec!["g".into()],
        ..Platform::new("o", "a", "v")
    };
    let entry = |platform| docker::ListEntry { manifest: bare.clone(), platform };
    let list = docker::List::new(vec![entry(Platform::default()), entry(platform)]);
    let head = docker_bare.strip_suffix('}').unwrap();
    let expected = format!(
        r#"{{{},"manifests":[{head},"platform":{{"architecture":"","os":""}}}},{head},"platform":{{"architecture":"a","os":"o","os.version":"1","os.features":["f"],"variant":"v","features":["g"]}}}}]}}"#,
        own(&MediaType::DOCKER_LIST)
    );
    assert_eq!(text(&list), expected);
}
