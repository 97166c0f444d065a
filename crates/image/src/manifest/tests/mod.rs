mod random;
mod sizes;

use proptest::prelude::*;

use super::*;

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const ID1: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const ID2: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn raw(text: &str) -> RawManifest {
    RawManifest::new(None, Bytes::copy_from_slice(text.as_bytes()))
}

fn oci(more: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{A}","size":2}},"layers":[{{"mediaType":"x/y","digest":"{B}","size":3}}]{more}}}"#
    )
}

fn docker(media_type: &str, layer: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{{"digest":"{A}"}},"layers":[{{"mediaType":"{layer}","digest":"{B}"}}]}}"#
    )
}

fn schema1(history: &[&str]) -> String {
    let layers = vec![format!(r#"{{"blobSum":"{A}"}}"#); history.len()].join(",");
    let history: Vec<String> = history
        .iter()
        .map(|entry| format!(r#"{{"v1Compatibility":{}}}"#, serde_json::to_string(entry).unwrap()))
        .collect();
    let history = history.join(",");
    format!(
        r#"{{"schemaVersion":1,"name":"n","tag":"t","architecture":"a","fsLayers":[{layers}],"history":[{history}]}}"#
    )
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

#[test]
fn guesses_what_the_original_guesses() {
    let docker_manifest = MediaType::DOCKER_MANIFEST;
    for (text, expected) in [
        (oci(""), Some(MediaType::OCI_MANIFEST)),
        (docker(docker_manifest.as_str(), ""), Some(docker_manifest.clone())),
        (r#"{"MEDIAtype":"application/vnd.oci.image.index.v1+json"}"#.into(), Some(MediaType::OCI_INDEX)),
        (r#"{"schemaVersion":1}"#.into(), Some(MediaType::DOCKER_SCHEMA1)),
        (r#"{"schemaVersion":1,"signatures":null}"#.into(), Some(MediaType::DOCKER_SCHEMA1)),
        (r#"{"schemaVersion":1,"signatures":[]}"#.into(), Some(MediaType::DOCKER_SCHEMA1_SIGNED)),
        (r#"{"schemaVersion":2}"#.into(), Some(MediaType::OCI_MANIFEST)),
        (r#"{"schemaVersion":2,"manifests":[]}"#.into(), Some(MediaType::OCI_MANIFEST)),
        (r#"{"schemaVersion":2,"manifests":[{}]}"#.into(), Some(MediaType::OCI_INDEX)),
        (
            r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.docker.container.image.v1+json"}}"#.into(),
            Some(docker_manifest),
        ),
        (r#"{"schemaVersion":2,"config":{"mediaType":"a/b"}}"#.into(), Some(MediaType::OCI_MANIFEST)),
        (r#"{"schemaVersion":2,"config":{"mediaType":"a/b"},"manifests":[{}]}"#.into(), None),
        (r#"{"schemaVersion":3}"#.into(), None),
        (r#"{"schemaVersion":"2"}"#.into(), None),
        (r#"{"schemaVersion":2.0}"#.into(), None),
        ("{}".into(), None),
        ("[]".into(), None),
        ("not JSON".into(), None),
        (String::new(), None),
    ] {
        assert_eq!(guess(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn a_known_declared_type_counts_and_others_are_guessed() {
    let bytes = Bytes::from(oci(""));
    for (declared, expected) in [
        (None, MediaType::OCI_MANIFEST),
        (Some("text/plain; charset=utf-8"), MediaType::OCI_MANIFEST),
        (Some("application/json"), MediaType::OCI_MANIFEST),
        (Some("application/vnd.docker.distribution.manifest.v2+json"), MediaType::DOCKER_MANIFEST),
        (
            Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
            MediaType::OCI_MANIFEST,
        ),
    ] {
        let got = RawManifest::new(declared.map(MediaType::from), bytes.clone());
        assert_eq!(got.media_type, expected, "{declared:?}");
    }
    let unknown = RawManifest::new(Some("a/b".into()), Bytes::from_static(b"{}"));
    assert_eq!(
        unknown.parse().unwrap_err().to_string(),
        "Unimplemented manifest MIME type \"a/b\""
    );
    for (text, said) in [
        ("{", "unexpected end of JSON input"),
        ("", "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{}", "unsupported schema version 0"),
    ] {
        let nameless = RawManifest::new(None, Bytes::from_static(text.as_bytes()));
        let error = nameless.parse().unwrap_err();
        let why = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string);
        assert_eq!(why, said, "{text:?}");
    }
}

#[test]
fn reads_images() {
    let Ok(Manifest::Image(image)) = raw(&oci(r#","annotations":{"k":"v"}"#)).parse() else {
        panic!("no image")
    };
    assert_eq!(image.config().unwrap().digest.as_str(), A);
    assert_eq!(image.layers()[0].blob.size, Some(3));
    assert_eq!(image.annotations().unwrap()["k"], "v");
    assert!(!image.is_artifact());

    let artifact = format!(
        r#"{{"schemaVersion":2,"artifactType":"a/b","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{A}","size":2,"data":"e30="}},"layers":[],"subject":{{"mediaType":"m/n","digest":"{B}","size":5}}}}"#
    );
    let Ok(Manifest::Image(ImageManifest::Oci(view))) = raw(&artifact).parse() else {
        panic!("no image")
    };
    assert_eq!(
        view.require_image().unwrap_err().to_string(),
        "unsupported image-specific operation on artifact with type \"a/b\""
    );
    let encoded = String::from_utf8(crate::go_json::to_vec(&view).unwrap()).unwrap();
    assert_eq!(encoded, artifact);
    let image = ImageManifest::Oci(view);
    assert!(image.is_artifact());
    assert_eq!(image.subject().unwrap().digest.as_str(), B);

    // An artifact need not have a config at all.
    let bare = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;
    let Ok(Manifest::Image(image)) = raw(bare).parse() else { panic!("no image") };
    assert!(image.is_artifact() && image.config().is_none() && image.layers().is_empty());

    let mixed = oci("").replace("oci.image.config", "docker.container.image");
    let Ok(Manifest::Image(ImageManifest::Oci(view))) =
        RawManifest::new(Some(MediaType::OCI_MANIFEST), mixed.into()).parse()
    else {
        panic!("no image")
    };
    assert_eq!(
        view.require_image().unwrap_err().to_string(),
        "invalid mixed OCI image with Docker v2s2 config \
         (\"application/vnd.docker.container.image.v1+json\")"
    );
}

#[test]
fn refuses_manifests_that_could_be_two_things() {
    let list = MediaType::DOCKER_LIST;
    for (text, fields, media_type) in [
        (
            oci(r#","manifests":[]"#),
            "[\"manifests\"]",
            "application/vnd.oci.image.manifest.v1+json",
        ),
        (
            oci(r#","MANIFESTS":{}"#),
            "[\"manifests\"]",
            "application/vnd.oci.image.manifest.v1+json",
        ),
        (
            oci(r#","fsLayers":0,"history":0"#),
            "[\"fsLayers\", \"history\"]",
            "application/vnd.oci.image.manifest.v1+json",
        ),
        (
            format!(r#"{{"mediaType":"{list}","manifests":[],"layers":[]}}"#),
            "[\"layers\"]",
            list.as_str(),
        ),
        (
            r#"{"mediaType":"application/vnd.oci.image.index.v1+json","config":{}}"#.into(),
            "[\"config\"]",
            "application/vnd.oci.image.index.v1+json",
        ),
        (
            schema1(&[&format!(r#"{{"id":"{ID1}"}}"#)]).replace(r#""tag""#, r#""layers":[],"tag""#),
            "[\"layers\"]",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
        ),
    ] {
        assert_eq!(
            raw(&text).parse().unwrap_err().to_string(),
            format!(
                "rejecting ambiguous manifest, unexpected fields {fields} in supposedly {media_type}"
            ),
            "{text}"
        );
    }
    assert!(raw(&oci(r#","manifests":null"#)).parse().is_ok());
}

#[test]
fn refuses_what_is_no_manifest() {
    let docker_type = MediaType::DOCKER_MANIFEST;
    for (media_type, text, expected) in [
        (&MediaType::OCI_MANIFEST, "", "unexpected end of JSON input"),
        (&MediaType::OCI_MANIFEST, "[]", "instead of an object"),
        (&MediaType::OCI_MANIFEST, r#"{"layers":{}}"#, "invalid type"),
        (&MediaType::OCI_MANIFEST, r#"{"layers":[{}]}"#, "a layer or instance has no digest"),
        (&MediaType::OCI_MANIFEST, r#"{"layers":[{"digest":"x"}]}"#, "invalid checksum digest"),
        (&MediaType::OCI_INDEX, r#"{"manifests":[{"size":9223372036854775808}]}"#, "invalid value"),
        (&docker_type, &docker("a/b", ""), "unsupported docker v2s2 media type: \"a/b\""),
        (
            &docker_type,
            &docker(docker_type.as_str(), "a/b"),
            "unsupported docker v2s2 media type: \"a/b\"",
        ),
        (&MediaType::DOCKER_SCHEMA1, r#"{"schemaVersion":2}"#, "unsupported schema version 2"),
        (&MediaType::DOCKER_SCHEMA1, &schema1(&[]), "no FSLayers in manifest"),
        (
            &MediaType::DOCKER_SCHEMA1,
            &schema1(&["["]),
            "parsing v2s1 history entry 0: unexpected end of JSON",
        ),
        (
            &MediaType::DOCKER_SCHEMA1,
            &schema1(&["{}"]).replace(r#""history":["#, r#""history":[{},"#),
            "length of history not equal to number of layers",
        ),
    ] {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let error = RawManifest { media_type: media_type.clone(), bytes }.parse().unwrap_err();
        let error = chain(&error);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn schema1_histories_have_to_hang_together() {
    let entry = |id: &str, parent: &str| format!(r#"{{"id":"{id}","parent":"{parent}"}}"#);
    let (base, above) = (entry(ID1, ""), entry(ID2, ID1));
    for (history, expected) in [
        (vec![&above, &base], Ok(2)),
        (vec![&above, &above, &base, &base], Ok(2)), // repeated: the older ones stay
        (vec![&base, &above], Err("Invalid parent ID in the base layer of the image".to_owned())),
        (vec![&base, &above, &base], Err(format!("ID {ID1} appears multiple times in manifest"))),
        (
            vec![&entry(ID2, "x"), &base],
            Err(format!("Invalid parent ID. Expected {ID1}, got \"x\"")),
        ),
        (vec![&entry("x", "")], Err("image ID \"x\" is invalid".to_owned())),
    ] {
        let history: Vec<&str> = history.iter().map(|entry| entry.as_str()).collect();
        let got = schema1::Manifest::parse(schema1(&history).as_bytes());
        let got = got.map(|manifest| manifest.layers().len()).map_err(|error| error.to_string());
        assert_eq!(got, expected, "{history:?}");
    }
}

#[test]
fn only_what_is_signed_counts() {
    let entry = format!(r#"{{"id":"{ID1}"}}"#);
    let unsigned = schema1(&[&entry]);
    let signed = jws::sign(unsigned.as_bytes()).unwrap();
    assert_eq!(
        raw(std::str::from_utf8(&signed).unwrap()).digest().unwrap(),
        Digest::sha256(unsigned.as_bytes())
    );
    // A second list of layers, outside the signed length: the digest is the same.
    let text = String::from_utf8(signed).unwrap();
    let smuggled = text
        .replace(r#","signatures""#, &format!(r#","fsLayers":[{{"blobSum":"{B}"}}],"signatures""#));
    let (honest, smuggled) = (raw(&text), raw(&smuggled));
    assert_eq!(honest.digest().unwrap(), smuggled.digest().unwrap());
    assert_eq!(honest.parse().unwrap(), smuggled.parse().unwrap());
}

#[test]
fn no_manifest_of_another_kind_borrows_a_digest() {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let good = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"{A}","size":1}},"layers":[]}}"#,
        MediaType::OCI_CONFIG
    );
    let digest = Digest::sha256(good.as_bytes());
    let protected = format!(r#"{{"formatLength":0,"formatTail":"{}"}}"#, base64.encode(&good));
    let signatures = format!(r#""signatures":[{{"protected":"{}"}}]"#, base64.encode(protected));
    let config = good.replace(A, B).replace("\"schemaVersion\":2,", "\"schemaVersion\":1,");
    let image = format!("{},{signatures}}}", config.strip_suffix('}').unwrap());
    let list = format!(r#"{{"schemaVersion":1,"manifests":[],{signatures}}}"#);
    for (media_type, text) in [
        (MediaType::OCI_MANIFEST, &image),
        (MediaType::DOCKER_MANIFEST, &image),
        (MediaType::OCI_INDEX, &list),
        (MediaType::DOCKER_LIST, &list),
        (MediaType::from("application/vnd.oci.image.manifest.v1+json; x=y"), &image),
    ] {
        let forged = RawManifest { media_type, bytes: text.clone().into() };
        assert!(!forged.has_digest(&digest).unwrap(), "{}", forged.media_type);
        assert_eq!(forged.digest().unwrap(), Digest::sha256(text.as_bytes()));
    }
    // Without a type that says otherwise it is schema 1, and what is read is what is signed.
    for media_type in ["", "text/plain", MediaType::DOCKER_SCHEMA1_SIGNED.as_str()] {
        let media_type = MediaType::from(media_type);
        let forged = RawManifest { media_type, bytes: image.clone().into() };
        assert!(forged.has_digest(&digest).unwrap());
        assert!(forged.parse().is_err());
    }
}

#[test]
fn signatures_have_to_say_what_they_sign() {
    use base64::Engine as _;
    let protect = |json: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
    let block = |json: &str| format!(r#"{{"protected":"{}"}}"#, protect(json));
    let good = block(r#"{"formatLength":1,"formatTail":"fQ"}"#);
    for (signatures, expected) in [
        (format!("[{good}]"), Ok(())),
        (format!("[{good},{good}]"), Ok(())),
        ("[]".to_owned(), Err("missing signatures")),
        ("{}".to_owned(), Err("error unmarshalling signatures: invalid type")),
        (r#"[{"protected":"?"}]"#.to_owned(), Err("base64 decode error: ")),
        (format!("[{}]", block("x")), Err("error unmarshalling protected header: ")),
        (format!("[{}]", block("{}")), Err("missing formatted length")),
        (format!("[{}]", block(r#"{"formatLength":1}"#)), Err("missing formatted tail")),
        (
            format!("[{}]", block(r#"{"formatLength":-1,"formatTail":""}"#)),
            Err("invalid format length"),
        ),
        (
            format!("[{}]", block(r#"{"formatLength":99999,"formatTail":""}"#)),
            Err("invalid format length"),
        ),
        (
            format!("[{good},{}]", block(r#"{"formatLength":2,"formatTail":"fQ"}"#)),
            Err("conflicting format length"),
        ),
        (
            format!("[{good},{}]", block(r#"{"formatLength":1,"formatTail":"IH0"}"#)),
            Err("conflicting format tail"),
        ),
    ] {
        let text = format!(r#"{{"schemaVersion":1,"signatures":{signatures}}}"#);
        match (raw(&text).digest(), expected) {
            (Ok(digest), Ok(())) => assert_eq!(digest, Digest::sha256(b"{}")),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().starts_with(expected), "{signatures}: {error}");
            }
            (got, expected) => panic!("{signatures}: {got:?} instead of {expected:?}"),
        }
    }
    let other_case = r#"{"schemaVersion":1,"Signatures":[]}"#;
    assert_eq!(raw(other_case).digest().unwrap_err().to_string(), "missing signature key");
    for unsignable in ["", "{", "{}", "[]", "{\"a\":1,}"] {
        assert!(jws::sign(unsignable.as_bytes()).is_err(), "{unsignable}");
    }
}

#[test]
fn summaries_say_what_inspect_shows() {
    let Ok(Manifest::Image(image)) = raw(&oci("")).parse() else { panic!("no image") };
    let config = br#"{"created":"2020-01-01T00:00:00+00:00","architecture":"arm","variant":"v7","os":"linux","docker_version":"1","config":{"Env":["A=b"],"Labels":{}}}"#;
    let got = image.summary(Some(config)).unwrap();
    assert_eq!(got.created.unwrap().to_string(), "2020-01-01T00:00:00Z");
    assert_eq!((got.architecture.as_str(), got.variant.as_str()), ("arm", "v7"));
    assert_eq!((got.env.unwrap().len(), got.labels.unwrap().len()), (1, 0));
    let got = image.summary(Some(b"{}")).unwrap();
    assert_eq!((got.created, got.labels, got.env), (None, None, None));
    assert!(matches!(image.summary(None), Err(ManifestError::NoConfig)));
    assert!(matches!(image.summary(Some(b"")), Err(ManifestError::Config(_))));

    let docker_type = MediaType::DOCKER_MANIFEST;
    let text = docker(docker_type.as_str(), MediaType::DOCKER_LAYER_GZIP.as_str());
    let Ok(Manifest::Image(image)) = raw(&text).parse() else { panic!("no image") };
    let created = image.summary(Some(b"{}")).unwrap().created.unwrap();
    assert_eq!(created.to_string(), "0001-01-01T00:00:00Z"); // Go's zero time

    let top = format!(r#"{{"id":"{ID1}","architecture":"a","os":"o","throwaway":false}}"#);
    let Ok(Manifest::Image(image)) = raw(&schema1(&[&top])).parse() else { panic!("no image") };
    let got = image.summary(None).unwrap();
    assert_eq!((got.tag.as_str(), got.os.as_str(), got.layers.len()), ("t", "o", 1));
    let config = image.oci_config(None).unwrap();
    assert_eq!(config.rootfs.diff_ids, Some(vec![String::new()]));
}
