//! Many signed images, synced under a policy that wants their signatures, and without one: what it
//! costs to verify one.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::cases::Case;
use super::measure::measure;
use super::registry::{Kind, Registry};
use super::sync::{TAGS, app, make, sync, to_registry};
use super::{Bench, World, row};
use crate::shell;

const SIGNER: &str = "bench@example.com";

const UNJUDGED: Case = Case {
    name: "sync signed, no policy",
    before: None,
    arguments: |world| judged(world, "accept.json"),
    bare: true,
    goal: "",
};

const JUDGED: Case = Case {
    name: "sync signed, signedBy",
    before: None,
    arguments: |world| judged(world, "signed.json"),
    bare: true,
    goal: "no request more, 5 ms of cpu a signature",
};

/// Prints both rows, if they are wanted, and what is between them.
pub(super) fn run(place: &Path, bench: &Bench) -> Result<()> {
    if !bench.wants(UNJUDGED.name) && !bench.wants(JUDGED.name) {
        return Ok(());
    }
    println!("\n{TAGS} signed tags, from and to docker-registry:");
    let mut world = World {
        place: place.to_owned(),
        source: Registry::start(&place.join("source"), Kind::Docker)?,
        destination: Registry::start(&place.join("destination"), Kind::Docker)?,
        serial: 0,
    };
    prepare(&world, &bench.ours, bench.layer)?;
    let unjudged = row(&UNJUDGED, &mut world, bench)?;
    let judged = row(&JUDGED, &mut world, bench)?;
    let each = |with: f64, without: f64| (with - without) * 1000.0 / TAGS as f64;
    println!(
        "cpu ms a signature: {:.2} / {:.2}",
        each(judged.0, unjudged.0),
        each(judged.1, unjudged.1)
    );
    Ok(())
}

/// A key, two policies, and the images with their signatures in lookaside storage.
fn prepare(world: &World, ours: &Path, layer: u64) -> Result<()> {
    let place = &world.place;
    let (gnupg, stores) = (place.join("gnupg"), place.join("registries.d"));
    fs_err::create_dir_all(&gnupg)?;
    fs_err::create_dir_all(&stores)?;
    let mut lock = Command::new("chmod");
    shell::run(lock.arg("700").arg(&gnupg))?;
    let gpg = || {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--homedir"]).arg(&gnupg);
        gpg
    };
    let make_key = ["--passphrase", "", "--quick-generate-key", SIGNER, "rsa3072", "sign", "never"];
    shell::run(gpg().args(make_key))?;
    let key = place.join("key.gpg");
    shell::run(gpg().arg("--output").arg(&key).args(["--export", SIGNER]))?;
    fs_err::write(
        stores.join("default.yaml"),
        format!("default-docker:\n  lookaside: file://{}\n", place.join("lookaside").display()),
    )?;
    let signed = json!([{"type": "signedBy", "keyType": "GPGKeys", "keyPath": key}]);
    fs_err::write(place.join("signed.json"), json!({"default": signed}).to_string())?;
    let accept = json!([{"type": "insecureAcceptAnything"}]);
    fs_err::write(place.join("accept.json"), json!({"default": accept}).to_string())?;

    let mut own = Registry::start(&place.join("own-source"), Kind::Ours(ours.to_owned()))?;
    make(&own.data().join("team/app"), TAGS, layer)?;
    own.restart()?;
    let target = format!("{}/team", world.source.address());
    let mut fill = Command::new(ours);
    fill.env("GNUPGHOME", &gnupg).arg("--insecure-policy").arg("--registries.d").arg(&stores);
    let mut words = sync("docker", &app(&own), "docker", &target);
    words.insert(1, SIGNER.to_owned());
    words.insert(1, "--sign-by".to_owned());
    let temporary = place.join("temporary");
    fs_err::create_dir_all(&temporary)?;
    measure(fill.args(words), &temporary)?;
    let mut agent = Command::new("gpgconf");
    shell::run(agent.arg("--homedir").arg(&gnupg).args(["--kill", "gpg-agent"]))
}

/// The sync, which brings no signature along: only what is judged is counted.
fn judged(world: &World, policy: &str) -> Vec<String> {
    let path = |name: &str| world.place.join(name).display().to_string();
    let mut words = vec!["--policy".to_owned(), path(policy)];
    words.extend(["--registries.d".to_owned(), path("registries.d")]);
    let mut sync = to_registry(world);
    sync.insert(1, "--remove-signatures".to_owned());
    words.extend(sync);
    words
}
