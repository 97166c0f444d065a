use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value as Json;
use skopeo_transport::CollectionKind;

use super::*;
use crate::config::SyncFile;
use crate::naming::{Origin, Template};

const SCHEMA: &str = include_str!("../../../../../docs/sync-v2.schema.json");
const PAGE: &str = include_str!("../../../../../docs/sync.md");

fn parse(text: &str) -> Result<File, String> {
    let variable = |name: &str| match name {
        "MIRROR_PASSWORD" => Some("secret".to_owned()),
        _ => None,
    };
    let template = |text: &str| match text.strip_prefix("T ") {
        Some(text) => {
            let text = text.to_owned();
            Ok(Template::new(move |fields| Ok(format!("{text}/{}:{}", fields.name, fields.tag))))
        }
        None => Err("template: no".to_owned()),
    };
    let world = World { variable: &variable, template: &template };
    match SyncFile::parse(text, world) {
        Ok(SyncFile::V2(file)) => Ok(file),
        Ok(SyncFile::V1(file)) => panic!("{file:?}"),
        Err(error) => Err(error.to_string()),
    }
}

/// Where each target of an entry puts an image.
fn names(entry: &Entry, reference: &str) -> Vec<String> {
    let reference = Reference::parse_normalized(reference).unwrap();
    let origin = Origin::Reference(&reference);
    let named = entry.targets.iter().map(|target| {
        let label = target.naming.label(origin, target.place.kind).unwrap();
        format!("{} {label}", target.place)
    });
    named.collect()
}

/// The YAML of the manual, first version 1, then version 2.
fn examples() -> Vec<&'static str> {
    let blocks = PAGE.split("```yaml\n").skip(1);
    blocks.filter_map(|block| block.split("```").next()).collect()
}

#[test]
fn the_example_of_the_manual_is_read() {
    let [_, text] = examples()[..] else { panic!("two examples") };
    let file = parse(text).unwrap();
    let [internal, lab, quay] = &file.registries.0[..] else { panic!("three registries") };
    assert_eq!(
        (internal.0.as_str(), internal.1.credentials.username.as_str()),
        ("registry.internal", "mirror")
    );
    assert_eq!(internal.1.credentials.password.as_ref().unwrap().reveal(), "secret");
    assert_eq!((lab.0.as_str(), lab.1.tls_verify), ("registry.lab:5000", Some(false)));
    assert!(!lab.1.credentials.are_given());
    assert_eq!(quay.1.credentials.username, "reader");
    let variables = |access: &Access| access.variables.iter().cloned().collect::<Vec<_>>();
    assert_eq!(variables(&internal.1), ["MIRROR_PASSWORD"]);
    assert_eq!(variables(&lab.1), [""; 0]);
    assert_eq!(variables(&quay.1), ["QUAY_TOKEN", "QUAY_USER"]);
    assert!(quay.1.credentials.password.is_none());
    assert_eq!(quay.1.cert_dir, Some("/etc/skopeo/quay".into()));

    let [etcd, postgres, busybox, app, lab, bundle] = &file.entries[..] else {
        panic!("six entries")
    };
    let Tags::Chosen(choice) = &etcd.tags else { panic!("chosen") };
    assert_eq!((choice.newest, choice.needs_times()), (Some(5), false));
    let chosen = choice.by_words(["3.6-rc.1", "3.4", "3.5.1"].map(str::to_owned));
    assert_eq!(chosen.kept.iter().map(|(tag, _)| tag.as_str()).collect::<Vec<_>>(), ["3.5.1"]);
    let platforms = ["linux/amd64", "linux/arm64"].map(|it| it.parse().unwrap());
    assert_eq!(etcd.platforms, Some(Platforms::These(platforms.to_vec())));
    assert_eq!(
        names(etcd, "quay.io/coreos/etcd:3.5"),
        ["docker://registry.internal/mirror coreos/etcd:3.5"]
    );
    assert_eq!(
        names(postgres, "postgres:16"),
        ["docker://registry.internal databases/postgres:16"]
    );
    let by_digest = format!("postgres@sha256:{}", "0".repeat(64));
    assert!(names(postgres, &by_digest)[0].ends_with(&format!("databases/{by_digest}")));
    assert!(matches!(busybox.from, From::Image(_)));
    assert_eq!(busybox.platforms, Some(Platforms::All));
    assert_eq!(
        names(busybox, "busybox:1.36"),
        ["docker://registry.internal tools/busybox:stable", "oci:/srv/bundle tools/busybox:stable"]
    );
    let Tags::These(tags) = &app.tags else { panic!("named") };
    assert_eq!(tags, &["1.0", "1.1"]);
    assert_eq!(
        names(app, "ghcr.io/org/app:1.0"),
        ["docker://registry.internal/apps org/app:1.0", "dir:/media/usb org/app:1.0"]
    );
    let host = "registry.lab:5000".to_owned();
    assert_eq!(lab.from, From::Registry { host, repositories: Some("^team/".to_owned()) });
    assert_eq!(
        names(lab, "registry.lab:5000/team/a/b:1"),
        ["docker://registry.internal/mirror lab/a/b:1"]
    );
    assert!(matches!(&lab.tags, Tags::Chosen(choice) if choice.needs_times()));
    let From::Held(place) = &bundle.from else { panic!("held") };
    assert_eq!(place.kind, CollectionKind::OciArchive);
    assert!(matches!(&bundle.tags, Tags::Chosen(choice) if choice.is_all()));
    assert!(!format!("{file:?}").contains("secret"));
}

