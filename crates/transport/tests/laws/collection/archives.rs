//! Archives as collections.

use super::*;

fn members(path: &str) -> Vec<String> {
    let listed = std::process::Command::new("tar").args(["-tf", path]).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn archives_hold_each_blob_once_and_close_up_what_never_came() {
    let many = Many::new(CollectionKind::OciArchive);
    let to = many.open().await;
    let samples: Vec<_> = (0..6).map(|n| Sample::new(n % 3)).collect();
    let dropped = async {
        // The same layer as one of the others, but it does not come from there.
        let image = destination(&*to, "a.b/dropped:1").await;
        let bytes = Bytes::from(vec![9; 5_000_000]);
        let wrong = unverified(&bytes).expect(&Digest::sha256(b"other"), Some(5_000_000));
        image.put_blob(wrong, Role::Layer(0)).await.unwrap_err();
    };
    tokio::join!(put_all(&*to, &samples), dropped);
    to.finish().await.unwrap();
    drop(to);
    let mut names = members(&many.place);
    assert!(walk(std::path::Path::new(&many.place)) < 4_000_000);
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
    // Two folders, two files of the layout, three images of four blobs.
    assert_eq!(count, 2 + 2 + 3 * 4);
    for (n, sample) in samples.iter().enumerate() {
        many.assert_has(&label(n), sample).await;
    }
}

#[tokio::test]
async fn archives_are_extended_without_asking_for_what_they_have() {
    let many = Many::new(CollectionKind::OciArchive);
    let to = many.open().await;
    let (one, two) = (Sample::new(1), Sample::new(2));
    one.put(destination(&*to, "a.b/one:1").await).await.unwrap();
    to.finish().await.unwrap();
    drop(to);
    let to = many.open().await;
    // Who only looks at it is kept from nothing.
    collection(many.kind, &many.place, &many.options).await.unwrap();
    let image = destination(&*to, "a.b/again:1").await;
    for (bytes, role) in one.blobs() {
        let (from, blob) = (to.name("x.y/z:1").unwrap(), descriptor(&bytes));
        let wish = Wish { blob: &blob, role, from: Some(&from) };
        assert_eq!(image.reuse(&wish).await.unwrap().unwrap().how, How::Present);
    }
    image.put_manifest(&one.manifest, &Which::Top).await.unwrap();
    image.commit(&one.manifest).await.unwrap();
    two.put(destination(&*to, "a.b/two:1").await).await.unwrap();
    // Until the end the old one has its name.
    many.assert_has("a.b/one:1", &one).await;
    assert_eq!(many.held().await.len(), 1);
    to.finish().await.unwrap();
    drop(to);
    for (label, sample) in [("a.b/one:1", &one), ("a.b/again:1", &one), ("a.b/two:1", &two)] {
        many.assert_has(label, sample).await;
    }
    let mut names = members(&many.place);
    let count = names.len();
    names.dedup();
    assert_eq!(count, 2 + 2 + 2 * 4);
}

#[tokio::test]
async fn what_is_broken_in_the_old_archive_is_fetched_again() {
    let many = Many::new(CollectionKind::OciArchive);
    let to = many.open().await;
    let one = Sample::new(1);
    one.put(destination(&*to, "a.b/one:1").await).await.unwrap();
    to.finish().await.unwrap();
    drop(to);
    let mut bytes = fs_err::read(&many.place).unwrap();
    let layer = &one.layers[1];
    let at = bytes.windows(layer.len()).position(|it| it == &layer[..]).unwrap();
    bytes[at + 1000] ^= 1;
    fs_err::write(&many.place, bytes).unwrap();
    let to = many.open().await;
    let image = destination(&*to, "a.b/again:1").await;
    let (from, blob) = (to.name("x.y/z:1").unwrap(), descriptor(layer));
    let wish = Wish { blob: &blob, role: Role::Layer(1), from: Some(&from) };
    assert_eq!(image.reuse(&wish).await.unwrap(), None);
    one.put(image).await.unwrap();
    to.finish().await.unwrap();
    drop(to);
    many.assert_has("a.b/again:1", &one).await;
    many.assert_has("a.b/one:1", &one).await;
}

#[tokio::test]
async fn archives_that_are_none_are_not_replaced() {
    let many = Many::new(CollectionKind::OciArchive);
    fs_err::write(&many.place, "precious").unwrap();
    collection(many.kind, &many.place, &many.options).await.unwrap_err();
    held(many.kind, &many.place, &many.options).await.unwrap_err();
    assert_eq!(fs_err::read(&many.place).unwrap(), b"precious");
    fs_err::write(&many.place, "").unwrap();
    let to = many.open().await;
    Sample::new(1).put(destination(&*to, "a.b/one:1").await).await.unwrap();
    to.finish().await.unwrap();
    drop(to);
    many.assert_has("a.b/one:1", &Sample::new(1)).await;
}

fn pour(from: &std::path::Path, to: &std::path::Path) {
    let mut from = fs_err::File::open(from).unwrap();
    let mut to = fs_err::OpenOptions::new().write(true).create(true).open(to).unwrap();
    std::io::copy(&mut from, &mut to).unwrap();
}

#[tokio::test]
async fn archives_go_through_pipes() {
    for kind in [CollectionKind::OciArchive, CollectionKind::DockerArchive] {
        let mut many = Many::new(kind);
        let fifo = many.folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        let file = many.place.clone();
        many.place = fifo.to_str().unwrap().to_owned();
        let reader = {
            let (fifo, file) = (fifo.clone(), file.clone());
            std::thread::spawn(move || pour(&fifo, file.as_ref()))
        };
        let to = many.open().await;
        let samples: Vec<_> = (0..5).map(|n| many.sample(n % 3)).collect();
        put_all(&*to, &samples).await;
        to.finish().await.unwrap();
        drop(to);
        reader.join().unwrap();
        many.place = file;
        for (n, sample) in samples.iter().enumerate() {
            many.assert_has(&label(n), sample).await;
        }
        // And from one.
        let file = std::mem::replace(&mut many.place, fifo.to_str().unwrap().to_owned());
        let writer = std::thread::spawn(move || pour(file.as_ref(), &fifo));
        let held = many.held().await;
        assert_eq!(held.len(), 5);
        for (held, sample) in held.iter().zip(&samples) {
            let source = open(&held.name, &many.options).await.unwrap();
            let manifest = source.manifest(&Which::Top).await.unwrap();
            assert!(samples.iter().any(|it| it.manifest == manifest), "{sample:?}");
        }
        writer.join().unwrap();
    }
}
