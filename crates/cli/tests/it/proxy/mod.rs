//! `experimental-image-proxy`.

mod blobs;
mod calls;
mod clients;
mod images;
mod importer;
mod policy;
mod real;
mod twin;

use std::path::Path;

use serde_json::json;
use skopeo_testkit::Home;
use skopeo_testkit::proxy::Client;

use crate::stage::SKOPEO;

/// Starts our program with these flags, and initializes it.
#[track_caller]
fn start(home: &Home, flags: &[&str]) -> Client {
    let client = uninitialized(home, SKOPEO, flags);
    let version = client.call("Initialize", json!([]));
    assert_eq!(version.value(), "0.2.8");
    client
}

/// Starts a program with these flags, and says nothing yet.
fn uninitialized(home: &Home, program: impl AsRef<Path>, flags: &[&str]) -> Client {
    let mut command = home.command(program);
    command.arg("experimental-image-proxy").args(flags);
    Client::of(command)
}
