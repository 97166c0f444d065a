mod files;

use proptest::prelude::*;

use super::*;
use crate::testing::Machine;
use skopeo_image::Reference;

fn parse(text: &str) -> Result<Registries, String> {
    Registries::parse(text, Path::new("r.conf")).map_err(|error| error.chain())
}

/// The prefixes of all entries.
fn prefixes(registries: &Registries) -> String {
    registries.entries().iter().map(|entry| entry.prefix.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_not_allowed_is_said_as_the_original_says_it() {
    for (text, expected) in [
        ("[[registry]]", "invalid condition: both location and prefix are unset"),
        (
            "[[registry]]\nprefix='h'",
            "invalid condition: location is unset and prefix is not in the format: *.example.com",
        ),
        (
            "[[registry]]\nlocation='http://h'",
            "invalid location 'http://h': URI schemes are not supported",
        ),
        (
            "[[registry]]\nprefix='https://h/'\nlocation='h'",
            "invalid location 'https://h/': URI schemes are not supported",
        ),
        (
            "[[registry]]\nprefix='*.h/x'",
            "Wildcarded prefix should be in the format: *.example.com. Current prefix \"*.h/x\" is \
             incorrectly formatted",
        ),
        (
            "[[registry]]\nlocation='h'\npull-from-mirror='all'",
            "pull-from-mirror must not be set for a non-mirror registry \"h\"",
        ),
        (
            "[[registry]]\nlocation='h'\n[[registry.mirror]]",
            "invalid condition: mirror location is unset",
        ),
        (
            "[[registry]]\nlocation='h'\n[[registry.mirror]]\nlocation='m'\npull-from-mirror='x'",
            "unsupported pull-from-mirror value \"x\" for mirror \"m\"",
        ),
        (
            "[[registry]]\nlocation='h'\nmirror-by-digest-only=true\n[[registry.mirror]]\n\
             location='m'\npull-from-mirror='all'",
            "cannot set mirror usage mirror-by-digest-only for the registry (\"h\") and \
             pull-from-mirror for per-mirror (\"m\") at the same time",
        ),
        (
            "[[registry]]\nlocation='h'\nblocked=true\n[[registry]]\nprefix='p'\nlocation='h'",
            "registry 'h' is defined multiple times with conflicting 'blocked' setting",
        ),
        (
            "[[registry]]\nlocation='h'\n[[registry]]\nprefix='p'\nlocation='h/'\ninsecure=true",
            "registry 'h' is defined multiple times with conflicting 'insecure' setting",
        ),
        (
            "unqualified-search-registries=['h','h/x']",
            "Invalid unqualified-search-registries entry \"h/x\"",
        ),
        ("short-name-mode='sometimes'", "invalid short-name mode: \"sometimes\""),
        (
            "[aliases]\n'a:1'='h.io/x'",
            "validating short-name aliases: invalid short name \"a:1\": must not contain tag",
        ),
        (
            "[aliases]\n'h.io/a'='x'",
            "validating short-name aliases: invalid short name \"h.io/a\": must not contain \
             registry\ninvalid alias \"x\": must contain registry and repository",
        ),
        ("[registries.search]\nregistries=['h']", "registry must be in v2 format but is in v1"),
        ("[registries.insecure]\nregistries=[]", "registry must be in v2 format but is in v1"),
        ("a = 1\nb = ", "toml: line 2: string values must be quoted, expected literal string"),
        (
            "[[registry]]\nlocation='h'\nBLOCKED='yes'",
            "invalid type: string \"yes\", expected a boolean",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn what_is_allowed() {
    let parsed = parse(
        "unknown = 1\n\
         unqualified-search-registries = ['h.io', 'localhost:5000', '[::1]:5000/']\n\
         credential-helpers = ['pass', 'containers-auth.json']\n\
         short-name-mode = 'enforcing'\n\
         additional-layer-store-auth-helper = '/bin/x'\n\
         [[registry]]\nprefix='z'\nlocation='h/z/'\nnonsense=1\n\
         [[registry]]\nprefix='a'\nlocation='first'\n\
         [[registry]]\nprefix='a'\nlocation='second'\n\
         [[registry]]\nprefix='*.example.com'\n\
         [[registry]]\nLocation='caps'\nBlocked=true\n\
         [aliases]\n'fedora'='registry.fedoraproject.org/fedora'\n'nothing'=''\n",
    )
    .unwrap();
    assert_eq!(prefixes(&parsed), "*.example.com a caps z");
    assert_eq!(parsed.find("a").unwrap().location.as_deref(), Some("first"));
    assert_eq!(parsed.find("z").unwrap().location.as_deref(), Some("h/z"));
    assert!(parsed.find("caps").unwrap().blocked);
    assert_eq!(parsed.unqualified(), ["h.io", "localhost:5000", "[::1]:5000"]);
    assert_eq!(parsed.credential_helpers(), ["pass", "containers-auth.json"]);
    assert_eq!(parsed.short_name_mode(), ShortNameMode::Enforcing);
    assert_eq!(parsed.layer_store_helper(), Some("/bin/x"));
    let fedora = parsed.alias("fedora").unwrap();
    assert_eq!(fedora.name.as_ref().unwrap().to_string(), "registry.fedoraproject.org/fedora");
    assert_eq!(parsed.alias("nothing").unwrap().name, None);
    assert_eq!(parsed.alias("other"), None);
}

#[test]
fn prefixes_match_whole_parts() {
    let text: String = ["h", "h/ns", "h/ns/x", "other:5000", "*.example.com", "*.b.example.com"]
        .iter()
        .map(|prefix| format!("[[registry]]\nprefix='{prefix}'\nlocation='there'\n"))
        .collect();
    let registries = parse(&text).unwrap();
    for (name, expected) in [
        ("h", "h"),
        ("h/x", "h"),
        ("hh/x", ""),
        ("h/ns/y", "h/ns"),
        ("h/ns/x", "h/ns/x"),
        ("h/ns/xy", "h/ns"),
        ("h:5000/x", "h"), // as the original has it
        ("other/x", ""),
        ("other:5000/x", "other:5000"),
        ("a.example.com/x", "*.example.com"),
        ("a.example.com:5000/x", "*.example.com"),
        ("a.b.example.com/x", "*.b.example.com"),
        ("a.example.com.example.com/x", "*.example.com"),
        ("example.com/x", ""),
        ("a.example.com.evil/x", ""),
        ("evil/a.example.com", ""),
    ] {
        let found = registries.find(name).map_or("", |registry| registry.prefix.as_str());
        assert_eq!(found, expected, "{name}");
    }
}

const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The endpoints, `!` for insecure and `m` for mirror, or the error.
fn endpoints(conf: &str, name: &str) -> String {
    let reference = Reference::parse_normalized(name).unwrap();
    match parse(conf).unwrap().endpoints(&reference) {
        Ok(endpoints) => {
            let texts = endpoints.iter().map(|endpoint| {
                let mark = if endpoint.is_mirror { "m" } else { "" };
                let insecure = if endpoint.insecure { "!" } else { "" };
                format!("{mark}{insecure} {}", endpoint.reference).trim().to_owned()
            });
            texts.collect::<Vec<_>>().join(", ")
        }
        Err(error) => error.chain(),
    }
}

#[test]
fn endpoints_are_mirrors_then_the_primary_location() {
    let mapped = "[[registry]]\nprefix='h.io/ns'\nlocation='real:5000/other'\ninsecure=true\n\
                  [[registry.mirror]]\nlocation='m.io'\n\
                  [[registry.mirror]]\nlocation='n.io/x'\ninsecure=true\n";
    let picky = "[[registry]]\nlocation='h.io'\n\
                 [[registry.mirror]]\nlocation='a:1'\npull-from-mirror='all'\n\
                 [[registry.mirror]]\nlocation='d:1'\npull-from-mirror='digest-only'\n\
                 [[registry.mirror]]\nlocation='t:1'\npull-from-mirror='tag-only'\n";
    let strict = "[[registry]]\nlocation='h.io'\nmirror-by-digest-only=true\n\
                  [[registry.mirror]]\nlocation='m.io'\n";
    let hub = "[[registry]]\nlocation='docker.io'\n[[registry.mirror]]\nlocation='m:5000'\n";
    let official = "[[registry]]\nlocation='docker.io/library'\n\
                    [[registry.mirror]]\nlocation='m:5000'\n";
    let wild = "[[registry]]\nprefix='*.h.io'\ninsecure=true\n";
    let gathered = "[[registry]]\nprefix='*.h.io'\nlocation='r.io/all'\n";
    let capital = "[[registry]]\nprefix='h.io'\nlocation='r.io/UP'\n";
    let short = "[[registry]]\nprefix='h.io'\nlocation='short'\n";
    for (conf, name, expected) in [
        ("", "h.io/x:1", "h.io/x:1"),
        (mapped, "h.io/other:1", "h.io/other:1"),
        (mapped, "h.io/ns/a/b:1", "m m.io/a/b:1, m! n.io/x/a/b:1, ! real:5000/other/a/b:1"),
        (hub, "busybox:1", "m m:5000/library/busybox:1, docker.io/library/busybox:1"),
        (official, "busybox:1", "m m:5000/busybox:1, docker.io/library/busybox:1"),
        (picky, "h.io/x:1", "m a:1/x:1, m t:1/x:1, h.io/x:1"),
        (picky, "h.io/x@D", "m a:1/x@D, m d:1/x@D, h.io/x@D"),
        (strict, "h.io/x:1", "h.io/x:1"),
        (strict, "h.io/x@D", "m m.io/x@D, h.io/x@D"),
        (wild, "a.h.io/x:1", "! a.h.io/x:1"),
        (gathered, "a.h.io/x:1", "r.io/all/x:1"),
        (gathered, "a.h.io:5000/x:1", "rewriting reference: invalid reference format"),
        (
            capital,
            "h.io/x:1",
            "rewriting reference: invalid reference format: repository name must be lowercase",
        ),
        (short, "h.io/x:1", "rewriting reference: repository name must be canonical"),
    ] {
        let found = endpoints(conf, &name.replace("@D", DIGEST)).replace(DIGEST, "@D");
        assert_eq!(found, expected, "{name}\n{conf}");
    }
}

#[test]
fn blocked_places_are_not_asked() {
    let blocked = "[[registry]]\nlocation='h.io'\nblocked=true\n";
    let sentence = "registry h.io is blocked in one of r.conf";
    assert_eq!(endpoints(blocked, "h.io/x:1"), sentence);
    let mirrored = format!("{blocked}[[registry.mirror]]\nlocation='m.io'\n");
    assert_eq!(endpoints(&mirrored, "h.io/x:1"), "m m.io/x:1");
    // A location that is itself blocked by another entry.
    let remapped = format!("[[registry]]\nprefix='p.io'\nlocation='h.io/p'\n{blocked}");
    let conflict = "registry 'h.io' is defined";
    assert!(!endpoints(&remapped, "p.io/x:1").contains(conflict));
    assert_eq!(endpoints(&remapped, "p.io/x:1"), sentence);
}

#[test]
fn all_but_reading_goes_to_the_name_itself() {
    let conf = "[[registry]]\nprefix='h.io'\nlocation='r.io'\ninsecure=true\n\
                [[registry.mirror]]\nlocation='m.io'\n\
                [[registry]]\nlocation='b.io'\nblocked=true\n";
    let registries = parse(conf).unwrap();
    let reference = Reference::parse_normalized("h.io/x:1").unwrap();
    let expected = Endpoint { reference: reference.clone(), insecure: true, is_mirror: false };
    assert_eq!(registries.primary(&reference).unwrap(), expected);
    let blocked = Reference::parse_normalized("b.io/x:1").unwrap();
    assert!(matches!(registries.primary(&blocked), Err(Error::Blocked { .. })));
    assert!(registries.insecure_host("h.io").unwrap());
    assert!(!registries.insecure_host("other").unwrap());
    assert!(matches!(registries.insecure_host("b.io"), Err(Error::Blocked { .. })));
}

fn entry(name: &str) -> String {
    format!("[[registry]]\nlocation='{name}'\n")
}

#[test]
fn domains() {
    for (text, expected) in [
        ("h", true),
        ("a-b.c", true),
        ("h:5000", true),
        ("[::1]", true),
        ("[::1]:5000", true),
        ("", false),
        ("-a", false),
        ("a-", false),
        ("a..b", false),
        ("h:", false),
        ("h:x", false),
        ("[]", false),
        ("[g]", false),
        ("a/b", false),
        ("a_b", false),
    ] {
        assert_eq!(short::is_domain(text), expected, "{text}");
    }
}

const PIECES: &[&str] = &[
    "[[registry]]\n",
    "[[registry.mirror]]\n",
    "[aliases]\n",
    "[registries.search]\n",
    "prefix='*.h.io'\n",
    "prefix='h.io/x'\n",
    "location='h.io'\n",
    "location='//'\n",
    "location=''\n",
    "insecure=true\n",
    "blocked=true\n",
    "pull-from-mirror='all'\n",
    "mirror-by-digest-only=true\n",
    "'a'='h.io/b'\n",
    "unqualified-search-registries=['h.io']\n",
    "registries=[]\n",
    "\u{0}",
    "'",
    "=",
    "*.",
    "[",
    "]",
];

proptest! {
    #[test]
    fn no_text_brings_the_parser_down(
        picks in proptest::collection::vec(0..PIECES.len(), 0..12)
    ) {
        let text: String = picks.into_iter().map(|at| PIECES[at]).collect();
        if let Ok(registries) = Registries::parse(&text, Path::new("")) {
            for name in ["h.io/x:1", "a.h.io/x", "busybox"] {
                let reference = Reference::parse_normalized(name).unwrap();
                if let Ok(endpoints) = registries.endpoints(&reference) {
                    prop_assert!(!endpoints.is_empty());
                }
            }
        }
    }
}
