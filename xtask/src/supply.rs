//! What the program is made of: licences, sources and bans, as deny.toml has them.
//!
//! This is always checked, from what `cargo metadata` says. `cargo deny`, which does more, runs besides
//! where it is installed or Python's index has it built. Its advisories come from a server that not every
//! machine reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use fs_err as fs;
use serde::Deserialize;
use serde_json::Value;
use spdx::{Expression, ParseMode};

use crate::shell;
use crate::tools::CARGO_DENY;

/// What deny.toml says.
#[derive(Debug, Deserialize)]
struct Rules {
    licenses: Licenses,
    #[serde(default)]
    bans: Bans,
    #[serde(default)]
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Bans {
    #[serde(default)]
    deny: Vec<Banned>,
}

#[derive(Debug, Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    #[serde(default = "crates_io")]
    allow_registry: Vec<String>,
    #[serde(default)]
    allow_git: Vec<String>,
}

fn crates_io() -> Vec<String> {
    vec!["https://github.com/rust-lang/crates.io-index".to_owned()]
}

/// What `cargo metadata` says.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// A crate, as `cargo metadata` has it.
#[derive(Clone, Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
}

#[derive(Clone, Debug, Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<String>,
}

/// Checks all that is built, and what Cargo.lock says of where it comes from.
pub(crate) fn check() -> Result<()> {
    let rules = fs::read_to_string(shell::root().join("deny.toml"))?;
    let rules: Rules = toml::from_str(&rules).context("reading deny.toml")?;
    let text = shell::output(shell::cargo().args(["metadata", "--format-version=1", "--locked"]))?;
    let Metadata { packages } = serde_json::from_str(&text)?;
    let lock = fs::read_to_string(shell::root().join("Cargo.lock"))?;
    let mut faults = faults(&rules, &packages);
    faults.extend(unlocked(&lock)?);
    faults.extend(old_xz(&text)?);
    if !faults.is_empty() {
        bail!("what the program is made of:\n  {}", faults.join("\n  "));
    }
    let Some(program) = CARGO_DENY.install(&shell::target_dir()?) else {
        eprintln!("SKIPPED: cargo deny, which neither is installed nor can be");
        return Ok(());
    };
    let deny = |words: &[&str]| {
        let mut command = Command::new(&program);
        // Warnings are of crates that are there in two versions, by which nothing can be done.
        command.current_dir(shell::root()).args(["--log-level", "error"]).args(words);
        command
    };
    shell::run(&mut deny(&["check", "bans", "licenses", "sources"]))?;
    let fetched = deny(&["fetch", "db"]).output();
    if fetched.is_ok_and(|fetched| fetched.status.success()) {
        return shell::run(&mut deny(&["check", "advisories"]));
    }
    eprintln!("SKIPPED: advisories: their database cannot be had");
    Ok(())
}

/// What is against the rules, a line for each.
fn faults(rules: &Rules, packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        let what = format!("{} {}", package.name, package.version);
        if let Some(fault) = licence_fault(&rules.licenses.allow, package.license.as_deref()) {
            faults.push(format!("{what}: {fault}"));
        }
        if let Some(source) = &package.source
            && !is_allowed(&rules.sources, source)
        {
            faults.push(format!("{what}: {source} is no source that is allowed"));
        }
        if let Some(banned) = rules.bans.deny.iter().find(|it| it.name == package.name) {
            faults.push(format!("{what} is banned: {}", banned.reason));
        }
        // Ours only: what others publish cannot have these.
        let of_ours = package.dependencies.iter().filter(|_| package.source.is_none());
        for dependency in of_ours.filter(|it| it.req == "*" && it.path.is_none()) {
            faults.push(format!("{what} takes any version of {}", dependency.name));
        }
    }
    faults
}

fn licence_fault(allowed: &BTreeSet<String>, licence: Option<&str>) -> Option<String> {
    let Some(licence) = licence else { return Some("has no licence".to_owned()) };
    let Ok(expression) = Expression::parse_mode(licence, ParseMode::LAX) else {
        return Some(format!("{licence:?} is no licence expression"));
    };
    let is_good = expression.evaluate(|requirement| allowed.contains(&requirement.to_string()));
    (!is_good).then(|| format!("{licence} is not allowed"))
}

fn is_allowed(sources: &Sources, source: &str) -> bool {
    if let Some(registry) = source.strip_prefix("registry+") {
        return sources.allow_registry.iter().any(|allowed| allowed == registry);
    }
    let git = source.strip_prefix("git+").unwrap_or(source);
    sources.allow_git.iter().any(|allowed| git.starts_with(allowed.as_str()))
}

