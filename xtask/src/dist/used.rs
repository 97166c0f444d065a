//! What a program of a release must do: between files, and with a registry over TLS.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;
use serde_json::Value;
use skopeo_testkit::Certificate;

use super::STANDS_IN_FOR;
use crate::image::Layout;
use crate::shell;

/// The hash of the password `secret` of the user `me`.
const USERS: &str = "me:$2y$04$.Ka3uh0bmhbZmlsgNiKrkeqXpbJUKTVmdf0gMPNrOS8yqoylR/94i\n";

/// A program as it is started here.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The program, or an emulator and what it starts.
    pub(super) words: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
}

impl Program {
    /// A program that this machine runs itself.
    pub(super) fn native(path: &Path) -> Self {
        Self { words: vec![path.display().to_string()], environment: Vec::new() }
    }

    /// A command that runs it in `place`, which is also its home.
    fn start(&self, place: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(arguments).current_dir(place).env("HOME", place);
        command.env("REGISTRY_AUTH_FILE", "auth.json");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn run(&self, place: &Path, arguments: &[&str]) -> Result<String> {
        shell::output(&mut self.start(place, arguments))
    }
}

/// Lets `program` do all of it in `place`; `server` is the program that serves the registry.
pub(super) fn use_it(program: &Program, server: &Program, place: &Path) -> Result<()> {
    says_its_version(&program.run(place, &["--version"])?)?;
    make_images(place)?;
    files(program, place)?;
    let registry = Registry::start(server, place)?;
    network(program, &registry.address, place).context("with a registry")
}

/// Whether this is how the version is told.
pub(super) fn says_its_version(told: &str) -> Result<()> {
    let expected = format!("skopeo version {STANDS_IN_FOR} ");
    ensure!(told.starts_with(&expected), "as its version it says {told:?}");
    Ok(())
}

/// `hello.tar`, and a layout `made` with an index of two platforms. Its layer is large enough for
/// several pieces.
fn make_images(place: &Path) -> Result<()> {
    let hello: String = (0..200_000).map(|line| format!("hello {line}\n")).collect();
    fs::write(place.join("hello"), hello)?;
    shell::run(Command::new("tar").current_dir(place).args(["-cf", "hello.tar", "hello"]))?;
    let mut layout = Layout::create(&place.join("made"))?;
    let layer = layout.layer_of_files(&[("hello", &place.join("hello"))])?;
    let images = ["amd64", "arm64"].map(|it| layout.image(it, std::slice::from_ref(&layer)));
    let images = images.into_iter().collect::<Result<Vec<Value>>>()?;
    let index = layout.index(&images)?;
    layout.tag("1", index)
}

/// From file to file through all formats.
fn files(program: &Program, place: &Path) -> Result<()> {
    for (from, to) in [
        ("tarball:hello.tar", "oci:layout:1"),
        ("oci:layout:1", "docker-archive:saved.tar:hello:1"),
        ("docker-archive:saved.tar", "oci-archive:archive.tar:1"),
        ("oci-archive:archive.tar:1", "dir:folder"),
    ] {
        let copy = ["--insecure-policy", "copy", "--quiet", from, to];
        program.run(place, &copy).with_context(|| format!("{from} to {to}"))?;
    }
    let told = program.run(place, &["inspect", "--format", "{{len .Layers}}", "dir:folder"])?;
    ensure!(told == "1\n", "the image has {told:?} layers");
    Ok(())
}

/// Logs in, pushes, looks, pulls, mirrors and deletes.
fn network(program: &Program, registry: &str, place: &Path) -> Result<()> {
    let run = |words: &[&str]| program.run(place, words);
    let name = format!("docker://{registry}/team/app:1");
    let login = ["login", "--cert-dir=certs", "--username=me", "--password=secret", registry];
    run(&login)?;
    let push = ["--insecure-policy", "copy", "--quiet", "--all", "--dest-cert-dir=certs"];
    run(&[&push[..], &["oci:made:1", &name]].concat())?;
    let raw = run(&["inspect", "--raw", "--cert-dir=certs", &name])?;
    ensure!(raw == run(&["inspect", "--raw", "oci:made:1"])?, "another index came back: {raw}");
    // One of the two is for every machine: on other systems that for Linux.
    let format = ["inspect", "--cert-dir=certs", "--format={{.Os}} {{len .Layers}}", &name];
    let told = run(&format)?;
    ensure!(told == "linux 1\n", "inspect says {told:?}");
    let pull = ["--insecure-policy", "copy", "--quiet", "--src-cert-dir=certs", &name];
    run(&[&pull[..], &["oci:back:1"]].concat())?;
    let mirror = ["--insecure-policy", "sync", "--all", "--src=docker", "--dest=oci"];
    let repository = format!("{registry}/team/app");
    run(&[&mirror[..], &["--src-cert-dir=certs", &repository, "mirror"]].concat())?;
    let tags = format!("docker://{repository}");
    let told: Value = serde_json::from_str(&run(&["list-tags", "--cert-dir=certs", &tags])?)?;
    ensure!(told["Tags"] == serde_json::json!(["1"]), "the tags are {told}");
    run(&["delete", "--cert-dir=certs", &name])?;
    let mut gone = program.start(place, &["inspect", "--cert-dir=certs", &name]);
    let told = gone.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    ensure!(!told.success(), "what was deleted is there still");
    run(&["logout", registry])?;
    Ok(())
}

/// `skopeo serve` over TLS, for one user. It ends with this value.
#[derive(Debug)]
struct Registry {
    address: String,
    child: Child,
}

impl Registry {
    /// Makes `certs/ca.crt` in `place`, too, by which clients trust it.
    fn start(program: &Program, place: &Path) -> Result<Self> {
        let certificate = Certificate::new(&["127.0.0.1"]);
        fs::create_dir_all(place.join("certs"))?;
        fs::write(place.join("certs/ca.crt"), certificate.ca)?;
        fs::write(place.join("tls.crt"), certificate.certificate)?;
        fs::write(place.join("tls.key"), certificate.key)?;
        fs::write(place.join("users"), USERS)?;
        let words = ["--create", "--log=none", "--tls-cert=tls.crt", "--tls-key=tls.key"];
        let serve = [&["serve", "--listen=127.0.0.1:0", "--htpasswd=users"], &words[..]].concat();
        let mut command = program.start(place, &[&serve[..], &["registry"]].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().context("starting the registry")?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let mut registry = Self { address: String::new(), child };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address =
            line.trim().rsplit_once("on https://").context("the registry says nothing")?;
        registry.address = address.1.to_owned();
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
