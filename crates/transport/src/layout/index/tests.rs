//! What is found, added and kept, as the original does it.

use skopeo_image::Digest;

use super::entry::REF_NAME;
use super::*;

fn target(content: &str) -> Target {
    Target { media_type: MediaType::OCI_MANIFEST, digest: Digest::sha256(content.as_bytes()) }
}

fn entry(content: &str, reference: Option<&str>) -> Entry {
    Entry::new(&target(content), 1, reference)
}

fn shown(index: &Index) -> Vec<(&str, Option<&str>)> {
    let name = |entry: &Entry| {
        let digest = entry.descriptor().unwrap().digest;
        ["a", "b"].into_iter().find(|text| Digest::sha256(text.as_bytes()) == digest).unwrap()
    };
    index.entries().iter().map(|entry| (name(entry), entry.ref_name())).collect()
}

#[test]
fn references_move_and_leave_their_descriptor() {
    let mut index = Index::new();
    index.add(entry("a", Some("1")));
    index.add(entry("b", Some("1")));
    assert_eq!(shown(&index), [("a", None), ("b", Some("1"))]);
    index.add(entry("a", Some("2"))); // takes the place of the nameless one
    assert_eq!(shown(&index), [("a", Some("2")), ("b", Some("1"))]);
    index.add(entry("a", None)); // a second name of the same digest
    assert_eq!(shown(&index), [("a", Some("2")), ("b", Some("1")), ("a", None)]);
    index.add(entry("b", Some("1"))); // again: nothing changes
    assert_eq!(shown(&index), [("a", Some("2")), ("b", Some("1")), ("a", None)]);
}

#[test]
fn finds_in_the_originals_words() {
    let mut index = Index::new();
    let only = Wanted::Only;
    let reference = |text: &str| Wanted::Reference(text.into());
    let error = |index: &Index, wanted: &Wanted| index.find(wanted).unwrap_err().to_string();
    assert_eq!(error(&index, &only), "more than one image in oci, choose an image");
    index.add(entry("a", Some("1")));
    assert_eq!(index.find(&only).unwrap(), 0);
    index.add(entry("b", Some("2")));
    assert_eq!(index.find(&reference("2")).unwrap(), 1);
    assert_eq!(index.find(&Wanted::Index(1)).unwrap(), 1);
    assert_eq!(error(&index, &only), "more than one image in oci, choose an image");
    assert_eq!(error(&index, &Wanted::Index(2)), "index 2 is too large, only 2 entries available");
    let missing = index.find(&reference("3")).unwrap_err();
    assert_eq!(missing.to_string(), "no descriptor found for reference \"3\"");
    assert!(missing.is_not_found());
    let odd = Target { media_type: "text/plain".into(), ..target("b") };
    index.add(Entry::new(&odd, 1, Some("odd")));
    assert_eq!(
        error(&index, &reference("odd")),
        "reference \"odd\" matches unsupported manifest MIME types [\"text/plain\"]"
    );
}

#[test]
fn the_only_image_is_found_beside_its_referrers() {
    let hex = Digest::sha256(b"a").hex().to_owned();
    let names = [format!("sha256-{hex}"), format!("sha256-{hex}.sig")];
    let mut index = Index::new();
    index.put(entry("b", Some(&names[0])));
    index.add(entry("a", None));
    index.put(entry("b", Some(&names[1])));
    assert_eq!(index.find(&Wanted::Only).unwrap(), 1);
    assert_eq!(index.find(&Wanted::Index(0)).unwrap(), 0);
    assert_eq!(index.find(&Wanted::Reference(names[1].clone())).unwrap(), 2);
    index.put(entry("a", Some(&names[1]))); // in its place: nothing is left nameless
    assert_eq!(index.entries().len(), 3);
    index.add(entry("b", Some("x")));
    index.find(&Wanted::Only).unwrap_err();
    index.remove(3);
    index.remove(1);
    index.find(&Wanted::Only).unwrap_err();
    index.remove(1);
    assert_eq!(index.find(&Wanted::Only).unwrap(), 0); // whatever it is
}

