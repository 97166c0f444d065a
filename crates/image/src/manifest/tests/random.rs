//! Texts that nobody wrote.

use super::*;

fn anything() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1".to_owned()),
        Just("2".to_owned()),
        Just("-1".to_owned()),
        Just(format!("\"{A}\"")),
        Just("\"application/vnd.docker.image.rootfs.diff.tar.gzip\"".to_owned()),
        Just("\"application/vnd.oci.image.config.v1+json\"".to_owned()),
        Just("\"{\\\"id\\\":\\\"x\\\"}\"".to_owned()),
    ];
    let key = prop::sample::select(vec![
        "schemaVersion",
        "mediaType",
        "MediaType",
        "config",
        "layers",
        "manifests",
        "fsLayers",
        "blobSum",
        "history",
        "v1Compatibility",
        "signatures",
        "protected",
        "digest",
        "size",
        "urls",
        "annotations",
        "platform",
        "os",
        "subject",
        "data",
    ]);
    let value = leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| {
                let fields: Vec<String> =
                    fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..100), value.prop_map(String::into_bytes)]
}

proptest! {
    #[test]
    fn never_panics(bytes in anything(), declared in 0..7_usize) {
        let types = [MediaType::OCI_MANIFEST, MediaType::OCI_INDEX, MediaType::DOCKER_MANIFEST,
            MediaType::DOCKER_LIST, MediaType::DOCKER_SCHEMA1, MediaType::DOCKER_SCHEMA1_SIGNED];
        let raw = RawManifest::new(types.get(declared).cloned(), bytes.into());
        let _ = raw.digest();
        match raw.parse() {
            Ok(Manifest::Image(image)) => {
                let _ = image.summary(Some(&raw.bytes));
                let edit = crate::Edit {
                    to: MediaType::DOCKER_SCHEMA1, layers: None, embedded_name: None };
                let _ = crate::convert(&image, Some(&raw.bytes), &edit);
            }
            Ok(Manifest::Index(list)) => {
                let _ = list.choose(&[]);
                // What is written is read back as the same.
                let Manifest::Index(again) = list.encode().parse().unwrap() else { panic!() };
                prop_assert_eq!(again.instances().len(), list.instances().len());
                prop_assert_eq!(again.encode(), list.encode());
            }
            Err(_) => {}
        }
    }

    #[test]
    fn digests_are_of_the_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let expected = Digest::sha256(&bytes);
        let raw = RawManifest::new(None, bytes.into());
        prop_assert_eq!(raw.digest().unwrap(), expected);
        prop_assert!(raw.has_digest(&raw.digest().unwrap()).unwrap());
    }
}
