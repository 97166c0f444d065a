//! What an index keeps, and what it refuses.

use super::read::MAX_MEMBERS;
use super::*;

fn parse(text: &str) -> Result<Index, Unreadable> {
    Index::parse(Bytes::copy_from_slice(text.as_bytes()), None)
}

fn entry(content: &str, tag: Option<&str>) -> Entry {
    let annotations: Vec<_> = tag.iter().map(|tag| (REF_NAME, *tag)).collect();
    Entry::describing(
        &MediaType::OCI_MANIFEST,
        &Digest::sha256(content.as_bytes()),
        1,
        &annotations,
    )
}

fn shown(index: &Index) -> Vec<(String, Option<&str>)> {
    let contents = ["a", "b", "c"];
    let name = |d: &Digest| {
        contents.iter().find(|c| Digest::sha256(c.as_bytes()) == *d).unwrap().to_string()
    };
    index.entries().iter().map(|e| (name(e.digest().unwrap()), e.ref_name())).collect()
}

#[test]
fn tags_move_and_leave_their_manifest() {
    let mut index = Index::default();
    index.add(entry("a", Some("1")));
    index.add(entry("b", Some("1")));
    assert_eq!(shown(&index), [("a".into(), None), ("b".into(), Some("1"))]);
    index.add(entry("a", Some("2"))); // the bare one is taken
    assert_eq!(shown(&index), [("a".into(), Some("2")), ("b".into(), Some("1"))]);
    index.add(entry("a", Some("3")));
    assert_eq!(index.entries().len(), 3);
    assert!(index.remove_ref("2")); // a second descriptor of the digest is there
    assert_eq!(shown(&index), [("b".into(), Some("1")), ("a".into(), Some("3"))]);
    assert!(index.remove_ref("3"));
    assert_eq!(shown(&index), [("b".into(), Some("1")), ("a".into(), None)]);
    assert!(index.entries()[1].is_bare());
    assert!(!index.remove_ref("3"));
}

#[test]
fn encodes_as_the_original() {
    let mut index = Index::default();
    index.add(entry("a", Some("<1>")));
    let digest = Digest::sha256(b"a");
    let expected = format!(
        "{{\"schemaVersion\":2,\"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
         \"digest\":\"{digest}\",\"size\":1,\"annotations\":{{\"org.opencontainers.image.ref.name\":\"\\u003c1\\u003e\"}}}}]}}"
    );
    assert_eq!(String::from_utf8(index.encode()).unwrap(), expected);
}

#[test]
fn keeps_what_it_does_not_know() {
    let text = "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"nonsense\",\"x\":1}],\"annotations\":{\"k\":\"v\"}}";
    let index = parse(text).unwrap();
    assert_eq!(index.encode(), text.as_bytes());
    assert!(index.by_digest(&Digest::sha256(b"")).is_none());
    assert!(parse("[]").is_err());
    let odd = "{\"x\":{\"a\" : 1},\"manifests\":[7,{\"digest\":1},[]],\"schemaVersion\":2}";
    assert_eq!(parse(odd).unwrap().encode(), odd.as_bytes());
    let doubled = "{\"manifests\":[1],\"schemaVersion\":2,\"manifests\":null}";
    let kept = "{\"schemaVersion\":2,\"manifests\":[]}";
    assert_eq!(parse(doubled).unwrap().encode(), kept.as_bytes());
}

/// A small file must not take memory a thousand times its size.
#[test]
fn refuses_what_has_too_many_entries() {
    let list = |count| format!("{{\"manifests\":[{}]}}", vec!["{}"; count].join(","));
    assert_eq!(parse(&list(MAX_ENTRIES)).unwrap().entries().len(), MAX_ENTRIES);
    let Err(Unreadable::Refused(error)) = parse(&list(MAX_ENTRIES + 1)) else { panic!() };
    assert!(error.to_string().contains("more than 1048576 manifests"), "{error}");
    let text = format!("{{{}\"b\":1}}", "\"a\":0,".repeat(MAX_MEMBERS));
    let Err(Unreadable::Json(error)) = parse(&text) else { panic!() };
    assert!(error.to_string().contains("members"), "{error}");
}

#[test]
fn what_is_odd_in_a_descriptor_is_kept() {
    for (text, is_bare, ref_name) in [
        (r#"{"mediaType":"a","digest":1,"size":{}}"#, true, None),
        (r#"{"annotations":7}"#, false, None),
        (r#"{"annotations":{"org.opencontainers.image.ref.name":7}}"#, false, None),
        (
            r#"{"annotations":{"org.opencontainers.image.ref.name":"1","org.opencontainers.image.ref.name":"2"}}"#,
            false,
            Some("2"),
        ),
        (r#"[1]"#, false, None),
    ] {
        let text = format!("{{\"schemaVersion\":2,\"manifests\":[{text}]}}");
        let index = parse(&text).unwrap();
        let entry = &index.entries()[0];
        assert_eq!((entry.is_bare(), entry.ref_name()), (is_bare, ref_name), "{text}");
        assert_eq!(index.encode(), text.as_bytes());
    }
}
