//! The rules of ARCHITECTURE.md, checked.

mod circles;
mod sizes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::program::root;

/// Who may use whom. `testkit` is for tests only, so it stands apart.
const ARROWS: &[(&str, &[&str])] = &[
    ("image", &[]),
    ("system", &[]),
    ("blob", &["image", "system"]),
    ("archive", &["image", "blob", "system"]),
    ("config", &["image", "system"]),
    ("x509", &[]),
    ("registry", &["image", "x509"]),
    ("trust", &["image", "x509"]),
    ("storage", &["image", "archive"]),
    ("objects", &["image"]),
    (
        "transport",
        &["image", "blob", "archive", "config", "objects", "registry", "storage", "system"],
    ),
    ("copy", &["image", "blob", "transport", "trust"]),
    ("sync", &["image", "transport", "trust", "copy"]),
    ("server", &["image", "blob", "objects"]),
    (
        "cli",
        &[
            "image",
            "blob",
            "archive",
            "config",
            "registry",
            "trust",
            "storage",
            "transport",
            "copy",
            "sync",
            "server",
            "system",
        ],
    ),
    ("testkit", &["image", "blob", "transport", "server"]),
];

/// What cargo says of our packages.
fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `cargo package --workspace` takes only what names versions and says what it is.
#[test]
fn crates_can_be_packaged() {
    for package in metadata()["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let is_crate = package["manifest_path"].as_str().unwrap().contains("/crates/");
        for dependency in package["dependencies"].as_array().unwrap() {
            let is_ours = dependency["path"].is_string() && dependency["kind"] != "dev";
            assert!(!is_ours || dependency["req"] != "*", "{name}: {}", dependency["name"]);
        }
        assert_eq!(is_crate, package["publish"].is_null(), "{name}");
        if is_crate {
            assert!(package["description"].is_string(), "{name} has no description");
            assert!(package["readme"].is_string(), "{name} has no README.md");
        }
    }
}

/// Rule 1: arrows only as drawn.
#[test]
fn arrows_are_as_drawn() {
    let metadata = metadata();
    let folder = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        manifest.parent().unwrap().strip_prefix(root()).unwrap().to_owned()
    };
    let packages: Vec<&Value> = metadata["packages"].as_array().unwrap().iter().collect();
    let ours: BTreeMap<&str, String> = packages
        .iter()
        .filter_map(|package| {
            let folder = folder(package);
            let name = folder.strip_prefix("crates").ok()?.to_str()?.to_owned();
            Some((package["name"].as_str()?, name))
        })
        .collect();
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for package in packages {
        let Some(from) = ours.get(package["name"].as_str().unwrap()) else { continue };
        let allowed = arrows.get(from.as_str()).unwrap_or_else(|| panic!("{from} is not drawn"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let Some(to) = ours.get(dependency["name"].as_str().unwrap()) else { continue };
            let for_tests = dependency["kind"] == "dev";
            // Tests may have a registry to talk to, and a configuration of their own.
            let helps = for_tests && ["testkit", "server", "config"].contains(&to.as_str());
            let permitted = allowed.contains(&to.as_str()) || helps;
            assert!(permitted || for_tests && from == "testkit", "{from} must not use {to}");
        }
    }
}

/// The table in ARCHITECTURE.md is the one that is checked.
#[test]
fn the_document_draws_the_same_arrows() {
    let document = fs_err::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut rows = 0;
    for (name, allowed) in ARROWS {
        let beginning = format!("| `{name}`");
        let row = document.lines().find(|line| line.starts_with(&beginning));
        let row = row.unwrap_or_else(|| panic!("{name} has no row"));
        rows += 1;
        let cell = row.split('|').nth(2).unwrap().trim();
        let expected = match *allowed {
            [] => "nothing of ours".to_owned(),
            _ if *name == "cli" => "all".to_owned(),
            allowed => allowed.join(", "),
        };
        assert_eq!(cell, expected, "{name}");
    }
    assert!(rows >= 10);
}

