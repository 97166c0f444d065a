use proptest::prelude::*;
use skopeo_image::PolicyScope;

use super::*;

fn reason(text: &str) -> String {
    Policy::parse(text.as_bytes(), "p.json").err().map(|error| error.reason).unwrap_or_default()
}

/// The reason why a policy with this one default requirement is refused; empty if it is not.
fn requirement(text: &str) -> String {
    reason(&format!(r#"{{"default":[{text}]}}"#))
}

#[test]
fn the_frame_is_strict() {
    let accept = r#"[{"type":"insecureAcceptAnything"}]"#;
    for (text, expected) in [
        (r#"{"default":A}"#, ""),
        (r#"{"default":A,"transports":{}}"#, ""),
        (r#"{"default":A,"transports":{"docker":{"":A,"h/x":A,"*.h":A}}}"#, ""),
        (r#"{"default":A,"transports":{"dir":{"/a":A}}}"#, ""),
        (r#"{"default":A,"transports":{"dir":{"a":A}}}"#, r#"Unknown key "a""#),
        (r#"{"default":A,"transports":{"tarball":{"":A}}}"#, ""),
        (r#"{"transports":{}}"#, "Default policy is missing"),
        (r#"{"default":A,"extra":1}"#, r#"Unknown key "extra""#),
        (r#"{"default":A,"Default":A}"#, r#"Unknown key "Default""#),
        (r#"{"default":A,"default":A}"#, r#"Duplicate key "default""#),
        (r#"{"default":A,"transports":{"docker":{},"docker":{}}}"#, r#"Duplicate key "docker""#),
        (r#"{"default":A,"transports":{"docker":{"h":A,"h":A}}}"#, r#"Duplicate key "h""#),
        (r#"{"default":[]}"#, "List of verification policy requirements must not be empty"),
        (
            r#"{"default":A,"transports":{"docker":{"h":[]}}}"#,
            "List of verification policy requirements must not be empty",
        ),
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        (r#"[]"#, "JSON object expected, got \"[\""),
        (r#"{"default":A,"transports":[]}"#, "JSON object expected, got \"[\""),
        (r#"{"default":[1]}"#, "JSON object expected, got 1"),
    ] {
        assert_eq!(reason(&text.replace('A', accept)), expected, "{text}");
    }
    for text in ["", "{", r#"{"default":A}x"#, r#"{"default":{}}"#, r#"{"default":null}"#] {
        assert_ne!(reason(&text.replace('A', accept)), "", "{text}");
    }
}

#[test]
fn errors_name_the_line() {
    let text = |requirement: &str, scope: &str| {
        format!(
            r#"{{
  "default": [{{"type": "reject"}}],
  "transports": {{
    "dir": {{
      "{scope}": [
        {{
          "type": "reject"
        }},
        {{
          {requirement}
        }}
      ]
    }}
  }}
}}
"#
        )
    };
    for (requirement, scope, expected) in [
        (r#""type": "reject""#, "/a", None),
        (r#""type": "reject", "x": 1"#, "/a", Some("Unknown key \"x\" (line 10)")),
        ("\"type\": \"reject\",\n\n\"x\": 1", "/a", Some("Unknown key \"x\" (line 12)")),
        ("\"type\": \"reject\",\n\"type\":\n\"x\"", "/a", Some("Duplicate key \"type\" (line 12)")),
        (r#""type": "x""#, "/a", Some("Unknown policy requirement type \"x\" (line 9)")),
        (
            r#""type": "signedBy", "keyType": "GPGKeys", "keyPath": "k", "signedIdentity": {"type":"x"}"#,
            "/a",
            Some("Unknown policy reference match type \"x\" (line 9)"),
        ),
        (r#""type": "reject""#, "rel", Some("Unknown key \"rel\" (line 5)")),
        (
            r#""type": "reject""#,
            "/a\": [], \"/b",
            Some("List of verification policy requirements must not be empty (line 5)"),
        ),
    ] {
        let found = Policy::parse(text(requirement, scope).as_bytes(), "p").err();
        assert_eq!(found.map(|error| error.reason).as_deref(), expected, "{requirement}");
    }
}

#[test]
fn errors_name_the_file() {
    let error = Policy::parse(b"{}", "/etc/containers/policy.json").unwrap_err();
    let expected = r#"invalid policy in "/etc/containers/policy.json": Default policy is missing"#;
    assert_eq!(error.to_string(), expected);
}

#[test]
fn simple_requirements() {
    let keys = "Exactly one of keyPath, keyPaths and keyData must be specified";
    for (text, expected) in [
        (r#"{"type":"reject"}"#, String::new()),
        (r#"{"type":"reject","x":1}"#, r#"Unknown key "x""#.to_owned()),
        (r#"{"type":"nonsense"}"#, r#"Unknown policy requirement type "nonsense""#.to_owned()),
        (r"{}", r#"Unknown policy requirement type """#.to_owned()),
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}"#, String::new()),
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyPaths":["/k"]}"#, String::new()),
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyData":"AAAA"}"#, String::new()),
        (r#"{"type":"signedBy","keyType":"GPGKeys"}"#, format!("{keys}, none of them present")),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","keyData":"AAAA"}"#,
            format!("{keys}, more than one present"),
        ),
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":""}"#, keys.replace('E', "e")),
        (
            r#"{"type":"signedBy","keyType":"other","keyPath":"/k"}"#,
            r#"Unrecognized keyType value "other""#.to_owned(),
        ),
        (r#"{"type":"signedBy","keyPath":"/k"}"#, r#"invalid keyType """#.to_owned()),
        (
            r#"{"type":"signedBaseLayer"}"#,
            r#"Key "baseLayerIdentity" missing in a JSON object"#.to_owned(),
        ),
    ] {
        assert_eq!(requirement(text), expected, "{text}");
    }
    let broken = r#"{"type":"signedBy","keyType":"GPGKeys","keyData":"A"}"#;
    assert!(requirement(broken).starts_with("illegal base64 data"));
}

#[test]
fn sigstore_requirements() {
    let one = "exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio, and pki must be \
               specified";
    let fulcio = r#""fulcio":{"caPath":"/c","oidcIssuer":"i","subjectEmail":"e"}"#;
    let pki = r#""pki":{"caRootsPath":"/c","subjectEmail":"e"}"#;
    for (fields, expected) in [
        (r#""keyPath":"/k""#, ""),
        (r#""keyPaths":["/k"]"#, ""),
        (r#""keyData":"AAAA""#, ""),
        (r#""keyDatas":["AAAA"]"#, ""),
        (r#""keyPaths":[]"#, r#""keyPaths" contains no entries"#),
        (r#""keyDatas":[]"#, r#""keyDatas" contains no entries"#),
        (r#""keyPath":"""#, one),
        (r#""keyPath":"/k","keyData":"AAAA""#, one),
        (r#""keyPath":"/k","rekorPublicKeyPath":"/r""#, ""),
        (r#""keyPath":"/k","rekorPublicKeyDatas":["AAAA"]"#, ""),
        (
            r#""keyPath":"/k","rekorPublicKeyPath":"/r","rekorPublicKeyData":"AAAA""#,
            "at most one of rekorPublickeyPath, rekorPublicKeyPaths, rekorPublickeyData and \
             rekorPublicKeyDatas can be used simultaneously",
        ),
        (r#"FULCIO,"rekorPublicKeyPath":"/r""#, ""),
        (
            "FULCIO",
            "At least one of rekorPublickeyPath, rekorPublicKeyPaths, rekorPublickeyData and \
             rekorPublicKeyDatas must be specified if fulcio is used",
        ),
        (
            r#""fulcio":{"oidcIssuer":"i","subjectEmail":"e"}"#,
            "At least one of caPath and caData must be specified",
        ),
        (
            r#""fulcio":{"caPath":"/c","caData":"AAAA","oidcIssuer":"i","subjectEmail":"e"}"#,
            "caPath and caData cannot be used simultaneously",
        ),
        (r#""fulcio":{"caPath":"/c","subjectEmail":"e"}"#, "oidcIssuer not specified"),
        (r#""fulcio":{"caPath":"/c","oidcIssuer":"i"}"#, "subjectEmail not specified"),
        (
            r#""fulcio":{"caPath":"/c","oidcIssuer":"i","subjectURI":"u"},"rekorPublicKeyPath":"/r""#,
            "",
        ),
        (
            r#""fulcio":{"caPath":"/c","oidcIssuer":"i","subjectURIPrefix":"https://u/a@"},"rekorPublicKeyPath":"/r""#,
            "",
        ),
        (
            r#""fulcio":{"caPath":"/c","oidcIssuer":"i","subjectURIPrefix":"https://u/a"}"#,
            "subjectURIPrefix \"https://u/a\" must end with / or @",
        ),
        (
            r#""fulcio":{"caPath":"/c","oidcIssuer":"i","subjectEmail":"e","subjectURI":"u"}"#,
            "only one of subjectEmail, subjectURI and subjectURIPrefix can be used",
        ),
        (r#""fulcio":{"nonsense":1}"#, r#"Unknown key "nonsense""#),
        ("PKI", ""),
        (
            r#"PKI,"rekorPublicKeyPath":"/r""#,
            "rekorPublickeyPath, rekorPublicKeyPaths, rekorPublickeyData and rekorPublicKeyDatas \
             are not supported for pki",
        ),
        (
            r#""pki":{"caRootsPath":"/c"}"#,
            "At least one of subjectEmail, subjectHostname must be specified",
        ),
        (
            r#""pki":{"subjectHostname":"h"}"#,
            "At least one of caRootsPath and caRootsData must be specified",
        ),
        (
            r#""pki":{"caRootsPath":"/c","caIntermediatesPath":"/i","caIntermediatesData":"AAAA"}"#,
            "caIntermediatesPath and caIntermediatesData cannot be used simultaneously",
        ),
        (r#""keyType":"GPGKeys","keyPath":"/k""#, r#"Unknown key "keyType""#),
        // Members of ours.
        (r#""keyPath":"/k","bundleIdentity":"digestOnly""#, ""),
        (r#""keyPath":"/k","bundleIdentity":"subjectName","timestampAuthorityPath":"/t""#, ""),
        (r#""keyPath":"/k","bundleIdentity":"""#, r#"Unknown bundleIdentity """#),
        (r#""keyPath":"/k","bundleIdentity":null"#, r#"Unknown bundleIdentity """#),
        (
            r#""keyPath":"/k","bundleIdentity":"digestonly""#,
            r#"Unknown bundleIdentity "digestonly""#,
        ),
        (
            r#""keyPath":"/k","bundleIdentity":["digestOnly"]"#,
            "json: cannot unmarshal array into Go value of type string",
        ),
        (
            r#""keyPath":"/k","bundleIdentity":"digestOnly","timestampAuthorityPath":"/t","timestampAuthorityData":"AAAA""#,
            "timestampAuthorityPath and timestampAuthorityData cannot be used simultaneously",
        ),
        (
            r#""keyPath":"/k","timestampAuthorityPath":"/t""#,
            "timestampAuthorityPath and timestampAuthorityData are for bundles and need bundleIdentity",
        ),
    ] {
        let fields = fields.replace("FULCIO", fulcio).replace("PKI", pki);
        let text = format!(r#"{{"type":"sigstoreSigned",{fields}}}"#);
        assert_eq!(requirement(&text), expected, "{text}");
    }
}

#[test]
fn identities() {
    for (identity, expected) in [
        (r#"{"type":"matchExact"}"#, ""),
        (r#"{"type":"matchRepoDigestOrExact"}"#, ""),
        (r#"{"type":"matchRepository"}"#, ""),
        (r#"{"type":"matchRepository","x":1}"#, r#"Unknown key "x""#),
        (r#"{"type":"other"}"#, r#"Unknown policy reference match type "other""#),
        (r#"{"type":"exactReference","dockerReference":"busybox:1"}"#, ""),
        (
            r#"{"type":"exactReference","dockerReference":"busybox"}"#,
            r#"dockerReference "busybox" contains neither a tag nor digest"#,
        ),
        (
            r#"{"type":"exactReference","dockerReference":"UPPER:1"}"#,
            r#"Invalid format of dockerReference "UPPER:1": invalid reference format: repository name must be lowercase"#,
        ),
        (r#"{"type":"exactReference"}"#, r#"Key "dockerReference" missing in a JSON object"#),
        (r#"{"type":"exactRepository","dockerRepository":"h/x"}"#, ""),
        (r#"{"type":"remapIdentity","prefix":"h:5000","signedPrefix":"a.b/c"}"#, ""),
        (r#"{"type":"remapIdentity","prefix":"example","signedPrefix":"[::1]:5/x"}"#, ""),
        (
            r#"{"type":"remapIdentity","prefix":"h/x:tag","signedPrefix":"h"}"#,
            r#"prefix "h/x:tag" is not valid"#,
        ),
        (
            r#"{"type":"remapIdentity","prefix":"h","signedPrefix":"-"}"#,
            r#"prefix "-" is not valid"#,
        ),
        (
            r#"{"type":"remapIdentity","prefix":"h"}"#,
            r#"Key "signedPrefix" missing in a JSON object"#,
        ),
    ] {
        let text = format!(
            r#"{{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","signedIdentity":{identity}}}"#
        );
        assert_eq!(requirement(&text), expected, "{text}");
    }
}

#[test]
fn the_most_specific_scope_counts() {
    let text = r#"{
        "default": [{"type":"reject"}],
        "transports": {
            "docker": {
                "h:5000/ns/x:1": [{"type":"insecureAcceptAnything"}],
                "h:5000/ns": [{"type":"insecureAcceptAnything"},{"type":"reject"}],
                "*.example.com": [{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}],
                "": [{"type":"sigstoreSigned","keyPath":"/k"}]
            },
            "dir": {"/a": [{"type":"insecureAcceptAnything"}]}
        }
    }"#;
    let policy = Policy::parse(text.as_bytes(), "").unwrap();
    for (transport, identity, namespaces, expected) in [
        ("docker", "h:5000/ns/x:1", vec!["h:5000/ns/x", "h:5000/ns"], "insecureAcceptAnything"),
        (
            "docker",
            "h:5000/ns/x:2",
            vec!["h:5000/ns/x", "h:5000/ns", "h:5000"],
            "insecureAcceptAnything reject",
        ),
        (
            "docker",
            "a.example.com/x:1",
            vec!["a.example.com", "*.example.com", "*.com"],
            "signedBy",
        ),
        ("docker", "other/x:1", vec!["other/x", "other"], "sigstoreSigned"),
        ("dir", "/a/b", vec!["/a"], "insecureAcceptAnything"),
        ("dir", "/b", vec![], "reject"), // no general scope for dir
        ("oci", "/a", vec![], "reject"), // no section at all
    ] {
        let scope = PolicyScope {
            name: String::new(),
            transport,
            identity: identity.to_owned(),
            namespaces: namespaces.into_iter().map(str::to_owned).collect(),
            reference: None,
        };
        let found: Vec<_> =
            policy.requirements(&scope).iter().map(Requirement::type_name).collect();
        assert_eq!(found.join(" "), expected, "{identity}");
    }
}

/// Pieces that make up policies, so that random texts come near to valid ones.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"default\"",
    "\"transports\"",
    "\"type\"",
    "\"docker\"",
    "\"reject\"",
    "\"insecureAcceptAnything\"",
    "\"signedBy\"",
    "\"sigstoreSigned\"",
    "\"keyPath\"",
    "\"signedIdentity\"",
    "\"\"",
    "null",
    "1",
    "\\",
    "\"\\u00",
    "\u{0}",
];

proptest! {
    #[test]
    fn no_text_brings_the_parser_down(
        picks in proptest::collection::vec(0..PIECES.len(), 0..40)
    ) {
        let text: String = picks.into_iter().map(|at| PIECES[at]).collect();
        let _ = Policy::parse(text.as_bytes(), "");
    }

    #[test]
    fn no_bytes_bring_the_parser_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Policy::parse(&bytes, "");
    }
}

#[test]
fn deep_nesting_is_an_error() {
    let text = format!("{{\"default\":{}", "[".repeat(100_000));
    assert_ne!(reason(&text), "");
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_ne!(reason(&format!("{{\"default\":{nested}}}")), "");
}
