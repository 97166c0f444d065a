//! What scripts see of a failure: `--error-format json` and `--exit-codes detailed`.

use std::net::TcpListener;

use serde_json::{Value, json};
use skopeo_testkit::{Fault, Home, Image, On, Registry, Run};

use crate::program::{at_home, root, run};

const JSON: &str = "--error-format=json";
const CODES: &str = "--exit-codes=detailed";

/// The last line of stderr.
#[track_caller]
fn told(run: &Run) -> Value {
    let line = run.stderr.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}\n{run}"))
}

#[test]
fn each_kind_of_failure_has_a_class_and_a_code() {
    let registry = Registry::start();
    Image::new(1).push(&registry, "a:1");
    let secret = Registry::builder().htpasswd("user", "secret").start();
    let read_only = Registry::builder().read_only().start();
    let denied = Registry::builder().fault(Fault::status(On::anything(), 403)).start();
    let tls = Registry::builder().tls().start();
    let busy = Registry::builder().fault(Fault::status(On::manifests(), 429)).start();
    let broken = Registry::builder().fault(Fault::status(On::manifests(), 500)).start();
    let corrupt = Registry::start();
    Image::new(1).push(&corrupt, "a:1");
    corrupt.fault(Fault::corrupt(On::blobs()));
    let silent = Registry::builder().fault(Fault::silence(On::anything())).start();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("docker://{}/a:1", nobody.local_addr().unwrap());
    drop(nobody);
    let home = Home::new();
    let hosts: Vec<String> =
        [&registry, &secret, &read_only, &denied, &busy, &broken, &corrupt, &silent]
            .map(Registry::host)
            .into();
    let mut hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    hosts.push(gone.trim_start_matches("docker://").trim_end_matches("/a:1"));
    home.insecure(&hosts);
    home.write("work/reject.json", r#"{"default": [{"type": "reject"}]}"#);
    home.write("work/broken.json", "{");
    home.write("work/none/version", "not ours\n");
    home.write("work/bad/version", "Directory Transport Version: 1.1\n");
    home.write("work/bad/manifest.json", "{\"schemaVersion\": 2, \"layers\": 7}");
    let here = registry.docker("a:1");
    let rows: Vec<(Vec<&str>, i32, &str, i32)> = vec![
        (vec!["copy", "dir:none2", "dir:to1"], 1, "not-found", 2),
        (vec!["inspect", "DOCKER/a:none"], 2, "not-found", 2),
        (vec!["delete", "DOCKER/a:none"], 1, "not-found", 2),
        (vec!["list-tags", "DOCKER/none"], 1, "not-found", 2),
        (vec!["inspect", "SECRET/a:1"], 1, "unauthorized", 3),
        (vec!["login", "SECRET-HOST", "-u", "user", "-p", "wrong"], 1, "unauthorized", 3),
        (vec!["logout", "DOCKER-HOST"], 1, "unauthorized", 3),
        (vec!["inspect", "DENIED/a:1"], 1, "denied", 4),
        (vec!["inspect", "BUSY/a:1", "--command-timeout=300s"], 1, "rate-limited", 5),
        (vec!["inspect", &gone], 1, "network", 6),
        (vec!["inspect", "docker://no-such-host.invalid/a:1"], 1, "network", 6),
        (vec!["--command-timeout", "300ms", "inspect", "SILENT/a:1"], 1, "timeout", 7),
        (vec!["inspect", "TLS/a:1"], 1, "tls", 8),
        (vec!["copy", "CORRUPT/a:1", "dir:to2"], 1, "digest-mismatch", 9),
        (vec!["--policy", "reject.json", "copy", &here, "dir:to3"], 1, "rejected-by-policy", 10),
        (vec!["copy"], 1, "invalid-input", 11),
        (vec!["copy", "a", "b", "--bogus"], 1, "invalid-input", 11),
        (vec!["bogus"], 1, "invalid-input", 11),
        (vec!["copy", "x", "dir:to4"], 1, "invalid-input", 11),
        (vec!["copy", "--all", "--multi-arch", "all", &here, "dir:to5"], 1, "invalid-input", 11),
        (vec!["inspect", "--raw", "--format", "{{.}}", &here], 1, "invalid-input", 11),
        (vec!["inspect", "dir:bad"], 1, "invalid-image", 12),
        (vec!["--policy", "broken.json", "copy", &here, "dir:to6"], 1, "configuration", 13),
        (vec!["delete", "dir:bad"], 1, "unsupported", 14),
        (vec!["copy", &here, "READ-ONLY/a:1"], 1, "unsupported", 14),
        (vec!["copy", &here, "dir:none"], 1, "conflict", 15),
        (vec!["inspect", "BROKEN/a:1"], 1, "registry-error", 17),
    ];
    crate::stage::for_each(rows, |(words, original, class, detailed)| {
        let words: Vec<String> = words
            .iter()
            .map(|word| {
                word.replace("DOCKER-HOST", &registry.host())
                    .replace("SECRET-HOST", &secret.host())
                    .replace("DOCKER", &format!("docker://{}", registry.host()))
                    .replace("SECRET", &format!("docker://{}", secret.host()))
                    .replace("DENIED", &format!("docker://{}", denied.host()))
                    .replace("READ-ONLY", &format!("docker://{}", read_only.host()))
                    .replace("BUSY", &format!("docker://{}", busy.host()))
                    .replace("SILENT", &format!("docker://{}", silent.host()))
                    .replace("TLS", &format!("docker://{}", tls.host()))
                    .replace("CORRUPT", &format!("docker://{}", corrupt.host()))
                    .replace("BROKEN", &format!("docker://{}", broken.host()))
            })
            .collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push(JSON);
        let run = at_home(&home, &words);
        let failure = told(&run);
        assert_eq!(
            (run.code, failure["class"].as_str()),
            (Some(original), Some(class)),
            "{words:?} {run}"
        );
        assert_eq!(failure["exit_code"], json!(original), "{words:?}");
        assert!(!failure["message"].as_str().unwrap().is_empty(), "{words:?}");
        assert!(!run.stderr.contains("level=fatal"), "{run}");
        if class == "rate-limited" || class == "registry-error" {
            return; // a second run would wait once more
        }
        words.insert(0, CODES);
        let run = at_home(&home, &words);
        assert_eq!(run.code, Some(detailed), "{words:?}");
        assert_eq!(told(&run)["exit_code"], json!(detailed), "{words:?}");
    });
}

#[test]
fn the_registry_is_quoted() {
    let registry = Registry::start();
    Image::new(1).push(&registry, "a:1");
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    let run = at_home(&home, &["inspect", &registry.docker("a:none"), JSON]).failure(2);
    let failure = told(&run);
    assert_eq!(failure["status"], 404, "{run}");
    assert_eq!(failure["codes"], json!(["MANIFEST_UNKNOWN"]), "{run}");
    assert!(failure["registry"].as_str().unwrap().contains("manifest unknown"), "{run}");
    assert_eq!(failure["retryable"], false, "{run}");
    // What is said in words otherwise: the same sentence, and the hint on a line of its own.
    let tls = Registry::builder().tls().start();
    let words = ["inspect", &tls.docker("a:1")];
    let plain = at_home(&home, &words).failure(1);
    let json = at_home(&home, &[&words[..], &[JSON]].concat()).failure(1);
    let failure = told(&json);
    assert_eq!(failure["message"], crate::program::fatal(&plain));
    let hint = plain.stderr.lines().last().unwrap().strip_prefix("hint: ").unwrap().to_owned();
    assert_eq!(failure["hint"], hint);
    assert_eq!((json.stderr.lines().count(), failure["status"].is_null()), (1, true), "{json}");
}

#[test]
fn what_was_being_done_is_said_when_time_is_over() {
    let silent = Registry::builder().fault(Fault::silence(On::anything())).start();
    let home = Home::new();
    home.insecure(&[&silent.host()]);
    let from = silent.docker("a:1");
    let run = at_home(&home, &["--command-timeout=200ms", "copy", &from, "dir:to"]).failure(1);
    assert_eq!(
        crate::program::fatal(&run),
        format!("copying {from} to dir:to: context deadline exceeded")
    );
    assert!(run.stderr.ends_with("hint: --command-timeout=200ms ended the command\n"), "{run}");
}

#[test]
fn values_are_refused_that_are_none() {
    for (flag, value, hint) in [
        ("error-format", "yaml", "hint: use one of 'text', 'json'\n"),
        ("exit-codes", "x", "hint: use one of 'original', 'detailed'\n"),
    ] {
        let output = run(&["inspect", "dir:x", &format!("--{flag}={value}")]);
        assert_eq!(output.code, 1);
        assert_eq!(output.fatal(), format!("unknown value \"{value}\" of --{flag}"));
        assert!(output.stderr.ends_with(hint), "{output:?}");
    }
}

/// docs/json.md has the table that the program goes by, and so has the manual.
#[test]
fn the_table_of_classes_is_documented() {
    let page = fs_err::read_to_string(root().join("docs/json.md")).unwrap();
    let help = run(&["--help"]).stdout;
    let (_, table) = help.split_once("Exit codes of --exit-codes detailed:\n").unwrap();
    let mut rows = 0;
    for line in table.lines() {
        let mut words = line.split_whitespace();
        let (code, name) = (words.next().unwrap(), words.next().unwrap());
        let meaning = words.collect::<Vec<_>>().join(" ");
        let row = format!("| {code} | `{name}` | {meaning} |\n");
        assert!(page.contains(&row), "docs/json.md lacks {row}");
        rows += 1;
    }
    assert!(rows > 15, "{help}");
}