/// A path that the document names exists, from the root or below `crates`.
#[test]
fn every_path_of_the_document_exists() {
    let document = fs_err::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, table) = document.split_once("## Where is").unwrap();
    let quoted = table.split('`').skip(1).step_by(2);
    let paths: Vec<&str> =
        quoted.filter(|text| text.contains('/') && !text.contains(' ')).collect();
    let exists =
        |path: &&&str| root().join("crates").join(path).exists() || root().join(path).exists();
    let missing: Vec<_> = paths.iter().filter(|path| !exists(path)).collect();
    assert!(missing.is_empty(), "these paths do not exist: {missing:#?}");
    assert!(paths.len() > 50, "only {} paths found", paths.len());
}

/// The sources of our crates and the name of the crate each belongs to.
fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(krate: &str, folder: &Path, found: &mut Vec<(String, PathBuf, String)>) {
        let Ok(entries) = fs_err::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(krate, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs_err::read_to_string(&path).unwrap();
                found.push((krate.to_owned(), path, text));
            }
        }
    }
    let mut found = Vec::new();
    for entry in fs_err::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        walk(&name, &folder.join("src"), &mut found);
    }
    assert!(found.len() > 50, "only {} sources found", found.len());
    found
}

/// The lines of code, without comments and the tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Whether a file has the unit tests of a module.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.iter().any(|part| part == "tests")
}

/// The places where a pattern occurs in code that may not have it.
fn offenders(allowed: impl Fn(&str, &Path) -> bool, patterns: &[&str]) -> BTreeSet<String> {
    sources()
        .iter()
        .filter(|(krate, path, _)| !allowed(krate, path) && !is_test(path))
        .flat_map(|(_, path, text)| {
            code(text)
                .filter(|line| patterns.iter().any(|pattern| line.contains(pattern)))
                .map(move |line| format!("{}: {}", path.display(), line.trim()))
        })
        .collect()
}

/// Rule 2: only `config` and `cli` read the environment. (`testkit` makes environments.)
#[test]
fn the_environment_is_read_by_config_and_cli() {
    let patterns = ["env::var", "env::home_dir", "env::temp_dir"];
    let allowed = |krate: &str, _: &Path| ["config", "cli", "testkit"].contains(&krate);
    assert_eq!(offenders(allowed, &patterns), BTreeSet::new());
}

/// Rule 3: only `cli` prints.
#[test]
fn only_the_program_prints() {
    let patterns = ["println!(", "print!(", "io::stdout(", "io::stderr("];
    let allowed = |krate: &str, _: &Path| ["cli", "testkit"].contains(&krate);
    assert_eq!(offenders(allowed, &patterns), BTreeSet::new());
}

/// Rule 4: a name is opaque outside the files that list the transports. A transport's own folder may
/// make its name, not tell it from others; a collection takes back the names that it made.
#[test]
fn transports_are_matched_in_one_place() {
    let patterns =
        ["ImageName::Docker", "ImageName::Dir", "ImageName::Oci", "ImageName::DockerArchive"];
    let listing = |krate: &str, path: &Path| {
        let collection = path.parent().is_some_and(|it| it.ends_with("transport/src/collection"));
        if krate == "transport" && collection {
            return true;
        }
        krate == "transport"
            && path.parent().is_some_and(|folder| folder.ends_with("transport/src"))
            && ["lib.rs", "table.rs", "name.rs"].iter().any(|file| path.ends_with(file))
    };
    let made = |line: &String| {
        line.contains("/crates/transport/src/")
            && !["=>", "let ImageName", "matches!"].iter().any(|sign| line.contains(sign))
    };
    let found: Vec<String> =
        offenders(listing, &patterns).into_iter().filter(|line| !made(line)).collect();
    assert_eq!(found, Vec::<String>::new());
}

/// Rule 5: no `unsafe`.
#[test]
fn nothing_is_unsafe() {
    let patterns = ["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe_code)"];
    assert_eq!(offenders(|_, _| false, &patterns), BTreeSet::new());
}

