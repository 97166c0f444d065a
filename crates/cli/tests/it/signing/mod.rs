//! Signatures by the user's gpg: made by us, judged by the original.

mod files;
mod registries;

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use skopeo_testkit::{Fault, Gpg, Home, Image, On, Registry, Run, run, run::original, skip};

use crate::program::{at_home, fatal};

const PASSPHRASE: &str = "p\u{e4}ss phrase of the key";

/// A policy that wants signatures of one key under the names of images.
fn signed_by(home: &Home, key: &str, identity: serde_json::Value) -> String {
    let policy = json!({"default": [
        {"type": "signedBy", "keyType": "GPGKeys", "keyPath": key, "signedIdentity": identity}
    ]});
    home.write("work/policy.json", &policy.to_string());
    home.work("policy.json")
}

fn exact(reference: &str) -> serde_json::Value {
    json!({"type": "exactReference", "dockerReference": reference})
}

/// Signatures of docker registries lie in the home's `lookaside`.
fn lookaside(home: &Home) {
    let folder = home.path("lookaside").display().to_string();
    home.registries_d("default", &format!("default-docker:\n  lookaside: file://{folder}\n"));
}

fn files_below(folder: &std::path::Path) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files_below(&path)),
            false => found.push(path.display().to_string()),
        }
    }
    found.sort();
    found
}

#[test]
fn the_original_believes_what_we_sign_in_a_folder() {
    let Some(original) = original() else { skip!("no skopeo is installed") };
    let home = Home::new();
    let Some(gpg) = Gpg::new(&home) else { skip!("no gpg is installed") };
    let key = gpg.key("one@example.com", "");
    let public = gpg.export(&key);
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    let reference = "example.com/a/b:1";
    let words = ["copy", "--sign-by", &key, "--sign-identity", reference, "oci:layout:x", "dir:d"];
    let ours = at_home(&home, &words).success();
    assert_eq!(
        ours.stdout.lines().rev().take(3).collect::<Vec<_>>(),
        [
            "Storing signatures",
            "Creating signature: Signing image using simple signing",
            "Writing manifest to image destination",
        ]
    );
    let verify = ["standalone-verify", "d/manifest.json", reference, &key, "d/signature-1"];
    let verified = run(&home, &original, &verify).success();
    let prefix = format!("Signature verified, digest {}", Image::new(1).digest());
    assert!(verified.stdout.starts_with(&prefix), "{verified}");
    let policy = signed_by(&home, &public, exact(reference));
    run(&home, &original, &["--policy", &policy, "copy", "dir:d", "dir:e"]).success();
    let policy = signed_by(&home, &public, exact("example.com/a/b:2"));
    let other = run(&home, &original, &["--policy", &policy, "copy", "dir:d", "dir:f"]).failure(1);
    assert!(fatal(&other).contains("is not accepted"), "{other}");

    // Signed again, by one more key: the signatures of the source come along.
    let second = gpg.key("two@example.com", "");
    let words = ["copy", "--sign-by", "two@example.com", "--sign-identity", reference];
    at_home(&home, &[&words[..], &["dir:d", "dir:g"]].concat()).success();
    let verify = ["standalone-verify", "g/manifest.json", reference, &second, "g/signature-2"];
    run(&home, &original, &verify).success();
    let before = fs_err::read(home.path("work/d/signature-1")).unwrap();
    assert!(fs_err::read(home.path("work/g/signature-1")).unwrap() == before);
}

