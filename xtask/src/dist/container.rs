//! The container image: the program and nothing else, for all machines as one index.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::archive::tar;
use super::tree::{DEFAULTS, File, Tree};
use super::{HOME, NAME, SUMMARY, sbom, version};
use crate::image::Layout;
use crate::shell;

/// What the list of a program's parts is, to those who look for it.
pub(super) const CYCLONEDX: &str = "application/vnd.cyclonedx+json";

/// What a statement of how something was made is.
pub(super) const IN_TOTO: &str = "application/vnd.in-toto+json";

/// Writes `NAME-VERSION-image.tar`, an OCI archive. `skopeo` writes it: our own program.
pub(super) fn write(trees: &[Tree], skopeo: &Path, out: &Path, time: u64) -> Result<String> {
    let place = tempfile::Builder::new().prefix("skopeo-dist-").tempdir()?;
    let mut layout = Layout::create(&place.path().join("layout"))?;
    let mut images = Vec::new();
    let mut hanging = Vec::new();
    for tree in trees {
        let layer = layout.layer_of_tar(&tar(&root(tree)?, "", time)?)?;
        let architecture = tree.target.architecture();
        let image = layout.image_that(&run(), architecture, &sbom::utc(time), &[layer])?;
        let digest = image["digest"].as_str().context("a descriptor has a digest")?;
        let parts = sbom::text(tree.target, time)?;
        let made = sbom::provenance(NAME, digest, tree.target, time)?;
        hanging.push(layout.referrer(&image, CYCLONEDX, parts.as_bytes())?);
        hanging.push(layout.referrer(&image, IN_TOTO, made.as_bytes())?);
        images.push(image);
    }
    let index = layout.index(&images)?;
    layout.tag(version(), index)?;
    layout.list(hanging)?;
    let name = format!("{NAME}-{}-image.tar", version());
    let mut copy = Command::new(skopeo);
    copy.current_dir(place.path()).args([
        "--insecure-policy",
        "copy",
        "--quiet",
        "--all",
        "--referrers",
    ]);
    copy.arg(format!("oci:layout:{}", version()));
    copy.arg(format!("oci-archive:{}:{}", out.join(&name).display(), version()));
    shell::run(&mut copy)?;
    Ok(name)
}

/// How it is run: as the original's image, whose users mount their credentials at /tmp/auth.json.
fn run() -> Value {
    json!({
        "Entrypoint": ["/usr/bin/skopeo"],
        "Env": ["PATH=/usr/bin", "HOME=/home/skopeo", "REGISTRY_AUTH_FILE=/tmp/auth.json"],
        "WorkingDir": "/home/skopeo",
        "Volumes": {"/var/lib/containers": {}},
        "Labels": {
            "org.opencontainers.image.title": NAME,
            "org.opencontainers.image.description": SUMMARY,
            "org.opencontainers.image.version": version(),
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.source": HOME,
        },
    })
}

/// The files of the image. Folders that somebody may write to have a file in them: that makes them.
fn root(tree: &Tree) -> Result<Tree> {
    let wanted = ["usr/bin/skopeo", "LICENSE", "NOTICE", "THIRD-PARTY-LICENSES.gz"];
    let files = tree.files.iter().filter(|file| wanted.iter().any(|it| file.path.ends_with(it)));
    let mut files: Vec<File> = files.cloned().collect();
    files.push(File::new("etc/ssl/certs/ca-certificates.crt", 0o644, authorities().into_bytes()));
    for (name, text) in DEFAULTS {
        files.push(File::new(format!("etc/containers/{name}"), 0o644, text.as_bytes().to_vec()));
    }
    files.push(File::new(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/home/skopeo:/sbin/nologin\n".to_vec(),
    ));
    for folder in ["home/skopeo", "tmp", "var/tmp"] {
        files.push(File::new(format!("{folder}/.keep"), 0o644, Vec::new()));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Tree { target: tree.target, files })
}

/// The certificates that Mozilla trusts, as PEM. They come from a crate, so Cargo.lock pins them.
fn authorities() -> String {
    use base64::Engine as _;
    let mut text = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let encoded = base64::engine::general_purpose::STANDARD.encode(certificate);
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in encoded.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authorities_are_many_and_whole() {
        let text = authorities();
        assert!(text.matches("BEGIN CERTIFICATE").count() > 100);
        assert!(text.lines().all(|line| line.len() <= 64 && line.is_ascii()));
    }
}
