//! The installed original and we, on the same input. Where its version (Debian's) differs from the
//! one we follow, the row says so.

use std::collections::BTreeMap;
use std::path::Path;

use skopeo_testkit::{Home, Image, Registry, run, run::original, skip};

use crate::program::{at_home, fatal};

/// Every file of a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let below = files(&path).into_iter();
            found.extend(below.map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, fs_err::read(path).unwrap());
        }
    }
    found
}

#[test]
fn folders_are_the_same_byte_for_byte() {
    let Some(original) = original() else { skip!("no skopeo is installed") };
    let registry = Registry::start();
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    Image::new(1).push(&registry, "one:1");
    Image::platforms(2, 3).push(&registry, "list:1");
    for (at, (words, from)) in [
        (&[][..], "one:1"),
        (&["--format", "v2s2"], "one:1"),
        (&["--all"], "list:1"),
        (&["--multi-arch", "index-only"], "list:1"),
        (&["--dest-decompress"], "one:1"),
    ]
    .into_iter()
    .enumerate()
    {
        let (theirs, ours) = (format!("theirs{at}"), format!("ours{at}"));
        let from = registry.docker(from);
        let line = |to: &str| {
            let mut line = vec!["--insecure-policy".to_owned(), "copy".to_owned()];
            line.extend(words.iter().map(|word| (*word).to_owned()));
            line.extend(["--src-tls-verify=false".to_owned(), from.clone(), format!("dir:{to}")]);
            line
        };
        run(&home, &original, &line(&theirs)).success();
        run(&home, env!("CARGO_BIN_EXE_skopeo"), &line(&ours)).success();
        let (theirs, ours) =
            (files(&home.path("work").join(theirs)), files(&home.path("work").join(ours)));
        let names: Vec<&String> = theirs.keys().collect();
        assert_eq!(ours.keys().collect::<Vec<_>>(), names, "{words:?}");
        assert!(ours == theirs, "{words:?}: a file of {names:?} differs");
    }
}

#[test]
fn commands_say_the_same_and_end_the_same() {
    let Some(original) = original() else { skip!("no skopeo is installed") };
    let registry = Registry::builder().htpasswd("user", "secret").start();
    let home = Home::new();
    let host = registry.host();
    Image::new(1).push(&registry, "a/b:1");
    let (one, none) = (registry.docker("a/b:1"), registry.docker("a/b:none"));
    let repository = registry.docker("a/b");
    let creds = ["--tls-verify=false", "--creds", "user:secret"];
    // (words, the code of the original if it is older than what we follow)
    let rows: Vec<(Vec<&str>, Option<i32>)> = vec![
        ([&["list-tags"], &creds[..], &[&repository]].concat(), None),
        ([&["inspect", "--raw"], &creds[..], &[&one]].concat(), None),
        ([&["inspect", "--config"], &creds[..], &[&one]].concat(), None),
        // 1.9.3 has no code 2
        ([&["inspect"], &creds[..], &[&none]].concat(), Some(1)),
        ([&["delete"], &creds[..], &[&none]].concat(), None),
        (vec!["inspect", "--tls-verify=false", "--no-creds", &one], None),
        (vec!["login", "--tls-verify=false", "-u", "user", "-p", "wrong", &host], None),
        (vec!["login", "--tls-verify=false", "-u", "user", "-p", "secret", &host], None),
        (vec!["login", "--get-login", &host], None),
        (vec!["logout", &host], None),
        (vec!["logout", &host], None),
        (vec!["manifest-digest", "nothing"], None),
        (vec!["copy", "--no-such-flag"], None),
        (vec!["no-such-command"], None),
    ];
    for (words, older) in rows {
        let theirs = run(&home, &original, &words);
        let auth = fs_err::read(home.auth_file()).ok();
        if words[0] == "login" && auth.is_some() {
            fs_err::remove_file(home.auth_file()).unwrap();
        }
        if words[0] == "logout" && theirs.code == Some(0) {
            home.auth(&host, "user", "secret"); // again, for us
        }
        if words.contains(&"--get-login") || words[0] == "login" && theirs.code == Some(0) {
            home.auth(&host, "user", "secret");
        }
        let ours = at_home(&home, &words);
        let (their_code, our_code) = (theirs.code, ours.code);
        assert!(their_code == our_code || their_code == older, "{words:?}\n{theirs}\n{ours}");
        if their_code == Some(0) {
            let existing = ours.stdout.starts_with("Authenticating with existing credentials");
            assert!(existing || ours.stdout == theirs.stdout, "{words:?}\n{theirs}\n{ours}");
        } else {
            // Its last words repeat what the registry said: code, then message.
            let (theirs, ours) = (fatal(&theirs), fatal(&ours));
            let shorter = theirs.replace("unauthorized: authentication", "authentication");
            let same = theirs.starts_with(&ours) || shorter == ours;
            assert!(same, "{words:?}\n{theirs}\n{ours}");
        }
    }
}
