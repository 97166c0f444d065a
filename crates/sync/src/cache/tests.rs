use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn session() -> Session {
    Session::new(Arc::new(|_| ()))
}

fn file(path: &Path) -> CacheFile {
    CacheFile { name: "state".to_owned(), path: path.to_owned(), lock: path.with_extension("lock") }
}

fn open(path: &Path) -> Option<Arc<Cache>> {
    Cache::open(&file(path), &session(), &Connections::new()).unwrap()
}

#[test]
fn one_run_at_a_time_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = open(&path);
    assert!(first.is_some() && open(&path).is_none());
    drop(first);
    assert!(open(&path).is_some());
    assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let none = file(&folder.path().join("no/state"));
    assert!(Cache::open(&none, &session(), &Connections::new()).is_err());
}

#[test]
fn what_is_damaged_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    for text in [
        "",
        "{",
        "[]",
        r#"{"version":2,"run":1,"lists":[],"blobs":{},"uploads":[]}"#,
        r#"{"version":1,"run":1,"lists":[],"blobs":{"r":{"a":{"sha256:x":1}}},"uploads":[]}"#,
    ] {
        fs_err::write(&path, text).unwrap();
        assert!(open(&path).is_some());
        assert_eq!(read(&path).unwrap().run, 1, "{text}");
    }
}

#[test]
fn entries_that_nobody_needs_go_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let list = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let digest = Digest::sha256(b"");
    let text = serde_json::json!({
        "version": 1, "run": 1,
        "lists": [{ "run": 1, "manifest": list }, { "run": 1, "manifest": "no list" }],
        "blobs": { "r": { "a": { digest.to_string(): 1 } } },
        "uploads": [
            { "repository": "r/a", "digest": digest, "location": "http://r/1", "begun": now() },
            { "repository": "r/b", "digest": digest, "location": "http://r/2", "begun": 1 },
            { "repository": "r/c", "digest": digest, "location": "http://r/3", "begun": u64::MAX },
        ],
    });
    fs_err::write(&path, text.to_string()).unwrap();
    for run in 2..=RUNS + 2 {
        drop(open(&path));
        let read = read(&path).unwrap();
        let is_kept = run < RUNS + 1;
        assert_eq!(read.run, run);
        assert_eq!((read.lists.len(), read.blobs.len()), (is_kept.into(), is_kept.into()), "{run}");
        let open: Vec<_> = read.uploads.iter().map(|it| it.repository.as_str()).collect();
        assert_eq!(open, ["r/a"]);
    }
}