#[test]
fn a_doubled_name_is_replaced_whole() {
    let doubled = || {
        let text = [entry("a", Some("1")), entry("b", Some("2")), entry("b", Some("1"))]
            .map(|entry| entry.raw.as_str().to_owned());
        let text = format!(r#"{{"manifests":[{}]}}"#, text.join(","));
        Index::parse(text.into_bytes()).unwrap()
    };
    let digests = |gone: Vec<Entry>| {
        gone.iter().map(|entry| entry.descriptor().unwrap().digest).collect::<Vec<_>>()
    };
    let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
    let mut index = doubled();
    assert_eq!(digests(index.put(entry("b", Some("1")))), [a, b]);
    assert_eq!(shown(&index), [("b", Some("1")), ("b", Some("2"))]);
    // Who keeps what was there takes the name from all that have it.
    let mut index = doubled();
    index.add(entry("a", Some("1")));
    assert_eq!(shown(&index), [("a", Some("1")), ("b", Some("2")), ("b", None)]);
    // Without a reference, only one is replaced.
    let mut index = doubled();
    index.put(entry("a", None));
    index.entries.push(entry("b", None));
    assert_eq!(digests(index.put(entry("b", None))), [Digest::sha256(b"a")]);
    assert_eq!(index.entries().len(), 5);
}

#[test]
fn a_reference_that_is_part_of_two_names_is_taken_from_one() {
    let named = |content: &str, name: &str| {
        entry(content, Some("latest")).raw.as_str().replace(
            "{\"org",
            &format!("{{\"io.containerd.image.name\":\"docker.io/library/{name}\",\"org"),
        )
    };
    let all = [named("a", "x:latest"), named("b", "y:latest"), named("b", "x:latest")];
    let text = format!(r#"{{"manifests":[{}]}}"#, all.join(","));
    let mut index = Index::parse(text.into_bytes()).unwrap();
    assert_eq!(index.put(entry("a", Some("latest"))).len(), 2);
    assert_eq!(shown(&index), [("a", Some("latest")), ("b", Some("latest"))]);
    assert_eq!(index.entries()[1].whole_name().unwrap(), "docker.io/library/y:latest");
    assert_eq!(index.find(&Wanted::Reference("latest".into())).unwrap(), 0);
}

#[test]
fn encodes_as_go_and_keeps_what_it_does_not_know() {
    let mut index = Index::new();
    index.add(entry("a", Some("1")));
    let digest = Digest::sha256(b"a");
    assert_eq!(
        String::from_utf8(index.encode()).unwrap(),
        format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\
             \"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
             \"digest\":\"{digest}\",\"size\":1,\"annotations\":\
             {{\"org.opencontainers.image.ref.name\":\"1\"}}}}]}}"
        )
    );
    let text = "{\"x\":\"\\u003c\",\"manifests\":[{\"digest\":\"nonsense\",\"y\":1.50e3}],\
                \"annotations\":{\"k\":\"v\"}}";
    assert_eq!(Index::parse(text.into()).unwrap().encode(), text.as_bytes());
    for text in ["[]", "{\"manifests\":1}", "{\"manifests\":[1]}", ""] {
        assert!(Index::parse(text.into()).is_err(), "{text}");
    }
    assert!(Index::parse(b"{\"manifests\":null}".into()).unwrap().entries().is_empty());
}

#[test]
fn reads_as_go_does() {
    let digest = Digest::sha256(b"a");
    let index = |text: String| Index::parse(text.into_bytes());
    let own = MediaType::OCI_MANIFEST;
    let named =
        format!(r#""mediaType":"{own}","annotations":{{"{REF_NAME}":"1","{REF_NAME}":"2"}}"#);
    for text in [
        format!(r#"{{"Manifests":[{{"Digest":"{digest}",{named}}}]}}"#),
        format!(
            r#"{{"MANIFESTS":[{{"DIGEST":"x","digest":"{digest}","Annotations":null,{named}}}]}}"#
        ),
        format!(
            r#"{{"manifests":[{{"digest":"x"}}],"manifests":[{{"digest":"{digest}",{named}}}]}}"#
        ),
        format!(r#"{{"manifests":[{{{named},"size":1}}],"manifests":[{{"digest":"{digest}"}}]}}"#),
    ] {
        let mut read = index(text.clone()).unwrap();
        assert_eq!(read.find(&Wanted::Reference("2".into())).unwrap(), 0, "{text}");
        assert_eq!(read.entries()[0].descriptor().unwrap().digest, digest, "{text}");
        read.add(entry("b", Some("2")));
        assert_eq!(shown(&read), [("a", None), ("b", Some("2"))], "{text}");
        let again = Index::parse(read.encode()).unwrap();
        assert_eq!(shown(&again), shown(&read), "{text}");
    }
    // Sizes that no file has are refused, with the descriptor that has them.
    for (size, right) in
        [("-1", true), ("null", true), ("9223372036854775808", false), ("1e1", false)]
    {
        let text = format!(r#"{{"manifests":[{{"digest":"{digest}","size":{size}}}]}}"#);
        let read = index(text).unwrap();
        assert_eq!(read.entries()[0].descriptor().is_ok(), right, "{size}");
        assert_eq!(read.entries()[0].size(), None);
    }
}

#[test]
fn only_so_many_entries_are_read() {
    for hostile in ["{\"a\":0},", "{},", "null,"] {
        let text = format!("{{\"manifests\":[{}{{}}]}}", hostile.repeat(MOST));
        let error = Index::parse(text.into_bytes()).unwrap_err().to_string();
        assert!(error.contains("more than 1048576 entries"), "{error}");
    }
    let text = format!("{{{}\"manifests\":[]}}", "\"a\":0,".repeat(MOST));
    assert!(Index::parse(text.into_bytes()).is_err());
    let one = format!("{{\"manifests\":[{{\"x\":[{}0]}}]}}", "0,".repeat(MOST));
    let index = Index::parse(one.into_bytes()).unwrap();
    assert!(index.entries()[0].descriptor().is_err());
}