#[test]
fn entries_say_instead_of_defaults() {
    let file = parse(
        "version: 2
defaults: {scoped: true, semver: '>1', into: [docker://r.example, 'dir:d'], dest-template: T a, newest: 3}
images:
- {from: docker://q.io/a/b, preserve-path: true, dest-template: T x}
- {from: docker://q.io/a/b, tags: [1.10, 1], into: dir:e, append-suffix: -s}
- {from: docker://q.io/a/b, to: docker://h/x, include: [], semver: '*', since: 2026-01-01}
- {from: docker://q.io/a/b:1, to: dir:/x/y}
",
    )
    .unwrap();
    let [first, second, third, fourth] = &file.entries[..] else { panic!("four") };
    assert_eq!((first.key.as_str(), first.line), ("images[0]", 4));
    assert_eq!(names(first, "q.io/a/b:1"), ["docker://r.example x/b:1", "dir:d x/b:1"]);
    assert_eq!(first.naming.scope, crate::naming::Scope::Path);
    let Tags::These(tags) = &second.tags else { panic!("named") };
    assert_eq!(tags, &["1.10", "1"], "what looks like a number keeps its zeros");
    assert_eq!(names(second, "q.io/a/b:1"), ["dir:e a/b:1-s"]);
    assert_eq!(names(third, "q.io/a/b:1"), ["docker://docker.io h/x:1"]);
    assert_eq!(names(fourth, "q.io/a/b:1"), ["dir:/x y"]);
    let plain = parse("version: 2\nimages: [{from: 'dir:x'}]\n").unwrap();
    assert!(plain.entries[0].targets.is_empty() && plain.entries[0].platforms.is_none());
    for nothing in ["version: 2", "version: 2\nimages:\ndefaults:\nregistries:\n"] {
        assert!(parse(nothing).unwrap().entries.is_empty());
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    let entry = |rest: &str| format!("version: 2\nimages:\n- from: docker://q.io/a\n  {rest}\n");
    let rows = [
        ("version: 3".to_owned(), "line 1, column 10: version: \"3\" is no version"),
        (
            "version: '2'\nimags: []".to_owned(),
            "line 2, column 1: imags: unknown key \"imags\", expected one of version, defaults, registries, images",
        ),
        (
            entry("newst: 1"),
            "line 4, column 3: images[0].newst: unknown key \"newst\", expected one of",
        ),
        (entry("newest: 0"), "line 4, column 11: images[0].newest: at least 1"),
        (entry("newest: many"), "line 4, column 11: images[0].newest: "),
        (entry("include: x"), "line 4, column 12: images[0].include: "),
        (
            entry("include: [a, '(']"),
            "line 4, column 16: images[0].include[1]: parsing the regular expression \"(\": unclosed group",
        ),
        (
            entry("semver: '>>1'"),
            "line 4, column 11: images[0].semver: parsing the range of versions \">>1\"",
        ),
        (entry("since: never"), "line 4, column 10: images[0].since: \"never\" is not a date"),
        (
            entry("tags: ['a b']"),
            "line 4, column 10: images[0].tags[0]: \"a b\" is neither tag nor digest",
        ),
        (entry("platforms: [amd64]"), "images[0].platforms: invalid platform format \"amd64\""),
        (entry("platforms: []"), "images[0].platforms: a list of platforms that has none"),
        (entry("platforms: every"), "images[0].platforms: invalid platform"),
        (entry("dest-template: x"), "line 4, column 18: images[0].dest-template: template: no"),
        (entry("into: nowhere"), "line 4, column 9: images[0].into: invalid place \"nowhere\""),
        (entry("into: [docker://R/x]"), "images[0].into: invalid place"),
        (entry("to: dir:x"), "line 4, column 7: images[0].to: \"dir:x\" is the name of one image"),
        (entry("to: docker://h/x:1"), "is the name of one image"),
        (entry("to: sif:x"), "nothing can be written to sif here"),
        (entry("repos: x"), "images[0].repos: only a registry"),
        (entry("tags: [a]\n  newest: 1"), "images[0].tags: either tags are named or"),
        (entry("scoped: perhaps"), "line 4, column 11: images[0].scoped: "),
        (entry("from: x"), "line 4, column 3: images[0]"), // twice
        ("version: 2\nimages:\n- to: x".to_owned(), "images[0]: from is missing"),
        (
            "version: 2\nimages:\n- from: x".to_owned(),
            "line 3, column 9: images[0].from: invalid source \"x\"",
        ),
        (
            "version: 2\nimages:\n- from: docker://A".to_owned(),
            "images[0].from: \"docker://A\": invalid reference format",
        ),
        ("version: 2\nimages:\n- from: registry://a/b".to_owned(), "\"a/b\" is no host"),
        (
            "version: 2\nimages:\n- {from: dir:x, newest: 1}".to_owned(),
            "images[0].from: only registries are asked when images were made",
        ),
        (
            "version: 2\nimages:\n- {from: registry://a.b, tags: [x]}".to_owned(),
            "only a repository has tags",
        ),
        (
            "version: 2\nimages:\n- {from: docker://a:1, semver: '1'}".to_owned(),
            "images[0].from: this is one image",
        ),
        (
            "version: 2\nimages:\n- {from: docker://a:1, to: 'oci:x'}".to_owned(),
            "does not say what the image is called",
        ),
        ("version: 2\nimages: {}".to_owned(), "line 2, column 9: images: "),
        (
            "version: 2\nregistries:\n  a.b:\n    passwd: x".to_owned(),
            "line 4, column 5: registries.a.b.passwd: unknown key",
        ),
        (
            "version: 2\nregistries:\n  a.b:\n    credentials:\n      password: ${NOT_THERE}"
                .to_owned(),
            "line 5, column 17: registries.a.b.credentials.password: the environment has no NOT_THERE",
        ),
        (
            "version: 2\nregistries:\n  a.b/c:\n    tls-verify: false".to_owned(),
            "line 4, column 5: registries.a.b/c: this is no host",
        ),
        (
            "version: 2\nregistries:\n  user: {tls-verify: false}".to_owned(),
            "registries.user: this is no host",
        ),
        (
            "version: 2\ndefaults:\n  from: x".to_owned(),
            "line 3, column 3: defaults.from: unknown key",
        ),
        ("version: 2\nimages: [\n".to_owned(), "line "),
    ];
    for (text, expected) in rows {
        let error = parse(&text).unwrap_err();
        assert!(error.starts_with("yaml: ") && error.contains(expected), "{text}\n{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_or_refused(at in 0_usize..4_000, with in ".{0,3}", gone in 0_usize..40) {
        let [first, second] = examples()[..] else { panic!("two examples") };
        for text in [first, second] {
            let at = text.floor_char_boundary(at % text.len());
            let rest = text.floor_char_boundary((at + gone).min(text.len()));
            let text = format!("{}{with}{}", &text[..at], &text[rest..]);
            let world = World { variable: &|_| None, template: &|_| Err("no".to_owned()) };
            if let Err(error) = SyncFile::parse(&text, world) {
                prop_assert!(error.to_string().starts_with("yaml: "));
            }
        }
    }
}

/// The keys that the parser knows where this text has the key `nothing`.
fn known(text: &str) -> BTreeSet<String> {
    let error = parse(text).unwrap_err();
    let (_, keys) = error.split_once("expected one of ").expect(&error);
    keys.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_schema_has_the_keys_that_are_read() {
    let schema: Json = serde_json::from_str(SCHEMA).unwrap();
    for (within, text) in [
        ("", "version: 2\nnothing: 1"),
        ("/$defs/defaults", "version: 2\ndefaults: {nothing: 1}"),
        ("/$defs/entry", "version: 2\nimages: [{nothing: 1}]"),
        ("/$defs/access", "version: 2\nregistries: {a.b: {nothing: 1}}"),
        ("/$defs/credentials", "version: 2\nregistries: {a.b: {credentials: {nothing: 1}}}"),
    ] {
        let part = schema.pointer(within).unwrap();
        assert_eq!(part["additionalProperties"], false, "{within}");
        let keys = part["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(known(text), keys, "{within}");
    }
}

#[test]
fn the_schema_takes_the_example_of_the_manual() {
    let schema: Json = serde_json::from_str(SCHEMA).unwrap();
    let example = |text: &str| serde_saphyr::from_str::<Json>(text).unwrap();
    let [_, text] = examples()[..] else { panic!("two examples") };
    assert_eq!(valid(&schema, &schema, &example(text)), Ok(()));
    for wrong in [
        "version: 1",
        "images: []",
        "version: 2\nnothing: 1",
        "version: 2\nimages: [{to: x}]",
        "version: 2\nimages: [{from: x, newest: 0}]",
        "version: 2\nimages: [{from: x, platforms: some}]",
        "version: 2\nimages: [{from: x, include: x}]",
        "version: 2\nimages: [{from: x, to: [1]}]",
    ] {
        assert!(valid(&schema, &schema, &example(wrong)).is_err(), "{wrong}");
    }
}

/// As much of JSON schema as ours uses.
fn valid(root: &Json, schema: &Json, value: &Json) -> Result<(), String> {
    let Json::Object(rules) = schema else { panic!("{schema}") };
    let wrong = |rule: &str| Err(format!("{value}: {rule}"));
    for (rule, wanted) in rules {
        match (rule.as_str(), wanted, value) {
            ("$schema" | "$id" | "$defs" | "title" | "description" | "format", ..) => {}
            ("$ref", Json::String(path), _) => {
                let path = path.strip_prefix('#').expect("a path in here");
                valid(root, root.pointer(path).expect(path), value)?;
            }
            ("type", Json::String(kind), _) if is_of(kind, value) => {}
            ("type", Json::Array(kinds), _)
                if kinds.iter().any(|kind| is_of(kind.as_str().unwrap(), value)) => {}
            ("const", wanted, value) if wanted == value => {}
            ("enum", Json::Array(words), value) if words.contains(value) => {}
            ("minimum", least, value) if value.as_u64() >= least.as_u64() => {}
            ("minItems", least, value)
                if value.as_array().map(Vec::len).map(|it| it as u64) >= least.as_u64() => {}
            ("pattern", Json::String(regex), Json::String(text))
                if regex::Regex::new(regex).unwrap().is_match(text) => {}
            ("required", Json::Array(keys), value)
                if keys.iter().all(|key| value.get(key.as_str().unwrap()).is_some()) => {}
            ("oneOf", Json::Array(schemas), value)
                if schemas.iter().filter(|one| valid(root, one, value).is_ok()).count() == 1 => {}
            ("items", schema, Json::Array(items)) => {
                items.iter().try_for_each(|item| valid(root, schema, item))?;
            }
            ("properties", Json::Object(known), Json::Object(pairs)) => {
                for (key, value) in pairs {
                    known.get(key).map_or(Ok(()), |schema| valid(root, schema, value))?;
                }
            }
            ("additionalProperties", schema, Json::Object(pairs)) => {
                let known = &rules.get("properties");
                for (key, value) in pairs {
                    match schema {
                        _ if known.is_some_and(|known| known.get(key).is_some()) => {}
                        Json::Bool(false) => return wrong(&format!("{key} is unknown")),
                        schema => valid(root, schema, value)?,
                    }
                }
            }
            ("items" | "properties" | "additionalProperties", ..) => {}
            (
                "type" | "const" | "enum" | "minimum" | "minItems" | "pattern" | "required"
                | "oneOf",
                ..,
            ) => {
                return wrong(rule);
            }
            other => panic!("{other:?} is not checked"),
        }
    }
    Ok(())
}

fn is_of(kind: &str, value: &Json) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    }
}