#[test]
fn signatures_of_a_registry_lie_aside_and_go_with_the_image() {
    let Some(original) = original() else { skip!("no skopeo is installed") };
    let registry = Registry::start();
    let home = Home::new();
    let Some(gpg) = Gpg::new(&home) else { skip!("no gpg is installed") };
    let key = gpg.key("one@example.com", "");
    let public = gpg.export(&key);
    home.insecure(&[&registry.host()]);
    lookaside(&home);
    Image::platforms(1, 2).push(&registry, "list:1");
    let (from, to) = (registry.docker("list:1"), registry.docker("signed:1"));
    at_home(&home, &["copy", "--all", "--sign-by", &key, &from, &to]).success();
    assert_eq!(files_below(&home.path("lookaside")).len(), 3, "two images and their list");
    let policy = signed_by(&home, &public, json!({"type": "matchExact"}));
    let believe =
        |from: &str, to: &str| run(&home, &original, &["--policy", &policy, "copy", from, to]);
    believe(&to, "dir:one").success();
    let all = ["--policy", &policy, "copy", "--all", &to, "dir:all"];
    run(&home, &original, &all).success();
    let unsigned = believe(&from, "dir:none").failure(1);
    assert!(fatal(&unsigned).contains("A signature was required, but no signature exists"));

    // The same once more: each manifest has one signature, a new one.
    let before = files_below(&home.path("lookaside"));
    at_home(&home, &["copy", "--all", "--sign-by", &key, &from, &to]).success();
    assert_eq!(files_below(&home.path("lookaside")), before);

    let sync = ["sync", "--src", "docker", "--dest", "docker", "--sign-by", &key];
    let place = format!("{}/mirror", registry.host());
    let source = from.strip_prefix("docker://").unwrap();
    at_home(&home, &[&sync[..], &["--all", source, &place]].concat()).success();
    believe(&registry.docker("mirror/list:1"), "dir:synced").success();
    assert_eq!(files_below(&home.path("lookaside")).len(), 6);
    // A dry run signs nothing.
    let dry = ["--dry-run", "--append-suffix", "-x", source, &place];
    at_home(&home, &[&sync[..], &dry].concat()).success();
    assert_eq!(files_below(&home.path("lookaside")).len(), 6);

    at_home(&home, &["delete", &registry.docker("mirror/list:1")]).success();
    assert_eq!(files_below(&home.path("lookaside")).len(), 5, "that of the list");
}

#[test]
fn the_original_and_we_say_the_same_when_we_sign() {
    let Some(original) = original() else { skip!("no skopeo is installed") };
    let registry = Registry::start();
    let home = Home::new();
    let Some(gpg) = Gpg::new(&home) else { skip!("no gpg is installed") };
    let key = gpg.key("one@example.com", "");
    home.insecure(&[&registry.host()]);
    Image::new(1).push(&registry, "one:1");
    Image::platforms(2, 2).push(&registry, "list:1");
    let identity = ["--sign-identity", "example.com/a:1"];
    let said = |run: Run| {
        // Layers start in any order there.
        let said = run.normalised(&home).stdout;
        let lines = said.lines().filter(|line| !line.starts_with("Copying "));
        lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
    };
    for (at, (words, from)) in [
        (&["--sign-by", &key][..], "one:1"),
        (&["--sign-by", "one@example.com"], "one:1"),
        (&["--all", "--sign-by", &key], "list:1"),
    ]
    .into_iter()
    .enumerate()
    {
        let from = registry.docker(from);
        let line = |to: &str| [&["copy"], words, &identity, &[&from, to]].concat().join(" ");
        let (theirs, ours) = (line(&format!("dir:theirs{at}")), line(&format!("dir:ours{at}")));
        let theirs = run(&home, &original, &theirs.split(' ').collect::<Vec<_>>()).success();
        let ours = at_home(&home, &ours.split(' ').collect::<Vec<_>>()).success();
        let mut theirs = said(theirs);
        // 1.9.3 has these from before there were several signers.
        for line in &mut theirs {
            if line == "Signing manifest using simple signing" {
                *line = "Creating signature: Signing image using simple signing".to_owned();
            }
        }
        let mut ours = said(ours);
        if words[0] == "--all" {
            // We copy several images at once.
            theirs.sort();
            ours.sort();
        }
        assert_eq!(ours, theirs, "{words:?}");
    }
}

