use proptest::prelude::*;

use super::*;

const SHA: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn normalises() {
    for (text, full, familiar) in [
        ("centos:8", "docker.io/library/centos:8", "centos:8"),
        ("centos", "docker.io/library/centos", "centos"),
        ("library/centos", "docker.io/library/centos", "centos"),
        ("user/app:v1", "docker.io/user/app:v1", "user/app:v1"),
        ("docker.io/centos", "docker.io/library/centos", "centos"),
        ("index.docker.io/centos", "docker.io/library/centos", "centos"),
        ("index.docker.io/a/b", "docker.io/a/b", "a/b"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/a", "localhost/a", "localhost/a"),
        ("localhost:5000/a:t", "localhost:5000/a:t", "localhost:5000/a:t"),
        ("local/a", "docker.io/local/a", "local/a"), // no dot, no port: no host
        ("LOCALHOST.x/a", "LOCALHOST.x/a", "LOCALHOST.x/a"), // hosts may have capitals
        ("192.168.0.1:5000/a/b", "192.168.0.1:5000/a/b", "192.168.0.1:5000/a/b"),
        ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
        ("[fc00::1]/a:b", "[fc00::1]/a:b", "[fc00::1]/a:b"),
        ("quay.io/a__b/c-d---e_f.g:Tag_1.-", "quay.io/a__b/c-d---e_f.g:Tag_1.-", ""),
        ("a:5000", "docker.io/library/a:5000", "a:5000"), // a tag, not a port
        ("xn--n3h.com/a", "xn--n3h.com/a", "xn--n3h.com/a"),
    ] {
        let reference = Reference::parse_normalized(text).unwrap();
        assert_eq!(reference.to_string(), full, "{text}");
        if !familiar.is_empty() {
            assert_eq!(reference.familiar(), familiar, "{text}");
        }
    }
    let both = Reference::parse_normalized(&format!("busybox:1@{SHA}")).unwrap();
    assert_eq!(both.tag.as_deref(), Some("1"));
    assert_eq!(both.to_string(), format!("docker.io/library/busybox:1@{SHA}"));
    assert_eq!(both.familiar(), format!("busybox:1@{SHA}"));
}

#[test]
fn refuses_in_the_words_of_the_original() {
    use ReferenceError as E;
    let hex = &SHA[7..];
    let long = format!("a.b/{}", "c".repeat(252)); // 256 characters
    let tag = format!("a:{}", "t".repeat(129));
    for (text, expected) in [
        ("", E::InvalidFormat),
        ("Foo", E::Uppercase),
        ("library/Foo:bar", E::Uppercase),
        ("quay.io/Foo/bar", E::Uppercase),
        ("Foo/bar", E::Uppercase), // no host: it has neither dot nor port
        ("a/B@x:y", E::Uppercase),
        ("a:", E::InvalidFormat),
        ("a@", E::InvalidFormat),
        (":a", E::InvalidFormat),
        ("/a", E::InvalidFormat),
        ("a/", E::InvalidFormat),
        ("a//b", E::InvalidFormat),
        ("a b", E::InvalidFormat),
        ("a:b:c", E::InvalidFormat),
        ("a:b c", E::InvalidFormat),
        ("-a", E::InvalidFormat),
        ("a-", E::InvalidFormat),
        ("a___b", E::InvalidFormat),
        ("a..b", E::InvalidFormat),
        ("a._b", E::InvalidFormat),
        ("a.b:x/c", E::InvalidFormat),
        ("-a.b/c", E::InvalidFormat),
        ("a-.b/c", E::InvalidFormat),
        ("[]/a", E::InvalidFormat),
        ("[::1/a", E::InvalidFormat),
        ("[::g]/a", E::InvalidFormat),
        ("https://quay.io/a", E::InvalidFormat),
        ("a@sha256:abc", E::InvalidFormat),
        ("\u{e9}", E::InvalidFormat),
        (&long, E::TooLong),
        (&tag, E::InvalidFormat),
        (hex, E::Identifier(hex.to_owned())),
    ] {
        assert_eq!(Reference::parse_normalized(text), Err(expected), "{text}");
    }
    let short = format!("a@sha256:{}", &hex[..32]);
    let error = Reference::parse_normalized(&short).unwrap_err();
    assert_eq!(error.to_string(), "invalid checksum digest length");
    let error = Reference::parse_normalized(&format!("a@md5:{}", &hex[..32])).unwrap_err();
    assert_eq!(error.to_string(), "unsupported digest algorithm");
    assert_eq!(
        Reference::parse_normalized("a/Foo").unwrap_err().to_string(),
        "invalid reference format: repository name must be lowercase"
    );
    assert!(Reference::parse_normalized(&long[..255]).is_ok());
}

#[test]
fn names_have_neither_tag_nor_digest() {
    assert_eq!(Named::parse_normalized("quay.io/a/b").unwrap().path(), "a/b");
    assert_eq!(Named::parse_normalized("a:b"), Err(ReferenceError::InvalidFormat));
    assert_eq!(Reference::parse_canonical("centos"), Err(ReferenceError::NotCanonical));
    assert!(Reference::parse_canonical("docker.io/library/centos:8").is_ok());
    let latest = Reference::parse_normalized("centos").unwrap().or_latest();
    assert_eq!(latest.to_string(), "docker.io/library/centos:latest");
    assert_eq!(Reference::with_tag(latest.name, "-"), Err(ReferenceError::InvalidTag));
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC{0,80}") {
        let _ = Reference::parse_normalized(&text);
    }

    #[test]
    fn what_is_printed_is_read_back(
        domain in "([a-zA-Z0-9]{1,5}\\.[a-z]{2}|localhost|\\[::[0-9a-f:]{0,9}\\])(:[0-9]{1,5})?",
        path in "[a-z0-9]{1,5}(([._]|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,4}){0,2}",
        tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
        with_digest in any::<bool>(),
    ) {
        let mut text = format!("{domain}/{path}");
        if let Some(tag) = &tag {
            text += &format!(":{tag}");
        }
        if with_digest {
            text += &format!("@{SHA}");
        }
        let reference = Reference::parse_normalized(&text).unwrap();
        prop_assert_eq!(reference.to_string(), text.clone());
        prop_assert_eq!(reference.name.domain(), domain);
        prop_assert_eq!(reference.name.path(), path);
        prop_assert_eq!(&reference.tag, &tag);
        prop_assert_eq!(Reference::parse_normalized(&reference.familiar()).unwrap(), reference);
    }
}
