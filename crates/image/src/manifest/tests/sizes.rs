//! Sizes of blobs.

use super::*;

/// Everywhere a manifest or list says a size.
fn with_size(size: &str) -> Vec<String> {
    let of = |media_type: &MediaType| {
        let size = if size.is_empty() { String::new() } else { format!(r#","size":{size}"#) };
        format!(r#"{{"mediaType":"{media_type}","digest":"{A}"{size}}}"#)
    };
    let image = |own: &MediaType, config: &str, layer: &str, more: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{own}","config":{config},"layers":[{layer}]{more}}}"#
        )
    };
    let (oci, docker) = (MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST);
    let plain = |media_type: &MediaType| {
        format!(r#"{{"mediaType":"{media_type}","digest":"{B}","size":1}}"#)
    };
    let (config, layer) = (plain(&MediaType::OCI_CONFIG), plain(&MediaType::OCI_LAYER));
    let (docker_config, docker_layer) =
        (plain(&MediaType::DOCKER_CONFIG), plain(&MediaType::DOCKER_LAYER_GZIP));
    let list = |own: &MediaType, child: &MediaType, more: &str| {
        let child = of(child);
        format!(r#"{{"schemaVersion":2,"mediaType":"{own}","manifests":[{child}]{more}}}"#)
    };
    let subject = format!(r#","subject":{}"#, of(&oci));
    vec![
        image(&oci, &of(&MediaType::OCI_CONFIG), &layer, ""),
        image(&oci, &config, &of(&MediaType::OCI_LAYER_GZIP), ""),
        image(&oci, &config, &layer, &subject),
        image(&docker, &of(&MediaType::DOCKER_CONFIG), &docker_layer, ""),
        image(&docker, &docker_config, &of(&MediaType::DOCKER_LAYER_GZIP), ""),
        list(&MediaType::OCI_INDEX, &oci, ""),
        list(&MediaType::OCI_INDEX, &oci, &subject),
        list(&MediaType::DOCKER_LIST, &docker, ""),
    ]
}

/// What the manifest of [`with_size`] says of what it names there.
fn sizes(text: &str) -> Result<Vec<Option<u64>>, ManifestError> {
    let of = |blob: Option<&Descriptor>| blob.map(|blob| (blob.digest.to_string(), blob.size));
    let all = match raw(text).parse()? {
        Manifest::Image(image) => {
            let layers = image.layers().into_iter().map(|layer| layer.blob);
            let mut all: Vec<_> = layers.filter_map(|blob| of(Some(&blob))).collect();
            all.extend(of(image.config()));
            all.extend(of(image.subject()));
            all
        }
        Manifest::Index(list) => {
            let instances = list.instances().into_iter().map(|it| it.descriptor);
            let mut all: Vec<_> = instances.filter_map(|blob| of(Some(&blob))).collect();
            all.extend(of(list.artifact().subject.as_ref()));
            all
        }
    };
    Ok(all.into_iter().filter(|(digest, _)| digest == A).map(|(_, size)| size).collect())
}

#[test]
fn sizes_are_what_a_file_can_have_or_not_known() {
    for (size, expected) in [
        ("", Some(None)),
        ("null", Some(None)),
        ("-1", Some(None)),
        ("-9223372036854775808", Some(None)),
        ("0", Some(Some(0))),
        ("-0", Some(Some(0))),
        ("9223372036854775807", Some(Some(9_223_372_036_854_775_807))),
        ("9223372036854775808", None),
        ("18446744073709551615", None),
        ("18446744073709551616", None),
        ("-9223372036854775809", None),
        ("1.0", None),
        ("1e3", None),
        ("1E0", None),
        ("\"1\"", None),
        ("true", None),
        ("[]", None),
        ("{}", None),
    ] {
        for text in with_size(size) {
            match (sizes(&text), expected) {
                (Ok(found), Some(expected)) => {
                    assert!(!found.is_empty(), "{text}");
                    assert!(found.iter().all(|size| *size == expected), "{text}: {found:?}");
                }
                (Err(_), None) => {}
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
    // The last of two counts, and the one before has to be a number, too.
    for (size, expected) in [
        (r#"5,"SIZE":6"#, Some(Some(6))),
        (r#"5,"Size":null"#, Some(Some(5))),
        (r#"5,"size":-1"#, Some(None)),
        (r#""x","size":5"#, None),
    ] {
        for text in with_size(size) {
            assert_eq!(sizes(&text).ok().map(|it| it[0]), expected, "{text}");
        }
    }
}

#[test]
fn what_is_not_known_is_written_as_not_known() {
    for text in with_size("-1").into_iter().chain(with_size("")) {
        if let Manifest::Index(list) = raw(&text).parse().unwrap() {
            let written = list.encode();
            assert_eq!(sizes(std::str::from_utf8(&written.bytes).unwrap()).unwrap()[0], None);
        }
    }
}