#[test]
fn pass_phrases_come_from_files_and_are_seen_nowhere() {
    let Some(original) = original() else { skip!("no skopeo is installed") };
    let home = Home::new();
    let Some(gpg) = Gpg::new(&home) else { skip!("no gpg is installed") };
    let key = gpg.key("one@example.com", PASSPHRASE);
    gpg.forget();
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    home.write("work/right", &format!("{PASSPHRASE}\nsecond line\n"));
    home.write("work/wrong", "another secret\n");
    // A gpg that tells how it was called, and what its parent's command line is.
    let real = run::installed("gpg").unwrap();
    let spy = format!(
        "#!/bin/sh\n{{ tr '\\0' '\\n' </proc/$$/cmdline; tr '\\0' '\\n' </proc/$PPID/cmdline; env; }} >>{}\n\
         exec {} \"$@\"\n",
        home.work("seen"),
        real.display()
    );
    home.write("bin/gpg2", &spy);
    let executable = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(home.path("bin/gpg2"), executable).unwrap();
    let path = format!("{}:/usr/bin:/bin", home.path("bin").display());
    let copy = |file: &str, to: &str| {
        let mut command = home.command(env!("CARGO_BIN_EXE_skopeo"));
        command.env("PATH", &path).args(["--debug", "copy", "--sign-by", &key]);
        command.args(["--sign-identity", "example.com/a:1", "--sign-passphrase-file", file]);
        let output = command.args(["oci:layout:x", to]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            code: output.status.code(),
        }
    };
    let right = copy("right", "dir:d").success();
    gpg.forget();
    let wrong = copy("wrong", "dir:e").failure(1);
    assert_eq!(fatal(&wrong), "creating signature: Bad passphrase");
    gpg.forget();
    let missing = copy("none", "dir:f").failure(1);
    assert_eq!(fatal(&missing), "open none: no such file or directory");
    let seen = fs_err::read_to_string(home.path("work/seen")).unwrap();
    assert!(seen.contains("--passphrase-fd") && seen.contains(&key), "{seen}");
    for secret in [PASSPHRASE, "second line", "another secret"] {
        for text in [&seen, &right.stdout, &right.stderr, &wrong.stdout, &wrong.stderr] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let verify = ["standalone-verify", "d/manifest.json", "example.com/a:1", &key, "d/signature-1"];
    run(&home, &original, &verify).success();
}

#[test]
fn what_cannot_be_signed_is_told_in_the_words_of_the_original() {
    let home = Home::new();
    let Some(gpg) = Gpg::new(&home) else { skip!("no gpg is installed") };
    let key = gpg.key("one@example.com", "");
    let _ = (gpg.key("same one", ""), gpg.key("same two", ""));
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    home.write("work/p", "x\n");
    let identity = ["--sign-identity", "example.com/a:1"];
    let by = |key: &'static str| [&["--sign-by", key], &identity[..]].concat();
    let (key, key_only) = (key.as_str(), ["--sign-by", &key]);
    for (words, to, sentence) in [
        (by("nobody"), "dir:d", "creating signature: Invalid value"),
        (by("same"), "dir:d", "creating signature: Invalid value"),
        (by("--export"), "dir:d", "creating signature: Invalid value"),
        (
            key_only.to_vec(),
            "dir:/d",
            "Cannot determine canonical Docker reference for destination dir:/d",
        ),
        (
            vec!["--sign-by", key, "--sign-identity", "this-is-not-fully-specified"],
            "dir:d",
            "Could not parse --sign-identity: repository name must be canonical",
        ),
        (
            vec!["--sign-by", key, "--sign-identity", "example.com/a"],
            "dir:d",
            "Sign identity must be a fully specified reference example.com/a",
        ),
        (
            [&key_only, &identity[..]].concat(),
            "oci:o:x",
            "writing signatures: Pushing signatures for OCI images is not supported",
        ),
        (
            [&key_only, &identity[..]].concat(),
            "docker-archive:a:example.com/a:1",
            "writing signatures: Storing signatures for docker tar files is not supported",
        ),
        (
            vec!["--sign-by-sq-fingerprint", key],
            "dir:d",
            "Error using --sign-by-sq-fingerprint: Sequoia-PGP support is not enabled in this build",
        ),
        (
            vec!["--sign-by", key, "--sign-by-sq-fingerprint", key, "--sign-passphrase-file", "p"],
            "dir:d",
            "Only one of --sign-by, --sign-by-sq-fingerprint and --sign-by-sigstore-private-key can be used with --sign-passphrase-file",
        ),
    ] {
        let line = [&["copy"], &words[..], &["oci:layout:x", to]].concat();
        let run = at_home(&home, &line).failure(1);
        assert!(fatal(&run).starts_with(sentence), "{line:?}\n{run}");
    }
}

#[test]
fn layers_are_written_to_a_new_folder() {
    let Some(original) = original() else { skip!("no skopeo is installed") };
    let registry = Registry::start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    Image::new(1).push(&registry, "one:1");
    let name = registry.docker("one:1");
    let made = |program: &str, words: &[&str]| {
        let before = folders(&home);
        let run = run(&home, program, &[&["layers", &name], words].concat());
        assert!(run.stderr.starts_with("DEPRECATED: skopeo layers is deprecated"), "{run}");
        run.success();
        let after: Vec<String> =
            folders(&home).into_iter().filter(|it| !before.contains(it)).collect();
        let [folder] = &after[..] else { panic!("{after:?}") };
        let folder = home.path("work").join(folder);
        let mut names: Vec<String> = files_below(&folder)
            .into_iter()
            .map(|path| path.rsplit('/').next().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let (ours, theirs) = (env!("CARGO_BIN_EXE_skopeo"), original.to_str().unwrap());
    let all = made(ours, &[]);
    assert_eq!(all, made(theirs, &[]));
    let layer = all.iter().find(|name| name.len() == 64).unwrap().clone();
    assert_eq!(made(ours, &[&layer]), made(theirs, &[&layer]));
    home.policy(&json!({"default": [{"type": "reject"}]}));
    let rejected = at_home(&home, &["layers", &name]).failure(1);
    assert!(fatal(&rejected).starts_with("Source image rejected: "), "{rejected}");
}

fn folders(home: &Home) -> Vec<String> {
    let entries = fs_err::read_dir(home.path("work")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("layers-")).collect()
}

#[test]
fn nobodys_key_signs_what_a_file_names() {
    let registry = Registry::start();
    let home = Home::new();
    let Some(gpg) = Gpg::new(&home) else { skip!("no gpg is installed") };
    let key = gpg.key("one@example.com", "");
    home.insecure(&[&registry.host()]);
    lookaside(&home);
    Image::new(1).push(&registry, "a:1");
    let (source, place) = (format!("{}/a:1", registry.host()), format!("{}/to", registry.host()));
    let sync = ["sync", "--src", "docker", "--dest", "docker", "--sign-by", &key];
    let dry = ["--dry-run", "--output", "json", &source, &place];
    let plan = at_home(&home, &[&sync[..], &dry].concat()).success();
    home.write("work/plan.json", &plan.stdout);
    at_home(&home, &[&sync[..], &["--report", "report.json", &source, &place]].concat()).success();
    let signed = files_below(&home.path("lookaside"));
    assert_eq!(signed.len(), 1);
    let written = || fs_err::metadata(&signed[0]).unwrap().modified().unwrap();
    let before = written();
    for (flag, kind, file) in
        [("--plan", "plan", "plan.json"), ("--retry-failed", "report", "report.json")]
    {
        let refused = at_home(&home, &["sync", flag, file]).failure(1);
        let sentence = format!(
            "{kind} \"{file}\" lowers what this command line asks for: it signs with \"{key}\" (--sign-by)"
        );
        assert_eq!(fatal(&refused), sentence);
        assert!(flag != "--plan" || written() == before);
        at_home(&home, &["sync", flag, file, "--sign-by", &key]).success();
    }
    // The plan was executed, and what it wrote is signed anew.
    assert_eq!(files_below(&home.path("lookaside")), signed);
    assert!(written() != before);
}