/// What Cargo.lock has from elsewhere without a checksum.
fn unlocked(lock: &str) -> Result<Vec<String>> {
    let lock: toml::Table = toml::from_str(lock).context("reading Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array).context("no packages")?;
    let text = |package: &toml::Value, key: &str| {
        package.get(key).and_then(toml::Value::as_str).map(str::to_owned)
    };
    let bare = packages
        .iter()
        .filter(|package| text(package, "source").is_some() && text(package, "checksum").is_none());
    Ok(bare.map(|it| format!("{}: no checksum", text(it, "name").unwrap_or_default())).collect())
}

/// The lowest xz that is built in: those before 5.8.1 free memory that is in use (CVE-2025-31115), and
/// 5.6.0 and 5.6.1 had a back door.
const XZ: [u64; 3] = [5, 8, 1];

/// The xz in `liblzma-sys` if it is older than may be: its own header says which it is.
fn old_xz(metadata: &str) -> Result<Vec<String>> {
    let metadata: Value = serde_json::from_str(metadata)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "liblzma-sys")
        .and_then(|package| package["manifest_path"].as_str())
        .context("liblzma-sys is not there")?;
    let folder = Path::new(manifest).parent().context("a manifest lies in a folder")?;
    let header = fs::read_to_string(folder.join("xz/src/liblzma/api/lzma/version.h"))?;
    let version = xz_version(&header).context("no version in xz's header")?;
    let old = version < XZ;
    Ok(old.then(|| format!("xz {version:?} is older than {XZ:?}")).into_iter().collect())
}

fn xz_version(header: &str) -> Option<[u64; 3]> {
    let numbers: BTreeMap<&str, u64> = header
        .lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("#define LZMA_VERSION_")?.split_whitespace();
            Some((words.next()?, words.next()?.parse().ok()?))
        })
        .collect();
    Some([*numbers.get("MAJOR")?, *numbers.get("MINOR")?, *numbers.get("PATCH")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        toml::from_str(
            r#"
            [licenses]
            allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
            [bans]
            deny = [{ crate = "openssl-sys", reason = "rustls is used" }]
            [sources]
            unknown-registry = "deny"
            allow-git = ["https://example.com/good"]
            "#,
        )
        .unwrap()
    }

    fn package(name: &str, license: Option<&str>, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
            dependencies: Vec::new(),
        }
    }

    #[test]
    fn what_is_against_the_rules_is_named() {
        let index = Some("registry+https://github.com/rust-lang/crates.io-index");
        for (package, fault) in [
            (package("a", Some("MIT"), index), ""),
            (package("a", Some("MIT OR GPL-3.0-only"), index), ""),
            (package("a", Some("MIT/Apache-2.0"), index), ""),
            (package("a", Some("Apache-2.0 WITH LLVM-exception"), index), ""),
            (package("a", Some("MIT AND GPL-3.0-only"), index), "not allowed"),
            (package("a", Some("GPL-3.0-or-later"), index), "not allowed"),
            (package("a", Some("what I like"), index), "no licence expression"),
            (package("a", None, index), "has no licence"),
            (package("a", Some("MIT"), None), ""),
            (package("a", Some("MIT"), Some("registry+https://evil.example/index")), "no source"),
            (package("a", Some("MIT"), Some("git+https://evil.example/x#1")), "no source"),
            (package("a", Some("MIT"), Some("git+https://example.com/good#1")), ""),
            (package("openssl-sys", Some("MIT"), index), "is banned: rustls"),
        ] {
            let found = faults(&rules(), std::slice::from_ref(&package)).join("; ");
            assert!(found.contains(fault), "{package:?}: {found}");
            assert_eq!(found.is_empty(), fault.is_empty(), "{package:?}: {found}");
        }
        let any = Dependency { name: "b".to_owned(), req: "*".to_owned(), path: None };
        let ours = Package { dependencies: vec![any], ..package("a", Some("MIT"), None) };
        assert_eq!(faults(&rules(), &[ours]), ["a 1.0.0 takes any version of b"]);
    }

    #[test]
    fn a_lock_has_checksums() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"b\"\n\
                    version = \"1.0.0\"\nsource = \"registry+x\"\n";
        assert_eq!(unlocked(lock).unwrap(), ["b: no checksum"]);
        assert!(unlocked(&format!("{lock}checksum = \"0\"\n")).unwrap().is_empty());
    }

    #[test]
    fn reads_the_version_of_xz() {
        let header = "/* x */\n#define LZMA_VERSION_MAJOR 5\n#define LZMA_VERSION_MINOR 8\n\
                      #define LZMA_VERSION_PATCH 1\n#define LZMA_VERSION_STABILITY LZMA_X\n";
        assert_eq!(xz_version(header), Some([5, 8, 1]));
        let is_old = [[5, 8, 0], [5, 6, 9], [5, 8, 1], [6, 0, 0]].map(|version| version < XZ);
        assert_eq!(is_old, [true, true, false, false]);
    }
}
