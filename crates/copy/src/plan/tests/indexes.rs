//! Indexes.

use super::*;

#[test]
fn lists() {
    let all = Request { lists: Lists::All, ..request() };
    let only = Request { lists: Lists::IndexOnly, ..request() };
    let preserve = Request { digests: Digests::Preserve, ..all.clone() };
    let oci = Request { format: Some(Format::Oci), ..all.clone() };
    insta::assert_snapshot!(plan(&index(INDEX, &OCI), 0, &registry(), &all), @r#"
    list oci index.v1+json, 2 of 2 instances
      first keep oci index.v1+json
      then convert to docker distribution.manifest.list.v2+json
      instance 5861314d oci manifest.v1+json
      instance f6916295 oci manifest.v1+json
    "#);
    insta::assert_snapshot!(plan(&index(LIST, &S2), 0, &layout(), &all), @r#"
    list docker distribution.manifest.list.v2+json, 2 of 2 instances
      first convert to oci index.v1+json
      instance 5861314d docker distribution.manifest.v2+json
      instance f6916295 docker distribution.manifest.v2+json
    "#);
    insta::assert_snapshot!(plan(&index(LIST, &S2), 0, &layout(), &preserve), @r#"Manifest list must be converted to type "oci index.v1+json" to be written to destination, but we cannot modify it: Instructed to preserve digests"#);
    insta::assert_snapshot!(plan(&index(LIST, &S2), 0, &registry(), &oci), @r#"
    list docker distribution.manifest.list.v2+json, 2 of 2 instances
      first convert to oci index.v1+json
      instance 5861314d docker distribution.manifest.v2+json
      instance f6916295 docker distribution.manifest.v2+json
    "#);
    insta::assert_snapshot!(plan(&index(LIST, &S2), 1, &folder(), &only), @r#"
    list docker distribution.manifest.list.v2+json, 0 of 2 instances
      frozen: Would invalidate signatures; consider removing them from the multi-platform list
      first keep docker distribution.manifest.list.v2+json
    "#);
    insta::assert_snapshot!(plan(&index(LIST, &S2), 1, &layout(), &all), @r#"Can not copy signatures to oci:/:to: Pushing signatures for OCI images is not supported"#);
    let images = Accepts { manifests: vec![S2], ..registry() };
    insta::assert_snapshot!(plan(&index(LIST, &S2), 0, &images, &all), @r#"copying multiple images: destination transport "oci" does not support copying multiple images as a group"#);
}

#[test]
fn lists_in_part() {
    let attested = Digest::sha256(b"amd64");
    let unknown = format!(
        r#","platform":{{"architecture":"unknown","os":"unknown"}},"annotations":{{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"{attested}"}}"#
    );
    let arm64 = r#","platform":{"architecture":"arm64","os":"linux","variant":"v8"}"#;
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{},{},{}]}}"#,
        descriptor(&OCI, "arm64", arm64),
        descriptor(&OCI, "amd64", r#","platform":{"architecture":"amd64","os":"linux"}"#),
        descriptor(&OCI, "attestation", &unknown),
    );
    let list = RawManifest::new(Some(INDEX), bytes.into());
    let wanting = |platform: &str, others| Request {
        lists: Lists::Platforms { wanted: vec![platform.parse().unwrap()], others },
        ..request()
    };
    let amd64 = wanting("linux/amd64", Others::Remove);
    insta::assert_snapshot!(plan(&list, 0, &registry(), &amd64), @r#"
    list oci index.v1+json, 2 of 3 instances
      first keep oci index.v1+json
      then convert to docker distribution.manifest.list.v2+json
      instance 5861314d oci manifest.v1+json
      instance 813a89a2 oci manifest.v1+json
      remove linux/arm64/v8
    "#);
    let sparse = wanting("linux/arm64", Others::Keep);
    insta::assert_snapshot!(plan(&list, 1, &folder(), &sparse), @r#"
    list oci index.v1+json, 1 of 3 instances
      frozen: Would invalidate signatures; consider removing them from the multi-platform list
      first keep oci index.v1+json
      instance f6916295 oci manifest.v1+json
      leave out linux/amd64
      leave out attestations
    "#);
    insta::assert_snapshot!(plan(&list, 1, &registry(), &amd64), @r#"preparing instances for copy: we should delete instance sha256:f69162950f235e3cdbbad33f1f912d1a504be90d8a37d002c735d6f3e3882265 from manifest list, but we cannot: Would invalidate signatures; consider removing them from the multi-platform list"#);
    let mips = wanting("linux/mips", Others::Remove);
    insta::assert_snapshot!(plan(&list, 0, &registry(), &mips), @r#"preparing instances for copy: no instances found for platform linux/mips: there are [linux/amd64, linux/arm64/v8]"#);
    let zstd = CompressTo { format: Compression::Zstd, level: None, others: OtherFormats::Refuse };
    let added = Request { lists: Lists::All, added: vec![zstd], ..request() };
    insta::assert_snapshot!(plan(&list, 0, &registry(), &added), @r#"
    list oci index.v1+json, 5 of 3 instances
      first keep oci index.v1+json
      instance f6916295 oci manifest.v1+json
      add f6916295 packed as zstd
      instance 5861314d oci manifest.v1+json
      add 5861314d packed as zstd
      instance 813a89a2 oci manifest.v1+json
    "#);
    insta::assert_snapshot!(plan(&index(LIST, &S2), 0, &layout(), &added), @r#"
    list docker distribution.manifest.list.v2+json, 4 of 2 instances
      first convert to oci index.v1+json
      instance 5861314d docker distribution.manifest.v2+json
      add 5861314d packed as zstd
      instance f6916295 docker distribution.manifest.v2+json
      add f6916295 packed as zstd
    "#);
    insta::assert_snapshot!(plan(&list, 1, &registry(), &added), @r#"preparing instances for copy: we should add instance sha256:f69162950f235e3cdbbad33f1f912d1a504be90d8a37d002c735d6f3e3882265 compressed using zstd to manifest list, but we cannot: Would invalidate signatures; consider removing them from the multi-platform list"#);
}

#[test]
fn nothing_changes_what_something_hangs_on() {
    let encrypt = Encryption::Encrypt { recipients: Arc::default(), layers: Vec::new() };
    let decrypt = Encryption::Decrypt(Arc::new(Keys::default()));
    let sealed = MediaType::from("application/vnd.oci.image.layer.v1.tar+gzip+encrypted");
    let plain = image(OCI, &MediaType::OCI_CONFIG, &[MediaType::OCI_LAYER_GZIP]);
    let sealed = image(OCI, &MediaType::OCI_CONFIG, &[sealed]);
    let as_docker = Request { format: Some(Format::DockerSchema2), ..request() };
    let crypt = |crypt: &Encryption| Request { encryption: Some(crypt.clone()), ..request() };
    let destination = ImageName::parse("oci:/:to").unwrap();
    for (manifest, request, change) in [
        (&plain, request(), None),
        (&plain, as_docker, Some(format!("converting it to {S2}"))),
        (&plain, crypt(&encrypt), Some("encrypting its layers".into())),
        (&plain, crypt(&decrypt), None),
        (&sealed, crypt(&decrypt), Some("decrypting its layers".into())),
        (&sealed, crypt(&encrypt), None),
    ] {
        let accepts = registry();
        let around = Surroundings {
            top: manifest,
            destination: &destination,
            accepts: &accepts,
            request: &request,
            has_referrers: true,
            layers: None,
        };
        let scope = destination.policy_scope();
        let admitted = Policy::insecure().admit(&scope, manifest.clone(), &[]).unwrap();
        let planned = plan_image(&admitted, &[], around).err().map(|error| error.to_string());
        let digest = manifest.digest().unwrap();
        let expected = change.map(|change| {
            format!(
                "{change} would change its digest {digest}, to which the referrers that are copied \
                 with it refer"
            )
        });
        assert_eq!(planned, expected);
    }
}
