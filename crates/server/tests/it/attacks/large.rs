//! Manifests and indexes that take memory.

use super::*;

#[test]
fn large_manifests_that_nobody_reads() {
    let mut attacked = Attacked::start(BUDGET);
    let digest = Digest::sha256(b"small");
    let filler = "x".repeat(3_900_000);
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{digest}","size":5}},"layers":[],"annotations":{{"a":"{filler}"}}}}"#
    );
    let headers = [("Content-Type", OCI_MANIFEST)];
    let path = "/v2/a/manifests/large";
    let put = request(attacked.address, "PUT", path, &headers, manifest.as_bytes()).unwrap();
    assert_eq!(put.status, 201, "{put:?}");
    attacked.before = attacked.most_memory();
    let _clients = attacked.connections(300, &get(path));
    attacked.stands();
}

/// Manifests of as many descriptors as 4 MiB have, of each kind, several at once.
#[test]
fn large_manifests_that_come_at_once() {
    let mut attacked = Attacked::start(16);
    let list = |head: &str, member: &str, tail: &str| {
        let items = (0..4_150_000 / (member.len() + 79))
            .map(|n| format!(r#"{{"{member}":"sha256:{n:064x}"}}"#));
        format!("{head}[{}]{tail}", items.collect::<Vec<_>>().join(","))
    };
    let config = format!(r#"{{"digest":"{}"}}"#, Digest::sha256(b"small"));
    let urls = vec![r#""""#; 260_000].join(",");
    let manifests = [
        list(&format!(r#"{{"schemaVersion":2,"config":{config},"layers":"#), "digest", "}"),
        list(r#"{"schemaVersion":2,"manifests":"#, "digest", "}"),
        list(r#"{"schemaVersion":1,"name":"n","fsLayers":"#, "blobSum", "}"),
        format!(
            r#"{{"schemaVersion":2,"config":{config},"layers":[{{"digest":"sha256:{:064x}","urls":[{urls}]}}]}}"#,
            1
        ),
    ];
    std::thread::scope(|scope| {
        for manifest in manifests.iter().chain(&manifests) {
            let address = attacked.address;
            scope.spawn(move || {
                let path = "/v2/a/manifests/large";
                // Who waits too long for the others asks again.
                let mut put = std::iter::repeat_with(|| {
                    request(address, "PUT", path, &[], manifest.as_bytes()).unwrap()
                });
                let put = put.find(|put| put.status != 503).unwrap();
                assert_eq!(put.code(), "MANIFEST_BLOB_UNKNOWN", "{put:?}");
            });
        }
    });
    println!("{} MiB after {}", attacked.most_memory(), attacked.before);
    attacked.stands();
}

/// Manifests that refer to one, each with annotations of 1 MiB: their list has pages.
#[test]
fn referrers_with_large_annotations() {
    const COUNT: usize = 20;
    let mut attacked = Attacked::start(16);
    let (small, subject) = (Digest::sha256(b"small"), Digest::sha256(b"subject"));
    let filler = "x".repeat(1 << 20);
    let headers = [("Content-Type", OCI_MANIFEST)];
    for number in 0..COUNT {
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{small}","size":5}},"layers":[],"subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":1}},"annotations":{{"a":"{number}{filler}"}}}}"#
        );
        let path = format!("/v2/a/manifests/{number}");
        let put = request(attacked.address, "PUT", &path, &headers, manifest.as_bytes()).unwrap();
        assert_eq!(put.status, 201, "{put:?}");
    }
    attacked.before = attacked.most_memory();
    let first = format!("/v2/a/referrers/{subject}?artifactType=a/b");
    let (mut next, mut found) = (Some(first.clone()), std::collections::BTreeSet::new());
    while let Some(path) = next {
        let page = request(attacked.address, "GET", &path, &[], b"").unwrap();
        assert!(page.status == 200 && page.body.len() <= 4 << 20, "{}", page.status);
        for descriptor in page.json()["manifests"].as_array().unwrap() {
            assert!(descriptor["annotations"]["a"].as_str().unwrap().ends_with(&filler));
            assert!(found.insert(descriptor["digest"].as_str().unwrap().to_owned()));
        }
        let link = page.header("link").strip_prefix('<').and_then(|link| link.split_once('>'));
        next = link.map(|(path, _)| path.to_owned());
    }
    assert_eq!(found.len(), COUNT);
    // Small pages, if the client wants them.
    let page = request(attacked.address, "GET", &format!("{first}&n=1"), &[], b"").unwrap();
    assert_eq!(page.json()["manifests"].as_array().unwrap().len(), 1);
    assert!(page.header("link").contains("&n=1&artifactType=a%2Fb>"), "{}", page.header("link"));
    let _clients = attacked.connections(10, &get(&first));
    attacked.stands();
}

/// Layouts whose indexes take all the memory that there is for them, one by one, and more together.
#[test]
fn many_large_indexes() {
    const TAGS: usize = 2_400;
    let mut attacked = Attacked::start(16);
    let names: Vec<_> = (0..10).map(|number| format!("large{number}")).collect();
    let (small, other) = (Digest::sha256(b"small"), Digest::sha256(b"not there"));
    for name in &names {
        let folder = attacked.folder.path().join(name);
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let entry = |tag| {
            let digest = Digest::sha256(format!("{name} {tag}").as_bytes());
            format!(
                r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":5,"annotations":{{"org.opencontainers.image.ref.name":"v{tag}"}}}}"#
            )
        };
        let entries: Vec<_> = (0..TAGS).map(entry).collect();
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        fs_err::write(folder.join("index.json"), text).unwrap();
    }
    let statuses = std::sync::Mutex::new(std::collections::BTreeMap::<u16, usize>::new());
    std::thread::scope(|scope| {
        for worker in 0..16_usize {
            let (attacked, names, statuses) = (&attacked, &names, &statuses);
            let (small, other) = (&small, &other);
            scope.spawn(move || {
                for round in 0..3_usize {
                    let name = &names[(worker + round) % names.len()];
                    let (method, path) = match (worker * 3 + round) % 12 {
                        0 => ("GET", format!("/v2/{name}/tags/list")),
                        1 => ("GET", "/v2/_catalog?n=5".to_owned()),
                        2 | 3 => ("GET", format!("/v2/{name}/manifests/{other}")),
                        4 | 5 => ("GET", format!("/v2/{name}/referrers/{small}")),
                        6 | 7 => ("GET", format!("/v2/{name}/tags/list?n=3")),
                        8 | 9 => ("DELETE", format!("/v2/{name}/manifests/v{round}")),
                        _ => ("DELETE", format!("/v2/{name}/blobs/{other}")),
                    };
                    let reply = request(attacked.address, method, &path, &[], b"").unwrap();
                    assert!([200, 202, 404, 503].contains(&reply.status), "{path}: {reply:?}");
                    *statuses.lock().unwrap().entry(reply.status).or_default() += 1;
                }
            });
        }
    });
    let statuses = statuses.into_inner().unwrap();
    println!("{statuses:?}, {} MiB after {}", attacked.most_memory(), attacked.before);
    attacked.others_are_served();
    // They wait for each other.
    assert!(statuses[&200] > 10, "{statuses:?}");
    attacked.stands_with(16);
    // One after the other they are served.
    for name in &names {
        let path = format!("/v2/{name}/tags/list?n=1");
        let reply = request(attacked.address, "GET", &path, &[], b"").unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    attacked.stands_with(16);
}

/// What one large index takes with all that is made of it is no more than is counted: five bytes
/// for each byte of its text.
#[test]
fn a_large_index_takes_what_is_counted() {
    const FACTOR: u64 = 5;
    let attacked = Attacked::start(2048);
    let folder = attacked.folder.path().join("large");
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let entry = |tag| {
        let digest = Digest::sha256(format!("{tag}").as_bytes());
        format!(
            r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":5,"annotations":{{"org.opencontainers.image.ref.name":"v{tag}"}}}}"#
        )
    };
    let entries: Vec<_> = (0..180_000).map(entry).collect();
    let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    let size = text.len() as u64 >> 20;
    assert!(size > 35, "{size}");
    fs_err::write(folder.join("index.json"), text).unwrap();
    let other = Digest::sha256(b"not there");
    for path in [
        "/v2/large/tags/list".to_owned(),
        format!("/v2/large/manifests/{other}"),
        format!("/v2/large/referrers/{other}"),
        "/v2/large/tags/list?n=3".to_owned(),
    ] {
        let reply = request(attacked.address, "GET", &path, &[], b"").unwrap();
        assert!([200, 404].contains(&reply.status), "{path}: {reply:?}");
        let took = attacked.most_memory() - attacked.before;
        println!("{path}: {took} MiB for {size} MiB");
        assert!(took <= FACTOR * size + SLACK, "{path}: {took} MiB for {size} MiB");
    }
}

/// What one large manifest takes while it is read is no more than is counted: four bytes for each
/// byte of its text.
#[test]
fn a_large_manifest_takes_what_is_counted() {
    const READ: u64 = 4;
    let digest = Digest::sha256(b"small");
    let config = format!(r#"{{"digest":"{digest}"}}"#);
    let list = |head: &str, member: &str| {
        let items = (0..4_150_000 / (member.len() + 79))
            .map(|n| format!(r#"{{"{member}":"sha256:{n:064x}"}}"#));
        format!("{head}[{}]}}", items.collect::<Vec<_>>().join(","))
    };
    for manifest in [
        list(&format!(r#"{{"schemaVersion":2,"config":{config},"layers":"#), "digest"),
        list(r#"{"schemaVersion":2,"manifests":"#, "digest"),
        list(r#"{"schemaVersion":1,"name":"n","fsLayers":"#, "blobSum"),
    ] {
        let attacked = Attacked::start(2048);
        let size = manifest.len() as u64;
        let put = request(attacked.address, "PUT", "/v2/a/manifests/x", &[], manifest.as_bytes());
        assert_eq!(put.unwrap().code(), "MANIFEST_BLOB_UNKNOWN");
        let took = attacked.most_memory() - attacked.before;
        println!("{took} MiB for {size} bytes");
        // Beside the pieces in which it came, which are counted elsewhere.
        assert!(took << 20 <= READ * size + (4 << 20), "{took} MiB for {size} bytes");
    }
}
