//! What `oci:` promises beyond the laws.

use std::path::Path;
use std::process::{Command, Stdio};

use skopeo_image::{Classify as _, Digest, Which};
use skopeo_transport::{ImageName, create, delete, open};

use crate::options::options;
use crate::sample::descriptor;
use crate::{Place, Sample};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn put(place: &Place, name: &str, sample: &Sample) {
    let to = create(&place.name(name), &place.options).await.unwrap();
    sample.put(to).await.unwrap();
}

fn read(place: &Place, file: &str) -> String {
    fs_err::read_to_string(place.folder.path().join(file)).unwrap()
}

#[tokio::test]
async fn holds_the_files_that_others_expect() {
    let place = Place::layout().await;
    let sample = Sample::new(1);
    sample.put(place.create().await).await.unwrap();
    let blob = |digest: Digest| format!("image/blobs/sha256/{}", digest.hex());
    let mut expected = vec![
        "image/.lock".to_owned(),
        "image/index.json".to_owned(),
        "image/oci-layout".to_owned(),
        blob(sample.digest()),
    ];
    expected.extend(sample.blobs().iter().map(|(bytes, _)| blob(Digest::sha256(bytes))));
    expected.sort();
    assert_eq!(place.files(), expected);
    assert_eq!(read(&place, "image/oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}");
    assert_eq!(
        read(&place, "image/index.json"),
        format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\
             \"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
             \"digest\":\"{}\",\"size\":{},\"annotations\":\
             {{\"org.opencontainers.image.ref.name\":\"tag\"}}}}]}}",
            sample.digest(),
            sample.manifest.bytes.len()
        )
    );
}

#[tokio::test]
async fn names_lead_to_their_images() {
    let place = Place::layout().await;
    let (one, two, three) = (Sample::new(1), Sample::new(2), Sample::new(3));
    put(&place, "oci:{}/image:one", &one).await;
    put(&place, "oci:{}/image:two", &two).await;
    put(&place, "oci:{}/image", &three).await;
    for (name, expected) in [
        ("oci:{}/image:one", Ok(&one)),
        ("oci:{}/image:two", Ok(&two)),
        ("oci:{}/image:@0", Ok(&one)),
        ("oci:{}/image:@2", Ok(&three)),
        ("oci:{}/image:@3", Err("index 3 is too large, only 3 entries available")),
        ("oci:{}/image", Err("more than one image in oci, choose an image")),
        ("oci:{}/image:none", Err("no descriptor found for reference \"none\"")),
    ] {
        match (open(&place.name(name), &place.options).await, expected) {
            (Ok(source), Ok(sample)) => sample.assert_in(&*source, &Which::Top).await,
            (Err(error), Err(sentence)) => assert_eq!(error.to_string(), sentence),
            (result, _) => panic!("{name}: {:?}", result.map(drop)),
        }
    }
    let error = create(&place.name("oci:{}/image:@1"), &place.options).await.err().unwrap();
    assert_eq!(error.to_string(), "Destination reference must not contain a manifest index @1");
}

#[tokio::test]
async fn deletes_what_nothing_else_needs() {
    let place = Place::layout().await;
    let (one, two) = (Sample::new(1), Sample::new(2));
    let mut shared = Sample::new(2);
    shared.manifest.bytes =
        String::from_utf8(two.manifest.bytes.to_vec()).unwrap().replace("2,", "2 ,").into();
    put(&place, "oci:{}/image:one", &one).await;
    let one_only = place.files();
    put(&place, "oci:{}/image:two", &two).await;
    put(&place, "oci:{}/image:shared", &shared).await;

    delete(&place.name("oci:{}/image:two"), &place.options).await.unwrap();
    let name = place.name("oci:{}/image:shared");
    shared.assert_in(&*open(&name, &place.options).await.unwrap(), &Which::Top).await;
    assert!(!place.files().iter().any(|file| file.ends_with(two.digest().hex())));
    delete(&name, &place.options).await.unwrap();
    assert_eq!(place.files(), one_only);
    assert!(read(&place, "image/index.json").ends_with("}]}\n"));
    let error = delete(&name, &place.options).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    one.assert_in(
        &*open(&place.name("oci:{}/image:one"), &place.options).await.unwrap(),
        &Which::Top,
    )
    .await;
}

#[tokio::test]
async fn deletes_lists_with_their_instances_but_no_shared_blobs() {
    for place in [Place::layout().await, Place::layout_with_shared_blobs().await] {
        let instances = [Sample::new(1), Sample::new(2)];
        let index = Sample::index(&instances);
        let to = place.create().await;
        for instance in &instances {
            instance.put_blobs(&*to).await.unwrap();
            to.put_manifest(&instance.manifest, &Which::Instance(instance.digest())).await.unwrap();
        }
        to.put_manifest(&index, &Which::Top).await.unwrap();
        to.commit(&index).await.unwrap();
        // A reference into the list keeps what it needs of it.
        let name = place.name("oci:{}/image:first");
        instances[0].put(create(&name, &place.options).await.unwrap()).await.unwrap();
        delete(&place.name, &place.options).await.unwrap();
        let source = open(&name, &place.options).await.unwrap();
        instances[0].assert_in(&*source, &Which::Top).await;
        let second = place.files().iter().any(|file| file.ends_with(instances[1].digest().hex()));
        assert_eq!(second, place.options.layout.shared_blob_dir.is_some());
    }
}

