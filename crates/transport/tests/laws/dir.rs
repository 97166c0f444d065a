//! What `dir:` promises beyond the laws.

use skopeo_image::{Algorithm, Digest, Signature, Which};
use skopeo_transport::{LayerForm, Role, create, open};

use crate::sample::unverified;
use crate::{Place, Sample};

const VERSION: &str = "Directory Transport Version: 1.1\n";

#[tokio::test]
async fn holds_the_files_that_others_expect() {
    let place = Place::dir().await;
    let sample = Sample::new(1);
    let to = place.create().await;
    let extra = Sample::new(2);
    sample.put_blobs(&*to).await.unwrap();
    to.put_manifest(&extra.manifest, &Which::Instance(extra.digest())).await.unwrap();
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    to.put_signatures(&[Signature::Simple("\u{b}".into())], &Which::Top).await.unwrap();
    to.put_signatures(
        &[Signature::Simple("a".into()), Signature::Simple("b".into())],
        &Which::Instance(extra.digest()),
    )
    .await
    .unwrap();
    to.commit(&sample.manifest).await.unwrap();

    let mut expected = vec![
        "image/manifest.json".to_owned(),
        "image/signature-1".to_owned(),
        "image/version".to_owned(),
        format!("image/{}.manifest.json", extra.digest().hex()),
        format!("image/{}.signature-1", extra.digest().hex()),
        format!("image/{}.signature-2", extra.digest().hex()),
    ];
    expected
        .extend(sample.blobs().iter().map(|(b, _)| format!("image/{}", Digest::sha256(b).hex())));
    expected.sort();
    assert_eq!(place.files(), expected);
    let version = fs_err::read_to_string(place.folder.path().join("image/version")).unwrap();
    assert_eq!(version, VERSION);
}

#[tokio::test]
async fn leaves_nothing_of_the_image_before() {
    let place = Place::dir().await;
    Sample::new(1).put(place.create().await).await.unwrap();
    let image = place.folder.path().join("image");
    fs_err::write(image.join("signature-1"), "x").unwrap();
    fs_err::create_dir(image.join("folder")).unwrap();
    fs_err::write(image.join("folder/file"), "x").unwrap();
    let sample = Sample::new(2);
    sample.put(place.create().await).await.unwrap();
    let fresh = Place::dir().await;
    sample.put(fresh.create().await).await.unwrap();
    assert_eq!(place.files(), fresh.files());
}

#[tokio::test]
async fn signatures_are_bounded_in_size_and_number() {
    let place = Place::dir().await;
    let sample = Sample::new(1);
    sample.put(place.create().await).await.unwrap();
    let image = place.folder.path().join("image");
    let instance = Digest::sha256(b"an instance");
    for (which, before) in [
        (Which::Top, String::new()),
        (Which::Instance(instance.clone()), format!("{}.", instance.hex())),
    ] {
        let write = |numbers: std::ops::RangeInclusive<usize>, size: usize| {
            for number in numbers {
                let path = image.join(format!("{before}signature-{number}"));
                fs_err::write(path, vec![0xA3; size]).unwrap();
            }
        };
        let source = place.open().await.unwrap();
        write(1..=8, 4 << 20);
        assert_eq!(source.signatures(&which).await.unwrap().len(), 8);
        write(9..=9, 1);
        let error = source.signatures(&which).await.unwrap_err();
        assert!(error.to_string().starts_with("the first 9 signatures take"), "{error}");
        write(1..=2048, 2);
        assert_eq!(source.signatures(&which).await.unwrap().len(), 2048);
        write(2049..=2049, 2);
        let error = source.signatures(&which).await.unwrap_err();
        assert!(error.to_string().starts_with("the first 2049 signatures take"), "{error}");
    }
}

