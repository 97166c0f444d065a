//! `cargo xtask demo`: the main job, on a fresh machine, with nothing but Rust.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::image::Layout;
use crate::shell::{self, Server};

/// Builds the program and moves a real image around with it.
pub(crate) fn run() -> Result<()> {
    println!("Building the program (some minutes the first time) ...");
    let skopeo = shell::program("demo")?;
    let place = tempfile::Builder::new().prefix("skopeo-demo-").tempdir()?;
    let demo = Demo { skopeo: &skopeo, place: place.path() };
    demo.make_image()?;

    let port = shell::free_port()?;
    let registry = format!("127.0.0.1:{port}");
    demo.say("A registry of our own, over a folder");
    demo.show(&["serve", "--create", "registry", "--listen", &registry, "&"]);
    let mut serve = demo.command(&["serve", "--create", "registry", "--listen", &registry]);
    let mut server = Server::start(serve.stdout(std::process::Stdio::null()))?;
    server.wait_for(&registry)?;

    let image = |name: &str| format!("docker://{registry}/{name}");
    let tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    demo.say("Push the image, both platforms of it, from its folder into the registry");
    demo.run(&["copy", "--all", "--dest-tls-verify=false", "oci:made:demo", &image("demo:1.0")])?;
    demo.say("Promote it: registry to registry; the registry mounts every blob, no byte moves");
    demo.run(&["copy", "--all", tls[0], tls[1], &image("demo:1.0"), &image("prod/demo:1.0")])?;
    demo.say("The same again: two looks, nothing to do");
    demo.run(&["copy", "--all", tls[0], tls[1], &image("demo:1.0"), &image("prod/demo:1.0")])?;
    demo.say("Into an OCI layout, for the other side of the air gap");
    demo.run(&["copy", "--all", tls[0], &image("prod/demo:1.0"), "oci:layout:demo"])?;
    demo.say("Into a plain folder, this machine's platform only");
    demo.run(&["copy", "oci:layout:demo", "dir:folder"])?;
    demo.say("And back into the registry");
    demo.run(&["copy", tls[1], "dir:folder", &image("back:1.0")])?;

    demo.say("What is it?");
    demo.run(&["inspect", "--tls-verify=false", &image("back:1.0")])?;
    demo.run(&[
        "inspect",
        "--tls-verify=false",
        "--format",
        "{{.Architecture}} {{.Digest}}{{range .Layers}}\n  {{.}}{{end}}",
        &image("prod/demo:1.0"),
    ])?;
    demo.say("List, delete, list");
    demo.run(&["copy", tls[0], tls[1], &image("back:1.0"), &image("demo:this-platform")])?;
    demo.run(&["list-tags", "--tls-verify=false", &image("demo")])?;
    demo.run(&["delete", "--tls-verify=false", &image("demo:this-platform")])?;
    demo.run(&["list-tags", "--tls-verify=false", &image("demo")])?;
    demo.say("The digest that never changed on the way");
    demo.run(&["manifest-digest", "folder/manifest.json"])?;

    println!(
        "\nThat was the main job. Try next, with {}:\n\
         \x20 skopeo list-tags docker://quay.io/skopeo/stable\n\
         \x20 skopeo copy --all docker://docker.io/library/alpine oci:alpine:latest\n\
         \x20 skopeo serve alpine            and any client can pull from it\n\
         \x20 skopeo --help; docs/man has a page for every command",
        skopeo.display()
    );
    Ok(())
}

struct Demo<'a> {
    skopeo: &'a Path,
    place: &'a Path,
}

impl Demo<'_> {
    /// An index of two platforms, made of the program itself and the files of this project.
    fn make_image(&self) -> Result<()> {
        let root = shell::root();
        let mut layout = Layout::create(&self.place.join("made"))?;
        let documents = ["README.md", "LICENSE", "Cargo.lock"].map(|name| (name, root.join(name)));
        let documents: Vec<_> =
            documents.iter().map(|(name, path)| (*name, path.as_path())).collect();
        let base = layout.layer_of_files(&documents)?;
        let program = layout.layer_of_files(&[("skopeo", self.skopeo)])?;
        let host = match env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let other = if host == "amd64" { "arm64" } else { "amd64" };
        let images = [layout.image(host, &[base.clone(), program])?, layout.image(other, &[base])?];
        let index = layout.index(&images)?;
        layout.tag("demo", index)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.skopeo);
        // The demo trusts what it made itself, and reads no credentials of the user's.
        command.arg("--insecure-policy").args(arguments).current_dir(self.place);
        command.env("REGISTRY_AUTH_FILE", self.place.join("no-auth.json"));
        command
    }

    fn say(&self, what: &str) {
        println!("\n# {what}");
    }

    fn show(&self, arguments: &[&str]) {
        let words: Vec<String> = arguments
            .iter()
            .map(|word| {
                if word.contains(['{', ' ', '\n']) {
                    format!("'{}'", word.replace('\n', "\\n"))
                } else {
                    (*word).to_owned()
                }
            })
            .collect();
        println!("$ skopeo --insecure-policy {}", words.join(" "));
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        self.show(arguments);
        let status = self.command(arguments).status().context("starting skopeo")?;
        if !status.success() {
            bail!("skopeo ended with {status}");
        }
        Ok(())
    }
}
