//! What a name means, and what it refuses, as the original does it.

use std::error::Error as _;

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const KNOWN: &str = "beefcafe89abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The name in a store that has one image.
fn settled(text: &str) -> Result<StorageName, StorageNameError> {
    StorageName::parse(text)?
        .settle(graph(), |beginning| KNOWN.starts_with(beginning).then(|| KNOWN.to_owned()))
}

fn chain(error: &StorageNameError) -> String {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

#[test]
fn means_what_the_original_means() {
    let digest = format!("sha256:{HEX}");
    for (text, expected) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("ab", "docker.io/library/ab:latest"),
        // Long enough to be an id, and one.
        ("bee", &format!("@{KNOWN}")),
        ("beefcafe", &format!("@{KNOWN}")),
        (KNOWN, &format!("@{KNOWN}")),
        ("be", "docker.io/library/be:latest"),
        ("beefcafe:1", "docker.io/library/beefcafe:1"),
        (&format!("@{HEX}"), &format!("@{HEX}")),
        ("@beef", &format!("@{KNOWN}")),
        ("a/b@beef", &format!("docker.io/a/b:latest@{KNOWN}")),
        (&format!("a/b:1@{HEX}"), &format!("docker.io/a/b:1@{HEX}")),
        (&format!("b@{digest}"), &format!("docker.io/library/b@{digest}")),
        (&format!("b:1@{digest}"), &format!("docker.io/library/b:1@{digest}")),
        (&format!("b@{digest}@{HEX}"), &format!("docker.io/library/b@{digest}@{HEX}")),
        (&format!("b:1@{digest}@{HEX}"), &format!("docker.io/library/b:1@{digest}@{HEX}")),
    ] {
        let name = settled(text).unwrap();
        assert_eq!(name.to_string(), format!("[overlay@/graph+/run]{expected}"), "{text}");
        // What is shown can be typed again.
        let shown = settled(&name.to_string()).unwrap();
        assert_eq!(shown.to_string(), name.to_string());
    }
}

#[test]
fn refuses_in_the_originals_words() {
    let upper = HEX.to_uppercase();
    for (text, expected) in [
        ("", "\"\" is an empty reference: invalid reference"),
        ("[/graph]", "\"\" is an empty reference: invalid reference"),
        ("[/graph", "invalid reference"),
        ("[]busybox", "invalid reference"),
        ("[@/graph]busybox", "invalid reference"),
        ("[overlay@]busybox", "invalid reference"),
        ("[graph]busybox", "path name is not absolute"),
        ("[overlay@graph]busybox", "path name is not absolute"),
        ("[overlay@/graph+run]busybox", "path name is not absolute"),
        ("busybox@", "empty trailing digest or ID in \"busybox@\": invalid reference"),
        ("busybox@ab", "\"ab\" does not look like an image ID or digest: invalid reference"),
        ("busybox@abc", "\"abc\" does not look like an image ID or digest: invalid reference"),
        (
            "busybox@sha256:ab",
            "\"sha256:ab\" does not look like an image ID or digest: invalid reference",
        ),
        (
            "UPPERCASEISINVALID",
            "parsing named reference \"UPPERCASEISINVALID\": invalid reference format: \
             repository name must be lowercase",
        ),
        (
            HEX,
            &format!(
                "parsing named reference \"{HEX}\": invalid repository name ({HEX}), cannot \
                 specify 64-byte hexadecimal strings"
            ),
        ),
        (
            &format!("@{upper}"),
            &format!("{upper:?} does not look like an image ID or digest: invalid reference"),
        ),
        ("a:b:c", "parsing named reference \"a:b:c\": invalid reference format"),
    ] {
        assert_eq!(chain(&settled(text).unwrap_err()), expected, "{text}");
    }
}

#[test]
fn stores_are_named_in_part_or_whole() {
    let spec =
        |text: &str| StorageName::parse(&format!("[{text}]x")).unwrap().spec().unwrap().clone();
    let path = |text: &str| Some(PathBuf::from(text));
    let root = StoreSpec { graph_root: path("/g"), ..StoreSpec::default() };
    assert_eq!(spec("/g"), root);
    assert_eq!(spec("/g/./h/..//"), root);
    let driver = StoreSpec { driver: Some("vfs".to_owned()), ..root };
    assert_eq!(spec("vfs@/g"), driver);
    let both = StoreSpec { run_root: path("/r"), ..driver.clone() };
    assert_eq!(spec("vfs@/g+/r"), both);
    let options = vec!["a=b".to_owned(), "c".to_owned()];
    assert_eq!(spec("vfs@/g+/r:a=b,c"), StoreSpec { options: options.clone(), ..both });
    assert_eq!(spec("vfs@/g:a=b,c"), StoreSpec { options, ..driver });
    assert_eq!(spec("+/r"), StoreSpec { run_root: path("/r"), ..StoreSpec::default() });
    for text in ["[vfs@/g+/r:a=b,c]x", "[/g]x:1", "[+/r]@abc", "[vfs@+]x", "[+]x", "x@abc"] {
        assert_eq!(StorageName::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn policies_see_the_store_and_what_is_above_the_name() {
    let scope = |text: &str| settled(text).unwrap().policy_scope();
    let digest = format!("sha256:{HEX}");
    let wide = ["[overlay@/graph]", "[/graph]"];
    let library = [
        "[overlay@/graph]docker.io/library/b",
        "[overlay@/graph]docker.io/library",
        "[overlay@/graph]docker.io",
    ];
    let expected = |special: &[String]| -> Vec<String> {
        let known = library.into_iter().chain(wide).map(str::to_owned);
        special.iter().cloned().chain(known).collect()
    };
    let tagged = scope("b:1");
    assert_eq!(tagged.identity, "[overlay@/graph]docker.io/library/b:1");
    assert_eq!(tagged.namespaces, expected(&[]));
    let all = scope(&format!("b:1@{digest}@{HEX}"));
    let named = format!("[overlay@/graph]docker.io/library/b:1@{digest}");
    assert_eq!(all.identity, format!("{named}@{HEX}"));
    let tag = "[overlay@/graph]docker.io/library/b:1".to_owned();
    assert_eq!(all.namespaces, expected(&[named, tag]));
    let id = scope(&format!("@{HEX}"));
    assert_eq!(id.identity, format!("[overlay@/graph]@{HEX}"));
    assert_eq!(id.namespaces, wide);
    assert_eq!(id.reference, None);
}