#[tokio::test]
async fn writes_a_later_version_for_other_digests() {
    let place = Place::dir().await;
    let sample = Sample::new(1);
    let long = Digest::of(Algorithm::Sha512, &sample.config);
    let to = place.create().await;
    sample.put_blobs(&*to).await.unwrap();
    to.put_blob(unverified(&sample.config).expect(&long, None), Role::Config).await.unwrap();
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    to.commit(&sample.manifest).await.unwrap();
    assert!(place.files().contains(&format!("image/sha512-{}", long.hex())));
    let version = place.folder.path().join("image/version");
    assert_eq!(fs_err::read_to_string(&version).unwrap(), "Directory Transport Version: 1.2\n");
    // The next image has only short ones again.
    sample.put(place.create().await).await.unwrap();
    assert_eq!(fs_err::read_to_string(version).unwrap(), VERSION);
}

#[tokio::test]
async fn goes_on_where_it_was_killed_before_a_word_was_written() {
    let place = Place::dir().await;
    let image = place.folder.path().join("image");
    fs_err::create_dir(&image).unwrap();
    fs_err::write(image.join("version"), "").unwrap();
    create(&place.name, &place.options).await.unwrap();
    assert_eq!(fs_err::read_to_string(image.join("version")).unwrap(), VERSION);
}

#[tokio::test]
async fn refuses_folders_that_are_not_its_own() {
    let not_ours = "not a containers image directory, don't want to overwrite important data";
    for (version, to_write, to_read) in [
        (None, not_ours, ""),
        (Some(""), not_ours, "invalid version file content: \"\""),
        (Some("mine"), not_ours, "invalid version file content: \"mine\""),
        (
            Some("Directory Transport Version: 1.3\n"),
            "unsupported directory transport version",
            "unsupported directory transport version \"Directory Transport Version: 1.3\\n\" at /",
        ),
        (Some(VERSION), "", ""),
    ] {
        let place = Place::dir().await;
        let image = place.folder.path().join("image");
        fs_err::create_dir(&image).unwrap();
        fs_err::write(image.join("thesis"), "important").unwrap();
        if let Some(version) = version {
            fs_err::write(image.join("version"), version).unwrap();
        }
        for (result, expected) in [
            (create(&place.name, &place.options).await.map(drop), to_write),
            (place.open().await.map(drop), to_read),
        ] {
            let text = result.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(text.starts_with(expected), "{text}");
            assert_eq!(text.is_empty(), expected.is_empty(), "{text}");
        }
        assert!(image.join("thesis").exists());
    }
}

#[tokio::test]
async fn takes_one_copy_at_a_time() {
    let place = Place::dir().await;
    let first = place.create().await;
    let second = create(&place.name, &place.options).await.err().unwrap();
    assert!(second.to_string().contains("another copy"), "{second}");
    drop(first);
    Sample::new(1).put(place.create().await).await.unwrap();
}

#[tokio::test]
async fn wants_layers_as_it_is_told() {
    let place = Place::dir().await;
    for (compress, decompress, expected) in [
        (false, false, Some(LayerForm::AsIs)),
        (true, false, Some(LayerForm::Compressed)),
        (false, true, Some(LayerForm::Uncompressed)),
        (true, true, None),
    ] {
        let mut options = place.options.clone();
        options.dir.compress = compress;
        options.dir.decompress = decompress;
        match create(&place.name, &options).await {
            Ok(to) => assert_eq!(Some(to.accepts().layers), expected),
            Err(error) => {
                assert_eq!(expected, None);
                let sentence = "Cannot compress and decompress at the same time";
                assert_eq!(error.to_string(), sentence);
            }
        }
    }
}

#[tokio::test]
async fn refuses_what_is_no_plain_file_or_too_long() {
    let place = Place::dir().await;
    Sample::new(1).put(place.create().await).await.unwrap();
    let manifest = place.folder.path().join("image/manifest.json");
    fs_err::File::create(&manifest).unwrap().set_len(5 << 30).unwrap();
    let source = open(&place.name, &place.options).await.unwrap();
    let error = source.manifest(&Which::Top).await.unwrap_err().to_string();
    assert!(error.ends_with("5368709120 bytes, more than the limit of 4194304"), "{error}");
    fs_err::remove_file(&manifest).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &manifest, rustix::fs::Mode::RUSR).unwrap();
    let error = source.manifest(&Which::Top).await.unwrap_err().to_string();
    assert!(error.ends_with("not a regular file"), "{error}");
}