/// Rule 6: in a served folder, files are reached through one module.
#[test]
fn a_served_folder_is_reached_through_one_module() {
    let patterns = [
        "File::open",
        "File::create",
        "OpenOptions",
        "read_dir(",
        "create_dir",
        "remove_file",
        "remove_dir",
        "hard_link(",
        "canonicalize(",
        "symlink_metadata(",
        "fs::metadata(",
        "fs::read",
        "fs::write",
        "openat",
        "renameat",
        "unlinkat",
    ];
    let store = root().join("crates/server/src/store");
    let allowed =
        |_: &str, path: &Path| !path.starts_with(&store) || path.starts_with(store.join("beneath"));
    assert_eq!(offenders(allowed, &patterns), BTreeSet::new());
}

/// Where what others wrote is read: crates, or modules with all that is below them.
const READERS: &[&str] = &[
    "archive/src/lib.rs",
    "blob/src/lib.rs",
    "cli/src/app.rs",
    "cli/src/args/mod.rs",
    "cli/src/commands/mod.rs",
    "cli/src/completion/mod.rs",
    "cli/src/exit/mod.rs",
    "cli/src/files.rs",
    "cli/src/go.rs",
    "cli/src/keys.rs",
    "cli/src/lines.rs",
    "cli/src/machine.rs",
    "cli/src/report/mod.rs",
    "cli/src/signing/mod.rs",
    "cli/src/template/mod.rs",
    "config/src/lib.rs",
    "copy/src/lib.rs",
    "image/src/lib.rs",
    "objects/src/lib.rs",
    "registry/src/lib.rs",
    "server/src/lib.rs",
    "storage/src/lib.rs",
    "sync/src/lib.rs",
    "transport/src/lib.rs",
    "trust/src/lib.rs",
    "x509/src/lib.rs",
];

/// What finds code there that foreign numbers could end.
const LINTS: [&str; 3] =
    ["clippy::indexing_slicing", "clippy::arithmetic_side_effects", "clippy::as_conversions"];

/// The attributes of a file that are for all of it.
fn attributes(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n#![").skip(1).filter_map(|rest| rest.split_once(")]\n")).map(|(it, _)| it)
}

/// Who reads what others wrote must not be ended by it.
#[test]
fn readers_of_foreign_bytes_have_the_lints() {
    for path in READERS {
        let text = fs_err::read_to_string(root().join("crates").join(path)).unwrap();
        let has_all = |it: &str| it.contains("warn(") && LINTS.iter().all(|lint| it.contains(lint));
        assert!(attributes(&text).any(has_all), "{path} has them no more");
    }
    let is_off = |it: &str| !it.contains("warn(") && LINTS.iter().any(|lint| it.contains(lint));
    for (_, path, text) in sources() {
        assert!(!attributes(&text).any(is_off), "{} is without them", path.display());
    }
}

/// A class is decided for each variant of an error: who adds one has to say of which class it is.
#[test]
fn each_class_is_decided_for_each_variant() {
    let (head, lint) = ("fn class(&self) -> Option<ErrorClass> {", "wildcard_enum_match_arm");
    let mut found = 0;
    for (_, path, text) in sources() {
        let lines: Vec<&str> = code(&text).collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.trim() == head) {
            found += 1;
            let body = lines[at..].iter().take_while(|line| **line != "    }");
            let matches = body.clone().any(|line| line.contains("match self {"));
            let is_denied = lines[at - 1].trim() == format!("#[deny(clippy::{lint})]");
            assert!(is_denied || !matches, "{}: {} has no {lint}", path.display(), line.trim());
        }
    }
    assert!(found >= 30, "only {found} classes found");
}

/// A panic in one request must not end the server, so that what is given to users unwinds;
/// commands end by themselves.
#[test]
fn what_is_released_unwinds() {
    let manifest = fs_err::read_to_string(root().join("Cargo.toml")).unwrap();
    let profiles = manifest.split("[profile.").skip(1);
    let aborting: Vec<_> =
        profiles.filter(|profile| profile.contains("panic = \"abort\"")).collect();
    assert_eq!(aborting, Vec::<&str>::new());
}
