//! The crates that are linked into the program for one target.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Target;
use crate::shell;

/// The package that is the program.
const PROGRAM: &str = "skopeo";

/// A crate that is linked in.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: String,
    /// Whether it is one of ours.
    pub(super) is_ours: bool,
    /// Of the file that crates.io has.
    pub(super) sha256: Option<String>,
    /// Where its source lies here.
    pub(super) folder: PathBuf,
    /// What it uses, as `NAME VERSION`.
    pub(super) uses: Vec<String>,
}

impl Part {
    /// `NAME VERSION`.
    pub(super) fn called(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

/// The program's own package first, the others by name.
pub(super) fn read(target: Target) -> Result<Vec<Part>> {
    let text = shell::output(shell::cargo().args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        target.triple(),
    ]))?;
    let lock = fs_err::read_to_string(shell::root().join("Cargo.lock"))?;
    parts(&text, &checksums(&lock)?)
}

/// The checksums of a lock file, by `NAME VERSION`.
fn checksums(lock: &str) -> Result<BTreeMap<String, String>> {
    let lock: toml::Table = toml::from_str(lock).context("reading Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array).context("no packages")?;
    let read = |package: &toml::Value| {
        let text = |key: &str| package.get(key)?.as_str().map(str::to_owned);
        Some((format!("{} {}", text("name")?, text("version")?), text("checksum")?))
    };
    Ok(packages.iter().filter_map(read).collect())
}

fn parts(metadata: &str, checksums: &BTreeMap<String, String>) -> Result<Vec<Part>> {
    let Metadata { packages, resolve } = serde_json::from_str(metadata)?;
    let packages: BTreeMap<&str, &Package> =
        packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let edges: BTreeMap<&str, Vec<&str>> = resolve
        .nodes
        .iter()
        .map(|node| {
            // What only builds or tests is not linked in.
            let linked =
                node.deps.iter().filter(|edge| edge.dep_kinds.iter().any(|it| it.kind.is_none()));
            (node.id.as_str(), linked.map(|edge| edge.pkg.as_str()).collect())
        })
        .collect();
    let root = packages.values().find(|it| it.name == PROGRAM && it.source.is_none());
    let root = root.context("the program is no package")?.id.as_str();
    let mut seen = BTreeSet::from([root]);
    let mut waiting = vec![root];
    while let Some(id) = waiting.pop() {
        for next in edges.get(id).into_iter().flatten() {
            if seen.insert(next) {
                waiting.push(next);
            }
        }
    }
    let mut parts = Vec::new();
    for id in seen {
        let package = packages.get(id).with_context(|| format!("{id} is no package"))?;
        let called = |id: &&str| packages.get(id).map(|it| format!("{} {}", it.name, it.version));
        let mut uses: Vec<String> =
            edges.get(id).into_iter().flatten().filter_map(called).collect();
        uses.sort();
        uses.dedup();
        parts.push(Part {
            name: package.name.clone(),
            version: package.version.clone(),
            license: package.license.clone().unwrap_or_default(),
            is_ours: package.source.is_none(),
            sha256: checksums.get(&format!("{} {}", package.name, package.version)).cloned(),
            folder: package.manifest_path.with_file_name(""),
            uses,
        });
    }
    parts.sort_by_key(|part| (part.name != PROGRAM, part.name.clone(), part.version.clone()));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_in_is_found() {
        let package = |name: &str, source: &str| {
            format!(
                r#"{{"id":"{name}","name":"{name}","version":"1.0.0","license":"MIT","source":{source},"manifest_path":"/x/{name}/Cargo.toml"}}"#
            )
        };
        let metadata = format!(
            r#"{{"packages":[{},{},{},{}],"resolve":{{"nodes":[
                {{"id":"skopeo","deps":[{{"pkg":"a","dep_kinds":[{{"kind":null}}]}},{{"pkg":"t","dep_kinds":[{{"kind":"dev"}}]}}]}},
                {{"id":"a","deps":[{{"pkg":"b","dep_kinds":[{{"kind":"build"}},{{"kind":null}}]}}]}},
                {{"id":"b","deps":[]}},{{"id":"t","deps":[]}}]}}}}"#,
            package("skopeo", "null"),
            package("a", "\"registry\""),
            package("b", "\"registry\""),
            package("t", "\"registry\"")
        );
        let checksums = checksums(
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"77\"\n\n[[package]]\nname = \"skopeo\"\nversion = \"1.0.0\"\n",
        );
        let parts = parts(&metadata, &checksums.unwrap()).unwrap();
        let told: Vec<_> = parts
            .iter()
            .map(|part| (part.called(), part.is_ours, part.sha256.as_deref(), part.uses.join(",")))
            .collect();
        assert_eq!(
            told,
            [
                ("skopeo 1.0.0".to_owned(), true, None, "a 1.0.0".to_owned()),
                ("a 1.0.0".to_owned(), false, Some("77"), "b 1.0.0".to_owned()),
                ("b 1.0.0".to_owned(), false, None, String::new()),
            ]
        );
        assert_eq!(parts[1].folder, std::path::Path::new("/x/a"));
    }
}
