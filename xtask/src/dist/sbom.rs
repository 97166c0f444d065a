//! What the program is made of, in the form of CycloneDX 1.5, and how it was built, in that of SLSA.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use fs_err as fs;
use serde_json::{Value, json};

use super::parts::{self, Part};
use super::{HOME, NAME, Target, version};
use crate::shell;

/// Writes `NAME-VERSION-MACHINE.cdx.json`.
pub(super) fn write(target: Target, out: &Path, time: u64) -> Result<String> {
    let name = format!("{NAME}-{}-{}.cdx.json", version(), target.machine());
    fs::write(out.join(&name), text(target, time)?)?;
    Ok(name)
}

/// The document as it is written.
pub(super) fn text(target: Target, time: u64) -> Result<String> {
    let document = document(&parts::read(target)?, time);
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn document(parts: &[Part], time: u64) -> Value {
    let own = parts.iter().filter(|part| part.name == "skopeo").map(component).next();
    let others = parts.iter().filter(|part| part.name != "skopeo").map(component);
    let dependencies =
        parts.iter().map(|part| json!({"ref": part.called(), "dependsOn": part.uses}));
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": utc(time), "component": own},
        "components": others.collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    })
}

fn component(part: &Part) -> Value {
    let kind = if part.name == "skopeo" { "application" } else { "library" };
    let mut component = json!({
        "type": kind,
        "bom-ref": part.called(),
        "name": part.name,
        "version": part.version,
        "purl": format!("pkg:cargo/{}@{}", part.name, part.version),
    });
    if !part.license.is_empty() {
        // A slash is how licences were joined before there were expressions.
        component["licenses"] = json!([{"expression": part.license.replace('/', " OR ")}]);
    }
    if let Some(sha256) = &part.sha256 {
        component["hashes"] = json!([{"alg": "SHA-256", "content": sha256}]);
    }
    component
}

/// A statement of how the image with this digest was made. Nobody has signed it.
pub(super) fn provenance(name: &str, digest: &str, target: Target, time: u64) -> Result<String> {
    let hex = digest.trim_start_matches("sha256:");
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": hex}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": format!("{HOME}/blob/main/xtask/src/dist"),
                "externalParameters": {"command": "cargo xtask dist", "target": target.triple()},
                "resolvedDependencies": [{"uri": format!("git+{HOME}"), "digest": {"gitCommit": commit()?}}],
            },
            "runDetails": {
                "builder": {"id": format!("{HOME}/blob/main/xtask")},
                "metadata": {"startedOn": utc(time)},
            },
        },
    });
    Ok(serde_json::to_string_pretty(&statement)? + "\n")
}

/// The commit that is built.
pub(super) fn commit() -> Result<String> {
    let mut git = Command::new("git");
    let told = shell::output(git.current_dir(shell::root()).args(["rev-parse", "HEAD"]))?;
    Ok(told.trim().to_owned())
}

/// Seconds since 1970 as RFC 3339 has them.
pub(super) fn utc(time: u64) -> String {
    let (days, seconds) = (time / 86_400, time % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date so many days after 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told() {
        for (time, told) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(time), told);
        }
    }

    #[test]
    fn every_part_is_a_component() {
        let part = |name: &str, license: &str, sha256: Option<&str>, uses: &[&str]| Part {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.to_owned(),
            is_ours: sha256.is_none(),
            sha256: sha256.map(str::to_owned),
            folder: "/".into(),
            uses: uses.iter().map(|it| (*it).to_owned()).collect(),
        };
        let parts = [
            part("skopeo", "Apache-2.0", None, &["a 1.0.0"]),
            part("a", "MIT/Apache-2.0", Some("77"), &[]),
        ];
        let document = document(&parts, 0);
        assert_eq!(document["metadata"]["component"]["type"], "application");
        assert_eq!(document["components"][0]["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(document["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(document["components"][0]["hashes"][0]["content"], "77");
        assert_eq!(document["dependencies"][0]["dependsOn"][0], "a 1.0.0");
    }
}