#[tokio::test]
async fn deletes_a_name_that_is_there_twice() {
    let place = Place::layout().await;
    put(&place, "oci:{}/image:one", &Sample::new(1)).await;
    let index = place.folder.path().join("image/index.json");
    let mut twice: serde_json::Value =
        serde_json::from_str(&read(&place, "image/index.json")).unwrap();
    let list = twice["manifests"].as_array_mut().unwrap();
    list.push(list[0].clone());
    fs_err::write(index, twice.to_string()).unwrap();
    let name = place.name("oci:{}/image:one");
    delete(&name, &place.options).await.unwrap();
    let error = delete(&name, &place.options).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test]
async fn all_that_wait_are_told_why_the_index_cannot_be_edited() {
    let place = Place::layout().await;
    put(&place, "oci:{}/image:one", &Sample::new(1)).await;
    let folder = place.folder.path().join("image");
    fs_err::remove_file(folder.join(".lock")).unwrap();
    fs_err::create_dir(folder.join(".lock")).unwrap();
    let sample = Sample::new(2);
    let to = create(&place.name("oci:{}/image:two"), &place.options).await.unwrap();
    let error = sample.put(to).await.unwrap_err();
    assert!(error.to_string().contains(".lock"), "{error}");
    fs_err::remove_dir(folder.join(".lock")).unwrap();
    fs_err::write(folder.join("index.json"), "no").unwrap();
    let to = create(&place.name("oci:{}/image:two"), &place.options).await;
    let error = match to {
        Ok(to) => sample.put(to).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.class(), Some(skopeo_image::ErrorClass::InvalidImage), "{error}");
}

#[tokio::test]
async fn a_blob_deleted_meanwhile_stops_the_commit() {
    let place = Place::layout().await;
    let sample = Sample::new(1);
    let to = place.create().await;
    sample.put_blobs(&*to).await.unwrap();
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    let hex = Digest::sha256(&sample.layers[0]).hex().to_owned();
    let file = place.files().into_iter().find(|file| file.ends_with(&hex)).unwrap();
    fs_err::remove_file(place.folder.path().join(file)).unwrap();
    let error = to.commit(&sample.manifest).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(!place.has_image().await);
}

#[tokio::test]
async fn refuses_links_that_lead_out_and_what_is_no_file() {
    let place = Place::layout().await;
    let sample = Sample::new(1);
    sample.put(place.create().await).await.unwrap();
    let layer = &sample.layers[0];
    let blobs = place.folder.path().join("image/blobs/sha256");
    let file = blobs.join(Digest::sha256(layer).hex());
    let source = place.open().await.unwrap();
    let outside = place.folder.path().join("outside");
    fs_err::rename(&file, &outside).unwrap();

    std::os::unix::fs::symlink(&outside, &file).unwrap();
    let error = source.blob(&descriptor(layer)).await.unwrap_err().to_string();
    assert!(error.ends_with("a link that leads out of the layout"), "{error}");
    fs_err::remove_file(&file).unwrap();

    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR).unwrap();
    let error = source.blob(&descriptor(layer)).await.unwrap_err().to_string();
    assert!(error.ends_with("not a regular file"), "{error}");
    fs_err::remove_file(&file).unwrap();

    fs_err::rename(&outside, blobs.join("inside")).unwrap();
    std::os::unix::fs::symlink("inside", &file).unwrap();
    sample.assert_in(&*source, &Which::Top).await;
}

#[tokio::test]
async fn refuses_indexes_that_are_none() {
    for text in ["", "[]", "{\"manifests\":[{\"digest\":\"sha256:../../../../etc/passwd\"}]}"] {
        let place = Place::layout().await;
        fs_err::create_dir_all(place.folder.path().join("image")).unwrap();
        fs_err::write(place.folder.path().join("image/index.json"), text).unwrap();
        let name = place.name("oci:{}/image");
        assert!(open(&name, &place.options).await.is_err(), "{text}");
    }
}

#[test]
fn copies_at_once_lose_nothing() {
    let place = block_on(Place::layout());
    let folder = place.folder.path().to_str().unwrap();
    let processes: Vec<_> = (0..3)
        .map(|process| {
            let mut program = Command::new(skopeo_testkit::run::example("transport-writer"));
            program.args(["several", folder, &format!("process{process}")]);
            program.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            scope.spawn(move || write_several(folder, &format!("thread{thread}")));
        }
    });
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    block_on(async {
        for writer in ["thread0", "thread1", "thread2", "process0", "process1", "process2"] {
            for n in 0..5 {
                let name = place.name(&format!("oci:{{}}/image:{writer}-{n}"));
                let source = open(&name, &place.options).await.unwrap();
                Sample::new(n).assert_in(&*source, &Which::Top).await;
            }
        }
    });
}

fn write_several(folder: &str, writer: &str) {
    block_on(async {
        for n in 0..5 {
            let name = ImageName::parse(&format!("oci:{folder}/image:{writer}-{n}")).unwrap();
            let to = create(&name, &options(Path::new(folder))).await.unwrap();
            Sample::new(n).put(to).await.unwrap();
        }
    });
}
